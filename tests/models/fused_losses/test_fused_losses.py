"""Kernels for the loss: chosen by the options, tried on the head, and replaced where they cannot serve."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from axolotl.config import load_config
from axolotl.config.adapter import AdapterSection
from axolotl.models.adapters import attach_new
from axolotl.models.after_head import NOTHING, AfterHead
from axolotl.models.fused_losses import asked_kernel, cut_cross_entropy, fitting_kernel, liger
from axolotl.models.tiny import tiny_config, tiny_model
from axolotl.training.loss import RowLoss
from tests.training.test_loss import found_by, plain_loss, row

SMALL = {"base_model": "m", "datasets": [{"path": "d.jsonl", "type": "alpaca"}]}


@pytest.mark.parametrize(
    ("options", "kernel"),
    [
        ({}, None),
        ({"flash_attn_cross_entropy": True}, "liger"),
        ({"liger_fused_linear_cross_entropy": True}, "liger"),
        ({"cut_cross_entropy": True}, "cut_cross_entropy"),
        ({"cut_cross_entropy": True, "flash_attn_cross_entropy": True}, "cut_cross_entropy"),
    ],
)
def test_the_options_choose_the_kernel(options: dict[str, Any], kernel: str | None) -> None:
    config = load_config({**SMALL, **options})
    old = config.attention.flash_attn_cross_entropy
    assert asked_kernel(config.loss, flash_attn_cross_entropy=old) == kernel


class LikeLiger(nn.Module):
    """What Liger's loss is called as, in plain torch, with its ways where they are its own.

    It computes no gradient at all for a head whose hidden states need none.
    """

    calls: list[Any] = []  # noqa: RUF012

    def __init__(self, *, reduction: str, softcap: float | None, accum_dtype: Any) -> None:
        super().__init__()
        assert (reduction, accum_dtype) == ("sum", torch.float32)
        self.softcap = softcap

    def forward(
        self, lin_weight: Tensor, _input: Tensor, target: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        assert _input.dim() == 2
        assert _input.shape[1] == lin_weight.shape[1]
        assert target.shape == _input.shape[:1]
        assert target.dtype == torch.int64
        assert len(target) > 0
        self.calls.append((_input.shape, self.softcap))
        if not _input.requires_grad:
            lin_weight = lin_weight.detach()
        logits = nn.functional.linear(_input, lin_weight, bias)
        if self.softcap is not None:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        return nn.functional.cross_entropy(logits.float(), target, reduction="sum")


def like_cut_cross_entropy(e: Tensor, c: Tensor, targets: Tensor, **given: Any) -> Tensor:
    """What cut-cross-entropy is called as, in plain torch."""
    assert e.dtype == c.dtype
    assert e.dtype in (torch.float16, torch.bfloat16)
    assert given.keys() == {"softcap", "reduction", "filter_eps", "impl"}
    assert (given["reduction"], given["filter_eps"], given["impl"]) == ("sum", "auto", "cce")
    logits, cap = (e @ c.T).float(), given["softcap"]
    if cap is not None:
        logits = cap * torch.tanh(logits / cap)
    return nn.functional.cross_entropy(logits, targets, reduction="sum")


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both packages as if they were there, with an interpreter in the place of a GPU."""
    modules: dict[str, ModuleType] = {}
    for name in (
        "liger_kernel",
        "liger_kernel.transformers",
        "liger_kernel.transformers.fused_linear_cross_entropy",
        "cut_cross_entropy",
    ):
        modules[name] = ModuleType(name)
        modules[name].__spec__ = find_spec("json")
        monkeypatch.setitem(sys.modules, name, modules[name])
    loss: Any = modules["liger_kernel.transformers.fused_linear_cross_entropy"]
    loss.LigerFusedLinearCrossEntropyLoss = LikeLiger
    cut: Any = modules["cut_cross_entropy"]
    cut.linear_cross_entropy = like_cut_cross_entropy
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    liger._loss.cache_clear()  # pyright: ignore[reportPrivateUsage]
    LikeLiger.calls.clear()


