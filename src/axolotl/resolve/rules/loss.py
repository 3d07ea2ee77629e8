"""How the loss is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from axolotl.records import Edit
from axolotl.resolve.case import Case, Found, Table

_KERNELS: Mapping[str, tuple[str, str]] = {
    "liger_fused_linear_cross_entropy": ("liger_kernel", "liger"),
    "cut_cross_entropy": ("cut_cross_entropy", "cut-cross-entropy"),
}
"""Option → the package that it needs, and the extra that brings it."""
_OLD = "flash_attn_cross_entropy"
_NEW = "liger_fused_linear_cross_entropy"


def one_loss(case: Case) -> Iterator[Found]:
    """The loss is computed in one way."""
    asked = case.asked(*_KERNELS)
    if len(asked) > 1:
        yield Found(
            "error",
            asked[-1],
            f"{' and '.join(asked)}: the loss can be computed in one way only",
            "keep one of them",
            (Edit("remove", asked[0]),),
        )


def loss_in_its_place(case: Case) -> Iterator[Found]:
    """Kernels for the loss that are not to be had are replaced by chunks in plain torch."""
    for key in case.asked(*_KERNELS):
        package, extra = _KERNELS[key]
        if not case.machine.gpu:
            yield Found(
                "info",
                key,
                f"{key}: without a GPU the loss is computed in chunks in plain torch, with the same "
                "result",
                "keep it, or leave it out",
            )
        elif package in case.machine.missing:
            yield Found(
                "warning",
                key,
                f"{key}: the package {package} is not installed; the loss is computed in chunks in "
                "plain torch, with the same result",
                f"pip install 'axolotl[{extra}]'",
            )


def old_loss_name(case: Case) -> Iterator[Found]:
    """Liger's loss has taken the place of that of flash-attn."""
    if not case.asked(_OLD):
        return
    there = case.machine.gpu and _KERNELS[_NEW][0] not in case.machine.missing
    if case.config.loss.cut_cross_entropy:
        what = "cut_cross_entropy computes the loss"
    elif there:
        what = "the fused loss of Liger takes its place, with the same result"
    else:
        what = "the loss is computed in chunks in plain torch, with the same result"
    known = case.asked(*_KERNELS)
    edit = Edit("remove", _OLD) if known else Edit("rename", _OLD, _NEW)
    hint = "remove it" if known else f"write `{_NEW}: true`, or leave it out"
    yield Found("info", _OLD, f"{_OLD}: {what}", hint, (edit,))


TABLE: Table = [
    (one_loss, " ".join(_KERNELS)),
    (loss_in_its_place, " ".join(_KERNELS)),
    (old_loss_name, _OLD),
]
