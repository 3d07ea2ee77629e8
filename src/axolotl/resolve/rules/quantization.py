"""Base models held in fewer bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from axolotl.records import Edit
from axolotl.resolve.case import Case, Found, Table

_BITSANDBYTES = ("load_in_8bit", "load_in_4bit")
_QUANTISED = (*_BITSANDBYTES, "gptq")


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


def kind_of_four_bits(case: Case) -> Iterator[Found]:
    """`adapter: lora` keeps what 4 bits meant before QLoRA."""
    more = case.config.quantization.bnb_config_kwargs
    chosen = more.bnb_4bit_quant_type if more else None
    if chosen is None and _lora(case) and case.asked("load_in_4bit") and case.trains:
        yield Found(
            "info",
            "load_in_4bit",
            "load_in_4bit: FP4, because the adapter is `lora`; NF4 loses less of the weights and "
            "takes less memory",
            "write `adapter: qlora` for NF4",
        )


def settings_of_bitsandbytes(case: Case) -> Iterator[Found]:
    """Settings of 8 bits are none of 4 bits, and the other way round."""
    written: Mapping[str, object] = case.config.written.get("bnb_config_kwargs") or {}
    if not case.asked(*_BITSANDBYTES):
        if written:
            yield Found(
                "warning",
                "bnb_config_kwargs",
                "bnb_config_kwargs has no effect: the base model is not held in 8 or 4 bits",
                "remove it, or set load_in_8bit or load_in_4bit",
            )
        return
    if written.get("llm_int8_has_fp16_weight"):
        yield Found(
            "error",
            "bnb_config_kwargs.llm_int8_has_fp16_weight",
            "bnb_config_kwargs.llm_int8_has_fp16_weight: the base model is frozen, and whole weights "
            "beside the quantised ones would save nothing",
            "remove it",
        )
    idle = ("llm_int8_threshold",)
    if case.asked("load_in_8bit"):
        idle = ("bnb_4bit_quant_type", "bnb_4bit_use_double_quant")
    for name in [name for name in idle if name in written]:
        yield Found(
            "warning",
            f"bnb_config_kwargs.{name}",
            f"bnb_config_kwargs.{name} has no effect: it is not about "
            f"{case.asked(*_BITSANDBYTES)[0]}",
            "remove it",
        )


def _lora(case: Case) -> bool:
    return case.config.adapter.adapter == "lora"


def bitsandbytes_is_there(case: Case) -> Iterator[Found]:
    """8 and 4 bits are computed by a package that is not always installed."""
    keys = case.asked(*_BITSANDBYTES)
    if not keys or "bitsandbytes" not in case.machine.missing or case.purpose == "merge":
        return
    yield Found(
        "warning" if case.purpose == "prepare" else "error",
        keys[0],
        f"{keys[0]}: needs the package bitsandbytes, which is not installed",
        "pip install 'axolotl[bnb]'",
    )


TABLE: Table = [
    (one_quantisation, "load_in_8bit load_in_4bit gptq"),
    (quantised_for_qlora, "adapter load_in_8bit load_in_4bit gptq"),
    (quantised_without_adapter, "adapter load_in_8bit load_in_4bit gptq"),
    (lora_in_8bit, "adapter load_in_8bit"),
    (kind_of_four_bits, "load_in_4bit adapter bnb_config_kwargs"),
    (settings_of_bitsandbytes, "bnb_config_kwargs load_in_8bit load_in_4bit"),
    (bitsandbytes_is_there, "load_in_8bit load_in_4bit"),
]
