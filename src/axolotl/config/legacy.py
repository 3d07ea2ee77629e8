"""Old ways of writing that still work, each with a note that says what it was read as."""

from __future__ import annotations

from axolotl.config.tree import Branch
from axolotl.records import Finding


def modernise(tree: Branch) -> list[Finding]:
    """Rewrite in place what has another form now.

    Args:
        tree: The file as written.

    Returns:
        One finding for each change.
    """
    return _tokens_as_mapping(tree)


def _tokens_as_mapping(tree: Branch) -> list[Finding]:
    """`tokens: {pad_token: …}` was meant as `special_tokens`; read as a list, it adds the keys."""
    tokens = tree.items.get("tokens")
    if not isinstance(tokens, Branch):
        return []
    special = tree.items.setdefault("special_tokens", Branch(tokens.where))
    if not isinstance(special, Branch):
        special = tree.items["special_tokens"] = Branch(tokens.where)
    special.items = {**tokens.items, **special.items}
    del tree.items["tokens"]
    return [
        Finding(
            level="warning",
            rule="tokens-as-mapping",
            key="tokens",
            where=tokens.where,
            message="`tokens` is a list of words; this mapping was read as `special_tokens`",
            hint="write it under special_tokens",
        )
    ]
