"""`axolotl migrate`: the new text, what became of each key, and where both go."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from axolotl.cli.migrate import main

OLD = (
    "# mine\nbase_model: m\ndatasets:\n  - path: d.jsonl\n    type: alpaca\n"
    "batch_size: 8  # all\nmicro_batch_size: 2\ndevice_map: auto\n\ngptq_groupsize:\n"
)
NEW = (
    "# mine\nbase_model: m\ndatasets:\n  - path: d.jsonl\n    type: alpaca\n"
    "gradient_accumulation_steps: 4  # all\nmicro_batch_size: 2\n\ngptq_groupsize:\n"
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.yml").write_bytes(OLD.encode())


def migrate(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=text)


def document(*arguments: str) -> tuple[dict[str, Any], int]:
    result = migrate(*arguments, "--json")
    return json.loads(result.stdout), result.exit_code


def test_the_text_goes_to_standard_output_and_the_report_to_standard_error() -> None:
    result = migrate("old.yml")
    assert (result.stdout, result.exit_code) == (NEW, 0)
    lines = [line.split() for line in result.stderr.splitlines()]
    assert lines[0] == ["old.yml"]
    assert lines[1][:5] == ["6", "batch_size", "changed", "→", "gradient_accumulation_steps:"]
    assert lines[2][:4] == ["8", "device_map", "without", "effect"]
    assert result.stderr.splitlines()[-1] == "5 kept, 1 changed, 1 without effect"
    assert "micro_batch_size  kept" not in result.stderr
    assert Path("old.yml").read_text() == OLD


def test_with_verbose_every_key_is_listed() -> None:
    assert "micro_batch_size  kept" in migrate("old.yml", "--verbose").stderr


def test_with_output_the_text_goes_there_and_the_report_to_standard_output() -> None:
    result = migrate("old.yml", "-o", "new.yml")
    assert (result.stderr, result.exit_code) == ("", 0)
    assert "old.yml → new.yml" in result.stdout
    assert Path("new.yml").read_text() == NEW
    assert sorted(p.name for p in Path().iterdir()) == ["new.yml", "old.yml"]


def test_a_file_may_be_changed_in_place_under_any_of_its_names() -> None:
    Path("link.yml").symlink_to("old.yml")
    assert migrate("old.yml", "-o", "link.yml").exit_code == 0
    assert Path("old.yml").read_text() == NEW
    assert Path("link.yml").is_symlink()
    again = migrate("old.yml", "-o", "./old.yml")
    assert again.stdout == "nothing to change: 6 kept\n"


def test_another_file_is_overwritten_only_if_that_is_asked_for() -> None:
    Path("new.yml").write_text("mine")
    result = migrate("old.yml", "-o", "new.yml")
    assert result.exit_code == 2
    assert "new.yml: there is a file of this name" in result.stderr
    assert "--force" in result.stderr
    assert Path("new.yml").read_text() == "mine"
    assert migrate("old.yml", "-o", "new.yml", "--force").exit_code == 0
    assert Path("new.yml").read_text() == NEW


def test_a_folder_is_no_place_for_the_text() -> None:
    result = migrate("old.yml", "-o", ".")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "this is a folder" in result.stderr


def test_what_is_refused_ends_with_2_and_the_text_is_written_all_the_same() -> None:
    Path("old.yml").write_text(OLD + "lora_rr: 3\n")
    result = migrate("old.yml", "-o", "old.yml")
    assert result.exit_code == 2
    assert Path("old.yml").read_text() == NEW + "lora_rr: 3\n"
    assert "refused" in result.stdout
    assert "hint: did you mean 'lora_r'?" in result.stdout
    assert result.stdout.splitlines()[-1].endswith("1 refused")


def test_what_remains_to_be_looked_at_is_told_once() -> None:
    Path("old.yml").write_text(OLD + "trust_remote_code: true\ndeepspeed: a-zero-2.json\n")
    report = migrate("old.yml").stderr
    assert "to be looked at\n  old.yml:11: warning: trust_remote_code" in report
    assert report.count("a-zero-2.json") + report.count("deepspeed is known") == 1


def test_the_document_has_the_text_and_every_key() -> None:
    Path("old.yml").write_text(OLD + "lora_rr: 3\n")
    found, code = document("old.yml")
    assert code == 2
    assert set(found) == {"ok", "text", "changed", "keys", "findings"}
    assert (found["ok"], found["changed"]) == (False, True)
    assert found["text"] == NEW + "lora_rr: 3\n"
    assert [(k["key"], k["line"], k["status"], k["new"]) for k in found["keys"]] == [
        ("base_model", 2, "kept", ""),
        ("datasets.0.path", 4, "kept", ""),
        ("datasets.0.type", 5, "kept", ""),
        ("batch_size", 6, "changed", "gradient_accumulation_steps: 4"),
        ("micro_batch_size", 7, "kept", ""),
        ("device_map", 8, "without effect", ""),
        ("gptq_groupsize", 10, "kept", ""),
        ("lora_rr", 11, "refused", ""),
    ]
    assert set(found["keys"][0]) == {"key", "line", "status", "new", "why", "hint"}
    (finding,) = found["findings"]
    assert set(finding) == {"level", "rule", "key", "where", "message", "hint"}
    assert finding["where"] == "old.yml:11"


def test_the_document_and_the_file_may_both_be_asked_for() -> None:
    found, code = document("old.yml", "-o", "new.yml")
    assert (found["text"], code) == (Path("new.yml").read_text(), 0)


def test_standard_input_is_read() -> None:
    result = migrate("-", text=OLD)
    assert (result.stdout, result.exit_code) == (NEW, 0)


def test_line_ends_and_a_mark_at_the_beginning_stay() -> None:
    Path("old.yml").write_bytes(b"\xef\xbb\xbf" + OLD.replace("\n", "\r\n").encode())
    expected = b"\xef\xbb\xbf" + NEW.replace("\n", "\r\n").encode()
    assert migrate("old.yml").stdout_bytes == expected
    migrate("old.yml", "-o", "new.yml")
    assert Path("new.yml").read_bytes() == expected


def test_what_is_no_yaml_is_an_error_and_nothing_is_written() -> None:
    Path("old.yml").write_text("a: [1\n")
    result = migrate("old.yml", "-o", "new.yml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("old.yml:1: not valid YAML")
    assert not Path("new.yml").exists()


def test_a_file_that_is_not_there_is_an_error_of_the_document_too() -> None:
    result = migrate("nothing.yml")
    assert (result.exit_code, result.stderr.partition(":")[0]) == (2, "nothing.yml")
    found, code = document("nothing.yml")
    assert (found["ok"], found["text"], found["changed"], found["keys"], code) == (
        False,
        None,
        False,
        [],
        2,
    )
    assert [f["message"] for f in found["findings"]] == ["no such file"]


def test_it_takes_no_overrides() -> None:
    assert migrate("old.yml", "--seed", "3").exit_code == 2


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from axolotl.cli.migrate import main; "
        "main(['old.yml', '-o', 'new.yml'], standalone_mode=False); "
        "print([m for m in ('torch', 'transformers', 'rich', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
