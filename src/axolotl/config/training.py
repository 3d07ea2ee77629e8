"""The training loop."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from axolotl.config.section import Section


class TrainingSection(Section):
    """The training loop."""

    gradient_accumulation_steps: int = Field(
        default=1, ge=1, description="Rows whose gradients are added up before each optimizer step."
    )
    micro_batch_size: int = Field(
        default=1,
        ge=1,
        description="Samples per row; with `sample_packing`, a row's capacity in units of "
        "`sequence_len` tokens.",
    )
    eval_batch_size: int | None = Field(
        default=None,
        ge=1,
        description="The same for held-out samples; by default `micro_batch_size`.",
    )
    num_epochs: float = Field(
        default=1.0, gt=0, description="Passes over the training data; may be a fraction."
    )
    max_steps: int | None = Field(
        default=None,
        ge=1,
        description="Most optimizer steps; with `num_epochs` beside it, the smaller of the two "
        "counts.",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Compute activations again in the backward pass: less memory, about a third "
        "more time.",
    )
    gradient_checkpointing_kwargs: dict[str, Any] | None = Field(
        default=None,
        description="Arguments of torch's checkpointing; by default `use_reentrant: false`.",
    )
    group_by_length: bool = Field(
        default=False,
        description="Put samples of similar length into one row, the longest of all into the first; "
        "rows have no padding here, so it only evens out their sizes.",
    )
    noisy_embedding_alpha: float | None = Field(
        default=None,
        ge=0,
        description="NEFTune: noise of this strength on the embeddings while training, divided by the "
        "square root of the sample's tokens times their width (arXiv 2310.05914); 0 for none.",
    )
    loss_watchdog_threshold: float | None = Field(
        default=None,
        gt=0,
        description="Stop when the loss of the steps stays above this, and name their rows.",
    )
    loss_watchdog_patience: int = Field(
        default=3,
        ge=1,
        description="After so many steps one after the other.",
        json_schema_extra={"needs": "`loss_watchdog_threshold`"},
    )
    torch_compile: bool = Field(
        default=False,
        description="Compile the layers of the model with torch: slow to begin with, then faster. Sums "
        "are taken in another order, so losses differ in the last digits.",
        json_schema_extra={"needs": "a C++ compiler"},
    )
    torch_compile_backend: str | None = Field(
        default=None,
        description="Backend of the compilation; torch's own is `inductor`.",
        json_schema_extra={"needs": "`torch_compile: true`"},
    )
    torch_compile_mode: str | None = Field(
        default=None,
        description="How hard torch tries: `default`, `reduce-overhead` or `max-autotune`.",
        json_schema_extra={"needs": "`torch_compile: true`"},
    )
    seed: int = Field(
        default=42,
        ge=0,
        lt=2**32,
        description="Seed of the order of samples, of dropout and of new weights.",
    )
