"""Rows as the preview has them, of files written here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from axolotl.config.load import load_config
from axolotl.data.encoder import Encoder
from axolotl.data.prepare import open_parts
from axolotl.data.tokenize import Limits
from axolotl.reports.preview import PreviewRow
from axolotl.reports.preview_rows import preview_rows

Shown = Callable[..., list[PreviewRow]]


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    """Write files of (name, rows, type) and preview them."""

    def preview(
        tokenizer: Any,
        *entries: tuple[str, Any, str | None],
        first_rows: int = 5,
        start_row: int = 0,
        **limits: Any,
    ) -> list[PreviewRow]:
        datasets = []
        for name, rows, kind in entries:
            file = tmp_path / name
            file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
            datasets.append({"path": str(file), "type": kind})
        encoder = Encoder(tokenizer)
        parts = open_parts(load_config({"base_model": "a-model", "datasets": datasets}), encoder)
        fitting = Limits(limits.pop("capacity_tokens", 2048), **limits)
        return preview_rows(parts, encoder, fitting, first_rows=first_rows, start_row=start_row)

    return preview
