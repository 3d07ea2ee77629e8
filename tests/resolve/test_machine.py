"""What the machine can do is found out without torch, and agrees with torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from axolotl.resolve import machine
from axolotl.resolve.machine import Machine, this_machine


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    this_machine.cache_clear()
    yield
    this_machine.cache_clear()


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus_do_not_count(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    monkeypatch.setattr(machine, "torch_build", lambda: "cuda")
    monkeypatch.setattr(machine, "cuda_capabilities", lambda: [(9, 0)])
    assert replace(this_machine(), missing=frozenset()) == Machine(gpu=False, bf16=False)


@pytest.mark.parametrize(
    ("build", "capabilities", "expected"),
    [
        ("cuda", [(9, 0)], Machine(gpu=True, bf16=True, capability=(9, 0))),
        ("cuda", [(8, 0), (7, 5)], Machine(gpu=True, bf16=False, capability=(7, 5))),
        ("cuda", [], Machine(gpu=False, bf16=False)),
        ("cpu", [(9, 0)], Machine(gpu=False, bf16=False)),
    ],
)
def test_torch_and_driver_decide(
    monkeypatch: pytest.MonkeyPatch,
    build: str,
    capabilities: list[tuple[int, int]],
    expected: Machine,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "torch_build", lambda: build)
    monkeypatch.setattr(machine, "cuda_capabilities", lambda: capabilities)
    assert replace(this_machine(), missing=frozenset()) == expected


@pytest.mark.parametrize(
    ("version_file", "build"),
    [
        ("cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n", "cuda"),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.3'\n", "hip"),
        ("cuda: Optional[str] = None\nhip: Optional[str] = None\n", "cpu"),
        ("__version__ = '2.13.0+cpu'\n", "cpu"),
    ],
)
def test_the_build_is_read_from_torchs_version_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version_file: str, build: str
) -> None:
    (tmp_path / "version.py").write_text(version_file)
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(machine, "find_spec", lambda _: spec)
    assert machine.torch_build() == build


def test_without_torch_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda _: None)
    assert machine.torch_build() == "cpu"


def test_it_agrees_with_torch() -> None:
    assert importlib.util.find_spec("torch") is not None
    import torch

    assert this_machine().gpu == torch.cuda.is_available()
    if torch.version.cuda is None and torch.version.hip is None:
        assert machine.torch_build() == "cpu"
    else:
        assert machine.torch_build() in ("cuda", "hip")


def test_packages_that_are_not_there_are_known_without_importing_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "OPTIONAL_PACKAGES", ("click", "no_such_package"))
    assert this_machine().missing == {"no_such_package"}
