"""Adapters, and base models held in fewer bits."""

from __future__ import annotations

from collections.abc import Iterator

from axolotl.records import Edit
from axolotl.resolve.case import Case, Found, Table

_QUANTISED = ("load_in_8bit", "load_in_4bit", "gptq")


def one_quantisation(case: Case) -> Iterator[Found]:
    """A base model is quantised in one way."""
    keys = case.asked(*_QUANTISED)
    if len(keys) > 1 and case.config.adapter.adapter != "qlora":
        yield Found(
            "error",
            keys[1],
            f"{' and '.join(keys)}: the base model can be held in one of these forms only",
            "remove all but one",
        )


def quantised_for_qlora(case: Case) -> Iterator[Found]:
    """QLoRA is LoRA on 4 bits; a merge leaves them aside."""
    if case.config.adapter.adapter != "qlora" or case.purpose == "merge":
        return
    for key in case.asked("load_in_8bit", "gptq"):
        yield Found(
            "error",
            key,
            f"{key}: not with `adapter: qlora`, which holds the base model in 4 bits",
            f"remove {key}, or write `adapter: lora`",
        )
    if not case.config.quantization.load_in_4bit:
        yield Found(
            "error",
            "adapter",
            "adapter: qlora needs load_in_4bit",
            "add `load_in_4bit: true`",
            (Edit("set", "load_in_4bit", True),)
            if "load_in_4bit" not in case.config.written
            else (),
        )


def quantised_without_adapter(case: Case) -> Iterator[Found]:
    """Weights in 8 or 4 bits cannot be trained themselves."""
    keys = case.asked(*_QUANTISED)
    if keys and case.config.adapter.adapter is None and case.trains:
        yield Found(
            "error",
            keys[0],
            f"{keys[0]}: quantised weights cannot be trained, and there is no adapter",
            "write `adapter: lora` (with load_in_4bit: `adapter: qlora`), or remove it",
        )


def lora_in_8bit(case: Case) -> Iterator[Found]:
    """Half the memory for the frozen weights, where a GPU is short of it."""
    if case.config.adapter.adapter == "lora" and case.machine.gpu and not case.asked(*_QUANTISED):
        yield Found(
            "info",
            "adapter",
            "adapter: the frozen base model would take half the memory in 8 bits",
            "add `load_in_8bit: true` if memory is short",
        )


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
    if new and not adapter.lora_modules_to_save:
        # The tokenizer may have them already; what it lacks is refused when it is loaded.
        yield Found(
            "warning",
            "tokens",
            "tokens: those that the tokenizer lacks get random embeddings, which the adapter does not "
            "train; the training will be refused then",
            "name the embeddings and the output head in lora_modules_to_save: "
            "`[embed_tokens, lm_head]` for most models",
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
    (one_quantisation, "load_in_8bit load_in_4bit gptq"),
    (quantised_for_qlora, "adapter load_in_8bit load_in_4bit gptq"),
    (quantised_without_adapter, "adapter load_in_8bit load_in_4bit gptq"),
    (lora_in_8bit, "adapter load_in_8bit"),
    (adapter_targets, "adapter lora_target_modules lora_target_linear"),
    (embeddings_of_new_tokens, "tokens adapter lora_modules_to_save"),
    (folder_of_the_adapter, "lora_out_dir output_dir adapter"),
]
