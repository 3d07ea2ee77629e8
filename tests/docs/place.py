"""Where the commands of the pages are run: scratch folders with data, a hub's cache, and programs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tests.conftest import build_llama, build_tokenizer
from tests.docs.preloaded import CLIENT, LISTENING

ROOT = Path(__file__).resolve().parents[2]
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The model that pages name; a tiny random one lies in its place in the hub's cache."""
_COMMIT = "0" * 40
_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MY = f"""\
base_model: {MODEL}
datasets:
  - path: my.jsonl
    type: alpaca
val_set_size: 8
sequence_len: 256
sample_packing: true
adapter: lora
lora_r: 4
lora_target_linear: true
learning_rate: 0.001
output_dir: runs/my
"""
"""What pages call `my.yml`."""
_COLOURS = ["red", "green", "blue", "yellow", "black", "white", "brown"]
_MAKE = f"""\
#!/bin/sh
# What `make` would do in the repository is looked up, and not done.
exec /usr/bin/make --no-print-directory -n -C {ROOT} "$@" >/dev/null
"""
_PIP = f"""\
#!/bin/sh
# What is to be installed is looked up, and not installed.
exec {sys.executable} {Path(__file__).with_name("pip_words.py")} {ROOT}/pyproject.toml "$@"
"""
_HERE = {"serve": "--host 127.0.0.1 --port 0", "web": "--host 127.0.0.1"}
"""Where something listens in a test, whatever its page says; the web page takes the next free port itself."""
_SECONDS = 400
"""How long a block may take at most."""


@dataclass(frozen=True, slots=True)
class Place:
    """What all pages share.

    Args:
        programs: Folder of the programs that stand first in the path.
        home: Folder of caches.
        source: Folder of the code, if it is not the repository's own.
    """

    programs: Path
    home: Path
    source: Path | None = None

    def with_copy(self, folder: Path) -> Place:
        """The same place with a copy of the repository in a folder, which the programs take."""
        for name in ("src", "tests", "docs"):
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, folder)
        programs = folder / ".programs"
        programs.mkdir()
        for name, words in {"axolotl": "-m axolotl.cli.main", "python": "", "python3": ""}.items():
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n', "utf-8")
            program.chmod(0o755)
        return replace(self, programs=programs, source=folder / "src")

    def environment(self) -> dict[str, str]:
        """The variables of a shell here."""
        kept = {"LANG": "C.UTF-8", "TMPDIR": str(self.home), "OMP_NUM_THREADS": "1"}
        if self.source:
            kept |= {"PYTHONPATH": str(self.source), "PYTHONDONTWRITEBYTECODE": "1"}
        return {
            **kept,
            "PATH": f"{self.programs}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "HF_HOME": str(self.home / "hf"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "NO_COLOR": "1",
        }

    def shell(self, script: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a script in a folder, with a question typed in; both outputs are kept in their order."""
        return subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env=self.environment(),
            input="Name a colour.\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    @contextmanager
    def running(self, script: str, folder: Path) -> Iterator[int]:
        """Have a script run that serves something until Ctrl-C; the body begins when it answers.

        Whatever the page says, it listens to this machine alone: only a test asks it.

        Yields:
            Its port: with `axolotl serve` one that is free, as the page's may be taken.
        """
        log = folder / "running.log"
        with log.open("wb") as out:
            child = subprocess.Popen(
                ["/bin/bash", "-euo", "pipefail", "-c", script],
                cwd=folder,
                env=self.environment()
                | {LISTENING: _HERE["serve" if " serve " in script else "web"]},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # What a shell starts in the background has it ignored, and hands that on.
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            )
        try:
            yield _port_of(child, log)
            os.killpg(child.pid, signal.SIGINT)
            assert child.wait(_SECONDS) in (0, 130), log.read_text("utf-8")
            assert "this is a bug in axolotl" not in log.read_text("utf-8")
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def _port_of(child: subprocess.Popen[bytes], log: Path) -> int:
    """Wait until what a program says it listens on can be reached."""
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        told = log.read_text("utf-8")
        assert child.poll() is None, told
        if found := re.search(r"http://([\d.]+):(\d+)", told):
            assert found[1] == "127.0.0.1", f"others than this machine can ask it: {told}"
            with socket.socket() as attempt:
                if attempt.connect_ex((found[1], int(found[2]))) == 0:
                    return int(found[2])
        time.sleep(0.1)
    raise AssertionError(f"nothing is served: {log.read_text('utf-8')}")


@contextmanager
def opened_place(folder: Path) -> Iterator[Place]:
    """Build the place, with the process that runs its commands."""
    place = Place(folder / "programs", folder / "home")
    _write_model(place.home / "hf" / "hub")
    place.programs.mkdir()
    address = str(folder / "socket")
    client = CLIENT.format(python=sys.executable, socket=address, listening=LISTENING)
    programs = dict.fromkeys(("axolotl", "python", "python3"), client)
    programs |= {"make": _MAKE, "pip": _PIP}
    for name, text in programs.items():
        program = place.programs / name
        program.write_text(text, "utf-8")
        program.chmod(0o755)
    environment = place.environment()
    log = folder / "preloaded.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.docs.preloaded", address],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(address, server, log)
        yield place
    finally:
        server.kill()
        server.wait()


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text("utf-8")
        with socket.socket(socket.AF_UNIX) as attempt:
            try:
                attempt.connect(address)
            except OSError:
                time.sleep(0.1)
                continue
            return
    raise AssertionError(f"it does not answer: {log.read_text('utf-8')}")


def furnish(folder: Path) -> None:
    """Put into an empty folder what pages take for granted: own data, the examples, a .venv."""
    rows = [{"instruction": f"Colour {i}?", "input": "", "output": _words(i)} for i in range(1, 49)]
    _write(folder / "my.jsonl", rows)
    (folder / "my.yml").write_text(MY, "utf-8")
    chats = [
        {
            "messages": [
                {"role": "user", "content": row["instruction"]},
                {"role": "assistant", "content": row["output"]},
            ]
        }
        for row in rows
    ]
    _write(folder / "chats.jsonl", chats)
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / "constraints.txt").symlink_to(ROOT / "constraints.txt")
    activate = folder / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.touch()


def copy_result(made: Path, folder: Path) -> None:
    """Lay a trained run beside what is in the folder already."""
    for name in ("first.yml", "runs", "last_run_prepared"):
        if (made / name).is_dir():
            shutil.copytree(made / name, folder / name)
        else:
            shutil.copy(made / name, folder / name)


def _words(number: int) -> str:
    return " ".join(_COLOURS[(number * k) % 7] for k in range(1, 2 + number % 9))


def _write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")


def _write_model(cache: Path) -> None:
    repository = cache / f"models--{MODEL.replace('/', '--')}"
    snapshot = repository / "snapshots" / _COMMIT
    tokenizer = build_tokenizer()
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>"})
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.chat_template = _CHATML
    tokenizer.save_pretrained(snapshot)
    model = build_llama(max_position_embeddings=8192, eos_token_id=tokenizer.eos_token_id)
    model.save_pretrained(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(_COMMIT, "utf-8")


os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
