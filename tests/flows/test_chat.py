"""A training on conversations: what its folder says of the template and of where answers end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from transformers import AutoTokenizer, GenerationConfig

import axolotl
from axolotl.cli import inference
from axolotl.errors import AxolotlError
from axolotl.templates.named import named_template
from tests.conftest import build_llama, build_tokenizer

Options = Callable[..., dict[str, Any]]
LORA = {"adapter": "lora", "lora_r": 4, "lora_target_linear": True, "max_steps": 2}
QUESTIONS = ["Colour?", "Which one?", "And you?"]


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose tokenizer has ChatML's tokens beside an end token of its own."""
    folder = tmp_path_factory.mktemp("chat") / "model"
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>", "<|eom|>"], special_tokens=True)
    build_llama().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def options(tmp_path: Path, chat_model: Path, tiny_options: Options) -> Options:
    """Options of a run on conversations that all are answered with `blue`."""
    rows = [
        [{"role": "user", "content": q}, {"role": "assistant", "content": "blue"}] * turns
        for turns in (1, 2)
        for q in QUESTIONS
    ]
    file = tmp_path / "chat.jsonl"
    file.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows * 4))

    def make(**changes: Any) -> dict[str, Any]:
        entry = {"path": str(file), "type": "chat_template", **changes.pop("entry", {})}
        plain = {"base_model": str(chat_model), "datasets": [entry], "val_set_size": 0}
        return tiny_options(**plain, chat_template="chatml") | changes

    return make


def ids(folder: Path, *texts: str) -> list[int]:
    return AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(list(texts))


def ends(folder: Path) -> Any:
    return GenerationConfig.from_pretrained(folder).eos_token_id


@pytest.mark.parametrize("how", [LORA, {"max_steps": 2}], ids=["lora", "full"])
def test_result_and_checkpoints_say_how_they_were_asked_and_where_answers_end(
    tmp_path: Path, options: Options, how: dict[str, Any]
) -> None:
    axolotl.train(options(**how, save_steps=1, save_strategy="steps"))
    for folder in (tmp_path / "out", tmp_path / "out" / "checkpoint-1"):
        assert (folder / "chat_template.jinja").read_text() == named_template("chatml")
        assert ends(folder) == ids(folder, "</s>", "<|im_end|>")


def test_the_tokenizer_is_there_before_the_first_step(
    tmp_path: Path, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    from axolotl.training import run

    def look(*_: Any, **__: Any) -> Any:
        raise RuntimeError(sorted(file.name for file in (tmp_path / "out").iterdir()))

    monkeypatch.setattr(run, "run_loop", look)
    with pytest.raises(RuntimeError, match=r"chat_template\.jinja.*tokenizer\.json"):
        axolotl.train(options(**LORA))


def test_a_merged_model_says_it_too(tmp_path: Path, options: Options) -> None:
    axolotl.train(options(**LORA))
    merged = axolotl.merge(options(**LORA)).folder
    assert (merged / "chat_template.jinja").read_text() == named_template("chatml")
    assert ends(merged) == ids(merged, "</s>", "<|im_end|>")


def test_eot_tokens_are_among_the_ends(tmp_path: Path, options: Options) -> None:
    axolotl.train(options(**LORA, eot_tokens=["<|eom|>"]))
    out = tmp_path / "out"
    assert set(ids(out, "</s>", "<|im_end|>", "<|eom|>")) == set(ends(out))


def test_an_eot_token_that_the_tokenizer_does_not_have_is_refused(options: Options) -> None:
    with pytest.raises(AxolotlError, match=r"<\|eot_id\|>"):
        axolotl.train(options(**LORA, eot_tokens=["<|eot_id|>"]))


def test_the_template_of_the_tokenizer_stays_where_none_is_named(
    tmp_path: Path, options: Options, chat_model: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(chat_model)
    tokenizer.chat_template = named_template("chatml") + "{#- mine -#}"
    tokenizer.save_pretrained(tmp_path / "words")
    axolotl.train(options(**LORA, chat_template=None, tokenizer_config=str(tmp_path / "words")))
    assert (tmp_path / "out" / "chat_template.jinja").read_text().endswith("{#- mine -#}")


def test_other_types_have_no_template_to_save_and_still_end_where_they_end(
    tmp_path: Path, options: Options
) -> None:
    row = {"conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": "blue"}]}
    (tmp_path / "chat.jsonl").write_text(f"{json.dumps(row)}\n" * 24)
    axolotl.train(
        options(**LORA, chat_template=None, entry={"type": "sharegpt", "conversation": "chatml"})
    )
    assert not (tmp_path / "out" / "chat_template.jinja").exists()
    assert ends(tmp_path / "out") == ids(tmp_path / "out", "</s>", "<|im_end|>")


def test_inference_asks_in_the_template_and_stops_where_the_turn_ends(
    tmp_path: Path, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = options(num_epochs=12, learning_rate=5e-3, micro_batch_size=1)
    axolotl.train(trained)
    # The file has changed since: the questions are asked as in training all the same.
    file = tmp_path / "run.yml"
    file.write_text(yaml.safe_dump({**trained, "chat_template": "llama3"}))
    from axolotl.inference.generate import Generator

    asked = []
    plain = Generator.prompt_ids
    monkeypatch.setattr(
        Generator, "prompt_ids", lambda self, text: asked.append(plain(self, text)) or asked[-1]
    )
    arguments = [str(file), "--temperature", "0", "--max_new_tokens", "40"]
    done = CliRunner().invoke(inference.main, arguments, input="Colour?\n")
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == "blue"
    assert "cut after" not in done.output
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    prompt = "<|im_start|>user\nColour?<|im_end|>\n<|im_start|>assistant\n"
    assert [tokenizer.decode(ids) for ids in asked] == [prompt]
