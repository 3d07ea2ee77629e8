"""The model to be trained: base, adapter, and what may learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from axolotl.attention import Choice
from axolotl.config import Sections
from axolotl.config.adapter import AdapterSection
from axolotl.config.model import ModelSection
from axolotl.errors import ModelError
from axolotl.models.adapters import attach_new, attach_saved, saved_modules
from axolotl.models.backend import open_for_rows
from axolotl.models.load import weight_dtype
from axolotl.models.quantized import quantized_base
from axolotl.models.tokenizer import new_tokens


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
    model: Any
    model, attention = open_for_rows(
        sections.model,
        sections.attention,
        origin=origin,
        dtype=weight_dtype(sections.precision),
        tokenizer=tokenizer,
        sequence_len=sections.sequence.sequence_len,
        quantized=quantized_base(sections),
    )
    if adapter.adapter is not None:
        if adapter.lora_model_dir:
            folder = Path(adapter.lora_model_dir)
            model = attach_saved(model, folder, trainable=True, where="lora_model_dir")
        else:
            _check_new_tokens(model, sections.model, adapter)
            model = attach_new(model, adapter)
    if not any(p.requires_grad for p in model.parameters()):
        raise ModelError("nothing in the model would be trained", hint="check the adapter options")
    return model.train(), attention


def _check_new_tokens(model: Any, options: ModelSection, adapter: AdapterSection) -> None:
    """Refuse new tokens whose embeddings nobody trains: they would stay at what they began with.

    Raises:
        ModelError: names them.
    """
    trained = saved_modules(model, adapter.lora_modules_to_save or ())
    wanted = [model.get_input_embeddings()]
    head = model.get_output_embeddings()
    if head is not None and head.weight is not wanted[0].weight:
        wanted.append(head)
    missing = [module for module in wanted if not any(module is other for other in trained)]
    if missing and (new := new_tokens(options)):
        names = {module: path.rpartition(".")[2] for path, module in model.named_modules()}
        needed = ", ".join(names[module] for module in wanted)
        raise ModelError(
            f"the adapter does not train the embeddings of the new tokens {', '.join(new)}",
            where="tokens" if options.tokens else "special_tokens",
            hint=f"set `lora_modules_to_save: [{needed}]`, or use tokens that the tokenizer has",
        )
