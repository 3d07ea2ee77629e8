"""No process of a launcher outlives it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from axolotl.cli._exit import LOST

DEAF = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) == 1:
    child = subprocess.Popen([sys.executable, __file__, "child"])
print("started", file=sys.stderr, flush=True)
time.sleep(120)
"""
LAUNCHER = """
import subprocess, sys, time
from pathlib import Path
from axolotl.cli.launch import agent
from axolotl.core.last_word import leave_word
agent._ENDS_AFTER_PROCESS_S = 0.1
with agent._heeding_last_word(Path(sys.argv[1])):
    for own, more in ((True, []), (False, ["child"])):
        words = [sys.executable, sys.argv[2], *more]
        child = subprocess.Popen(words, start_new_session=own, stderr=subprocess.PIPE, text=True)
        for _ in range(1 if more else 2):
            assert child.stderr.readline() == "started\\n"
    leave_word("rank 0 (process 7 on far) is gone", machine=False)
    time.sleep(120)
"""
TWICE = """
import signal, subprocess, sys, time
from pathlib import Path
from axolotl.cli.launch.twice import ending_at_second_signal
signal.signal(signal.SIGTERM, lambda *_: print("told", file=sys.stderr, flush=True))
with ending_at_second_signal(Path(sys.argv[1])):
    words = [sys.executable, sys.argv[2], "child"]
    child = subprocess.Popen(words, start_new_session=True, stderr=subprocess.PIPE, text=True)
    assert child.stderr.readline() == "started\\n"
    print("started", file=sys.stderr, flush=True)
    child.wait()
"""
PROC = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")


@PROC
def test_a_launcher_that_ends_leaves_no_process_that_hangs(tmp_path: Path) -> None:
    """Neither one that ignores SIGTERM, in a session of its own or not, nor what that has started."""
    (tmp_path / "deaf.py").write_text(DEAF)
    words = [sys.executable, "-c", LAUNCHER, str(tmp_path / "logs"), str(tmp_path / "deaf.py")]
    # All of them hold the output open: it ends when the last one has.
    run = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == LOST, run.stderr
    assert "rank 0 (process 7 on far) is gone" in run.stderr


@PROC
@pytest.mark.parametrize(
    ("number", "answers", "code"),
    [(signal.SIGTERM, ["started", "told"], 143), (signal.SIGINT, ["started"], 130)],
    ids=["the second", "Ctrl-C before torchrun listens"],
)
def test_a_signal_ends_a_launcher_and_what_it_waits_for(
    tmp_path: Path, number: signal.Signals, answers: list[str], code: int
) -> None:
    (tmp_path / "deaf.py").write_text(DEAF)
    (folder := tmp_path / "word").mkdir()
    words = [sys.executable, "-c", TWICE, str(folder), str(tmp_path / "deaf.py")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        for said in answers:
            assert run.stderr.readline() == f"{said}\n"
            run.send_signal(number)
        *_, last = run.communicate(timeout=60)[1].splitlines()  # it ends when the child has, too
    assert (run.returncode, last) == (code, "interrupted")
    assert not folder.exists()
