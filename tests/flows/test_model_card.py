"""A result has its model card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from axolotl import api

Options = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("method", [{}, {"adapter": "lora", "lora_target_linear": True}])
def test_a_result_has_its_card(method: dict[str, Any], tiny_options: Options) -> None:
    """In place of the empty one that peft writes."""
    options = tiny_options(**method, max_steps=1)
    result = api.train(options)
    card = ModelCard.load(result.output_dir / "README.md")
    data: Any = card.data
    assert data.library_name == ("peft" if method else "transformers")
    (row,) = [line for line in card.text.splitlines() if "| alpaca |" in line]
    kept = [int(cell) for cell in row.split("|")[3:5]]
    assert sum(kept) == len(Path(options["datasets"][0]["path"]).read_text().splitlines())
    assert str(result.output_dir.parent) not in card.text
    assert f"| held-out loss | {result.eval_loss:.4f} |" in card.text
