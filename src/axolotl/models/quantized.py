"""Base models held in fewer bits than they are computed with: what the file asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch

from axolotl.config import Sections
from axolotl.config.model import ModelSection
from axolotl.config.precision import PrecisionSection
from axolotl.config.quantization import BnbConfig

Kind = Literal["int8", "nf4", "fp4", "gptq"]


@dataclass(frozen=True)
class Quantized:
    """How the frozen weights of a base model are held.

    Args:
        kind: Format of a weight: `int8` (LLM.int8, arXiv 2208.07339), `nf4` or `fp4` (QLoRA,
            arXiv 2305.14314), or `gptq` for a checkpoint that is quantised already.
        compute_dtype: What 4-bit weights are turned into for a multiplication.
        double: Whether the scales of 4-bit blocks are quantised too.
        threshold: Inputs of 8-bit layers from this size on are multiplied in half precision.
        skip: Layers that stay whole besides the output head, by the ends of their names.
        asked_by: The option that asks for it, for messages.
        gptq_groupsize: What the file says of a GPTQ checkpoint; the checkpoint knows better.
        gptq_model_v1: The same.
        whole: Whether a GPTQ checkpoint becomes ordinary layers while it is loaded, to merge into.
    """

    kind: Kind
    compute_dtype: torch.dtype = torch.float32
    double: bool = False
    threshold: float = 6.0
    skip: tuple[str, ...] = ()
    asked_by: str = "load_in_4bit"
    gptq_groupsize: int | None = None
    gptq_model_v1: bool | None = None
    whole: bool = False

    @property
    def rounds_to(self) -> torch.dtype:
        """The coarsest number format that a forward pass goes through."""
        if self.kind != "int8":
            return self.compute_dtype
        return torch.float16 if torch.cuda.is_available() else torch.float32


def quantized_base(sections: Sections) -> Quantized | None:
    """The form of the base model that the options ask for; None for whole weights.

    `adapter: qlora` means NF4 with double quantisation; `adapter: lora` on 4 bits means what the
    library does by itself, FP4 without it.
    """
    asked = sections.quantization
    compute = compute_dtype(sections.precision)
    if asked.gptq:
        return Quantized(
            "gptq",
            compute,
            asked_by="gptq",
            gptq_groupsize=asked.gptq_groupsize,
            gptq_model_v1=asked.gptq_model_v1,
        )
    more = asked.bnb_config_kwargs or BnbConfig()
    skip = tuple(more.llm_int8_skip_modules)
    if asked.load_in_8bit:
        return Quantized(
            "int8", compute, threshold=more.llm_int8_threshold, skip=skip, asked_by="load_in_8bit"
        )
    if asked.load_in_4bit:
        qlora = sections.adapter.adapter == "qlora"
        double = more.bnb_4bit_use_double_quant
        return Quantized(
            more.bnb_4bit_quant_type or ("nf4" if qlora else "fp4"),
            compute,
            double=qlora if double is None else double,
            skip=skip,
        )
    return None


def gptq_base(sections: Sections, model: ModelSection, *, whole: bool = False) -> Quantized | None:
    """The form of a model that is opened after the training, where that is the GPTQ base.

    Args:
        sections: The options.
        model: What is opened; a merged model is none in GPTQ any more.
        whole: Whether it is to become ordinary layers.
    """
    form = quantized_base(sections)
    if form is None or form.kind != "gptq" or model.base_model != sections.model.base_model:
        return None
    return replace(form, whole=whole)


def compute_dtype(precision: PrecisionSection) -> torch.dtype:
    """The dtype to multiply in: the half precision that the file names, else fp32.

    No CPU trains in float16, so there it is fp32 as well.
    """
    if precision.bf16 is True or precision.bfloat16:
        return torch.bfloat16
    if (precision.fp16 or precision.float16) and torch.cuda.is_available():
        return torch.float16
    return torch.float32
