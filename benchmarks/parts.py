"""The parts of a training step, each against the plain way, on the shapes of SmolLM2-135M.

T tokens, H heads, G key-value heads, D head width, C hidden width, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from _smol import ANSWER_SHARE, alpaca_like_rows
from torch import Tensor, nn

from axolotl.attention.per_document import attend
from axolotl.models.loss_head import fused_loss, labelled_positions
from axolotl.models.matmul import choose_route, use_route

H, G, D, C, V = 9, 3, 64, 576, 49152
REPEATS = 3


def seconds(function: Callable[[], Any]) -> float:
    """Shortest of several runs, after one to warm up."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def attention() -> float:
    """Forward and backward over a row of 2,048 tokens: block mask ÷ per document."""
    lengths: list[int] = []
    for row in alpaca_like_rows(100):
        lengths.append(min(len(row.input_ids), 2048 - sum(lengths)))
        if sum(lengths) == 2048:
            break
    positions = torch.cat([torch.arange(n) for n in lengths])[None]
    document = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    mask = (document[:, None] == document[None]).tril()[None, None]
    q = torch.randn(1, H, 2048, D, requires_grad=True)
    k, v = (torch.randn(1, G, 2048, D, requires_grad=True) for _ in range(2))
    layer = nn.Module()

    def ours() -> Tensor:
        return attend(layer, q, k, v, None, position_ids=positions)[0]

    def plain() -> Tensor:
        return nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, enable_gqa=True
        ).transpose(1, 2)

    assert torch.allclose(ours(), plain(), atol=1e-5)
    return seconds(lambda: plain().sum().backward()) / seconds(lambda: ours().sum().backward())


def head_and_loss() -> float:
    """Forward and backward of head and loss over 2,048 tokens: full logits ÷ labelled only."""
    head = nn.Linear(C, V, bias=False).requires_grad_(False)
    hidden = torch.randn(1, 2048, C, requires_grad=True)
    labels = torch.randint(0, V, (1, 2048))
    labels[0, torch.rand(2048) > ANSWER_SHARE] = -100

    def ours() -> Tensor:
        positions, targets = labelled_positions(labels)
        with fused_loss(head, positions, targets) as loss_of:
            return loss_of(head(hidden[:, positions]))

    def plain() -> Tensor:
        logits = head(hidden)[0, :-1].float()
        return nn.functional.cross_entropy(logits, labels[0, 1:], reduction="sum")

    assert torch.allclose(ours(), plain(), rtol=1e-4)
    return seconds(lambda: plain().backward()) / seconds(lambda: ours().backward())


def matmul() -> tuple[float, str]:
    """Linear layers: the default route ÷ the one that the probe chose."""
    shapes = [(C, 1536), (1536, C), (C, C)]
    route = choose_route(shapes, device=torch.device("cpu"))
    pairs = [(torch.randn(1024, i), torch.randn(o, i)) for i, o in shapes]

    def run() -> None:
        for x, w in pairs:
            for _ in range(10):
                nn.functional.linear(x, w)

    default = seconds(run)
    with use_route(route):
        return default / seconds(run), str(route)


def main() -> None:
    """Measure, and print one line each."""
    torch.manual_seed(0)
    print(f"attention per document, times faster than a block mask: {attention():.2f} (>= 1.5)")
    print(f"loss at labels, times faster than full logits: {head_and_loss():.2f} (>= 1.2)")
    gain, route = matmul()
    print(f"matmul route {route}")
    print(f"matmul route chosen, times faster than the default: {gain:.2f} (>= 0.9)")


if __name__ == "__main__":
    main()
