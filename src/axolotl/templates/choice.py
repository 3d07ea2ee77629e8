"""Which chat template is meant: that of the tokenizer, a named one, or one of the user's own."""

from __future__ import annotations

from pathlib import Path

from axolotl.errors import ConfigError, UnknownName
from axolotl.templates.named import named_template, template_names

DEFAULT = "tokenizer_default"
FALLBACK = "tokenizer_default_fallback_"
JINJA = "jinja"
_FILES = (".jinja", ".jinja2")


def chosen_template(
    name: str | None, jinja: str | None, *, own: str | None, known: bool
) -> str | None:
    """The Jinja text of the template that is asked for.

    Args:
        name: The value of `chat_template`.
        jinja: The value of `chat_template_jinja`.
        own: The template of the tokenizer; None for none.
        known: Whether there is a tokenizer, so that `own` is known.

    Returns:
        The text; None where it is that of the tokenizer, which is not known.

    Raises:
        ConfigError: there is no such template, no such file, or `name` and `jinja` disagree.
    """
    if jinja is not None:
        if name not in (None, JINJA):
            raise ConfigError(
                "chat_template",
                f"`chat_template: {name}` and chat_template_jinja are both set",
                hint="remove one of the two",
            )
        return jinja_text(jinja)
    if name == JINJA:
        raise ConfigError(
            "chat_template",
            "`chat_template: jinja` needs chat_template_jinja",
            hint="add chat_template_jinja with the template, or the path of a .jinja file",
        )
    if name in (None, DEFAULT):
        if known and own is None:
            raise ConfigError(
                "chat_template",
                "the tokenizer has no chat template",
                hint=f"name one: `chat_template: chatml`; there are: {', '.join(template_names())}",
            )
        return own
    assert name is not None, "there is a name"
    if name.startswith(FALLBACK):
        fallback = _named(name.removeprefix(FALLBACK))
        return (own or fallback) if known else None
    return _named(name)


def jinja_text(written: str) -> str:
    """A template that is written in the file, or the file that it names.

    Args:
        written: The text, or a path that ends in `.jinja` or `.jinja2`.

    Raises:
        ConfigError: there is no such file, or it cannot be read.
    """
    if "\n" in written or not written.rstrip().endswith(_FILES):
        return written
    try:
        return Path(written).expanduser().read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            "chat_template_jinja",
            f"chat_template_jinja: there is no file {written}",
            hint=f"a path counts from the current folder, {Path.cwd()}",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "chat_template_jinja",
            f"chat_template_jinja: {written} cannot be read: {error}",
            hint="give it a text file in UTF-8",
        ) from error


def _named(name: str) -> str:
    try:
        return named_template(name)
    except UnknownName as error:
        raise ConfigError("chat_template", error.what, hint=error.hint) from error
