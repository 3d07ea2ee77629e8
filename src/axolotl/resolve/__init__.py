"""`Config` to `Resolved`: defaults that follow from other options, and rules across options."""

from axolotl.resolve.all_told import all_told
from axolotl.resolve.case import Purpose
from axolotl.resolve.resolve import examine, resolve
from axolotl.resolve.resolved import Resolved

__all__ = ["Purpose", "Resolved", "all_told", "examine", "resolve"]
