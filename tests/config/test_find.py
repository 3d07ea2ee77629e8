"""From what was typed to the one file that is meant, and its text."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from axolotl.config.find import LARGEST_BYTES, find_source, read_source
from axolotl.config.load import load_arguments, load_config
from axolotl.errors import AxolotlError, ConfigErrors

SMALL = "base_model: m\ndatasets:\n  - path: d.jsonl\n    type: alpaca\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    Path("f.yml").write_text(SMALL)


def problems(source: Any) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load_config(source)
    return [str(problem) for problem in caught.value.problems]


def command_problem(*arguments: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        load_arguments(arguments)
    (problem,) = caught.value.problems
    return str(problem)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sit at a terminal and type."""

    def type_in(text: str) -> Terminal:
        monkeypatch.setattr(sys, "stdin", Terminal(text))
        shown = Terminal()
        monkeypatch.setattr(sys, "stderr", shown)
        return shown

    return type_in


def test_a_missing_file_names_the_nearest_one() -> None:
    Path("other.yaml").write_text(SMALL)
    assert problems("ff.yml") == ["ff.yml: no such file\n  hint: did you mean 'f.yml'?"]
    assert "there are: f.yml, other.yaml" in problems("nothing-like-it.yml")[0]
    assert "there is no folder 'no/folder'" in problems("no/folder/f.yml")[0]


def test_what_cannot_be_a_path_is_no_such_file() -> None:
    for named in ("x" * 5000, "a\0b", "~no-such-user/f.yml", "f.yml/g.yml"):
        assert ": no such file" in problems(named)[0]


def test_a_folder_stands_for_its_only_file() -> None:
    assert load_config(".").origin("base_model") == "f.yml:1"
    Path("g.yaml").write_text(SMALL)
    Path(".hidden.yml").write_text(SMALL)
    Path("notes.txt").write_text("")
    assert problems(".") == [
        ".: this folder has 2 configuration files\n  hint: name one of: f.yml, g.yaml"
    ]
    assert command_problem(".").startswith(".: this folder has 2 configuration files")


def test_a_folder_without_a_file_is_an_error_whatever_its_name() -> None:
    for name in ("empty", "empty.yml"):
        Path(name).mkdir()
        assert problems(name) == [f"{name}: no .yml file in this folder"]


def test_at_a_terminal_the_user_chooses(terminal: Any) -> None:
    Path("g.yaml").write_text(SMALL)
    shown = terminal("x\n0\n3\n²\n\n2\n")
    assert load_arguments(["."]).origin("base_model") == "g.yaml:1"
    assert shown.getvalue() == (
        ". has several configuration files:\n   1  f.yml\n   2  g.yaml\n" + 6 * "number (1 to 2): "
    )


def test_nobody_is_asked_from_python_or_in_one_of_several_processes(
    terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("g.yaml").write_text(SMALL)
    shown = terminal("1\n")
    assert "has 2 configuration files" in problems(".")[0]
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert "has 2 configuration files" in command_problem(".")
    assert shown.getvalue() == ""


def test_who_does_not_answer_gets_the_list(terminal: Any) -> None:
    Path("g.yaml").write_text(SMALL)
    terminal("")
    assert "name one of: f.yml, g.yaml" in command_problem(".")


def test_without_a_name_the_examples_are_meant(terminal: Any) -> None:
    assert command_problem() == ("no configuration file is named\n  hint: there are: f.yml")
    Path("examples/deeper").mkdir(parents=True)
    Path("examples/deeper/a.yml").write_text(SMALL)
    assert command_problem().startswith("no configuration file is named")
    Path("examples/a.yml").write_text(SMALL)
    assert load_arguments(["--seed", "3"]).origin("base_model") == "examples/a.yml:1"
    Path("examples/b.yml").write_text(SMALL)
    assert command_problem().startswith("examples: this folder has 2 configuration files")
    terminal("2\n")
    assert load_arguments([]).origin("base_model") == "examples/b.yml:1"


def test_standard_input_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    send(f"base: base.yml\n{SMALL}".encode())
    Path("base.yml").write_text("lora_r: 4\n")
    config = load_arguments(["-", "--seed=3"])
    assert (config.origin("base_model"), config.adapter.lora_r) == ("<stdin>:2", 4)
    send(b"a: [")
    assert command_problem("-").startswith("<stdin>:1: not valid YAML")
    send(b"")
    assert command_problem("-").startswith("<stdin>: the file is empty")
    send(b"#" * (LARGEST_BYTES + 9))
    assert command_problem("-") == "<stdin>: more than 4.0 MB is too large for a configuration"
    monkeypatch.setattr(sys, "stdin", None)
    assert command_problem("-").startswith("<stdin>: the file is empty")


def test_special_files_are_refused_and_not_waited_for() -> None:
    os.mkfifo("fifo.yml")
    for named in ("fifo.yml", "/dev/zero", "/dev/null"):
        (problem,) = problems(named)
        assert problem.startswith(f"{named}: this is no ordinary file\n  hint: name a file, or")


def test_a_link_that_leads_nowhere_or_in_a_circle_is_no_file() -> None:
    Path("f.yml").rename("r.yml")
    Path("dead.yml").symlink_to("nowhere")
    Path("round.yml").symlink_to("round.yml")
    for named in ("dead.yml", "round.yml"):
        assert problems(named) == [f"{named}: no such file\n  hint: there are: r.yml"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"base_model: m\nname: caf\xe9\n", "f.yml:2: byte 0xe9 is not UTF-8 text"),
        (SMALL.encode("utf-16"), "f.yml: this is UTF-16 text, not UTF-8"),
        (b"\xfe\xff" + SMALL.encode("utf-16-be"), "f.yml: this is UTF-16 text, not UTF-8"),
    ],
)
def test_another_encoding_is_named(content: bytes, message: str) -> None:
    Path("f.yml").write_bytes(content)
    assert problems("f.yml") == [f"{message}\n  hint: save the file as UTF-8"]


def test_a_byte_order_mark_and_line_ends_of_windows_do_not_matter() -> None:
    Path("f.yml").write_bytes(b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode())
    config = load_config("f.yml")
    assert (config.model.base_model, config.origin("datasets.0.type")) == ("m", "f.yml:4")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read() -> None:
    Path("f.yml").chmod(0)
    with pytest.raises(AxolotlError, match="cannot be read"):
        load_config("f.yml")


def test_what_the_system_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(AxolotlError, match=r"f\.yml: cannot be read: Input/output error"):
        read_source(find_source("f.yml"))


def test_a_huge_file_is_refused_without_being_read() -> None:
    with Path("f.yml").open("wb") as stream:
        stream.truncate(2**33)
    assert problems("f.yml")[0].startswith("f.yml: 8.59 GB is too large for a configuration")


def test_reading_a_file_needs_no_network_modules() -> None:
    code = (
        "import sys; from axolotl.config import load_config; load_config('f.yml');"
        "print([m for m in ('http.client', 'urllib.request', 'difflib') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
