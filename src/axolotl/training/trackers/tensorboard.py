"""TensorBoard: event files in `output_dir/runs`, one folder for each start that begins anew."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from axolotl.config.tracking import TrackingSection
from axolotl.core.optional import need
from axolotl.training.trackers._kept import keep, kept
from axolotl.training.trackers._run import Outcome, TrackedRun

_NAME = "tensorboard"


def opened(options: TrackingSection) -> TensorBoard | None:
    """The tracker, where the file asks for it."""
    return TensorBoard() if options.use_tensorboard else None


class TensorBoard:
    """Writes event files."""

    option = "use_tensorboard"

    def __init__(self) -> None:
        self._writer: Any = None

    def check(self) -> None:
        """Know the package."""
        need("tensorboard", extra="tensorboard", why="use_tensorboard")

    def start(self, run: TrackedRun) -> None:
        """Begin a folder, or go on in the one of the checkpoint, without what came after it."""
        from torch.utils.tensorboard import SummaryWriter

        name = kept(run.output_dir, _NAME).get("folder") if run.resumed else None
        place = run.output_dir / name if isinstance(name, str) else None
        goes_on = place is not None and place.is_dir()
        if place is None or not goes_on:
            place = _new_folder(run.output_dir / "runs")
            keep(run.output_dir, _NAME, folder=str(place.relative_to(run.output_dir)))
        last = max((line["step"] for line in run.lines), default=0)
        self._writer = SummaryWriter(str(place), purge_step=last + 1 if goes_on else None)
        if not goes_on:
            for title, text in run.configuration.items():
                self._writer.add_text(f"config/{title}", f"```yaml\n{text}```")
            run.replay(-1, lambda values, step: self.log(values, step=step))

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """One scalar for each number."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def log_table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, step: int
    ) -> None:
        """The table as text."""
        lines = [columns, ["---"] * len(columns), *rows]
        text = "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)
        self._writer.add_text(title, text, step)

    def log_weights(self, model: Any, *, step: int) -> None:
        """Nothing: no option asks for it."""

    def log_checkpoint(self, folder: Path, *, step: int) -> None:
        """Have on the disk what the checkpoint has behind it."""
        self._writer.flush()

    def log_result(self, files: Sequence[Path]) -> None:
        """Nothing: event files hold no models."""

    def finish(self, outcome: Outcome) -> None:
        """Close the file; it has no place for how the run ended."""
        if self._writer is not None:
            self._writer.close()


def _new_folder(parent: Path) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    names = (f"{stamp}-{count}" if count else stamp for count in range(1000))
    return next(parent / name for name in names if not (parent / name).exists())


def _cell(value: object) -> str:
    """A value as a cell of a table in Markdown."""
    return str(value).replace("|", "\\|").replace("\n", "<br>")
