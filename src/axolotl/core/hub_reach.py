"""Whether the hub is there, before its library asks it: that tries for half a minute, line by line."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from axolotl.core.console import note_once

_PAUSES_SECONDS = (0.5, 1.0)
"""How long to wait before each further try; a name that is not found for a moment comes back soon."""
_PATIENCE_SECONDS = 5.0
_TRIES = ("Retrying in", "Rate limited", "thrown while requesting")
"""What the library's lines about further tries have in them."""


@contextmanager
def hub_asked_briefly() -> Iterator[None]:
    """While the body runs, the hub's library does not wait for a hub that is not there.

    It then goes by its local cache, as with HF_HUB_OFFLINE, and raises where that has nothing. Where
    the hub is there and fails, the library's lines about further tries are one note.
    """
    from huggingface_hub import constants, get_session
    from huggingface_hub.errors import OfflineModeIsEnabled

    fault = None if constants.HF_HUB_OFFLINE else why_not_reached(constants.ENDPOINT)

    def refuse(_: Any) -> None:
        raise OfflineModeIsEnabled(f"{constants.ENDPOINT} is not reached: {fault}")

    session = get_session()
    hooks = session.event_hooks
    logger = logging.getLogger("huggingface_hub.utils._http")
    if fault is not None:
        session.event_hooks = {**hooks, "request": [refuse, *hooks["request"]]}
    logger.addFilter(_as_note)
    try:
        yield
    finally:
        logger.removeFilter(_as_note)
        session.event_hooks = hooks


def why_not_reached(url: str) -> str | None:
    """Why no connection to a server comes about; None where one does, or a proxy would have to say.

    >>> why_not_reached("http://127.0.0.1:1")
    'Connection refused'
    """
    parts = urlsplit(url)
    host, proxies = parts.hostname or "", getproxies()
    if not proxy_bypass(host) and ({parts.scheme, "all"} & proxies.keys()):
        return None
    port = parts.port or (80 if parts.scheme == "http" else 443)
    fault = None
    for pause in (0.0, *_PAUSES_SECONDS):
        time.sleep(pause)
        try:
            socket.create_connection((host, port), timeout=_PATIENCE_SECONDS).close()
        except OSError as error:
            fault = error.strerror or str(error)
        else:
            return None
    return fault


def _as_note(record: logging.LogRecord) -> bool:
    if not any(words in record.getMessage() for words in _TRIES):
        return True
    note_once("the hub does not answer as it should; asking again for up to half a minute")
    return False
