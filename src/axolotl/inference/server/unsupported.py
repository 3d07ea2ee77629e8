"""Parameters of OpenAI's interface that this server does not carry out.

A value that asks for nothing is let through, because clients send such values unasked; any other
is refused, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axolotl.inference.server.errors import ApiError
from axolotl.registry import nearest

_TOOLS = "calls of tools are not read out of answers"
_LOGPROBS = "probabilities of tokens are not given out"
_PENALTY = "only `repetition_penalty` is known here"

REFUSED: Mapping[str, tuple[str, tuple[Any, ...]]] = {
    "n": ("each request has one answer; ask several times", (1,)),
    "best_of": ("each request has one answer", (1,)),
    "tools": (_TOOLS, ([],)),
    "tool_choice": (_TOOLS, ("none", "auto")),
    "functions": (_TOOLS, ([],)),
    "function_call": (_TOOLS, ("none", "auto")),
    "response_format": ("answers are text of any shape", ({"type": "text"},)),
    "logprobs": (_LOGPROBS, (False,)),
    "top_logprobs": (_LOGPROBS, (0,)),
    "logit_bias": ("probabilities of tokens cannot be changed", ({},)),
    "presence_penalty": (_PENALTY, (0,)),
    "frequency_penalty": (_PENALTY, (0,)),
    "echo": ("the prompt is not repeated", (False,)),
    "suffix": ("text is written at the end alone", ("",)),
    "modalities": ("answers are text", (["text"],)),
    "audio": ("answers are text", ()),
    "prediction": ("an expected answer does not help here", ()),
    "reasoning_effort": ("the model decides by itself", ()),
    "verbosity": ("the model decides by itself", ()),
    "web_search_options": ("there is no search", ()),
    "store": ("nothing is stored", (False,)),
}
"""Name → why not, and the values that ask for nothing; null is always one."""

WITHOUT_EFFECT = frozenset(
    {
        *("user", "safety_identifier", "metadata", "service_tier"),
        *("prompt_cache_key", "prompt_cache_retention", "parallel_tool_calls"),
    }
)
"""What says nothing of the answer: who asks, and how an account is billed."""


def refuse_unsupported(extra: Mapping[str, Any], *, known: frozenset[str]) -> None:
    """Refuse what a request asks for beyond what is carried out.

    Args:
        extra: Parameters of the request that no field of it has taken.
        known: Names of the fields.

    Raises:
        ApiError: one of them asks for something.
    """
    for name, value in extra.items():
        if value is None or name in WITHOUT_EFFECT:
            continue
        if name not in REFUSED:
            guess = nearest(name, [*known, *REFUSED])
            raise ApiError(
                400,
                f"there is no parameter '{name}'" + (f"; did you mean '{guess}'?" if guess else ""),
                param=name,
                code="unknown_parameter",
            )
        why, neutral = REFUSED[name]
        # A switch is no number: true == 1 in Python.
        if not any(
            value == one and isinstance(value, bool) == isinstance(one, bool) for one in neutral
        ):
            raise ApiError(
                400,
                f"'{name}' is not supported: {why}",
                param=name,
                code="unsupported_parameter",
            )
