"""A packed layer multiplies, and passes gradients on, as the ordinary layer with its weight does."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from axolotl.models.gptq.layer import (
    Form,
    GPTQLinear,
    dequantise,
    quantised_layers,
    whole_layer,
)
from tests.gptq_writer import Recipe, Rounded, quantise

INPUTS, OUTPUTS = 128, 96
USUAL = Recipe()


def weight(outputs: int = OUTPUTS) -> torch.Tensor:
    return torch.randn(outputs, INPUTS, generator=torch.Generator().manual_seed(0)) * 0.1


def layer_of(rounded: Rounded, recipe: Recipe, **changes: Any) -> GPTQLinear:
    groups = len(rounded.tensors["scales"])
    outputs, inputs = rounded.meant.shape
    form = Form(inputs, outputs, recipe.bits, groups, recipe.version, **changes)
    layer = GPTQLinear(form, dtype=torch.float32)
    layer.load_state_dict(rounded.tensors, strict=False)
    return layer


def made(recipe: Recipe = USUAL, **changes: Any) -> tuple[GPTQLinear, torch.Tensor]:
    rounded = quantise(weight(), recipe)
    return layer_of(rounded, recipe, **changes), rounded.meant


@pytest.mark.parametrize(
    ("bits", "group_size", "act_order", "sym", "version", "by_hessian"),
    [
        case
        for case in itertools.product(
            (2, 3, 4, 8), (-1, 32, 64, 128), (False, True), (True, False), (1, 2), (False, True)
        )
        if not (case[1] == -1 and case[2])
    ],
)
def test_the_weight_is_the_one_that_was_meant(
    bits: int, group_size: int, act_order: bool, sym: bool, version: int, by_hessian: bool
) -> None:
    recipe = Recipe(bits, group_size, act_order, sym, version, by_hessian)
    rounded = quantise(weight(outputs=32), recipe)
    layer = layer_of(rounded, recipe)
    assert torch.equal(layer.weight, rounded.meant)


def test_a_group_size_that_does_not_divide_the_inputs() -> None:
    recipe = Recipe(group_size=48)
    rounded = quantise(weight(), recipe)
    assert len(rounded.tensors["scales"]) == 3
    assert torch.equal(layer_of(rounded, recipe, group_size=48).weight, rounded.meant)


@pytest.mark.parametrize("act_order", [False, True])
def test_gptq_loses_less_than_rounding(act_order: bool) -> None:
    """The quantiser of these tests is the real one: its error counts on the inputs, not by itself."""
    generator = torch.Generator().manual_seed(1)
    mixed = torch.randn(INPUTS, INPUTS, generator=generator)
    inputs = torch.randn(512, INPUTS, generator=generator) @ mixed
    errors = []
    for by_hessian in (False, True):
        recipe = Recipe(bits=3, group_size=64, act_order=act_order, by_hessian=by_hessian)
        meant = quantise(weight(), recipe, inputs=inputs).meant
        errors.append((inputs @ (meant - weight()).T).norm() / (inputs @ weight().T).norm())
    assert errors[1] < 0.8 * errors[0]


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_outputs_and_gradients_are_those_of_the_ordinary_layer(bias: bool, act_order: bool) -> None:
    layer, meant = made(Recipe(act_order=act_order), bias=bias)
    plain = nn.Linear(INPUTS, OUTPUTS, bias=bias)
    plain.weight = nn.Parameter(meant, requires_grad=False)
    if layer.bias is not None:
        layer.bias = nn.Parameter(torch.arange(OUTPUTS) / OUTPUTS)
        plain.bias = nn.Parameter(torch.arange(OUTPUTS) / OUTPUTS)
    results = []
    for each in (layer, plain):
        x = torch.randn(2, 5, INPUTS, generator=torch.Generator().manual_seed(2)).requires_grad_()
        y = each(x)
        (y * y).sum().backward()
        results.append(
            [y.detach(), x.grad, *(p.grad for p in each.parameters() if p.grad is not None)]
        )
    assert len(results[0]) == len(results[1]) == 2 + bias
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_the_gradient_of_the_input_is_exact() -> None:
    layer, _ = made(Recipe(bits=4, act_order=True, sym=False))
    x = torch.randn(3, INPUTS, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


def test_no_whole_weight_is_kept_for_the_backward_pass() -> None:
    layer, _ = made()
    x = torch.randn(4, INPUTS, requires_grad=True)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t), t)[1], lambda t: t):
        layer(x).sum().backward()
    assert all(tensor.numel() < INPUTS * OUTPUTS for tensor in kept)


def test_under_autocast_it_computes_in_the_lower_precision() -> None:
    layer, meant = made()
    x = torch.randn(4, INPUTS, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
        want = nn.functional.linear(x.detach(), meant)
    assert y.dtype == want.dtype == torch.bfloat16
    torch.testing.assert_close(y, want)
    y.float().sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.float32


@pytest.mark.parametrize("training", [False, True])
def test_a_checkpointed_layer_gives_the_same_gradients(training: bool) -> None:
    layer, _ = made()
    layer.train(training)
    grads = []
    for run in (layer, lambda x: checkpoint(layer, x, use_reentrant=False)):
        x = torch.ones(2, INPUTS, requires_grad=True)
        run(x).square().sum().backward()
        grads.append(x.grad)
    assert torch.equal(*grads)


def test_a_cast_of_the_model_leaves_the_stored_numbers_alone() -> None:
    layer, meant = made(Recipe(sym=False), bias=True)
    layer.to(torch.bfloat16)
    assert layer.scales.dtype == torch.float16
    assert layer.bias.dtype == torch.bfloat16
    assert torch.equal(layer.dequantised(torch.float32).T, meant)
    moved = layer.to("meta")
    assert moved.scales.device.type == "meta"


def test_it_is_a_linear_layer_without_trainable_weights() -> None:
    layer, _ = made(bias=True)
    assert isinstance(layer, nn.Linear)
    assert [name for name, _ in layer.named_parameters()] == ["bias"]
    assert sum(b.nbytes for b in layer.buffers()) < 0.2 * layer.weight.nbytes
    assert "bits=4" in repr(layer)


@pytest.mark.parametrize("transposed", [False, True])
def test_made_whole_again(transposed: bool) -> None:
    packed, meant = made(Recipe(act_order=True), bias=True, transposed=transposed)
    packed.bias = nn.Parameter(torch.arange(OUTPUTS) / OUTPUTS)
    model = nn.Sequential(packed, nn.ReLU())
    x = torch.randn(2, INPUTS)
    want = model(x)
    assert list(quantised_layers(model)) == ["0"]
    dequantise(model, dtype=torch.float32)
    assert type(model[0]).__name__ == ("Conv1D" if transposed else "Linear")
    weight = dict(model.named_parameters())["0.weight"]
    assert torch.equal(weight, meant.T if transposed else meant)
    torch.testing.assert_close(model(x), want)
    assert whole_layer(packed, dtype=torch.float16).weight.dtype == torch.float16
