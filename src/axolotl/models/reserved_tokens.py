"""New texts for the tokens that a tokenizer holds in reserve.

Llama 3 and others come with tokens that mean nothing yet. One of them under a text of the user's is a
control token without a new row of embeddings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from axolotl.errors import ModelError

_OPTION = "added_tokens_overrides"


def rename_tokens(tokenizer: Any, texts: Mapping[str, str]) -> None:
    """Give added tokens of a tokenizer new texts, in place.

    Args:
        tokenizer: A tokenizer of transformers with a Rust part.
        texts: Number of a token, as text → its new text.

    Raises:
        ModelError: a number that is none of an added token, one of a token that is in use, or a text
            that is a token already.
    """
    if not texts:
        return
    core = json.loads(_rust(tokenizer).to_str())
    added = {str(token["id"]): token for token in core["added_tokens"]}
    renamed = {}
    for number, text in texts.items():
        _check(tokenizer, number, text, added)
        renamed[added[number]["content"]] = text
        added[number]["content"] = text
    if len(set(texts.values())) < len(texts):
        raise ModelError("two tokens would have the same text", where=_OPTION)
    vocabulary = core["model"].get("vocab")
    if isinstance(vocabulary, dict):
        core["model"]["vocab"] = {renamed.get(word, word): i for word, i in vocabulary.items()}
    tokenizer._tokenizer = type(_rust(tokenizer)).from_str(json.dumps(core, ensure_ascii=False))
    extra = [str(token) for token in getattr(tokenizer, "extra_special_tokens", None) or []]
    if any(token in renamed for token in extra):
        tokenizer.extra_special_tokens = [renamed.get(token, token) for token in extra]


def _check(tokenizer: Any, number: str, text: str, added: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse what would lose a token that is in use.

    Raises:
        ModelError: says why.
    """
    where = f"{_OPTION}.{number}"
    if number not in added:
        raise ModelError(
            f"{number} is not the number of a token that was added to the tokenizer",
            where=where,
            hint=f"such are {_listed(added)}; `tokens` adds new ones",
        )
    old = added[number]["content"]
    roles = {str(v): k for k, v in tokenizer.special_tokens_map.items() if isinstance(v, str)}
    if old in roles:
        raise ModelError(
            f"token {number} is the tokenizer's {roles[old]}, '{old}'",
            where=where,
            hint=f"choose one in reserve: {_listed(added)}; special_tokens sets another {roles[old]}",
        )
    known = tokenizer.get_vocab().get(text)
    if known is not None and str(known) != number:
        raise ModelError(
            f"'{text}' is a token already, number {known}",
            where=where,
            hint="use that one, or choose another text",
        )


def _listed(added: Mapping[str, Mapping[str, Any]]) -> str:
    """The first tokens in reserve, or, where none is called so, the first that were added."""
    spare = {i: t for i, t in added.items() if "reserved" in str(t["content"])} or added
    shown = [f"{i} ('{token['content']}')" for i, token in list(spare.items())[:4]]
    return ", ".join(shown) + (", …" if len(spare) > 4 else "") if shown else "none"


def _rust(tokenizer: Any) -> Any:
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise ModelError(
            f"the tokens of a {type(tokenizer).__name__} cannot be renamed",
            where=_OPTION,
            hint="it has no tokenizer.json; write the new texts into its files",
        )
    return backend
