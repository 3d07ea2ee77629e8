"""Variants of LoRA, prompts, and full training of some weights: what they need and exclude."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from axolotl.config.adapter import AdapterSection, LoftQ
from axolotl.records import Edit
from axolotl.resolve.case import Case, Found, Table

_QUANTISED = ("load_in_8bit", "load_in_4bit", "gptq")
_STARTS = ("gaussian", "pissa", "pissa_niter_16", "olora", "loftq", "orthogonal", "mica")
_FROM_DATA = ("eva", "corda", "lora_ga")
_MOVES_WEIGHTS = ("pissa", "olora", "loftq")
_OF_LORA = tuple(key for key in AdapterSection.model_fields if key.startswith("peft_"))


def _begins(case: Case) -> AdapterSection | None:
    """The options of a new LoRA; None where no training begins one."""
    adapter = case.config.adapter
    new = adapter.adapter in ("lora", "qlora") and not adapter.lora_model_dir
    return adapter if new and case.trains else None


def start_of_lora(case: Case) -> Iterator[Found]:
    """What a LoRA may begin with."""
    adapter = _begins(case)
    start = adapter and adapter.peft_init_lora_weights
    if not isinstance(start, str):
        return
    key = "peft_init_lora_weights"
    if start in _FROM_DATA:
        yield Found(
            "error",
            key,
            f"{key}: '{start}' begins with what a pass over the data finds out, which is not done",
            f"write `{key}: pissa`, which begins with the weights alone",
        )
    elif start not in _STARTS and not re.fullmatch(r"pissa_niter_\d+", start):
        near = difflib.get_close_matches(start, _STARTS, n=1)
        mean = f"did you mean '{near[0]}'? " if near else ""
        yield Found(
            "error",
            key,
            f"{key}: no start is called '{start}'",
            f"{mean}there are true, false, {', '.join(_STARTS)}",
            (Edit("set", key, near[0]),) if near else (),
        )


def start_and_rank(case: Case) -> Iterator[Found]:
    """An orthogonal start gives one half of the ranks to A and one to B."""
    adapter = _begins(case)
    if adapter is None or adapter.peft_init_lora_weights != "orthogonal":
        return
    ranks = {"lora_r": adapter.lora_r, **(adapter.lora_rank_pattern or {})}
    for name, rank in ranks.items():
        if rank % 2:
            key = "lora_r" if name == "lora_r" else "lora_rank_pattern"
            what = key if name == "lora_r" else f"lora_rank_pattern: {name}"
            yield Found(
                "error",
                key,
                f"{what}: {rank} is odd, and `peft_init_lora_weights: orthogonal` needs even ranks",
                f"write {rank + 1}",
            )


def start_on_quantised(case: Case) -> Iterator[Found]:
    """Weights that are quantised already cannot give a part of theirs to the adapter."""
    adapter = _begins(case)
    start = adapter and adapter.peft_init_lora_weights
    quantised = case.asked(*_QUANTISED)
    if not quantised or not isinstance(start, str) or start == "gaussian":
        return
    if start == "loftq":
        why = "LoftQ quantises the weights itself, and needs them whole"
    elif start.startswith(_MOVES_WEIGHTS):
        why = (
            "what it leaves of the weights would be rounded anew, and the adapter would fit no base"
        )
    else:
        why = "it is computed from whole weights"
    yield Found(
        "error",
        "peft_init_lora_weights",
        f"peft_init_lora_weights: '{start}' does not go with {quantised[0]}: {why}",
        f"remove {quantised[0]}, or peft_init_lora_weights",
    )


def bits_of_loftq(case: Case) -> Iterator[Found]:
    """LoftQ knows two formats; NF4 is that of bitsandbytes."""
    adapter = _begins(case)
    if adapter is None or adapter.peft_init_lora_weights != "loftq":
        return
    settings = (adapter.peft and adapter.peft.loftq_config) or LoftQ()
    if settings.loftq_bits not in (4, 8):
        yield Found(
            "error",
            "peft.loftq_config.loftq_bits",
            f"peft.loftq_config.loftq_bits: {settings.loftq_bits} bits are not known to LoftQ",
            "write 4 or 8",
        )
    if settings.loftq_bits == 4 and "bitsandbytes" in case.machine.missing:
        yield Found(
            "error",
            "peft_init_lora_weights",
            "peft_init_lora_weights: 'loftq' in 4 bits needs the package bitsandbytes, which is not "
            "installed",
            "pip install 'axolotl[bnb]', or write `loftq_bits: 8`",
        )


def dora_alone(case: Case) -> Iterator[Found]:
    """DoRA needs weights that it can measure, and a LoRA that moves both ways."""
    adapter = _begins(case)
    if adapter is None or not adapter.peft_use_dora:
        return
    if case.asked("gptq"):
        yield Found(
            "error",
            "peft_use_dora",
            "peft_use_dora: DoRA measures the columns of the weights, which gptq keeps packed",
            "remove peft_use_dora, or use a base model that is not quantised",
        )
    if case.asked("load_in_8bit") and not case.machine.gpu:
        yield Found(
            "error",
            "peft_use_dora",
            "peft_use_dora: without a GPU, DoRA cannot read weights in 8 bits to measure them",
            "write `adapter: qlora` with `load_in_4bit: true`, or remove one of the two",
        )
    if adapter.peft_init_lora_weights == "mica":
        yield Found(
            "error",
            "peft_use_dora",
            "peft_use_dora: not with `peft_init_lora_weights: mica`, which is a variant by itself",
            "remove one of the two",
        )


def layers_of_a_pattern(case: Case) -> Iterator[Found]:
    """A pattern alone chooses nothing."""
    adapter = _begins(case)
    if adapter and adapter.peft_layers_pattern and adapter.peft_layers_to_transform is None:
        yield Found(
            "error",
            "peft_layers_pattern",
            "peft_layers_pattern needs peft_layers_to_transform: it says where these layers are",
            "add `peft_layers_to_transform: [0, 1]`, or remove it",
        )


def stacked_layers(case: Case) -> Iterator[Found]:
    """Ranges of layers, from the first up to the one after the last."""
    adapter = _begins(case)
    key = "peft_layer_replication"
    if adapter is None or not adapter.peft_layer_replication:
        return
    for pair in adapter.peft_layer_replication:
        if len(pair) != 2 or not 0 <= pair[0] < pair[1]:
            yield Found(
                "error",
                key,
                f"{key}: {pair} is no range of layers",
                "a range is [first, one after the last], such as [0, 4]",
            )
            return
    for other in case.asked(*_QUANTISED):
        yield Found(
            "error",
            key,
            f"{key}: copies of layers share their weights, which {other} does not let them",
            f"remove {other} or {key}",
        )


def rows_trained_twice(case: Case) -> Iterator[Found]:
    """A module is trained as a whole, or some of its rows are."""
    adapter = _begins(case)
    wanted = adapter and adapter.peft_trainable_token_indices
    if adapter is None or not isinstance(wanted, dict):
        return
    if both := sorted(set(wanted) & set(adapter.lora_modules_to_save or ())):
        yield Found(
            "error",
            "peft_trainable_token_indices",
            f"peft_trainable_token_indices: {both[0]} is trained as a whole by lora_modules_to_save",
            f"take {both[0]} out of one of the two",
        )


def relora_on_plain_lora(case: Case) -> Iterator[Found]:
    """ReLoRA begins its adapter anew at every restart, which only a plain one can."""
    adapter = _begins(case)
    if adapter is None or not case.config.relora.relora_steps:
        return
    if adapter.peft_init_lora_weights not in (None, True, "gaussian"):
        wrong = "peft_init_lora_weights"
    else:
        wrong = next(iter(case.asked("peft_use_dora", "peft_layer_replication")), None)
    if wrong:
        yield Found(
            "error",
            wrong,
            f"{wrong}: not with relora_steps, which merges a plain LoRA and begins it anew",
            f"remove {wrong} or relora_steps",
        )


def only_of_lora(case: Case) -> Iterator[Found]:
    """Prompts have none of the variants of LoRA."""
    if case.config.adapter.adapter != "llama-adapter" or not case.trains:
        return
    for key in case.asked(*(key for key in _OF_LORA if key != "peft_adapter"), "peft"):
        yield Found(
            "error",
            key,
            f"{key}: not with `adapter: llama-adapter`, which trains prompts and no LoRA",
            f"remove {key}, or write `adapter: lora`",
        )
    if case.asked("gptq"):
        yield Found(
            "error",
            "gptq",
            "gptq: not with `adapter: llama-adapter`, whose prompts go through whole weights",
            "write `adapter: lora`, or remove gptq",
        )


def prompts_are_not_merged(case: Case) -> Iterator[Found]:
    """Prompts change what a model reads, not its weights."""
    if case.purpose == "merge" and case.config.adapter.adapter == "llama-adapter":
        yield Found(
            "error",
            "adapter",
            "adapter: llama-adapter cannot be merged: its prompts stand beside the weights",
            "use the adapter's folder beside the base model",
        )


def some_weights_without_adapter(case: Case) -> Iterator[Found]:
    """An adapter freezes all weights of the base."""
    adapter = case.config.adapter
    if adapter.adapter and not adapter.lora_model_dir and case.asked("unfrozen_parameters"):
        yield Found(
            "error",
            "unfrozen_parameters",
            "unfrozen_parameters: an adapter freezes all weights beside it",
            "name whole layers in lora_modules_to_save instead, or remove `adapter`",
        )


TABLE: Table = [
    (start_of_lora, "peft_init_lora_weights adapter"),
    (start_and_rank, "peft_init_lora_weights lora_r lora_rank_pattern"),
    (start_on_quantised, "peft_init_lora_weights load_in_8bit load_in_4bit gptq"),
    (bits_of_loftq, "peft peft_init_lora_weights"),
    (dora_alone, "peft_use_dora peft_init_lora_weights load_in_8bit gptq"),
    (layers_of_a_pattern, "peft_layers_pattern peft_layers_to_transform"),
    (stacked_layers, "peft_layer_replication load_in_8bit load_in_4bit gptq"),
    (rows_trained_twice, "peft_trainable_token_indices lora_modules_to_save"),
    (
        relora_on_plain_lora,
        "relora_steps peft_init_lora_weights peft_use_dora peft_layer_replication",
    ),
    (only_of_lora, f"adapter gptq peft {' '.join(_OF_LORA)}"),
    (prompts_are_not_merged, "adapter"),
    (some_weights_without_adapter, "unfrozen_parameters adapter"),
]
