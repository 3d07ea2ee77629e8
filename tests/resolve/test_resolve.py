"""Defaults that follow from other options, and the rules across options."""

from __future__ import annotations

from typing import Any

import pytest

from axolotl.config import SECTIONS, load_config, options
from axolotl.errors import ConfigErrors
from axolotl.records import Finding
from axolotl.registry import available
from axolotl.resolve import Purpose, Resolved, examine, resolve
from axolotl.resolve.defaults import IMPLIED
from axolotl.resolve.later import LATER_ATTENTION, LATER_SCHEDULES, LATER_TYPES
from axolotl.resolve.machine import Machine
from axolotl.resolve.rules import RULES

CPU = Machine(gpu=False, bf16=False)
OLD_GPU = Machine(gpu=True, bf16=False)
GPU = Machine(gpu=True, bf16=True)
SMALL: dict[str, Any] = {"base_model": "m", "datasets": [{"path": "d.jsonl", "type": "alpaca"}]}


def look(
    options: dict[str, Any] | None = None, machine: Machine = CPU, *, purpose: Purpose = "check"
) -> Resolved:
    return examine(load_config({**SMALL, **(options or {})}), machine=machine, purpose=purpose)


def only(found: Resolved) -> Finding:
    """The one finding there is."""
    assert len(found.findings) == 1, found.findings
    return found.findings[0]


@pytest.mark.parametrize(
    ("given", "key", "value", "origin"),
    [
        ({"sample_packing": True}, "eval_sample_packing", True, "implied by sample_packing"),
        ({"sample_packing": True, "eval_sample_packing": False}, "eval_sample_packing", False, "argument"),
        ({"micro_batch_size": 3}, "eval_batch_size", 3, "implied by micro_batch_size"),
        ({"save_steps": 5}, "save_strategy", "steps", "implied by save_steps"),
        ({}, "save_strategy", "epoch", "default"),
        ({"save_strategy": "no"}, "save_strategy", "no", "argument"),
        ({}, "evaluation_strategy", "no", "implied by val_set_size"),
        ({"val_set_size": 4}, "evaluation_strategy", "epoch", "default"),
        ({"val_set_size": 4, "eval_steps": 2}, "evaluation_strategy", "steps", "implied by eval_steps"),
        ({"bf16": "auto"}, "bf16", False, "implied by this machine"),
        ({"bf16": True, "fp16": True}, "fp16", False, "implied by bf16"),
        ({"optimizer": "adamw_hf"}, "optimizer", "adamw_torch", "implied by optimizer: adamw_hf"),
        ({"adapter": "lora"}, "lora_target_linear", True, "implied by adapter"),
        ({"adapter": "lora", "lora_target_modules": ["q"]}, "lora_target_linear", False, "default"),
        ({"adapter": "lora", "lora_model_dir": "a"}, "lora_target_linear", False, "default"),
        ({}, "lora_target_linear", False, "default"),
        ({"base_model_config": "c"}, "tokenizer_config", "c", "implied by base_model_config"),
        (
            {"gradient_checkpointing": True},
            "gradient_checkpointing_kwargs",
            {"use_reentrant": False},
            "implied by gradient_checkpointing",
        ),
    ],
)  # fmt: skip
def test_a_default_follows_from_another_option(
    given: dict[str, Any], key: str, value: Any, origin: str
) -> None:
    found = look(given)
    assert found.as_dict()[key] == value
    assert found.origin(key) == origin


def test_bf16_auto_asks_the_machine() -> None:
    assert look({"bf16": "auto"}, GPU).precision.bf16 is True
    assert look({"bf16": "auto"}, OLD_GPU).precision.bf16 is False
    assert look({"bf16": "auto", "fp16": True}, GPU).precision.fp16 is False
    assert look({"bf16": "auto", "fp16": True}, OLD_GPU).precision.fp16 is True


def test_the_configuration_itself_stays_as_it_was() -> None:
    config = load_config({**SMALL, "sample_packing": True})
    resolved = resolve(config, machine=CPU)
    assert resolved.config is config
    assert config.sequence.eval_sample_packing is None
    assert set(resolved.as_dict()) == set(options())


def test_a_quiet_configuration_has_no_findings() -> None:
    assert look({"adapter": "lora", "lora_target_linear": True, "bf16": "auto"}).findings == ()


