"""Which template is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from axolotl.errors import ConfigError
from axolotl.templates.choice import chosen_template
from axolotl.templates.named import named_template


@pytest.mark.parametrize(
    ("name", "jinja", "own", "wanted"),
    [
        (None, None, "OWN", "OWN"),
        ("tokenizer_default", None, "OWN", "OWN"),
        ("tokenizer_default_fallback_chatml", None, "OWN", "OWN"),
        ("tokenizer_default_fallback_chatml", None, None, named_template("chatml")),
        ("llama3", None, "OWN", named_template("llama3")),
        ("jinja", "{{ mine }}", "OWN", "{{ mine }}"),
        (None, "{{ mine }}", "OWN", "{{ mine }}"),
        (None, "two\nlines.jinja", None, "two\nlines.jinja"),
    ],
)
def test_the_template_that_is_asked_for(
    name: str | None, jinja: str | None, own: str | None, wanted: str
) -> None:
    assert chosen_template(name, jinja, own=own, known=True) == wanted


@pytest.mark.parametrize("name", [None, "tokenizer_default", "tokenizer_default_fallback_gemma"])
def test_without_a_tokenizer_its_template_is_not_known(name: str | None) -> None:
    assert chosen_template(name, None, own=None, known=False) is None


@pytest.mark.parametrize("suffix", ["jinja", "jinja2"])
def test_a_file_counts_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    (tmp_path / f"mine.{suffix}").write_text("{{ messages }}é", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    text = chosen_template("jinja", f"mine.{suffix}", own=None, known=True)
    assert text == "{{ messages }}é"


@pytest.mark.parametrize(
    ("name", "jinja", "key", "message"),
    [
        ("jinja", None, "chat_template", "needs chat_template_jinja"),
        ("chatml", "{{ x }}", "chat_template", "both set"),
        ("tokenizer_default", "{{ x }}", "chat_template", "both set"),
        ("chatmll", None, "chat_template", "no chat template 'chatmll'[^$]*did you mean chatml"),
        ("tokenizer_default_fallback_x", None, "chat_template", "no chat template 'x'"),
        (None, None, "chat_template", "tokenizer has no chat template[^$]*chat_template: chatml"),
        (None, "gone.jinja", "chat_template_jinja", "no file gone.jinja[^$]*current folder"),
        (None, "odd.jinja", "chat_template_jinja", "odd.jinja cannot be read[^$]*UTF-8"),
    ],
)
def test_what_is_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str | None,
    jinja: str | None,
    key: str,
    message: str,
) -> None:
    (tmp_path / "odd.jinja").write_bytes(b"\xff")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message) as caught:
        chosen_template(name, jinja, own=None, known=True)
    assert caught.value.key == key
