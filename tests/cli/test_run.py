"""What commands share: arguments, findings, exit codes, the log of a bug."""

from __future__ import annotations

import errno
import importlib
import re
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from axolotl.cli import _exit
from axolotl.cli._run import config_command
from axolotl.cli.main import command_names
from axolotl.errors import DataError
from axolotl.resolve import Resolved

GOOD = "base_model: m\ndatasets:\n  - path: d.jsonl\n    type: alpaca\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("f.yml").write_text(GOOD)


def run(body: Any, *arguments: str, **settings: Any) -> Result:
    return CliRunner().invoke(config_command("try", **settings)(body), arguments)


def failing(error: BaseException) -> Any:
    def main(resolved: Resolved) -> None:
        raise error

    return main


def test_the_function_gets_the_configuration_and_its_own_options() -> None:
    seen: list[Any] = []

    @click.option("--many", type=int, default=1)
    def main(resolved: Resolved, many: int) -> None:
        """Help text."""
        seen.append((resolved.adapter.lora_r, resolved.origin("lora_r"), many))

    command = config_command("try")(main)
    result = CliRunner().invoke(command, ["--lora_r", "4", "f.yml", "--many=3"])
    assert result.exit_code == 0, result.stderr
    assert seen == [(4, "--lora_r", 3)]
    help_text = CliRunner().invoke(command, ["--help"]).stdout
    assert "Help text." in help_text
    assert "CONFIG [--KEY VALUE]..." in help_text
    for word in ("http(s)", "`-` for standard input", "`examples`", "`--allow_unknown`"):
        assert word in " ".join(help_text.split())


def test_findings_go_to_standard_error_and_only_from_the_first_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def main(resolved: Resolved) -> None:
        click.echo("result")

    result = run(main, "f.yml", "--trust_remote_code")
    assert result.stdout == "result\n"
    assert result.stderr.startswith("--trust_remote_code: warning: trust_remote_code: Python code")
    assert "\n  hint: read it first" in result.stderr
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert run(main, "f.yml", "--trust_remote_code").stderr == ""


def test_a_mistake_of_the_user_ends_with_2_and_one_message() -> None:
    result = run(failing(DataError("empty", where="d.jsonl row 3", hint="fill it")), "f.yml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "d.jsonl row 3: empty\n  hint: fill it\n"
    assert run(failing(DataError("empty")), "f.yml").stderr == "error: empty\n"


def test_a_wrong_configuration_does_not_reach_the_function() -> None:
    result = run(failing(AssertionError("reached")), "f.yml", "--lora_rank=3")
    assert result.exit_code == 2
    assert "did you mean 'lora_r'?" in result.stderr


def test_unknown_keys_can_be_allowed() -> None:
    def main(resolved: Resolved) -> None:
        click.echo(f"ran with {resolved.adapter.lora_r}")

    for typed in (("--allow_unknown", "f.yml"), ("f.yml", "--allow-unknown")):
        result = run(main, *typed, "--lora_rr", "3")
        assert (result.exit_code, result.stdout) == (0, "ran with 8\n")
        assert "--lora_rr: warning: unknown key 'lora_rr'\n  hint: did you mean" in result.stderr


def test_the_file_may_come_from_standard_input() -> None:
    def main(resolved: Resolved) -> None:
        click.echo(resolved.origin("base_model"))

    command = config_command("try")(main)
    assert CliRunner().invoke(command, ["-"], input=GOOD).stdout == "<stdin>:1\n"


def test_without_a_file_there_is_one_message() -> None:
    result = run(failing(AssertionError("reached")))
    assert (result.exit_code, result.stderr) == (
        2,
        "error: no configuration file is named\n  hint: there are: f.yml\n",
    )


def test_what_the_machine_lacks_stops_only_what_trains() -> None:
    def main(resolved: Resolved) -> None:
        click.echo("ran")

    assert run(main, "f.yml", "--fp16").stdout == "ran\n"
    assert run(main, "f.yml", "--fp16", purpose="train").exit_code == 2


def test_preparing_data_is_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a GPU may prepare the data for one that has it."""
    from axolotl import api
    from axolotl.cli.train import main

    def prepare(config: object) -> None:
        raise DataError("got this far")

    monkeypatch.setattr(api, "prepare", prepare)
    only_prepare = CliRunner().invoke(main, ["f.yml", "--fp16", "--prepare_ds_only"])
    assert only_prepare.stderr.startswith("--fp16: warning: fp16")
    assert "got this far" in only_prepare.stderr
    assert CliRunner().invoke(main, ["f.yml", "--fp16"]).stderr.startswith("--fp16: fp16: there")


def test_a_bug_ends_with_1_and_its_traceback_is_in_a_file() -> None:
    result = run(failing(KeyError("lost")), "f.yml")
    assert (result.exit_code, result.stdout) == (1, "")
    first, second = result.stderr.splitlines()
    assert first == "KeyError: 'lost'"
    log = Path(second.partition(" is in ")[2])
    assert log.parent == Path("cache/axolotl/logs").resolve()
    text = log.read_text()
    assert "Traceback (most recent call last)" in text
    assert "KeyError: 'lost'" in text


def test_where_no_log_can_be_written_the_traceback_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("cache").write_text("a file")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(Path("cache").resolve()))
    result = run(failing(KeyError("lost")), "f.yml")
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr


def test_an_interruption_ends_with_130() -> None:
    result = run(failing(KeyboardInterrupt()), "f.yml")
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "not enough memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), "not enough memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            "not enough memory",
        ),
        (OSError(errno.ENOSPC, "No space left", "runs/a"), "runs/a: no space left on the disk"),
        (PermissionError(errno.EACCES, "Permission denied", "runs/a"), "runs/a: not permitted"),
    ],
)
def test_a_fault_of_the_machine_ends_with_2(error: Exception, said: str) -> None:
    result = run(failing(error), "f.yml")
    assert result.exit_code == 2
    assert said in result.stderr
    assert "hint: " in result.stderr


@pytest.mark.parametrize("command", ["inference", "serve"])
def test_out_of_memory_while_asking_is_not_mended_by_options_of_a_training(command: str) -> None:
    fault = _exit.as_fault(MemoryError(), command)
    assert fault is not None
    assert fault.hint is not None
    declared = importlib.import_module(f"axolotl.cli.{command}").main
    known = {name for option in declared.params for name in option.opts}
    named = set(re.findall(r"--\w+", fault.hint))
    assert {"--batch_prompts", "--max_batch"} & named & known
    assert named <= known | {"--load_in_8bit", "--load_in_4bit"}
    assert "micro_batch_size" not in fault.hint
    result = CliRunner().invoke(config_command(command)(failing(MemoryError())), ["f.yml"])
    assert fault.hint in " ".join(result.stderr.split())


def test_every_command_with_a_hint_of_its_own_is_one() -> None:
    assert set(_exit._LESS) <= set(command_names())  # pyright: ignore[reportPrivateUsage]


def test_other_errors_of_the_system_are_bugs() -> None:
    assert _exit.as_fault(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None
    assert _exit.as_fault(RuntimeError("shapes do not match")) is None


def test_colours_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    from axolotl.cli._say import paint

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert paint("x", fg="red") != "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("x", fg="red") == "x"
