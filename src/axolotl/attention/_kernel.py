"""What the kernels of other packages have in common: where they run, and the proof that they do.

A kernel computes rows that lie on a GPU. A row on the CPU, which comes while a model is looked at
before it is moved, is computed in plain torch, which gives the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from axolotl.attention import Need, Place, Unusable
from axolotl.attention._plain import attend_documents
from axolotl.attention._row import Borders, NotServed, Row, attention_of

if TYPE_CHECKING:
    import torch

_Compute = Callable[[Row], "torch.Tensor"]
_TRIAL_TOKENS = (5, 33, 1)
_TRIAL_WINDOW = 9
_TRIAL_SOFTCAP = 3.0


def kernel_function(compute: _Compute, name: str) -> Callable[..., Any]:
    """A function for transformers' `AttentionInterface` that takes a kernel where it can run.

    Args:
        compute: Calls the kernel; gives (1, T, H, width).
        name: Of the backend, for messages.
    """

    def placed(row: Row) -> torch.Tensor:
        return compute(row) if runs_on(row.query.device) else attend_documents(row)

    return attention_of(placed, name)


def runs_on(device: torch.device) -> bool:
    """Whether kernels run there."""
    return device.type == "cuda"


def in_half_precision(row: Row) -> Row | None:
    """The row as a kernel takes it that knows only half precision; None for a row in float32.

    Under autocast a row is computed in its format, as torch's own attention is.
    """
    import torch

    tensors = row.query, row.key, row.value
    place = row.query.device.type
    if torch.is_autocast_enabled(place):
        dtype = torch.get_autocast_dtype(place)
    else:
        dtype = next((t.dtype for t in tensors if t.dtype.itemsize == 2), torch.float32)
    if dtype not in (torch.bfloat16, torch.float16):
        return None
    query, key, value = (tensor.to(dtype) for tensor in tensors)
    return replace(row, query=query, key=key, value=value)


def refuse_features(row: Row, name: str, **unknown: Any) -> None:
    """Refuse what a kernel does not compute.

    Args:
        row: The row.
        name: Of the backend.
        unknown: What it is called → what the model hands over; None or 0.0 where it has none.

    Raises:
        NotServed: one of them is set.
    """
    for what, value in unknown.items():
        if value is not None and not (isinstance(value, float) and value == 0):
            raise NotServed(f"the model has {what.replace('_', ' ')}, which {name} cannot compute")


def lacks(place: Place, package: str, install: str) -> str | None:
    """Why a kernel of a package cannot run on a machine: no GPU, or not installed."""
    if not place.gpu:
        return "there is no GPU here"
    if package not in place.kernels:
        return f"{install} is not installed"
    return None


def needs_interface(need: Need) -> str | None:
    """Why a registered function cannot serve a model."""
    if not need.interface:
        return f"{need.model_type} does not call registered attention functions"
    if need.chunked:
        return f"{need.model_type} cuts its rows into chunks, which it cannot do"
    return None


def imported(load: Callable[[], Any], what: str) -> Any:
    """What `load` imports.

    Raises:
        Unusable: it is not there, or was built for another torch.
    """
    try:
        return load()
    except (ImportError, OSError, AttributeError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise Unusable(f"{what} does not load: {lines[0]}") from error


@cache
def prove(compute: _Compute, name: str, features: frozenset[str], head_width: int) -> None:
    """See that a kernel computes on this GPU what it should, forward and backward.

    Three short documents go through it in bfloat16 or float16, with grouped heads; the result is
    held against the plain way. It takes some milliseconds, once in a process.

    Args:
        compute: Calls the kernel.
        name: Of the backend.
        features: What it claims besides: `window`, `softcap`.
        head_width: Width of a head.

    Raises:
        Unusable: the kernel fails, or gives something else.
    """
    place = _trial_place()
    trials: list[dict[str, Any]] = [{}]
    if "window" in features:
        trials.append({"window": _TRIAL_WINDOW})
    if "softcap" in features:
        trials.append({"softcap": _TRIAL_SOFTCAP})
    for trial in trials:
        try:
            got, want = (
                _trial(way, trial, head_width, *place) for way in (compute, attend_documents)
            )
        except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise Unusable(f"{name} fails on this GPU: {lines[0]}") from error
        worst = max(
            ((a - b).abs().max() / b.abs().max()).item() for a, b in zip(got, want, strict=True)
        )
        if not worst <= _TRIAL_ERROR:
            of = f" with a {next(iter(trial))}" if trial else ""
            raise Unusable(f"{name}{of} is {worst:.1%} off the plain way on this GPU")


_TRIAL_ERROR = 0.05
"""Rounding of bfloat16 in two orders of summing gives less, a wrong border or window far more."""


def _trial_place() -> tuple[torch.device, torch.dtype]:
    """The GPU of this process, and its better half precision.

    Raises:
        Unusable: there is none.
    """
    import torch

    if not torch.cuda.is_available():
        raise Unusable("torch finds no GPU")
    dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.device("cuda", torch.cuda.current_device()), dtype


def _trial(
    way: _Compute,
    trial: dict[str, Any],
    head_width: int,
    device: torch.device,
    dtype: torch.dtype,
) -> list[torch.Tensor]:
    """Output and gradients of one way; float32 on the CPU."""
    import torch

    generator = torch.Generator().manual_seed(0)
    tokens = sum(_TRIAL_TOKENS)

    def made(heads: int) -> torch.Tensor:
        shape = (1, heads, tokens, head_width)
        made = torch.randn(shape, generator=generator).to(device, dtype)
        return made.requires_grad_()

    inputs = made(4), made(2), made(2)
    row = Row(*inputs, Borders(list(_TRIAL_TOKENS), device), scale=head_width**-0.5, **trial)
    output = way(row)
    output.float().square().sum().backward()
    found = [output.detach(), *(tensor.grad for tensor in inputs if tensor.grad is not None)]
    return [tensor.float().cpu() for tensor in found]
