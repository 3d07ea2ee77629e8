"""Files behind an address: `s3://`, `gs://`, `hf://`, `https://` and whatever fsspec knows.

What the address names is looked up when the sources are found; a file is fetched when it is first read.
"""

from __future__ import annotations

import errno
import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from axolotl.data.fetched import Advance, fetched, shown
from axolotl.data.files import FileSource, open_files
from axolotl.data.http import fetch_http
from axolotl.data.listing import data_names, no_data, of_split, say_no_splits
from axolotl.data.rows import RowChunk
from axolotl.data.source import Wanted
from axolotl.errors import AxolotlError, DataError, EnvironmentFault
from axolotl.registry import nearest

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_WEB = ("http://", "https://")
_SET_PAGE = re.compile(r"https?://huggingface\.co/datasets/([^/]+/[^/]+)/?(?:tree/.*)?")
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
_VERSIONS = (
    *("ETag", "etag", "blob_id", "xet_hash", "md5Hash", "generation"),
    *("LastModified", "last_modified", "updated", "mtime", "modify", "created"),
)
"""What file systems call the thing that changes with the content, the surest first."""
_LOGIN = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE; for a public bucket "
    "FSSPEC_S3_ANON=true",
    "gs": "log in with `gcloud auth application-default login`; for a public bucket "
    "FSSPEC_GS_TOKEN=anon",
    "hf": "add `hf_use_auth_token: true` and log in with `hf auth login`; a gated data set has to be "
    "asked for on its page",
}


def is_remote(path: str) -> bool:
    """Whether a path is an address: something with `://`, but a local one."""
    return bool(_ADDRESS.match(path)) and not path.startswith("file://")


@dataclass(frozen=True, eq=False)
class RemoteSource:
    """A file behind an address, fetched when it is first needed.

    Args:
        label: Its address, for messages.
        file: The file.
        wanted: What it is.
        relative: Its name within the folder that was asked for.
    """

    label: str
    file: _HttpFile | _OtherFile
    wanted: Wanted
    relative: str = ""

    @property
    def weight(self) -> float:
        """Its size in bytes, to share out a progress bar."""
        return self.local.weight

    def identity(self) -> str:
        """Hash of its content, which has to be fetched for it."""
        return self.local.identity()

    def count(self) -> int:
        """How many rows it has."""
        return self.local.count()

    def chunks(self, start_row: int = 0) -> Iterator[RowChunk]:
        """Its rows behind the first `start_row`, a bounded number at a time."""
        yield from self.local.chunks(start_row)

    @cached_property
    def local(self) -> FileSource:
        """The copy of it.

        Raises:
            DataError: it is an archive of several files, which only its content tells.
        """
        found = self.members()
        if len(found) > 1:
            raise DataError(
                f"an archive of {len(found)} files, and its name does not say so",
                where=self.label,
                hint="give it a name that ends in .zip, or unpack it",
            )
        return found[0]

    def members(self) -> list[FileSource]:
        """The copy of it, or what is in it where it is an archive."""
        return open_files(self.file.fetch(), self.label, self.wanted, relative=self.relative)


@dataclass(frozen=True, slots=True)
class _HttpFile:
    url: str
    page: bool

    def fetch(self) -> Path:
        return fetch_http(self.url, page=self.page)


@dataclass(frozen=True, slots=True)
class _OtherFile:
    url: str
    files: Any
    info: Mapping[str, Any]

    def fetch(self) -> Path:
        path = self.info["name"]
        said = [str(self.info[name]) for name in _VERSIONS if self.info.get(name)]

        def write(target: Path, advance: Advance) -> None:
            from fsspec.callbacks import Callback

            class Told(Callback):
                def relative_update(self, inc: int = 1) -> None:
                    advance(inc)

            with remote_faults(self.url):
                self.files.get_file(path, str(target), callback=Told())

        size = self.info.get("size")
        return fetched(self.url, [said[0], size] if said else None, path, size=size, write=write)


def open_remote(url: str, patterns: Sequence[str], wanted: Wanted) -> list[Any]:
    """The files that an address names: one, those of a folder, or those that fit a pattern.

    Args:
        url: The address.
        patterns: Files or patterns within it; by default all that is there.
        wanted: What the files are, and which split is read.

    Returns:
        Sources, fetched when they are first read; archives are fetched at once.

    Raises:
        DataError: nothing is there, or it cannot be reached.
        EnvironmentFault: a package is missing.
    """
    if patterns:
        whole = [p if is_remote(p) else f"{url.rstrip('/')}/{p}" for p in patterns]
        found = {s.label: s for one in whole for s in open_remote(one, [], wanted)}
        return list(found.values())
    if url.lower().startswith(_WEB):
        path = urlsplit(url).path
        if "*" in path or path.endswith("/"):
            raise DataError(
                "files behind https:// cannot be listed",
                where=shown(url),
                hint="name each of them in data_files",
            )
        if page := _SET_PAGE.fullmatch(url):
            raise DataError(
                "the page of a data set, and not a file",
                where=shown(url),
                hint=f"write `path: {page[1]}`, or hf://datasets/{page[1]}/… for files of it",
            )
        file = _HttpFile(url, page=wanted.ds_type == "text" or path.endswith(".txt"))
        say_no_splits(shown(url), unquote(path), wanted.split)
        return _unpacked(RemoteSource(shown(url), file, wanted), unquote(path))
    return [
        source
        for name, file in _listed(url, wanted).items()
        for source in _unpacked(RemoteSource(shown(file.url), file, wanted, name), name)
    ]


