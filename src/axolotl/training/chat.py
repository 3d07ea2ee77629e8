"""The chat template of a training, which is saved with the tokenizer: others ask in it then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from axolotl.config import Sections
from axolotl.core.console import note
from axolotl.data.encoder import Encoder
from axolotl.data.entries import of_first_entry
from axolotl.formats import bind, shared_settings
from axolotl.records import TokenizerFacts


def keep_template(tokenizer: Any, options: Sections) -> None:
    """Give the tokenizer the template of the first dataset whose format has one.

    Args:
        tokenizer: A tokenizer of transformers; it keeps its own template where that is the one in
            use, or where no dataset has any.
        options: The datasets, and what holds for all of them.
    """
    facts = Encoder(tokenizer).facts()
    found = list(_templates(options, facts))
    if not found:
        return
    first, template = found[0]
    if template != facts.chat_template:
        tokenizer.chat_template = template
    others = [f"datasets.{number}" for number, other in found if other != template]
    if not others and first == 0:
        return
    had = f" ({', '.join(others)} had another one in training)" if others else ""
    note(
        f"the chat template of datasets.{first} is saved with the tokenizer{had}; "
        f"`axolotl inference` asks {_asked(options, first)} (--prompter chooses another format)"
    )


def _asked(options: Sections, first: int) -> str:
    """How questions are asked: in the format of the first dataset, whichever has a template."""
    kind = of_first_entry(options)["type"]
    if first == 0:
        return "in it"
    if kind is None:
        return "without any format, as datasets.0 is tokens already"
    return f"in the format of datasets.0, {kind if isinstance(kind, str) else 'its own texts'}"


def _templates(options: Sections, facts: TokenizerFacts) -> Iterator[tuple[int, str]]:
    """Numbers of the datasets whose format has a chat template, and the templates."""
    shared = shared_settings(options, facts)
    for number, entry in enumerate(options.data.datasets):
        if entry.type is None:
            continue
        kind = entry.type if isinstance(entry.type, str) else entry.type.model_dump()
        bound = bind(kind, settings=entry.settings(), shared=shared)
        template_of = getattr(bound.module, "template_of", None)
        if template_of is not None:
            yield number, template_of(bound.options)
