"""Where a merged model may be written: never over what the user would miss."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from axolotl.core.atomic import write_json
from axolotl.core.units import bytes_in_words
from axolotl.errors import ConfigError, EnvironmentFault

_SIGN, _RUN = "merge.json", "run.json"
_WRITTEN = "written"
_NAMED = 3
_LEFTOVER = r"\.{name}\.(old\.)?[a-z0-9_]{{8}}"


def check_target(out: Path, *, never: Iterable[Path], sign: str = _SIGN) -> None:
    """Refuse a folder that holds anything but an earlier merge; remove what a killed one left.

    Args:
        out: The target folder, which will be replaced as a whole.
        never: Places that must not be in it.
        sign: The file by which an earlier result is known; beside a run's record it is none.

    Raises:
        ConfigError: it is not to be replaced.
    """
    target = out.expanduser().resolve()
    for place in (*never, Path.cwd()):
        if place.expanduser().resolve().is_relative_to(target):
            raise ConfigError(
                "out",
                f"'{out}' holds '{place}', and would be replaced as a whole",
                where="--out",
                hint="name a folder of its own",
            )
    taken = target.is_file() or (target.is_dir() and any(target.iterdir()))
    written = _written(target / sign)
    earlier = written is not None and not (target / _RUN).is_file()
    if taken and not earlier:
        made = "no earlier merge" if sign == _SIGN else "not this command"
        raise ConfigError(
            "out",
            f"'{out}' is there already, and {made} made it",
            where="--out",
            hint="move it away, or name another folder",
        )
    others = sorted(_names(target) - {*written, sign}) if earlier and written else []
    if others:
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        raise ConfigError(
            "out",
            f"'{out}' would be replaced as a whole, and holds what is not of the earlier result: "
            f"{', '.join(others[:_NAMED])}{more}",
            where="--out",
            hint="move that away, or name another folder",
        )
    pattern = re.compile(_LEFTOVER.format(name=re.escape(out.name)))
    for left in out.parent.glob(".*"):
        if left.is_dir() and pattern.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True)


def sign_result(folder: Path, content: Mapping[str, Any], *, sign: str = _SIGN) -> None:
    """Write the file by which a result is known, with the names of all that was written.

    Args:
        folder: The folder of the result, complete but for this file.
        content: What else it says.
        sign: Its name.
    """
    write_json(folder / sign, {**content, _WRITTEN: sorted(_names(folder) - {sign})})


def _written(sign: Path) -> list[str] | None:
    """What an earlier result wrote by its sign; empty where it does not say, None where it is no sign."""
    try:
        content: object = json.loads(sign.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
        return None
    if not isinstance(content, dict):
        return None
    written = cast("dict[str, Any]", content).get(_WRITTEN, [])
    return [*map(str, cast("list[Any]", written))] if isinstance(written, list) else None


def _names(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def room_for(need_bytes: int, out: Path) -> None:
    """See that the disk has room for the weights, before a long write fails.

    Raises:
        EnvironmentFault: it has not.
    """
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < need_bytes:
        raise EnvironmentFault(
            f"{bytes_in_words(need_bytes)} are needed, {bytes_in_words(free)} are free",
            where=str(out),
            hint="free some space, name another folder with --out, or a smaller --dtype",
        )
