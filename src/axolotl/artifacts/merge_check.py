"""What a merge is checked by: rows to compare on, the written folder loaded again, and limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from axolotl.artifacts.computing import head_by_rows
from axolotl.artifacts.logits import Difference, fixed_rows, logits_of, probe_rows
from axolotl.core.console import note
from axolotl.errors import AxolotlError, ModelError
from axolotl.models.native.settle import read_as_trained
from axolotl.models.quiet import no_library_bars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from axolotl.resolve import Resolved

LIMITS = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.2}
"""Largest relative difference of logits that rounding explains, with much room; on a model of 30 layers
fp32 comes to 1e-6, float16 to 2e-3, bfloat16 to 2e-2. Weights themselves are held to far less: see
`written_weights`."""


@dataclass(frozen=True)
class Probe:
    """Rows of token ids to compare two models on.

    Args:
        rows: The token ids.
        name: What they are.
    """

    rows: Sequence[Sequence[int]]
    name: str


def data_probe(resolved: Resolved, tokenizer: PreTrainedTokenizerBase) -> Probe:
    """A few held-out rows, or training rows; fixed token ids where the data is not to be had."""
    from axolotl.data.prepare import prepare

    try:
        prepared = prepare(resolved, tokenizer=tokenizer)
    except AxolotlError as error:
        note(f"compared on fixed token ids, because the data cannot be read: {error.what}")
        return Probe(fixed_rows(len(tokenizer)), "fixed token ids")
    store, name = (
        (prepared.train, "training rows")
        if prepared.eval is None
        else (prepared.eval, "held-out rows")
    )
    rows = probe_rows([store[i].input_ids.tolist() for i in range(min(len(store), 4))])
    return Probe(rows, f"{len(rows)} {name}")


def reloaded_logits(
    folder: Path,
    rows: Sequence[Sequence[int]],
    *,
    dtype: torch.dtype,
    trust_remote_code: bool,
    at_a_time: int,
) -> Iterator[Tensor]:
    """What a written model says, loaded as any other program would.

    Args:
        folder: The model.
        rows: Token ids.
        dtype: dtype to load it in.
        trust_remote_code: Whether code in the folder may run.
        at_a_time: See `logits_of`.
    """
    with no_library_bars():
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, trust_remote_code=trust_remote_code
        )
    read_as_trained(model)
    with head_by_rows(model):
        yield from logits_of(model.eval(), rows, at_a_time=at_a_time)


def refuse_difference(
    difference: Difference, dtype: torch.dtype, what: str, *, routes: bool
) -> None:
    """Refuse what differs by more than rounding.

    Where tokens are routed to experts, rounding sends some of them elsewhere, and their logits jump:
    in half precision such a model is judged by what is typical.

    Args:
        difference: Against base + adapter.
        dtype: dtype of the merged weights.
        what: Where they are.
        routes: Whether the model sends its tokens to experts.

    Raises:
        ModelError: it is more.
    """
    lenient = routes and dtype != torch.float32
    apart = difference.typical if lenient else difference.relative
    if apart <= LIMITS[dtype]:
        return
    hint = "this is more than rounding; do base_model and the adapter belong together?"
    if dtype == torch.float16:
        hint = "some models overflow in float16: use --dtype bfloat16 or float32"
    raise ModelError(
        f"the merged model ({dtype_name(dtype)}, {what}) differs from base + adapter by "
        f"{difference.largest:.2g} ({difference.relative:.1%} of the largest logit); nothing was "
        "written",
        hint=hint,
    )


def routes_tokens(config: Any) -> bool:
    """Whether a model sends its tokens to experts."""
    own = config.get_text_config()
    counts = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    return any((getattr(own, name, None) or 0) > 1 for name in counts)


def dtype_name(dtype: torch.dtype) -> str:
    """Such as `bfloat16`."""
    return str(dtype).removeprefix("torch.")
