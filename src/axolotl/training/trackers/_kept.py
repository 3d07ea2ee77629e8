"""Under which names trackers keep a run, so that a resume goes on with the same: `trackers.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axolotl.core.atomic import write_json

TRACKERS_FILE = "trackers.json"


def kept(output_dir: Path, tracker: str) -> Mapping[str, Any]:
    """What a tracker has kept of the run in this folder; nothing where there is nothing readable."""
    found = _read(output_dir).get(tracker, {})
    return found if isinstance(found, dict) else {}


def keep(output_dir: Path, tracker: str, **values: Any) -> None:
    """Keep something of a tracker for the next start in this folder."""
    write_json(output_dir / TRACKERS_FILE, {**_read(output_dir), tracker: values})


def _read(output_dir: Path) -> dict[str, Any]:
    try:
        content = json.loads((output_dir / TRACKERS_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
