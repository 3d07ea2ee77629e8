"""The format that questions are asked in: that of the training, or another that the user names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from axolotl.config import Sections
from axolotl.core.console import note_once
from axolotl.data.encoder import Encoder
from axolotl.data.entries import of_first_entry
from axolotl.errors import ConfigError
from axolotl.formats import BoundFormat, Shared, bind, only_question
from axolotl.records import Segment, TokenizerFacts

RAW = ("none", "None", "")
"""What `--prompter` calls the text without any format around it."""
Prompt = str | Sequence[Mapping[str, Any]]
"""A question, or a conversation of messages with `role` and `content`."""
_TEMPLATE = ("chat_template", "chat_template_jinja")
_NOT_ASKED = {
    *("train_on_inputs", "roles_to_train", "train_on_eos", "train_on_eot", "eot_tokens"),
    *("message_field_training", "message_field_training_detail"),
    *_TEMPLATE,
}
"""Options of formats that say what is trained, and those whose text stands in `template_text`."""


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
    trained: Mapping[str, Any] | None,
    options: Sections,
    encoder: Encoder,
    saved: bool = False,
) -> BoundFormat | None:
    """The format that questions are asked in.

    What `--prompter` names; else that of the training; else that of the first dataset in the file.

    Args:
        prompter: A dataset type such as `alpaca:chat`, `none` for raw text, or None.
        trained: The format of the training data, as its run kept it; None where that is not known.
        options: The file: its datasets, and what holds for all of them.
        encoder: The tokenizer.
        saved: Whether a training has saved the tokenizer, with the chat template that it used, which
            then goes before any other.

    Raises:
        UnknownName: no such format.
    """
    facts, written = encoder.facts(), of_first_entry(options)
    keep = saved and facts.chat_template is not None
    if prompter in RAW:
        return None
    if prompter is not None:
        named = written | {"type": prompter, "settings": {}}
        return _bound(named, facts, keep_template=keep, where="--prompter")
    used = written
    if trained is not None:  # an old record does not say all
        used = {"type": None, "settings": {}, "shared": written["shared"], **trained}
    bound = _bound(used, facts, keep_template=keep)
    if trained is not None:
        _say_if_otherwise(used, bound, written, facts)
    if bound is None:
        note_once("the training data was tokens already: questions are asked as plain text")
    return bound


def _bound(
    used: Mapping[str, Any],
    facts: TokenizerFacts,
    *,
    keep_template: bool = False,
    key: str = "type",
    where: str | None = None,
) -> BoundFormat | None:
    """A format as `of_first_entry` describes it, filled in; None for none.

    Args:
        used: The description.
        facts: What there is to know of the tokenizer.
        keep_template: Whether its chat template goes before one that is described.
        key: The key that it stands under, for messages.
        where: Where the description was written, for messages.
    """
    if used["type"] is None:
        return None
    left_out = _TEMPLATE if keep_template else ()
    settings, shared = (
        {name: value for name, value in used[part].items() if name not in left_out}
        for part in ("settings", "shared")
    )
    about_all = Shared(**shared, tokenizer=facts)
    return bind(used["type"], settings=settings, shared=about_all, key=key, where=where)


def _say_if_otherwise(
    used: Mapping[str, Any],
    bound: BoundFormat | None,
    written: Mapping[str, Any],
    facts: TokenizerFacts,
) -> None:
    """Say it where the file has another format by now than the training had."""
    asked, now = _name(used["type"]), _name(written["type"])
    if asked != now:
        note_once(
            f"questions are asked as in training, in the format {asked}; the file says {now} now "
            "(--prompter chooses another)"
        )
    elif bound is not None and (others := _others(bound, written, facts)):
        note_once(
            f"questions are asked as in training; of {', '.join(others)} the file says something "
            "else now"
        )


def _others(bound: BoundFormat, written: Mapping[str, Any], facts: TokenizerFacts) -> list[str]:
    """Names of the options that decide how it is asked, and that the file sets otherwise."""
    try:
        by_now = _bound(written, facts, key="datasets.0.type")
    except ConfigError as error:
        return [error.key]
    assert by_now is not None, "both have a type"
    then, now = (one.options.model_dump(mode="json", exclude=_NOT_ASKED) for one in (bound, by_now))
    names = {"template_text": "chat_template"}
    return [names.get(name, name) for name in then if then[name] != now[name]]


def _name(kind: str | Mapping[str, Any] | None) -> str:
    return kind if isinstance(kind, str) else "none" if kind is None else "of own templates"
