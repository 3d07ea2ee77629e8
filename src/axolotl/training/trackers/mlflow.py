"""MLflow: a server, a database or a folder; by default what MLflow itself chooses.

Only the client is used, so that a run of the caller's own, and its defaults, stay as they are.
"""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axolotl.config.tracking import TrackingSection
from axolotl.core.console import note
from axolotl.core.hub_reach import why_not_reached
from axolotl.core.optional import need
from axolotl.errors import EnvironmentFault
from axolotl.training.trackers._environment import Variables
from axolotl.training.trackers._kept import keep, kept
from axolotl.training.trackers._mlflow_place import (
    is_local,
    is_there,
    shown,
    whole,
)
from axolotl.training.trackers._run import Outcome, TrackedRun

_NAME = "mlflow"
_STATUS: Mapping[Outcome, str] = {"done": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
_VARIABLES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",  # a folder is written to only where one is named
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a server that is gone must not hold up a training
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_LONGEST = 500
"""Longest text of a parameter, by MLflow's oldest limit; the files of the configuration have all."""
_AT_ONCE = 100


def opened(options: TrackingSection) -> MLflow | None:
    """The tracker, where the file asks for it."""
    return MLflow(options) if options.use_mlflow else None


class MLflow:
    """Logs to MLflow.

    Args:
        options: The trackers' options.
    """

    option = "use_mlflow"

    def __init__(self, options: TrackingSection) -> None:
        self.options = options
        self._variables: Variables | None = None
        self._client: Any = None
        self._asked: str | None = None
        self._place = ""
        self._experiment = ""
        self._run_id: str | None = None
        self._last = -1

    def check(self) -> None:
        """Know the package, and the place and experiment where the user names a place.

        MLflow's own choice waits for `start`: a resume knows where the run was logged before.

        Raises:
            EnvironmentFault: the package is missing, or no connection to the server comes about.
        """
        self._variables = Variables("MLFLOW_", **_VARIABLES)
        need("mlflow", extra="mlflow", why="use_mlflow")
        uri = self.options.mlflow_tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        if uri and urlsplit(uri).scheme in ("http", "https") and (why := why_not_reached(uri)):
            raise EnvironmentFault(
                f"MLflow's server {uri} is not reached: {why}",
                where="mlflow_tracking_uri",
                hint="start it, or name a folder, such as `mlflow_tracking_uri: file:./mlruns`",
            )
        self._asked = uri
        with _quiet():
            from mlflow import get_tracking_uri

            if urlsplit(uri or get_tracking_uri()).scheme.partition("+")[0] in _DATABASES:
                need("sqlalchemy", extra="mlflow", why="MLflow's database")
        if uri:
            self._open(uri)

    def _open(self, uri: str) -> None:
        """The client of a place, and the experiment, found or made there."""
        with _quiet():
            from mlflow import MlflowClient

            uri = whole(uri)  # MLflow keeps what it has opened by the text
            self._place = shown(uri)
            self._client = MlflowClient(tracking_uri=uri)
            name = self.options.mlflow_experiment_name or os.environ.get(
                "MLFLOW_EXPERIMENT_NAME", "Default"
            )
            found = self._client.get_experiment_by_name(name)
            self._experiment = (
                found.experiment_id if found else self._client.create_experiment(name)
            )

    def start(self, run: TrackedRun) -> None:
        """Begin a run, or go on with the one of the checkpoint."""
        before = kept(run.output_dir, _NAME) if run.resumed else {}
        self._find_place(before)
        known, client = before.get("run_id"), self._client
        with _quiet():
            if not isinstance(known, str) or not self._goes_on(known):
                if known is not None:
                    note(f"mlflow: the run {known} is not in {self._place}; a new one is begun")
                made = client.create_run(
                    self._experiment,
                    run_name=self.options.mlflow_run_name,
                    tags={"mlflow.source.name": "axolotl train", "output_dir": str(run.output_dir)},
                )
                self._run_id = made.info.run_id
                self._log_parameters(run.resolved)
        asked = self._asked and shown(self._asked)
        keep(run.output_dir, _NAME, run_id=self._run_id, uri=self._place, asked=asked)
        note(f"mlflow: run {self._run_id} in {self._place}")
        for name, text in run.configuration.items():
            client.log_text(self._run_id, text, f"config/{name}")
        run.replay(self._last, lambda values, step: self.log(values, step=step))

    def _find_place(self, before: Mapping[str, Any]) -> None:
        """Open the place of the checkpoint's run where it is meant, also from another folder.

        MLflow's own choice, and a place named without its whole path, are other ones in each folder.
        """
        from mlflow import get_tracking_uri

        uri = self._asked or get_tracking_uri()
        place, asked = before.get("uri"), before.get("asked")
        same = asked == (self._asked and shown(self._asked))
        if isinstance(place, str) and same and is_local(place) and place != whole(uri):
            if is_there(place):
                self._open(place)
                return
            note(f"mlflow: {place}, where this run was logged, is not there any more")
        if self._client is None:
            self._open(uri)

    def _goes_on(self, run_id: str) -> bool:
        """Open the run of before again, and know its last step; False where it is gone."""
        from mlflow.exceptions import MlflowException

        client = self._client
        try:
            names = client.get_run(run_id).data.metrics
        except MlflowException:
            return False
        steps = [m.step for name in names for m in client.get_metric_history(run_id, name)]
        client.update_run(run_id, status="RUNNING")
        self._run_id, self._last = run_id, max(steps, default=-1)
        return True

    def _log_parameters(self, values: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        params = [
            Param(key, text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…")
            for key, value in values.items()
            if value is not None and (text := str(value))
        ]
        for first in range(0, len(params), _AT_ONCE):
            self._client.log_batch(self._run_id, params=params[first : first + _AT_ONCE])

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """One metric for each number."""
        from mlflow.entities import Metric

        if step > self._last:
            now = int(time.time() * 1000)
            metrics = [Metric(name, float(value), now, step) for name, value in values.items()]
            self._client.log_batch(self._run_id, metrics=metrics)

    def log_table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, step: int
    ) -> None:
        """The table as a file of the run's artifacts, in the shape that MLflow shows as one."""
        if step > self._last:
            content = {"columns": list(columns), "data": [list(row) for row in rows]}
            text = json.dumps(content, indent=2, ensure_ascii=False, default=str)
            self._client.log_text(self._run_id, text, f"tables/{title}-{step}.json")

    def log_weights(self, model: Any, *, step: int) -> None:
        """Nothing: no option asks for it."""

    def log_checkpoint(self, folder: Path, *, step: int) -> None:
        """The files of the checkpoint."""
        if self.options.hf_mlflow_log_artifacts and step > self._last:
            self._client.log_artifacts(self._run_id, str(folder), f"checkpoints/{folder.name}")

    def log_result(self, files: Sequence[Path]) -> None:
        """The files of the result."""
        if self.options.hf_mlflow_log_artifacts:
            for file in files:
                self._client.log_artifact(self._run_id, str(file), "result")

    def finish(self, outcome: Outcome) -> None:
        """End the run, and leave the process as it was."""
        run_id, self._run_id = self._run_id, None
        try:
            if run_id is not None:
                self._client.set_terminated(run_id, status=_STATUS[outcome])
        finally:
            if self._variables is not None:
                self._variables.put_back()


@contextmanager
def _quiet() -> Iterator[None]:
    """While the body runs, nothing is said of how MLflow makes its tables, nor of what it drops."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
