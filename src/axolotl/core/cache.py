"""Where downloaded and converted files are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """A folder under `$XDG_CACHE_HOME/axolotl` (`~/.cache/axolotl`); it need not exist yet."""
    root = os.environ.get("XDG_CACHE_HOME")
    return Path(root or Path.home() / ".cache").joinpath("axolotl", *parts)
