"""Base models held in fewer bits than they are computed with."""

from __future__ import annotations

from pydantic import Field

from axolotl.config.section import Section


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
    gptq: bool = Field(
        default=False,
        description="The base model is a checkpoint that GPTQ quantised to 4 bits.",
        json_schema_extra={
            "needs": "`adapter: lora`",
            "pending": True,
            "instead": "name an unquantised model in base_model",
        },
    )
    gptq_groupsize: int | None = Field(
        default=None,
        ge=-1,
        description="Weights that share one scale in the GPTQ checkpoint, -1 for a whole column; the "
        "checkpoint says it itself, and another number here is reported.",
        json_schema_extra={"needs": "`gptq: true`"},
    )
    gptq_model_v1: bool | None = Field(
        default=None,
        description="The GPTQ checkpoint has the first version of the format; the checkpoint says it "
        "itself.",
        json_schema_extra={"needs": "`gptq: true`"},
    )
