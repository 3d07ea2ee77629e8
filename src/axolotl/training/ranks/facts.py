"""Whether all processes are about to do the same: versions, options, data and checkpoint."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from axolotl.errors import EnvironmentFault
from axolotl.training.public import without_secrets
from axolotl.training.ranks.post import Post

_PACKAGES = ("axolotl", "torch", "transformers", "peft", "accelerate", "tokenizers")
_MAY_DIFFER = (
    *("output_dir", "dataset_prepared_path"),
    "local_rank",
    "auto_resume_from_checkpoints",
)
"""Places on the disk of a machine, what is of no effect, and what only says how the checkpoint is
found: which one it came to is compared."""
_SHOWN = 10


def facts_of(
    options: Mapping[str, Any], marks: Mapping[str, Any], resume: Path | None = None
) -> dict[str, Any]:
    """What must be the same, by names that a user knows; it is sent and printed, so without secrets.

    Args:
        options: Every option with its value.
        marks: By what the data is known.
        resume: The checkpoint to go on from; None where the training starts anew.
    """
    versions = {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}
    same = {key: value for key, value in options.items() if key not in _MAY_DIFFER}
    facts = {
        **{f"version of {name}": found for name, found in versions.items()},
        **dict(_flat(without_secrets(same))),
        **{f"data: {key}": value for key, value in marks.items() if key != "sources"},
        "checkpoint to go on from": resume.resolve().name if resume is not None else "none",
    }
    return json.loads(json.dumps(facts, default=str))


def compare(post: Post, facts: Mapping[str, Any]) -> None:
    """Hold what this process is about to do against what the first one is.

    Args:
        post: All have put theirs as `facts`.
        facts: Those of this process.

    Raises:
        EnvironmentFault: they differ; tells in what.
    """
    ranks = post.place.others if post.place.rank == 0 else [0]
    found = list[str]()
    for rank, other in post.get_all("facts", ranks).items():
        first, mine = (facts, other) if post.place.rank == 0 else (other, facts)
        number = rank if post.place.rank == 0 else post.place.rank
        found += differences(first, mine, rank=number)
    if found:
        more = f"\n    … and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise EnvironmentFault(
            "the processes are not about to do the same:\n    "
            + "\n    ".join(found[:_SHOWN])
            + more,
            hint="give all machines the same file, the same data, an output_dir that all see where they "
            "go on from a checkpoint, and the same versions: `pip install -c constraints.txt …`",
        )


def differences(first: Mapping[str, Any], other: Mapping[str, Any], *, rank: int) -> list[str]:
    """What differs between the first process and another, a line for each.

    >>> differences({"seed": 1, "epochs": 2}, {"seed": 2, "epochs": 2}, rank=3)
    ['seed: 1 on rank 0, 2 on rank 3']
    """
    keys = sorted(first.keys() | other.keys())
    return [
        f"{key}: {json.dumps(first.get(key))} on rank 0, {json.dumps(other.get(key))} on rank {rank}"
        for key in keys
        if first.get(key) != other.get(key)
    ]


def _flat(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Nested options by dotted names."""
    if isinstance(values, Mapping | list) and values:
        pairs = values.items() if isinstance(values, Mapping) else enumerate(values)
        for key, value in pairs:
            yield from _flat(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, values
