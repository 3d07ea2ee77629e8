"""What pages of one file are put together from, and what keeps data from becoming markup in them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any


def part(name: str) -> str:
    """The text of a file in `reports/pages`."""
    return (files("axolotl.reports") / "pages" / name).read_text("utf-8")


def security_policy(*, scripts: Sequence[str], styles: Sequence[str]) -> str:
    """A policy that lets these scripts and style sheets run, and nothing else.

    Args:
        scripts: Their texts, as they stand in the page.
        styles: Likewise.
    """
    allowed = {"script-src": scripts, "style-src": styles}
    named = [
        f"{what} " + " ".join(f"'{_hash(text)}'" for text in of) for what, of in allowed.items()
    ]
    return "; ".join(["default-src 'none'", *named, "base-uri 'none'", "form-action 'none'"])


def json_block(data: Any) -> str:
    """JSON that can stand in a script element: nothing in it can end that."""
    text = json.dumps(data, separators=(",", ":"), default=str)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    """How the security policy names an inline script or style sheet."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
