"""Write `support.md`, the table of architectures and methods: `make docs`.

Everything in it is what the tests of `tests/support` found, which `make support` keeps in
`support.json`. `tests/test_project.py` fails when the page is out of date, and `tests/support` when
what it says is no longer so.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
NAMED = {
    "llama": "llama",
    "Pythia": "gpt_neox",
    "Cerebras-GPT": "gpt2",
    "BTLM": "btlm",
    "MPT": "mpt",
    "Falcon": "falcon",
    "GPT-J": "gptj",
    "XGen": "llama",
    "Phi": "phi",
    "Mistral": "mistral",
    "Replit": "mpt",
    "RedPajama": "gpt_neox",
    "StableLM alpha": "gpt_neox",
}
"""Models that the README names → the `model_type` they have, which is the row that is theirs."""
MARKS = {"runs": "✓", "needs": "GPU", "refused": "no", "fault": "fault"}
PAGE = """\
# Supported architectures and methods

<!-- Generated from docs/support.json by `make docs`; `make support` runs the tests that fill that. -->

One line for each architecture that has a file in `src/axolotl/architectures`, by the `model_type` of its `config.json`; one column
for each method. Other causal models of transformers are trained by general rules, without a promise: what must be known of a model
is seen on it when it is loaded, such as whether samples that share a row stay apart.

{named}

Each cell is a test, which takes the method through the whole road on a tiny random model of the architecture: options, data,
loading, three steps. **✓** {runs} cells: it runs on a CPU, the loss falls, and the effect was seen. **GPU** {needs} cells: it needs a GPU or a
package that the machine of the tests lacks; there it is refused with a sentence that says so, and replaced where it was only wished
for; its arithmetic is tested with a stand-in. **no** {refused} cells: it is refused, with the reason below.{faults}

## Methods

{methods}

{method_texts}

8 and 4 bits hold linear layers only. Where most weights of a model are experts that are one tensor, they would save little, and are
refused; the tiny models have few experts, so a cell of such an architecture may be ✓ where your model is refused.

## Attention

By default the first of `per_document`, `sdpa` and `eager` that keeps samples apart; `attn_implementation: NAME` asks for one.

{attention}

{attention_texts}

## Why not

What is not ✓, and what the user is told.

{reasons}

## Rope scaling

Kinds of `rope_scaling` that were seen to change the positions; all others are refused.

{rope}

## Keeping it true

`make support` runs all cells and writes `support.json` and this page; `.venv/bin/python -m tests.support.run llama` only those of one
line. `make test` runs each cell as a test of its own and fails where one is not as it stands here. `axolotl verify packing CONFIG`
shows on your own model and data that samples which share a row do not see each other.
"""
Rows = Mapping[str, Mapping[str, Any]]


def results() -> dict[str, Any]:
    """What the tests found."""
    return json.loads((HERE / "support.json").read_text(encoding="utf-8"))


def counts(rows: Rows) -> Counter[str]:
    """How many cells there are of each state."""
    return Counter(cell["state"] for row in rows.values() for cell in row["cells"].values())


def support_page() -> str:
    """The page as text."""
    found = results()
    rows, texts = found["rows"], found["columns"]
    attention = [name for name in texts if name.islower() and name not in _METHODS_LOWER]
    methods = [name for name in texts if name not in attention]
    number = counts(rows)
    return PAGE.format(
        **{state: number[state] for state in ("runs", "needs", "refused")},
        faults=f" **fault** {number['fault']} cells: it does not work yet."
        if number["fault"]
        else "",
        named=_named(rows),
        methods="\n".join(_table(rows, methods)),
        method_texts="\n".join(f"- **{name}**: {texts[name]}" for name in methods),
        attention="\n".join(_table(rows, attention)),
        attention_texts="\n".join(f"- `{name}`: {texts[name]}" for name in attention),
        reasons="\n".join(_reasons(rows)),
        rope="\n".join(_rope(rows)),
    )


_METHODS_LOWER = ("fp32", "bf16", "8-bit", "packing", "rope scaling")
"""Methods whose names are in small letters, as those of all attention backends are."""


def _named(rows: Rows) -> str:
    lines = defaultdict(list)
    for name, kind in NAMED.items():
        if kind in rows:
            lines[kind].append(name)
    pairs = (f"`{kind}` ({', '.join(names)})" for kind, names in lines.items())
    return f"Models that are often asked for have these lines: {'; '.join(pairs)}."


def _table(rows: Rows, columns: list[str]) -> Iterator[str]:
    heads = [f"`{name}`" if name.islower() and "_" in name else name for name in columns]
    yield f"| architecture | `model_type` | {' | '.join(heads)} |"
    yield "|---" * (len(columns) + 2) + "|"
    for kind, row in rows.items():
        marks = [MARKS[row["cells"][name]["state"]] for name in columns]
        yield f"| {row['title']} | `{kind}` | {' | '.join(marks)} |"


def _reasons(rows: Rows) -> Iterator[str]:
    """Each reason once, with the architectures that it is given for."""
    told: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for kind, row in rows.items():
        for column, cell in row["cells"].items():
            if cell["state"] != "runs":
                reason = cell["said"].replace(kind.partition(",")[0], "…").replace("|", "\\|")
                reason = re.sub(r"this is an? \w+", "this is …", reason)
                told[column, MARKS[cell["state"]], reason].append(kind)
    yield "| column | | architectures | what is said |"
    yield "|---|---|---|---|"
    for (column, mark, reason), kinds in sorted(told.items()):
        who = "all" if len(kinds) == len(rows) else ", ".join(f"`{kind}`" for kind in kinds)
        yield f"| {column} | {mark} | {who} | {reason} |"


def _rope(rows: Rows) -> Iterator[str]:
    kinds = defaultdict(list)
    for kind, row in rows.items():
        cell = row["cells"]["rope scaling"]
        if cell["state"] == "runs":
            kinds[cell["said"]].append(f"`{kind}`")
    yield "| kinds | architectures |"
    yield "|---|---|"
    for said, names in kinds.items():
        yield f"| {said} | {', '.join(names)} |"


if __name__ == "__main__":
    (HERE / "support.md").write_text(support_page(), encoding="utf-8")
