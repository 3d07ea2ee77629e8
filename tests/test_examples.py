"""The configurations that a release of October 2023 came with: as they were, and in today's form.

`tests/fixtures/examples_2023` has them rebuilt in the form of their time, `examples` in today's. Both
mean the same, and what that is stands in a table (`tests/examples_2023.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, reduce
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from axolotl.cli.migrate import main as migrate
from axolotl.config import load_config
from axolotl.resolve import Resolved, examine
from axolotl.resolve.machine import Machine
from tests.examples_2023 import LINEAR, MEANS, Means

ROOT = Path(__file__).resolve().parents[1]
OLD = ROOT / "tests" / "fixtures" / "examples_2023"
NEW = ROOT / "examples"
CPU = Machine(gpu=False, bf16=False)
OLD_GPU = Machine(gpu=True, bf16=False)
GPU = Machine(gpu=True, bf16=True)

TOKENS_AS_MAPPING = {"jeopardy-bot/config", "mpt-7b/config", "redpajama/config-3b"}
IN_HALF_PRECISION = {"llama-2/gptq-lora", "pythia-12b/config"} | {
    f"openllama-3b/{name}" for name in ("config", "lora", "qlora")
}
FALCON = {f"falcon/config-7b{name}" for name in ("", "-lora", "-qlora")}
REMOTE_CODE = FALCON | {
    "cerebras/btlm-ft",
    "mpt-7b/config",
    "phi/phi-ft",
    "phi/phi-qlora",
    "replit-3b/config-lora",
    "xgen-7b/xgen-7b-8k-qlora",
}
SAID_OF_THE_OLD = {
    "batch-size": {"cerebras/qlora", "falcon/config-7b", "falcon/config-7b-lora", "redpajama/config-3b", "replit-3b/config-lora"},
    "lora-in-8bit": {"replit-3b/config-lora"},
    "old-attention-names": {"pythia-12b/config"},
    "packing-once": {"cerebras/qlora", "pythia-12b/config"},
    "pure-float16": {"openllama-3b/config", "pythia-12b/config"},
    "remote-code": REMOTE_CODE,
    "renamed": {"phi/phi-ft"},
    "tokens-as-mapping": TOKENS_AS_MAPPING,
}  # fmt: skip
"""Rule → the old files of which it says something, on a GPU with bfloat16."""
SAID_OF_THE_NEW = {"remote-code": REMOTE_CODE, "pure-float16": SAID_OF_THE_OLD["pure-float16"]}
"""What no change of the file could mend without changing what it means."""
NOT_YET: set[tuple[str, object]] = set()
"""What this version does not carry out. It loses a line with everything that it learns, never gains one."""
TF32 = (
    FALCON
    | TOKENS_AS_MAPPING
    | {
        "cerebras/btlm-ft",
        "cerebras/qlora",
        "gptj/qlora",
        "llama-2/gptq-lora",
        "phi/phi-ft",
        "phi/phi-qlora",
        "pythia-12b/config",
        "pythia/lora",
        "replit-3b/config-lora",
    }
)


@cache
def examined(file: Path, machine: Machine = GPU) -> Resolved:
    return examine(load_config(file), machine=machine)


def old(name: str) -> Path:
    return OLD / f"{name}.yml"


def new(name: str) -> Path:
    return NEW / f"{name}.yml"


def rules(name: str, level: str, machine: Machine = GPU) -> set[str]:
    return {f.rule for f in examined(new(name), machine).findings if f.level == level}


def value(resolved: Resolved, key: str) -> Any:
    """The value at a dotted path."""

    def part(whole: Any, name: str) -> Any:
        return whole[int(name)] if isinstance(whole, list) else whole[name]

    return reduce(part, key.split("."), resolved.as_dict())


def meaning(resolved: Resolved) -> Means:
    adapter, quantised = resolved.adapter, resolved.quantization
    training, relora = resolved.training, resolved.relora.relora_steps
    method = [
        f"relora {relora}" if relora else "",
        adapter.adapter or "full",
        "8bit" if quantised.load_in_8bit else "",
        "4bit" if quantised.load_in_4bit else "",
        "gptq" if quantised.gptq else "",
    ]
    targets = [
        LINEAR if adapter.lora_target_linear else "",
        ",".join(adapter.lora_target_modules or []),
    ]
    assert resolved.schedule.lr_scheduler == "cosine"
    return Means(
        resolved.model.base_model,
        _words(method),
        _words(targets) if adapter.adapter else "",
        (resolved.sequence.sequence_len, resolved.sequence.sample_packing),
        (training.micro_batch_size, training.gradient_accumulation_steps),
        int(training.num_epochs),
        resolved.optimizer.optimizer,
        resolved.optimizer.learning_rate,
        (resolved.evaluation.eval_steps, resolved.saving.save_steps),
    )


def _words(words: Iterable[str]) -> str:
    return " ".join(filter(None, words))


def test_all_are_there() -> None:
    found = {file.relative_to(OLD).with_suffix("").as_posix() for file in OLD.rglob("*.yml")}
    assert found == set(MEANS)
    assert len(MEANS) == 31


@pytest.mark.parametrize("name", MEANS)
def test_an_old_file_means_what_it_meant(name: str) -> None:
    resolved = examined(old(name))
    assert resolved.errors == ()
    assert meaning(resolved) == MEANS[name]


@pytest.mark.parametrize("rule", SAID_OF_THE_OLD)
def test_what_is_said_of_the_old_files(rule: str) -> None:
    said = {name for name in MEANS if any(f.rule == rule for f in examined(old(name)).findings)}
    assert said == SAID_OF_THE_OLD[rule]


def test_nothing_else_is_said_of_the_old_files() -> None:
    said = {f.rule for name in MEANS for f in examined(old(name)).findings if f.level != "info"}
    assert said - {"no-effect", "not-yet"} <= SAID_OF_THE_OLD.keys()


def test_only_bfloat16_is_too_much_for_an_older_gpu() -> None:
    refused = {name: examined(old(name), OLD_GPU).errors for name in MEANS}
    assert {name for name, errors in refused.items() if errors} == set(MEANS) - IN_HALF_PRECISION
    assert {f.key for errors in refused.values() for f in errors} == {"bf16"}


@pytest.mark.parametrize("name", sorted(TOKENS_AS_MAPPING))
def test_tokens_as_a_mapping_are_special_tokens(name: str) -> None:
    model = examined(old(name)).model
    assert model.tokens == []
    assert model.special_tokens["eos_token"] in ("</s>", "<|endoftext|>")


@pytest.mark.parametrize("name", MEANS)
def test_nothing_is_left_to_migrate(name: str) -> None:
    assert [f for f in examined(new(name)).findings if f.fix] == []


@pytest.mark.parametrize("name", MEANS)
def test_the_new_file_means_the_same(name: str) -> None:
    was, now = examined(old(name)), examined(new(name))
    assert meaning(now) == MEANS[name]
    before, after = was.as_dict(), now.as_dict()
    different = {key for key in after if before[key] != after[key]}
    assert different <= _without_consequence(now)


def _without_consequence(resolved: Resolved) -> set[str]:
    """Options that may differ, because they are old names or change nothing in this file."""
    every = resolved.as_dict()
    idle = {key for key in every if re.fullmatch("is_.*_derived_model", key)}
    idle |= {"max_packed_sequence_len", "flash_optimum"}
    if resolved.adapter.adapter is None:
        idle |= {key for key in every if key.startswith("lora_")}
    if resolved.sequence.sample_packing:
        idle |= {"group_by_length"}
    if resolved.tracking.wandb_project is None:
        idle |= {"eval_table_size", "eval_table_max_new_tokens"}
    return idle


@pytest.mark.parametrize("name", MEANS)
def test_only_what_cannot_be_avoided_is_said_of_the_new_file(name: str) -> None:
    expected = {rule for rule, names in SAID_OF_THE_NEW.items() if name in names}
    assert rules(name, "warning") - {"not-yet"} == expected
    assert rules(name, "error") == set()


@pytest.mark.parametrize("name", MEANS)
def test_what_this_version_does_not_carry_out(name: str) -> None:
    resolved = examined(new(name))
    waiting = {f.key for f in resolved.findings if f.rule == "not-yet"}
    values = resolved.as_dict()
    expected = {
        key
        for key, asked in NOT_YET
        if key.partition(".")[0] in values and value(resolved, key) == asked
    }
    assert waiting == expected


def test_what_a_machine_without_a_gpu_says_besides() -> None:
    float16 = {"openllama-3b/lora", "openllama-3b/qlora"}
    for name in MEANS:
        assert rules(name, "error", CPU) == ({"machine-computes-it"} if name in float16 else set())
        assert rules(name, "warning", CPU) == rules(name, "warning")
        assert ("idle-tf32" in rules(name, "info", CPU)) == (name in TF32)


@pytest.mark.parametrize("name", MEANS)
def test_comments_are_kept_in_their_order(name: str) -> None:
    before, after = (_comments(file.read_text(encoding="utf-8")) for file in (old(name), new(name)))
    assert after == before


def _comments(text: str) -> list[str]:
    """The lines that are comments; those behind a value go when it goes."""
    return re.findall(r"^ *#.*", text, re.MULTILINE)


def test_the_page_of_the_examples_names_each_with_its_model_and_data() -> None:
    page = (NEW / "README.md").read_text(encoding="utf-8")
    for name in MEANS:
        resolved = examined(new(name))
        (source,) = resolved.data.datasets
        (row,) = [line for line in page.splitlines() if f"]({name}.yml)" in line]
        assert f"| `{resolved.model.base_model}` |" in row
        assert f"| `{source.path}` as `{source.type}` |" in row


@pytest.mark.parametrize("name", MEANS)
def test_the_new_file_is_what_migrate_makes_of_the_old_one(name: str, tmp_path: Path) -> None:
    made = tmp_path / "made.yml"
    result = CliRunner().invoke(migrate, [str(old(name)), "-o", str(made)])
    assert result.exit_code == 0, result.output
    here, there = (file.relative_to(ROOT).as_posix() for file in (old(name), new(name)))
    assert new(name).read_bytes() == made.read_bytes(), (
        f"if it should be so: .venv/bin/axolotl migrate {here} -o {there} --force"
    )


TODAY = sorted(
    name
    for file in NEW.rglob("*.yml")
    if (name := file.relative_to(NEW).with_suffix("").as_posix()) not in MEANS
)


def test_todays_models_are_there() -> None:
    folders = {name.partition("/")[0] for name in TODAY}
    assert {"llama-3", "qwen3", "gemma-3", "mistral", "phi-4", "quickstart"} <= folders
    page = (NEW / "README.md").read_text(encoding="utf-8")
    assert [n for n in TODAY if "quickstart" not in n and f"]({n}.yml)" not in page] == []


@pytest.mark.parametrize("name", TODAY)
def test_nothing_is_found_in_a_file_of_today(name: str) -> None:
    assert [f for f in examined(new(name)).findings if f.level != "info" or f.fix] == []
    text = new(name).read_text(encoding="utf-8")
    assert "#" in text, "what is not obvious in it is explained"
