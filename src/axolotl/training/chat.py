"""The chat template of a training, which is saved with the tokenizer: others ask in it then."""

from __future__ import annotations

from typing import Any

from axolotl.config import Sections
from axolotl.data.encoder import Encoder
from axolotl.formats import bind, shared_settings


def keep_template(tokenizer: Any, options: Sections) -> None:
    """Give the tokenizer the template of the first dataset whose format has one.

    Args:
        tokenizer: A tokenizer of transformers; it keeps its own template where that is the one in
            use, or where no dataset has any.
        options: The datasets, and what holds for all of them.
    """
    facts = Encoder(tokenizer).facts()
    shared = shared_settings(options, facts)
    for entry in options.data.datasets:
        if entry.type is None:
            continue
        kind = entry.type if isinstance(entry.type, str) else entry.type.model_dump()
        bound = bind(kind, settings=entry.settings(), shared=shared)
        template_of = getattr(bound.module, "template_of", None)
        if template_of is not None:
            template = template_of(bound.options)
            if template != facts.chat_template:
                tokenizer.chat_template = template
            return
