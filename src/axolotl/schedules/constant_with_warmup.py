"""`constant`, but with a warm-up also where the file says nothing of one."""

from __future__ import annotations

from axolotl.schedules import short_warmup
from axolotl.schedules.constant import Options, factor

__all__ = ["Options", "default_warmup", "factor"]

default_warmup = short_warmup
