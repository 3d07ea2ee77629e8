"""What models do to their logits once the head has made them: a scale, a soft cap, or both.

A configuration only hints at it: some carry such a number that their code does not use. So the hints
are candidates, and `axolotl.models.head_trial` looks which of them the loaded model does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_FACTORS = ("logit_scale", "lm_head_multiplier", "output_multiplier")
"""Settings that logits are multiplied by: Cohere, Falcon-H1, Muse."""
_DIVISORS = ("logits_scaling",)
"""Settings that logits are divided by: Granite."""
_CAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
"""Settings that bend logits: Gemma 2 and later, RecurrentGemma, xLSTM."""


@dataclass(frozen=True, slots=True)
class AfterHead:
    """Maps the values that the head gives to the logits of the model, each by itself.

    0 stays 0, and the slope there is `scale`.

    Args:
        scale: What they are multiplied by.
        cap: Then x becomes cap · tanh(x / cap), as in Gemma 2 (arXiv 2408.00118, section 2); None
            leaves them as they are.
    """

    scale: float = 1.0
    cap: float | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """The same shape and dtype."""
        if self.scale != 1.0:
            logits = logits * self.scale
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap


NOTHING = AfterHead()


def candidates(config: Any) -> Sequence[AfterHead]:
    """What a model of this configuration may do after its head, nothing at all first.

    >>> from types import SimpleNamespace
    >>> candidates(SimpleNamespace(logits_scaling=8.0))
    [AfterHead(scale=1.0, cap=None), AfterHead(scale=0.125, cap=None)]
    """
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    scales = [value for name in _FACTORS if (value := _number(text, name))]
    scales += [1 / value for name in _DIVISORS if (value := _number(text, name))]
    caps = [value for name in _CAPS if (value := _number(text, name))]
    found = [AfterHead(scale, cap) for cap in (None, *caps) for scale in (1.0, *scales)]
    return list(dict.fromkeys(found))


def _number(config: Any, name: str) -> float | None:
    value = getattr(config, name, None)
    return float(value) if isinstance(value, int | float) and value > 0 else None
