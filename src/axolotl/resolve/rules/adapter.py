"""Adapters."""

from __future__ import annotations

from collections.abc import Iterator

from axolotl.records import Edit
from axolotl.resolve.case import Case, Found, Table


def adapter_targets(case: Case) -> Iterator[Found]:
    """Say what is adapted where the file does not."""
    adapter = case.config.adapter
    if adapter.adapter not in ("lora", "qlora") or adapter.lora_model_dir:
        return
    if not adapter.lora_target_modules and not adapter.lora_target_linear:
        yield Found(
            "info",
            "adapter",
            "adapter: no layers are named, so all linear layers are adapted",
            "write `lora_target_linear: true`, or name some in lora_target_modules",
        )


def embeddings_of_new_tokens(case: Case) -> Iterator[Found]:
    """New tokens have random embeddings, which a plain adapter never trains."""
    adapter = case.config.adapter
    new = case.config.model.tokens and adapter.adapter and not adapter.lora_model_dir
    if new and not adapter.lora_modules_to_save and not adapter.peft_trainable_token_indices:
        # The tokenizer may have them already; what it lacks is refused when it is loaded.
        yield Found(
            "warning",
            "tokens",
            "tokens: those that the tokenizer lacks get random embeddings, which the adapter does not "
            "train; the training will be refused then",
            "name the embeddings and the output head in lora_modules_to_save: "
            "`[embed_tokens, lm_head]` for most models; or train their rows alone with "
            "peft_trainable_token_indices",
        )


def folder_of_the_adapter(case: Case) -> Iterator[Found]:
    """`lora_out_dir` is another name for `output_dir`."""
    written = case.config.written
    out, other = written.get("lora_out_dir"), written.get("output_dir")
    if not out or case.config.adapter.adapter is None:
        return
    if other is not None and other != out:
        yield Found(
            "error",
            "lora_out_dir",
            f"lora_out_dir: '{out}' and `output_dir: {other}` name two folders for one result",
            "remove one of the two",
        )
    else:
        done = (
            Edit("remove", "lora_out_dir")
            if other
            else Edit("rename", "lora_out_dir", "output_dir")
        )
        yield Found(
            "warning",
            "lora_out_dir",
            "lora_out_dir: taken as output_dir, where everything of a run is saved",
            "write output_dir",
            (done,),
        )


TABLE: Table = [
    (adapter_targets, "adapter lora_target_modules lora_target_linear"),
    (embeddings_of_new_tokens, "tokens adapter lora_modules_to_save peft_trainable_token_indices"),
    (folder_of_the_adapter, "lora_out_dir output_dir adapter"),
]
