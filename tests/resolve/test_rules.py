"""Every rule in both directions: what sets it off, and the nearest file that does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from axolotl.attention import KERNEL_PACKAGES
from axolotl.config import load_config
from axolotl.errors import ConfigErrors
from axolotl.registry import available
from axolotl.resolve import Purpose, examine, resolve
from axolotl.resolve.later import LATER_ATTENTION, LATER_TYPES
from axolotl.resolve.machine import OPTIONAL_PACKAGES, Machine
from axolotl.resolve.rules import RULES

CPU = Machine(gpu=False, bf16=False)
OLD_GPU = Machine(gpu=True, bf16=False)
GPU = Machine(gpu=True, bf16=True)
BARE = Machine(gpu=False, bf16=False, missing=frozenset(OPTIONAL_PACKAGES))
BARE_GPU = Machine(gpu=True, bf16=True, missing=frozenset(OPTIONAL_PACKAGES))
_ALL = frozenset(KERNEL_PACKAGES)
KERNELS = Machine(gpu=True, bf16=True, kernels=_ALL, capability=(9, 0))
BLACKWELL = Machine(gpu=True, bf16=True, kernels=_ALL, capability=(10, 0))
TURING = Machine(gpu=True, bf16=False, kernels=_ALL, capability=(7, 5))
ALIBI = Path(__file__).parents[1] / "fixtures" / "models" / "falcon_alibi"
"""A folder with nothing but a config.json."""
MAMBA = ALIBI.parent / "mamba"
SMALL: dict[str, Any] = {"base_model": "m", "datasets": [{"path": "d.jsonl", "type": "alpaca"}]}
LORA: dict[str, Any] = {"adapter": "lora", "lora_target_linear": True}
QLORA: dict[str, Any] = {"adapter": "qlora", "lora_target_linear": True, "load_in_4bit": True}
STREAM: dict[str, Any] = {"datasets": None, "pretraining_dataset": "p", "max_steps": 5}
TALK: dict[str, Any] = {"path": "d", "type": "chat_template"}
CHAT: dict[str, Any] = {"datasets": [TALK]}
HELD: dict[str, Any] = {"val_set_size": 4}
TESTS: dict[str, Any] = {"test_datasets": [{"path": "t.jsonl", "type": "alpaca"}]}
FSDP: dict[str, Any] = {"fsdp": ["full_shard", "auto_wrap"]}
ZERO3: dict[str, Any] = {"zero_optimization": {"stage": 3}}
TWO_SETS: dict[str, Any] = {"datasets": [{"path": "d.jsonl", "type": "alpaca"}, {"path": "e.jsonl", "type": "alpaca"}]}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What sets a rule off (`given`), what it says, and the change (`quiet`) with which it is silent."""

    rule: str
    level: str
    given: dict[str, Any]
    key: str
    says: str
    quiet: dict[str, Any]
    machine: Machine = CPU
    purpose: Purpose = "check"
    quiet_machine: Machine | None = None
    written: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.rule}: {self.given}"


def E(
    rule: str, given: dict[str, Any], key: str, says: str, quiet: dict[str, Any], **other: Any
) -> Row:
    return Row(rule, "error", given, key, says, quiet, **other)


def W(
    rule: str, given: dict[str, Any], key: str, says: str, quiet: dict[str, Any], **other: Any
) -> Row:
    return Row(rule, "warning", given, key, says, quiet, **other)


def N(
    rule: str, given: dict[str, Any], key: str, says: str, quiet: dict[str, Any], **other: Any
) -> Row:
    return Row(rule, "info", given, key, says, quiet, **other)


