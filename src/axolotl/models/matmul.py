"""The fastest matmul route that keeps fp32's precision, found by a short probe.

On some CPUs torch's fp32 matmul runs at half of what oneDNN reaches with the same numbers, and
`torch.set_float32_matmul_precision("medium")` is the switch that routes it there; on others the
same switch rounds to bf16, or does nothing. So each setting is tried on the model's own shapes,
its error measured, and only one as exact as fp32 and clearly faster is taken.

The choice is kept in the cache per CPU and torch version, where the first process to write it
decides for all that probe at the same time; and in every checkpoint, so that a resume on the same
machine computes the same bits as a run that was not stopped, whatever became of the cache.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from axolotl.core.atomic import disk_faults, write_json
from axolotl.core.cache import cache_folder, lock_beside
from axolotl.core.console import note_once
from axolotl.core.hashing import hash_values
from axolotl.errors import AxolotlError

ROUTE_FILE = "matmul.json"
SETTINGS = ("highest", "high", "medium")
MAX_RELATIVE_ERROR = 2e-6
"""fp32 routes come to 2e-7 to 5e-7 on such shapes; bf16 to 3e-3, tf32 to 3e-4."""
MIN_GAIN = 1.15
"""How many times faster than the default a setting must be to be worth a change."""
PROBE_TOKENS = 512
MAX_PROBE_WIDTH = 4096
"""Wider layers, such as heads, are cut: the route is the same, the probe shorter."""


@dataclass(frozen=True)
class Route:
    """A setting of `torch.set_float32_matmul_precision`, and why it was chosen.

    Args:
        setting: `highest`, `high` or `medium`.
        gain: Its speed, in multiples of `highest`.
        error: Largest relative error against float64.
        machine: The processor, torch and threads that it was measured with.
    """

    setting: str
    gain: float
    error: float
    machine: str = ""

    def __str__(self) -> str:
        return f"{self.setting} ({self.gain:.2f} x the default, error {self.error:.0e})"


def choose_route(
    shapes: Sequence[tuple[int, int]], *, device: torch.device, resume: Path | None = None
) -> Route:
    """Find the fastest exact route for linear layers of these shapes; sets nothing.

    Args:
        shapes: (inputs, outputs) of the layers, the commonest first; three are tried.
        device: On anything but a CPU nothing is probed: the option `tf32` decides there.
        resume: A checkpoint to go on from: on the machine that wrote it, its route is taken.
    """
    default = Route("highest", 1.0, 0.0)
    if device.type != "cpu" or not shapes:
        return default
    machine = hash_values([*_cpu(), torch.__version__, torch.get_num_threads()])[:16]
    if resume and (route := _read(resume / ROUTE_FILE)) and route.machine == machine:
        return route
    widest = MAX_PROBE_WIDTH
    shapes = list(dict.fromkeys((min(i, widest), min(o, widest)) for i, o in shapes))[:3]
    kept = cache_folder("matmul", hash_values([machine, shapes])[:16] + ".json")
    if (route := _read(kept)) is not None:
        return route
    with use_route(default):
        route = replace(_probe(shapes), machine=machine)
    try:
        with disk_faults(kept), lock_beside(kept):
            # Another process may have measured meanwhile: two runs on one machine agree.
            if (theirs := _read(kept)) is not None:
                return theirs
            write_json(kept, asdict(route))
    except (AxolotlError, OSError) as error:
        note_once(f"the choice of a matmul route is not kept, and made anew by every run: {error}")
    return route


class RouteOfRun:
    """Puts the route of a run into its checkpoints; see `axolotl.training.checkpointing`."""

    def __init__(self, route: Route) -> None:
        self.route = route

    def save(self, checkpoint: Path, step: int) -> None:  # noqa: ARG002  (the same at every step)
        """Write it."""
        write_json(checkpoint / ROUTE_FILE, asdict(self.route))

    def load(self, checkpoint: Path) -> None:
        """Nothing: `choose_route` has read it."""


def _read(file: Path) -> Route | None:
    """The route kept in `file`; None where there is none that can be read."""
    try:
        return Route(**json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def use_route(route: Route) -> Iterator[None]:
    """Compute by this route while the body runs."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(route.setting)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def layer_shapes(model: torch.nn.Module) -> list[tuple[int, int]]:
    """(inputs, outputs) of the linear layers, the one with most work over the model first."""
    work: dict[tuple[int, int], int] = {}
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            shape = (module.in_features, module.out_features)
            work[shape] = work.get(shape, 0) + shape[0] * shape[1]
    return sorted(work, key=lambda shape: -work[shape])


def _probe(shapes: Sequence[tuple[int, int]]) -> Route:
    generator = torch.Generator().manual_seed(0)
    pairs = [
        (torch.randn(PROBE_TOKENS, i, generator=generator), torch.randn(o, i, generator=generator))
        for i, o in shapes
    ]
    exact = [(x.double() @ w.double().T) for x, w in pairs]
    seconds, errors = {}, {}
    for setting in SETTINGS:
        torch.set_float32_matmul_precision(setting)
        results = [torch.nn.functional.linear(x, w) for x, w in pairs]
        errors[setting] = max(
            float((got - want).norm() / want.norm())
            for got, want in zip(results, exact, strict=True)
        )
        seconds[setting] = min(_time(pairs) for _ in range(5))
    exact_enough = [s for s in SETTINGS if errors[s] <= MAX_RELATIVE_ERROR]
    best = min(exact_enough, key=lambda s: seconds[s], default="highest")
    gain = seconds["highest"] / seconds[best]
    if gain < MIN_GAIN:
        return Route("highest", 1.0, errors["highest"])
    return Route(best, round(gain, 2), errors[best])


def _time(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> float:
    start = time.perf_counter()
    for x, w in pairs:
        torch.nn.functional.linear(x, w)
    return time.perf_counter() - start


def _cpu() -> list[str]:
    """Name and instruction sets: virtual machines give one name to different processors."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return [platform.machine()]
    lines = info.read_text("utf-8", "replace").splitlines()
    wanted = ("model name", "flags", "Features")
    found = {line.partition("\t")[0]: line for line in lines if line.startswith(wanted)}
    return list(found.values()) or [platform.machine()]
