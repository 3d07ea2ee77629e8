"""Weights & Biases: online, or offline into `output_dir/wandb`.

Steps are the optimizer's steps. The service keeps one line for each and takes none twice, so after a
resume only those are sent that it lacks.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from axolotl.config.tracking import TrackingSection
from axolotl.core.console import note
from axolotl.core.hub_reach import why_not_reached
from axolotl.core.optional import need
from axolotl.core.units import bytes_in_words
from axolotl.errors import EnvironmentFault
from axolotl.training.trackers._environment import Variables
from axolotl.training.trackers._kept import keep, kept
from axolotl.training.trackers._run import Outcome, TrackedRun
from axolotl.training.trackers._wandb_file import last_step

_NAME = "wandb"
_EXIT_CODES: Mapping[Outcome, int] = {"done": 0, "failed": 1, "interrupted": 255}
"""What the service makes `finished`, `failed` and, as after Ctrl-C, `killed` of."""
_FLUSH_SECONDS = 1.0
_PATIENCE_SECONDS = 3600.0
"""How long the end of a run waits for models to be sent; for the rest, a tenth."""
_BARS = 64


def opened(options: TrackingSection) -> Wandb | None:
    """The tracker, where the file names a project and does not say `disabled`."""
    mode = _mode(options)
    return None if mode == "disabled" or not options.wandb_project else Wandb(options, mode)


def _mode(options: TrackingSection) -> str:
    """`online`, `offline` or `disabled`: as the file says, else as the library's variables do."""
    if options.wandb_mode:
        return options.wandb_mode
    said = os.environ.get("WANDB_MODE", "")
    if said == "disabled" or os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1"):
        note("wandb: nothing is logged there, the environment disables it")
        return "disabled"
    return "offline" if said in ("offline", "dryrun") else "online"


