"""A process that knows a fake hub alone: the hub's libraries read where it is when they are imported.

It is told what to do on its standard input, a JSON object a line, and answers in the same way.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.fake_hub import FakeHub

ROOT = Path(__file__).resolve().parents[2]


class HubClient:
    """The process, as its parent sees it; a context manager.

    Args:
        hub: The hub that it knows.
        home: Its home; also holds what it says on standard error.
        token: Whether it is logged in.
    """

    def __init__(self, hub: FakeHub, home: Path, *, token: bool = True) -> None:
        self._home = home
        self._environment = hub.environment(home, token=token)
        self._said = 0

    def __enter__(self) -> HubClient:
        self._home.mkdir(parents=True, exist_ok=True)
        self._errors = (self._home / "stderr").open("w", encoding="utf-8")
        source = Path(sys.modules["axolotl"].__file__ or "").parents[1]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.data.hub_client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={
                **self._environment,
                "PYTHONPATH": f"{source}{os.pathsep}{ROOT}",
                "COLUMNS": "200",
            },
            cwd=self._home,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()

    def ask(self, what: str, **arguments: Any) -> Any:
        """Have it done; an error comes back as `{"error": …}`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([what, arguments]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def interrupt(self) -> None:
        """What Ctrl-C sends."""
        self._process.send_signal(signal.SIGINT)

    def said(self) -> str:
        """What it has written on standard error since the last call."""
        text = (self._home / "stderr").read_text("utf-8")
        new, self._said = text[self._said :], len(text)
        return new


def find(path: str, **options: Any) -> Any:
    """Labels, texts and identities of the sources of an entry."""
    from axolotl.data.sources import find_sources

    return [
        [
            source.label,
            [row["text"] for chunk in source.chunks() for row in chunk.rows],  # pyright: ignore[reportIndexIssue]
            source.identity(),
        ]
        for source in find_sources(path, key="datasets.0.path", **options)
    ]


def prepare(options: dict[str, Any], tokenizer: str) -> Any:
    """What is prepared of a configuration."""
    from transformers import PreTrainedTokenizerFast

    from axolotl.config.load import load_config
    from axolotl.data.prepare import prepare

    words = PreTrainedTokenizerFast.from_pretrained(tokenizer)
    prepared = prepare(load_config({"base_model": "m", **options}), tokenizer=words)
    rows = [prepared.train[i].input_ids.tolist() for i in range(len(prepared.train))]
    return {"key": prepared.summary.key, "cached": prepared.summary.from_cache, "rows": rows}


def train(**options: Any) -> Any:
    """What a training says of itself."""
    from axolotl import api

    result = api.train(options)
    return {"steps": result.steps, "interrupted": result.interrupted}


def load(path: str, name: str | None = None) -> Any:
    """The rows that the `datasets` library reads."""
    import datasets

    table = datasets.load_dataset(path, name)["train"]
    return {"columns": table.column_names, "rows": table["input_ids"][:]}


def _serve() -> None:
    for line in sys.stdin:
        what, arguments = json.loads(line)
        try:
            answer = {"find": find, "prepare": prepare, "load": load, "train": train}[what](
                **arguments
            )
        except Exception as error:  # noqa: BLE001  said to the parent
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
