"""Defaults that follow from other options, and the rules across options."""

from __future__ import annotations

from typing import Any

import pytest

from axolotl.config import SECTIONS, load_config, options
from axolotl.errors import ConfigErrors
from axolotl.records import Finding
from axolotl.resolve import Purpose, Resolved, examine, resolve
from axolotl.resolve.defaults import IMPLIED
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
        ({"streaming": True, "max_steps": 50}, "save_strategy", "steps", "implied by streaming"),
        ({"streaming": True, "max_steps": 57}, "save_steps", 5, "implied by streaming"),
        ({"streaming": True, "max_steps": 5}, "save_steps", 1, "implied by streaming"),
        ({"streaming": True, "max_steps": 50, "save_steps": 7}, "save_steps", 7, "argument"),
        ({"streaming": True, "max_steps": 50, "save_strategy": "no"}, "save_steps", None, "default"),
        ({"streaming": True, "max_steps": 50}, "eval_steps", None, "default"),
        ({"streaming": True, "max_steps": 50, "test_datasets": [{"path": "t", "type": "alpaca"}]}, "eval_steps", 5, "implied by streaming"),
        ({"streaming": True, "max_steps": 50, "test_datasets": [{"path": "t", "type": "alpaca"}]}, "evaluation_strategy", "steps", "implied by streaming"),
        ({}, "evaluation_strategy", "no", "implied by val_set_size"),
        ({"val_set_size": 4}, "evaluation_strategy", "epoch", "default"),
        ({"val_set_size": 4, "eval_steps": 2}, "evaluation_strategy", "steps", "implied by eval_steps"),
        ({"test_datasets": [{"path": "t", "type": "alpaca"}]}, "evaluation_strategy", "epoch", "default"),
        ({"test_datasets": [{"path": "t", "type": "alpaca"}], "save_steps": 6, "eval_steps": 3}, "load_best_model_at_end", True, "implied by eval_steps"),
        ({}, "shuffle_merged_datasets", False, "implied by datasets"),
        ({"datasets": [{"path": "d"}, {"path": "e"}]}, "shuffle_merged_datasets", True, "implied by datasets"),
        ({"datasets": [{"path": "o/d", "name": ["a", "b"]}]}, "shuffle_merged_datasets", True, "implied by datasets"),
        ({"curriculum_sampling": True, "datasets": [{"path": "d"}, {"path": "e"}]}, "shuffle_merged_datasets", False, "implied by curriculum_sampling"),
        ({"curriculum_sampling": True, "sample_packing": True}, "sample_packing_sequentially", True, "implied by curriculum_sampling"),
        ({"curriculum_sampling": True}, "sample_packing_sequentially", False, "default"),
        ({"bf16": "auto"}, "bf16", False, "implied by this machine"),
        ({"bf16": True, "fp16": True}, "fp16", False, "implied by bf16"),
        ({"optimizer": "adamw_hf"}, "optimizer", "adamw_torch", "implied by optimizer: adamw_hf"),
        ({"adapter": "lora"}, "lora_target_linear", True, "implied by adapter"),
        ({"adapter": "lora", "lora_target_modules": ["q"]}, "lora_target_linear", False, "default"),
        ({"adapter": "lora", "lora_model_dir": "a"}, "lora_target_linear", False, "default"),
        ({}, "lora_target_linear", False, "default"),
        ({"max_packed_sequence_len": 9}, "sample_packing", True, "implied by max_packed_sequence_len"),
        ({"max_packed_sequence_len": 9}, "sequence_len", 9, "implied by max_packed_sequence_len"),
        ({"max_packed_sequence_len": 4096, "sequence_len": 4000}, "sequence_len", 4000, "argument"),
        ({"max_packed_sequence_len": 9}, "eval_sample_packing", True, "implied by max_packed_sequence_len"),
        ({"adapter": "lora", "lora_out_dir": "o"}, "output_dir", "o", "implied by lora_out_dir"),
        ({"lora_out_dir": "o"}, "output_dir", "./model-out", "default"),
        ({"sdp_attention": True}, "attn_implementation", "sdpa", "implied by sdp_attention"),
        ({"flash_optimum": True}, "attn_implementation", "sdpa", "implied by flash_optimum"),
        ({"flash_attention": True}, "attn_implementation", None, "default"),
        ({"val_set_size": 4, "save_steps": 6, "eval_steps": 3}, "load_best_model_at_end", True, "implied by eval_steps"),
        ({"val_set_size": 4, "save_steps": 6, "eval_steps": 4}, "load_best_model_at_end", None, "default"),
        ({"val_set_size": 4, "save_steps": 6, "eval_steps": 3, "load_best_model_at_end": False}, "load_best_model_at_end", False, "argument"),
        ({"save_steps": 6, "eval_steps": 3}, "load_best_model_at_end", None, "default"),
        ({"early_stopping_patience": 2}, "load_best_model_at_end", True, "implied by early_stopping_patience"),
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


