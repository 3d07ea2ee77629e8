"""Each architecture of the README's table, tiny and of a middle size, against the plain way.

Tokens per second are of real tokens, forward and backward: documents packed into rows, with the
attention that the tool settles on and its loss, against padded batches with the attention of the
library and all logits. Both see the same documents, with the lengths of alpaca's rows.

What the loss takes is the peak above what was held before, of 4,096 labelled tokens and a vocabulary
of 50,000, each way in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from _smol import alpaca_like_rows
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from axolotl.attention import candidates
from axolotl.attention.per_document import attend
from axolotl.models.after_head import NOTHING, AfterHead
from axolotl.models.backend import attention_need, settle_attention
from axolotl.models.loss_head import fused_loss, labelled_positions
from axolotl.models.tiny import tiny_config
from axolotl.training.loss import RowLoss
from axolotl.training.memory import memory_figures

LLAMA_LIKE = ("hidden_size", "num_hidden_layers", "intermediate_size")
SIZES: dict[str, tuple[str, str, str | None]] = {
    "llama": LLAMA_LIKE,
    "gpt_neox": LLAMA_LIKE,
    "gpt2": ("n_embd", "n_layer", "n_inner"),
    "mpt": ("d_model", "n_layers", None),
    "falcon": ("hidden_size", "num_hidden_layers", "ffn_hidden_size"),
    "gptj": ("n_embd", "n_layer", "n_inner"),
    "phi": LLAMA_LIKE,
    "mistral": LLAMA_LIKE,
    "btlm": ("n_embd", "n_layer", "n_inner"),
}
"""Architecture → its settings for width, layers and width of the MLP."""
MEASURES = {"tiny": (64, 2), "middle": (256, 4)}
"""Width and layers."""
DOCUMENTS, PER_BATCH, VOCABULARY = 16, 8, 2048
AFTER = {"full": NOTHING, "capped": AfterHead(cap=30.0)}
ROUNDS = 2


def documents() -> list[tuple[Tensor, Tensor]]:
    """Tokens and labels of each."""
    rows = alpaca_like_rows(DOCUMENTS, vocabulary=VOCABULARY)
    return [
        (torch.from_numpy(row.input_ids).long(), torch.from_numpy(row.labels).long())
        for row in rows
    ]


def in_parts(found: list[tuple[Tensor, Tensor]]) -> list[list[tuple[Tensor, Tensor]]]:
    """So many at a time as a step holds, by either way."""
    return [found[i : i + PER_BATCH] for i in range(0, len(found), PER_BATCH)]


def row(part: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """One flattened row; questions come first, so no document begins with a label."""
    return {
        "input_ids": torch.cat([ids for ids, _ in part])[None],
        "labels": torch.cat([labels for _, labels in part])[None],
        "position_ids": torch.cat([torch.arange(len(ids)) for ids, _ in part])[None],
    }


def padded(part: list[tuple[Tensor, Tensor]]) -> dict[str, Any]:
    """One batch as a padding collator makes it."""
    fill = nn.utils.rnn.pad_sequence
    return {
        "input_ids": fill([ids for ids, _ in part], batch_first=True),
        "labels": fill([labels for _, labels in part], batch_first=True, padding_value=-100),
        "attention_mask": fill([torch.ones_like(ids) for ids, _ in part], batch_first=True),
        "use_cache": False,
    }


def seconds(function: Callable[[], Any]) -> float:
    """Shortest of some runs, after one to warm up."""
    times: list[float] = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def built(model_type: str, size: str) -> Any:
    """A random model of a size."""
    width, layers = MEASURES[size]
    config = tiny_config(model_type, vocabulary=VOCABULARY)
    of_width, of_layers, of_mlp = SIZES[model_type]
    settings = {of_width: width, of_layers: layers, "sliding_window": 4096, "head_dim": width // 4}
    settings |= {of_mlp: 4 * width} if of_mlp else {}
    for name, value in settings.items():
        derived = isinstance(getattr(type(config), name, None), property)
        if isinstance(getattr(config, name, None), int) and not derived:
            setattr(config, name, value)
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).train()


def packed_gain(model_type: str, size: str) -> tuple[float, str]:
    """Real tokens per second, packed ÷ padded, and the attention of the packed rows."""
    parts = in_parts(documents())
    theirs, ours = built(model_type, size), built(model_type, size)
    choice = settle_attention(ours.eval(), candidates(None, attention_need(ours.config)))
    assert choice.isolates, f"{model_type}: {choice.leak}"
    loss, rows, batches = RowLoss(ours), [row(p) for p in parts], [padded(p) for p in parts]
    ours.train()

    def packed() -> None:
        for inputs in rows:
            loss(ours, inputs).backward()

    def plain() -> None:
        for inputs in batches:
            theirs(**inputs).loss.backward()

    return seconds(plain) / seconds(packed), str(choice)


def attention_gain() -> float:
    """Forward and backward over 2,048 tokens of 12 documents: block mask ÷ per document."""
    lengths = [len(r.input_ids) for r in alpaca_like_rows(12)]
    lengths = [max(8, n * 2048 // sum(lengths)) for n in lengths]
    lengths[-1] += 2048 - sum(lengths)
    positions = torch.cat([torch.arange(n) for n in lengths])[None]
    document = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    mask = (document[:, None] == document[None]).tril()[None, None]
    q, k, v = (torch.randn(1, 8, 2048, 64, requires_grad=True) for _ in range(3))
    layer = nn.Module()

    def ours() -> Tensor:
        return attend(layer, q, k, v, None, position_ids=positions)[0]

    def plain() -> Tensor:
        return nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)

    assert torch.allclose(ours(), plain(), atol=1e-5)
    return seconds(lambda: plain().sum().backward()) / seconds(lambda: ours().sum().backward())


def measure_loss(way: str, kind: str) -> None:
    """Print the bytes that one loss takes at most, above what is held before it."""
    torch.manual_seed(0)
    after = AFTER[kind]
    head = nn.Linear(256, 50_000, bias=False)
    hidden = torch.randn(1, 4096, 256, requires_grad=True)
    labels = torch.randint(0, 50_000, (1, 4096))
    nn.functional.linear(hidden[0, :8], head.weight).sum().backward()  # threads, buffers, gradients
    held = memory_figures(torch.device("cpu"))["memory_bytes"]
    if way == "ours":
        positions, targets = labelled_positions(labels)
        with fused_loss(head, positions, targets, after=after) as loss_of:
            loss = loss_of(after(head(hidden)))
    else:
        logits = after(head(hidden))[0, :-1].float()
        loss = nn.functional.cross_entropy(logits, labels[0, 1:], reduction="sum")
    loss.backward()
    print(memory_figures(torch.device("cpu"))["peak_memory_bytes"] - held)


def loss_memory(way: str, kind: str) -> int:
    """Bytes, measured in a process of its own."""
    command = [sys.executable, __file__, "--loss", way, kind]
    return int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def main() -> None:
    """Measure, and print one line each."""
    for kind in AFTER:
        ours, plain = (loss_memory(way, kind) for way in ("ours", "plain"))
        print(f"loss, {kind} logits: {ours / 1e6:.0f} MB against {plain / 1e6:.0f} MB")
        print(f"loss, {kind} logits: memory against the plain one: {ours / plain:.3f} (<= 0.2)")
    print(
        f"attention per document, times faster than a block mask: {attention_gain():.2f} (>= 2.5)"
    )
    for model_type in SIZES:
        for size in MEASURES:
            gain, attention = packed_gain(model_type, size)
            name = f"{model_type}, {size} ({attention})"
            # One call of a layer for each document: that costs as much as what a tiny layer computes.
            bound = 0.9 if "at a time" in attention and size == "tiny" else 1.2
            print(f"{name}: tokens per second, packed against padded: {gain:.2f} (>= {bound})")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--loss"]:
        measure_loss(*sys.argv[2:])
    else:
        main()
