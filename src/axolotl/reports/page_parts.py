"""What pages of one file are put together from, and what keeps data from becoming markup in them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any


def part(name: str) -> str:
    """The text of a file in `reports/pages`."""
    return (files("axolotl.reports") / "pages" / name).read_text("utf-8")


def whole_page(
    name: str, *, title: str, scripts: Sequence[str], data: Any, parts: Mapping[str, str]
) -> str:
    """A page that needs no network: `NAME.html` from `reports/pages` in the shell of all pages.

    Args:
        name: The page; beside `NAME.html` stands `NAME.css`, which follows `base.css`.
        title: Its title, as text.
        scripts: Names of the scripts, as they run.
        data: What the scripts read; becomes JSON.
        parts: What `NAME.html` names besides `$title`; HTML.
    """
    title = escape(title)
    style = part("base.css") + part(f"{name}.css")
    texts = [part(script) for script in scripts]
    return Template(part("shell.html")).substitute(
        policy=security_policy(scripts=texts, styles=[style]),
        title=title,
        style=style,
        body=Template(part(f"{name}.html")).substitute(parts, title=title).rstrip("\n"),
        data=json_block(data),
        scripts="\n".join(f"<script>{text}</script>" for text in texts),
    )


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
