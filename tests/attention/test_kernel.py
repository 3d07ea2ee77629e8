"""What the kernels of other packages have in common: where they run, and the proof that they do."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
import torch

from axolotl.attention import Need, Unusable, candidates, registered_name
from axolotl.errors import ConfigError
from tests.attention import stand_ins

KERNEL = import_module("axolotl.attention._kernel")
LLAMA = Need("llama", interface=True, sdpa=True, head_width=64)
PUT: dict[str, Any] = {
    "flash_attention_2": stand_ins.flash_attn_2,
    "flash_attention_3": stand_ins.flash_attn_3,
    "xformers": stand_ins.xformers,
}


@pytest.fixture
def as_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU stands in for a GPU."""
    place = torch.device("cpu"), torch.bfloat16
    monkeypatch.setattr(KERNEL, "_trial_place", lambda: place)
    KERNEL.prove.cache_clear()


@pytest.mark.usefixtures("as_gpu")
@pytest.mark.parametrize("name", PUT)
def test_a_kernel_that_computes_what_it_should_is_taken(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AttentionInterface

    calls = PUT[name](monkeypatch)
    assert candidates(name, LLAMA).names == (name,)
    assert registered_name(name) in AttentionInterface().valid_keys()
    assert "flash" not in registered_name(name)  # transformers would prepare for its own way
    assert len(calls.seen) == (2 if name == "xformers" else 3)  # plain, window, soft cap


@pytest.mark.usefixtures("as_gpu")
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"page_table": None}, "fails on this GPU"),
        ({"window_size": (8, 0)}, "is .*% off the plain way"),
        ({"softmax_scale": 0.4}, "is .*% off the plain way"),
        ({"window_size": (-1, -1)}, "with a window is .*% off the plain way"),
        ({"softcap": 0.0}, "with a softcap is .*% off the plain way"),
    ],
    ids=str,
)
def test_a_kernel_that_computes_something_else_is_not_taken(
    fault: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins.flash_attn_2(monkeypatch)
    right = sys.modules["flash_attn"].flash_attn_varlen_func

    def wrong(
        *args: Any, window_size=(-1, -1), softcap=0.0, alibi_slopes=None, **named: Any
    ) -> Any:
        given = {"window_size": window_size, "softcap": softcap, **named} | fault
        return right(*args, **given)

    monkeypatch.setattr(sys.modules["flash_attn"], "flash_attn_varlen_func", wrong)
    with pytest.raises(ConfigError, match=f"flash-attn.*{said}") as raised:
        candidates("flash_attention_2", LLAMA, where="a.yml:3")
    assert raised.value.where == "a.yml:3"
    assert "per_document is tried by itself" in (raised.value.hint or "")
    assert candidates("flash_attention_2", LLAMA, demanded=False).names[0] == "per_document"


@pytest.mark.usefixtures("as_gpu")
def test_it_is_tried_with_heads_as_wide_as_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins.flash_attn_2(monkeypatch)
    right = sys.modules["flash_attn"].flash_attn_varlen_func

    @functools.wraps(right)
    def narrow(query: torch.Tensor, *args: Any, **named: Any) -> Any:
        if query.shape[-1] > 64:
            raise RuntimeError("no kernel for this width")
        return right(query, *args, **named)

    monkeypatch.setattr(sys.modules["flash_attn"], "flash_attn_varlen_func", narrow)
    assert candidates("flash_attention_2", LLAMA).names == ("flash_attention_2",)
    with pytest.raises(ConfigError, match="no kernel for this width"):
        candidates("flash_attention_2", replace(LLAMA, head_width=128))


def test_without_a_gpu_it_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins.flash_attn_2(monkeypatch)
    KERNEL.prove.cache_clear()
    tried = candidates("flash_attention_2", LLAMA, demanded=False)
    assert tried.names == ("per_document", "sdpa", "eager")
    assert tried.reasons == ("flash_attention_2: torch finds no GPU",)


@pytest.mark.parametrize("name", PUT)
def test_a_package_that_does_not_load_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("flash_attn", "flash_attn_interface", "xformers.ops"):
        monkeypatch.setitem(sys.modules, package, None)
    KERNEL.prove.cache_clear()
    monkeypatch.setattr(KERNEL, "_trial_place", lambda: (torch.device("cpu"), torch.bfloat16))
    with pytest.raises(ConfigError, match="does not load"):
        candidates(name, LLAMA)


def test_an_old_flash_attn_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    old = ModuleType("flash_attn")
    old.flash_attn_varlen_func = lambda q, k, v, window_size: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flash_attn", old)
    with pytest.raises(Unusable, match=r"too old \(no alibi_slopes, softcap\): 2.6 is needed"):
        import_module("axolotl.attention.flash_attention_2").register()


NEEDS = [
    ("flash_attention_2", {"head_width": 320}, "320 wide, and it knows 256"),
    ("flash_attention_3", {"head_width": 320}, "320 wide, and it knows 256"),
    ("flash_attention_2", {"softcap": True, "dropout": True}, "at once"),
    ("flash_attention_3", {"dropout": True}, "drops attention weights"),
    ("flex", {"dropout": True}, "drops attention weights"),
    ("xformers", {"softcap": True}, "caps its attention scores"),
    ("xformers", {"interface": False}, "does not call registered attention functions"),
    ("flex", {"chunked": True}, "cuts its rows into chunks"),
]


@pytest.mark.parametrize(("name", "asks", "said"), NEEDS)
def test_a_model_that_a_kernel_cannot_serve_is_refused_it(
    name: str, asks: dict[str, Any], said: str
) -> None:
    need = Need(**{"model_type": "m", "interface": True, "sdpa": True} | asks)
    with pytest.raises(ConfigError, match=said):
        candidates(name, need)
    wished = candidates(name, need, demanded=False)
    assert name not in wished.names
    assert wished.reasons[0].startswith(f"{name}: ")


@pytest.mark.usefixtures("as_gpu")
def test_where_the_third_cannot_the_second_may(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins.flash_attn_2(monkeypatch)
    drops = Need("m", interface=True, sdpa=True, dropout=True)
    wished = candidates("flash_attention_3", drops, demanded=False)
    assert wished.names[0] == "flash_attention_2"
    assert wished.reasons == ("flash_attention_3: m drops attention weights, which it cannot do",)


def _row(dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(1, 2, 6, 8).to(dtype) for _ in range(3))


@pytest.mark.parametrize("name", ["flash_attention_2", "flash_attention_3"])
def test_float32_is_rounded_under_autocast_only(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = PUT[name](monkeypatch)
    monkeypatch.setattr(KERNEL, "runs_on", lambda device: True)
    backend = import_module(f"axolotl.attention.{name}")
    attend = KERNEL.kernel_function(backend.compute, name)
    asked = {"position_ids": torch.tensor([[0, 1, 2, 0, 1, 2]])}
    layer = torch.nn.Module()
    output, _ = attend(layer, *_row(torch.float32), None, **asked)
    assert (output.dtype, len(calls.seen)) == (torch.float32, 0)
    with torch.autocast("cpu", torch.bfloat16):
        output, _ = attend(layer, *_row(torch.float32), None, **asked)
    assert (output.dtype, len(calls.seen)) == (torch.bfloat16, 1)
    mixed = _row(torch.float32)[0], *_row(torch.float16)[1:]
    output, _ = attend(layer, *mixed, None, **asked)
    assert (output.dtype, len(calls.seen)) == (torch.float16, 2)


def test_a_row_on_the_cpu_is_computed_in_plain_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = stand_ins.flash_attn_2(monkeypatch)
    backend = import_module("axolotl.attention.flash_attention_2")
    attend = KERNEL.kernel_function(backend.compute, "flash_attention_2")
    positions = torch.tensor([[0, 1, 2, 0, 1, 2]])
    attend(torch.nn.Module(), *_row(torch.bfloat16), None, position_ids=positions)
    assert calls.seen == []