ERRORS: list[tuple[str, dict[str, Any], str, str]] = [
    # rule, options, the key it is about, what it says
    ("one-strategy-for-saving", {"save_steps": 5, "save_strategy": "epoch"}, "save_steps", "exclude"),
    ("one-strategy-for-saving", {"save_strategy": "steps"}, "save_strategy", "needs save_steps"),
    (
        "one-strategy-for-evaluation",
        {"val_set_size": 1, "eval_steps": 5, "evaluation_strategy": "no"},
        "eval_steps",
        "exclude",
    ),
    ("rows-to-evaluate-on", {"val_set_size": 0, "eval_steps": 5}, "eval_steps", "val_set_size is 0"),
    (
        "rows-to-evaluate-on",
        {"val_set_size": 0, "evaluation_strategy": "epoch"},
        "evaluation_strategy",
        "val_set_size is 0",
    ),
    ("one-warmup", {"warmup_steps": 0, "warmup_ratio": 0.1}, "warmup_ratio", "exclude"),
    (
        "checkpointing-arguments",
        {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrent": False}},
        "gradient_checkpointing_kwargs.use_reentrent",
        "no such argument",
    ),
    ("one-half-precision", {"float16": True, "bfloat16": True, "adapter": "lora", "lora_target_linear": True}, "float16", "one of them"),
    ("machine-computes-it", {"fp16": True}, "fp16", "no GPU here"),
    ("output-is-not-input", {"base_model": "./x", "output_dir": "x"}, "output_dir", "overwrite base_model"),
    ("dataset-types", {"datasets": [{"path": "d", "type": "alpca"}]}, "datasets.0.type", "'alpca'"),
    ("dataset-types", {"datasets": [{"path": "d", "type": "sharegpt:load_role"}]}, "datasets.0.type", "'sharegpt:load_role' is known, but this version"),
    ("schedule-name", {"lr_scheduler": "one_cycle"}, "lr_scheduler", "'one_cycle' is known, but this version"),
    ("attention-name", {"attn_implementation": "flash_attention_2"}, "attn_implementation", "is known, but this version"),
    ("dataset-types", {"datasets": [{"path": "d", "type": "alpaca", "field": "x"}]}, "datasets.0.type", "no setting 'field'"),
    ("schedule-name", {"lr_scheduler": "cosin"}, "lr_scheduler", "'cosin'"),
    ("schedule-name", {"lr_scheduler_kwargs": {"num_cycle": 1}}, "lr_scheduler_kwargs.num_cycle", "no option 'num_cycle'"),
    ("schedule-name", {"lr_scheduler_kwargs": {"num_cycles": "x"}}, "lr_scheduler_kwargs.num_cycles", "got 'x'"),
    ("attention-name", {"attn_implementation": "spda"}, "attn_implementation", "attention has no 'spda'"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "given", "key", "message"), ERRORS)
def test_what_cannot_run_is_an_error(
    rule: str, given: dict[str, Any], key: str, message: str
) -> None:
    found = only(look(given))
    assert (found.level, found.rule, found.key) == ("error", rule, key)
    assert message in found.message
    assert found.hint or rule == "schedule-name"
    with pytest.raises(ConfigErrors, match="argument: ") as caught:
        resolve(load_config({**SMALL, **given}), machine=CPU)
    assert [problem.key for problem in caught.value.problems] == [key]


REMARKS: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("warning", "rows-to-evaluate-on", {"eval_steps": 5}, "eval_steps", "no rows are held out"),
    ("warning", "one-half-precision", {"bf16": True, "fp16": True}, "fp16", "bf16 is set as well"),
    ("warning", "pure-float16", {"float16": True}, "float16", "no numbers"),
    ("warning", "padding", {"pad_to_sequence_len": True, "micro_batch_size": 2}, "pad_to_sequence_len", "4,096 tokens"),
    ("info", "padding", {"pad_to_sequence_len": True, "sample_packing": True}, "pad_to_sequence_len", "on a CPU"),
    ("warning", "tokens-in-a-row", {"micro_batch_size": 512}, "micro_batch_size", "1,048,576 tokens"),
    ("info", "adapter-targets", {"adapter": "lora"}, "adapter", "all linear layers"),
    ("warning", "remote-code", {"trust_remote_code": True}, "trust_remote_code", "will be run"),
    ("warning", "old-optimizer-names", {"optimizer": "adamw_hf"}, "optimizer", "adamw_torch is used"),
    ("info", "larger-evaluation-rows", {"val_set_size": 1, "eval_batch_size": 4}, "eval_batch_size", "larger than the 1"),
    ("warning", "dataset-types", {"datasets": [{"path": "d", "field": "x"}]}, "datasets.0.field", "without a type"),
    ("warning", "dataset-types", {"datasets": [{"path": "d", "type": "completion"}], "train_on_inputs": True}, "train_on_inputs", "no effect"),
    ("warning", "no-effect", {"lora_r": 8, "lora_alpha": 4}, "lora_r", "lora_r, lora_alpha have no effect: without an adapter"),
    ("warning", "no-effect", {"adapter": "lora", "lora_model_dir": "a", "lora_r": 8}, "lora_r", "brings its own settings"),
    ("warning", "no-effect", {"eval_batch_size": 1}, "eval_batch_size", "no rows are held out"),
    ("warning", "no-effect", {"optimizer": "sgd", "adam_beta2": 0.9}, "adam_beta2", "no Adam"),
    ("warning", "no-effect", {"gradient_checkpointing_kwargs": {"use_reentrant": True}}, "gradient_checkpointing_kwargs", "is off"),
    ("warning", "no-effect", {"resume_from_checkpoint": "c", "auto_resume_from_checkpoints": True}, "auto_resume_from_checkpoints", "is set"),
    ("warning", "no-effect", {"save_strategy": "no", "save_total_limit": 2}, "save_total_limit", "no checkpoints"),
    ("warning", "no-effect", {"tf32": True}, "tf32", "no GPU"),
    ("warning", "no-effect", {"dataset_processes": 4}, "dataset_processes", "all cores"),
    ("warning", "no-effect", {"tokenizer_use_fast": False}, "tokenizer_use_fast", "fast tokenizers only"),
    ("warning", "tokens-as-mapping", {"tokens": {"pad_token": "<pad>"}}, "tokens", "read as `special_tokens`"),
]  # fmt: skip


