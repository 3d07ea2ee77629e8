"""What a model does to its logits is seen on the model itself, whatever its configuration says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from axolotl.models.after_head import NOTHING, AfterHead, candidates
from axolotl.models.head_trial import Head, examine_head
from axolotl.models.tiny import tiny_config, tiny_model
from tests.conftest import build_llama


def tiny(model_type: str, **changes: Any) -> Any:
    return tiny_model(tiny_config(model_type, changes=changes), vocabulary=512)


AFTER: dict[str, tuple[str, dict[str, Any], AfterHead]] = {
    "llama": ("llama", {}, NOTHING),
    "gemma2": ("gemma2", {"final_logit_softcapping": 3.0}, AfterHead(cap=3.0)),
    "gemma2 without": ("gemma2", {"final_logit_softcapping": None}, NOTHING),
    "cohere": ("cohere", {"logit_scale": 0.0625}, AfterHead(scale=0.0625)),
    "granite": ("granite", {"logits_scaling": 8.0}, AfterHead(scale=0.125)),
    "falcon_h1": ("falcon_h1", {"lm_head_multiplier": 0.5}, AfterHead(scale=0.5)),
    "nanochat": ("nanochat", {"final_logit_softcapping": 15.0}, AfterHead(cap=15.0)),
    "recurrent_gemma": ("recurrent_gemma", {"logits_soft_cap": 30.0}, AfterHead(cap=30.0)),
    # A number that its code does not use.
    "mpt": ("mpt", {"logit_scale": 0.5}, NOTHING),
}


@pytest.mark.parametrize("case", AFTER)
def test_it_is_seen(case: str) -> None:
    model_type, changes, after = AFTER[case]
    model = tiny(model_type, **changes).train()
    found = examine_head(model)
    assert isinstance(found, Head)
    assert found.after == after
    assert found.module is model.get_output_embeddings()
    assert "forward" not in found.module.__dict__
    assert model.training


class Changed(nn.Module):
    """A model that does something to the logits of another."""

    def __init__(self, inner: Any, change: Any) -> None:
        super().__init__()
        self.inner, self.change, self.config = inner, change, inner.config
        self.get_output_embeddings = inner.get_output_embeddings
        self.get_input_embeddings = inner.get_input_embeddings

    def forward(self, **kwargs: Any) -> Any:
        output = self.inner(**kwargs)
        output.logits = self.change(output.logits)
        return output


def hidden_last(logits: torch.Tensor) -> torch.Tensor:
    masked = logits.clone()
    masked[..., -1] = -1e9
    return masked


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x * 1.01,
        lambda x: x + 1,
        lambda x: 40 * torch.tanh(x / 40),
        lambda x: x.flip(-1),
        lambda x: x[..., :100],
        lambda x: x.log_softmax(-1),
        hidden_last,
    ],
    ids=["scaled", "shifted", "capped", "reordered", "cut", "normalised", "masked"],
)
def test_what_no_setting_names_is_noticed(change: Any) -> None:
    assert isinstance(examine_head(Changed(build_llama(), lambda x: x)), Head)
    reason = examine_head(Changed(build_llama(), change))
    assert isinstance(reason, str)
    assert "logits" in reason


def test_a_model_without_head_is_no_error() -> None:
    assert examine_head(build_llama().model) == "it names no output head"


def test_candidates_are_numbers_only() -> None:
    config = build_llama().config
    config.logit_scale, config.final_logit_softcapping = "inv_sqrt_d_model", 0.0
    assert candidates(config) == [NOTHING]


@pytest.mark.parametrize("after", [NOTHING, AfterHead(0.25), AfterHead(cap=5.0), AfterHead(2, 7)])
def test_zero_stays_zero_with_the_slope_of_the_scale(after: AfterHead) -> None:
    zero = torch.zeros(1, requires_grad=True)
    result = after(zero)
    (slope,) = torch.autograd.grad(result.sum(), zero)
    assert result.item() == 0
    assert slope.item() == pytest.approx(after.scale)