class Wandb:
    """Logs to Weights & Biases.

    Args:
        options: The trackers' options.
        mode: `online` or `offline`.
    """

    option = "wandb_project"

    def __init__(self, options: TrackingSection, mode: str) -> None:
        self.options = options
        self.mode = mode
        self._variables: Variables | None = None
        self._library: Any = None
        self._run: Any = None
        self._last = -1
        self._space_said = False

    def check(self) -> None:
        """Know the package, and online the login; nobody is asked for a key.

        Raises:
            EnvironmentFault: the package or the key is missing, the service is not reached, or
                refuses the key.
        """
        self._variables = Variables("WANDB_", WANDB_SILENT="true", WANDB_ERROR_REPORTING="false")
        self._library = need("wandb", extra="wandb", why="wandb_project")
        if self.mode == "offline":
            return
        server = self._library.setup().settings.base_url
        if why := why_not_reached(server):
            raise EnvironmentFault(
                f"wandb's server {server} is not reached: {why}",
                where=self.option,
                hint="write `wandb_mode: offline`, and send the run later with `wandb sync`",
            )
        hint = "log in with `wandb login`, set WANDB_API_KEY, or write `wandb_mode: offline`"
        try:
            known = self._library.login(verify=True, prompt=False)
        except self._library.errors.AuthenticationError as error:
            raise EnvironmentFault(
                f"wandb: {str(error).strip().splitlines()[0]}", where=self.option, hint=hint
            ) from error
        if not known:
            raise EnvironmentFault(
                "wandb needs a key of the service, and there is none",
                where=self.option,
                hint=hint,
            )

    def start(self, run: TrackedRun) -> None:
        """Begin a run, or go on with the one of the checkpoint."""
        options, before = self.options, kept(run.output_dir, _NAME) if run.resumed else {}
        number = options.wandb_run_id or before.get("id") or secrets.token_hex(4)
        os.environ.setdefault("WANDB_DATA_DIR", str(run.output_dir.resolve() / "wandb"))
        self._run = self._library.init(
            project=options.wandb_project,
            entity=options.wandb_entity,
            id=number,
            name=options.wandb_name or options.wandb_run_id,
            dir=os.environ.get("WANDB_DIR") or str(run.output_dir.resolve()),
            mode=self.mode,
            resume="allow",
            reinit="create_new",  # a run of the caller's own stays
            config={**run.resolved, "plan": dict(run.plan)},
            settings=self._library.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                save_code=False,
                x_transaction_log_flush_interval=_FLUSH_SECONDS,
                finish_timeout=_PATIENCE_SECONDS if self._logs_models else _PATIENCE_SECONDS / 10,
                finish_timeout_raises=True,
            ),
        )
        self._last = self._last_step(before if before.get("id") == number else {})
        keep(run.output_dir, _NAME, id=number, folder=str(self._run.settings.sync_dir))
        if self.mode == "online":
            note(f"wandb: {self._run.url}")
        self._log_configuration(run)
        run.replay(self._last, lambda values, step: self.log(values, step=step))

    def _last_step(self, before: Mapping[str, Any]) -> int:
        """The last step that the run has there already; -1 for a new one."""
        if self._run.resumed:
            return self._run.starting_step - 1
        folder = before.get("folder")
        return last_step(Path(folder)) if self.mode == "offline" and folder else -1

    def _log_configuration(self, run: TrackedRun) -> None:
        """The files as the artifact `axolotl-config`; that is not worth ending a run for."""
        try:
            artifact = self._library.Artifact("axolotl-config", type="config")
            for name, text in run.configuration.items():
                with artifact.new_file(name) as file:
                    file.write(text)
            self._run.log_artifact(artifact)
        except (OSError, ValueError, self._library.Error) as error:
            note(f"wandb: the configuration is not kept as an artifact: {error}")

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """A part of the line of that step."""
        if step > self._last:
            self._run.log(dict(values), step=step)

    def log_table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, step: int
    ) -> None:
        """The table."""
        if step > self._last:
            data = [list(row) for row in rows]
            table = self._library.Table(columns=list(columns), data=data, allow_mixed_types=True)
            self._run.log({title: table}, step=step)

    def log_weights(self, model: Any, *, step: int) -> None:
        """Histograms of what is trained, in place of the package's `watch`.

        That one sees the gradients of single rows, and an error of it would end the training.
        """
        what = self.options.wandb_watch
        if step <= self._last or what in (None, False, "false"):
            return
        spread: dict[str, Any] = {}
        for name, weight in model.named_parameters():
            if what != "parameters" and weight.grad is not None:
                spread[f"gradients/{name}"] = self._histogram(weight.grad)
            if what in ("parameters", "all") and weight.requires_grad:
                spread[f"parameters/{name}"] = self._histogram(weight)
        self._run.log(spread, step=step)

    def _histogram(self, tensor: Any) -> Any:
        return self._library.Histogram(np_histogram=histogram(tensor))

    def log_checkpoint(self, folder: Path, *, step: int) -> None:
        """The checkpoint as a version of the artifact `model-ID`."""
        if self.options.wandb_log_model == "checkpoint" and step > self._last:
            files = sorted(folder.iterdir())
            self._say_space(files)
            self._log_model(files, f"step-{step}")

    def _say_space(self, files: Sequence[Path]) -> None:
        """Say once that the copies of an offline run stay, and how large they are."""
        if self.mode != "offline" or self._space_said:
            return
        self._space_said = True
        size = sum(file.stat().st_size for file in files)
        place = Path(os.environ["WANDB_DATA_DIR"]) / "artifacts" / "staging"
        note(
            f"wandb: offline, so a copy of each checkpoint, {bytes_in_words(size)}, stays in {place} "
            "until it is sent and removed by hand; save_total_limit does not limit these"
        )

    @property
    def _logs_models(self) -> bool:
        return self.options.wandb_log_model not in (None, False, "false")

    def log_result(self, files: Sequence[Path]) -> None:
        """The result as a version of the artifact `model-ID`."""
        if self._logs_models:
            self._log_model(files, "result")

    def _log_model(self, files: Sequence[Path], alias: str) -> None:
        artifact = self._library.Artifact(f"model-{self._run.id}", type="model")
        for file in files:
            artifact.add_file(str(file), skip_cache=True)  # a copy: checkpoints are removed
        self._run.log_artifact(artifact, aliases=["latest", alias])

    def finish(self, outcome: Outcome) -> None:
        """Send what is left, and leave the process as it was.

        Raises:
            TimeoutError: it cannot be sent.
        """
        run, self._run = self._run, None
        try:
            if run is not None:
                run.finish(exit_code=_EXIT_CODES[outcome])
                if self.mode == "offline":
                    note(f"wandb: offline; send it with: wandb sync {_folders(run)}")
        finally:
            if self._variables is not None:
                self._variables.put_back()


def _folders(run: Any) -> str:
    """The folders of an offline run: one for each of its starts."""
    parent = Path(run.settings.sync_dir).parent
    files = sorted(parent.glob(f"offline-run-*/run-{run.id}.wandb"))
    return " ".join(str(file.parent) for file in files)


def histogram(tensor: torch.Tensor) -> tuple[list[float], list[float]]:
    """How many of the values of a tensor lie in each of some steps, and the borders of these.

    >>> counts, borders = histogram(torch.tensor([0.0, 0.0, 64.0]))
    >>> counts[0], counts[-1], len(counts), borders[:2], borders[-1]
    (2.0, 1.0, 64, [0.0, 1.0], 64.0)
    """
    values = tensor.detach().float().flatten()
    values = values[torch.isfinite(values)]
    if not values.numel():
        return [0.0] * _BARS, [float(n) for n in range(_BARS + 1)]
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts = torch.histc(values, _BARS, low, high)
    return counts.tolist(), torch.linspace(low, high, _BARS + 1).tolist()
