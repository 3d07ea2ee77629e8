"""Ways of writing FSDP: with and without its prefix, and those of the files that later releases read."""

from __future__ import annotations

from axolotl.config.tree import Branch, Leaf, Row, is_unset, read_int
from axolotl.records import Edit, Finding

_PREFIX = "fsdp_"
_RESULT = "the result is always whole"
_DETAILS = {"fsdp_version": "FSDP 2 is what runs", "fsdp_final_state_dict_type": _RESULT}
"""Keys of `fsdp_config` that say what happens anyway → why."""
_MEANT = ("full_shard", "auto_wrap")


def fsdp_names(tree: Branch) -> list[Finding]:
    """`fsdp_config` may leave out the prefix of its keys."""
    from axolotl.config.distributed import FsdpConfig

    config = tree.items.get("fsdp_config")
    if not isinstance(config, Branch):
        return []
    found: list[Finding] = []
    for key in list(config.items):
        full = key if key.startswith(_PREFIX) else f"{_PREFIX}{key}"
        if full in _DETAILS and not (full == "fsdp_version" and _number(config.items[key]) == 1):
            where = config.items.pop(key).where
            found.append(_idle(f"fsdp_config.{key}", where, _DETAILS[full]))
        elif full == "fsdp_cpu_offload":
            config.items.setdefault("fsdp_offload_params", config.items.pop(key))
        elif key not in FsdpConfig.model_fields and full in FsdpConfig.model_fields:
            config.items.setdefault(full, config.items.pop(key))
    return found


def fsdp_version(tree: Branch) -> list[Finding]:
    """Later releases turn FSDP on by `fsdp_version`; there is one version here."""
    found: list[Finding] = []
    if (node := tree.items.pop("fsdp_final_state_dict_type", None)) and not is_unset(node):
        found.append(_idle("fsdp_final_state_dict_type", node.where, _RESULT))
    node = tree.items.get("fsdp_version")
    if node is None or _number(node) != 2:
        return found
    del tree.items["fsdp_version"]
    written = tree.items.get("fsdp")
    if written is not None and not is_unset(written):
        return [*found, _idle("fsdp_version", node.where, "FSDP 2 is what runs")]
    words = [Leaf(word, node.where) for word in _MEANT]
    tree.items["fsdp"] = Row(node.where, [*words])
    what = f"fsdp_version: 2 was read as fsdp: [{', '.join(_MEANT)}]"
    edits = (Edit("set", "fsdp", list(_MEANT)), Edit("remove", "fsdp_version"))
    hint = f"write `fsdp: [{', '.join(_MEANT)}]`"
    return [*found, Finding("warning", "renamed", "fsdp_version", node.where, what, hint, edits)]


def _number(node: object) -> int | None:
    value = node.value if isinstance(node, Leaf) else None
    return read_int(value) if isinstance(value, str) else value if isinstance(value, int) else None


def _idle(key: str, where: str, why: str) -> Finding:
    what = f"{key} has no effect: {why}"
    return Finding("warning", "no-effect", key, where, what, "remove it", (Edit("remove", key),))
