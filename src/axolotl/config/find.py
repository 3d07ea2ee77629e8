"""From what the user typed to the text of the one configuration that is meant."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from axolotl.config.remote import fetch, is_url, raw_url, shown_url
from axolotl.core.units import bytes_in_words
from axolotl.errors import ConfigError, EnvironmentFault
from axolotl.registry import nearest

SUFFIXES = (".yml", ".yaml")
LARGEST_BYTES = 4_000_000
STDIN = "<stdin>"
EXAMPLES = Path("examples")
"""The folder that is looked into when nothing is named."""

_LISTED = 8
_LONGEST_NAME = 255
_MARKS = (b"\xff\xfe", b"\xfe\xff")
"""How texts of two or four bytes a character begin."""


@dataclass(frozen=True, slots=True)
class Source:
    """One configuration, not read yet: a file, an address, or standard input.

    Args:
        name: What messages call it.
        path: The file.
        url: The address.
    """

    name: str
    path: Path | None = None
    url: str | None = None

    @property
    def identity(self) -> str:
        """The same for two names of one file."""
        return os.path.realpath(self.path) if self.path else self.url or self.name


def find_source(named: str | Path, *, ask: bool = False) -> Source:
    """The configuration that is named.

    Args:
        named: A file, a folder with YAML files, an http(s) address, or `-` for standard input.
        ask: Whether the user may be asked which of several files of a folder is meant.

    Raises:
        ConfigError: there is none, or there are several.
        EnvironmentFault: it may not be looked at.
    """
    if named == "-":
        return Source(STDIN)
    if isinstance(named, str) and is_url(named):
        return web_source(named)
    path = Path(os.path.expanduser(named))  # noqa: PTH111  Path's own fails for unknown users
    kind = _kind(path)
    if kind == stat.S_IFDIR:
        path = _one_of(path, ask=ask)
        kind = _kind(path)
    if kind is None:
        raise ConfigError("", "no such file", where=str(path), hint=_nearby(path))
    if kind != stat.S_IFREG:
        raise ConfigError(
            "",
            "this is no ordinary file",
            where=str(path),
            hint="name a file, or write `-` and send the text to standard input",
        )
    return Source(str(path), path=path)


def default_source(*, ask: bool) -> Source:
    """The configuration that is meant when none is named: one of the folder `examples`."""
    if _yaml_files(EXAMPLES):
        return find_source(EXAMPLES, ask=ask)
    files = _yaml_files(Path())
    there = f"there are: {_listed(files)}" if files else f"there are no .yml files in {Path.cwd()}"
    raise ConfigError("", "no configuration file is named", hint=there)


def web_source(url: str) -> Source:
    """The configuration at an address."""
    return Source(shown_url(url), url=raw_url(url))


def read_source(source: Source) -> str:
    """The text of a configuration.

    Raises:
        ConfigError: it is no UTF-8 text, or far too large for a configuration.
        EnvironmentFault: it may not be read.
    """
    try:
        content = _bytes(source)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot be read: {error.strerror or error}", where=source.name
        ) from error
    if len(content) > LARGEST_BYTES:
        raise _too_large(source, f"more than {bytes_in_words(LARGEST_BYTES)}")
    return _decode(content, source.name)


def _bytes(source: Source) -> bytes:
    if source.url is not None:
        return fetch(source.url, most_bytes=LARGEST_BYTES)
    if source.path is None:
        if sys.stdin is None:  # a service may have none
            return b""
        return sys.stdin.buffer.read(LARGEST_BYTES + 1)
    size = source.path.stat().st_size
    if size > LARGEST_BYTES:
        raise _too_large(source, bytes_in_words(size))
    return source.path.read_bytes()


def _too_large(source: Source, size: str) -> ConfigError:
    hint = _nearby(source.path) if source.path else None
    return ConfigError("", f"{size} is too large for a configuration", where=source.name, hint=hint)


def _decode(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what, where = f"byte {content[error.start]:#04x} is not UTF-8 text", f"{name}:{line}"
        if content.startswith(_MARKS):
            what, where = "this is UTF-16 text, not UTF-8", name
        raise ConfigError("", what, where=where, hint="save the file as UTF-8") from error


def _kind(path: Path) -> int | None:
    """What stands at a path, as `stat` calls it; None if nothing does."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except PermissionError as error:
        raise EnvironmentFault(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (OSError, ValueError):  # not there, a name too long, a loop of links, a NUL
        return None


def _yaml_files(folder: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  only the names are needed
    except (OSError, ValueError):
        return []  # the message that lists them does without
    found = [folder / name for name in names if name.endswith(SUFFIXES) and name[0] != "."]
    return [file for file in found if os.path.isfile(file)]  # noqa: PTH113  a bad link is none


def _one_of(folder: Path, *, ask: bool) -> Path:
    files = _yaml_files(folder)
    if len(files) == 1:
        return files[0]
    if not files:
        raise ConfigError("", "no .yml file in this folder", where=str(folder))
    if ask and (chosen := _ask(folder, files)):
        return chosen
    raise ConfigError(
        "",
        f"this folder has {len(files)} configuration files",
        where=str(folder),
        hint=f"name one of: {_listed(files)}",
    )


def _ask(folder: Path, files: Sequence[Path]) -> Path | None:
    """The file that the user chooses; None where nobody can be asked, or nobody answers."""
    streams = (sys.stdin, sys.stderr)
    # Of several processes that a launcher started, none can ask for all.
    if "LOCAL_RANK" in os.environ or not all(stream and stream.isatty() for stream in streams):
        return None
    lines = [f"{number:>4}  {file.name}" for number, file in enumerate(files, 1)]
    sys.stderr.write("\n".join([f"{folder} has several configuration files:", *lines, ""]))
    while True:
        sys.stderr.write(f"number (1 to {len(files)}): ")
        sys.stderr.flush()
        answer = sys.stdin.readline()
        if not answer:
            sys.stderr.write("\n")
            return None
        number = answer.strip()
        if number.isdecimal() and len(number) < 9 and 1 <= int(number) <= len(files):
            return files[int(number) - 1]


def _nearby(missing: Path) -> str:
    folder = missing.parent
    if not is_folder(folder):
        return f"there is no folder '{folder}' (from {Path.cwd()})"
    files = [file for file in _yaml_files(folder) if file != missing]
    if not files:
        return f"'{folder}' has no .yml files (from {Path.cwd()})"
    names = [file.name for file in files]
    name = missing.name[:_LONGEST_NAME]
    if guess := nearest(name, names) or nearest(Path(name).stem, names):
        return f"did you mean '{folder / guess}'?"
    return f"there are: {_listed(files)}"


def is_folder(path: Path) -> bool:
    """Whether there is a folder at a path, whatever the path is like."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _listed(files: Sequence[Path]) -> str:
    more = f" and {len(files) - _LISTED} more" if len(files) > _LISTED else ""
    return ", ".join(map(str, files[:_LISTED])) + more
