"""Base models whose weights are stored in few bits already: what their `config.json` says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axolotl.errors import ModelError
from axolotl.models.quantized import Quantized

_WORDS = {"int8": "8 bits", "nf4": "4 bits (NF4)", "fp4": "4 bits (FP4)"}
_TO_WRITE = {
    "int8": "`adapter: lora` and `load_in_8bit: true`",
    "nf4": "`adapter: qlora` and `load_in_4bit: true`",
    "fp4": "`adapter: lora` and `load_in_4bit: true`",
}


def bnb_form_of(config: Any, asked: Quantized | None, source: str) -> bool:
    """Whether a model is stored as bitsandbytes quantises it, and in the form that is asked for.

    Args:
        config: The model's configuration.
        asked: The form; None for whole weights, which can be made of any.
        source: Where it comes from, for messages.

    Raises:
        ModelError: it is stored in another form, from which nobody gets to the one asked for.
    """
    settings = _settings(config)
    if settings is None:
        return False
    method = settings.get("quant_method", "bitsandbytes")
    if method == "gptq":
        raise ModelError(
            f"'{source}' is a GPTQ checkpoint",
            hint="write `gptq: true` and `adapter: lora`, or name an unquantised model",
        )
    if method != "bitsandbytes":
        raise ModelError(
            f"the weights of '{source}' are stored in few bits ({method}), which cannot be "
            "trained on",
            hint="name the unquantised model in base_model",
        )
    stored = "int8" if settings.get("load_in_8bit") else settings.get("bnb_4bit_quant_type", "fp4")
    if asked is not None and asked.kind != stored:
        raise ModelError(
            f"the weights of '{source}' are stored in {_WORDS[stored]}, and {asked.asked_by} asks "
            f"for {_WORDS[asked.kind]}",
            where=asked.asked_by,
            hint=f"write {_TO_WRITE[stored]}, or name the unquantised model in base_model",
        )
    return True


def _settings(config: Any) -> Mapping[str, Any] | None:
    found = getattr(config, "quantization_config", None)
    return found if found is None or isinstance(found, Mapping) else found.to_dict()
