"""The configurations that a release of October 2023 came with: as they were, and in today's form.

`tests/fixtures/examples_2023` has them rebuilt in the form of their time, `examples` in today's. What
they mean stands in one table of `tests/examples_2023.py`, and in another what is mended in today's,
because `check` would find something; but for that, both mean the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from axolotl.cli.migrate import main as migrate
from axolotl.config import load_config
from axolotl.resolve import Resolved, examine
from axolotl.resolve.machine import Machine
from tests.examples_2023 import LINEAR, MEANS, MENDS, Means

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


@pytest.fixture(scope="module")
def made_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """What `axolotl migrate` writes for an old file."""
    folder = tmp_path_factory.mktemp("migrated")

    def migrated(name: str) -> Path:
        made = folder / f"{name.replace('/', '-')}.yml"
        if not made.exists():
            result = CliRunner().invoke(migrate, [str(old(name)), "-o", str(made)])
            assert result.exit_code == 0, result.output
        return made

    return migrated


def said(file: Path, machine: Machine = GPU) -> set[tuple[str, str]]:
    """The rules that warn or refuse, each with its option."""
    return {(f.rule, f.key) for f in examined(file, machine).findings if f.level != "info"}


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
def test_the_new_file_means_the_same_but_for_what_is_mended(name: str) -> None:
    was, now = examined(old(name)), examined(new(name))
    assert meaning(now) == MEANS[name]
    before, after = was.as_dict(), now.as_dict()
    different = {key for key in after if before[key] != after[key]}
    mended = {key for mend in MENDS.get(name, ()) for key in mend.options}
    assert different - _without_consequence(now) == mended


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


EVERY = sorted(file.relative_to(NEW).with_suffix("").as_posix() for file in NEW.rglob("*.yml"))


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_found_in_an_example(name: str) -> None:
    file = new(name)
    assert said(file, GPU) == set()
    assert said(file, CPU) == set()
    demanded = {key for key in ("bf16", "bfloat16") if load_config(file).written.get(key) is True}
    assert said(file, OLD_GPU) == {("machine-computes-it", key) for key in demanded}
    assert [f for f in examined(file).findings if f.fix or f.rule == "not-yet"] == []


@pytest.mark.parametrize("name", MEANS)
def test_tf32_is_said_to_be_idle_without_a_gpu(name: str) -> None:
    found = {f.rule for f in examined(new(name), CPU).findings}
    assert ("idle-tf32" in found) == (name in TF32)


@pytest.mark.parametrize("name", ["openllama-3b/config", "openllama-3b/lora", "openllama-3b/qlora"])
def test_openllama_computes_in_what_a_machine_has(name: str) -> None:
    formats = [
        (found.bf16, found.fp16, found.float16)
        for found in (examined(new(name), machine).precision for machine in (CPU, OLD_GPU, GPU))
    ]
    assert formats == [(False, False, False), (False, True, False), (True, False, False)]


def test_only_two_examples_run_code_from_the_hub_and_name_the_commit() -> None:
    trusting = {n for n in EVERY if examined(new(n)).model.trust_remote_code}
    assert trusting == {"replit-3b/config-lora", "xgen-7b/xgen-7b-8k-qlora"}
    for name in trusting:
        resolved = examined(new(name))
        (told,) = [f.message for f in resolved.findings if f.rule == "remote-code"]
        assert str(resolved.model.model_revision) in told


@pytest.mark.parametrize("name", MEANS)
def test_no_comment_is_lost_but_those_on_what_is_mended(
    made_of: Callable[[str], Path], name: str
) -> None:
    before, after = (
        re.findall("#.*", file.read_text(encoding="utf-8")) for file in (made_of(name), new(name))
    )
    gone = [mend.was for mend in MENDS.get(name, ()) if mend.was.startswith("#")]
    kept = [comment for comment in before if comment not in gone]
    there = iter(after)
    assert len(kept) == len(before) - len(gone)
    assert [comment for comment in kept if comment not in there] == [], "each, and in their order"


def test_the_page_of_the_examples_names_each_with_its_model_and_data() -> None:
    page = (NEW / "README.md").read_text(encoding="utf-8")
    for name in MEANS:
        resolved = examined(new(name))
        (source,) = resolved.data.datasets
        (row,) = [line for line in page.splitlines() if f"]({name}.yml)" in line]
        assert f"| `{resolved.model.base_model}` |" in row
        assert f"| `{source.path}` as `{source.type}` |" in row


@pytest.mark.parametrize("name", MEANS)
def test_the_new_file_is_what_migrate_makes_of_the_old_one_with_the_mends(
    made_of: Callable[[str], Path], name: str
) -> None:
    made = _without_comments(made_of(name))
    for mend in MENDS.get(name, ()):
        if not mend.was.startswith("#"):
            assert made.count(mend.was) == 1, mend
            at = made.index(mend.was)
            made[at : at + 1] = mend.now.splitlines()
    assert _without_comments(new(name)) == made


def _without_comments(file: Path) -> list[str]:
    """The lines; none of those that are a comment, and none of the comments behind one."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [re.sub("  +#.*", "", line) for line in lines if not re.match(" *#", line)]


def test_the_mends_are_of_examples_that_there_are() -> None:
    assert MENDS.keys() <= MEANS.keys()
    assert all(mend.why for mends in MENDS.values() for mend in mends)


TODAY = [name for name in EVERY if name not in MEANS]


def test_todays_models_are_there() -> None:
    folders = {name.partition("/")[0] for name in TODAY}
    assert {"llama-3", "qwen3", "gemma-3", "mistral", "phi-4", "quickstart"} <= folders
    page = (NEW / "README.md").read_text(encoding="utf-8")
    assert [n for n in TODAY if "quickstart" not in n and f"]({n}.yml)" not in page] == []


@pytest.mark.parametrize("name", EVERY)
def test_what_is_not_obvious_is_explained(name: str) -> None:
    assert "#" in new(name).read_text(encoding="utf-8")
