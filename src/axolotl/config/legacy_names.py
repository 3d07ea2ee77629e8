"""Keys of other releases that are no options, with what each comes to."""

from __future__ import annotations

from collections.abc import Mapping

RENAMED: Mapping[str, str] = {
    "eval_strategy": "evaluation_strategy",
    "type_of_model": "model_type",
    "revision_of_model": "model_revision",
    "neftune_noise_alpha": "noisy_embedding_alpha",
    "jagged_restart_warmup_steps": "relora_warmup_steps",
    "jagged_restart_anneal_steps": "relora_anneal_steps",
    "dataset_num_proc": "dataset_processes",
    "lora_layers_to_transform": "peft_layers_to_transform",
}
"""Name of another release → the option that means the same."""

RENAMED_IN_ENTRIES: Mapping[str, str] = {"split": "train_on_split"}
"""The same for the keys of a data set."""

RENAMED_IN_ROPE: Mapping[str, str] = {"rope_type": "type"}
"""The same for the keys of `rope_scaling`, which transformers spells so."""

REMOVED: Mapping[str, str] = {
    "load_4bit": "write `load_in_4bit: true`",
    "push_to_hub_model_id": "write hub_model_id",
}
"""Key that is refused → what to write instead."""

_PLACED = "the launcher says where each process computes"
_PLANNED = "packed rows are planned exactly"
_COMMAND = "it is an option of a command, not of the file"

NO_EFFECT: Mapping[str, tuple[str, str]] = {
    "adam_eps": ("the option is called adam_epsilon", "remove it, or write adam_epsilon to set it"),
    "torch_dtype": ("the number format follows from bf16, fp16, bfloat16 and float16", ""),
    "device": (_PLACED, ""),
    "device_map": (_PLACED, ""),
    "ddp": (_PLACED, ""),
    "world_size": (_PLACED, ""),
    "gptq_disable_exllama": ("no such kernels are used in training", ""),
    "sample_packing_seq_len_multiplier": (
        "a row holds micro_batch_size times sequence_len tokens",
        "remove it, or raise micro_batch_size",
    ),
    "sample_packing_group_size": (_PLANNED, ""),
    "sample_packing_bin_size": (_PLANNED, ""),
    "total_supervised_tokens": ("the tokens are counted when the data is prepared", ""),
    "axolotl_config_path": ("the file knows where it is", ""),
    "model_config_type": ("it is read from the model's config.json", ""),
    "chunked_cross_entropy": ("the loss is always computed in pieces", ""),
    "chunked_cross_entropy_num_chunks": ("the loss is always computed in pieces", ""),
    "merge_lora": (_COMMAND, "run `axolotl merge-lora`"),
    "inference": (_COMMAND, "run `axolotl inference`"),
    "shard": (_COMMAND, ""),
    "prepare_ds_only": (_COMMAND, "run `axolotl preprocess`"),
    "debug_num_examples": (_COMMAND, "run `axolotl preprocess --debug`"),
    "debug_text_only": (_COMMAND, "run `axolotl preprocess --debug`"),
}
"""Key without effect → why, and what to do instead of removing it."""