MODELS = ["llama", "gemma2", "granite", "phi", "gptj"]
"""Plain, capped, scaled, and two whose heads have a bias."""


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("model_type", MODELS)
def test_liger_computes_loss_and_gradients(model_type: str) -> None:
    model, inputs = tiny_model(model_type, vocabulary=512), row()
    row_loss = RowLoss(model, kernel="liger")
    assert row_loss.kernel is liger
    LikeLiger.calls.clear()
    want, wanted = found_by(model, lambda: plain_loss(model, inputs))
    got, grads = found_by(model, lambda: row_loss(model, inputs))
    assert [shape for shape, _ in LikeLiger.calls] == [(20, 64)]
    assert torch.allclose(got, want, rtol=1e-6)
    assert grads.keys() == wanted.keys()
    assert all(torch.allclose(grads[n], g, rtol=1e-4, atol=1e-6) for n, g in wanted.items())


@pytest.mark.usefixtures("stand_ins")
def test_a_head_is_trained_where_nothing_else_is() -> None:
    changes = {"tie_word_embeddings": False}
    model, inputs = tiny_model(tiny_config("llama", changes=changes), vocabulary=512), row()
    model.requires_grad_(False)
    model.lm_head.requires_grad_(True)
    row_loss = RowLoss(model, kernel="liger")
    _, wanted = found_by(model, lambda: plain_loss(model, inputs))
    _, grads = found_by(model, lambda: row_loss(model, inputs))
    assert list(grads) == ["lm_head.weight"]
    assert torch.allclose(grads["lm_head.weight"], wanted["lm_head.weight"], atol=1e-6)


@pytest.mark.usefixtures("stand_ins")
def test_a_row_without_labels_does_not_reach_the_kernel() -> None:
    model, inputs = tiny_model("llama", vocabulary=512), row()
    row_loss = RowLoss(model, kernel="liger")
    LikeLiger.calls.clear()
    loss = row_loss(model, inputs | {"labels": torch.full_like(inputs["labels"], -100)})
    loss.backward()
    assert loss.item() == 0
    assert not LikeLiger.calls


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("model_type", ["llama", "gemma2", "granite"])
def test_cut_cross_entropy_computes_the_loss_in_half_precision(model_type: str) -> None:
    model, inputs = tiny_model(model_type, vocabulary=512), row()

    def autocast() -> Any:
        return torch.autocast("cpu", dtype=torch.bfloat16)

    row_loss = RowLoss(model, autocast=autocast, kernel="cut_cross_entropy")
    assert row_loss.kernel is cut_cross_entropy
    with autocast():
        want, wanted = found_by(model, lambda: plain_loss(model, inputs))
    got, grads = found_by(model, lambda: row_loss(model, inputs))
    assert torch.allclose(got, want, rtol=2e-3)
    assert grads.keys() == wanted.keys()


def lora_head(base: Any) -> nn.Module:
    options = {"adapter": "lora", "lora_r": 4, "lora_target_modules": ["lm_head"]}
    return attach_new(base, AdapterSection.model_validate(options)).get_output_embeddings()


HEAD = nn.Linear(8, 16, bias=False)
WITH_BIAS = nn.Linear(8, 16)


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize(
    ("name", "head", "after", "reason"),
    [
        ("liger", nn.Embedding(16, 8), NOTHING, "is a Embedding, not a plain linear"),
        ("liger", WITH_BIAS, AfterHead(scale=2.0), "scales logits that have a bias"),
        ("liger", nn.Linear(8, 16).double(), NOTHING, "float32 at most"),
        ("cut_cross_entropy", WITH_BIAS, NOTHING, "has a bias, which it does not know"),
        ("cut_cross_entropy", HEAD, NOTHING, "half precision, and the head in float32"),
    ],
)
def test_what_a_kernel_cannot_serve(
    name: str, head: nn.Module, after: AfterHead, reason: str
) -> None:
    found = fitting_kernel(name, head, after)
    assert isinstance(found, str)
    assert reason in found


