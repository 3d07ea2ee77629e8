"""`unfrozen_parameters`: only the weights that it names learn."""

from __future__ import annotations

from typing import Any

import pytest

from axolotl.errors import ModelError
from axolotl.models.unfrozen import freeze_others
from tests.conftest import build_llama


def trained(patterns: list[str], **changes: Any) -> set[str]:
    model = build_llama(**changes)
    freeze_others(model, patterns)
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def test_names_are_compared_from_their_beginning() -> None:
    last = {name for name, _ in build_llama().named_parameters() if "layers.1." in name}
    assert trained([r"model\.layers\.1\."]) == last
    assert trained(["^model.norm.weight$", "model.embed"]) == {
        "model.norm.weight",
        "model.embed_tokens.weight",
    }
    assert trained(["lm_head"], tie_word_embeddings=False) == {"lm_head.weight"}


def test_a_tied_weight_is_there_under_both_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert trained(["lm_head"]) == {"model.embed_tokens.weight"}
    assert "model.embed_tokens.weight is trained too, being tied" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pattern", "says", "hint"),
    [
        ("layers.1", "no weight of the model is called", "from their beginning: model.layers.1."),
        ("model.layrs.1.mlp.up_proj", "no weight", "nearest are model.layers.1.mlp.up_proj.weight"),
        ("model.embed_tokens.weight$[:300]", "names some rows", "peft_trainable_token_indices"),
        ("model.(", "is no regular expression", "beginning of a weight's name"),
    ],
)
def test_a_name_of_no_weight_is_refused(pattern: str, says: str, hint: str) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        trained(["lm_head", pattern])
    assert caught.value.where == "unfrozen_parameters"
    assert hint in str(caught.value.hint)
