"""`axolotl inference`: the answer on standard output, everything else beside it."""

from __future__ import annotations

import json
import os
import re
import shutil
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
from axolotl.config.load import load_arguments
from axolotl.inference import chat as chatting
from axolotl.inference.opening import open_generator
from tests.artifacts.made import random_adapter

GREEDY = ["--temperature", "0", "--max_new_tokens", "8"]


@pytest.fixture
def config(
    tmp_path: Path, tiny_model: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """A finished LoRA run, and its file `a.yml` in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AXOLOTL_API_KEY", raising=False)
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


def test_an_answer_that_fills_the_model_says_so(config: dict[str, Any]) -> None:
    positions = open_generator(api.resolved(config)).positions
    assert positions is not None
    asked = ["--temperature", "0", "--max_new_tokens", str(10 * positions), "--prompter", "none"]
    result = run(*asked, text="x " * (positions // 3))
    assert result.exit_code == 0, result.stderr
    filled = f"prompt and answer fill the model's {positions} positions"
    assert re.search(rf"\(cut after \d+ tokens?: {filled}\)", result.stderr), result.stderr
    assert "allows more" not in result.stderr
    rows = [{"prompt": "x " * (positions // 3)}, {"prompt": "x"}]
    Path("p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked[3] = str(positions - 4)
    result = run(*asked, "--prompts", "p.jsonl", "--out", "a.jsonl", text="")
    assert result.exit_code == 0, result.stderr
    assert f"(1 cut where {filled})" in result.stderr
    assert f"(1 cut after {positions - 4} tokens; --max_new_tokens allows more)" in result.stderr


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


def test_in_a_terminal_a_conversation_goes_on(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = iter(["Name three colours.", "/set max_new_tokens 3", "Is that so?"])

    def ask() -> str:
        line = next(lines, None)
        if line is None:
            raise EOFError
        return line

    monkeypatch.setattr(chatting, "terminal_line", ask)
    monkeypatch.setattr(inference, "_is_terminal", lambda: True)
    result = CliRunner().invoke(inference.main, ["a.yml", *GREEDY, "--prompter", "sharegpt"])
    assert result.exit_code == 0, result.stderr
    how: dict[str, Any] = {"temperature": 0, "prompter": "sharegpt"}
    question = {"role": "user", "content": "Name three colours."}
    first = api.generate(config, [[question]], max_new_tokens=8, **how)[0]
    talk = [
        question,
        {"role": "assistant", "content": first},
        {"role": "user", "content": "Is that so?"},
    ]
    second = api.generate(config, [talk], max_new_tokens=3, **how)[0]
    assert second != api.generate(config, [talk[2:]], max_new_tokens=3, **how)[0]
    assert result.stdout == f"{first}\n{second}\n"
    assert "each by itself" not in result.stderr


def test_a_file_of_prompts_is_answered_and_gone_on_with(config: dict[str, Any]) -> None:
    rows = [{"prompt": "Name three colours."}, {"instruction": "Is that so?"}]
    Path("p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = [*GREEDY, "--prompts", "p.jsonl", "--out", "a.jsonl", "--batch_prompts", "2"]
    result = run(*arguments, text="")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    answers = [json.loads(line) for line in Path("a.jsonl").read_text("utf-8").splitlines()]
    assert [line["answer"] + "\n" for line in answers] == [
        expected(config),
        expected(config, "Is that so?"),
    ]
    assert "2 answers written to a.jsonl" in result.stderr
    with Path("p.jsonl").open("a") as more:
        more.write('{"question": "x"}\n{"prompt": "x"}\n')
    again = run(*arguments, text="")
    assert again.exit_code == 2
    assert "2 of 4 rows are answered already in a.jsonl" in again.stderr
    assert "row 3: no 'prompt' and no 'messages'" in again.stderr
    assert "p.jsonl: 1 of 4 rows could not be answered (row 3)" in again.stderr
    assert len(Path("a.jsonl").read_text("utf-8").splitlines()) == 4
    third = run(*arguments, text="")
    assert third.exit_code == 2, "a script that tries again is not told that all went well"
    known = "3 of 4 rows are answered already in a.jsonl, and 1 ended with an error (row 3)"
    assert known in third.stderr
    assert "0 answers written" in third.stderr
    assert "p.jsonl: 1 of 4 rows could not be answered (row 3)" in third.stderr


def test_a_model_that_was_trained_anew_adds_no_answers(config: dict[str, Any]) -> None:
    Path("p.jsonl").write_text('{"prompt": "x"}\n')
    arguments = [*GREEDY, "--prompts", "p.jsonl", "--out", "a.jsonl"]
    record = {"format": {"type": "alpaca"}, "finished": "2024-05-01T10:00:00+00:00"}
    Path("out/run.json").write_text(json.dumps(record))
    assert run(*arguments, text="").exit_code == 0
    assert run(*arguments, text="").exit_code == 0
    Path("out/run.json").write_text(json.dumps(record | {"finished": "2024-05-01T11:00:00+00:00"}))
    again = run(*arguments, text="")
    assert again.exit_code == 2
    assert "weights was 'trained 2024-05-01T10:00:00+00:00, on" in again.stderr
    Path("out/run.json").write_text('{"format": {"type": "alpaca"}}')
    there = [*arguments[:-1], "b.jsonl"]
    assert run(*there, text="").exit_code == 0
    assert run(*there, text="").exit_code == 0
    os.utime("out/adapter_model.safetensors", ns=(0, 0))
    assert "weights was 'files" in run(*there, text="").stderr


OWN = [{"no_input_format": f"{word}: {{instruction}}"} for word in ("Q", "Frage")]
TALK = {"path": "rows.jsonl", "type": "chat_template"}


@pytest.mark.parametrize(
    ("then", "now", "problem"),
    [
        ({"chat_template": "chatml"}, {"chat_template": "llama3"}, "wording was '"),
        ({}, {"chat_template_kwargs": {"a": 1}}, "wording was '"),
        (
            {"datasets": [{"path": "rows.jsonl", "type": OWN[0]}]},
            {"datasets": [{"path": "rows.jsonl", "type": OWN[1]}]},
            "wording was '",
        ),
        ({"bf16": False}, {"bf16": True}, "held as float32' and is "),
    ],
    ids=["template", "variables", "own", "dtype"],
)
def test_answers_asked_or_computed_otherwise_are_not_gone_on_with(
    config: dict[str, Any], then: dict[str, Any], now: dict[str, Any], problem: str
) -> None:
    Path("p.jsonl").write_text('{"prompt": "x"}\n')
    plain = config | {"datasets": [TALK], "chat_template": "chatml"}
    arguments = [*GREEDY, "--base", "--prompts", "p.jsonl", "--out", "a.jsonl"]
    for _ in range(2):
        Path("a.yml").write_text(yaml.safe_dump(plain | then))
        assert run(*arguments, text="").exit_code == 0, "the same file is gone on with"
    Path("a.yml").write_text(yaml.safe_dump(plain | now))
    again = run(*arguments, text="")
    assert again.exit_code == 2
    assert problem in again.stderr


def test_a_model_of_which_the_format_is_not_known_is_said_to_be_asked_as_in_the_file(
    config: dict[str, Any],
) -> None:
    unknown = "in which format 'out' was trained is not known: questions are asked as the file says"
    assert unknown not in run(*GREEDY).stderr
    Path("out/run.json").unlink()
    assert unknown in run(*GREEDY).stderr
    assert unknown not in run(*GREEDY, "--prompter", "alpaca").stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--prompts", "p.jsonl"], "--prompts and --out go together"),
        (["--prompts", "p.jsonl", "--out", "a.jsonl"], "no file 'p.jsonl'"),
        (["--batch_prompts", "2"], "--batch_prompts goes with --prompts"),
        (["--web", "--prompts", "p.jsonl", "--out", "a.jsonl"], "exclude each other"),
        (["--host", "0.0.0.0"], "--host, --port and --without_key go with --web"),
        (["--without_key"], "--host, --port and --without_key go with --web"),
        (["--web", "--host", "0.0.0.0"], "Set AXOLOTL_API_KEY, or say --without_key"),
        (["--web", "--host", "no-such-host"], "there is no address 'no-such-host'"),
        (["--top_p", "7"], "top_p must be above 0 and at most 1, not 7.0"),
        (["--stop", ""], "stop must be texts that are not empty"),
        (["--max_new_tokens", "0"], "max_new_tokens must be at least 1"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_is_loaded(
    config: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    problem: str,
) -> None:
    from axolotl.inference import opening

    monkeypatch.setattr(opening, "open_generator", lambda *_, **__: pytest.fail("loaded"))
    result = run(*arguments)
    assert result.exit_code == 2
    assert problem in result.stderr


def test_without_gradio_the_extra_is_named_before_anything_is_loaded(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from axolotl.inference import opening

    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setattr(opening, "open_generator", lambda *_, **__: pytest.fail("loaded"))
    result = run("--web")
    assert result.exit_code == 2
    assert "--web needs the package 'gradio'" in result.stderr
    assert "pip install 'axolotl[web]'" in result.stderr


def test_the_page_is_for_this_machine_or_asks_for_a_password_unless_told(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gradio", reason="pip install 'axolotl[web]'")
    from axolotl.inference import web

    served: list[dict[str, Any]] = []

    class Nothing:
        def block_thread(self) -> None:
            pass

    def serve(page: Any, **where: Any) -> str:
        served.append(where)
        return "http://here/"

    monkeypatch.setattr(web, "build_page", lambda *_, **__: Nothing())
    monkeypatch.setattr(web, "serve_page", serve)
    assert "The page is at http://here/" in run("--web").stderr
    everywhere = ["--web", "--host", "0.0.0.0", "--port", "7999"]
    assert run(*everywhere, "--without_key").exit_code == 0
    monkeypatch.setenv("AXOLOTL_API_KEY", "söcret")
    said = run(*everywhere).stderr
    assert "a name and a password: axolotl, and what AXOLOTL_API_KEY holds" in said
    assert "söcret" not in said
    assert served == [
        {"host": "127.0.0.1", "port": None, "password": None},
        {"host": "0.0.0.0", "port": 7999, "password": None},
        {"host": "0.0.0.0", "port": 7999, "password": "söcret"},
    ]


def test_the_page_compares_a_named_model_with_nothing(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gradio", reason="pip install 'axolotl[web]'")
    from axolotl.inference import web

    compares: list[bool] = []

    class Nothing:
        def block_thread(self) -> None:
            pass

    def build(answerer: Any, **_: Any) -> Nothing:
        compares.append(answerer.compares)
        return Nothing()

    monkeypatch.setattr(web, "build_page", build)
    monkeypatch.setattr(web, "serve_page", lambda *_, **__: "http://here/")
    api.merge(config)
    shutil.copytree(config["base_model"], "moved")
    for arguments in (
        ["--merged"],
        ["--base_model", "moved"],
        ["--base_model", "out/merged"],
        ["--base"],
    ):
        assert run("--web", *arguments).exit_code == 0
    assert compares == [True, True, False, False]


def test_a_stop_text_and_min_p_reach_the_answer(config: dict[str, Any]) -> None:
    usual = expected(config).removesuffix("\n")
    assert run(*GREEDY, "--stop", "nowhere", "--stop", usual[3]).stdout == (
        usual[: usual.index(usual[3])] + "\n"
    )
    drawn = ["--temperature", "3", "--top_k", "0", "--top_p", "1", "--repetition_penalty", "1"]
    assert run(*GREEDY, *drawn, "--min_p", "0.99999").stdout == usual + "\n"
    assert run(*GREEDY, *drawn).stdout != usual + "\n"


class TestTheCommandsOfTheReadme:
    """`--lora_model_dir`, `--base_model`, `--prompter=None`, `--load_in_8bit`, `--load_in_4bit`."""

    def test_an_adapter_elsewhere(self, config: dict[str, Any]) -> None:
        usual = expected(config)
        Path("out").rename("lora-output-dir")
        assert run(*GREEDY, "--lora_model_dir=./lora-output-dir").stdout == usual

    def test_a_completed_model(self, config: dict[str, Any]) -> None:
        usual = expected(config)
        api.merge(config)
        Path("out/merged").rename("completed-model")
        Path("out").rename("gone")
        result = run(*GREEDY, "--base_model=./completed-model")
        assert result.exit_code == 0, result.stderr
        assert result.stdout == usual, "by itself, though the file has an adapter"
        full = {key: value for key, value in config.items() if key != "adapter"}
        Path("a.yml").write_text(yaml.safe_dump(full))
        assert run(*GREEDY, "--base_model=./completed-model").stdout == usual
        assert run(*GREEDY).exit_code == 2, "without it, what was trained is looked for"

    def test_a_merged_model_that_is_not_made_yet(self, config: dict[str, Any]) -> None:
        hint = "'out' holds an adapter: `axolotl merge-lora CONFIG` makes 'out/merged' of it"
        named = run(*GREEDY, "--base_model=./out/merged")
        assert named.exit_code == 2
        assert "--base_model: no folder './out/merged'" in named.stderr
        assert hint in named.stderr
        flag = run(*GREEDY, "--merged")
        assert flag.exit_code == 2
        assert "--merged: no trained model in 'out/merged'" in flag.stderr
        assert hint in flag.stderr
        other = run(*GREEDY, "--base_model=./nowhere")
        assert "--base_model: no folder './nowhere'" in other.stderr
        assert "merge-lora" not in other.stderr

    def test_another_place_of_the_base_model(self, config: dict[str, Any], tmp_path: Path) -> None:
        usual = expected(config)
        shutil.copytree(config["base_model"], "moved")
        result = run(*GREEDY, "--base_model", "moved")
        assert result.stdout == usual, result.stderr

    @pytest.mark.parametrize("name", ["None", "none", ""])
    def test_no_prompter(self, config: dict[str, Any], name: str) -> None:
        plain = expected(config, prompter="none")
        assert plain != expected(config)
        assert run(*GREEDY, f"--prompter={name}").stdout == plain

    @pytest.mark.parametrize("bits", ["8", "4"])
    def test_fewer_bits(self, config: dict[str, Any], bits: str) -> None:
        pytest.importorskip("bitsandbytes", reason="pip install 'axolotl[bnb]'")
        api.merge(config)
        flag = f"--load_in_{bits}bit=True"
        arguments = [*GREEDY, "--prompter=None", flag]
        adapted = run(*arguments)
        assert adapted.exit_code == 0, adapted.stderr
        whole = run(*arguments, "--base_model=out/merged")
        assert whole.exit_code == 0, whole.stderr
        assert len(whole.stdout) > 3
        for more in ([], ["--base_model=out/merged"]):
            settings = load_arguments(("a.yml", flag, *more))
            model = open_generator(api.resolved(settings))._model  # pyright: ignore[reportPrivateUsage]
            kinds = {type(module).__name__ for module in model.modules()}
            assert kinds & {"Linear8bitLt", "Linear4bit"}, more


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
