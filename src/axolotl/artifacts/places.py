"""Names as they may be told to others: of files and folders the last part only, whatever machine they are of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any, cast

from axolotl.training.public import without_secrets

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_FILE = re.compile(r".*\.(jsonl?|csv|tsv|txt|parquet|arrow|ya?ml|gguf|gz|bz2|xz|zip|zst)", re.I)
"""A name that ends like a file is none of the hub's, though it has as many parts."""
_OF_A_DISK = re.compile(r"(file|sqlite):", re.I)
_ADDRESS = re.compile(r"[a-z][\w+.-]*://|pypi:", re.I)
_OF_WINDOWS = re.compile(r"[a-z]:[\\/]|\\\\", re.I)

_HERE_OR_ON_HUB = frozenset(
    [
        "base_model",
        "base_model_config",
        "bench_dataset",
        "path",
        "pretraining_dataset",
        "tokenizer_config",
    ]
)
_HERE = frozenset(
    [
        "data_dir",
        "data_files",
        "dataset_prepared_path",
        "deepspeed",
        "lora_model_dir",
        "lora_out_dir",
        "mlflow_tracking_uri",
        "output_dir",
        "resume_from_checkpoint",
        "torchdistx_path",
    ]
)
_LIST_IS_TEXTS = "eval_sample_prompts"
_TEMPLATE = "chat_template_jinja"
_IN_SOURCE = ("data_dir", "data_files")


def on_hub(name: str) -> bool:
    """Whether a name is one of the hub, as far as that can be told without asking it."""
    return (
        bool(_HUB_ID.fullmatch(name))
        and not _FILE.fullmatch(name)
        and not Path(name).expanduser().exists()
    )


def short_name(name: str) -> str:
    """A name without the folders of a machine; names of the hub and addresses stay.

    >>> short_name("../clients/rows.jsonl"), short_name("me/some"), short_name("s3://bucket/a.jsonl")
    ('rows.jsonl', 'me/some', 's3://bucket/a.jsonl')
    """
    return without_secrets(name) if on_hub(name) else _last_part(name)


def without_folders(values: Any) -> Any:
    """Options in which a place of a machine is its last name; which they are is told by the key.

    >>> without_folders({"base_model": "me/some", "datasets": [{"path": "../mine/rows.jsonl"}]})
    {'base_model': 'me/some', 'datasets': [{'path': 'rows.jsonl'}]}
    """
    return _told(values, "")


def _told(value: Any, key: str) -> Any:
    if isinstance(value, str):
        return _text(value, key)
    if isinstance(value, Mapping):
        inner = cast("Mapping[str, Any]", value)
        source = inner.get("path")
        fetched = isinstance(source, str) and on_hub(source)
        return {
            name: _in_repository(one) if fetched and name in _IN_SOURCE else _told(one, name)
            for name, one in inner.items()
        }
    if isinstance(value, list | tuple):
        key = "" if key == _LIST_IS_TEXTS else key
        return [_told(one, key) for one in cast("list[Any]", value)]
    return value


def _text(text: str, key: str) -> str:
    """A text, as the option that it is written for has it."""
    if key in _HERE_OR_ON_HUB:
        return short_name(text)
    template = key == _TEMPLATE and text.endswith((".jinja", ".jinja2"))
    if template or key in _HERE or key == _LIST_IS_TEXTS:
        return _last_part(text)
    return _last_part(text) if _is_place(text) else text


def _in_repository(value: Any) -> Any:
    """Files of a repository of the hub, whose folders are no secret; unless they are elsewhere."""
    if isinstance(value, list | tuple):
        return [_in_repository(one) for one in cast("list[Any]", value)]
    if not isinstance(value, str):
        return value
    elsewhere = Path(value).is_absolute() or ".." in Path(value).parts or value.startswith("~")
    return _last_part(value) if elsewhere or _OF_WINDOWS.match(value) else value


def _last_part(text: str) -> str:
    """The last part of a path; all of an address."""
    if _ADDRESS.match(text) and not _OF_A_DISK.match(text):
        return without_secrets(text)
    if "\\" in text:
        return PureWindowsPath(text).name or text
    return Path(text).name or text


def _is_place(text: str) -> bool:
    """Whether any other text is a place; a prompt that only begins with a slash is none."""
    if "\n" in text:
        return False
    if text.startswith("~/") or _OF_A_DISK.match(text) or _OF_WINDOWS.match(text):
        return True
    path = Path(text)
    return path.is_absolute() and Path(*path.parts[:2]).exists()
