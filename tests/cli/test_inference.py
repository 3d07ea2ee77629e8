"""`axolotl inference`: the answer on standard output, everything else beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from transformers import AutoModelForCausalLM

from axolotl import api
from axolotl.cli import inference
from axolotl.inference import chat as chatting
from tests.artifacts.made import random_adapter

GREEDY = ["--temperature", "0", "--max_new_tokens", "8"]


@pytest.fixture
def config(
    tmp_path: Path, tiny_model: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """A finished LoRA run, and its file `a.yml` in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text('{"instruction": "a", "output": "b"}\n' * 4)
    random_adapter(AutoModelForCausalLM.from_pretrained(tiny_model), Path("out"), scale=0.3)
    tokenizer.save_pretrained("out")
    Path("out/run.json").write_text(json.dumps({"format": {"type": "alpaca"}}))
    content = {
        "base_model": str(tiny_model),
        "adapter": "lora",
        "datasets": [{"path": "rows.jsonl", "type": "alpaca"}],
        "output_dir": "out",
    }
    Path("a.yml").write_text(yaml.safe_dump(content))
    return content


def run(*arguments: str, text: str | bytes = "Name three colours.\n") -> Result:
    return CliRunner().invoke(inference.main, ["a.yml", *arguments], input=text)


def expected(config: dict[str, Any], question: str = "Name three colours.", **how: Any) -> str:
    settings: dict[str, Any] = {"temperature": 0, "max_new_tokens": 8} | how
    return api.generate(config, [question], **settings)[0] + "\n"


def test_a_prompt_from_a_pipe_gives_one_answer_on_standard_output(config: dict[str, Any]) -> None:
    result = run(*GREEDY)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == expected(config)
    assert len(result.stdout) > 3
    assert "cut after 8 tokens" in result.stderr


def test_every_option_reaches_the_answer(config: dict[str, Any]) -> None:
    usual = expected(config)
    cases: list[tuple[list[str], dict[str, Any]]] = [
        (["--base"], {"base": True}),
        (["--prompter", "none"], {"prompter": "none"}),
        (["--repetition_penalty", "9"], {"repetition_penalty": 9.0}),
        (["--temperature", "2", "--seed", "7", "--top_k", "9"], {"temperature": 2, "top_k": 9}),
    ]
    for arguments, how in cases:
        result = run(*GREEDY, *arguments)
        assert result.exit_code == 0, result.stderr
        answer = expected(config | ({"seed": 7} if "--seed" in arguments else {}), **how)
        assert result.stdout == answer != usual, arguments
    api.merge(config)
    assert run(*GREEDY, "--merged").stdout == usual


def test_a_prompt_keeps_its_lines_and_its_characters(config: dict[str, Any]) -> None:
    question = "Was heißt „東京“?\n  - kurz"
    result = run(*GREEDY, text=f"\n{question}\r\n")
    assert result.stdout == expected(config, question)


@pytest.mark.parametrize(
    ("text", "problem"),
    [(b"\n \n", "the prompt is empty"), (b"gr\xfc\xdf", "the prompt is not UTF-8")],
)
def test_a_prompt_that_is_none_ends_in_two(
    config: dict[str, Any], text: bytes, problem: str
) -> None:
    result = run(text=text)
    assert result.exit_code == 2
    assert f"standard input: {problem}" in result.stderr
    assert result.stdout == ""


def test_without_a_trained_model_it_ends_in_two(config: dict[str, Any]) -> None:
    result = run("--output_dir", "elsewhere")
    assert result.exit_code == 2
    assert "no adapter in 'elsewhere'" in result.stderr
    assert "hint: train first" in result.stderr
    assert run("--base", "--merged").exit_code == 2
    assert "did you mean 'alpaca'" in run("--prompter", "alpcaa").stderr


def test_in_a_terminal_it_chats(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = iter(["Name three colours.", "Is that so?"])

    def ask() -> str:
        line = next(lines, None)
        if line is None:
            raise EOFError
        return line

    monkeypatch.setattr(chatting, "terminal_line", ask)
    monkeypatch.setattr(inference, "_is_terminal", lambda: True)
    result = CliRunner().invoke(inference.main, ["a.yml", *GREEDY])
    assert result.exit_code == 0, result.stderr
    assert result.stdout == expected(config) + expected(config, "Is that so?")
    assert "in the format alpaca" in result.stderr


@pytest.mark.slow
def test_as_a_program(config: dict[str, Any]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "axolotl.cli.inference", "a.yml", *GREEDY],
        input="Name three colours.",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected(config)
    assert "Traceback" not in done.stderr
