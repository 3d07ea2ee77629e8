"""The matmul probe takes a route only if it is as exact as fp32 and clearly faster."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from axolotl.models import matmul
from axolotl.models.matmul import Route, RouteOfRun, choose_route, layer_shapes
from tests.conftest import build_llama

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def pretend(
    monkeypatch: pytest.MonkeyPatch, *, seconds: dict[str, float], rounding: str | None = None
) -> None:
    """Give each setting a speed, and let one of them round to bf16, whatever this CPU does."""
    real = torch.nn.functional.linear

    def linear(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        setting = torch.get_float32_matmul_precision()
        if setting == rounding:
            return real(x.bfloat16(), w.bfloat16()).float()
        torch.set_float32_matmul_precision("highest")
        try:
            return real(x, w)
        finally:
            torch.set_float32_matmul_precision(setting)

    monkeypatch.setattr(torch.nn.functional, "linear", linear)
    monkeypatch.setattr(
        matmul, "_time", lambda _pairs: seconds[torch.get_float32_matmul_precision()]
    )


def test_a_faster_exact_route_is_taken_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, seconds={"highest": 2.0, "high": 1.9, "medium": 1.0})
    route = choose_route([(64, 128)], device=CPU)
    assert (route.setting, route.gain) == ("medium", 2.0)
    assert 0 < route.error < 1e-6
    pretend(monkeypatch, seconds={"highest": 1.0, "high": 1.0, "medium": 9.0})
    assert choose_route([(64, 128)], device=CPU) == route
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_route_that_rounds_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"highest": 2.0, "high": 2.0, "medium": 0.1}
    pretend(monkeypatch, seconds=seconds, rounding="medium")
    assert choose_route([(64, 128)], device=CPU).setting == "highest"


def test_a_small_gain_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, seconds={"highest": 1.1, "high": 1.0, "medium": 1.05})
    assert choose_route([(64, 128)], device=CPU).setting == "highest"


def test_nothing_is_probed_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, seconds={})
    assert choose_route([(64, 128)], device=torch.device("cuda")).setting == "highest"


def test_shapes_with_most_work_come_first() -> None:
    shapes = layer_shapes(build_llama())
    assert set(shapes[:2]) == {(64, 128), (64, 512)}
    assert set(shapes) == {(64, 512), (64, 128), (128, 64), (64, 64), (64, 32)}


@pytest.mark.parametrize("content", ["", "[]", '{"setting": "medium"}'])
def test_a_damaged_cache_is_measured_anew(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, seconds={"highest": 2.0, "high": 2.0, "medium": 1.0})
    choose_route([(64, 128)], device=CPU)
    (kept,) = tmp_path.rglob("*.json")
    kept.write_text(content)
    assert choose_route([(64, 128)], device=CPU).setting == "medium"


def test_a_cache_that_cannot_be_written_does_not_stop_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    pretend(monkeypatch, seconds={"highest": 2.0, "high": 2.0, "medium": 1.0})
    assert choose_route([(64, 128)], device=CPU).setting == "medium"
    assert "is not kept" in capsys.readouterr().err


def test_two_processes_that_measure_at_the_same_time_take_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, seconds={"highest": 1.0, "high": 1.0, "medium": 1.0})
    theirs = choose_route([(64, 128)], device=CPU)
    (kept,) = tmp_path.rglob("*.json")
    written = kept.read_text()
    kept.unlink()

    def measured(_pairs: object) -> float:
        kept.write_text(written)  # the other one was a little faster
        return {"highest": 2.0, "high": 2.0, "medium": 1.0}[torch.get_float32_matmul_precision()]

    monkeypatch.setattr(matmul, "_time", measured)
    assert choose_route([(64, 128)], device=CPU) == theirs
    assert kept.read_text() == written


def test_a_resume_takes_the_route_of_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, seconds={"highest": 2.0, "high": 2.0, "medium": 1.0})
    route = choose_route([(64, 128)], device=CPU)
    RouteOfRun(route).save(tmp_path, 3)
    shutil.rmtree(tmp_path / "axolotl")
    pretend(monkeypatch, seconds={"highest": 1.0, "high": 1.0, "medium": 1.0})
    assert choose_route([(64, 128)], device=CPU, resume=tmp_path) == route
    assert choose_route([(64, 128)], device=CPU).setting == "highest"


def test_the_route_of_another_machine_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it may round."""
    pretend(monkeypatch, seconds={"highest": 1.0, "high": 1.0, "medium": 1.0})
    RouteOfRun(Route("medium", 2.0, 1e-7, machine="another")).save(tmp_path, 3)
    assert choose_route([(64, 128)], device=CPU, resume=tmp_path).setting == "highest"
