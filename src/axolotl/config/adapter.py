"""Training a small adapter instead of all weights."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from axolotl.config.section import Section


class PeftAdapter(Section):
    """Settings of `adapter: llama-adapter`."""

    layers: int = Field(
        default=30,
        ge=1,
        description="Layers that get a prompt, from the last one.",
        json_schema_extra={"implied": "30, or all layers of a model with fewer"},
    )
    len: int = Field(default=10, ge=1, description="Length of the prompt in tokens.")


class LoftQ(Section):
    """Settings of `peft_init_lora_weights: loftq`."""

    loftq_bits: int = Field(
        default=4, description="Bits of a weight in the quantised base: 4 (NF4) or 8."
    )
    loftq_iter: int = Field(
        default=1,
        ge=1,
        description="How often base and adapter are fitted to each other; with 1 the base is the "
        "plain quantised one.",
    )


class Peft(Section):
    """Further settings of peft."""

    loftq_config: LoftQ | None = Field(
        default=None,
        description="How the base is quantised for LoftQ.",
        json_schema_extra={"needs": "`peft_init_lora_weights: loftq`"},
    )


class AdapterSection(Section):
    """Training a small adapter instead of all weights."""

    adapter: Literal["lora", "qlora", "llama-adapter"] | None = Field(
        default=None,
        description="Train a small adapter beside the frozen model: `lora`, `qlora` on a base "
        "model in 4 bits, or `llama-adapter`, prompts in the last layers of a Llama or Mistral; unset "
        "trains all weights.",
    )
    peft_adapter: PeftAdapter | None = Field(
        default=None,
        description="Settings of the adapter.",
        json_schema_extra={"needs": "`adapter: llama-adapter`"},
    )
    lora_model_dir: str | None = Field(
        default=None,
        description="Folder of an adapter to go on training, to answer with or to merge; its own "
        "settings replace the other `lora_` options.",
    )
    lora_r: int = Field(
        default=8, ge=1, description="Rank of the adapter; its size grows linearly with it."
    )
    lora_alpha: int = Field(
        default=16, ge=1, description="The adapter's output is scaled by `lora_alpha / lora_r`."
    )
    lora_dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the adapter's inputs set to zero while training.",
    )
    lora_target_modules: list[str] | str | None = Field(
        default=None,
        description="Layers to adapt: ends of their names, such as `[q_proj, v_proj]`, or one "
        "regular expression for whole names.",
    )
    lora_target_linear: bool = Field(
        default=False,
        description="Adapt all linear layers except the output head; what is adapted if no layers "
        "are named.",
    )
    lora_modules_to_save: list[str] | None = Field(
        default=None,
        description="Layers to train in full and save with the adapter, such as "
        "`[embed_tokens, lm_head]` for new tokens.",
    )
    lora_fan_in_fan_out: bool = Field(
        default=False,
        description="The adapted layers store their weights transposed, as GPT-2's Conv1D does.",
    )
    peft_use_dora: bool = Field(
        default=False,
        description="DoRA: learn the length of each weight column apart from its direction "
        "(arXiv 2402.09353).",
        json_schema_extra={"needs": "`adapter: lora` or `qlora`"},
    )
    peft_use_rslora: bool = Field(
        default=False,
        description="Scale the adapter's output by `lora_alpha / sqrt(lora_r)` (arXiv 2312.03732).",
        json_schema_extra={"needs": "`adapter: lora` or `qlora`"},
    )
    peft_init_lora_weights: bool | str | None = Field(
        default=None,
        description="What the adapter begins with: `true` (B zero), `gaussian`, `pissa`, "
        "`pissa_niter_N`, `olora`, `loftq`, `eva`, `corda`, `orthogonal`; as in peft.",
        json_schema_extra={"needs": "`adapter: lora` or `qlora`"},
    )
    peft_layers_to_transform: int | list[int] | None = Field(
        default=None,
        description="Numbers of the layers to adapt, from 0; by default all.",
        json_schema_extra={"needs": "`adapter: lora` or `qlora`"},
    )
    peft_layers_pattern: str | list[str] | None = Field(
        default=None,
        description="Name of the list that the layers are in, where it is not a usual one.",
        json_schema_extra={"needs": "`peft_layers_to_transform`"},
    )
    peft_layer_replication: list[list[int]] | None = Field(
        default=None,
        description="Ranges of layers, stacked one after the other to a larger model whose copies "
        "share their weights and have adapters of their own, such as `[[0, 4], [2, 5]]`.",
        json_schema_extra={"needs": "`adapter: lora`"},
    )
    peft_trainable_token_indices: list[int] | dict[str, list[int]] | None = Field(
        default=None,
        description="Ids of tokens whose embeddings are trained beside the adapter, and only those.",
        json_schema_extra={"needs": "`adapter: lora` or `qlora`"},
    )
    lora_rank_pattern: dict[str, int] | None = Field(
        default=None,
        description="Names of layers, each with a rank of its own.",
        json_schema_extra={"needs": "`adapter: lora` or `qlora`"},
    )
    lora_alpha_pattern: dict[str, float] | None = Field(
        default=None,
        description="Names of layers, each with an alpha of its own.",
        json_schema_extra={"needs": "`adapter: lora` or `qlora`"},
    )
    peft: Peft | None = Field(
        default=None,
        description="Further settings of peft.",
        json_schema_extra={"needs": "`peft_init_lora_weights: loftq`"},
    )
    unfrozen_parameters: list[str] | None = Field(
        default=None,
        description="Regular expressions: without an adapter, only the weights whose names they match "
        "from the beginning are trained.",
        json_schema_extra={"needs": "no `adapter`"},
    )
    lora_out_dir: str | None = Field(
        default=None,
        min_length=1,
        description="Another name for `output_dir` where an adapter is trained.",
        json_schema_extra={"needs": "`adapter`"},
    )
