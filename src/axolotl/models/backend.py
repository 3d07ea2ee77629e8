"""The attention of a model: what may serve it by its class, and what does by trying it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from axolotl.attention import (
    Candidates,
    Choice,
    Need,
    candidates,
    not_served,
    registered_name,
)
from axolotl.config.attention import AttentionSection
from axolotl.config.model import ModelSection
from axolotl.models.isolation import why_not_isolated, why_not_served
from axolotl.models.load import model_config, open_model
from axolotl.models.patches import keep_documents_apart
from axolotl.models.patches.by_document import attend_by_document, split_all
from axolotl.models.patches.falcon import why_not_served as why_falcon_is_wrong
from axolotl.models.quantized import Quantized


def attention_need(config: PreTrainedConfig) -> Need:
    """Facts for the choice of an attention backend; no weights are loaded.

    A class that transformers does not map, such as one from the hub, is taken to know only its own
    eager attention.
    """
    model_class: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if isinstance(model_class, tuple):
        model_class = model_class[0]
    return Need(
        model_type=str(config.model_type),
        interface=bool(getattr(model_class, "_supports_attention_backend", False)),
        sdpa=bool(getattr(model_class, "_supports_sdpa", False)),
        softcap=getattr(config, "attn_logit_softcapping", None) is not None,
        chunked="chunked_attention" in (getattr(config, "layer_types", None) or ()),
        dropout=any(getattr(config, name, 0) for name in _DROPOUT),
        head_width=_head_width(config),
    )


_WISHES = ("flash_attention", "xformers_attention", "sdp_attention", "flash_optimum")
"""Switches that ask for a faster way to the same result; another may take its place."""
_DROPOUT = ("attention_dropout", "attn_pdrop", "attention_probs_dropout_prob")
"""What models call the probability of dropping an attention weight."""


def _head_width(config: PreTrainedConfig) -> int:
    """Width of a head; 0 for a model that names neither it nor what it follows from."""
    names = "head_dim", "hidden_size", "num_attention_heads"
    found: list[Any] = [getattr(config, name, None) for name in names]
    named, width, heads = (number if isinstance(number, int) else 0 for number in found)
    return named or (width // heads if heads else 0)


def open_for_rows(
    model: ModelSection,
    attention: AttentionSection,
    *,
    origin: Callable[[str], str],
    dtype: torch.dtype,
    tokenizer: PreTrainedTokenizerBase,
    sequence_len: int,
    quantized: Quantized | None = None,
    adapter: Path | None = None,
) -> tuple[PreTrainedModel, Choice]:
    """Load the base model with an attention that was seen to fit it.

    Args:
        model: What to load.
        attention: The attention and the rope scaling that the file asks for, if any.
        origin: Tells where an option was written.
        dtype: dtype of the weights.
        tokenizer: Decides how many embeddings are needed.
        sequence_len: Longest sequence in tokens.
        quantized: How its frozen weights are held; None for whole ones.
        adapter: Folder of the saved adapter that is to be put on it, if any.

    Returns:
        The model, and its attention: whether the documents of a row stay apart with it.

    Raises:
        ConfigError: the attention that the file names cannot serve this model.
        ModelError: it does not load.
    """
    need = attention_need(model_config(model))
    where = origin("attn_implementation")
    wished = any(where == f"implied by {switch}" for switch in _WISHES)
    tried = candidates(attention.attn_implementation, need, where=where, demanded=not wished)
    loaded = open_model(
        model,
        dtype=dtype,
        attn_implementation=registered_name(tried.names[0]),
        tokenizer=tokenizer,
        sequence_len=sequence_len,
        quantized=quantized,
        rope_scaling=attention.rope_scaling,
        adapter=adapter,
        xpos=attention.xpos_rope,
    )
    if quantized is None:
        return loaded, settle_attention(loaded, tried)
    with _by_attention_alone(loaded, quantized):
        return loaded, settle_attention(loaded, tried, computes_in=quantized.rounds_to)


def _by_attention_alone(model: Any, form: Quantized) -> AbstractContextManager[None]:
    """While the body runs, quantised layers do not let one token touch another."""
    if form.kind != "int8":
        return nullcontext()
    from axolotl.models.bnb import without_outliers

    return without_outliers(model)


def settle_attention(
    model: Any, tried: Candidates, *, computes_in: torch.dtype = torch.float32
) -> Choice:
    """Set the first attention with which documents may share a row.

    Where there is none: the first that computes one document a row as the model's own code does,
    and at last whatever was loaded.

    Args:
        model: A loaded model without adapter, with the first of the candidates set.
        tried: The candidates.
        computes_in: The coarsest number format inside it, where that is not one of its weights'.

    Raises:
        ConfigError: the file names one of ours, and the model does not get on with it.
    """
    reasons = list(tried.reasons)
    second_best: Choice | None = None
    for name in tried.names:
        if not _set(model, name):
            continue
        wrong = why_falcon_is_wrong(model.config, name)
        reason = wrong or why_not_served(model, computes_in=computes_in)
        if reason is None:
            reason = _why_not_isolated(model, computes_in)
            if reason is None:
                one_by_one = registered_name(name) == name and _split(model, computes_in)
                return Choice(name, None, "; ".join(reasons), one_by_one)
            second_best = second_best or Choice(name, reason, "; ".join(reasons))
        elif tried.demanded and (wrong or registered_name(name) != name):
            raise not_served("another", f"{name}: {reason}", tried.where)
        reasons.append(f"{name}: {reason}")
    chosen = second_best or Choice(tried.names[0], reasons[-1].partition(": ")[2])
    _set(model, chosen.name)
    return chosen


def _why_not_isolated(model: Any, computes_in: torch.dtype) -> str | None:
    """Why documents may not share a row, with a mask handed over where the model makes none."""
    reason = why_not_isolated(model, computes_in=computes_in)
    if reason is None:
        return None
    with keep_documents_apart(model) as patch:
        if why_not_isolated(model, computes_in=computes_in) is None:
            patch.pop_all()  # it stays for as long as the model does
            return None
    return reason


def _split(model: Any, computes_in: torch.dtype) -> bool:
    """Let layers take documents one after another, if all of them can: whether they do."""
    with attend_by_document(model) as patch:
        done = why_not_isolated(model, computes_in=computes_in) is None and split_all(model)
        if done:
            patch.pop_all()  # it stays for as long as the model does
    return done


def _set(model: Any, backend: str) -> bool:
    """Set an attention; False for a model that keeps the one it was loaded with."""
    name = registered_name(backend)
    if model.config._attn_implementation == name:
        return True
    if not getattr(model, "_supports_attention_backend", False):
        return False
    try:
        model.set_attn_implementation(name)
    except (ValueError, ImportError):
        return False
    return model.config._attn_implementation == name
