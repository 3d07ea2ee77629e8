"""Chat templates by name: each is a file in `jinja/`, written from the format that its family has published.

A template writes one turn after the other, so that no text changes when another turn follows; where
the published format is otherwise, as with the reasoning of Qwen 3, its first lines say so. Turns and
tools that a family has no form for are refused with `raise_exception`, and never left out.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from axolotl.errors import UnknownName
from axolotl.registry import nearest

_FOLDER = Path(__file__).with_name("jinja")
NOT_BUILT_IN = frozenset(
    {
        *("command_a", "command_a_rag", "command_a_tool_use", "exaone4"),
        *("llama3_2_vision", "llava", "pixtral", "qwen2_vl"),
    }
)
"""Names that configurations of today have, of templates that are not here."""


@cache
def template_names() -> tuple[str, ...]:
    """Names of all templates, sorted."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.jinja")))


def named_template(name: str, *, where: str | None = None) -> str:
    """The Jinja text of a template.

    Args:
        name: Its name, such as `chatml`.
        where: Where the name was written, for the message.

    Raises:
        UnknownName: there is none of that name; says the nearest and all there are, or what to
            write for one that is known and not here.
    """
    if name in NOT_BUILT_IN:
        raise UnknownName(
            f"the chat template '{name}' is known, but not built in",
            where=where,
            hint="write it as chat_template_jinja, or use `chat_template: tokenizer_default` where "
            "the tokenizer of the model brings it",
        )
    names = template_names()
    if name not in names:
        guess = nearest(name, names)
        raise UnknownName(
            f"there is no chat template '{name}'",
            where=where,
            hint=f"{f'did you mean {guess}? ' if guess else ''}Available: {', '.join(names)}; "
            "chat_template_jinja takes any other",
        )
    return (_FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
