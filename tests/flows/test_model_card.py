"""A result has its model card."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from huggingface_hub import ModelCard

from axolotl import api

Options = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("method", [{}, {"adapter": "lora", "lora_target_linear": True}])
def test_a_result_has_its_card(method: dict[str, Any], tiny_options: Options) -> None:
    """In place of the empty one that peft writes."""
    result = api.train(tiny_options(**method, max_steps=1))
    card = ModelCard.load(result.output_dir / "README.md")
    data: Any = card.data
    assert data.library_name == ("peft" if method else "transformers")
    assert f"| held-out loss | {result.eval_loss:.4f} |" in card.text
