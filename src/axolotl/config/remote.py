"""Configurations behind an address: fetched once, checked for being one, never kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from axolotl.errors import ConfigError

if TYPE_CHECKING:
    from http.client import HTTPMessage

TIMEOUT_S = 20.0
_ANOTHER = "is the address complete, and does it open in a browser?"
_WEB_PAGE = re.compile(r"\s*<(!doctype|html|\?xml)", re.IGNORECASE)


def is_url(text: str) -> bool:
    """Whether a text is an address rather than a path."""
    return text.lower().startswith(("http://", "https://"))


def raw_url(url: str) -> str:
    """The address of a file itself, where `url` is the page on GitHub that shows it.

    >>> raw_url("https://github.com/me/runs/blob/main/a/b.yml")
    'https://raw.githubusercontent.com/me/runs/main/a/b.yml'
    """
    page = r"https?://(?:www\.)?github\.com/([^/]+)/([^/]+)/(?:blob|raw)/([^?#]+)(?:[?#].*)?"
    match = re.fullmatch(page, url)
    return f"https://raw.githubusercontent.com/{'/'.join(match.groups())}" if match else url


def shown_url(url: str) -> str:
    """An address for messages, without what may hold a secret.

    >>> shown_url("https://me:password@host/a.yml?token=1")
    'https://host/a.yml'
    """
    return re.sub(r"^(https?://)[^/@]*@", r"\1", re.split(r"[?#]", url)[0], flags=re.IGNORECASE)


def fetch(url: str, *, most_bytes: int) -> bytes:
    """What an address has.

    Args:
        url: The address.
        most_bytes: No more than one byte beyond this is read.

    Raises:
        ConfigError: it cannot be fetched, or has a web page instead of a file.
    """
    import http.client
    import urllib.error
    import urllib.request

    name = shown_url(url)
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "axolotl"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            content: bytes = answer.read(most_bytes + 1)
            headers: HTTPMessage = answer.headers
    except urllib.error.HTTPError as error:
        error.close()
        raise _refused(error.code, error.reason, name) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        # A URLError is an OSError and wraps what the system said; ValueError is a bad address.
        said = str(getattr(error, "reason", None) or error) or type(error).__name__
        raise ConfigError(
            "",
            f"cannot be fetched: {said}",
            where=name,
            hint="check the address and the network, or save the file and name that",
        ) from error
    if headers.get_content_type() == "text/html" or _WEB_PAGE.match(
        content[:200].decode("latin-1")
    ):
        raise ConfigError(
            "",
            "this address has a web page, not a YAML file",
            where=name,
            hint="give the address of the file itself (on many sites behind 'raw')",
        )
    return content


def _refused(code: int, reason: str, name: str) -> ConfigError:
    if code in (404, 410):
        return ConfigError("", f"no such file ({code})", where=name, hint=_ANOTHER)
    if code in (401, 403):
        hint = "it is not public; save the file and name that"
        return ConfigError("", f"access is refused ({code})", where=name, hint=hint)
    return ConfigError(
        "", f"the server answers {code} {reason}".rstrip(), where=name, hint=_ANOTHER
    )
