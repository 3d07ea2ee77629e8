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
    max_packed_sequence_len: int | None = Field(
        default=None,
        ge=2,
        description="Old name for packing, with the capacity of a row in tokens; at most "
        "`sequence_len`. Write `sample_packing: true`.",
    )
    eval_sample_packing: bool | None = Field(
        default=None,
        description="Pack the held-out samples as well; by default as `sample_packing`.",
    )
    pad_to_sequence_len: bool = Field(
        default=False,
        description="Pad every row to the same length; steady memory on a GPU, wasted time on a CPU.",
    )
    sample_packing_eff_est: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Has no effect: the packed rows are counted exactly before the training begins; "
        "accepted for files that have it.",
    )
    total_num_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Has no effect: the tokens are counted when the data is prepared; accepted for "
        "files that have it.",
    )
