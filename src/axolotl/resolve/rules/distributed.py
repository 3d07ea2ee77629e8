"""A model that is spread over several processes: FSDP and DeepSpeed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from axolotl.config.distributed import DistributedSection
from axolotl.records import Edit
from axolotl.resolve.case import Case, Found, Table
from axolotl.resolve.deepspeed_json import (
    OFFLOADABLE,
    DeepSpeedFault,
    contradictions,
    cuts_weights,
    left_out,
    offloads,
    read_deepspeed,
    zero_stage,
)

_WORDS = ("full_shard", "shard_grad_op", "auto_wrap", "offload")
_GONE = ("no_shard", "hybrid_shard", "hybrid_shard_zero2")
BY_ELEMENT = (
    *("adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_apex_fused"),
    *("sgd", "rmsprop", "adamw_anyprecision"),
)
"""Optimizers that look at each weight by itself, so that parts of a matrix are as good as the whole."""
_STARTS = ("pissa", "olora", "loftq", "corda", "eva", "lora_ga")
_IDLE_IN_FSDP: Mapping[str, str] = {
    "fsdp_cpu_ram_efficient_loading": "each process tries the model before it is cut up, and so reads "
    "the weights",
    "fsdp_use_orig_params": "FSDP 2 always keeps the parameters as they were",
    "fsdp_backward_prefetch": "FSDP 2 decides by itself when the next parameters are gathered",
    "fsdp_forward_prefetch": "FSDP 2 decides by itself when the next parameters are gathered",
    "fsdp_min_num_params": "FSDP 2 does not cut models by size",
    "fsdp_limit_all_gathers": "FSDP 2 bounds the parameters under way by itself",
}
_SPREAD = ("fsdp", "deepspeed")


def fsdp_words(options: DistributedSection) -> list[str]:
    """What `fsdp` says, word by word.

    >>> fsdp_words(DistributedSection(fsdp="full_shard auto_wrap"))
    ['full_shard', 'auto_wrap']
    """
    given = options.fsdp or []
    return given.replace(",", " ").split() if isinstance(given, str) else list(given)


def fsdp_or_deepspeed(case: Case) -> Iterator[Found]:
    """Both cut the same weights up."""
    if len(case.asked(*_SPREAD)) == 2:
        what = "fsdp and deepspeed exclude each other: both cut the model up"
        yield Found("error", "deepspeed", what, "remove one of the two")


def words_of_fsdp(case: Case) -> Iterator[Found]:
    """FSDP 2 knows fewer ways than FSDP 1."""
    options = case.config.distributed
    words = fsdp_words(options)
    for word in words:
        if word not in _WORDS:
            why = "is of FSDP 1" if word in _GONE else "is no word for it"
            way = "remove fsdp: each process then holds the whole model"
            other = f"there are: {', '.join(_WORDS)}"
            yield Found(
                "error", "fsdp", f"fsdp: '{word}' {why}", way if word == "no_shard" else other
            )
    if {"full_shard", "shard_grad_op"} <= set(words):
        what = "fsdp: full_shard and shard_grad_op exclude each other"
        yield Found("error", "fsdp", what, "write `fsdp: [full_shard, auto_wrap]`")
    config = options.fsdp_config
    asked = config.fsdp_reshard_after_forward if config else None
    word = "shard_grad_op" if asked else "full_shard"
    if asked is not None and word in words:
        key = "fsdp_config.fsdp_reshard_after_forward"
        yield Found(
            "error",
            key,
            f"{key}: {str(asked).lower()} and `fsdp: {word}` say the opposite of each other",
            f"remove {key}, or write `fsdp: [{'full_shard' if asked else 'shard_grad_op'}]`",
        )


def details_of_fsdp(case: Case) -> Iterator[Found]:
    """Details that FSDP 1 needed, and those that need each other."""
    options = case.config.distributed
    written: Mapping[str, Any] = case.config.written.get("fsdp_config") or {}
    config = options.fsdp_config
    if not options.fsdp or config is None:
        return
    for name, why in _IDLE_IN_FSDP.items():
        if name in written:
            key = f"fsdp_config.{name}"
            what = f"{key} has no effect: {why}"
            yield Found("warning", key, what, "remove it", (Edit("remove", key),))
    policy = config.fsdp_auto_wrap_policy
    if policy == "SIZE_BASED_WRAP":
        key = "fsdp_config.fsdp_auto_wrap_policy"
        yield Found(
            "error",
            key,
            f"{key}: SIZE_BASED_WRAP is of FSDP 1; FSDP 2 of accelerate trips over lists of layers",
            "write `fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP`, or name the layers in "
            "fsdp_transformer_layer_cls_to_wrap",
        )
    if config.fsdp_transformer_layer_cls_to_wrap and policy not in (None, "TRANSFORMER_BASED_WRAP"):
        key = "fsdp_config.fsdp_transformer_layer_cls_to_wrap"
        what = f"{key} has no effect: the policy is {policy}"
        yield Found("warning", key, what, "write `fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP`")
    offload = config.fsdp_offload_params or "offload" in fsdp_words(options)
    if offload and not case.machine.gpu and case.trains:
        key = "fsdp_config.fsdp_offload_params" if config.fsdp_offload_params else "fsdp"
        what = f"{key}: parameters are not offloaded, because without a GPU they are on the CPU"
        yield Found("info", key, what)


def deepspeed_is_there(case: Case) -> Iterator[Found]:
    """DeepSpeed is a package that is not always installed."""
    if case.asked("deepspeed") and "deepspeed" in case.machine.missing and case.trains:
        what = "deepspeed: needs the package deepspeed, which is not installed"
        yield Found("error", "deepspeed", what, "pip install 'axolotl[deepspeed]'")


def deepspeed_is_readable(case: Case) -> Iterator[Found]:
    """Its configuration is a file of its own."""
    given = case.config.distributed.deepspeed
    if not given:
        return
    try:
        content = read_deepspeed(given)
    except DeepSpeedFault as fault:
        yield Found("error", "deepspeed", f"deepspeed: {fault}", fault.hint)
        return
    if not isinstance(content.get("zero_optimization"), Mapping):
        what = "deepspeed: the configuration has no block zero_optimization, so nothing is cut up"
        yield Found("error", "deepspeed", what, 'add `"zero_optimization": {"stage": 2}`')


def deepspeed_says_the_same(case: Case) -> Iterator[Found]:
    """Optimizer, schedule and batches are those of the file of options."""
    given = case.config.distributed.deepspeed
    try:
        content = read_deepspeed(given) if given else {}
    except DeepSpeedFault:
        return  # said by `deepspeed-is-readable`
    config = case.config
    for there, found, key, value in contradictions(content, config):
        yield Found(
            "error",
            "deepspeed",
            f"deepspeed: its {there} is {found}, and {key} is {value}",
            f'write "auto" for it, which takes the value of {key}',
        )
    mine = {
        "optimizer": f"optimizer: {config.optimizer.optimizer}",
        "scheduler": f"lr_scheduler: {config.schedule.lr_scheduler}",
    }
    for name, kind in left_out(content):
        yield Found(
            "warning",
            "deepspeed",
            f"deepspeed: its block {name} ({kind}) is left out: `{mine[name]}` holds",
            f"remove the block {name} from the configuration",
        )
    if offloads(content) and config.optimizer.optimizer not in OFFLOADABLE:
        yield Found(
            "error",
            "deepspeed",
            f"deepspeed: offload_optimizer does not go with `optimizer: {config.optimizer.optimizer}`, "
            "of which DeepSpeed has no form for the CPU",
            "write `optimizer: adamw_torch`, or remove offload_optimizer",
        )


def sharded_optimizer(case: Case) -> Iterator[Found]:
    """What looks at a whole matrix, or keeps its states in its own form, cannot be cut up."""
    name = case.config.optimizer.optimizer
    for key in case.asked(*_SPREAD):
        if name not in BY_ELEMENT:
            yield Found(
                "error",
                "optimizer",
                f"optimizer: {name} does not go with {key}, which hands it parts of the weights: it is "
                "not known to be right on them",
                f"write `optimizer: adamw_torch`; there are {', '.join(BY_ELEMENT[:2])}, "
                f"{', '.join(BY_ELEMENT[4:])}",
            )


def sharded_base(case: Case) -> Iterator[Found]:
    """Quantised weights are no numbers that can be cut anywhere."""
    if not cuts_weights(case.config.distributed) or case.purpose == "merge":
        return
    key = case.asked(*_SPREAD)[0]
    for few in case.asked("load_in_8bit", "load_in_4bit", "gptq"):
        if few == "load_in_4bit" and key == "fsdp":
            what = f"{few}: each process holds the whole 4-bit base model; FSDP cuts up the adapter alone"
            yield Found("info", few, what, "DeepSpeed's ZeRO 2 takes as much memory")
            continue
        yield Found(
            "error",
            few,
            f"{few}: not with {key}, which cuts the weights up: quantised ones belong together in "
            "blocks with scales of their own",
            f"remove {few}, or use DeepSpeed's ZeRO 1 or 2 (`deepspeed: deepspeed/zero2.json`), which "
            "leave the base model whole",
        )


def sharded_weights(case: Case) -> Iterator[Found]:
    """What needs whole weights on one process."""
    config = case.config
    for key in case.asked(*_SPREAD):
        if config.precision.bf16 == "full":
            what = (
                f"bf16: full does not go with {key}: evaluations need whole weights to convert them"
            )
            yield Found("error", "bf16", what, "write `bf16: true`")
        if case.asked("torch_compile"):
            what = f"torch_compile: not with {key}, which changes the layers that were compiled"
            yield Found("error", "torch_compile", what, "remove torch_compile")
        start = str(config.adapter.peft_init_lora_weights)
        if start.startswith(_STARTS):
            yield Found(
                "error",
                "peft_init_lora_weights",
                f"peft_init_lora_weights: {start} does not go with {key}: the adapter that it saves is "
                "computed from whole weights",
                "remove peft_init_lora_weights",
            )


def zero_of_one_stage(case: Case) -> Iterator[Found]:
    """There are four stages."""
    given = case.config.distributed.deepspeed
    try:
        content = read_deepspeed(given) if given else {}
    except DeepSpeedFault:
        return
    stage = zero_stage(content)
    if stage not in (0, 1, 2, 3):
        what = f"deepspeed: there is no zero_optimization.stage {stage}"
        yield Found("error", "deepspeed", what, "write 1, 2 or 3")


TABLE: Table = [
    (fsdp_or_deepspeed, "fsdp deepspeed"),
    (words_of_fsdp, "fsdp fsdp_config"),
    (details_of_fsdp, "fsdp fsdp_config"),
    (deepspeed_is_there, "deepspeed"),
    (deepspeed_is_readable, "deepspeed"),
    (
        deepspeed_says_the_same,
        "deepspeed micro_batch_size gradient_accumulation_steps max_grad_norm bf16 fp16 learning_rate "
        "adam_beta1 adam_beta2 adam_epsilon weight_decay warmup_steps optimizer lr_scheduler",
    ),
    (zero_of_one_stage, "deepspeed"),
    (sharded_optimizer, "optimizer fsdp deepspeed"),
    (sharded_base, "fsdp deepspeed load_in_8bit load_in_4bit gptq"),
    (sharded_weights, "fsdp deepspeed bf16 torch_compile peft_init_lora_weights"),
]
