"""Length of rows and how samples share them."""

from __future__ import annotations

from pydantic import Field

from axolotl.config.section import Section


class SequenceSection(Section):
    """Length of rows and how samples share them."""

    sequence_len: int = Field(
        default=2048,
        ge=2,
        description="Longest sample in tokens; longer ones are dropped and counted, plain text is "
        "split.",
    )
    sample_packing: bool = Field(
        default=False,
        description="Fill each row with as many samples as fit into `micro_batch_size` times "
        "`sequence_len` tokens; they cannot see each other.",
    )
    eval_sample_packing: bool | None = Field(
        default=None,
        description="Pack the held-out samples as well; by default as `sample_packing`.",
    )
    pad_to_sequence_len: bool = Field(
        default=False,
        description="Pad every row to the same length; steady memory on a GPU, wasted time on a CPU.",
    )
