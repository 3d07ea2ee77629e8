"""A linear layer whose weights stay in the words of a GPTQ checkpoint.

The whole weight exists only while it is multiplied with: the forward pass makes it and lets it go,
and the backward pass makes it again, so a layer costs its packed size however many of them there
are. Gradients go to the input; the words are not trained.

It is a `torch.nn.Linear` whose `weight` is computed, so adapters, probes and counts that look for
linear layers find it. What is written into that `weight` is lost: `dequantise` makes ordinary
layers first.

Cost: unpacking is a few elementwise passes over the weight, done twice a step (three times with
gradient checkpointing). A step over 512 tokens of SmolLM2-135M with LoRA takes 14 % longer on one CPU
core than with whole weights; longer rows, less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from axolotl.core.console import note
from axolotl.models.gptq.layout import unpack, words_for, zeros_of

_CACHED = 1 << 18
"""Weights that are unpacked together on a CPU: what takes part then stays in its cache."""


@dataclass(frozen=True)
class Form:
    """How the weight of one layer is stored.

    Args:
        inputs: Width of the input.
        outputs: Width of the output.
        bits: Of a weight.
        groups: How many groups of inputs have scales and zeros of their own.
        version: Of the checkpoint format, 1 or 2.
        bias: Whether there is a bias.
        transposed: Whether the model's own layer is a `Conv1D`, which holds (inputs, outputs).
        group_size: Inputs of a group; None where it must follow from the number of groups.
    """

    inputs: int
    outputs: int
    bits: int
    groups: int
    version: int
    bias: bool = False
    transposed: bool = False
    group_size: int | None = None

    @property
    def group_inputs(self) -> int:
        """Inputs of a group; the last group may have fewer."""
        return self.group_size or -(-self.inputs // self.groups)

    @property
    def plain_order(self) -> Tensor:
        """The group of each input where they are taken in order, int32, (I,)."""
        return (torch.arange(self.inputs) // self.group_inputs).to(torch.int32)

    def tensors(self) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """What is stored: dtype and shape of each tensor, by name."""
        return {
            "qweight": (torch.int32, (words_for(self.inputs, self.bits), self.outputs)),
            "qzeros": (torch.int32, (self.groups, words_for(self.outputs, self.bits))),
            "scales": (torch.float16, (self.groups, self.outputs)),
            "g_idx": (torch.int32, (self.inputs,)),
        }


class GPTQLinear(nn.Linear):
    """Multiplies with a weight that it unpacks each time.

    Args:
        form: How the weight is stored.
        dtype: dtype of the bias, and of `weight` where somebody asks for it.
        scales_dtype: dtype in which the scales are stored.
        device: Where the tensors are made, empty.
    """

    qweight: Tensor
    qzeros: Tensor
    scales: Tensor
    g_idx: Tensor

    def __init__(
        self,
        form: Form,
        *,
        dtype: torch.dtype,
        scales_dtype: torch.dtype = torch.float16,
        device: torch.device | str | None = None,
    ) -> None:
        nn.Module.__init__(self)
        self.in_features = form.inputs
        self.out_features = form.outputs
        self.form = form
        self.compute_dtype = dtype
        for name, (kind, shape) in form.tensors().items():
            kind = scales_dtype if name == "scales" else kind
            self.register_buffer(name, torch.empty(shape, dtype=kind, device=device))
        bias = None
        if form.bias:
            bias = nn.Parameter(torch.empty(form.outputs, dtype=dtype, device=device))
        self.register_parameter("bias", bias)
        self._ordered: bool | None = None
        self._is_hf_initialized = True  # transformers would draw random weights, for nobody

    @property
    def weight(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The weight, (O, I), made anew by each look at it."""
        return self.dequantised(self.compute_dtype).t()

    def forward(self, input: Tensor) -> Tensor:
        """`input @ weight.T + bias`, in the dtype of autocast or of the input."""
        kind = input.device.type
        dtype = input.dtype
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        product = _Product.apply(input.to(dtype), self)
        return product if self.bias is None else product + self.bias.to(dtype)

    def dequantised(self, dtype: torch.dtype) -> Tensor:
        """The weight, (I, O): computed in fp32, where it is exact, and rounded once.

        Args:
            dtype: What it is rounded to.
        """
        form = self.form
        zeros_GO = zeros_of(self.qzeros, form.bits, version=form.version)
        scales_GO = self.scales.float()
        weight = torch.empty(form.inputs, form.outputs, dtype=dtype, device=self.scales.device)
        for rows in self._blocks():
            words = slice(words_for(rows.start, form.bits), words_for(rows.stop, form.bits))
            q = unpack(self.qweight[words], form.bits)
            if self._in_order():
                group = form.group_inputs
                groups = slice(rows.start // group, -(-rows.stop // group))
                q = q.view(groups.stop - groups.start, -1, form.outputs)
                zeros, scales = zeros_GO[groups, None], scales_GO[groups, None]
            else:
                groups = self.g_idx[rows]
                zeros, scales = zeros_GO[groups], scales_GO[groups]
            torch.mul(q - zeros, scales, out=weight[rows].view(q.shape))
        return weight

    def _blocks(self) -> Iterator[slice]:
        """Inputs to be unpacked together: on a CPU as many as fit its cache, elsewhere all.

        A block is of whole words, and of whole groups where they are in order.
        """
        form = self.form
        step = math.lcm(32, form.group_inputs) if self._in_order() else 32
        if self.scales.device.type == "cpu":
            step *= max(1, _CACHED // (step * form.outputs))
        else:
            step = form.inputs
        for start in range(0, form.inputs, step):
            yield slice(start, min(start + step, form.inputs))

    def settle(self) -> None:
        """Take note of tensors that were put in: whether the groups are in order."""
        form = self.form
        even = form.inputs == form.groups * form.group_inputs
        self._ordered = even and torch.equal(self.g_idx.cpu(), form.plain_order)

    def extra_repr(self) -> str:
        """What `print(model)` says of it."""
        form = self.form
        return (
            f"in_features={form.inputs}, out_features={form.outputs}, bias={form.bias}, "
            f"bits={form.bits}, groups={form.groups}"
        )

    def _in_order(self) -> bool:
        if self._ordered is None:
            self.settle()
        return bool(self._ordered)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._ordered = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> GPTQLinear:
        """Move, but never cast the scales: they are data, and a cast would change the weights."""
        scales = self.scales
        super()._apply(fn, recurse)
        if self.scales.dtype != scales.dtype:
            self.scales = scales.to(self.scales.device)
        return self


class _Product(torch.autograd.Function):
    """`input @ weight`, with the weight made again for the backward pass."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, layer: GPTQLinear) -> Tensor:
        ctx.layer = layer
        return input @ layer.dequantised(input.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (grad,) = grad_outputs
        return grad @ ctx.layer.dequantised(grad.dtype).t(), None


def quantised_layers(model: nn.Module) -> dict[str, GPTQLinear]:
    """The layers that are stored in words, by their path."""
    return {path: m for path, m in model.named_modules() if isinstance(m, GPTQLinear)}


def dequantise(model: nn.Module, *, dtype: torch.dtype) -> None:
    """Put ordinary linear layers in place of the packed ones, one after the other.

    Args:
        model: Changed in place.
        dtype: Of the new weights.
    """
    for path, layer in quantised_layers(model).items():
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, whole_layer(layer, dtype=dtype))


def unpack_head(model: PreTrainedModel) -> None:
    """Make an ordinary output head of a packed one, so that it can get more rows."""
    head = model.get_output_embeddings()
    if isinstance(head, GPTQLinear):
        note("the quantised output head is held unquantised, to get rows for the new tokens")
        model.set_output_embeddings(whole_layer(head, dtype=head.compute_dtype))


def whole_layer(layer: GPTQLinear, *, dtype: torch.dtype) -> nn.Module:
    """The ordinary layer with the same weight."""
    form = layer.form
    weight_IO = layer.dequantised(dtype)
    whole: Any
    with torch.device("meta"):
        if form.transposed:
            whole = Conv1D(form.outputs, form.inputs)
        else:
            whole = nn.Linear(form.inputs, form.outputs, bias=form.bias)
    whole.weight = nn.Parameter(weight_IO if form.transposed else weight_IO.t().contiguous())
    if layer.bias is not None:
        whole.bias = nn.Parameter(layer.bias.detach().to(dtype))
    elif form.transposed:
        whole.bias = nn.Parameter(torch.zeros(form.outputs, dtype=dtype, device=weight_IO.device))
    return whole.train(layer.training)
