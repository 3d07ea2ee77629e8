"""Checkpoints and the result on the hub, in a private repository.

Checkpoints are sent while the training goes on. Their files are linked aside first, so that one that
is removed meanwhile is sent whole. A checkpoint that cannot be sent is said once; a result that cannot
be sent is an error, told when everything is safe on the disk.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from axolotl.config.hub import HubSection
from axolotl.core.console import note
from axolotl.core.hub_reach import why_not_reached
from axolotl.data.hub import hub_faults, hub_reason
from axolotl.errors import EnvironmentFault

MODEL_FILES = (
    *("model*.safetensors", "model.safetensors.index.json", "adapter_model*.safetensors"),
    *("config.json", "generation_config.json", "adapter_config.json"),
    "base_config.json",
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
    *("vocab.json", "merges.txt", "spiece.model"),
)
"""What of a checkpoint is the model; the rest is for going on with the training."""
_WEIGHTS = MODEL_FILES[:3]
_WHERE = "hub_model_id"
_STAGED = ".hub"
_LAST = "last-checkpoint"


@contextmanager
def sending(options: HubSection, output_dir: Path) -> Iterator[HubUploads | None]:
    """What is sent to the hub while the body prepares and trains; None where nothing is.

    Args:
        options: The hub's options.
        output_dir: The run's folder.

    Raises:
        EnvironmentFault: the repository cannot be written to; before anything is loaded.
    """
    if not options.hub_model_id or os.environ.get("RANK", "0") != "0":
        yield None
        return
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    bars = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        uploads = HubUploads(_repository(options.hub_model_id), options.hub_strategy, output_dir)
        try:
            yield uploads
        finally:
            uploads.close()
    finally:
        if bars:
            enable_progress_bars()


def _repository(name: str) -> str:
    """Find or make the repository.

    Returns:
        Its name with the owner.

    Raises:
        EnvironmentFault: there is no token, no connection, no permission, or it is public.
    """
    from huggingface_hub import HfApi, constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise EnvironmentFault(
            f"HF_HUB_OFFLINE is set, so nothing can be sent to '{name}'",
            where=_WHERE,
            hint="unset it, or leave hub_model_id out",
        )
    if get_token() is None:
        raise EnvironmentFault(
            f"'{name}' can only be written to with a token of the hub, and there is none",
            where=_WHERE,
            hint="log in with `hf auth login`, or set HF_TOKEN; its role must be `write`",
        )
    if why := why_not_reached(constants.ENDPOINT):
        raise EnvironmentFault(
            f"{constants.ENDPOINT} is not reached: {why}",
            where=_WHERE,
            hint="train without hub_model_id, and send the result later with `hf upload`",
        )
    api = HfApi(token=True)
    try:
        found = api.create_repo(name, private=True, exist_ok=True).repo_id
        public = not api.model_info(found).private
    except hub_faults() as error:
        raise EnvironmentFault(
            f"'{name}' cannot be made or written to: {hub_reason(error)}",
            where=_WHERE,
            hint="is the owner right, and has the token the role `write`?",
        ) from error
    if public:
        raise EnvironmentFault(
            f"'{found}' is public, and checkpoints are sent to private repositories only",
            where=_WHERE,
            hint="make it private in its settings, or name another",
        )
    return found


@dataclass(frozen=True)
class _Waiting:
    """A checkpoint that is to be sent, with its files linked aside."""

    name: str
    folder: Path


class HubUploads(TrainerCallback):
    """Sends checkpoints one after the other, beside the training.

    Args:
        repository: Where to, with the owner.
        strategy: `hub_strategy`.
        output_dir: The run's folder.
    """

    def __init__(self, repository: str, strategy: str, output_dir: Path) -> None:
        self.repository = repository
        self.strategy = strategy
        self.output_dir = output_dir
        self.not_sent: list[str] = []
        """Checkpoints that should be on the hub and are not."""
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._busy = self._closed = False
        self._said = False
        self._worker: threading.Thread | None = None
        shutil.rmtree(output_dir / _STAGED, ignore_errors=True)  # of a run that was killed

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Line a checkpoint up; one that waits still gives way to it, unless all are to be sent."""
        if self.strategy == "end" or not state.is_world_process_zero:
            return
        checkpoint = self.output_dir / f"checkpoint-{state.global_step}"
        try:
            staged = _linked(checkpoint, self.output_dir / _STAGED / checkpoint.name)
        except OSError as error:
            self._failed(checkpoint.name, error)
            return
        with self._changed:
            if self.strategy != "all_checkpoints":
                self._drop()
            self._waiting.append(_Waiting(checkpoint.name, staged))
            self._changed.notify_all()
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name="hub uploads", daemon=True)
            self._worker.start()

    def send_result(self, files: Sequence[str]) -> None:
        """Wait for the checkpoints, and send the result.

        Args:
            files: Names in the run's folder.

        Raises:
            EnvironmentFault: it cannot be sent.
        """
        if self.strategy == "every_save":
            with self._changed:
                self._drop()  # the result stands in the same place
        self.wait()
        try:
            self._upload(self.output_dir, "The result", files=files, stale=_WEIGHTS)
        except Exception as error:  # the libraries raise of all kinds
            raise EnvironmentFault(
                f"the result is not on the hub: {_reason(error)}",
                where=_WHERE,
                hint=f"it is whole in {self.output_dir}; send it with: hf upload --private "
                f"{self.repository} {self.output_dir} . --exclude '*/*'",
            ) from error
        if self.not_sent:
            note(f"hub: {self.repository} has the result, but not {', '.join(self.not_sent)}")
        else:
            note(f"hub: the result is sent to {self.repository}")

    def wait(self) -> None:
        """Wait until all that is lined up is sent, or has failed."""
        with self._changed:
            if self._busy or self._waiting:
                names = ", ".join(item.name for item in self._waiting) or "a checkpoint"
                note(f"hub: {names} is still being sent to {self.repository}")
            self._changed.wait_for(lambda: not self._busy and not self._waiting)

    def close(self) -> None:
        """Send nothing more."""
        with self._changed:
            left = [item.name for item in self._waiting]
            self._drop()
            self._closed = True
            self._changed.notify_all()
        if left:
            note(f"hub: not sent to {self.repository}: {', '.join(left)}")
        if not self._busy:
            shutil.rmtree(self.output_dir / _STAGED, ignore_errors=True)

    def _drop(self) -> None:
        while self._waiting:
            shutil.rmtree(self._waiting.popleft().folder, ignore_errors=True)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._waiting)
                if self._closed:
                    return
                item = self._waiting.popleft()
                self._busy = True
            try:
                self._send(item)
            except Exception as error:  # noqa: BLE001  whatever the libraries raise: the training goes on
                self._failed(item.name, error)
            finally:
                shutil.rmtree(item.folder, ignore_errors=True)
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _send(self, item: _Waiting) -> None:
        if self.strategy in ("checkpoint", "all_checkpoints"):
            inside = _LAST if self.strategy == "checkpoint" else item.name
            self._upload(item.folder, f"{item.name}, whole", inside=inside, stale=["*"])
        self._upload(item.folder, f"The model of {item.name}", files=MODEL_FILES)

    def _upload(
        self,
        folder: Path,
        message: str,
        *,
        inside: str | None = None,
        files: Sequence[str] | None = None,
        stale: Sequence[str] | None = None,
    ) -> None:
        from huggingface_hub import HfApi

        HfApi(token=True).upload_folder(
            repo_id=self.repository,
            folder_path=folder,
            path_in_repo=inside,
            commit_message=message,
            allow_patterns=None if files is None else list(files),
            delete_patterns=None if stale is None else list(stale),
        )

    def _failed(self, name: str, error: Exception) -> None:
        self.not_sent.append(name)
        if not self._said:
            self._said = True
            note(
                f"hub: {name} cannot be sent to {self.repository}: {_reason(error)}; the training "
                "goes on, and later ones are tried"
            )


def _linked(source: Path, target: Path) -> Path:
    """The same files once more under another name, without their bytes where the disk can do that."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for file in source.rglob("*"):
        place = target / file.relative_to(source)
        if file.is_dir():
            place.mkdir(exist_ok=True)
            continue
        try:
            os.link(file, place)
        except OSError:
            shutil.copy2(file, place)
    return target


def _reason(error: Exception) -> str:
    return hub_reason(error).rstrip(".") if str(error).strip() else type(error).__name__
