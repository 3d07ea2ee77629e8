"""Broken files of every kind end with 0 or 2 and a message, and never with a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from axolotl.cli.check import main

EXAMPLES = 250
NOWHERE = "tests/models/none"

VALID = [
    f"""\
base_model: {NOWHERE}
datasets:
  - path: rows.jsonl
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_modules: [q_proj, v_proj]
sequence_len: 512
sample_packing: true
learning_rate: 2e-4
lr_scheduler: cosine
warmup_ratio: 0.1
val_set_size: 0.05
special_tokens:
  pad_token: "<pad>"
""",
    f"""\
# every way to write a value
base_model: &model "{NOWHERE}"
tokenizer_config: *model
strict: false
datasets:
  - &one {{path: a.jsonl, type: completion}}
  - <<: *one
    path: 'b.jsonl'
    shards: 4
tokens: ["<a>", '<b>']
output_dir: runs/${{R:-a}}
num_epochs: 1.5
max_steps:
micro_batch_size: "2"
gradient_accumulation_steps: 4
optimizer: adamw_torch
bf16: auto
seed: 0
lr_scheduler_kwargs:
  num_cycles: 0.5
gradient_checkpointing_kwargs: {{use_reentrant: no}}
""",
    f"""\
base_model: {NOWHERE}
load_in_4bit: true
adapter: qlora
datasets:
- path: a/b
  type:
    system_prompt: ""
    field_instruction: text
    format: |-
      {{instruction}}
      answer
wandb_project: x
fsdp:
  - full_shard
fsdp_config:
  fsdp_offload_params: true
