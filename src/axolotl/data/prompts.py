"""From a question to the tokens that stand before an answer in the training data.

The prompt goes through the same format and the same tokenizing code as the training rows, so its
ids are those of the beginning of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from axolotl.config import Sections
from axolotl.data.encoder import Encoder
from axolotl.data.entries import of_first_entry
from axolotl.data.tokenize import SegmentBatch, tokenize
from axolotl.formats import BoundFormat, bind, shared_settings
from axolotl.records import Segment


def format_of_first_entry(options: Sections, encoder: Encoder) -> BoundFormat | None:
    """The format of the first dataset of the file; None where it is tokens already.

    Args:
        options: The datasets, and what holds for all of them.
        encoder: The tokenizer.
    """
    first = of_first_entry(options)
    if first["type"] is None:
        return None
    shared = shared_settings(options, encoder.facts())
    return bind(first["type"], settings=first["settings"], shared=shared)


def prompt_ids(
    texts: Sequence[str], *, bound: BoundFormat | None, encoder: Encoder
) -> list[list[int]]:
    """Token ids of every prompt.

    Args:
        texts: The questions.
        bound: Format to ask them in; None for the text as it is.
        encoder: The tokenizer.

    Raises:
        DataError: the format cannot ask this question.
    """
    batch = SegmentBatch()
    for text in texts:
        batch.add(bound.prompt(text) if bound else [Segment(text, False, bos=True)])
    rows, _ = tokenize(batch, encoder)
    return [rows.input_ids[start:end].tolist() for start, end in pairwise(rows.offsets.tolist())]