@pytest.mark.usefixtures("stand_ins")
def test_lora_on_the_head_is_left_to_torch(capsys: pytest.CaptureFixture[str]) -> None:
    changes = {"tie_word_embeddings": False}
    base = tiny_model(tiny_config("llama", changes=changes), vocabulary=512)
    found = fitting_kernel("liger", lora_head(base), NOTHING)
    assert isinstance(found, str)
    assert "not a plain linear layer" in found


@pytest.mark.usefixtures("stand_ins")
def test_a_kernel_that_computes_something_else_is_not_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = LikeLiger.forward
    monkeypatch.setattr(LikeLiger, "forward", lambda *given: plain(*given) * 1.01)
    model, inputs = tiny_model("llama", vocabulary=512), row()
    row_loss = RowLoss(model, kernel="liger")
    assert row_loss.kernel is None
    assert "its result differs by 1.0%" in capsys.readouterr().err
    assert torch.allclose(row_loss(model, inputs), plain_loss(model, inputs), rtol=1e-6)


@pytest.mark.usefixtures("stand_ins")
def test_a_kernel_that_fails_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Tensor:
        raise RuntimeError("0 active drivers\nmore")

    monkeypatch.setattr(LikeLiger, "forward", fail)
    found = fitting_kernel("liger", HEAD, NOTHING)
    assert found == "it fails on this machine: RuntimeError: 0 active drivers"


@pytest.mark.usefixtures("stand_ins")
def test_without_a_gpu_it_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET")
    assert fitting_kernel("liger", HEAD, NOTHING) == "it needs a GPU"


@pytest.mark.skipif(find_spec("liger_kernel") is not None, reason="the package is installed")
@pytest.mark.parametrize("name", ["liger", "cut_cross_entropy"])
def test_without_the_package_it_is_not_used(name: str) -> None:
    found = fitting_kernel(name, HEAD, NOTHING)
    assert isinstance(found, str)
    assert "pip install 'axolotl[" in found


REAL = """
    import torch
    from axolotl.models.tiny import tiny_model
    from axolotl.training.loss import RowLoss
    from tests.training.test_loss import assert_same, found_by, plain_loss, row

    torch.set_num_threads(1)
    for model_type in ("llama", "granite", "phi"):  # the interpreter has no tanh of a number
        model, inputs = tiny_model(model_type, vocabulary=512), row()
        row_loss = RowLoss(model, kernel="liger")
        assert row_loss.kernel is not None, model_type
        want, wanted = found_by(model, lambda: plain_loss(model, inputs))
        got, grads = found_by(model, lambda: row_loss(model, inputs))
        assert abs(float(got / want - 1)) <= 1e-6, (model_type, got, want)
        largest = max(float(g.abs().max()) for g in wanted.values())
        for name, gradient in wanted.items():
            assert float((grads[name] - gradient).abs().max()) <= 1e-6 * largest, name
        print(model_type, float(got), float(want))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("liger_kernel") is None or find_spec("triton") is None,
    reason="pip install 'axolotl[liger]' first; with Triton it takes 1 GB, so it is no part of `dev`",
)
def test_the_real_liger_equals_the_plain_loss() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(REAL)],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 3


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("cut_cross_entropy") is None or find_spec("triton") is None,
    reason="pip install 'axolotl[cut-cross-entropy]' first; with Triton it takes 1 GB",
)
def test_the_real_cut_cross_entropy_is_called_as_it_wants() -> None:
    script = """
        import torch
        from axolotl.models.fused_losses import cut_cross_entropy as kernel

        kernel.IMPLEMENTATION = "torch_compile"
        torch.manual_seed(0)
        hidden = torch.randn(40, 64, dtype=torch.bfloat16, requires_grad=True)
        weight = torch.randn(512, 64, dtype=torch.bfloat16, requires_grad=True)
        targets = torch.randint(0, 512, (40,))
        for cap in (None, 5.0):
            loss = kernel.summed(hidden, weight, None, targets, cap)
            logits = hidden @ weight.T
            if cap is not None:
                logits = cap * torch.tanh(logits / cap)
            want = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")
            assert torch.allclose(loss, want, rtol=1e-3), (loss, want)
            loss.backward()
            assert hidden.grad.abs().sum() > 0
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
