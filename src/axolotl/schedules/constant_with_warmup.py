"""`constant`, but with a warm-up also where the file says nothing of one."""

from __future__ import annotations

from axolotl.schedules.constant import Options, factor

__all__ = ["WARMS_UP", "Options", "factor"]

WARMS_UP = True
