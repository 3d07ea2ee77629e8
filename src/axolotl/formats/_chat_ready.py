"""A chat template and what it does with conversations, found out once for all rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from axolotl.errors import ConfigError
from axolotl.formats._masks import EndRules, Ends
from axolotl.formats._tools import plain
from axolotl.records import TokenizerFacts
from axolotl.templates.render import ChatTemplate, compile_template
from axolotl.templates.shape import Shape, shape_of


class Ready(NamedTuple):
    """What is found out of a template once for all rows.

    Args:
        template: The template.
        variables: What it may read besides the conversation.
        shape: What it puts around a turn.
        ends: What ends a turn.
        once: What there is to say of every row.
        unstable: What there is to say of rows of which earlier turns change.
    """

    template: ChatTemplate
    variables: Mapping[str, Any]
    shape: Shape
    ends: EndRules
    once: tuple[str, ...]
    unstable: str


UNENDED = "an answer ends without a token that ends it: the model may not learn to stop"
_UNSTABLE = "the template writes an earlier turn otherwise once others follow"
_KEEPS = "preserve_thinking"
"""What some templates read that then keep the reasoning of all turns."""


def make_ready(
    text: str,
    facts: TokenizerFacts | None,
    *,
    kwargs: Mapping[str, Any],
    eot_tokens: Sequence[str],
    train_on_eos: Ends,
    train_on_eot: Ends,
    roles: Collection[str],
) -> Ready:
    """Ask a template how it writes conversations.

    Args:
        text: The template.
        facts: What is known of the tokenizer.
        kwargs: Further variables of the template.
        eot_tokens: Tokens that end a turn besides the end token.
        train_on_eos: Which end tokens are trained.
        train_on_eot: The same for other tokens that end a turn.
        roles: Further roles that rows may have.

    Raises:
        ConfigError: it writes no plain conversation, or an end token is none.
    """
    known = facts or TokenizerFacts(None, {}, frozenset())
    variables = {**known.special_tokens, **plain(kwargs)}
    eos = known.special_tokens.get("eos_token")
    ends = end_tokens(facts, eot_tokens)
    template = compile_template(text)
    shape = shape_of(template, variables, tokens=known.control_tokens, ends=ends, roles=roles)
    rules: dict[str, Ends] = {}
    for token in (*ends, *shape.ends):
        rules[token] = train_on_eos if token == eos else train_on_eot
    local: Ends = "turn" if train_on_eot == "all" else train_on_eot
    others: dict[str, Ends] = dict.fromkeys(shape.other_ends, local)
    once = ((UNENDED,) if shape.unended else ()) + _letters_for_tokens(facts, shape)
    unstable = _UNSTABLE
    if _KEEPS in text and _KEEPS not in variables:
        unstable += f"; `chat_template_kwargs: {{{_KEEPS}: true}}` keeps it as it is"
    return Ready(template, variables, shape, EndRules.of(rules, eos, others=others), once, unstable)


def end_tokens(facts: TokenizerFacts | None, eot_tokens: Sequence[str]) -> list[str]:
    """The end tokens that are known without the template.

    Args:
        facts: What is known of the tokenizer.
        eot_tokens: Tokens that end a turn besides its end token.

    Raises:
        ConfigError: the tokenizer has no such token.
    """
    eos = facts.special_tokens.get("eos_token") if facts else None
    whole = facts.whole_tokens if facts else None
    for number, token in enumerate(eot_tokens):
        if facts and whole is not None and token not in whole | facts.control_tokens:
            raise ConfigError(
                "eot_tokens",
                f"eot_tokens.{number}: '{token}' is no token of the tokenizer",
                hint="name a token that it has, or add it with `tokens` or added_tokens_overrides",
            )
    return list(dict.fromkeys([*([eos] if eos else []), *eot_tokens]))


def _letters_for_tokens(facts: TokenizerFacts | None, shape: Shape) -> tuple[str, ...]:
    """What there is to say where the template ends an answer with a token that there is not."""
    if facts is None or facts.whole_tokens is None:
        return ()
    known = facts.whole_tokens | facts.control_tokens | set(facts.special_tokens.values())
    return tuple(
        f"{mark} of the template is no token of this tokenizer, its letters are trained"
        for mark in shape.ends
        if mark not in known
    )
