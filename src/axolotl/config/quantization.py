"""Base models held in fewer bits than they are computed with."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from axolotl.config.section import Section


class BnbConfig(Section):
    """Further settings of bitsandbytes, by the names of `BitsAndBytesConfig`."""

    bnb_4bit_quant_type: Literal["nf4", "fp4"] | None = Field(
        default=None,
        description="Format of a 4-bit weight.",
        json_schema_extra={
            "needs": "`load_in_4bit: true`",
            "implied": "`nf4` with `adapter: qlora`, else `fp4`",
        },
    )
    bnb_4bit_use_double_quant: bool | None = Field(
        default=None,
        description="Whether the scales of 4-bit weights are quantised too.",
        json_schema_extra={
            "needs": "`load_in_4bit: true`",
            "implied": "on with `adapter: qlora`",
        },
    )
    llm_int8_threshold: float = Field(
        default=6.0,
        ge=0,
        description="On a GPU, columns of inputs with a value from this size on are multiplied in half "
        "precision; 0 multiplies all in 8 bits.",
        json_schema_extra={"needs": "`load_in_8bit: true`"},
    )
    llm_int8_skip_modules: list[str] = Field(
        default=[],
        description="Layers that stay whole in 8 and 4 bits, by the ends of their names; the output "
        "head always does.",
    )
    llm_int8_has_fp16_weight: bool = Field(
        default=False,
        description="Accepted where it is off: 8-bit layers would keep whole weights to train them, and "
        "a base model is frozen.",
    )


class QuantizationSection(Section):
    """Base models held in fewer bits than they are computed with."""

    load_in_8bit: bool = Field(
        default=False,
        description="Hold the frozen base model in 8 bits (LLM.int8) while an adapter is trained. "
        "Merging loads it whole.",
        json_schema_extra={"needs": "`adapter: lora`, bitsandbytes"},
    )
    load_in_4bit: bool = Field(
        default=False,
        description="Hold the frozen base model in 4 bits while an adapter is trained: NF4 with double "
        "quantisation for `adapter: qlora`, FP4 without it for `lora`. Merging loads it whole.",
        json_schema_extra={"needs": "`adapter: qlora` or `lora`, bitsandbytes"},
    )
    bnb_config_kwargs: BnbConfig | None = Field(
        default=None,
        description="Further settings of 8 and 4 bits.",
        json_schema_extra={"needs": "`load_in_8bit` or `load_in_4bit`"},
    )
    gptq: bool = Field(
        default=False,
        description="The base model is a checkpoint that GPTQ quantised, to 2, 3, 4 or 8 bits; it stays "
        "so while an adapter is trained. Merging makes it whole.",
        json_schema_extra={"needs": "`adapter: lora`"},
    )
    gptq_groupsize: int | None = Field(
        default=None,
        ge=-1,
        description="Inputs that share one scale in the GPTQ checkpoint, -1 for all of a layer; the "
        "checkpoint says it itself, and another number here is reported.",
        json_schema_extra={"needs": "`gptq: true`"},
    )
    gptq_model_v1: bool | None = Field(
        default=None,
        description="Whether the GPTQ checkpoint has the first version of the format; the checkpoint "
        "says it itself, and another word here is reported.",
        json_schema_extra={"needs": "`gptq: true`"},
    )
