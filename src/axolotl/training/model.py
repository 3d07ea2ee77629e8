"""The model to be trained: base, adapter, and what may learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from axolotl.attention import Choice
from axolotl.attention.landmark import TOKEN
from axolotl.config import Sections
from axolotl.config.adapter import AdapterSection
from axolotl.config.model import ModelSection
from axolotl.errors import ModelError
from axolotl.models.adapters import (
    attach_new,
    attach_saved,
    gone_on_with,
    measure_anew,
    saved_modules,
    to_fp32,
    token_modules,
    with_own_base,
)
from axolotl.models.adapters.same_tokens import check_same_tokens
from axolotl.models.backend import open_for_rows
from axolotl.models.load import base_dtype
from axolotl.models.quantized import quantized_base
from axolotl.models.tokenizer import new_tokens
from axolotl.models.unfrozen import freeze_others


def build_model(
    sections: Sections, *, origin: Callable[[str], str], tokenizer: PreTrainedTokenizerBase
) -> tuple[Any, Choice]:
    """Base model with its adapter, in training mode.

    Args:
        sections: The options; model, adapter, attention, precision and sequence are read.
        origin: Tells where an option was written.
        tokenizer: Decides the number of embeddings.

    Returns:
        The model, and the attention that was seen to fit it.

    Raises:
        ModelError: nothing in the model would be trained.
    """
    adapter = sections.adapter
    source, held = sections.model, base_dtype(sections)
    beside_half = sections.precision.bf16 is True and held != torch.float32
    if adapter.adapter and adapter.lora_model_dir:
        check_same_tokens(Path(adapter.lora_model_dir), tokenizer)
        source = with_own_base(source, Path(adapter.lora_model_dir))
    model: Any
    model, attention = open_for_rows(
        source,
        sections.attention,
        origin=origin,
        dtype=held,
        tokenizer=tokenizer,
        sequence_len=sections.sequence.sequence_len,
        quantized=quantized_base(sections),
        adapter=gone_on_with(adapter),
    )
    if adapter.adapter is not None:
        if adapter.lora_model_dir:
            folder = Path(adapter.lora_model_dir)
            model = attach_saved(
                model, folder, trainable=True, fp32=beside_half, where="lora_model_dir"
            )
        else:
            _check_new_tokens(model, sections.model, adapter, tokenizer)
            model = attach_new(model, adapter)
            if beside_half:
                to_fp32(model)
                measure_anew(model)
    elif adapter.unfrozen_parameters:
        freeze_others(model, adapter.unfrozen_parameters)
        _check_new_tokens(model, sections.model, adapter, tokenizer)
    if not any(p.requires_grad for p in model.parameters()):
        raise ModelError("nothing in the model would be trained", hint="check the adapter options")
    return model.train(), attention


def _check_new_tokens(
    model: Any, options: ModelSection, adapter: AdapterSection, tokenizer: Any
) -> None:
    """Refuse new tokens whose embeddings nobody trains: they would stay at what they began with.

    Raises:
        ModelError: names them.
    """
    wanted = [model.get_input_embeddings()]
    head = model.get_output_embeddings()
    if head is not None and head.weight is not wanted[0].weight:
        wanted.append(head)
    new = new_tokens(options)
    if not new:
        return
    ids = set(tokenizer.convert_tokens_to_ids(new))
    trained = _trained_whole(model, adapter)
    trained += [
        module
        for module, rows in token_modules(model, adapter.peft_trainable_token_indices)
        if ids <= set(rows)
    ]
    if all(any(module is other for other in trained) for module in wanted):
        return
    names = {module: path for path, module in model.named_modules()}
    ends = [names[module].rpartition(".")[2] for module in wanted]
    if adapter.adapter is None:
        way = f"add {' and '.join(f'{names[module]}.weight' for module in wanted)} to it"
    elif adapter.adapter == "llama-adapter":
        way = "write `adapter: lora`, which can train them"
    else:
        way = (
            f"set `lora_modules_to_save: [{', '.join(ends)}]`, or train their rows alone with "
            f"`peft_trainable_token_indices: {_rows(sorted(ids), ends)}`"
        )
    who = "the adapter does" if adapter.adapter else "unfrozen_parameters do"
    raise ModelError(
        f"{who} not train the embeddings of the new tokens {', '.join(new)}",
        where="landmark_attention"
        if new == [TOKEN]
        else "tokens"
        if options.tokens
        else "special_tokens",
        hint=f"{way}; or use tokens that the tokenizer has",
    )


def _trained_whole(model: Any, adapter: AdapterSection) -> list[Any]:
    """The modules of which every weight learns."""
    if adapter.adapter is not None:
        return saved_modules(model, adapter.lora_modules_to_save or ())
    return [
        module
        for module in model.modules()
        if all(weight.requires_grad for weight in module.parameters())
    ]


def _rows(ids: list[int], modules: list[str]) -> str:
    """How the rows of new tokens are named in the file."""
    if len(modules) == 1:
        return str(ids)
    return "{" + ", ".join(f"{module}: {ids}" for module in modules) + "}"
