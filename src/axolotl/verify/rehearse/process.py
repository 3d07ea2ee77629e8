"""Stages as processes of their own, started from one that has the libraries loaded already.

Loading torch and transformers takes seconds; a process that is forked from one that has them takes
milliseconds, and is a real one: it has its own memory, its own files, and dies of a real SIGKILL. The
one that is forked from has never computed anything, so there are no threads for a fork to lose.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from axolotl.errors import AxolotlError, ConfigErrors

PATIENCE_SECONDS = 300
"""After so long a stage is given up; they take seconds."""
_JOBS = "axolotl.verify.rehearse.jobs"
_LOADED_FIRST = ["axolotl.verify.rehearse.loaded"]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a stage's process ended.

    Args:
        value: What it gave; None where it failed.
        what: What went wrong; empty where nothing did.
        where: The place of that.
        hint: The way out.
        mendable: Whether it is the user's to mend.
        seconds: How long it took.
    """

    value: Any
    what: str = ""
    where: str = ""
    hint: str = ""
    mendable: bool = False
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether something went wrong."""
        return bool(self.what)


class Workers:
    """Starts processes, one at a time, and ends what is left of them.

    Args:
        folder: Where what they print is written to.
        environment: Variables that they have besides those of this process.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_LOADED_FIRST)
        self._folder = folder
        self._environment = dict(environment)
        self._running: Any = None
        folder.mkdir(parents=True, exist_ok=True)
        with _here(folder / "libraries.txt", self._environment):
            forkserver.ensure_running()

    def run(self, name: str, body: str, *arguments: Any, kill: bool = False) -> Ended:
        """Run a function in a process of its own.

        Args:
            name: Of the stage, for the file with what it prints.
            body: Name of the function, which this process does not load.
            arguments: What it is given.
            kill: Kill it as soon as it says that it has come so far, by `come_so_far`; it is then
                given the means to say so as its last argument.

        Returns:
            What it gave. Of a killed one, the signal that it died of.
        """
        began = time.perf_counter()
        ours, theirs = self._context.Pipe()
        log = self._folder / f"{name}.txt"
        process = self._context.Process(
            target=_work, args=(theirs, log, self._environment, kill, body, arguments), daemon=True
        )
        self._running = process
        with _main_left_alone():
            process.start()
        theirs.close()
        try:
            ended = self._wait(process, ours, log)
        finally:
            self.end()
        value, *rest = ended
        return Ended(value, *rest, seconds=time.perf_counter() - began)

    def _wait(self, process: Any, ours: Connection, log: Path) -> tuple[Any, ...]:
        if not ours.poll(PATIENCE_SECONDS):
            return None, f"it was given up after {PATIENCE_SECONDS} s", str(log), ""
        try:
            kind, *said = ours.recv()
        except EOFError:
            process.join()
            how = _how_it_died(process.exitcode)
            return None, f"its process {how}", "", f"what it printed last: {last_line(log)}", False
        if kind == "so far":
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            return (-process.exitcode,)
        process.join()
        return (said[0],) if kind == "done" else (None, *said)

    def end(self) -> None:
        """Kill what still runs."""
        process, self._running = self._running, None
        if process is not None and process.is_alive():
            process.kill()
            process.join()


def come_so_far(connection: Connection) -> None:
    """Say that this process may be killed now, and wait for it."""
    connection.send(("so far",))
    time.sleep(PATIENCE_SECONDS)


def last_line(log: Path) -> str:
    """The last line that a stage has printed."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""


def _work(
    connection: Connection,
    log: Path,
    environment: Mapping[str, str],
    kill: bool,
    body: str,
    arguments: tuple[Any, ...],
) -> None:
    """What the new process does."""
    os.setsid()  # Ctrl-C is for the process that watches this one
    os.environ.update(environment)
    # What was loaded first may have looked for it, and found that of an earlier rehearsal.
    tempfile.tempdir = None
    with log.open("w", encoding="utf-8") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    if kill:
        arguments = (*arguments, connection)
    try:
        function = getattr(importlib.import_module(_JOBS), body)
        answer = ("done", function(*arguments))
    except AxolotlError as error:
        first = error.problems[0] if isinstance(error, ConfigErrors) else error
        answer = ("failed", first.what, first.where or "", first.hint or "", True)
        traceback.print_exc()
    except Exception as error:  # noqa: BLE001  told to the process that watches
        traceback.print_exc()
        said = str(error).strip().splitlines() or [""]
        what = f"{type(error).__name__}: {said[0]}"
        answer = ("failed", what, _last_place(error), "this is a bug in axolotl", False)
    sys.stdout.flush()
    sys.stderr.flush()
    connection.send(answer)


def _last_place(error: BaseException) -> str:
    """Where in the code of this package something went wrong."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if f"{os.sep}axolotl{os.sep}" in frame.filename]
    if not own:
        return ""
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}"


def _how_it_died(code: int | None) -> str:
    if code is not None and code < 0:
        return f"died of {signal.Signals(-code).name}"
    return f"ended with code {code} and said nothing"


@contextmanager
def _here(log: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """While the body runs, what is started prints into a file and has further variables.

    Libraries read some of these as they are loaded, and say things as they are that no user can mend.
    """
    before = {name: os.environ.get(name) for name in environment}
    kept = [os.dup(number) for number in (1, 2)]
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.environ.update(environment)
        with log.open("w", encoding="utf-8") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        yield
    finally:
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _main_left_alone() -> Iterator[None]:
    """A process is not given the script that this one runs: it needs nothing of it.

    Else a script of the user's that calls a rehearsal would be run anew in each of them.
    """
    main = sys.modules["__main__"]
    kept = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    for name in kept:
        setattr(main, name, None)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(main, name, value)
