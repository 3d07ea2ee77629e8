"""NEFTune: noise on the input embeddings while a model is trained (arXiv 2310.05914).

Each number of an embedding gets noise drawn uniformly from ± alpha / sqrt(L * C), where L is the
length of the sample. Rows here hold several samples, each with its own L: a short one gets more
noise, as it would alone.

T tokens of a row, C width of an embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from axolotl.errors import ModelError


class EmbeddingNoise:
    """Adds the noise while it is told the positions of a row, and at no other time.

    A hook on the embeddings, so it works with every architecture and every adapter, and neither the
    weights nor what is saved know of it. The noise comes from torch's own generator, whose state
    checkpoints keep.

    Args:
        model: The model, with its adapter.
        alpha: Strength.

    Raises:
        ModelError: the model does not say which its input embeddings are.
    """

    def __init__(self, model: Any, alpha: float) -> None:
        try:
            self.embeddings: nn.Module = model.get_input_embeddings()
        except (AttributeError, NotImplementedError) as error:
            raise ModelError(
                "the model does not name its input embeddings, which the noise goes on",
                where="noisy_embedding_alpha",
                hint="remove it",
            ) from error
        self.alpha = alpha

    @contextmanager
    def __call__(self, position_ids: Tensor) -> Iterator[None]:
        """Add noise to the embeddings that are computed in the body.

        Args:
            position_ids: (1, T); 0 where a sample begins.
        """
        lengths_T = sample_lengths(position_ids[0])

        def add(_module: nn.Module, _inputs: Any, embeddings_1TC: Tensor) -> Tensor:
            width = embeddings_1TC.shape[-1]
            bound_T1 = (self.alpha / (lengths_T * width).sqrt())[:, None]
            noise = torch.empty_like(embeddings_1TC, dtype=torch.float32).uniform_(-1, 1)
            return embeddings_1TC + (noise * bound_T1).to(embeddings_1TC.dtype)

        handle = self.embeddings.register_forward_hook(add)
        try:
            yield
        finally:
            handle.remove()


def sample_lengths(position_ids_T: Tensor) -> Tensor:
    """For each token, the length of the sample that it is in, float32.

    >>> sample_lengths(torch.tensor([0, 1, 2, 0, 1]))
    tensor([3., 3., 3., 2., 2.])
    """
    sample_T = (position_ids_T == 0).cumsum(0)
    return torch.bincount(sample_T)[sample_T].float()
