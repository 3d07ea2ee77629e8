"""Where MLflow writes, by a name that is the same from every folder."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

_SQLITE = "sqlite:///"


def is_local(uri: str) -> bool:
    """Whether it is a file or folder of this machine; `databricks` is the name of a service."""
    return urlsplit(uri).scheme in ("", "file", "sqlite") and not uri.startswith("databricks")


def whole(uri: str) -> str:
    """The place with its whole path, fit for MLflow.

    >>> whole("sqlite:////data/mlflow.db"), whole("file:/data/../runs"), whole("databricks")
    ('sqlite:////data/mlflow.db', 'file:///runs', 'databricks')
    """
    if uri.startswith(_SQLITE):
        path = uri.removeprefix(_SQLITE)
        return uri if path in ("", ":memory:") else f"{_SQLITE}{Path(path).resolve()}"
    if not is_local(uri):
        return uri
    parts = urlsplit(uri)
    path = unquote(parts.path) if parts.scheme else uri
    return Path(path).expanduser().resolve().as_uri()


def shown(uri: str) -> str:
    """The place without a password, fit to be shown and kept.

    >>> shown("https://someone:secret@example.com/mlflow")
    'https://someone:***@example.com/mlflow'
    """
    password = urlsplit(uri).password
    return uri if password is None else uri.replace(f":{password}@", ":***@", 1)


def is_there(uri: str) -> bool:
    """Whether the file or folder of a local place with its whole path is there."""
    path = uri.removeprefix(_SQLITE) if uri.startswith(_SQLITE) else unquote(urlsplit(uri).path)
    return Path(path).exists()
