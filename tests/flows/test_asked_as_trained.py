"""A question is asked in the tokens that were trained, whatever the file says by then."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from axolotl import api
from axolotl.config import Config
from axolotl.config.load import load_arguments
from axolotl.core import console
from axolotl.inference.generate import Generator
from axolotl.inference.opening import open_generator
from axolotl.inference.options import GenerationOptions
from axolotl.inference.page import SIDES, Answerer
from axolotl.inference.prompt_rows import row_segments
from axolotl.inference.server.bodies import Message
from axolotl.inference.server.prompts import chat_segments
from axolotl.records import IGNORE_INDEX
from axolotl.templates.named import named_template
from axolotl.training.eval_extras import EvalExtras
from tests.conftest import build_llama, build_tokenizer

Options = Callable[..., dict[str, Any]]
Files = Callable[..., tuple[dict[str, Any], dict[str, Any]]]
Check = Callable[..., None]
LORA = {"adapter": "lora", "lora_r": 2, "lora_target_linear": True}
COLOUR = {"instruction": "Which colour?", "output": "blue"}
TALK = {
    "messages": [
        {"role": "user", "content": COLOUR["instruction"]},
        {"role": "assistant", "content": COLOUR["output"]},
    ]
}
WORDING = {"row": COLOUR, "type": "alpaca", "then": {"prompt_templates": "2023-10"}, "now": {}}
NO_WORDING = WORDING | {"then": {}, "now": {"prompt_templates": "2023-10"}}
OWN = {
    "row": COLOUR,
    "type": {"no_input_format": "Q: {instruction} A:"},
    "then": {},
    "now": {},
    "type_now": {"no_input_format": "{instruction}!"},
}
THINKING = {
    "row": TALK,
    "type": "chat_template",
    "then": {"chat_template": "qwen3", "chat_template_kwargs": {"enable_thinking": False}},
    "now": {"chat_template": "chatml"},
}
CASES = {"wording": WORDING, "no-wording": NO_WORDING, "own": OWN, "thinking": THINKING}


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose tokenizer has ChatML's tokens, and a template that is trained nowhere here."""
    folder = tmp_path_factory.mktemp("chat") / "model"
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    tokenizer.chat_template = named_template("llama3")
    build_llama().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said once of a model that is opened."""
    lines: list[str] = []
    monkeypatch.setattr(console, "note", lines.append)
    monkeypatch.setattr(console, "_said", set())
    return lines


@pytest.fixture
def files(tmp_path: Path, chat_model: Path, tiny_options: Options) -> Files:
    """The file of a training, and what it has become since."""

    def make(case: dict[str, Any], **how: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        rows = tmp_path / "asked.jsonl"
        rows.write_text(f"{json.dumps(case['row'])}\n" * 8)
        usual = {"val_set_size": 0, "sample_packing": False, "max_steps": 2, "save_steps": 1}
        plain = tiny_options(**{"base_model": str(chat_model), **usual, **how})
        entry = {"path": str(rows), "type": case["type"]}
        changed = {"path": str(rows), "type": case.get("type_now", case["type"])}
        then = plain | {"datasets": [entry]} | case["then"]
        return then, plain | {"datasets": [changed]} | case["now"]

    return make


def trained_ids(options: dict[str, Any]) -> list[int]:
    """The tokens that stand before the answer in the rows that are trained on."""
    row = api.prepare(options).train[0]
    return row.input_ids[: int((row.labels != IGNORE_INDEX).argmax())].tolist()


def asked_ids(options: dict[str, Any] | Config, row: Any, **which: Any) -> list[list[int]]:
    """The tokens of a question, of a conversation, of a request and of a row of a file."""
    console._said.clear()  # pyright: ignore[reportPrivateUsage]
    generator = open_generator(api.resolved(options), **which)
    question = COLOUR["instruction"]
    talk = generator.prompt_ids([{"role": "user", "content": question}])
    request = chat_segments([Message(role="user", content=question)], generator.bound)
    own = row_segments(row, generator.bound)
    return [generator.prompt_ids(question), talk, *generator.all_segment_ids([request, own])]


@pytest.fixture
def check(case: dict[str, Any], said: list[str]) -> Check:
    """See that a model is asked in the tokens trained, and that the changed file is named as such."""

    def same(then: dict[str, Any], now: dict[str, Any], want: list[int], **which: Any) -> None:
        said.clear()
        assert asked_ids(now, case["row"], **which) == [want] * 4
        assert len([line for line in said if "the file says something else now" in line]) == 1, said
        said.clear()
        assert asked_ids(then, case["row"], **which) == [want] * 4
        assert not [line for line in said if "asked as" in line or "run.json" in line]

    return same


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_adapter_and_all_that_is_made_of_it(
    case: dict[str, Any], files: Files, check: Check, tmp_path: Path
) -> None:
    then, now = files(case, **LORA)
    want = trained_ids(then)
    api.train(then)
    out, early, parts, again = (tmp_path / name for name in ("out", "early", "parts", "again"))
    first = {"lora_model_dir": str(out / "checkpoint-1")}
    merged = api.merge(now).folder
    api.merge(now | first, out=early)
    api.shard(now, max_shard_size="50KB", out=parts)
    copy = {"base_model": str(parts), "adapter": None, "output_dir": str(again)}
    assert api.shard(now | copy).folder == again
    check(then, now, want)
    check(then | first, now | first, want)
    check(then, now, want, merged=True)
    for folder in (merged, early, parts, again):
        whole = {"adapter": None, "output_dir": str(folder)}
        check(then | whole, now | whole, want)
    assert asked_ids(now, case["row"], base=True)[0] != want, "there the file decides"


@pytest.mark.parametrize("case", [WORDING, THINKING], ids=["wording", "thinking"])
def test_a_model_trained_in_full(
    case: dict[str, Any], files: Files, check: Check, tmp_path: Path
) -> None:
    then, now = files(case)
    want = trained_ids(then)
    api.train(then)
    parts = api.shard(now).folder
    check(then, now, want)
    for folder in (tmp_path / "out" / "checkpoint-1", parts):
        there = {"output_dir": str(folder)}
        check(then | there, now | there, want)


@pytest.mark.parametrize("case", [WORDING])
def test_a_checkpoint_of_a_run_that_was_killed_and_one_of_another_version(
    case: dict[str, Any], files: Files, check: Check, tmp_path: Path
) -> None:
    then, now = files(case, **LORA)
    want = trained_ids(then)
    api.train(then)
    first = {"lora_model_dir": str(tmp_path / "out" / "checkpoint-1")}
    record = tmp_path / "out" / "run.json"
    content = json.loads(record.read_text("utf-8"))
    del content["format"]["shared"]  # as earlier versions wrote it
    record.write_text(json.dumps(content))
    check(then, now, want)
    check(then | first, now | first, want)
    record.rename(record.with_name(".started.json"))
    record.with_name(".incomplete").touch()
    check(then | first, now | first, want)


@pytest.mark.parametrize("case", [THINKING])
def test_an_adapter_without_its_tokenizer_has_the_template_that_was_named(
    case: dict[str, Any], files: Files, check: Check, tmp_path: Path
) -> None:
    then, now = files(case, **LORA)
    want = trained_ids(then)
    api.train(then)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (tmp_path / "out" / file).unlink()
    check(then, now, want)


@pytest.mark.parametrize("case", [WORDING])
def test_a_copy_in_other_files_answers_by_itself_where_the_file_has_an_adapter(
    case: dict[str, Any], files: Files, tmp_path: Path, said: list[str]
) -> None:
    then, now = files(case, **LORA)
    want = trained_ids(then)
    api.train(then)
    api.merge(now)
    parts = api.shard(now).folder
    file = tmp_path / "now.yml"
    file.write_text(yaml.safe_dump(now))
    named = load_arguments((str(file), "--base_model", str(parts)))
    assert asked_ids(named, COLOUR) == [want] * 4
    assert any("answers by itself" in line for line in said)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_prompts_of_an_evaluation(
    case: dict[str, Any], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    then, _ = files(case, **LORA, eval_sample_prompts=[COLOUR["instruction"]], val_set_size=2)
    asked: list[Any] = []
    plain = EvalExtras.attach

    def attach(self: EvalExtras, *args: Any, **kwargs: Any) -> None:
        asked.extend(self.prompt_ids)
        plain(self, *args, **kwargs)

    monkeypatch.setattr(EvalExtras, "attach", attach)
    api.train(then)
    assert asked == [trained_ids(then)]


@pytest.mark.parametrize("case", [WORDING])
def test_the_page_asks_the_base_model_the_same(
    case: dict[str, Any], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    then, now = files(case)
    want = trained_ids(then)
    api.train(then)
    asked: list[list[int]] = []
    plain = Generator.prompt_ids
    monkeypatch.setattr(
        Generator, "prompt_ids", lambda self, text: asked.append(plain(self, text)) or asked[-1]
    )
    resolved, how = api.resolved(now), GenerationOptions(temperature=0, max_new_tokens=1)
    page = Answerer(open_generator(resolved), lambda: open_generator(resolved, base=True))
    for side in SIDES:
        list(page.stream(COLOUR["instruction"], how, side=side, stop=threading.Event()))
    assert asked == [want, want]
