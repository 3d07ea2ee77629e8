"""Changes to other libraries: one function each, undone on exit, tested to be still needed.

What is changed hangs on one loaded model wherever that can be, so that others in the same process
stay as they are. A function here returns an `ExitStack`; closing it undoes the change.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from axolotl.models.patches.bloom import count_positions as count_positions_of_bloom
from axolotl.models.patches.falcon import count_positions as count_positions_of_falcon
from axolotl.models.patches.mpt import count_positions as count_positions_of_mpt
from axolotl.models.patches.row_mask import hand_over_row_mask

_POSITIONS = {
    "bloom": count_positions_of_bloom,
    "falcon": count_positions_of_falcon,
    "mpt": count_positions_of_mpt,
}
"""Models that count positions over the whole row, by `model_type`."""


def keep_documents_apart(model: Any) -> ExitStack:
    """Let a model whose code does not look at `position_ids` for its mask keep documents apart.

    Whether it does then is for `axolotl.models.isolation` to see.

    Args:
        model: A loaded causal language model without adapter; it can be wrapped afterwards.

    Returns:
        What undoes the change, closed or left as a context.
    """
    with ExitStack() as applied:
        applied.enter_context(hand_over_row_mask(model))
        count = _POSITIONS.get(model.config.model_type)
        if count is not None:
            applied.enter_context(count(model))
        return applied.pop_all()
