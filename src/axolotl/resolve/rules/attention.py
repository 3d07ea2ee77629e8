"""Attention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from axolotl.attention import why_not_here
from axolotl.config import Config
from axolotl.errors import UnknownName
from axolotl.records import Edit
from axolotl.registry import available, load
from axolotl.resolve.case import Case, Found, Table
from axolotl.resolve.later import LATER_ATTENTION, is_later
from axolotl.resolve.machine import Machine
from axolotl.resolve.rules.precision import float16_instead

_ATTENTION = "axolotl.attention"
SWITCHES: Mapping[str, str] = {
    "flash_attention": "flash_attention_2",
    "xformers_attention": "xformers",
    "sdp_attention": "sdpa",
    "flash_optimum": "sdpa",
    "landmark_attention": "landmark",
}
"""Switch → the name in `attn_implementation` that means the same."""
KERNELS: Mapping[str, tuple[str, ...]] = {
    "flash_attention": ("flash_attention_3", "flash_attention_2"),
    "xformers_attention": ("xformers",),
}
"""Switch → the kernels that it can mean, best first."""
_ELSEWHERE: Mapping[str, str] = {"flex_attention": "flex"}
"""What a backend is called in transformers, where we call it otherwise."""
_PIP: Mapping[str, str] = {
    "flash_attention_2": "flash-attn",
    "flash_attention_3": "flash-attn-3",
    "xformers": "xformers",
}


@dataclass(frozen=True, slots=True)
class Kernel:
    """What stands behind a switch on a machine.

    Args:
        name: The backend; None where none of them can run.
        reason: Why the last of them cannot; empty where one can.
    """

    name: str | None
    reason: str = ""


def kernel_of(switch: str, config: Config, machine: Machine) -> Kernel:
    """The kernel that a switch asks for, if one can run.

    Args:
        switch: A key of `KERNELS`.
        config: The configuration.
        machine: What it is to run on.
    """
    reason = ""
    for name in KERNELS[switch]:
        reason = _why_not_now(name, config, machine)
        if reason is None:
            return Kernel(name)
    return Kernel(None, reason or "")


def _why_not_now(name: str, config: Config, machine: Machine) -> str | None:
    """Why a backend cannot compute a run on a machine, whatever the model is."""
    if reason := why_not_here(name, machine):
        return reason
    if getattr(load(_ATTENTION, name), "HALF_ONLY", False) and not _in_half(config, machine):
        return "it knows only half precision, and the run computes in float32"
    return None


def _in_half(config: Config, machine: Machine) -> bool:
    """Whether a run computes in bfloat16 or float16."""
    precision = config.precision
    bf16 = machine.bf16 if precision.bf16 == "auto" else precision.bf16 is True
    fp16 = precision.fp16 or float16_instead(config, machine)
    return bf16 or fp16 or precision.bfloat16 or precision.float16


def one_attention(case: Case) -> Iterator[Found]:
    """Attention is computed in one way."""
    asked = {key: SWITCHES[key] for key in case.asked(*SWITCHES)}
    if (name := case.config.attention.attn_implementation) is not None:
        # The third stands for the same switch as the second.
        asked["attn_implementation"] = name.replace("flash_attention_3", "flash_attention_2")
    if len(set(asked.values())) > 1:
        key = list(asked)[-1]
        yield Found(
            "error",
            key,
            f"{' and '.join(asked)}: attention can be computed in one way only",
            "keep one of them; none is needed",
        )


def attention_name(case: Case) -> Iterator[Found]:
    """`attn_implementation` is a backend; whether it suits the model is asked of the model later."""
    name = case.config.attention.attn_implementation
    if name is None or is_later(name, LATER_ATTENTION):
        return
    try:
        load(_ATTENTION, name)
    except UnknownName as error:
        what = f"attn_implementation: {error.what}"
        hint, fix = error.hint or "", ()
        if (ours := _ELSEWHERE.get(name)) is not None:
            hint, fix = f"write `{ours}`", (Edit("set", "attn_implementation", ours),)
        yield Found("error", "attn_implementation", what, hint, fix)


def old_attention_names(case: Case) -> Iterator[Found]:
    """Switches whose place `attn_implementation` has taken."""
    written = case.config.written
    for key, was in (
        ("flash_optimum", "BetterTransformer is retired; torch's own attention is used"),
        ("sdp_attention", "the old name of torch's own attention"),
    ):
        if not written.get(key):
            continue
        first = "attn_implementation" not in written
        yield Found(
            "warning",
            key,
            f"{key}: {was}",
            "write `attn_implementation: sdpa`",
            (
                Edit("rename", key, "attn_implementation"),
                Edit("set", "attn_implementation", "sdpa"),
            )
            if first
            else (Edit("remove", key),),
        )


def attention_here(case: Case) -> Iterator[Found]:
    """A backend that the file names must run on the machine that trains."""
    name = case.config.attention.attn_implementation
    if name not in available(_ATTENTION) or not case.trains:
        return
    if reason := _why_not_now(name, case.config, case.machine):
        yield Found(
            "error",
            "attn_implementation",
            f"attn_implementation: {name} cannot be used: {reason}",
            _way_out(name, reason),
        )


def _way_out(name: str, reason: str) -> str:
    other = "leave it out: attention per document in plain torch gives the same"
    if "float32" in reason:
        return f"write `bf16: auto`, or {other}"
    return f"`pip install {_PIP[name]}`, or {other}" if "not installed" in reason else other


def attention_in_its_place(case: Case) -> Iterator[Found]:
    """Kernels that are not to be had are replaced by attention that gives the same."""
    for key in case.asked(*KERNELS):
        kernel = kernel_of(key, case.config, case.machine)
        if case.config.attention.attn_implementation or kernel.name:
            continue
        yield Found(
            "info",
            key,
            f"{key}: {kernel.reason}; attention is computed for each sample alone in plain torch, "
            "with the same result",
            "keep it, or leave it out",
        )


def idle_kernel(case: Case) -> Iterator[Found]:
    """What is installed is not used unasked, and said."""
    attention = case.config.attention
    if not case.trains or case.asked(*SWITCHES) or attention.attn_implementation:
        return
    for key in KERNELS:
        if case.config.written.get(key) is None and kernel_of(key, case.config, case.machine).name:
            yield Found(
                "info",
                key,
                f"{key}: its kernel is installed, and not used unless it is asked for; attention is "
                "computed for each sample alone in plain torch",
                f"write `{key}: true`, which is faster on rows of many short samples",
            )
            return


TABLE: Table = [
    (one_attention, f"attn_implementation {' '.join(SWITCHES)}"),
    (attention_name, "attn_implementation"),
    (old_attention_names, "flash_optimum sdp_attention"),
    (attention_here, "attn_implementation"),
    (attention_in_its_place, "flash_attention xformers_attention"),
    (idle_kernel, "flash_attention xformers_attention"),
]
