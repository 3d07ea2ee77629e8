"""Old files come into today's form, and each of their keys is accounted for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axolotl.config import options
from axolotl.config.legacy_names import NO_EFFECT, RENAMED
from axolotl.errors import AxolotlError, ConfigErrors
from axolotl.records import Edit, Finding
from axolotl.resolve import migrate as module
from axolotl.resolve.case import Found, Rule
from axolotl.resolve.fates import Fate
from axolotl.resolve.machine import Machine
from axolotl.resolve.migrate import Migration, migrate

HEAD = "base_model: m\ndatasets:\n  - path: d.jsonl\n    type: alpaca\n"
JUDGE = import_module("axolotl.resolve.resolve")  # the package has a function of that name
OLD_FILES = sorted((Path(__file__).parents[1] / "fixtures/examples_2023").rglob("*.yml"))


def migrated(lines: str) -> Migration:
    """A file of `HEAD` and further lines, the first of which is line 5."""
    return migrate(HEAD + lines, "f.yml")


def fates(migration: Migration) -> dict[str, Fate]:
    return {fate.key: fate for fate in migration.keys}


def told(migration: Migration) -> dict[str, tuple[str, str]]:
    """Status and what is new of the keys that are not simply kept."""
    return {f.key: (f.status, f.new) for f in migration.keys if f.status != "kept"}


def test_a_file_of_today_stays_as_it_is() -> None:
    migration = migrated("\nlora_r:\nseed: 1  # c")
    assert migration.text == HEAD + "\nlora_r:\nseed: 1  # c"
    assert (migration.changed, migration.ok, migration.findings) == (False, True, ())
    assert migration.keys == tuple(
        Fate(key, line)
        for key, line in [
            ("base_model", 1),
            ("datasets.0.path", 3),
            ("datasets.0.type", 4),
            ("lora_r", 6),
            ("seed", 7),
        ]
    )


def test_a_renamed_key_keeps_its_place_and_comment() -> None:
    migration = migrated("# a\r\neval_strategy: 'no' # b\r\nseed: 1\r\n".replace("\r\n", "\n"))
    assert migration.text == HEAD + "# a\nevaluation_strategy: 'no' # b\nseed: 1\n"
    fate = fates(migration)["eval_strategy"]
    assert (fate.line, fate.status, fate.new) == (6, "renamed", "evaluation_strategy")
    assert fate.why


def test_a_mapping_is_told_of_as_a_whole() -> None:
    migration = migrated("tokens:\n  pad_token: <p>\n  bos_token: <s>\n")
    assert migration.text == HEAD + "special_tokens:\n  pad_token: <p>\n  bos_token: <s>\n"
    assert told(migration) == {"tokens": ("renamed", "special_tokens")}
    assert len(migration.keys) == 4


def test_keys_move_one_by_one_where_the_new_mapping_is_there() -> None:
    lines = "tokens:\n  pad_token: <p>\n  bos_token: <s>\nspecial_tokens:\n  pad_token: <q>\n"
    migration = migrated(lines)
    assert migration.text == HEAD + "special_tokens:\n  pad_token: <q>\n  bos_token: <s>\n"
    assert told(migration) == {
        "tokens.pad_token": ("without effect", ""),
        "tokens.bos_token": ("renamed", "special_tokens.bos_token"),
    }


def test_a_key_may_get_another_name_and_value() -> None:
    migration = migrated("batch_size: 8  # all\nmicro_batch_size: 2\n")
    assert migration.text == HEAD + "gradient_accumulation_steps: 4  # all\nmicro_batch_size: 2\n"
    assert told(migration) == {"batch_size": ("changed", "gradient_accumulation_steps: 4")}


def test_what_has_no_effect_goes_and_is_told_why() -> None:
    migration = migrated("# eps\nadam_eps: 1  # c\ndevice_map: auto\nseed: 1\n")
    assert migration.text == HEAD + "# eps\nseed: 1\n"
    assert told(migration) == {
        "adam_eps": ("without effect", ""),
        "device_map": ("without effect", ""),
    }
    assert "adam_epsilon" in fates(migration)["adam_eps"].why


def test_what_a_rule_says_is_mended_too() -> None:
    migration = migrated("lora_r: 8\nlora_alpha: 16\nmax_packed_sequence_len: 2048\n")
    assert migration.text == HEAD + "sample_packing: true\n"
    assert told(migration)["max_packed_sequence_len"] == ("changed", "sample_packing: true")
    assert told(migration)["lora_alpha"] == ("without effect", "")


def test_what_is_not_carried_out_yet_is_kept_and_told() -> None:
    migration = migrated("attn_implementation: sage\n")
    assert not migration.changed
    assert migration.ok
    assert told(migration) == {"attn_implementation": ("not yet", "")}
    assert [finding.rule for finding in migration.findings] == ["not-yet"]


def test_mistakes_are_refused_and_the_rest_is_mended() -> None:
    lines = (
        "foo: {a: 1, b: 2}\ndatasett_prepared_path: x\nlearning_rate: fast\nload_4bit: true\n"
        "batch_size: 4\nlogging_steps: -1\nspecial_tokens:\n  pad: x\n"
    )
    migration = migrated(lines)
    assert migration.text == HEAD + lines.replace("batch_size", "gradient_accumulation_steps")
    assert not migration.ok
    refused = {f.key: (f.line, f.hint) for f in migration.keys if f.status == "refused"}
    assert {key: line for key, (line, _) in refused.items()} == {
        "foo": 5,
        "datasett_prepared_path": 6,
        "learning_rate": 7,
        "load_4bit": 8,
        "logging_steps": 10,
        "special_tokens.pad": 12,
    }
    assert "did you mean 'dataset_prepared_path'?" in refused["datasett_prepared_path"][1]
    assert refused["load_4bit"][1] == "write `load_in_4bit: true`"
    assert len([f for f in migration.findings if f.level == "error"]) == 6


def test_what_is_missing_is_refused_without_a_line() -> None:
    migration = migrate("batch_size: 4\n", "f.yml")
    assert migration.text == "gradient_accumulation_steps: 4\n"
    assert {f.key: (f.line, f.status) for f in migration.keys} == {
        "batch_size": (1, "changed"),
        "base_model": (None, "refused"),
        "datasets": (None, "refused"),
    }


def test_a_missing_part_does_not_hide_what_is_there() -> None:
    migration = migrate("base_model: m\ndatasets:\n  - type: alpaca\ndevice_map: x\n", "f.yml")
    assert migration.text == "base_model: m\ndatasets:\n  - type: alpaca\n"
    assert told(migration) == {
        "datasets.0.path": ("refused", ""),
        "device_map": ("without effect", ""),
    }
    assert fates(migration)["datasets.0.type"].status == "kept"


def test_a_list_item_that_is_wrong_does_not_hinder_the_rest() -> None:
    migration = migrate("base_model: m\ndatasets:\n  - 3\n  - path: x\ndevice_map: x\n", "f.yml")
    assert told(migration)["datasets.0"] == ("refused", "")
    assert told(migration)["device_map"] == ("without effect", "")
    assert "datasets" not in told(migration)


def test_a_key_that_is_written_twice_is_refused() -> None:
    migration = migrated("seed: 1\nseed: 2\ndevice_map: x\n")
    assert migration.text == HEAD + "seed: 1\nseed: 2\n"
    assert told(migration)["seed"] == ("refused", "")


@pytest.mark.parametrize("adapter", ["adaptr: lora", "adapter: lorra"])
def test_nothing_is_removed_because_of_a_mistake(adapter: str) -> None:
    lines = f"{adapter}\nlora_r: 8\nlora_alpha: 16\n"
    migration = migrated(lines)
    assert migration.text == HEAD + lines
    assert told(migration) == {adapter.partition(":")[0]: ("refused", "")}


def test_a_count_is_not_made_of_a_value_that_cannot_be_read() -> None:
    lines = "batch_size: 8\nmicro_batch_size: two\n"
    assert migrated(lines).text == HEAD + lines


def test_what_cannot_be_changed_in_place_is_said() -> None:
    lines = "device_map: &d auto\noutput_dir: *d\n"
    migration = migrated(lines)
    assert migration.text == HEAD + lines
    assert told(migration) == {}
    (finding,) = migration.findings
    assert (finding.key, finding.where) == ("device_map", "f.yml:5")
    assert "by hand" in finding.hint


def test_a_file_below_is_read_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("below.yml").write_text(HEAD + "device_map: auto\n")
    migration = migrate("base: below.yml\nddp: true\nseed: 1\n", "f.yml")
    assert migration.text == "base: below.yml\nseed: 1\n"
    assert [f.key for f in migration.keys] == ["base", "ddp", "seed"]
    (finding,) = migration.findings
    assert (finding.key, finding.where) == ("device_map", "below.yml:5")
    assert "by hand" in finding.hint


def test_a_mark_at_the_beginning_and_line_ends_stay() -> None:
    text = "\ufeff" + (HEAD + "device_map: x\nseed: 1").replace("\n", "\r\n")
    assert migrate(text, "f.yml").text == text.replace("device_map: x\r\n", "")


@pytest.mark.parametrize("text", ["", "a: [1\n", "- 1\n", "just text\n"])
def test_what_is_no_configuration_is_an_error(text: str) -> None:
    with pytest.raises(AxolotlError, match=r"f\.yml"):
        migrate(text, "f.yml")


def test_a_file_below_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ConfigErrors, match=r"f\.yml:1: base: no such file"):
        migrate("base: nothing-here.yml\n", "f.yml")


def test_nothing_depends_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "bf16: true\ntf32: true\ndevice_map: x\n"
    found: list[Migration] = []
    for here in (Machine(gpu=False, bf16=False), Machine(gpu=True, bf16=True)):
        monkeypatch.setattr(JUDGE, "this_machine", lambda here=here: here)
        found.append(migrated(lines))
    assert found[0] == found[1]
    assert found[0].findings == ()


def _with_rules(monkeypatch: pytest.MonkeyPatch, *founds: tuple[str, Any]) -> None:
    rules = [Rule(name, ("seed",), check) for name, check in founds]
    monkeypatch.setattr(JUDGE, "RULES", rules)
    monkeypatch.setattr(module, "RULES", rules)


def test_a_fix_that_does_not_help_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def high(case: Any) -> Any:
        yield Found("warning", "seed", "too low", "more", (Edit("set", "seed", 9),))

    def low(case: Any) -> Any:
        yield Found("warning", "seed", "too high", "less", (Edit("set", "seed", 1),))

    _with_rules(monkeypatch, ("high", high), ("low", low))
    migration = migrated("seed: 5\n")
    assert migration.text == HEAD + "seed: 1\n"
    assert told(migration) == {"seed": ("changed", "1")}
    assert [f.rule for f in migration.findings] == ["high", "low"]


def test_a_fix_is_made_as_a_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(case: Any) -> Any:
        fix = (Edit("set", "seed", 9), Edit("remove", "nothing"))
        yield Found("warning", "seed", "no", "way out", fix)

    _with_rules(monkeypatch, ("check", check))
    migration = migrated("seed: 5\n")
    assert not migration.changed
    assert "way out; change it by hand" in migration.findings[0].hint


def test_a_fix_is_not_made_once_another_one_has_removed_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def first(case: Any) -> Any:
        if case.config.written["seed"] == 5:
            yield Found("warning", "seed", "no", "", (Edit("set", "seed", 9),))

    def second(case: Any) -> Any:
        if case.config.written["seed"] == 5:
            yield Found("warning", "seed", "no", "", (Edit("remove", "seed"),))

    _with_rules(monkeypatch, ("first", first), ("second", second))
    assert migrated("seed: 5\n").text == HEAD + "seed: 9\n"


def test_of_several_mistakes_at_one_key_the_first_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def check(case: Any) -> Any:
        yield Found("error", "seed", "one")
        yield Found("error", "seed", "two")

    _with_rules(monkeypatch, ("check", check))
    migration = migrated("seed: 5\n")
    assert fates(migration)["seed"].why == "one"
    assert [finding.message for finding in migration.findings] == ["one", "two"]


def test_a_new_key_is_told_at_the_key_that_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(case: Any) -> Any:
        if not case.config.written.get("sequence_len"):
            fix = (Edit("set", "sequence_len", 64),)
            yield Found("warning", "seed", "short", "", fix)

    _with_rules(monkeypatch, ("check", check))
    migration = migrated("seed: 5\n")
    assert migration.text == HEAD + "seed: 5\nsequence_len: 64\n"
    assert told(migration) == {"seed": ("changed", "sequence_len: 64")}


def test_the_files_are_found() -> None:
    assert len(OLD_FILES) == 31


@pytest.mark.parametrize("file", OLD_FILES, ids=lambda f: f.relative_to(f.parents[1]).as_posix())
def test_files_of_2023_come_into_a_form_that_has_nothing_left_to_mend(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    migration = migrate(text, str(file))
    assert migration.ok
    assert not any(finding.fix for finding in migration.findings)
    again = migrate(migration.text, str(file))
    assert (again.changed, again.text) == (False, migration.text)
    comments = [line for line in text.splitlines() if line.lstrip().startswith("#")]
    assert [line for line in migration.text.splitlines() if line.lstrip()[:1] == "#"] == comments


KEYS = st.sampled_from([*RENAMED, *NO_EFFECT, *options(), "tokens", "batch_size", "nonsense"])
RAW = st.sampled_from(["1", "x", "true", "", "[a, b]", "{pad_token: x}", "-3", "0.5"])


@settings(max_examples=60)
@given(st.lists(st.tuples(KEYS, RAW), max_size=8, unique_by=lambda pair: pair[0]))
def test_any_file_comes_to_an_end_and_every_key_is_accounted_for(
    pairs: list[tuple[str, str]],
) -> None:
    pairs = [(key, value) for key, value in pairs if key not in ("base_model", "datasets")]
    migration = migrated("".join(f"{key}: {value}\n" for key, value in pairs))
    heads = {fate.key.partition(".")[0] for fate in migration.keys}
    assert heads >= {key for key, _ in pairs} | {"base_model", "datasets"}
    again = migrate(migration.text, "f.yml")
    assert again.text == migration.text
    errors = {f.message for f in migration.findings if f.level == "error"}
    assert migration.ok == (not errors)
    assert all(isinstance(finding, Finding) for finding in migration.findings)


def test_a_renamed_key_without_effect_is_removed_at_once() -> None:
    text = "base_model: m\ndatasets:\n  - path: d\n    type: alpaca\n"
    assert migrate(f"{text}jagged_restart_warmup_steps: 1\n", "f.yml").text == text
