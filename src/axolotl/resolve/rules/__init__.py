"""Rules across options: one file for each area, each rule a small function.

They are held against what is written, before defaults are filled in. A message begins with the key
that it is about. `RULES` is the table of all of them; a rule is added to the `TABLE` of its file.
"""

from __future__ import annotations

from collections.abc import Sequence

from axolotl.resolve.case import Rule
from axolotl.resolve.rules import (
    adapter,
    attention,
    chat,
    data,
    distributed,
    evaluation,
    loop,
    loss,
    model,
    no_effect,
    not_yet,
    optimizer,
    precision,
    quantization,
    rebuilt,
    relora,
    rope,
    rows,
    schedule,
    selection,
    streaming,
    tracking,
    variants,
)

_FILES = (
    precision,
    model,
    quantization,
    adapter,
    variants,
    relora,
    data,
    chat,
    streaming,
    rows,
    selection,
    attention,
    rebuilt,
    rope,
    loss,
    loop,
    optimizer,
    schedule,
    evaluation,
    tracking,
    distributed,
    not_yet,
    no_effect,
)

RULES: Sequence[Rule] = [
    Rule(check.__name__.replace("_", "-"), tuple(keys.split()), check)
    for file in _FILES
    for check, keys in file.TABLE
]
"""All rules."""
