"""A compiled training is the training, in other words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from axolotl import api
from axolotl.config import load_config
from axolotl.errors import AxolotlError, ModelError
from axolotl.models.compile import compile_layers, decoder_layers
from axolotl.resolve import resolve
from axolotl.training.callbacks.metrics import read_metrics
from tests.conftest import build_llama

Options = Callable[..., dict[str, Any]]
LORA = {"adapter": "lora", "lora_r": 4, "lora_target_linear": True}
METHODS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": LORA,
    "checkpointed": {**LORA, "gradient_checkpointing": True},
}


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch.compiler.reset()


def run(options: dict[str, Any], folder: Path) -> tuple[dict[str, torch.Tensor], list[Any]]:
    api.train(options | {"output_dir": str(folder)})
    (file,) = folder.glob("*.safetensors")
    lines = read_metrics(folder / "metrics.jsonl")
    return load_file(file), [x.get("loss", x.get("eval_loss")) for x in lines]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # from inductor
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize(
    ("torch_compile_backend", "torch_compile_mode"),
    [(None, None), ("inductor", "default"), ("aot_eager", None), ("eager", None)],
)
def test_torch_compile_trains_what_is_trained_without(
    tiny_options: Options,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    method: dict[str, Any],
    torch_compile_backend: str | None,
    torch_compile_mode: str | None,
) -> None:
    options = tiny_options(**method, max_steps=5, eval_steps=3, save_steps=3, save_total_limit=0)
    plain, losses = run(options, tmp_path / "plain")
    capfd.readouterr()
    compiled, found = run(
        options
        | {"torch_compile": True}
        | {
            "torch_compile_backend": torch_compile_backend,
            "torch_compile_mode": torch_compile_mode,
        },
        tmp_path / "compiled",
    )
    said = capfd.readouterr().err
    assert "2 layers are compiled" in said
    assert "graph break" not in said.lower()
    assert "recompile" not in said
    assert found == pytest.approx(losses, abs=1e-4)
    assert compiled.keys() == plain.keys()
    assert all(torch.allclose(compiled[name], plain[name], atol=1e-4) for name in plain)
    files = (tmp_path / "compiled").rglob("*.safetensors")
    assert not any("_orig_mod" in name for file in files for name in load_file(file))
    assert "_orig_mod" not in json.dumps((tmp_path / "compiled" / "run.json").read_text())


def test_a_compiled_run_is_resumed(tiny_options: Options, tmp_path: Path) -> None:
    options = tiny_options(
        **LORA, max_steps=4, save_steps=2, torch_compile=True, torch_compile_backend="eager"
    )
    whole, losses = run(options, tmp_path / "whole")
    checkpoint = str(tmp_path / "whole" / "checkpoint-2")
    resumed, found = run(options | {"resume_from_checkpoint": checkpoint}, tmp_path / "resumed")
    assert found[-1] == pytest.approx(losses[-1], abs=1e-5)
    assert all(torch.allclose(resumed[name], whole[name], atol=1e-5) for name in whole)


def test_it_is_the_layers_that_are_compiled() -> None:
    model = build_llama()
    assert [type(layer).__name__ for layer in decoder_layers(model)] == ["LlamaDecoderLayer"] * 2
    before = set(model.state_dict())
    assert compile_layers(model, backend="eager", mode=None) == 2
    assert all(
        vars(layer).get("_compiled_call_impl") is not None for layer in decoder_layers(model)
    )
    assert set(model.state_dict()) == before


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ModelError, match="no backend 'nothing'") as caught:
        compile_layers(build_llama(), backend="nothing", mode=None)
    assert caught.value.where == "torch_compile_backend"
    assert "inductor" in str(caught.value.hint)


def test_a_model_without_named_layers_is_refused() -> None:
    with pytest.raises(ModelError, match="does not say which its layers are"):
        compile_layers(torch.nn.Linear(2, 2), backend="eager", mode=None)


def test_every_backend_of_torch_passes_the_check_and_no_other(tiny_options: Options) -> None:
    asked = {"torch_compile": True, "torch_compile_backend": "nowhere"}
    with pytest.raises(AxolotlError, match="no backend 'nowhere' here"):
        resolve(load_config(tiny_options(**asked)))
    for name in torch.compiler.list_backends(exclude_tags=()):
        resolve(load_config(tiny_options(**asked | {"torch_compile_backend": name})))
