"""Old ways of writing that still work, each with a finding that says what it was read as.

A finding carries the same change as edits, so that a file can be rewritten to what is read here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from axolotl.config.legacy_fsdp import fsdp_names, fsdp_version
from axolotl.config.legacy_names import (
    NO_EFFECT,
    REMOVED,
    RENAMED,
    RENAMED_IN_ENTRIES,
    RENAMED_IN_ROPE,
)
from axolotl.config.tree import Branch, Leaf, Node, Row, is_unset, read_int, to_python
from axolotl.records import Edit, Finding


def modernise(tree: Branch) -> list[Finding]:
    """Rewrite in place what has another form now.

    Args:
        tree: What was written, overrides included.

    Returns:
        One finding for each change; of level `error` where no form of today means the same.
    """
    return [finding for rewrite in _REWRITES for finding in rewrite(tree)]


def _removed(tree: Branch) -> list[Finding]:
    """Keys that asked for something which has another name and form since."""
    return [
        Finding("error", "removed-key", key, node.where, f"{key} is gone", instead)
        for key, instead in REMOVED.items()
        if (node := _take(tree, key)) is not None and not is_unset(node)
    ]


def _without_effect(tree: Branch) -> list[Finding]:
    """Keys that files carry and that never did anything, or that the tool finds out by itself."""
    return [
        Finding(
            "warning",
            "no-effect",
            key,
            node.where,
            f"{key} has no effect: {why}",
            instead or "remove it",
            (Edit("remove", key),),
        )
        for key, (why, instead) in NO_EFFECT.items()
        if (node := _take(tree, key)) is not None and not is_unset(node)
    ]


def _renamed(tree: Branch) -> list[Finding]:
    findings = _rename(tree, RENAMED)
    for place, entry in _entries(tree):
        findings += _rename(entry, RENAMED_IN_ENTRIES, f"{place}.")
    if isinstance(rope := tree.items.get("rope_scaling"), Branch):
        findings += _rename(rope, RENAMED_IN_ROPE, "rope_scaling.")
    return findings


def _rename(tree: Branch, names: Mapping[str, str], place: str = "") -> list[Finding]:
    findings: list[Finding] = []
    for old, new in names.items():
        if (node := tree.items.get(old)) is None:
            continue
        key, other = f"{place}{old}", tree.items.get(new)
        if other is not None and not is_unset(other) and not is_unset(node):
            del tree.items[old]
            if to_python(node) == to_python(other):
                fix = (Edit("remove", key),)
                what, hint = f"{key} is another name for {new}, which is written too", "remove it"
                findings.append(Finding("warning", "renamed", key, node.where, what, hint, fix))
            else:
                what = f"{key} is another name for {new}, and the two say different things"
                findings.append(
                    Finding("error", "renamed", key, node.where, what, "remove one of the two")
                )
            continue
        tree.items = {
            (new if name == old else name): value
            for name, value in tree.items.items()
            if name != new or value is node
        }
        if not is_unset(node):
            fix = (Edit("rename", key, f"{place}{new}"),)
            what = f"{key} is called {new} here"
            findings.append(Finding("info", "renamed", key, node.where, what, f"write {new}", fix))
    return findings


def _relora(tree: Branch) -> list[Finding]:
    """`relora: true` said what the restarts are for; without it, only the learning rate restarts."""
    node, jagged = _take(tree, "relora"), tree.items.get("jagged_restart_steps")
    on = node is not None and to_python(node) is True
    findings: list[Finding] = []
    if on or (jagged is not None and is_unset(jagged)):
        findings += _rename(tree, {"jagged_restart_steps": "relora_steps"})
    elif jagged is not None:
        del tree.items["jagged_restart_steps"]
        what = "jagged_restart_steps without `relora: true` restarts the learning rate and nothing else"
        hint = "add `relora: true`, or choose `lr_scheduler: cosine_with_restarts`"
        findings.append(
            Finding("error", "relora", "jagged_restart_steps", jagged.where, what, hint)
        )
    if node is None or is_unset(node):
        return findings
    level, fix = "info", (Edit("remove", "relora"),)
    what, hint = "relora: it is on where relora_steps is written", "remove it"
    if not isinstance(to_python(node), bool):
        level, what, hint = "error", "relora: expected true or false", "write relora_steps"
    elif on and not _is_set(tree, "relora_steps"):
        level, what = (
            "error",
            "relora: true does not say after how many steps the adapter is merged",
        )
        hint = "write `relora_steps: 150` instead"
    elif not on and _is_set(tree, "relora_steps"):
        level, what = "error", "relora: false and relora_steps contradict each other"
        hint = "remove one of the two"
    edits = fix if level == "info" else ()
    return [*findings, Finding(level, "relora", "relora", node.where, what, hint, edits)]


def _tokens_as_mapping(tree: Branch) -> list[Finding]:
    """`tokens: {pad_token: …}` was meant as `special_tokens`; read as a list, it adds the keys."""
    tokens = tree.items.get("tokens")
    if not isinstance(tokens, Branch):
        return []
    special = tree.items.get("special_tokens")
    del tree.items["tokens"]
    if isinstance(special, Branch):
        fix = tuple(
            Edit("remove", f"tokens.{key}")
            if key in special.items
            else Edit("rename", f"tokens.{key}", f"special_tokens.{key}")
            for key in tokens.items
        )
        special.items = {**tokens.items, **special.items}
    else:
        fix = (Edit("rename", "tokens", "special_tokens"),)
        tree.items["special_tokens"] = Branch(tokens.where, dict(tokens.items))
    return [
        Finding(
            "warning",
            "tokens-as-mapping",
            "tokens",
            tokens.where,
            "`tokens` is a list of words; this mapping was read as `special_tokens`",
            "write it under special_tokens",
            fix,
        )
    ]


def _batch_size(tree: Branch) -> list[Finding]:
    """`batch_size` counted the samples of an optimizer step."""
    node = tree.items.get("batch_size")
    if node is None:
        return []
    del tree.items["batch_size"]
    if is_unset(node):
        return []
    if _is_set(tree, "gradient_accumulation_steps"):
        what = "batch_size and gradient_accumulation_steps exclude each other"
        hint = "remove batch_size"
        return [Finding("error", "batch-size", "batch_size", node.where, what, hint)]
    samples, rows = _count(node), _count(tree.items.get("micro_batch_size"), 1)
    if samples is None or rows is None:
        what, hint = "batch_size: expected a whole number", "write gradient_accumulation_steps"
        return [Finding("error", "batch-size", "batch_size", node.where, what, hint)]
    steps = max(1, samples // rows)
    tree.items["gradient_accumulation_steps"] = Leaf(steps, node.where)
    exactly = "" if steps * rows == samples else f", so a step has {steps * rows} samples"
    return [
        Finding(
            "warning",
            "batch-size",
            "batch_size",
            node.where,
            f"batch_size: {samples} was read as gradient_accumulation_steps: {steps}, rows of "
            f"micro_batch_size: {rows}{exactly}",
            f"write `gradient_accumulation_steps: {steps}`",
            (
                Edit("rename", "batch_size", "gradient_accumulation_steps"),
                Edit("set", "gradient_accumulation_steps", steps),
            ),
        )
    ]


def _dataset_types(tree: Branch) -> list[Finding]:
    """Names of dataset types that have another one now."""
    findings: list[Finding] = []
    for place, entry in _entries(tree):
        leaf = entry.items.get("type")
        if not isinstance(leaf, Leaf) or not isinstance(leaf.value, str):
            continue
        new = re.sub(r"^sharegpt:chat$", "sharegpt", leaf.value)
        new = new.replace("sharegpt_simple", "sharegpt")
        if new != leaf.value:
            key = f"{place}.type"
            what = f"{key}: '{leaf.value}' is called '{new}' now"
            fix = (Edit("set", key, new),)
            findings.append(
                Finding("warning", "renamed", key, leaf.where, what, f"write `type: {new}`", fix)
            )
            leaf.value = new
    return findings


def _entries(tree: Branch) -> Iterator[tuple[str, Branch]]:
    """Place and content of every data set."""
    for key in ("datasets", "test_datasets"):
        row = tree.items.get(key)
        for number, entry in enumerate(row.items if isinstance(row, Row) else []):
            if isinstance(entry, Branch):
                yield f"{key}.{number}", entry


def _model_type(tree: Branch) -> list[Finding]:
    """Phi came with a class of its own before the library had it."""
    leaf = tree.items.get("model_type")
    if not isinstance(leaf, Leaf) or leaf.value != "MixFormerSequentialForCausalLM":
        return []
    leaf.value = "PhiForCausalLM"
    return [
        Finding(
            "warning",
            "renamed",
            "model_type",
            leaf.where,
            "model_type: MixFormerSequentialForCausalLM is called PhiForCausalLM now",
            "write `model_type: PhiForCausalLM`, or leave it out",
            (Edit("set", "model_type", "PhiForCausalLM"),),
        )
    ]


_REWRITES: Sequence[Callable[[Branch], list[Finding]]] = [
    _removed,
    _without_effect,
    _relora,
    _renamed,
    _tokens_as_mapping,
    _batch_size,
    _dataset_types,
    _model_type,
    fsdp_version,
    fsdp_names,
]


def old_names() -> Mapping[str, str]:
    """Key that is no option → what is done with it, in a few words."""
    return {
        **{key: f"gone: {instead}" for key, instead in REMOVED.items()},
        **{key: f"no effect: {why}" for key, (why, _) in NO_EFFECT.items()},
        **{key: f"called {new} here" for key, new in RENAMED.items()},
        **{f"datasets.{key}": f"called {new} here" for key, new in RENAMED_IN_ENTRIES.items()},
        **{f"rope_scaling.{key}": f"called {new} here" for key, new in RENAMED_IN_ROPE.items()},
        "relora": "on where relora_steps is written",
        "jagged_restart_steps": "called relora_steps here, where `relora: true` stands beside it",
        "fsdp_version": "read as `fsdp: [full_shard, auto_wrap]` where it is 2",
        "fsdp_final_state_dict_type": "no effect: the result is always whole",
        "batch_size": "read as gradient_accumulation_steps times micro_batch_size",
    }


def _take(tree: Branch, key: str) -> Node | None:
    return tree.items.pop(key, None)


def _is_set(tree: Branch, key: str) -> bool:
    node = tree.items.get(key)
    return node is not None and not is_unset(node)


def _count(node: Node | None, default: int | None = None) -> int | None:
    """A positive whole number, or None."""
    if node is None or is_unset(node):
        return default
    value = node.value if isinstance(node, Leaf) else None
    number = read_int(value) if isinstance(value, str) else value
    return number if isinstance(number, int) and number > 0 else None
