"""Number formats."""

from __future__ import annotations

from collections.abc import Iterator

from axolotl.config import Config
from axolotl.records import Edit
from axolotl.resolve.case import Case, Found, Table
from axolotl.resolve.machine import Machine


def float16_instead(config: Config, machine: Machine) -> bool:
    """Whether `bf16: auto` comes to `fp16: true`: on a GPU that has no bfloat16.

    Not where the file says what it wants of float16, or holds the weights in half precision, whose
    gradients cannot be scaled.
    """
    precision = config.precision
    told = "fp16" in config.written or precision.float16 or precision.bfloat16
    return precision.bf16 == "auto" and machine.gpu and not machine.bf16 and not told


def one_half_precision(case: Case) -> Iterator[Found]:
    """The number format is given once."""
    precision = case.config.precision
    if precision.float16 and precision.bfloat16:
        yield Found(
            "error",
            "float16",
            "float16 and bfloat16: weights can be held in one of them only",
            "remove one of the two",
        )
    if precision.float16 and _computes_in_bf16(case):
        yield Found(
            "error",
            "bf16",
            f"bf16: {str(precision.bf16).lower()} computes in bfloat16, and float16 holds the weights in "
            "another half precision",
            "write `bfloat16: true` instead of float16, or `bf16: false`",
        )
    if precision.bf16 is True and precision.bfloat16 and case.config.adapter.adapter is None:
        yield Found(
            "info",
            "bf16",
            "bf16 adds nothing to bfloat16: the weights are held, computed with and updated in bfloat16",
            "remove bfloat16 to hold and update them in float32, or remove bf16",
        )
    if precision.bf16 is True and precision.fp16:
        yield Found(
            "warning",
            "fp16",
            "fp16 has no effect: bf16 is set as well, and wins",
            "remove one of the two",
            (Edit("remove", "fp16"),),
        )


def _computes_in_bf16(case: Case) -> bool:
    """Whether a training or its evaluations compute in bfloat16, by autocast or with copies."""
    asked = case.config.precision.bf16
    return case.machine.bf16 if asked == "auto" else bool(asked)


def scaled_gradients(case: Case) -> Iterator[Found]:
    """Loss scaling needs gradients in float32, so the weights that are trained must be in it."""
    config, precision = case.config, case.config.precision
    wins = precision.bf16 != "full" and _computes_in_bf16(case)
    if not precision.fp16 or wins:
        return
    held = next((key for key in ("float16", "bfloat16") if getattr(precision, key)), None)
    # An adapter is held in float32 whatever its base is held in; modules saved whole are not.
    if held and (config.adapter.adapter is None or config.adapter.lora_modules_to_save):
        yield Found(
            "error",
            "fp16",
            f"fp16 scales gradients, which those of weights held in {held} cannot be",
            f"write `{held}: false`, or `fp16: false`",
        )


def machine_computes_it(case: Case) -> Iterator[Found]:
    """The machine has the number format; one that only prepares or merges need not."""
    precision, machine = case.config.precision, case.machine
    level = "error" if case.trains else "warning"
    if precision.fp16 and not machine.gpu and precision.bf16 is not True:
        yield Found(
            level,
            "fp16",
            "fp16: there is no GPU here, and CPUs do not train in float16",
            "write `fp16: false`, as float32 is the fastest on this machine; `bf16: auto` without fp16 "
            "takes what each machine has",
        )
    for key in case.asked("bf16", "bfloat16"):
        if machine.gpu and not machine.bf16 and case.config.written[key] != "auto":
            yield Found(
                level,
                key,
                f"{key}: the GPU has no bfloat16 (it needs Ampere or newer)",
                "write `bf16: auto`, or use fp16",
            )


def unused_bfloat16(case: Case) -> Iterator[Found]:
    """A GPU that has bfloat16 is faster with it."""
    written = case.config.written.keys()
    if case.machine.bf16 and case.trains and not written & {"bf16", "fp16", "bfloat16", "float16"}:
        yield Found(
            "info",
            "bf16",
            "bf16: the GPU computes in bfloat16, which is faster, but it is not switched on",
            "write `bf16: auto`",
        )


def pure_float16(case: Case) -> Iterator[Found]:
    """Adam's small numbers vanish in float16."""
    config = case.config
    if config.precision.float16 and config.adapter.adapter is None:
        yield Found(
            "warning",
            "float16",
            "float16: training all weights in float16 soon gives losses that are no numbers, because "
            "small numbers, such as Adam's eps of 1e-8, are 0 in it",
            "write `bfloat16: true`, or `bf16: auto`, which holds them in float32",
        )


def idle_tf32(case: Case) -> Iterator[Found]:
    """TensorFloat-32 is a format of GPUs."""
    if case.config.precision.tf32 and not case.machine.gpu:
        yield Found(
            "info",
            "tf32",
            "tf32 has no effect here: there is no GPU",
            "keep it for a machine with one",
        )


TABLE: Table = [
    (one_half_precision, "bf16 fp16 bfloat16 float16"),
    (scaled_gradients, "fp16 float16 bfloat16 adapter lora_modules_to_save"),
    (machine_computes_it, "bf16 bfloat16 fp16"),
    (unused_bfloat16, "bf16"),
    (pure_float16, "float16 adapter"),
    (idle_tf32, "tf32"),
]
