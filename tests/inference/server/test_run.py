"""How the server ends."""

from __future__ import annotations

from typing import Any

import pytest

from axolotl.inference.generate import Generator
from axolotl.inference.server import run
from axolotl.inference.server.worker import Worker
from tests.conftest import build_llama, build_tokenizer


def test_a_ctrl_c_before_the_first_request_can_come_is_no_bug(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run.Server, "run", interrupted)
    worker = Worker(Generator(build_llama(), build_tokenizer(), bound=None), most_waiting=1)
    app: Any = None
    with run.listen("127.0.0.1", 0) as listening:
        run.serve(app, worker, listening)
    assert worker.unanswered == 0
