"""Environment variables that a tracker's library reads: set for a run, and then put back."""

from __future__ import annotations

import os


class Variables:
    """Variables that begin alike, as they were when this was made.

    Args:
        prefix: How they begin, such as `WANDB_`.
        defaults: Name → value of those to be set; one that the user has set stays.
    """

    def __init__(self, prefix: str, **defaults: str) -> None:
        self._prefix = prefix
        self._before = self._now()
        for name, value in defaults.items():
            os.environ.setdefault(name, value)

    def put_back(self) -> None:
        """Leave the variables as they were, those too that the library has set."""
        for name in self._now().keys() - self._before.keys():
            del os.environ[name]
        os.environ.update(self._before)

    def _now(self) -> dict[str, str]:
        return {k: v for k, v in os.environ.items() if k.startswith(self._prefix)}
