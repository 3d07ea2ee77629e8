"""Lines that libraries write to their logs and that tell a user nothing.

Each is left out by the logger that it comes from and by its beginning; everything else that those
loggers have to say is written as ever.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

USELESS: Mapping[str, Sequence[str]] = {
    # A faster kernel for answers on CPUs; the layers that would use it are told not to.
    "bitsandbytes.backends.cpu.ops": ("Failed to load CPU gemm_4bit_forward",),
    # Once for each layer and call; how LLM.int8 works.
    "bitsandbytes.autograd._functions": ("MatMul8bitLt: inputs will be cast from",),
    # torchao is looked at by peft wherever it is installed; its parts for GPUs and Triton are not.
    "torchao": ("Failed to load ",),
    "torchao.kernel.intmm": ("Warning: Detected no triton",),
    "torch.utils._pytree": ("<enum 'KernelPreference'>", "<enum 'ScaleCalculationMode'>"),
}
"""Name of a logger → how the lines begin that are left out."""


def leave_out_useless_lines() -> None:
    """From now on; doing it twice changes nothing. Imports none of the libraries."""
    for name, beginnings in USELESS.items():
        logger = logging.getLogger(name)
        if not any(isinstance(known, _Useless) for known in logger.filters):
            logger.addFilter(_Useless(tuple(beginnings)))


class _Useless(logging.Filter):
    def __init__(self, beginnings: tuple[str, ...]) -> None:
        super().__init__()
        self.beginnings = beginnings

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is written."""
        return not record.getMessage().lstrip().startswith(self.beginnings)
