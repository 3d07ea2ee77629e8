"""DeepSpeed is loaded by runs that use it, and by no others.

Asked for the model inside its wrappers, accelerate (1.15) loads DeepSpeed wherever it is installed, to
see whether the model is one of its engines. That takes seconds in each training and merge, and prints
a line. A model can be an engine only where DeepSpeed has been loaded before.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any

import accelerate.utils.other


def deepspeed_if_loaded() -> ExitStack:
    """Let accelerate think meanwhile that DeepSpeed is there only if something has loaded it.

    Returns:
        What undoes the change, closed or left as a context.
    """
    asked_by: Any = accelerate.utils.other
    undo = ExitStack()
    undo.callback(setattr, asked_by, "is_deepspeed_available", asked_by.is_deepspeed_available)
    asked_by.is_deepspeed_available = lambda: "deepspeed" in sys.modules
    return undo
