"""The group of commands: found by listing the folder, loaded only when run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import axolotl
from axolotl.cli.main import command_names, main

FOLDER = Path(axolotl.__file__).parent / "cli"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_the_commands_are_the_files_of_the_folder() -> None:
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "main"}
    expected = sorted(name.replace("_", "-") for name in files if name[0] != "_")
    assert command_names() == expected
    assert "check" in expected


def test_help_lists_every_command_with_its_first_line() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name in command_names():
        assert f"  {name} " in result.stdout
    assert "Validate a configuration and show" in result.stdout


@pytest.mark.parametrize("name", command_names())
def test_every_command_is_a_command_of_its_name_with_help(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"Usage: main {name} ")


def test_an_underscore_may_stand_for_a_hyphen(monkeypatch: pytest.MonkeyPatch) -> None:
    import click

    from axolotl.cli import main as module

    monkeypatch.setattr(module, "command_names", lambda: ["two-words"])
    command = click.Command("two-words", callback=lambda: click.echo("here"))
    imported: list[str] = []

    def load(name: str) -> object:
        imported.append(name)
        return type("Module", (), {"main": command})

    monkeypatch.setattr(module.importlib, "import_module", load)
    for typed in ("two-words", "two_words"):
        assert run(typed).stdout == "here\n"
    assert imported == ["axolotl.cli.two_words"] * 2


def test_an_unknown_command_names_the_nearest(tmp_path: Path) -> None:
    result = run("chek", "f.yml")
    assert result.exit_code == 2
    assert "no command 'chek'. Did you mean 'check'?" in result.stderr
    file = tmp_path / "f.yml"
    file.touch()
    assert f"Did you mean 'axolotl train {file}'?" in run(str(file)).stderr
    assert "There are: check" in run("xyzzy").stderr


def test_the_version_is_told() -> None:
    assert run("--version").stdout.strip() == f"axolotl, version {axolotl.__version__}"


@pytest.mark.parametrize("arguments", [["--help"], ["check", "--help"], ["--version"]])
def test_help_loads_neither_models_nor_the_schema(arguments: list[str]) -> None:
    heavy = ["torch", "transformers", "datasets", "numpy", "pydantic", "yaml", "rich"]
    code = (
        f"import sys; sys.argv = ['axolotl', *{arguments}]\n"
        "from axolotl.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print('loaded:', *[m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1].strip() == "loaded:", done.stderr
