"""Prompts come from a list or from the lines of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from axolotl.errors import DataError
from axolotl.training.eval_extras import read_prompts


def test_prompts_of_a_list_and_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("\ufeffWho are you?\n\n  Zwölf?  \r\nlast", "utf-8")
    assert read_prompts(str(file)) == ["Who are you?", "Zwölf?", "last"]
    assert read_prompts(["a\nb", "c"]) == ["a\nb", "c"]
    assert read_prompts(None) == []


@pytest.mark.parametrize("content", [None, b"\n \n", b"\xff\xfe\x00"])
def test_a_file_without_prompts_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "prompts.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match="prompts") as caught:
        read_prompts(str(file))
    assert caught.value.where == "eval_sample_prompts"
    assert "one prompt in each line" in str(caught.value.hint)
