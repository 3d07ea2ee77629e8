"""The format that questions are asked in: that of the training, or another that the user names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from axolotl.config import Sections
from axolotl.core.console import note_once
from axolotl.data.encoder import Encoder
from axolotl.data.entries import of_first_entry
from axolotl.formats import BoundFormat, Shared, bind, only_question, shared_settings
from axolotl.records import Segment

RAW = ("none", "None", "")
"""What `--prompter` calls the text without any format around it."""
Prompt = str | Sequence[Mapping[str, Any]]
"""A question, or a conversation of messages with `role` and `content`."""
_TEMPLATE = ("chat_template", "chat_template_jinja")


def segments_of(prompt: Prompt, bound: BoundFormat | None) -> list[Segment]:
    """What stands before an answer.

    Args:
        prompt: The question or conversation.
        bound: Format to ask it in; None for the text as it is.

    Raises:
        DataError: the format has no place for the messages.
    """
    if isinstance(prompt, str):
        return bound.prompt(prompt) if bound else [Segment(prompt, False, bos=True)]
    if bound:
        return bound.conversation(prompt)
    return [Segment(only_question(prompt, "plain text"), False, bos=True)]


def choose_format(
    prompter: str | None,
    *,
    run: Mapping[str, Any] | None,
    options: Sections,
    encoder: Encoder,
    saved: bool = False,
) -> BoundFormat | None:
    """The format that questions are asked in.

    What `--prompter` names; else that of the training, as its `run.json` says; else that of the
    first dataset in the file.

    Args:
        prompter: A dataset type such as `alpaca:chat`, `none` for raw text, or None.
        run: Content of `run.json`, where there is one.
        options: The file: its datasets, and what holds for all of them.
        encoder: The tokenizer.
        saved: Whether a training has saved the tokenizer, with the chat template that it used, which
            then goes before that of the file.

    Raises:
        UnknownName: no such format.
    """
    shared = shared_settings(options, encoder.facts())
    keep_template = saved and encoder.facts().chat_template is not None
    if keep_template:
        shared = Shared(**{**shared, **dict.fromkeys(_TEMPLATE)})
    if prompter is not None:
        return None if prompter in RAW else bind(prompter, shared=shared, where="--prompter")
    written = of_first_entry(options)
    trained = (run or {}).get("format")
    used = {"type": None, "settings": {}, **trained} if isinstance(trained, dict) else written
    if used["type"] != written["type"]:
        note_once(
            f"questions are asked as in training, in the format {_name(used['type'])}; the file "
            f"says {_name(written['type'])} now (--prompter chooses another)"
        )
    if used["type"] is None:
        note_once("the training data was tokens already: questions are asked as plain text")
        return None
    settings = {k: v for k, v in used["settings"].items() if not (keep_template and k in _TEMPLATE)}
    return bind(used["type"], settings=settings, shared=shared)


def _name(kind: str | Mapping[str, Any] | None) -> str:
    return kind if isinstance(kind, str) else "none" if kind is None else "of own templates"
