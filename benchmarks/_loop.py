"""A training step written by hand, for comparison: nothing but torch, transformers' model, peft.

It holds every idea that makes such a step fast on a CPU: attention per document, head and loss at
labelled positions only and in chunks, the faster matmul route. What it leaves out is everything
else: data sets, plans, counting, logging, checkpoints.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface, AutoModelForCausalLM

CHUNK = 512


def by_document(
    _module: Any, q: Tensor, k: Tensor, v: Tensor, _mask: Any, **kwargs: Any
) -> tuple[Tensor, None]:
    """Causal attention, one call per document."""
    starts = torch.nonzero(kwargs["position_ids"][0] == 0).flatten().tolist()
    sizes = [b - a for a, b in zip(starts, [*starts[1:], q.shape[2]], strict=True)]
    parts = [
        functional.scaled_dot_product_attention(
            a, b, c, is_causal=True, scale=kwargs["scaling"], enable_gqa=True
        )
        for a, b, c in zip(q.split(sizes, 2), k.split(sizes, 2), v.split(sizes, 2), strict=True)
    ]
    return torch.cat(parts, 2).transpose(1, 2).contiguous(), None


def load(folder: str) -> Any:
    """The model in fp32 with the attention above."""
    AttentionInterface.register("by_hand", by_document)
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="by_hand"
    ).train()


class HeadLoss(torch.autograd.Function):
    """Summed cross entropy at labelled positions; gradients are computed chunk by chunk on the way."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        """Loss and gradients in one pass."""
        total = hidden.new_zeros(())
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight) if weight.requires_grad else None
        for start in range(0, len(targets), CHUNK):
            part = slice(start, start + CHUNK)
            logits = hidden[part] @ weight.T
            total += functional.cross_entropy(logits, targets[part], reduction="sum")
            error = logits.softmax(-1)
            error[torch.arange(len(error)), targets[part]] -= 1
            grad_hidden[part] = error @ weight
            if grad_weight is not None:
                grad_weight.addmm_(error.T, hidden[part])
        ctx.save_for_backward(grad_hidden, grad_weight)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Only a factor is left."""
        (scale,) = grad_outputs
        hidden, weight = ctx.saved_tensors
        return hidden * scale, None if weight is None else weight * scale, None


class Loop:
    """Forward, backward, AdamW; one row a step."""

    def __init__(self, model: Any) -> None:
        self.model = model
        base = getattr(model, "get_base_model", lambda: model)()
        self.body, self.head = base.model, base.lm_head
        self.trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-4)

    def step(self, batch: dict[str, Tensor]) -> float:
        """One step; gives its seconds."""
        start = time.perf_counter()
        hidden = self.body(
            input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False
        ).last_hidden_state[0]
        targets = batch["labels"][0, 1:]
        places = torch.nonzero(targets != -100).flatten()
        loss: Any = HeadLoss.apply(hidden[places], self.head.weight, targets[places])
        (loss / len(places)).backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return time.perf_counter() - start
