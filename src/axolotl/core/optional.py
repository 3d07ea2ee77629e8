"""Packages that only some options need."""

from __future__ import annotations

import importlib
from types import ModuleType

from axolotl.errors import EnvironmentFault


def need(module: str, *, extra: str, why: str) -> ModuleType:
    """Import `module`, which comes with the extra `extra`.

    Args:
        module: Dotted name to import.
        extra: Name of the extra in `pyproject.toml`.
        why: What asks for it, such as `base_model: x.gguf`.

    Raises:
        EnvironmentFault: it is not installed; an import error inside it stays as it is.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise EnvironmentFault(
            f"{why} needs the package '{error.name}', which is not installed",
            hint=f"pip install 'axolotl[{extra}]'",
        ) from error