@pytest.mark.parametrize(
    ("given", "machine", "formats"),
    [
        ({}, CPU, (False, False)),
        ({}, OLD_GPU, (False, True)),
        ({}, GPU, (True, False)),
        ({"fp16": None}, OLD_GPU, (False, True)),
        ({"fp16": False}, OLD_GPU, (False, False)),
        ({"bfloat16": False, "float16": False}, OLD_GPU, (False, True)),
        ({"float16": True, "adapter": "lora", "lora_target_linear": True}, OLD_GPU, (False, False)),
    ],
)
def test_bf16_auto_takes_float16_where_a_gpu_has_no_bfloat16(
    given: dict[str, Any], machine: Machine, formats: tuple[bool, bool]
) -> None:
    resolved = look({"bf16": "auto", **given}, machine)
    assert (resolved.precision.bf16, resolved.precision.fp16) == formats
    assert [f for f in resolved.findings if f.level != "info"] == []
    if formats[1]:
        assert resolved.origin("fp16") == "implied by bf16: auto on this machine"


def test_a_kernel_for_half_precision_counts_float16_by_auto() -> None:
    some = Machine(gpu=True, bf16=False, kernels=frozenset({"flash_attn"}), capability=(8, 0))
    given = {"attn_implementation": "flash_attention_2", "bf16": "auto"}
    assert look(given, some).errors == ()
    refused = look({**given, "fp16": False}, some).errors
    assert [f.key for f in refused] == ["attn_implementation"]


PIN = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("given", "level", "says"),
    [
        ({}, "warning", "comes with the model"),
        ({"model_revision": "main"}, "warning", "comes with the model"),
        ({"model_revision": PIN[:12]}, "warning", "comes with the model"),
        ({"model_revision": PIN}, "info", f"as it is in the commit {PIN}"),
        ({"model_revision": PIN, "tokenizer_config": "m"}, "info", "as it is in the commit"),
        (
            {"model_revision": PIN, "tokenizer_config": "o/t"},
            "warning",
            "comes with tokenizer_config",
        ),
        ({"model_revision": PIN, "base_model_config": "o/t"}, "warning", "with base_model_config"),
        ({"model_revision": PIN, "base_model": "."}, "warning", "comes with the model"),
    ],
)
def test_code_that_is_pinned_to_a_commit_needs_no_warning(
    given: dict[str, Any], level: str, says: str
) -> None:
    found = look({"trust_remote_code": True, **given}).findings
    (said,) = [f for f in found if f.rule == "remote-code"]
    assert said.level == level
    assert says in said.message
    assert ("read it first" in said.hint) == (level == "warning")


def test_the_configuration_itself_stays_as_it_was() -> None:
    config = load_config({**SMALL, "sample_packing": True})
    resolved = resolve(config, machine=CPU)
    assert resolved.config is config
    assert config.sequence.eval_sample_packing is None
    assert set(resolved.as_dict()) == set(options())


def test_a_quiet_configuration_has_no_findings() -> None:
    assert look({"adapter": "lora", "lora_target_linear": True, "bf16": "auto"}).findings == ()


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


def test_rules_and_defaults_name_options_that_exist() -> None:
    assert set(IMPLIED) <= set(options())
    for rule in RULES:
        assert set(rule.keys) <= {*options(), "*"}, rule.id
        assert rule.check.__doc__


def test_resolved_has_every_section() -> None:
    resolved = look()
    assert {name: type(getattr(resolved, name)) for name in SECTIONS} == dict(SECTIONS)