deepspeed: deepspeed/zero2.json
save_strategy: steps
save_steps: 0.25
evaluation_strategy: no
torch_dtype: bfloat16
batch_size: 8
hub_model_id: me/it
neftune_noise_alpha: 5
""",
]

AWKWARD = [
    *("", "~", "null", "[]", "{}", "[[]]", "{a: {b: c}}", "- x", "true", "no", "0", "-1", "1e999"),
    *(".nan", "-.inf", "9" * 30, "0x10", "1_0", "2k", "5%", "1:30", "2023-10-01", "0.5", "3.0"),
    *("'", '"', '"\\0"', '"\\ud800"', '"\\e[0m"', "é", "\u2028", "\x00", "\x85", "😀", "\t", "*x"),
    *(
        "&x y",
        "!!int 3",
        "!x y",
        "${",
        "${NONE}",
        "${HOME}",
        "$${A}",
        "| x",
        "|\n      x",
        "@",
        "%",
    ),
    *(
        "{{ x }}",
        "x" * 300,
        ". . .",
        "---",
        "...",
        "# x",
        "<<",
        "? x",
        "/",
        "..",
        "~/x",
        "http://x",
    ),
    *("[" * 60, "{a: " * 60, "a: b: c", "a.b", ".", "auto", "all", "None", "[1, [2, {a: }]]", "-"),
]
"""What may stand in the place of any value."""

LINES = [
    *("seed: 1", "  seed: 1", "base: f.yml", "base: no.yml", "<<: {a: b}", "- x", "\tx: y", "x"),
    *("? [a]", "---", "...", "%YAML 1.1", "1: x", "datasets:", "    - path: y", "tokens: {a: b}"),
    *("load_in_8bit: true", "adapter: lora", "max_steps: 0", "val_set_size: 3", "strict: yes"),
]

Mutation = Callable[[str], str]


@st.composite
def characters(draw: st.DrawFn) -> Mutation:
    """Delete, double, swap or insert characters somewhere."""
    at, length = draw(st.integers(0, 600)), draw(st.integers(1, 4))
    typed = draw(st.text("ab:-[]{}&*!|>'\"#%@`,? \n\t<~.01$\\", max_size=3) | st.text(max_size=2))
    kind = draw(st.sampled_from(["delete", "double", "swap", "insert"]))

    def mutate(text: str) -> str:
        start = at % (len(text) + 1)
        here, rest = text[start : start + length], text[start + length :]
        changed = {"delete": "", "double": 2 * here, "swap": here[::-1], "insert": typed + here}
        return text[:start] + changed[kind] + rest

    return mutate


@st.composite
def lines(draw: st.DrawFn) -> Mutation:
    """Delete, double, move, indent or insert a line somewhere."""
    at, to = draw(st.integers(0, 40)), draw(st.integers(0, 40))
    line = draw(st.sampled_from(LINES))
    kind = draw(st.sampled_from(["delete", "double", "move", "indent", "outdent", "insert"]))

    def mutate(text: str) -> str:
        rows = text.split("\n")
        row = rows.pop(at % len(rows))
        back = {
            "delete": [],
            "double": [row, row],
            "move": [],
            "indent": [f"  {row}"],
            "outdent": [row[2:]],
            "insert": [line, row],
        }
        start = at % (len(rows) + 1)
        rows[start:start] = back[kind]
        if kind == "move":
            rows.insert(to % (len(rows) + 1), row)
        return "\n".join(rows)

    return mutate


@st.composite
def values(draw: st.DrawFn) -> Mutation:
    """Replace the value of a key by an awkward one."""
    at, value = draw(st.integers(0, 40)), draw(st.sampled_from(AWKWARD) | st.text(max_size=8))

    def mutate(text: str) -> str:
        rows = text.split("\n")
        start = at % len(rows)
        key, colon, _ = rows[start].partition(":")
        rows[start] = f"{key}: {value}" if colon else f"- {value}"
        return "\n".join(rows)

    return mutate


@st.composite
def splices(draw: st.DrawFn) -> Mutation:
    """Go on with another file somewhere."""
    other = draw(st.sampled_from(VALID))
    here, there = draw(st.integers(0, 600)), draw(st.integers(0, 600))
    return lambda text: text[: here % (len(text) + 1)] + other[there % len(other) :]


@st.composite
def broken_files(draw: st.DrawFn) -> bytes:
    text = draw(st.sampled_from(VALID))
    for mutate in draw(
        st.lists(characters() | lines() | values() | values() | splices(), max_size=4)
    ):
        text = mutate(text)
    encoding = draw(st.sampled_from(["utf-8"] * 9 + ["utf-16", "latin-1"]))
    return text.encode(encoding, "replace")


OVERRIDES = st.sampled_from(
    [key for text in VALID for key in text.replace(":", " ").split() if key.isidentifier()]
)
ARGUMENTS = st.lists(
    st.sampled_from(["--allow_unknown", "-", "--", "--datasets.0.path=x", "--datasets.9.x", "-1"])
    | st.builds(lambda key, value: f"--{key}={value}", OVERRIDES, st.sampled_from(AWKWARD)),
    max_size=2,
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))


def cause(result: Result) -> BaseException | None:
    """What a command ended with, if not as it should."""
    return result.exception.__cause__ if result.exception else None


def check(content: bytes, *arguments: str) -> None:
    """Run the command `check` on a file, as a table and as a document."""
    Path("f.yml").write_bytes(content)
    for form in ([], ["--json"]):
        result = CliRunner().invoke(main, ["f.yml", *form, *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert result.exit_code in (0, 2), cause(result)
        assert "Traceback" not in result.stderr
        assert result.exit_code == 0 or form or result.stderr.strip()
        if form:
            document = json.loads(result.stdout)
            assert document["ok"] == (result.exit_code == 0)
            assert document["ok"] or any(f["level"] == "error" for f in document["findings"])
            said = [f["message"] for f in document["findings"] if f["rule"] == "options"]
            assert all(text and text.isprintable() for text in said)


@pytest.mark.parametrize("text", VALID)
def test_what_is_mutated_can_be_read(text: str) -> None:
    Path("f.yml").write_text(text)
    result = CliRunner().invoke(main, ["f.yml", "--json"])
    assert {f["rule"] for f in json.loads(result.stdout)["findings"]}.isdisjoint({"options"})


@settings(max_examples=EXAMPLES, deadline=None)
@given(broken_files())
def test_a_broken_file_ends_with_a_message(content: bytes) -> None:
    check(content)


@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(broken_files() | st.sampled_from(VALID).map(str.encode), ARGUMENTS)
def test_odd_arguments_end_with_a_message(content: bytes, arguments: list[str]) -> None:
    check(content, *arguments)


@pytest.mark.parametrize("value", AWKWARD)
def test_an_awkward_value_for_every_key_ends_with_a_message(value: str) -> None:
    for text in VALID:
        rows = text.split("\n")
        for number, row in enumerate(rows):
            if ":" in row:
                key = row.partition(":")[0]
                changed = [*rows[:number], f"{key}: {value}", *rows[number + 1 :]]
                Path("f.yml").write_text("\n".join(changed), "utf-8")
                result = CliRunner().invoke(main, ["f.yml", "--json"])
                assert result.exit_code in (0, 2), (row, cause(result))
                json.loads(result.stdout)
