"""Why a value of a request is refused, where the library that checks it says too little."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args

Role = Literal["system", "developer", "user", "assistant"]
"""Who speaks in a message."""
_OF_TOOLS = ("tool", "function")
_SHOWN = 60


def reason_of(param: str, fault: str, given: Any) -> str | None:
    """Own words for the fault of a value; None where those of the library do.

    Args:
        param: Place of the value, such as `messages.0.role`; empty for the whole body.
        fault: Name of the fault, as the library calls it.
        given: The value.
    """
    if fault == "missing":
        return "it must be given"
    if re.fullmatch(r"prompt(\.\d+)?", param):
        return _of_prompt(fault, given, one=param != "prompt")
    if re.fullmatch(r"messages\.\d+\.role", param):
        roles = ", ".join(f"'{role}'" for role in get_args(Role))
        if given in _OF_TOOLS:
            return f"tools are not supported here, so there is no role '{given}'; there are {roles}"
        return f"there is no role {_shown(given)}; there are {roles}"
    if re.fullmatch(r"messages\.\d+\.content", param) and given is None:
        return "there must be a text; calls of tools, which have none, are not supported here"
    if re.fullmatch(r"messages\.\d+\.content\.\d+\.type", param):
        return f"parts of the type {_shown(given)} are not supported here, only 'text'"
    return None


def _of_prompt(fault: str, given: Any, *, one: bool) -> str | None:
    if given in ("", []):
        return "it is empty; there must be a text to go on from"
    if fault == "too_long":
        return None
    wanted = "a text" if one else "a text, or a list of texts"
    if _is_token_ids(given):
        return f"token ids are not taken here; it must be {wanted}"
    return f"it must be {wanted}"


def _is_token_ids(given: Any) -> bool:
    """Whether it is a token id or a list of them."""
    one = given[0] if isinstance(given, list) and given else given
    return isinstance(one, int) and not isinstance(one, bool)


def _shown(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
