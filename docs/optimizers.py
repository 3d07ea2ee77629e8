"""Write `optimizers.md`, the page of optimizers and schedules: `make docs`.

Everything in it is what `axolotl.optimizers` and `axolotl.schedules` say of themselves.
`tests/test_project.py` fails when it is out of date.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from axolotl.config import options
from axolotl.optimizers import OLD_OPTIMIZERS, Facts, all_facts
from axolotl.registry import available, load

HERE = Path(__file__).resolve().parent
PAGE = """\
# Optimizers and schedules

<!-- Generated from src/axolotl/optimizers and src/axolotl/schedules by `make docs`; changes belong there. -->

## Optimizers

`optimizer:` takes one of these names. All have `learning_rate`, `weight_decay` and `max_grad_norm`; what else of the file they have
a use for stands in the third column, and what `optim_args` may hold, with its default, in the fourth. A package that is missing is
named by `axolotl check`, before anything is loaded.

| optimizer | needs | options of the file | `optim_args` |
|---|---|---|---|
{trains}

### Refused

| optimizer | why | instead |
|---|---|---|
{refused}

{old} are names of earlier releases, and read as what they mean today.

## Schedules

`lr_scheduler:` takes one of these names; options that are not options of the file stand in `lr_scheduler_kwargs`. The
tests hold each against the library's own at every step, or against its formula where the library has none.

| schedule | course | options |
|---|---|---|
{schedules}

`log_sweep` is to find which learning rate is good. In 2023 it had min in its first two steps, and ended one factor below max; now
each step has its own rate and the last has `log_sweep_max_lr`.
"""


def optimizers_page() -> str:
    """The page as text."""
    trains = {name: facts for name, facts in all_facts().items() if not facts.refused}
    refused = {name: facts for name, facts in all_facts().items() if facts.refused}
    old = ", ".join(f"`{a}` ({b})" for a, b in ((k, f"`{v}`") for k, v in OLD_OPTIMIZERS.items()))
    return PAGE.format(
        trains="\n".join(_optimizers(trains)),
        refused="\n".join(
            f"| `{name}` | {facts.refused} | `{facts.instead}` |"
            for name, facts in sorted(refused.items())
        ),
        old=old,
        schedules="\n".join(map(_schedule, available("axolotl.schedules"))),
    )


def _optimizers(rows: dict[str, Facts]) -> Iterator[str]:
    """Those that are alike in everything but the name share a line."""

    def alike(name: str) -> tuple[str, ...]:
        facts = rows[name]
        package = f"{facts.package} (extra `{facts.extra}`)" if facts.package else ""
        more = ["optim_target_modules"] if facts.projects else []
        takes = ", ".join(f"`{key}`" for key in [*sorted(facts.takes), *more])
        return facts.family, package, takes, _fields(facts.options)

    for (_, *cells), names in groupby(sorted(rows, key=lambda n: (alike(n), n)), key=alike):
        yield f"| {', '.join(f'`{n}`' for n in names)} | {' | '.join(cells)} |"


def _schedule(name: str) -> str:
    plug_in: Any = load("axolotl.schedules", name)
    doc = ast.get_docstring(ast.parse(inspect.getsource(plug_in))) or ""
    return f"| `{name}` | {doc.splitlines()[0]} | {_fields(plug_in.Options, of_the_file=True)} |"


def _fields(model: type[BaseModel], *, of_the_file: bool = False) -> str:
    """Names with their defaults; of a schedule, those that are options of the file come without."""
    known = options() if of_the_file else {}
    shown = [
        f"`{name}`" if name in known or field.is_required() else f"`{name}` ({field.default})"
        for name, field in model.model_fields.items()
        if name != "learning_rate"
    ]
    return ", ".join(shown)


if __name__ == "__main__":
    (HERE / "optimizers.md").write_text(optimizers_page(), encoding="utf-8")