def _unpacked(source: RemoteSource, name: str) -> list[Any]:
    """The file, or the members of an archive, which only the archive itself tells."""
    return source.members() if name.lower().endswith(".zip") else [source]


def _listed(url: str, wanted: Wanted) -> dict[str, _OtherFile]:
    """Files by their names relative to the folder or pattern."""
    files, path = _file_system(url, wanted.token)
    pattern = glob.has_magic(path)
    with remote_faults(url):
        files.invalidate_cache()
        info = None if pattern else _info(files, path, url)
        if info and info["type"] == "file":
            say_no_splits(shown(url), path, wanted.split)
            return {path.rpartition("/")[2]: _OtherFile(url, files, info)}
        infos = files.glob(path, detail=True) if pattern else files.find(path, detail=True)
    inner = path.strip("/")
    root = url.rstrip("/").removesuffix(inner) if inner in url else f"{url.partition('://')[0]}://"
    folder = re.split(r"[*?\[]", path)[0].rpartition("/")[0] if pattern else path
    by_name = {
        info["name"][len(folder.rstrip("/")) :].lstrip("/"): info
        for info in infos.values()
        if info["type"] == "file"
    }
    names = sorted(by_name) if pattern else data_names(by_name, ds_type=wanted.ds_type)
    if not names and pattern:
        raise DataError("no file fits the pattern", where=shown(url), hint="check the address")
    if not names:
        raise no_data(shown(url), wanted.key, sorted(by_name))
    if not pattern:
        names = of_split(names, wanted.split, folder=shown(url), key=wanted.key)
    return {
        name: _OtherFile(root + by_name[name]["name"].lstrip("/"), files, by_name[name])
        for name in names
    }


def _info(files: Any, path: str, url: str) -> Mapping[str, Any]:
    """What the other side says of a file or folder.

    Raises:
        DataError: there is none; names a similar one beside it.
    """
    try:
        return files.info(path)
    except FileNotFoundError as error:
        parent, _, name = path.rstrip("/").rpartition("/")
        try:
            there = [beside.rpartition("/")[2] for beside in files.ls(parent, detail=False)]
        except (OSError, ValueError):
            there = []
        hint = "check the address: bucket, folder and name"
        if guess := nearest(name, there):
            hint = f"did you mean '{shown(url).rpartition('/')[0]}/{guess}'?"
        elif url.startswith("hf://") and not url.startswith(("hf://datasets/", "hf://buckets/")):
            hint = f"the address of a data set is hf://datasets/{url.removeprefix('hf://')}"
        elif url.startswith("hf://"):
            hint = f"check the address; or, if it is private, {_LOGIN['hf']}"
        raise DataError("no such file or folder", where=shown(url), hint=hint) from error


def _file_system(url: str, token: bool | None) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    from fsspec.core import url_to_fs
    from fsspec.registry import get_filesystem_class, known_implementations

    protocol = url.partition("://")[0]
    try:
        get_filesystem_class(protocol)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        known = known_implementations.get(protocol, {}).get("err", str(error))
        raise EnvironmentFault(
            f"{protocol}:// needs a package that is not installed: {known}",
            where=shown(url),
            hint=f"pip install 'axolotl[{extra}]'" if extra else None,
        ) from error
    except ValueError as error:
        raise DataError(
            f"'{protocol}://' is no address that can be read",
            where=shown(url),
            hint="s3://, gs://, hf:// and https:// are, and local paths",
        ) from error
    options = {"token": token} if protocol == "hf" and token is not None else {}
    with remote_faults(url):
        return url_to_fs(url, **options)


@contextmanager
def remote_faults(url: str) -> Iterator[None]:
    """Turn what a file system of fsspec raises into one message with the address."""
    label, protocol = shown(url), url.partition("://")[0]
    try:
        yield
    except AxolotlError:
        raise
    except FileNotFoundError as error:
        hint = "check the address: bucket, folder and name"
        raise DataError("no such file or folder", where=label, hint=hint) from error
    except PermissionError as error:
        raise _refused(error, label, protocol) from error
    except Exception as error:  # every protocol has a tree of exceptions of its own
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        if re.search("credential|unauthorized|forbidden|401|403", f"{type(error)} {said}", re.I):
            raise _refused(error, label, protocol) from error
        raise DataError(
            f"cannot be read: {said}",
            where=label,
            hint="check the address, the log-in and the connection",
        ) from error


def _refused(error: Exception, label: str, protocol: str) -> DataError:
    said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    hint = _LOGIN.get({"s3a": "s3", "gcs": "gs"}.get(protocol, protocol), "check the log-in")
    return DataError(f"access is refused: {said}", where=label, hint=hint)