@pytest.mark.parametrize(("level", "rule", "given", "key", "message"), REMARKS)
def test_what_is_worth_a_look_is_said_and_does_not_forbid(
    level: str, rule: str, given: dict[str, Any], key: str, message: str
) -> None:
    found = only(look(given))
    assert (found.level, found.rule, found.key, found.where) == (level, rule, key, "argument")
    assert message in found.message
    assert resolve(load_config({**SMALL, **given}), machine=CPU).findings == (found,)


@pytest.mark.parametrize(
    "given",
    [
        {"save_steps": 5, "save_strategy": "steps"},
        {"save_steps": 0.5},
        {"val_set_size": 0, "evaluation_strategy": "no"},
        {"warmup_steps": 0},
        {"lora_r": None, "adapter": None},
        {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}},
        {"train_on_inputs": True},
        {"fp16": False, "tf32": False, "trust_remote_code": False, "lora_target_linear": False},
        {
            "adapter": "lora",
            "lora_target_linear": True,
            "tokens": ["<a>"],
            "lora_modules_to_save": ["embed_tokens", "lm_head"],
        },
        {
            "adapter": "lora",
            "lora_target_linear": True,
            "tokens": ["<a>"],
            "lora_modules_to_save": ["gpt_neox.embed_in", "embed_out"],
        },
        {"adapter": "lora", "lora_model_dir": "a", "tokens": ["<a>"]},
        {"tokens": ["<a>"]},
        {"attn_implementation": "per_document"},
        {"datasets": [{"path": "d"}]},
        {"datasets": [{"path": "d", "type": "completion", "field": "body"}]},
        {"lr_scheduler": "constant_with_warmup"},
        {"lr_scheduler_kwargs": {"num_cycles": 1}},
    ],
)
def test_what_is_in_order_is_not_remarked_on(given: dict[str, Any]) -> None:
    assert look(given).findings == ()


def test_what_the_machine_lacks_matters_only_for_training() -> None:
    assert only(look({"fp16": True}, CPU, purpose="merge")).level == "warning"
    assert look({"fp16": True}, GPU).findings == ()
    assert only(look({"bf16": True}, OLD_GPU)).level == "error"
    assert only(look({"bf16": True}, OLD_GPU, purpose="merge")).level == "warning"
    assert look({"bf16": True}, CPU).findings == ()


def test_a_trained_model_may_answer_from_where_it_was_saved() -> None:
    given = {"base_model": "./x", "output_dir": "x"}
    assert look(given, purpose="merge").findings == ()


def test_unused_bfloat16_is_mentioned_once_where_there_is_a_gpu_for_it() -> None:
    assert only(look({}, GPU)).message.startswith("bf16: the GPU computes in bfloat16")
    assert look({"bf16": False}, GPU).findings == ()


def test_findings_are_sorted_by_weight_and_then_by_line(tmp_path: Any) -> None:
    file = tmp_path / "f.yml"
    file.write_text(
        "dataset_processes: 2\nbase_model: m\ntokenizer_use_fast: false\n"
        "datasets:\n  - path: d\n    type: alpca\nfp16: true\n"
    )
    found = examine(load_config(file), machine=CPU).findings
    assert [(f.level, f.where.rpartition(":")[2]) for f in found] == [
        ("error", "6"),
        ("error", "7"),
        ("warning", "1"),
        ("warning", "3"),
    ]


def test_all_errors_come_at_once(tmp_path: Any) -> None:
    config = load_config({**SMALL, "warmup_steps": 1, "warmup_ratio": 0.5, "fp16": True})
    with pytest.raises(ConfigErrors) as caught:
        resolve(config, machine=CPU)
    assert {problem.key for problem in caught.value.problems} == {"warmup_ratio", "fp16"}


def test_every_rule_has_a_case_that_sets_it_off() -> None:
    shown = {row[0] for row in ERRORS} | {row[1] for row in REMARKS}
    assert {rule.id for rule in RULES} <= shown
    assert len({rule.id for rule in RULES}) == len(RULES)


def test_a_plug_in_that_is_there_is_not_called_a_later_one() -> None:
    folders = {"formats": LATER_TYPES, "schedules": LATER_SCHEDULES, "attention": LATER_ATTENTION}
    for folder, names in folders.items():
        assert names.isdisjoint(available(f"axolotl.{folder}"))


def test_rules_and_defaults_name_options_that_exist() -> None:
    assert set(IMPLIED) <= set(options())
    for rule in RULES:
        assert set(rule.keys) <= {*options(), "*"}, rule.id
        assert rule.check.__doc__


def test_resolved_has_every_section() -> None:
    resolved = look()
    assert {name: type(getattr(resolved, name)) for name in SECTIONS} == dict(SECTIONS)
