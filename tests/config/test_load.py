"""Files become configurations, and mistakes in them become messages with a line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axolotl.config import Config, load_config
from axolotl.errors import ConfigErrors
from axolotl.resolve import resolve

SMALL = "base_model: m\ndatasets:\n  - path: d.jsonl\n    type: alpaca\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write `f.yml` into an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)

    def write_text(text: str) -> str:
        Path("f.yml").write_text(text, encoding="utf-8")
        return "f.yml"

    return write_text


def problems(source: Any, overrides: Any = ()) -> list[str]:
    """Each problem of a configuration as one text."""
    with pytest.raises(ConfigErrors) as caught:
        load_config(source, overrides)
    return [str(problem) for problem in caught.value.problems]


def test_values_go_to_their_sections_with_their_lines(write: Any) -> None:
    config = load_config(write(SMALL + "lora_r: 16\n\nlearning_rate: 2e-4\n"))
    assert (config.adapter.lora_r, config.optimizer.learning_rate) == (16, 2e-4)
    assert config.data.datasets[0].path == "d.jsonl"
    assert config.origin("lora_r") == "f.yml:5"
    assert config.origin("learning_rate") == "f.yml:7"
    assert config.origin("datasets.0.path") == "f.yml:3"
    assert config.origin("datasets.0.type") == "f.yml:4"
    assert config.origin("datasets.0.name") == "f.yml:3"  # not written: the entry's place
    assert config.origin("seed") == "default"


def test_given_is_what_was_written_and_as_dict_is_everything(write: Any) -> None:
    config = load_config(write(SMALL + "seed: 7\n"))
    assert config.given() == {
        "base_model": "m",
        "datasets": [{"path": "d.jsonl", "type": "alpaca"}],
        "seed": 7,
    }
    everything = config.as_dict()
    assert everything["seed"] == 7
    assert everything["lora_r"] == 8
    assert everything["datasets"][0]["train_on_split"] == "train"


def test_nothing_can_be_written_to_a_configuration(write: Any) -> None:
    config = load_config(write(SMALL))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, "model", None)  # noqa: B010
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        setattr(config.adapter, "lora_r", 4)  # noqa: B010


def test_a_configuration_knows_the_folder_of_its_file(write: Any) -> None:
    write("base_model: m\ndatasets:\n  - path: d\n")
    Path("runs").mkdir()
    Path("runs/a.yml").write_text("base: ../f.yml\nseed: 3\n")
    for named in ("runs/a.yml", Path("runs/a.yml"), "runs"):
        config = load_config(named)
        assert (config.file, config.folder) == (Path("runs/a.yml"), Path("runs"))
        assert resolve(config).folder == Path("runs")
    assert load_config("f.yml").folder == Path()
    mapping = load_config({"base_model": "m", "datasets": [{"path": "d"}]})
    assert (mapping.file, mapping.folder) == (None, Path())


def test_a_mapping_is_a_source_as_well() -> None:
    source = {"base_model": "m", "datasets": [{"path": Path("d.jsonl")}], "lora_r": 4, "seed": None}
    config = load_config(source)
    assert config.adapter.lora_r == 4
    assert config.data.datasets[0].path == "d.jsonl"
    assert config.training.seed == 42
    assert config.origin("lora_r") == "argument"


@pytest.mark.parametrize("empty", ["", "~", "null", '# ""'])
def test_an_empty_value_is_unset(write: Any, empty: str) -> None:
    config = load_config(write(f"{SMALL}seed: {empty}\nadapter: {empty}\n"))
    assert config.training.seed == 42
    assert config.adapter.adapter is None
    assert "seed" not in config.given()


def test_falsy_values_are_values(write: Any) -> None:
    config = load_config(write(SMALL + "seed: 0\nmax_grad_norm: 0\nwarmup_steps: 0\n"))
    assert (config.training.seed, config.optimizer.max_grad_norm) == (0, 0.0)
    assert config.schedule.warmup_steps == 0
    assert config.given()["seed"] == 0


@pytest.mark.parametrize(
    ("line", "section", "value"),
    [
        ("learning_rate: 2e-4", "optimizer", 2e-4),
        ("learning_rate: 1e0", "optimizer", 1.0),
        ("learning_rate: '0.001'", "optimizer", 0.001),
        ("num_epochs: 3", "training", 3.0),
        ("sequence_len: 1e3", "sequence", 1000),
        ('sequence_len: "512"', "sequence", 512),
        ("sample_packing: yes", "sequence", True),
        ("sample_packing: off", "sequence", False),
        ("sample_packing: True", "sequence", True),
        ("bf16: auto", "precision", "auto"),
        ("bf16: true", "precision", True),
        ("save_strategy: no", "saving", "no"),
        ("save_steps: 0.5", "saving", 0.5),
        ("save_steps: 5", "saving", 5),
        ("resume_from_checkpoint: true", "saving", True),
        ("resume_from_checkpoint: 'true'", "saving", "true"),
        ("resume_from_checkpoint: runs/a", "saving", "runs/a"),
        ("model_revision: 0012", "model", "0012"),
        ("output_dir: no", "saving", "no"),
        ("lora_target_modules: '.*proj'", "adapter", ".*proj"),
        ("lora_target_modules: [q_proj, 8]", "adapter", ["q_proj", "8"]),
        ("special_tokens: {pad_token: <pad>, eos_token: }", "model", {"pad_token": "<pad>"}),
        (
            "lr_scheduler_kwargs: {a: 1e-3, b: no, c: true, d: '1', e: , f: [1]}",
            "schedule",
            {"a": 1e-3, "b": "no", "c": True, "d": "1", "e": None, "f": [1]},
        ),
    ],
)
def test_a_scalar_is_read_as_its_option_wants_it(
    write: Any, line: str, section: str, value: Any
) -> None:
    config = load_config(write(f"{SMALL}{line}\n"))
    found = getattr(getattr(config, section), line.partition(":")[0])
    assert found == value
    assert type(found) is type(value)


def test_text_in_a_dataset_stays_text(write: Any) -> None:
    config = load_config(write("base_model: m\ndatasets: [{path: 2023, type: no, name: 1e5}]\n"))
    source = config.data.datasets[0]
    assert (source.path, source.type, source.name) == ("2023", "no", "1e5")


def test_all_problems_come_at_once_in_the_order_of_lines(write: Any) -> None:
    text = (
        "lora_rank: 8\nbase_model: m\ndatasets:\n  - pth: d.jsonl\nlora_r: eight\n"
        "lora_dropout: 2\nlora_r: 9\n"
    )
    assert problems(write(text)) == [
        "f.yml:1: unknown key 'lora_rank'\n  hint: did you mean 'lora_r'?",
        "f.yml:4: unknown key 'datasets.0.pth'\n  hint: did you mean 'datasets.0.path'?",
        "f.yml:4: datasets.0.path is missing: A local file or folder, a hub data set, an address "
        "(`s3://`, `gs://`, `hf://`, `https://`), or a builder name (`json`, `csv`, `parquet`, `text`, `arrow`) with `data_files`\n  hint: add `path: …`",
        "f.yml:5: lora_r: expected a whole number, got 'eight'",
        "f.yml:6: lora_dropout: must be less than 1.0, got 2.0",
        "f.yml:7: key 'lora_r' is written twice: here and on line 5\n  hint: remove one of the two",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lora_r: 0", "lora_r: must be at least 1, got 0"),
        ("lora_r: 8.5", "lora_r: expected a whole number, got '8.5'"),
        ("lora_r: [8]", "lora_r: expected a whole number, got a list"),
        ("learning_rate: fast", "learning_rate: expected a number, got 'fast'"),
        ("learning_rate: .nan", "learning_rate: expected a number, got '.nan'"),
        ("learning_rate: 1e999", "learning_rate: expected a number, got '1e999'"),
        ("learning_rate: 0,001", "no thousands separators"),
        ("sample_packing: 1", "sample_packing: expected true or false, got '1'"),
        ("save_strategy: epochs", "did you mean 'epoch'?"),
        ("datasets: [{path: d, type: {formt: x}}]", "unknown key 'datasets.0.type.formt'"),
        (
            "datasets: [d.jsonl]",
            "datasets.0: expected a mapping, got 'd.jsonl'\n  hint: write `- path: d.jsonl`",
        ),
        (
            "datasets: d.jsonl",
            "expected a list of mappings, got 'd.jsonl'\n  hint: write `- path: d.jsonl`",
        ),
        ("bf16: half", "bf16: expected true, false, 'auto' or 'full', got 'half'"),
        ("val_set_size: 1.5", "must be a whole number, or a share below 1; got 1.5"),
        ("tokens: <new>", "tokens: expected a list of texts, got '<new>'\n  hint: write [<new>]"),
        ("tokens: [a, [b]]", "tokens.1: expected a text, got a list"),
        ("special_tokens: {pad: x}", "did you mean 'special_tokens.pad_token'?"),
        ("output_dir: ''", "output_dir: must not be empty"),
        ("gradient_checkpointing_kwargs: x", "expected a mapping, got 'x'"),
        ("seed: 99999999999999999999", "seed: expected a whole number"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(write: Any, line: str, message: str) -> None:
    before = "base_model: m\n" if line.startswith("datasets") else SMALL
    (problem,) = problems(write(f"{before}{line}\n"))
    assert problem.startswith(f"f.yml:{before.count(chr(10)) + 1}: ")
    assert message in problem


def test_datasets_that_are_no_list_say_how_to_begin_one(write: Any) -> None:
    (problem,) = problems(write("base_model: m\ndatasets:\n  path: d.jsonl\n"))
    assert problem == (
        "f.yml:2: datasets: expected a list of mappings, got a mapping\n"
        "  hint: begin the first line of each entry with `- `"
    )


def test_required_options_that_are_missing_are_named(write: Any) -> None:
    found = problems(write("seed: 1\n"))
    assert [text.partition(":")[2].split()[0] for text in found] == ["base_model"]
    assert all(text.startswith("f.yml: ") for text in found)


def test_an_anchor_can_be_taken_over(write: Any) -> None:
    text = (
        "base_model: m\ndatasets:\n  - &first\n    path: a.jsonl\n    type: alpaca\n"
        "  - <<: *first\n    path: b.jsonl\n"
    )
    first, second = load_config(write(text)).data.datasets
    assert (first.path, second.path, second.type) == ("a.jsonl", "b.jsonl", "alpaca")


def test_tokens_written_as_a_mapping_are_special_tokens_with_a_note(write: Any) -> None:
    config = load_config(write(SMALL + "tokens:\n  pad_token: <pad>\n"))
    assert config.model.special_tokens == {"pad_token": "<pad>"}
    assert config.model.tokens == []
    (note,) = config.notes
    assert (note.level, note.rule, note.where) == ("warning", "tokens-as-mapping", "f.yml:5")


def test_an_empty_file_and_a_file_of_comments_are_refused(write: Any) -> None:
    for text in ("", "# nothing yet\n", "---\n"):
        (problem,) = problems(write(text))
        assert problem.startswith("f.yml: the file is empty")


def test_unknown_keys_can_be_noted_instead_of_refused(write: Any) -> None:
    text = (
        "base_model: m\ndatasets:\n  - path: d.jsonl\n    type: alpaca\n    pth: x\n"
        "special_tokens: {pad_token: <pad>, pad: x}\nsede: 1\nvllm: {a: 1}\n"
    )
    found = problems(write(text))
    assert [line.partition(": ")[0] for line in found] == [
        "f.yml:5",
        "f.yml:6",
        "f.yml:7",
        "f.yml:8",
    ]
    config = load_config("f.yml", allow_unknown=True)
    assert config.model.special_tokens == {"pad_token": "<pad>"}
    assert config.data.datasets[0].path == "d.jsonl"
    assert {(note.level, note.rule) for note in config.notes} == {("warning", "unknown-key")}
    assert sorted((note.key, note.where) for note in config.notes) == [
        ("datasets.0.pth", "f.yml:5"),
        ("sede", "f.yml:7"),
        ("special_tokens.pad", "f.yml:6"),
        ("vllm", "f.yml:8"),
    ]
    assert {note.key: note.hint for note in config.notes}["sede"] == "did you mean 'seed'?"
    (problem,) = problems(write(f"{text}lora_r: x\n".replace("sede", "seed")), ["--allow_unknown"])
    assert problem.startswith("f.yml:9: lora_r: expected")


def test_a_key_of_special_tokens_that_asks_for_nothing_may_stand(write: Any) -> None:
    text = f"{SMALL}special_tokens:\n  pad_token: <pad>\n  additional_special_tokens:\n"
    assert load_config(write(text)).model.special_tokens == {"pad_token": "<pad>"}


def test_of_very_many_unknown_keys_only_the_first_get_a_hint() -> None:
    source = {f"sede{number}": 1 for number in range(300)}
    found = [problem for problem in problems(source) if "unknown key" in problem]
    assert ["hint: " in problem for problem in found] == [True] * 200 + [False] * 100
    source = {**source, "base_model": "m", "datasets": [{"path": "d"}]}
    notes = load_config(source, allow_unknown=True).notes
    assert [bool(note.hint) for note in notes] == [True] * 200 + [False] * 100


def test_allowing_is_no_matter_of_the_file(write: Any) -> None:
    (problem,) = problems(write(SMALL + "allow_unknown: true\n"))
    assert problem.startswith("f.yml:5: allow_unknown has no place here\n  hint: write `--allow_un")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("sequence_len: 2k", "write the number itself, such as 2000"),
        ("sequence_len: 1.5 K", "write the number itself, such as 1500"),
        ("sequence_len: 1M", "write the number itself, such as 1000000"),
        ("sequence_len: 4GB", "write the number alone, without 'GB'"),
        ("sequence_len: 5%", "write the number alone, without '%'"),
        ("val_set_size: 5%", "write the number itself: 0.05"),
        ("lora_dropout: 12.5 %", "write the number itself: 0.125"),
        ("save_steps: 30m", "write the number alone, without 'm'"),
        ("num_epochs: 3 epochs", "write the number alone, without 'epochs'"),
        ("learning_rate: 1/1000", "write the number itself, as in 1000, 0.001 or 1e-3"),
        ("learning_rate: 10^-4", "write the number itself, as in 1000, 0.001 or 1e-3"),
        ("learning_rate: .nan", "write a finite number, or leave it out"),
        ("learning_rate: -.inf", "write a finite number, or leave it out"),
        ("learning_rate: NaN", "write a finite number, or leave it out"),
        ("seed: 1.5", None),
        ("seed: 2023-10-01", "write the number itself"),
    ],
)
def test_a_number_with_a_unit_is_told_as_a_number(write: Any, line: str, hint: str | None) -> None:
    (problem,) = problems(write(f"{SMALL}{line}\n"))
    assert problem.startswith("f.yml:5: ")
    assert (hint in problem) if hint else ("hint" not in problem)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sequence_len: -5", "sequence_len: must be at least 2, got -5"),
        ("val_set_size: -0.1", "val_set_size: must be at least 0, got -0.1"),
        ("special_tokens: [a]", "special_tokens: expected a mapping, got a list"),
        ("lora_r: {a: b}", "lora_r: expected a whole number, got a mapping"),
        ('output_dir: "a\\0b"', "output_dir: the character U+0000 cannot be part of a text"),
        ('tokens: [a, "\\ud800"]', "tokens.1: the character U+D800 cannot be part of a text"),
        ('"\\ud800": 1', "the character U+D800 cannot be part of a text"),
        ('"\\e[31m\\n": 1', "unknown key '\\x1b[31m\\n'"),
        ('seed: "\\e[31m\\n"', "seed: expected a whole number, got '\\x1b[31m\\n'"),
        (f"{'k' * 900}: 1", f"a key of 900 characters is none: '{'k' * 40}'…\n"),
        (f"seed: {'v' * 9000}", f"seed: expected a whole number, got '{'v' * 59}…'"),
        (f"seed: !{'x' * 900} 1", f"tags such as '!{'x' * 58}… have no meaning"),
        (f"save_strategy: {'v' * 100_000}", "save_strategy: expected"),
    ],
)
def test_awkward_values_are_told_in_one_short_line(write: Any, line: str, message: str) -> None:
    (problem,) = problems(write(f"{SMALL}{line}\n"))
    first = problem.partition("\n  hint: ")[0]
    assert first.startswith("f.yml:5: ")
    assert message in problem
    assert first.isprintable()
    assert len(first) < 250


def test_a_date_stays_the_text_that_was_written(write: Any) -> None:
    text = f"{SMALL}model_revision: 2023-10-01\noutput_dir: 2001-12-14t21:59:43.10-05:00\n"
    config = load_config(write(text))
    assert config.model.model_revision == "2023-10-01"
    assert config.saving.output_dir == "2001-12-14t21:59:43.10-05:00"


def test_values_that_no_configuration_can_hold_are_refused() -> None:
    assert problems({"base_model": object(), "datasets": []}) == [
        "argument: base_model: a object is no configuration value\n"
        "  hint: use text, numbers, booleans, lists and dicts"
    ]
    assert "keys are text, got 3" in problems({3: "x"})[0]
    nested: Any = 1
    for _ in range(60):
        nested = {"a": nested}
    source = {"base_model": "m", "datasets": [{"path": "d"}], "lr_scheduler_kwargs": nested}
    assert "nested too deeply" in problems(source)[0]
    itself: dict[str, Any] = {}
    itself["tokens"] = itself
    assert "nested too deeply" in problems(itself)[0]


YAML_MARKS = "ab:-[]{}&*!|>'\"#%@`,? \n\t<~.0123"
TEXTS = st.binary() | (st.text() | st.text(alphabet=YAML_MARKS)).map(str.encode)


@settings(deadline=None, max_examples=300)
@given(content=TEXTS, tail=st.sampled_from([b"", SMALL.encode()]))
def test_any_file_is_a_configuration_or_an_error_with_a_place(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, tail: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yml"
    file.write_bytes(content + b"\n" + tail)
    try:
        config = load_config(file)
    except ConfigErrors as error:
        places = [problem.where or "" for problem in error.problems]
        if not all(place.startswith(str(file)) for place in places):
            pytest.fail(f"{places}")
    else:
        assert config.model.base_model


keys = st.sampled_from(
    ["base_model", "datasets", "lora_r", "seed", "tokens", "special_tokens", "x"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
trees = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(keys, trees))
def test_any_mapping_is_a_configuration_or_an_error(source: dict[str, Any]) -> None:
    try:
        config = load_config(source)
    except ConfigErrors:
        return
    assert isinstance(config, Config)
