"""From what the user typed to the one configuration file that is meant."""

from __future__ import annotations

import os
from pathlib import Path

from axolotl.errors import ConfigError, EnvironmentFault
from axolotl.registry import nearest

SUFFIXES = (".yml", ".yaml")
LARGEST_BYTES = 4 * 2**20
_LISTED = 8


def find_config(path: Path) -> Path:
    """The file at `path`, or the only YAML file of the folder `path`.

    Raises:
        ConfigError: there is none, or there are several.
    """
    if path.is_dir():
        return _only_file(path)
    if not path.exists():
        raise ConfigError("", "no such file", where=str(path), hint=_nearby(path))
    return path


def read_text(path: Path) -> str:
    """The text of a configuration file.

    Raises:
        ConfigError: it is no UTF-8 text, or far too large for a configuration.
        EnvironmentFault: it may not be read.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            size = f"{path.stat().st_size / 2**20:.0f} MiB"
            raise ConfigError(
                "", f"{size} is too large for a configuration", where=str(path), hint=_nearby(path)
            )
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes().count(b"\n", 0, error.start) + 1
        raise ConfigError(
            "",
            f"byte {error.object[error.start]:#04x} is not UTF-8 text",
            where=f"{path}:{line}",
            hint="save the file as UTF-8",
        ) from error
    except OSError as error:
        raise EnvironmentFault(f"cannot be read: {error.strerror}", where=str(path)) from error


def _yaml_files(folder: Path) -> list[Path]:
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    except OSError:
        return []  # the message that lists them does without
    return [folder / name for name in names if name.endswith(SUFFIXES) and name[0] != "."]


def _only_file(folder: Path) -> Path:
    files = _yaml_files(folder)
    if len(files) == 1:
        return files[0]
    if not files:
        raise ConfigError("", "no .yml file in this folder", where=str(folder))
    raise ConfigError(
        "",
        f"this folder has {len(files)} configuration files",
        where=str(folder),
        hint=f"name one of: {_listed(files)}",
    )


def nearby_files() -> str:
    """What could be named, for a message."""
    files = _yaml_files(Path())
    return f"there are: {_listed(files)}" if files else f"there are no .yml files in {Path.cwd()}"


def _nearby(missing: Path) -> str:
    folder = missing.parent
    if not folder.is_dir():
        return f"there is no folder '{folder}' (from {Path.cwd()})"
    files = [file for file in _yaml_files(folder) if file != missing]
    if not files:
        return f"'{folder}' has no .yml files (from {Path.cwd()})"
    names = [file.name for file in files]
    if guess := nearest(missing.name, names) or nearest(missing.stem, names):
        return f"did you mean '{folder / guess}'?"
    return f"there are: {_listed(files)}"


def _listed(files: list[Path]) -> str:
    more = f" and {len(files) - _LISTED} more" if len(files) > _LISTED else ""
    return ", ".join(map(str, files[:_LISTED])) + more