ROWS = [
    # variants of adapters
    E("start-of-lora", {**LORA, "peft_init_lora_weights": "eva"}, "peft_init_lora_weights", "a pass over the data", {"peft_init_lora_weights": True}),
    E("start-of-lora", {**LORA, "peft_init_lora_weights": "corda"}, "peft_init_lora_weights", "a pass over the data", {"lora_model_dir": "a"}),
    E("start-of-lora", {**LORA, "peft_init_lora_weights": "pisa"}, "peft_init_lora_weights", "no start is called 'pisa'", {"peft_init_lora_weights": "pissa"}),
    E("start-of-lora", {**LORA, "peft_init_lora_weights": "pissa_niter"}, "peft_init_lora_weights", "no start is called", {"peft_init_lora_weights": "pissa_niter_4"}),
    E("start-and-rank", {**LORA, "peft_init_lora_weights": "orthogonal", "lora_r": 3}, "lora_r", "3 is odd", {"lora_r": 4}),
    E("start-and-rank", {**LORA, "peft_init_lora_weights": "orthogonal", "lora_rank_pattern": {"q_proj": 5}}, "lora_rank_pattern", "q_proj: 5 is odd", {"peft_init_lora_weights": "gaussian"}),
    E("start-on-quantised", {**QLORA, "peft_init_lora_weights": "pissa"}, "peft_init_lora_weights", "rounded anew", {"peft_init_lora_weights": "gaussian"}),
    E("start-on-quantised", {**LORA, "load_in_8bit": True, "peft_init_lora_weights": "loftq"}, "peft_init_lora_weights", "needs them whole", {"load_in_8bit": False}),
    E("start-on-quantised", {**LORA, "gptq": True, "peft_init_lora_weights": "orthogonal"}, "peft_init_lora_weights", "from whole weights", {"gptq": False}),
    E("bits-of-loftq", {**LORA, "peft_init_lora_weights": "loftq", "peft": {"loftq_config": {"loftq_bits": 3}}}, "peft.loftq_config.loftq_bits", "3 bits are not known", {"peft": {"loftq_config": {"loftq_bits": 8}}}),
    E("bits-of-loftq", {**LORA, "peft_init_lora_weights": "loftq"}, "peft_init_lora_weights", "needs the package bitsandbytes", {"peft": {"loftq_config": {"loftq_bits": 8}}}, machine=Machine(gpu=False, bf16=False, missing=frozenset({"bitsandbytes"}))),
    E("dora-alone", {**LORA, "gptq": True, "peft_use_dora": True}, "peft_use_dora", "keeps packed", {"gptq": False}),
    E("dora-alone", {**LORA, "load_in_8bit": True, "peft_use_dora": True}, "peft_use_dora", "without a GPU", {}, quiet_machine=GPU),
    E("dora-alone", {**LORA, "peft_init_lora_weights": "mica", "peft_use_dora": True}, "peft_use_dora", "a variant by itself", {"peft_init_lora_weights": "pissa"}),
    E("layers-of-a-pattern", {**LORA, "peft_layers_pattern": "layers"}, "peft_layers_pattern", "needs peft_layers_to_transform", {"peft_layers_to_transform": 0}),
    E("stacked-layers", {**LORA, "peft_layer_replication": [[2, 2]]}, "peft_layer_replication", "no range", {"peft_layer_replication": [[0, 2]]}),
    E("stacked-layers", {**QLORA, "peft_layer_replication": [[0, 2]]}, "peft_layer_replication", "load_in_4bit does not let them", LORA | {"load_in_4bit": False}),
    E("rows-trained-twice", {**LORA, "peft_trainable_token_indices": {"wte": [1]}, "lora_modules_to_save": ["wte"]}, "peft_trainable_token_indices", "wte is trained as a whole", {"lora_modules_to_save": ["lm_head"]}),
    E("relora-on-plain-lora", {**LORA, "relora_steps": 5, "peft_init_lora_weights": "pissa"}, "peft_init_lora_weights", "not with relora_steps", {"relora_steps": None}),
    E("relora-on-plain-lora", {**LORA, "relora_steps": 5, "peft_use_dora": True}, "peft_use_dora", "not with relora_steps", {"peft_use_dora": False}),
    E("only-of-lora", {"adapter": "llama-adapter", "peft_use_dora": True}, "peft_use_dora", "trains prompts and no LoRA", {"adapter": "lora"}),
    E("only-of-lora", {"adapter": "llama-adapter", "peft_trainable_token_indices": [3]}, "peft_trainable_token_indices", "trains prompts and no LoRA", {"adapter": "lora"}),
    E("only-of-lora", {"adapter": "llama-adapter", "gptq": True}, "gptq", "through whole weights", {"adapter": "lora"}),
    E("prompts-are-not-merged", {"adapter": "llama-adapter"}, "adapter", "cannot be merged", {"adapter": "lora", "lora_target_linear": True}, purpose="merge"),
    E("some-weights-without-adapter", {**LORA, "unfrozen_parameters": ["lm_head"]}, "unfrozen_parameters", "freezes all weights", {"adapter": None, "lora_target_linear": None}),
    W("no-effect", {**LORA, "lora_target_linear": None, "lora_model_dir": "a", "unfrozen_parameters": ["lm_head"]}, "unfrozen_parameters", "an adapter freezes all", {"unfrozen_parameters": None}),
    W("no-effect", {"peft_use_dora": True}, "peft_use_dora", "has no effect: without an adapter", LORA),
    W("no-effect", {"adapter": "llama-adapter", "lora_r": 4}, "lora_r", "no LoRA", {"adapter": "lora"}),
    W("no-effect", {**LORA, "peft": {"loftq_config": {"loftq_bits": 8}}}, "peft", "LoftQ is off", {"peft_init_lora_weights": "loftq"}),
    # number formats
    E("one-half-precision", {"float16": True, "bfloat16": True, **LORA}, "float16", "one of them only", {"bfloat16": False}),
    E("one-half-precision", {"bf16": True, "float16": True, **LORA}, "bf16", "another half precision", {"bf16": False}),
    E("one-half-precision", {"bf16": "full", "float16": True, **LORA}, "bf16", "bf16: full computes", {"float16": False}),
    E("one-half-precision", {"bf16": "auto", "float16": True, **LORA}, "bf16", "bf16: auto computes", {}, machine=GPU, quiet_machine=CPU),
    N("one-half-precision", {"bf16": True, "bfloat16": True}, "bf16", "updated in bfloat16", {"bfloat16": None}),
    N("one-half-precision", {"bf16": True, "bfloat16": True}, "bf16", "updated in bfloat16", LORA),
    W("one-half-precision", {"bf16": True, "fp16": True}, "fp16", "bf16 is set as well", {"fp16": False}),
    E("scaled-gradients", {"fp16": True, "float16": True}, "fp16", "held in float16", {"float16": False}, machine=GPU),
    E("scaled-gradients", {"fp16": True, "float16": True}, "fp16", "held in float16", LORA, machine=GPU),
    E("scaled-gradients", {"fp16": True, "bfloat16": True}, "fp16", "held in bfloat16", {"bf16": True}, machine=GPU),
    E("scaled-gradients", {"fp16": True, "bfloat16": True, **LORA, "lora_modules_to_save": ["lm_head"]}, "fp16", "held in bfloat16", {"lora_modules_to_save": None}, machine=GPU),
    E("machine-computes-it", {"bf16": "full"}, "bf16", "no bfloat16", {}, machine=OLD_GPU, quiet_machine=GPU),
    E("machine-computes-it", {"fp16": True}, "fp16", "no GPU here", {}, quiet_machine=GPU),
    W("machine-computes-it", {"fp16": True}, "fp16", "no GPU here", {}, purpose="merge", quiet_machine=GPU),
    E("machine-computes-it", {"bf16": True}, "bf16", "no bfloat16", {"bf16": "auto"}, machine=OLD_GPU),
    E("machine-computes-it", {"bf16": True}, "bf16", "no bfloat16", {}, machine=OLD_GPU, quiet_machine=CPU),
    E("machine-computes-it", {"bfloat16": True}, "bfloat16", "no bfloat16", {"bfloat16": None}, machine=OLD_GPU),
    W("machine-computes-it", {"bf16": True}, "bf16", "no bfloat16", {}, machine=OLD_GPU, purpose="prepare", quiet_machine=GPU),
    N("unused-bfloat16", {}, "bf16", "not switched on", {"bf16": False}, machine=GPU),
    N("unused-bfloat16", {}, "bf16", "not switched on", {"bf16": "auto"}, machine=GPU, quiet_machine=OLD_GPU),
    W("pure-float16", {"float16": True}, "float16", "no numbers", LORA),
    N("idle-tf32", {"tf32": True}, "tf32", "no GPU", {}, quiet_machine=OLD_GPU),
    # the model
    W("remote-code", {"trust_remote_code": True}, "trust_remote_code", "will be run", {"trust_remote_code": False}),
    E("output-is-not-input", {"base_model": "./x", "output_dir": "x"}, "output_dir", "overwrite base_model", {"output_dir": "y"}),
    N("merging-unquantised", {**LORA, "gptq": True}, "gptq", "made whole for merging", {"gptq": False}, purpose="merge"),
    N("merging-unquantised", QLORA, "load_in_4bit", "unquantised for merging", {"load_in_4bit": False}, purpose="merge"),
    E("falcon-and-fsdp", {"base_model": "x/Falcon-7b", "fsdp": ["full_shard"]}, "fsdp", "not with Falcon", {"base_model": "x/llama"}),
    E("mpt-and-checkpointing", {"base_model": "MPT-7b", "gradient_checkpointing": True}, "gradient_checkpointing", "not with MPT", {"base_model": "m"}),
    # adapters
    E("one-quantisation", {"load_in_8bit": True, "load_in_4bit": True, **LORA}, "load_in_4bit", "one of these forms", {"load_in_4bit": False}),
    E("quantised-for-qlora", {**QLORA, "load_in_8bit": True}, "load_in_8bit", "in 4 bits", {"load_in_8bit": False}),
    E("quantised-for-qlora", {**QLORA, "gptq": True}, "gptq", "in 4 bits", {"gptq": False}),
    E("quantised-for-qlora", {**QLORA, "load_in_4bit": False}, "adapter", "needs load_in_4bit", {"load_in_4bit": True}),
    E("quantised-without-adapter", {"load_in_8bit": True}, "load_in_8bit", "there is no adapter", LORA),
    E("quantised-without-adapter", {"load_in_4bit": True}, "load_in_4bit", "there is no adapter", LORA),
    N("kind-of-four-bits", {**LORA, "load_in_4bit": True}, "load_in_4bit", "FP4", {"adapter": "qlora"}),
    N("kind-of-four-bits", {**LORA, "load_in_4bit": True}, "load_in_4bit", "FP4", {"bnb_config_kwargs": {"bnb_4bit_quant_type": "fp4"}}),
    W("settings-of-bitsandbytes", {**LORA, "bnb_config_kwargs": {"llm_int8_skip_modules": ["q_proj"]}}, "bnb_config_kwargs", "no effect", {"load_in_8bit": True}),
    W("settings-of-bitsandbytes", {**QLORA, "bnb_config_kwargs": {"llm_int8_threshold": 5}}, "bnb_config_kwargs.llm_int8_threshold", "not about load_in_4bit", {"adapter": "lora", "load_in_4bit": False, "load_in_8bit": True}),
    W("settings-of-bitsandbytes", {**LORA, "load_in_8bit": True, "bnb_config_kwargs": {"bnb_4bit_use_double_quant": True}}, "bnb_config_kwargs.bnb_4bit_use_double_quant", "not about load_in_8bit", {**QLORA, "load_in_8bit": False}),
    E("settings-of-bitsandbytes", {**LORA, "load_in_8bit": True, "bnb_config_kwargs": {"llm_int8_has_fp16_weight": True}}, "bnb_config_kwargs.llm_int8_has_fp16_weight", "is frozen", {"bnb_config_kwargs": {"llm_int8_has_fp16_weight": False}}),
    E("bitsandbytes-is-there", QLORA, "load_in_4bit", "bitsandbytes, which is not installed", {}, machine=BARE, quiet_machine=CPU),
    E("bitsandbytes-is-there", {**LORA, "load_in_8bit": True}, "load_in_8bit", "bitsandbytes, which is not installed", {"load_in_8bit": False}, machine=BARE),
    E("bitsandbytes-is-there", QLORA, "load_in_4bit", "bitsandbytes, which is not installed", {}, machine=BARE, quiet_machine=CPU, purpose="answer"),
    W("bitsandbytes-is-there", QLORA, "load_in_4bit", "bitsandbytes, which is not installed", {}, machine=BARE, quiet_machine=CPU, purpose="prepare"),
    N("lora-in-8bit", {**LORA, "bf16": True}, "adapter", "half the memory", {"load_in_8bit": True}, machine=GPU),
    N("adapter-targets", {"adapter": "lora"}, "adapter", "all linear layers", {"lora_target_linear": True}),
    W("embeddings-of-new-tokens", {**LORA, "tokens": ["<a>"]}, "tokens", "random embeddings", {"lora_modules_to_save": ["embed_tokens", "lm_head"]}),
    W("embeddings-of-new-tokens", {**LORA, "tokens": ["<a>"]}, "tokens", "random embeddings", {"adapter": None, "lora_target_linear": None}),
    E("folder-of-the-adapter", {**LORA, "lora_out_dir": "a", "output_dir": "b"}, "lora_out_dir", "two folders", {"lora_out_dir": None}),
    W("folder-of-the-adapter", {**LORA, "lora_out_dir": "a"}, "lora_out_dir", "taken as output_dir", {"lora_out_dir": None, "output_dir": "a"}),
    # ReLoRA
    E("relora-on-lora", {"relora_steps": 5}, "relora_steps", "needs an adapter", LORA),
    E("relora-alone", {**LORA, "relora_steps": 5, "fsdp": ["full_shard"]}, "fsdp", "not with relora_steps", {"fsdp": None}),
    E("relora-alone", {**LORA, "relora_steps": 5, "deepspeed": "d.json"}, "deepspeed", "not with relora_steps", {"deepspeed": None}),
    E("relora-alone", {**LORA, "relora_steps": 5, "lr_scheduler": "one_cycle"}, "lr_scheduler", "restarts the learning rate", {"lr_scheduler": "cosine"}),
    E("relora-alone", {**LORA, "relora_steps": 5, "gptq": True}, "gptq", "before they were quantised", {"relora_steps": None}),
    E("relora-moments", {**LORA, "relora_steps": 5, "relora_prune_ratio": 0.9, "optimizer": "adafactor"}, "relora_prune_ratio", "not with `optimizer: adafactor`", {"optimizer": "adamw_torch"}),
    W("relora-in-half", {**LORA, "relora_steps": 5, "bfloat16": True}, "bfloat16", "rounded to half precision", {"bfloat16": None, "bf16": "auto"}),
    W("relora-offload", {**LORA, "relora_steps": 5, "relora_cpu_offload": True}, "relora_cpu_offload", "no effect", {"load_in_8bit": True}),
    W("relora-cycle", {**LORA, "relora_steps": 5}, "relora_warmup_steps", "10, the default, is more than", {"relora_warmup_steps": 2}),
    W("relora-cycle", {**LORA, "relora_steps": 5, "relora_warmup_steps": 6}, "relora_warmup_steps", "never comes back", {"relora_warmup_steps": 5}),
    E("relora-cycle", {**LORA, "relora_steps": 5, "relora_warmup_steps": 2, "relora_anneal_steps": 6}, "relora_anneal_steps", "more than relora_steps", {"relora_anneal_steps": 5}),
    # data
    E("something-to-train-on", {"datasets": None}, "datasets", "datasets is missing", SMALL),
    E("something-to-train-on", {"datasets": []}, "datasets", "datasets is missing", SMALL),
    E("something-to-train-on", {**STREAM, **SMALL}, "pretraining_dataset", "exclude each other", {"datasets": None}),
    E("dataset-types", {"datasets": [{"path": "d", "type": "alpca"}]}, "datasets.0.type", "'alpca'", {"datasets": [{"path": "d", "type": "alpaca"}]}),
    E("dataset-types", {"datasets": [{"path": "d", "type": "alpaca", "field": "x"}]}, "datasets.0.type", "no setting 'field'", {"datasets": [{"path": "d", "type": "completion", "field": "x"}]}),
    W("dataset-types", {"datasets": [{"path": "d", "field": "x"}]}, "datasets.0.field", "without a type", {"datasets": [{"path": "d"}]}),
    W("dataset-types", {"datasets": [{"path": "d", "type": "completion"}], "train_on_inputs": True}, "train_on_inputs", "no effect", SMALL),
    E("dataset-types", {"datasets": [{"path": "d", "type": "alpaca:load_open_orca"}]}, "datasets.0.type", "alpaca has no style 'load_open_orca'", {"datasets": [{"path": "d", "type": "alpaca_w_system.load_open_orca"}]}),
    E("dataset-types", {"datasets": [{"path": "d", "type": "alpaca_chat.load_aq"}]}, "datasets.0.type", "no variant 'load_aq'", {"datasets": [{"path": "d", "type": "alpaca_chat.load_qa"}]}),
    E("dataset-types", {"datasets": [{"path": "d", "type": {"format": "{question}"}}]}, "datasets.0.type.format", "{question} is no placeholder", {"datasets": [{"path": "d", "type": {"format": "{instruction}"}}]}),
    E("dataset-types", {"test_datasets": [{"path": "d", "type": "alpca"}]}, "test_datasets.0.type", "'alpca'", {"test_datasets": [{"path": "d", "type": "alpaca"}]}),
    W("dataset-types", {"datasets": [{"path": "d", "conversation": "chatml"}]}, "datasets.0.conversation", "without a type", {"datasets": [{"path": "d", "type": "alpaca_chat", "conversation": "chatml"}]}),
    E("dataset-types", {"datasets": [{"path": "d", "type": "sharegpt", "conversation": "vicuna"}]}, "datasets.0.conversation", "no conversation 'vicuna'", {"datasets": [{"path": "d", "type": "sharegpt", "conversation": "vicuna_v1.1"}]}),
    E("dataset-types", {"datasets": [{"path": "d", "type": "sharegpt", "conversation": "raw"}]}, "datasets.0.conversation", "nothing would be trained", {"datasets": [{"path": "d", "type": "sharegpt"}]}),
    E("dataset-types", {**CHAT, "chat_template": "jinja"}, "chat_template", "needs chat_template_jinja", {"chat_template_jinja": "{{ x }}"}),
    E("dataset-types", {**CHAT, "chat_template": "chatml", "chat_template_jinja": "{{ x }}"}, "chat_template", "both set", {"chat_template": "jinja"}),
    E("dataset-types", {**CHAT, "chat_template": "chatmll"}, "chat_template", "no chat template 'chatmll'", {"chat_template": "chatml"}),
    E("dataset-types", {**CHAT, "chat_template_jinja": "{% for x %}"}, "chat_template_jinja", "line 1 of the chat template", {"chat_template_jinja": "{{ x }}"}),
    E("dataset-types", {**CHAT, "chat_template_jinja": "gone.jinja"}, "chat_template_jinja", "no file gone.jinja", {"chat_template_jinja": None}),
    E("dataset-types", {"datasets": [{**TALK, "chat_template": "jinja"}]}, "datasets.0.chat_template", "needs chat_template_jinja", {"datasets": [{**TALK, "chat_template": "zephyr"}]}),
    E("dataset-types", {"datasets": [{**TALK, "roles_to_train": ["asistant"]}]}, "datasets.0.roles_to_train", "no role is called 'asistant'", {"datasets": [{**TALK, "roles_to_train": ["assistant"]}]}),
    E("dataset-types", {"datasets": [{**TALK, "message_field_role": "who", "message_property_mappings": {"role": "from"}}]}, "datasets.0.message_field_role", "disagree", {"datasets": [{**TALK, "message_field_role": "who", "message_property_mappings": {"role": "who"}}]}),
    E("dataset-types", {"datasets": [{"path": "d", "type": "alpaca", "roles_to_train": ["user"]}]}, "datasets.0.type", "no setting 'roles_to_train'", {"datasets": [{**TALK, "roles_to_train": ["user"]}]}),
    # chat templates
    W("chat-template-for-nothing", {"chat_template": "chatml"}, "chat_template", "no data set has `type: chat_template`", CHAT),
    W("chat-template-for-nothing", {"chat_template_jinja": "{{ x }}"}, "chat_template_jinja", "no data set has `type: chat_template`", CHAT),
    W("chat-template-for-nothing", {"chat_template_kwargs": {"a": 1}}, "chat_template_kwargs", "no data set has", CHAT),
    W("chat-template-for-nothing", {"chat_template": "chatml", "datasets": [{**TALK, "chat_template": "gemma"}]}, "chat_template", "a template of its own", CHAT),
    W("dataset-types", {"datasets": [{"path": "d", "type": "summarizetldr:chat"}]}, "datasets.0.type", "the same as 'summarizetldr'", {"datasets": [{"path": "d", "type": "summarizetldr"}]}),
    W("dataset-types", {"datasets": [{"path": "d", "type": "metharme"}], "prompt_templates": "2023-10"}, "prompt_templates", "the same in every wording", {"datasets": [{"path": "d", "type": "jeopardy"}]}),
    E("streaming", {**STREAM, "max_steps": None}, "pretraining_dataset", "needs max_steps", {"max_steps": 5}),
    E("streaming", {"streaming": True}, "streaming", "needs max_steps", {"max_steps": 5}),
    E("streaming", {**STREAM, "val_set_size": 3}, "val_set_size", "no rows can be held out", {"val_set_size": None}),
    E("streaming", {**STREAM, "dataset_exact_deduplication": True}, "dataset_exact_deduplication", "does not go with pretraining_dataset", {"dataset_exact_deduplication": False}),
    E("streaming", {"streaming": True, "max_steps": 5, "dataset_lock": True}, "dataset_lock", "does not go with streaming", {"dataset_lock": False}),
    E("streaming", {"streaming": True, "max_steps": 5, "datasets": [{"path": "d", "type": "alpaca", "shards": 2}]}, "datasets.0.shards", "are not counted first", {"streaming": False}),
    W("order-of-a-stream", {**STREAM, "group_by_length": True}, "group_by_length", "in its own order", {"group_by_length": False}),
    W("order-of-a-stream", {"streaming": True, "max_steps": 5, "num_epochs": 2}, "num_epochs", "max_steps says how long", {"streaming": False}),
    W("buffer-of-a-stream", {"streaming_multipack_buffer_size": 50}, "streaming_multipack_buffer_size", "is prepared first", {"streaming": True, "max_steps": 5}),
    E("one-part-of-the-rows", {"dataset_shard_num": 4}, "dataset_shard_num", "needs dataset_shard_idx", {"dataset_shard_idx": 0}),
    E("one-part-of-the-rows", {"dataset_shard_idx": 0}, "dataset_shard_idx", "needs dataset_shard_num", {"dataset_shard_num": 4}),
    E("one-part-of-the-rows", {"dataset_shard_num": 4, "dataset_shard_idx": 4}, "dataset_shard_idx", "none of the 4 parts", {"dataset_shard_idx": 3}),
    E("token-for-the-hub", {"push_dataset_to_hub": "me"}, "push_dataset_to_hub", "needs the hub token", {"hf_use_auth_token": True}),
    # rows
    E("packing-once", {"sample_packing": True, "max_packed_sequence_len": 9}, "max_packed_sequence_len", "exclude each other", {"max_packed_sequence_len": None}),
    W("packing-once", {"max_packed_sequence_len": 2048}, "max_packed_sequence_len", "old name of packing", {"max_packed_sequence_len": None}),
    W("padding", {"pad_to_sequence_len": True, "micro_batch_size": 2}, "pad_to_sequence_len", "4,096 tokens", {"pad_to_sequence_len": False}),
    W("packing-of-the-model", {"base_model": str(MAMBA), "sample_packing": True}, "sample_packing", "a state runs through the row", {"sample_packing": False}),
    W("packing-of-the-model", {"base_model": str(MAMBA), "sample_packing": True}, "sample_packing", "each row will hold one", {"base_model": str(ALIBI)}),
    N("padding", {"pad_to_sequence_len": True, "sample_packing": True}, "pad_to_sequence_len", "on a CPU", {"pad_to_sequence_len": False}),
    N("padding", {"sample_packing": True, "bf16": True}, "sample_packing", "varies a little", {"pad_to_sequence_len": True}, machine=GPU),
    W("tokens-in-a-row", {"micro_batch_size": 512}, "micro_batch_size", "1,048,576 tokens", {"micro_batch_size": 128}),
    W("rows-for-evaluation", {**HELD, "micro_batch_size": 2, "eval_batch_size": 4}, "eval_batch_size", "is not the micro_batch_size", {"eval_batch_size": 2}),
    W("rows-for-evaluation", {**HELD, "micro_batch_size": 2, "eval_batch_size": 4}, "eval_batch_size", "is not the micro_batch_size", {"eval_batch_size": None}),
    # which rows, in which order
    E("data-to-evaluate-on", {**TESTS, **HELD}, "val_set_size", "exclude each other", {"val_set_size": 0}),
    E("data-to-evaluate-on", {**TESTS, **HELD}, "val_set_size", "exclude each other", {"test_datasets": []}),
    W("data-to-evaluate-on", {"test_datasets": [{"path": "t", "type": "alpaca", "weight": 2}]}, "test_datasets.0.weight", "taken once each", {"test_datasets": [{"path": "t", "type": "alpaca", "weight": 1}]}),
    N("data-to-evaluate-on", {**TESTS, "dataset_shard_num": 4, "dataset_shard_idx": 0}, "dataset_shard_num", "evaluated on all of test_datasets", {"test_datasets": []}),
    E("one-shard-of-a-data-set", {"datasets": [{"path": "d", "type": "alpaca", "shards_idx": 1}]}, "datasets.0.shards_idx", "needs shards", {"datasets": [{"path": "d", "type": "alpaca", "shards_idx": 1, "shards": 2}]}),
    E("one-shard-of-a-data-set", {"datasets": [{"path": "d", "type": "alpaca", "shards_idx": 2, "shards": 2}]}, "datasets.0.shards_idx", "none of the 2 parts", {"datasets": [{"path": "d", "type": "alpaca", "shards_idx": 1, "shards": 2}]}),
    E("one-shard-of-a-data-set", {"test_datasets": [{"path": "d", "type": "alpaca", "shards_idx": 2, "shards": 2}]}, "test_datasets.0.shards_idx", "none of the 2 parts", TESTS),
    E("order-of-rows", {"curriculum_sampling": True, "group_by_length": True}, "group_by_length", "by length, or in their order", {"group_by_length": False}),
    E("order-of-rows", {"curriculum_sampling": True, "group_by_length": True}, "group_by_length", "by length, or in their order", {"curriculum_sampling": False}),
    E("order-of-rows", {"curriculum_sampling": True, "sample_packing": True, "sample_packing_sequentially": False}, "sample_packing_sequentially", "have no order", {"sample_packing_sequentially": True}),
    E("order-of-rows", {"curriculum_sampling": True, "sample_packing": True, "sample_packing_sequentially": False}, "sample_packing_sequentially", "have no order", {"sample_packing": False}),
    W("order-of-rows", {"curriculum_sampling": True, "shuffle_merged_datasets": True}, "shuffle_merged_datasets", "shuffled once", {"curriculum_sampling": False}),
    W("order-of-rows", {"curriculum_sampling": True, "shuffle_before_merging_datasets": True}, "shuffle_before_merging_datasets", "shuffled once", {"shuffle_before_merging_datasets": False}),
    # attention
    E("one-attention", {"attn_implementation": "eager", "landmark_attention": True}, "attn_implementation", "one way only", {"landmark_attention": False}),
    E("rope-parameters", {"rope_scaling": {"type": "linear"}}, "rope_scaling", "needs factor", {"rope_scaling": {"type": "linear", "factor": 2}}),
    E("rope-parameters", {"rope_scaling": {"type": "linear", "factor": 2, "beta_fast": 8}}, "rope_scaling.beta_fast", "no such parameter", {"rope_scaling": {"type": "yarn", "factor": 2, "beta_fast": 8}}),
    E("rope-borders", {"rope_scaling": {"type": "yarn", "factor": 2, "mscale": 1}}, "rope_scaling.mscale", "without mscale_all_dim", {"rope_scaling": {"type": "yarn", "factor": 2}}),
    E("rope-of-the-model", {"base_model": str(ALIBI), "rope_scaling": {"type": "linear", "factor": 2}}, "rope_scaling", "it has ALiBi", {"rope_scaling": None}),
    W("longer-than-the-model", {"base_model": str(ALIBI), "sequence_len": 4096}, "sequence_len", "the 2048 tokens that", {"sequence_len": 2048}),
    E("attention-name", {"attn_implementation": "spda"}, "attn_implementation", "there is no attention 'spda'", {"attn_implementation": "sdpa"}),
    E("landmarks-in-the-data", {"attn_implementation": "landmark"}, "attn_implementation", "needs landmarks in the data", {"landmark_attention": True}),
    E("landmarks-in-the-data", {"attn_implementation": "landmark"}, "attn_implementation", "needs landmarks in the data", {"attn_implementation": "sdpa"}),
    E("landmarks-in-the-data", {"landmark_attention": True, "sequence_len": 50}, "sequence_len", "behind every 50 tokens", {"sequence_len": 51}),
    E("landmarks-in-the-data", {"landmark_attention": True, "sequence_len": 50}, "sequence_len", "behind every 50 tokens", {"landmark_attention": False}),
    E("xpos-and-prompts", {"xpos_rope": True, "adapter": "llama-adapter"}, "xpos_rope", "prompts have no positions", {"adapter": "lora"}),
    N("read-elsewhere", {"landmark_attention": True}, "landmark_attention", "as a plain Llama, without them", {"landmark_attention": False}),
    W("read-elsewhere", {"xpos_rope": True}, "xpos_rope", "only this tool reads", {"xpos_rope": False}),
    W("old-attention-names", {"flash_optimum": True}, "flash_optimum", "BetterTransformer is retired", {"flash_optimum": False}),
    W("old-attention-names", {"flash_optimum": True, **LORA, "bf16": True}, "flash_optimum", "BetterTransformer is retired", {"flash_optimum": False}),
    W("old-attention-names", {"sdp_attention": True, "sample_packing": True}, "sdp_attention", "old name", {"sdp_attention": None, "attn_implementation": "sdpa"}),
    E("one-loss", {"cut_cross_entropy": True, "liger_fused_linear_cross_entropy": True}, "cut_cross_entropy", "in one way only", {"cut_cross_entropy": False}),
    N("loss-in-its-place", {"liger_fused_linear_cross_entropy": True}, "liger_fused_linear_cross_entropy", "without a GPU the loss is computed in chunks", {"liger_fused_linear_cross_entropy": False}),
    N("loss-in-its-place", {"cut_cross_entropy": True}, "cut_cross_entropy", "without a GPU", {}, quiet_machine=GPU),
    W("loss-in-its-place", {"cut_cross_entropy": True}, "cut_cross_entropy", "cut_cross_entropy is not installed", {}, machine=BARE_GPU, quiet_machine=GPU),
    N("old-loss-name", {"flash_attn_cross_entropy": True}, "flash_attn_cross_entropy", "in chunks in plain torch", {"flash_attn_cross_entropy": False}),
    N("old-loss-name", {"flash_attn_cross_entropy": True}, "flash_attn_cross_entropy", "of Liger takes its place", {"flash_attn_cross_entropy": False}, machine=GPU),
    N("old-loss-name", {"flash_attn_cross_entropy": True}, "flash_attn_cross_entropy", "in chunks in plain torch", {"flash_attn_cross_entropy": False}, machine=BARE_GPU),
    N("old-loss-name", {"flash_attn_cross_entropy": True, "cut_cross_entropy": True}, "flash_attn_cross_entropy", "cut_cross_entropy computes", {"flash_attn_cross_entropy": False}),
    E("one-attention", {"attn_implementation": "flash_attention_3", "xformers_attention": True}, "attn_implementation", "one way only", {"xformers_attention": False}, machine=KERNELS),
    E("one-attention", {"attn_implementation": "xformers", "flash_attention": True}, "attn_implementation", "one way only", {"attn_implementation": "flash_attention_3"}, machine=KERNELS),
    E("attention-name", {"attn_implementation": "flex_attention"}, "attn_implementation", "there is no attention 'flex_attention'", {"attn_implementation": "flex"}, machine=KERNELS),
    E("attention-here", {"attn_implementation": "flash_attention_2", "bf16": True}, "attn_implementation", "there is no GPU here", {"attn_implementation": "per_document"}),
    E("attention-here", {"attn_implementation": "flash_attention_2", "bf16": True}, "attn_implementation", "flash-attn is not installed", {"attn_implementation": "flex"}, machine=GPU),
    E("attention-here", {"attn_implementation": "flash_attention_3", "bf16": True}, "attn_implementation", "written for Hopper", {"attn_implementation": "flash_attention_2"}, machine=BLACKWELL),
    E("attention-here", {"attn_implementation": "flash_attention_2", "fp16": True}, "attn_implementation", "too old", {"attn_implementation": "xformers"}, machine=TURING),
    E("attention-here", {"attn_implementation": "flash_attention_2"}, "attn_implementation", "only half precision", {"bf16": "auto"}, machine=KERNELS),
    E("attention-here", {"attn_implementation": "flash_attention_3", "bf16": "full"}, "attn_implementation", "only half precision", {"bf16": None, "bfloat16": True}, machine=KERNELS),
    E("attention-here", {"attn_implementation": "xformers"}, "attn_implementation", "xformers is not installed", {}, machine=GPU, quiet_machine=KERNELS),
    E("attention-here", {"attn_implementation": "flex"}, "attn_implementation", "cannot train with it on a CPU", {"attn_implementation": "sdpa"}),
    N("idle-kernel", {"bf16": True}, "flash_attention", "is installed, and not used", {"flash_attention": False, "xformers_attention": False}, machine=KERNELS),
    N("idle-kernel", {"bf16": "auto"}, "flash_attention", "is installed, and not used", {"attn_implementation": "sdpa"}, machine=KERNELS),
    N("attention-in-its-place", {"flash_attention": True, "bfloat16": True}, "flash_attention", "there is no GPU here; attention is", {}, quiet_machine=KERNELS, purpose="prepare"),
    N("attention-in-its-place", {"flash_attention": True}, "flash_attention", "only half precision", {"bf16": "auto"}, machine=KERNELS),
    N("attention-in-its-place", {"flash_attention": True}, "flash_attention", "same result", {"flash_attention": False}),
    N("attention-in-its-place", {"xformers_attention": True, "sample_packing": True}, "xformers_attention", "same result", {"xformers_attention": False}),
    # the loop
    E("compiling", {"torch_compile": True}, "torch_compile", "there is none here", {}, machine=Machine(gpu=False, bf16=False, compiler=False), quiet_machine=CPU),
    E("compiling", {"torch_compile": True}, "torch_compile", "there is none here", {"torch_compile_backend": "eager"}, machine=Machine(gpu=False, bf16=False, compiler=False)),
    E("compiling", {"torch_compile": True, "torch_compile_backend": "nowhere"}, "torch_compile_backend", "no backend 'nowhere'", {"torch_compile_backend": "aot_eager"}),
    E("compiling", {"torch_compile": True, "torch_compile_backend": "aot_eagr"}, "torch_compile_backend", "no backend 'aot_eagr'", {"torch_compile_backend": "eager"}),
    E("compiling", {"torch_compile": True, "torch_compile_mode": "defualt"}, "torch_compile_mode", "torch knows no 'defualt'", {"torch_compile_mode": "default"}),
    E("compiling", {"torch_compile": True, "torch_compile_mode": "default", "torch_compile_backend": "eager"}, "torch_compile_mode", "has no modes", {"torch_compile_backend": "inductor"}),
    E("one-strategy-for-saving", {"save_steps": 5, "saves_per_epoch": 2}, "saves_per_epoch", "exclude each other", {"save_steps": None}),
    E("one-strategy-for-saving", {"save_strategy": "epoch", "saves_per_epoch": 2}, "saves_per_epoch", "exclude each other", {"save_strategy": "steps"}),
    E("one-strategy-for-evaluation", {"eval_steps": 5, "evals_per_epoch": 2, **HELD}, "evals_per_epoch", "exclude each other", {"eval_steps": None}),
    E("one-strategy-for-evaluation", {"evaluation_strategy": "no", "evals_per_epoch": 2, **HELD}, "evals_per_epoch", "exclude each other", {"evaluation_strategy": "steps"}),
    E("epochs-of-a-stream", {**STREAM, "save_strategy": "epoch"}, "save_strategy", "has no epochs", {"save_strategy": "no"}),
    E("epochs-of-a-stream", {**STREAM, **TESTS, "evaluation_strategy": "epoch"}, "evaluation_strategy", "has no epochs", {"evaluation_strategy": "no"}),
    E("answered-at-evaluations", {**HELD, "eval_sample_prompts": ["a"], "evaluation_strategy": "no"}, "eval_sample_prompts", "there are no evaluations", {"evaluation_strategy": "epoch"}),
    E("epochs-of-a-stream", {**STREAM, "saves_per_epoch": 2}, "saves_per_epoch", "has no epochs", {"saves_per_epoch": None}),
    E("epochs-of-a-stream", {**STREAM, "evals_per_epoch": 2}, "evals_per_epoch", "has no epochs", {"evals_per_epoch": None}),
    E("best-checkpoint", {"early_stopping_patience": 2, "saves_per_epoch": 2, "evals_per_epoch": 3, **HELD}, "saves_per_epoch", "no multiple of 2", {"evals_per_epoch": 4}),
    E("best-checkpoint", {"early_stopping_patience": 2, "saves_per_epoch": 2, "eval_steps": 3, **HELD}, "early_stopping_patience", "different times", {"eval_steps": None, "evals_per_epoch": 2}),
    W("rows-to-evaluate-on", {"evals_per_epoch": 2}, "evals_per_epoch", "no rows are held out", HELD),
    E("one-strategy-for-saving", {"save_steps": 5, "save_strategy": "epoch"}, "save_steps", "exclude", {"save_strategy": "steps"}),
    E("one-strategy-for-saving", {"save_strategy": "steps"}, "save_strategy", "needs save_steps", {"save_steps": 5}),
    E("checkpointing-arguments", {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrent": False}}, "gradient_checkpointing_kwargs.use_reentrent", "no such argument", {"gradient_checkpointing_kwargs": {"use_reentrant": False}}),
    E("optimizer-name", {"optimizer": "adamw_torh"}, "optimizer", "no optimizer 'adamw_torh'", {"optimizer": "adamw_torch"}),
    E("optimizer-name", {"optimizer": "adamw_torch_xla"}, "optimizer", "is refused: it is for TPUs", {"optimizer": "adamw_torch_fused"}),
    E("optimizer-name", {"optimizer": "adalomo"}, "optimizer", "during the backward pass", {"optimizer": "adafactor"}),
    E("optimizer-here", {"optimizer": "lion_8bit"}, "optimizer", "needs the package 'bitsandbytes'", {}, machine=BARE, quiet_machine=CPU),
    E("optimizer-here", {"optimizer": "schedule_free_adamw"}, "optimizer", "needs the package 'schedulefree'", {"optimizer": "adamw_anyprecision"}, machine=BARE),
    E("optimizer-options", {"optimizer": "sgd", "optim_args": "momentun=0.9"}, "optim_args.momentun", "no option 'momentun'", {"optim_args": "momentum=0.9"}),
    E("optimizer-options", {"optimizer": "sgd", "optim_args": "momentum"}, "optim_args", "not of the form name=value", {"optim_args": ""}),
    E("optimizer-options", {"optimizer": "sgd", "optim_args": {"momentum": "x"}}, "optim_args.momentum", "got 'x'", {"optim_args": {"momentum": 0.5}}),
    E("optimizer-options", {"optim_args": {"eps": 1e-6}}, "optim_args.eps", "no option 'eps'", {"optim_args": None}),
    E("projected-layers", {"optimizer": "galore_adamw"}, "optim_target_modules", "whose gradients", {"optim_target_modules": ["mlp"]}),
    E("projected-layers", {**LORA, "optimizer": "apollo_adamw", "optim_target_modules": "all_linear"}, "optimizer", "whole weights", {"adapter": None}),
    W("averaged-weights", {"optimizer": "schedule_free_sgd", "lr_scheduler": "cosine"}, "lr_scheduler", "averages the weights", {"lr_scheduler": "constant"}),
    E("averaged-weights", {**LORA, "relora_steps": 5, "optimizer": "schedule_free_sgd"}, "optimizer", "does not go with ReLoRA", {"relora_steps": None}),
    E("averaged-weights", {"optimizer": "schedule_free_adamw", "adam_beta1": 0}, "adam_beta1", "no point between", {"adam_beta1": 0.9}),
    E("rate-groups", {"lr_groups": [{"name": "a", "modules": ["x"], "lr": 1e-5}, {"name": "a", "modules": ["y"], "lr": 1e-4}]}, "lr_groups.1.name", "name of an earlier group", {"lr_groups": [{"name": "a", "modules": ["x"], "lr": 1e-5}]}),
    W("old-optimizer-names", {"optimizer": "adamw_hf"}, "optimizer", "adamw_torch is used", {"optimizer": "adamw_torch"}),
    # the learning rate
    E("one-warmup", {"warmup_steps": 0, "warmup_ratio": 0.1}, "warmup_ratio", "exclude", {"warmup_steps": None}),
    E("schedule-name", {"lr_scheduler": "log_sweep", "log_sweep_min_lr": 1e-2, "log_sweep_max_lr": 1e-3}, "log_sweep_max_lr", "above log_sweep_min_lr", {"log_sweep_max_lr": 1}),
    E("schedule-name", {"lr_scheduler": "log_sweep", "log_sweep_min_lr": 20}, "log_sweep_max_lr", "above log_sweep_min_lr", {"log_sweep_max_lr": 30}),
    E("schedule-name", {"lr_scheduler": "cosin"}, "lr_scheduler", "there is no schedule 'cosin'", {"lr_scheduler": "cosine"}),
    E("schedule-name", {"lr_scheduler": "cosine_with_min_lr"}, "lr_scheduler_kwargs", "needs one of min_lr and min_lr_rate", {"lr_scheduler_kwargs": {"min_lr_rate": 0.1}}),
    E("schedule-name", {"lr_scheduler": "polynomial", "learning_rate": 1e-8}, "learning_rate", "above lr_end", {"learning_rate": 1e-3}),
    E("constant-part", {"cosine_constant_lr_ratio": 0.5}, "cosine_constant_lr_ratio", "needs cosine_min_lr_ratio", {"cosine_min_lr_ratio": 0.1}),
    E("followed", {"lr_scheduler": "reduce_lr_on_plateau"}, "lr_scheduler", "nothing is evaluated", {"lr_scheduler": "greedy"}),
    E("followed", {"lr_scheduler": "reduce_lr_on_plateau"}, "lr_scheduler", "nothing is evaluated", HELD),
    E("followed", {**HELD, "lr_scheduler": "reduce_lr_on_plateau", "evaluation_strategy": "no"}, "lr_scheduler", "nothing is evaluated", {"evaluation_strategy": "epoch"}),
    E("followed", {**HELD, **LORA, "lr_scheduler": "greedy", "relora_steps": 5}, "lr_scheduler", "does not go with ReLoRA", {"lr_scheduler": "cosine"}),
    E("followed", {**HELD, "lr_scheduler": "greedy", "save_steps": 5}, "evaluation_strategy", "before the evaluation", {"eval_steps": 5}),
    E("schedule-name", {"lr_scheduler_kwargs": {"num_cycle": 1}}, "lr_scheduler_kwargs.num_cycle", "no option 'num_cycle'", {"lr_scheduler_kwargs": {"num_cycles": 1}}),
    E("schedule-name", {"lr_scheduler_kwargs": {"num_cycles": "x"}}, "lr_scheduler_kwargs.num_cycles", "got 'x'", {"lr_scheduler_kwargs": {}}),
    # evaluations
    E("one-strategy-for-evaluation", {**HELD, "eval_steps": 5, "evaluation_strategy": "no"}, "eval_steps", "exclude", {"evaluation_strategy": None}),
    E("one-strategy-for-evaluation", {**HELD, "eval_steps": 5, "evaluation_strategy": "epoch"}, "eval_steps", "exclude", {"evaluation_strategy": "steps"}),
    E("rows-to-evaluate-on", {"val_set_size": 0, "eval_steps": 5}, "eval_steps", "val_set_size is 0", HELD),
    E("rows-to-evaluate-on", {"val_set_size": 0, "evaluation_strategy": "epoch"}, "evaluation_strategy", "val_set_size is 0", {"evaluation_strategy": "no"}),
    W("rows-to-evaluate-on", {"eval_steps": 5}, "eval_steps", "no rows are held out", HELD),
    W("rows-to-evaluate-on", {"eval_steps": 5}, "eval_steps", "no rows are held out", TESTS),
    E("answered-at-evaluations", {"do_bench_eval": True}, "do_bench_eval", "nothing to evaluate on", HELD),
    E("answered-at-evaluations", {"eval_sample_prompts": ["a"]}, "eval_sample_prompts", "nothing to evaluate on", TESTS),
    E("questions-to-ask", {**HELD, "do_bench_eval": True, "bench_dataset": "nothing.json"}, "bench_dataset", "no file 'nothing.json'", {"bench_dataset": "mmlu-fs"}),
    E("questions-to-ask", {**HELD, "do_bench_eval": True, "bench_dataset": "/no/such/nothing.json"}, "bench_dataset", "no file", {"bench_dataset": "owner/name/file.json"}),
    E("prompts-to-answer", {**HELD, "eval_sample_prompts": "Who?"}, "eval_sample_prompts", "no file 'Who?'", {"eval_sample_prompts": ["Who?"]}),
    E("prompts-to-answer", {**HELD, "eval_sample_prompts": ["a", " "]}, "eval_sample_prompts", "prompt 2 is empty", {"eval_sample_prompts": ["a", "b"]}),
    E("rows-to-evaluate-on", {"load_best_model_at_end": True}, "load_best_model_at_end", "nothing to evaluate on", TESTS),
    E("best-checkpoint", {**HELD, "early_stopping_patience": 2}, "early_stopping_patience", "needs save_steps and eval_steps", {"save_steps": 5, "eval_steps": 5}),
    E("best-checkpoint", {**HELD, "early_stopping_patience": 2, "eval_steps": 5}, "early_stopping_patience", "needs save_steps", {"save_steps": 10}),
    E("best-checkpoint", {**HELD, "early_stopping_patience": 2, "eval_steps": 3, "save_steps": 10}, "save_steps", "no multiple of eval_steps", {"save_steps": 9}),
    E("best-checkpoint", {**HELD, "early_stopping_patience": 2, "eval_steps": 3, "save_steps": 9, "load_best_model_at_end": False}, "load_best_model_at_end", "does not go with", {"load_best_model_at_end": True}),
    E("best-checkpoint", {**HELD, "load_best_model_at_end": True, "eval_steps": 3}, "load_best_model_at_end", "different times", {"save_steps": 6}),
    E("best-checkpoint", {**HELD, "load_best_model_at_end": True, "save_strategy": "no"}, "load_best_model_at_end", "no checkpoints", {"save_strategy": "epoch"}),
    E("best-checkpoint", {**HELD, "load_best_model_at_end": True, "save_strategy": "epoch", "evaluation_strategy": "no"}, "load_best_model_at_end", "no evaluations", {"evaluation_strategy": "epoch"}),
    E("metric-of-the-best", {**HELD, "load_best_model_at_end": True, "metric_for_best_model": "rouge"}, "metric_for_best_model", "not measured", {"metric_for_best_model": "loss"}),
    E("metric-of-the-best", {**HELD, "load_best_model_at_end": True, "metric_for_best_model": "e_loss"}, "metric_for_best_model", "not measured", TWO_SETS),
    E("metric-of-the-best", {**HELD, **TWO_SETS, "load_best_model_at_end": True, "metric_for_best_model": "eval_f_loss"}, "metric_for_best_model", "not measured", {"metric_for_best_model": "eval_d_loss"}),
    E("metric-of-the-best", {**HELD, "load_best_model_at_end": True, "metric_for_best_model": "bench_accuracy"}, "metric_for_best_model", "not measured", {"do_bench_eval": True}),
    E("metric-of-the-best", {**HELD, "do_bench_eval": True, "metric_for_best_model": "bench_accuracy", "greater_is_better": False}, "greater_is_better", "higher one is better", {"greater_is_better": True}),
    E("metric-of-the-best", {**HELD, "load_best_model_at_end": True, "greater_is_better": True}, "greater_is_better", "lower one is better", {"greater_is_better": False}),
    # trackers and the hub
    *(
        E("trackers-are-there", {key: value}, key, f"needs the package {package}, which is not", {}, machine=BARE, quiet_machine=CPU)
        for key, value, package in [("wandb_project", "w", "wandb"), ("use_tensorboard", True, "tensorboard"), ("use_mlflow", True, "mlflow")]
    ),
    E("trackers-are-there", {"wandb_project": "w"}, "wandb_project", "wandb", {"wandb_mode": "disabled"}, machine=BARE),
    W("trackers-are-there", {"use_mlflow": True}, "use_mlflow", "needs the package", {}, machine=BARE, quiet_machine=CPU, purpose="prepare"),
    N("wandb-is-off", {"wandb_project": "w", "wandb_mode": "disabled"}, "wandb_mode", "nothing is logged", {"wandb_mode": "offline"}),
    E("wandb-ids", {"wandb_project": "w", "wandb_run_id": "a/b"}, "wandb_run_id", "'a/b' holds a '/'", {"wandb_run_id": "a-b"}),
    W("models-to-log", {"wandb_project": "w", "wandb_log_model": "checkpoint", "save_strategy": "no"}, "wandb_log_model", "only the result", {"wandb_log_model": "end"}),
    W("models-to-log", {"hub_model_id": "me/m", "save_strategy": "no"}, "hub_model_id", "only the result is sent", {"hub_strategy": "end"}),
    W("models-to-log", {"hub_model_id": "me/m", "save_strategy": "no"}, "hub_model_id", "no checkpoints are saved", {"save_strategy": "epoch"}),
    *(
        E("hub-names", {"hub_model_id": name}, "hub_model_id", "is no name of a repository", {"hub_model_id": "me/m_2.b"})
        for name in ("a/b/c", "me/a b", "me/", "./out", "me/a--b", "m" * 97)
    ),
    # not carried out yet
    W("not-yet", {"datasets": [{"path": "d", "type": "stepwise_supervised"}]}, "datasets.0.type", "'stepwise_supervised' is known, but this version", SMALL),
    W("not-yet", {"attn_implementation": "sage"}, "attn_implementation", "is known, but this version", {"attn_implementation": "sdpa"}),
    # several processes
    E("fsdp-or-deepspeed", {**FSDP, "deepspeed": ZERO3}, "deepspeed", "fsdp and deepspeed exclude each other", {"fsdp": None}),
    E("words-of-fsdp", {"fsdp": "full_shard wrap"}, "fsdp", "'wrap' is no word", FSDP),
    E("words-of-fsdp", {"fsdp": ["hybrid_shard"]}, "fsdp", "is of FSDP 1", FSDP),
    E("words-of-fsdp", {"fsdp": ["no_shard"]}, "fsdp", "is of FSDP 1", {"fsdp": ["shard_grad_op"]}),
    E("words-of-fsdp", {"fsdp": ["full_shard", "shard_grad_op"]}, "fsdp", "exclude each other", FSDP),
    E("words-of-fsdp", {**FSDP, "fsdp_config": {"fsdp_reshard_after_forward": False}}, "fsdp_config.fsdp_reshard_after_forward", "the opposite", {"fsdp": ["shard_grad_op"]}),
    *(
        W("details-of-fsdp", {**FSDP, "fsdp_config": {name: value}}, f"fsdp_config.{name}", "has no effect", {"fsdp_config": None})
        for name, value in {
            "fsdp_cpu_ram_efficient_loading": True,
            "fsdp_use_orig_params": False,
            "fsdp_min_num_params": 9,
            "fsdp_backward_prefetch": "BACKWARD_PRE",
            "fsdp_forward_prefetch": True,
            "fsdp_limit_all_gathers": True,
        }.items()
    ),
    E("details-of-fsdp", {**FSDP, "fsdp_config": {"fsdp_auto_wrap_policy": "SIZE_BASED_WRAP"}}, "fsdp_config.fsdp_auto_wrap_policy", "is of FSDP 1", {"fsdp_config": {"fsdp_auto_wrap_policy": "NO_WRAP"}}),
    W("details-of-fsdp", {**FSDP, "fsdp_config": {"fsdp_auto_wrap_policy": "NO_WRAP", "fsdp_transformer_layer_cls_to_wrap": "X"}}, "fsdp_config.fsdp_transformer_layer_cls_to_wrap", "the policy is NO_WRAP", {"fsdp_config": {"fsdp_transformer_layer_cls_to_wrap": "X"}}),
    E("deepspeed-is-there", {"deepspeed": ZERO3}, "deepspeed", "is not installed", {}, machine=BARE, quiet_machine=CPU),
    E("deepspeed-is-readable", {"deepspeed": "nowhere.json"}, "deepspeed", "there is no file 'nowhere.json'", {"deepspeed": ZERO3}),
    E("deepspeed-is-readable", {"deepspeed": {"bf16": {"enabled": "auto"}}}, "deepspeed", "no block zero_optimization", {"deepspeed": ZERO3}),
    E("deepspeed-says-the-same", {"deepspeed": {**ZERO3, "gradient_clipping": 0.3}}, "deepspeed", "its gradient_clipping is 0.3, and max_grad_norm is 1.0", {"max_grad_norm": 0.3}),
    E("deepspeed-says-the-same", {"deepspeed": {**ZERO3, "gradient_accumulation_steps": 3}}, "deepspeed", "its gradient_accumulation_steps is 3", {"gradient_accumulation_steps": 3}),
    E("deepspeed-says-the-same", {"deepspeed": {**ZERO3, "train_micro_batch_size_per_gpu": 3}}, "deepspeed", "and micro_batch_size is", {"micro_batch_size": 3}),
    E("deepspeed-says-the-same", {"deepspeed": {**ZERO3, "fp16": {"enabled": True}}}, "deepspeed", "its fp16.enabled is True, and fp16 is False", {"deepspeed": {**ZERO3, "fp16": {"enabled": "auto"}}}),
    E("deepspeed-says-the-same", {"learning_rate": 2e-4, "deepspeed": {**ZERO3, "optimizer": {"type": "AdamW", "params": {"lr": 1e-5}}}}, "deepspeed", "its optimizer.params.lr is 1e-05, and learning_rate is 0.0002", {"learning_rate": 1e-5}),
    E("deepspeed-says-the-same", {"warmup_steps": 5, "deepspeed": {**ZERO3, "scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 9}}}}, "deepspeed", "its scheduler.params.warmup_num_steps is 9, and warmup_steps is 5", {"warmup_steps": 9}),
    W("deepspeed-says-the-same", {"deepspeed": {**ZERO3, "scheduler": {"type": "WarmupDecayLR"}}}, "deepspeed", "its block scheduler (WarmupDecayLR) is left out: `lr_scheduler: cosine` holds", {"deepspeed": ZERO3}),
    E("deepspeed-says-the-same", {"optimizer": "sgd", "deepspeed": {"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}}}, "deepspeed", "offload_optimizer does not go with `optimizer: sgd`", {"optimizer": "adamw_torch"}),
    E("zero-of-one-stage", {"deepspeed": {"zero_optimization": {"stage": 4}}}, "deepspeed", "no zero_optimization.stage 4", {"deepspeed": ZERO3}),
    E("sharded-optimizer", {**FSDP, "optimizer": "adafactor"}, "optimizer", "adafactor does not go with fsdp", {"optimizer": "sgd"}),
    E("sharded-optimizer", {"deepspeed": ZERO3, "optimizer": "adagrad"}, "optimizer", "adagrad does not go with deepspeed", {"optimizer": "rmsprop"}),
    E("sharded-base", {**QLORA, "deepspeed": ZERO3}, "load_in_4bit", "not with deepspeed", {"deepspeed": "deepspeed/zero2.json"}),
    Row("sharded-base", "info", {**QLORA, **FSDP}, "load_in_4bit", "each process holds the whole 4-bit base", {"deepspeed": "deepspeed/zero2.json", "fsdp": None}),
    E("sharded-base", {**LORA, **FSDP, "load_in_8bit": True}, "load_in_8bit", "not with fsdp", {"load_in_8bit": False}),
    E("sharded-weights", {**FSDP, "bf16": "full"}, "bf16", "full does not go with fsdp", {"bf16": True}),
    E("sharded-weights", {**FSDP, "torch_compile": True}, "torch_compile", "not with fsdp", {"torch_compile": False}),
    E("sharded-weights", {**LORA, **FSDP, "peft_init_lora_weights": "pissa"}, "peft_init_lora_weights", "pissa does not go with fsdp", {"peft_init_lora_weights": "gaussian"}),
    # no effect
    W("no-effect", {"lora_r": 8, "lora_alpha": 4}, "lora_r", "lora_r, lora_alpha have no effect: without an adapter", LORA),
    W("no-effect", {**LORA, "lora_target_linear": None, "lora_model_dir": "a", "lora_r": 8}, "lora_r", "brings its own settings", {"lora_r": None}),
    W("no-effect", {"peft_adapter": {"len": 3}}, "peft_adapter", "another adapter", {"peft_adapter": None}),
    W("no-effect", {"relora_warmup_steps": 3}, "relora_warmup_steps", "ReLoRA is off", {**LORA, "relora_steps": 5}),
    W("no-effect", {"relora_cpu_offload": True}, "relora_cpu_offload", "ReLoRA is off", {**LORA, "relora_steps": 5}),
    W("no-effect", {"relora_anneal_steps": 3}, "relora_anneal_steps", "ReLoRA is off", {**LORA, "relora_steps": 5}),
    W("no-effect", {"relora_prune_ratio": 0.9}, "relora_prune_ratio", "ReLoRA is off", {**LORA, "relora_steps": 5}),
    W("no-effect", {"gptq_groupsize": 128}, "gptq_groupsize", "gptq is off", {**LORA, "gptq": True}),
    W("no-effect", {"gptq_model_v1": True}, "gptq_model_v1", "gptq is off", {**LORA, "gptq": True}),
    *(
        W("no-effect", {key: True}, key, "config.json says", {key: None})
        for key in ("is_llama_derived_model", "is_falcon_derived_model", "is_mistral_derived_model")
    ),
    W("no-effect", {"sample_packing_eff_est": 0.9}, "sample_packing_eff_est", "counted exactly", {"sample_packing_eff_est": None}),
    W("no-effect", {"total_num_tokens": 9}, "total_num_tokens", "counted exactly", {"total_num_tokens": None}),
    W("no-effect", {"torchdistx_path": "t"}, "torchdistx_path", "no optimizer needs it", {"torchdistx_path": None}),
    W("no-effect", {"local_rank": 1}, "local_rank", "launcher", {"local_rank": None}),
    W("no-effect", {"flash_attn_rms_norm": True}, "flash_attn_rms_norm", "norms are those of the model", {"flash_attn_rms_norm": False}),
    W("no-effect", {"dataset_processes": 4}, "dataset_processes", "all cores", {"dataset_processes": None}),
    W("no-effect", {"eval_batch_size": 1}, "eval_batch_size", "no rows are held out", HELD),
    W("no-effect", {"eval_sample_packing": True}, "eval_sample_packing", "no rows are held out", HELD),
    W("no-effect", {"eval_batch_size": 1}, "eval_batch_size", "no rows are held out", TESTS),
    W("no-effect", {"sample_packing_sequentially": True}, "sample_packing_sequentially", "do not share rows", {"sample_packing": True}),
    W("no-effect", {"sample_packing_sequentially": True}, "sample_packing_sequentially", "do not share rows", {"max_packed_sequence_len": 99}),
    W("no-effect", {**TWO_SETS, "shuffle_before_merging_datasets": True}, "shuffle_before_merging_datasets", "shuffled together afterwards", {"shuffle_merged_datasets": False}),
    W("no-effect", {**TWO_SETS, "shuffle_before_merging_datasets": True}, "shuffle_before_merging_datasets", "shuffled together afterwards", SMALL),
    W("no-effect", {"optimizer": "sgd", "adam_beta1": 0.9}, "adam_beta1", "has no such number", {"optimizer": "adamw_torch"}),
    W("no-effect", {"optimizer": "sgd", "adam_beta2": 0.9}, "adam_beta2", "has no such number", {"optimizer": "adamw_torch"}),
    W("no-effect", {"optimizer": "lion_32bit", "adam_epsilon": 1e-7}, "adam_epsilon", "has no such number", {"optimizer": "adamw_bnb_8bit"}),
    W("no-effect", {"adam_beta3": 0.99}, "adam_beta3", "has no such number", {"optimizer": "ademamix"}),
    W("no-effect", {"adam_epsilon2": 1e-4}, "adam_epsilon2", "only adafactor has it", {"optimizer": "adafactor", "optim_args": "scale_parameter=true"}),
    W("no-effect", {"optim_target_modules": "all_linear"}, "optim_target_modules", "projects no gradients", {"optimizer": "galore_adamw"}),
    W("no-effect", {"loraplus_lr_ratio": 16}, "loraplus_lr_ratio", "no B matrices", LORA),
    W("no-effect", {**LORA, "loraplus_lr_embedding": 1e-5}, "loraplus_lr_embedding", "LoRA+ is off", {"loraplus_lr_ratio": 16}),
    W("no-effect", {"optimizer": "sgd", "adam_epsilon": 1e-7}, "adam_epsilon", "has no such number", {"optimizer": "adamw_torch"}),
    W("no-effect", {"gradient_checkpointing_kwargs": {"use_reentrant": True}}, "gradient_checkpointing_kwargs", "is off", {"gradient_checkpointing": True}),
    W("no-effect", {"group_by_length": True, "sample_packing": True}, "group_by_length", "filled by length", {"sample_packing": False}),
    W("no-effect", {"torch_compile_mode": "default"}, "torch_compile_mode", "torch_compile is off", {"torch_compile": True}),
    W("no-effect", {"loss_watchdog_patience": 3}, "loss_watchdog_patience", "no threshold", {"loss_watchdog_threshold": 8}),
    W("no-effect", {"torch_compile_backend": "eager"}, "torch_compile_backend", "torch_compile is off", {"torch_compile": True}),
    W("no-effect", {"resume_from_checkpoint": "c", "auto_resume_from_checkpoints": True}, "auto_resume_from_checkpoints", "is set", {"resume_from_checkpoint": None}),
    W("no-effect", {"save_strategy": "no", "save_total_limit": 2}, "save_total_limit", "no checkpoints", {"save_strategy": "epoch"}),
    W("no-effect", {"lr_scheduler": "linear", "lr_quadratic_warmup": True}, "lr_quadratic_warmup", "only the cosine schedule", {"lr_scheduler": "cosine"}),
    W("no-effect", {"lr_scheduler": "log_sweep", "warmup_steps": 4}, "warmup_steps", "smallest rate", {"lr_scheduler": "cosine"}),
    W("no-effect", {"lr_scheduler": "linear", "cosine_min_lr_ratio": 0.1}, "cosine_min_lr_ratio", "another schedule", {"lr_scheduler": "rex"}),
    W("no-effect", {"lr_scheduler": "rex", "cosine_min_lr_ratio": 0.1, "cosine_constant_lr_ratio": 0.5}, "cosine_constant_lr_ratio", "another schedule", {"lr_scheduler": "cosine"}),
    W("no-effect", {"lr_div_factor": 4}, "lr_div_factor", "another schedule is chosen", {"lr_scheduler": "one_cycle"}),
    W("no-effect", {"log_sweep_min_lr": 1e-9}, "log_sweep_min_lr", "another schedule is chosen", {"lr_scheduler": "log_sweep"}),
    W("no-effect", {"log_sweep_max_lr": 1}, "log_sweep_max_lr", "another schedule is chosen", {"lr_scheduler": "log_sweep"}),
    W("no-effect", {"metric_for_best_model": "loss"}, "metric_for_best_model", "the last state is saved", {**HELD, "load_best_model_at_end": True}),
    W("no-effect", {"hub_strategy": "end"}, "hub_strategy", "nothing is sent", {"hub_model_id": "me/m"}),
    *(
        W("no-effect", {key: value}, key, "no wandb_project", {"wandb_project": "p"})
        for key, value in {"wandb_mode": "offline", "wandb_entity": "e", "wandb_run_id": "r", "wandb_name": "n", "wandb_watch": "all", "wandb_log_model": "end"}.items()
    ),
    *(
        W("no-effect", {key: value}, key, "nothing is logged to MLflow", {"use_mlflow": True})
        for key, value in {"mlflow_tracking_uri": "file:m", "mlflow_experiment_name": "e", "mlflow_run_name": "r", "hf_mlflow_log_artifacts": True}.items()
    ),
    W("no-effect", {"eval_table_max_new_tokens": 9}, "eval_table_max_new_tokens", "no table", {**HELD, "eval_table_size": 3}),
    W("no-effect", {"eval_table_size": 3}, "eval_table_size", "no rows are held out", HELD),
    W("no-effect", {"eval_sample_max_new_tokens": 9}, "eval_sample_max_new_tokens", "no prompts", {**HELD, "eval_sample_prompts": ["a"]}),
    W("no-effect", {"bench_dataset": "mmlu-zs"}, "bench_dataset", "no questions", {"do_bench_eval": True}),
    W("no-effect", {"fsdp_config": {"fsdp_offload_params": True}}, "fsdp_config", "FSDP is off", {"fsdp": ["full_shard"]}),
    W("no-effect", {"tokenizer_use_fast": False}, "tokenizer_use_fast", "fast tokenizers only", {"tokenizer_use_fast": True}),
    W("no-effect", {"save_safetensors": False}, "save_safetensors", "always saved as safetensors", {"save_safetensors": True}),
]  # fmt: skip


def seen(row: Row, change: dict[str, Any], machine: Machine) -> dict[tuple[str, str], str]:
    """(rule, key) → message of the rule's findings."""
    given = {**SMALL, **row.given, **change}
    found = examine(load_config(given), machine=machine, purpose=row.purpose).findings
    return {(f.level, f.key): f.message for f in found if f.rule == row.rule}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_rule_speaks_where_it_should_and_is_silent_beside_it(row: Row) -> None:
    said = seen(row, {}, row.machine)
    assert (row.level, row.key) in said
    assert row.says in said[row.level, row.key]
    assert (
        said[row.level, row.key].startswith(row.key.split(".")[0])
        or row.key in said[row.level, row.key]
    )
    assert (row.level, row.key) not in seen(row, row.quiet, row.quiet_machine or row.machine)


@pytest.mark.parametrize("row", [r for r in ROWS if r.level == "error"], ids=str)
def test_an_error_stops_what_would_run(row: Row) -> None:
    config = load_config({**SMALL, **row.given})
    with pytest.raises(ConfigErrors) as caught:
        resolve(
            config, machine=row.machine, purpose="train" if row.purpose == "check" else row.purpose
        )
    assert row.key in {problem.key for problem in caught.value.problems}


@pytest.mark.parametrize("row", [r for r in ROWS if r.level != "error"], ids=str)
def test_a_remark_has_a_way_out_or_says_what_was_chosen(row: Row) -> None:
    config = load_config({**SMALL, **row.given})
    found = examine(config, machine=row.machine, purpose=row.purpose).findings
    (finding,) = [f for f in found if (f.rule, f.key) == (row.rule, row.key)]
    assert finding.hint or row.rule == "merging-unquantised"
    assert finding.where == ("argument" if row.key in config.places else "default")


def test_every_rule_has_a_case_that_sets_it_off() -> None:
    assert {rule.id for rule in RULES} == {row.rule for row in ROWS}
    assert len({rule.id for rule in RULES}) == len(RULES)


def test_settings_of_a_new_adapter_are_nothing_to_one_who_only_asks() -> None:
    given = {**SMALL, "adapter": "lora", "lora_model_dir": "a", "lora_r": 8}
    purposes: dict[Purpose, bool] = {"check": True, "train": True, "answer": False, "merge": False}
    for purpose, speaks in purposes.items():
        found = examine(load_config(given), machine=CPU, purpose=purpose).findings
        assert any(one.rule == "no-effect" for one in found) == speaks, purpose


def test_a_merge_needs_no_package_for_few_bits() -> None:
    row = E("bitsandbytes-is-there", QLORA, "", "", {}, purpose="merge")
    assert not seen(row, {}, BARE)


def test_a_plug_in_that_is_there_is_not_called_a_later_one() -> None:
    folders = {"formats": LATER_TYPES, "attention": LATER_ATTENTION}
    for folder, names in folders.items():
        assert names.isdisjoint(available(f"axolotl.{folder}"))
