"""Packed files: gzip, bzip2, xz and zstd streams, and the members of a zip archive."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from axolotl.data.rows import CHUNK_BYTES
from axolotl.errors import DataError

COMPRESSED = {
    ".gz": b"\x1f\x8b",
    ".bz2": b"BZh",
    ".xz": b"\xfd7zXZ\x00",
    ".zst": b"\x28\xb5\x2f\xfd",
}
"""Suffix → the bytes that such a file begins with."""
_ZIP = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
HEAD_BYTES = 512


@dataclass(frozen=True, slots=True)
class Packed:
    """A file, or a member of a zip archive, that may be compressed.

    Args:
        path: The file.
        member: Name of the member, where the file is a zip archive.
        compression: The suffix of its compression, or empty.
    """

    path: Path
    member: str = ""
    compression: str = ""

    @contextmanager
    def opened(self) -> Iterator[tuple[BinaryIO, Callable[[], float]]]:
        """The unpacked bytes, and a function that tells which share of them has been read."""
        if self.member:
            with zipfile.ZipFile(self.path) as archive:
                size = archive.getinfo(self.member).file_size
                with archive.open(self.member) as raw:
                    stream = _decompressed(raw, self.compression)
                    yield stream, lambda: min(1.0, raw.tell() / max(size, 1))
            return
        size = self.path.stat().st_size
        with self.path.open("rb") as raw:
            stream = _decompressed(raw, self.compression)
            yield stream, lambda: min(1.0, raw.tell() / max(size, 1))

    @property
    def size_bytes(self) -> int:
        """Its size where it lies."""
        if not self.member:
            return self.path.stat().st_size
        with zipfile.ZipFile(self.path) as archive:
            return archive.getinfo(self.member).compress_size


def look_into(path: Path, member: str = "") -> tuple[Packed, bytes]:
    """How a file is packed, and the first bytes of what is in it."""
    plain = Packed(path, member)
    with plain.opened() as (stream, _):
        head = stream.read(HEAD_BYTES)
    compression = next((s for s, magic in COMPRESSED.items() if head.startswith(magic)), "")
    if not compression:
        return plain, head
    packed = Packed(path, member, compression)
    try:
        with packed.opened() as (stream, _):
            return packed, stream.read(HEAD_BYTES)
    except _DAMAGES:  # said with the row when the file is read
        return packed, b""


def is_zip(path: Path) -> bool:
    """Whether the file is a zip archive; its name does not matter."""
    with path.open("rb") as stream:
        return stream.read(4) in (_ZIP, _EMPTY_ZIP)


def members(path: Path, label: str) -> list[str]:
    """Names of the files in a zip archive.

    Raises:
        DataError: it is cut, or its files are encrypted.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = [info for info in archive.infolist() if not info.is_dir()]
    except zipfile.BadZipFile as error:
        raise DataError(
            f"the archive is cut short or damaged: {error}", where=label, hint="get the file again"
        ) from error
    if any(info.flag_bits & 1 for info in found):
        raise DataError("the archive is encrypted", where=label, hint="unpack it")
    return [info.filename for info in found]


_DAMAGES = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, OSError)


@contextmanager
def damages(label: str, rows: Callable[[], int]) -> Iterator[None]:
    """Turn what unpacking says of a damaged file into a `DataError`.

    Args:
        label: Name of the file.
        rows: Gives the number of rows that were read before.
    """
    try:
        yield
    except _DAMAGES as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's, and not of the content
        raise DataError(
            f"the compressed file is cut short or damaged: {str(error).splitlines()[0]}",
            where=f"{label}, behind row {rows()}",
            hint="get the file again",
        ) from error


def _decompressed(raw: Any, compression: str) -> BinaryIO:
    if not compression:
        return raw
    openers: dict[str, Callable[[Any], Any]] = {
        ".gz": gzip.open,
        ".bz2": bz2.open,
        ".xz": lzma.open,
        ".zst": _zstd,
    }
    return io.BufferedReader(openers[compression](raw), CHUNK_BYTES)


def _zstd(raw: Any) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(raw, "zstd")
