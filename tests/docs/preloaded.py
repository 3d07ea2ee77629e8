"""A process that has loaded all libraries, and a copy of it for each command: seconds become tenths.

    python -m tests.docs.preloaded SOCKET

A command comes over the socket as JSON (`argv`, `cwd`, `env`) with the three standard files. The copy
runs it as the command line would, and sends its exit code back. `CLIENT` is the program to put in
the place of `axolotl` and `python`.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import runpy
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

from axolotl.registry import available

LISTENING = "DOCS_TEST_LISTENING"
"""Variable with options for a program that listens, which say where it does so in a test."""
CLIENT = """\
#!{python} -IS
import json, os, socket, sys
name = os.path.basename(sys.argv[0])
if name == "axolotl" and {{"serve", "--web", "--nproc"}} & set(sys.argv):
    # It becomes another program, or is to get signals: that needs a process of its own.
    here = os.environ.get("{listening}", "").split()
    os.execv({python!r}, [{python!r}, "-m", "axolotl.cli.main", *sys.argv[1:], *here])
with socket.socket(socket.AF_UNIX) as to:
    to.connect({socket!r})
    asked = {{"argv": [name, *sys.argv[1:]], "cwd": os.getcwd(), "env": dict(os.environ)}}
    socket.send_fds(to, [json.dumps(asked).encode() + b"\\0"], [0, 1, 2])
    answer = to.recv(16)
sys.exit(int(answer) if answer else 137)
"""
LOADED = (
    "accelerate",
    "axolotl.api",
    "axolotl.artifacts.merge",
    "axolotl.data.prepare",
    "axolotl.inference.chat",
    "axolotl.inference.opening",
    "axolotl.reports.preview",
    "axolotl.training.run",
    "axolotl.verify.packing",
    "datasets",
    "peft",
    "transformers.models.llama.modeling_llama",
    "transformers.trainer",
)
IF_THERE = ("deepspeed",)
"""accelerate loads it for every training where it is installed."""


def serve(place: str) -> None:
    """Answer until the process is ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # copies that have ended are forgotten
    commands = available("axolotl.cli")
    there = [name for name in IF_THERE if importlib.util.find_spec(name)]
    for name in (*LOADED, *there, *(f"axolotl.cli.{command}" for command in commands)):
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen()
        while True:
            caller, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _answer(caller)
            caller.close()


def _answer(caller: socket.socket) -> None:
    """Run one command in this copy of the process, and end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    data, files, _, _ = socket.recv_fds(caller, 1 << 20, 3)
    if not data:
        os._exit(0)  # somebody only looked whether there is an answer
    while not data.endswith(b"\0"):
        data += caller.recv(1 << 20)
    asked = json.loads(data[:-1])
    for standard, file in enumerate(files):
        os.dup2(file, standard)
        os.close(file)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    code = _code(asked["argv"])
    sys.stdout.flush()
    sys.stderr.flush()
    caller.sendall(str(code).encode())
    os._exit(code)


def _code(argv: list[str]) -> int:
    try:
        _run(argv)
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:  # noqa: BLE001  as the interpreter does
        traceback.print_exc()
        return 1
    return 0


def _run(argv: list[str]) -> None:
    if argv[0] == "axolotl":
        from axolotl.cli.main import main

        sys.argv = argv
        main(prog_name="axolotl")
        return
    match argv[1:]:
        case ["-m", module, *rest]:
            sys.argv = [module, *rest]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["-c", code, *rest]:
            sys.argv = ["-c", *rest]
            exec(compile(code, "<string>", "exec"), _main())
        case ["-", *rest]:
            sys.argv = ["-", *rest]
            exec(compile(sys.stdin.read(), "<stdin>", "exec"), _main())
        case [file, *rest]:
            sys.argv = [file, *rest]
            sys.path.insert(0, str(Path(file).resolve().parent))
            runpy.run_path(file, run_name="__main__")
        case _:
            raise SystemExit("python without anything to run")


def _main() -> dict[str, Any]:
    return {"__name__": "__main__"}


if __name__ == "__main__":
    serve(sys.argv[1])
