"""Files behind `https://` and `http://`."""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

from axolotl.config.remote import raw_url
from axolotl.core.console import note_once
from axolotl.data.fetched import Advance, came_short, fetched, last_copy, remember, shown
from axolotl.errors import DataError

TIMEOUT_S = 30.0
PAUSES_S = (1.0, 4.0)
"""How long to wait before each further try, where the server or the connection is at fault."""
_PIECE = 1 << 20
_PAGE_ON_HUB = re.compile(r"(https?://[^/]+/datasets/[^/]+/[^/]+)/blob/(.+)")


def fetch_http(url: str, *, page: bool = False) -> Path:
    """The copy of the file behind an address; the last one where the server cannot be reached.

    Args:
        url: The address; that of a page of GitHub or the hub which shows a file stands for the file.
        page: Whether a web page is what is wanted.

    Raises:
        DataError: it cannot be fetched; names the address, without what may be secret.
        EnvironmentFault: the disk is full or not writable.
    """
    url = _PAGE_ON_HUB.sub(r"\1/resolve/\2", raw_url(url))
    for pause in (*PAUSES_S, None):
        try:
            copy = _fetch(url, page)
            remember(url, copy)
            return copy
        except _Trouble as trouble:
            if pause is None and (kept := last_copy(url)) is not None:
                when = time.strftime("%Y-%m-%d %H:%M", time.localtime(kept.stat().st_mtime))
                note_once(
                    f"{trouble.error.where}: {trouble.error.what}; the copy of {when} is read"
                )
                return kept
            if pause is None:
                raise trouble.error from trouble.__cause__
            note_once(f"{trouble.error.where}: {trouble.error.what}; tried again")
            time.sleep(pause)
    raise AssertionError


class _Trouble(Exception):
    """A failure that another try may mend."""

    def __init__(self, error: DataError) -> None:
        self.error = error


def _fetch(url: str, page: bool) -> Path:
    label = shown(url)
    with closing(_open(url, label)) as answer:
        headers = answer.headers
        if headers.get_content_type() == "text/html" and not page:
            raise DataError(
                "a web page instead of data",
                where=label,
                hint="give the address of the file itself: on many sites it has 'raw' or 'resolve' in it",
            )
        length = headers.get("Content-Length")
        size = int(length) if length and not headers.get("Content-Encoding") else None
        tag, changed = headers.get("ETag"), headers.get("Last-Modified")
        named = headers.get_filename() or urllib.parse.urlsplit(url).path
        # A strong tag names the content whatever the rest of the address, which may be a signature.
        strong = bool(tag) and not tag.startswith("W/")

        def write(target: Path, advance: Advance) -> None:
            with target.open("wb") as out:
                while piece := _read(answer, label):
                    out.write(piece)
                    advance(len(piece))
            came = target.stat().st_size
            if size is not None and came != size:
                raise _Trouble(came_short(label, came, size))

        return fetched(
            label if strong else url,
            [tag, changed, size] if tag or changed else None,
            urllib.parse.unquote(named),
            size=size,
            write=write,
        )


def _open(url: str, label: str) -> Any:
    request = urllib.request.Request(url, headers={"User-Agent": "axolotl"})
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        refused = _refused(error.code, error.reason, label)
        if error.code == 429 or error.code >= 500:
            raise _Trouble(refused) from error
        raise refused from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _unreachable(error, label) from error


def _read(answer: Any, label: str) -> bytes:
    try:
        return answer.read(_PIECE)
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(error, label) from error


def _unreachable(error: Exception, label: str) -> Exception:
    # A URLError is an OSError and wraps what the system said; ValueError is a bad address.
    said = str(getattr(error, "reason", None) or error) or type(error).__name__
    found = DataError(
        f"cannot be fetched: {said}",
        where=label,
        hint="check the address and the network, or fetch the file by other means and name that",
    )
    return found if isinstance(error, (ValueError, http.client.InvalidURL)) else _Trouble(found)


def _refused(code: int, reason: str, label: str) -> DataError:
    said = f"{code} {reason}".rstrip()
    if code in (404, 410):
        hint = "is the address complete, and does it open in a browser?"
        return DataError(f"no such file ({said})", where=label, hint=hint)
    if code in (401, 403):
        hint = "it is not public, or the signature in the address has expired"
        if "/resolve/" in label and "/datasets/" in label:
            hint = "name it as hf://datasets/owner/name/file with `hf_use_auth_token: true`"
        return DataError(f"access is refused ({said})", where=label, hint=hint)
    hint = "the server is at fault: try it later" if code >= 500 or code == 429 else None
    return DataError(f"the server answers {said}", where=label, hint=hint)
