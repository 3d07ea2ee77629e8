"""`axolotl serve` as a program: where it listens, what it refuses, how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from openai import OpenAI

from axolotl.cli import serve
from axolotl.errors import EnvironmentFault
from axolotl.inference.hosts import is_loopback
from axolotl.inference.server.run import listen
from tests.conftest import build_llama


@pytest.fixture
def config(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AXOLOTL_API_KEY", raising=False)
    Path("rows.jsonl").write_text('{"instruction": "a", "output": "b"}\n' * 4)
    lines = [f"base_model: {tiny_model}", "datasets:", "  - {path: rows.jsonl, type: alpaca}"]
    Path("a.yml").write_text("\n".join([*lines, "output_dir: out"]))
    return "a.yml"


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_until_it_is_told_to_end(config: str, end: signal.Signals) -> None:
    long = build_llama(eos_token_id=500, max_position_embeddings=100_000)
    long.save_pretrained("long")
    command = [sys.executable, "-m", "axolotl.cli.serve", config, "--base", "--port", "0"]
    command += ["--base_model", "long", "--tokenizer_config", _base_model(config)]
    environment = {**os.environ, "AXOLOTL_API_KEY": "secret"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline()]
        while lines[-1] and "answers at" not in lines[-1]:
            lines.append(process.stderr.readline())
        found = re.search(r"'long' answers at (\S+), asked in the format alpaca", lines[-1])
        assert found, lines
        with OpenAI(base_url=found[1], api_key="secret", max_retries=0) as client:
            stream = client.chat.completions.create(
                model="long",
                messages=[{"role": "user", "content": "Name three colours."}],
                max_tokens=90_000,
                stream=True,
            )
            next(iter(stream))
            process.send_signal(end)
            rest = process.stderr.read()
            assert process.wait(30) == (0 if end is signal.SIGINT else -signal.SIGTERM)
    assert "Traceback" not in rest
    assert "secret" not in "".join(lines) + rest


def _base_model(config: str) -> str:
    return Path(config).read_text().splitlines()[0].partition(": ")[2]


def test_nobody_else_gets_in_without_a_key(config: str) -> None:
    result = CliRunner().invoke(serve.main, [config, "--base", "--host", "0.0.0.0"])
    assert result.exit_code == 2
    assert "AXOLOTL_API_KEY" in result.stderr
    assert "--without_key" in result.stderr
    assert CliRunner().invoke(serve.main, [config, "--base", "--merged"]).exit_code == 2


def test_a_port_that_is_taken_is_known_before_the_model_is_loaded(config: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(serve.main, [config, "--port", str(port)])
    assert result.exit_code == 2
    assert f"cannot listen on 127.0.0.1:{port}: " in result.stderr
    assert "--port" in result.stderr


def test_without_a_trained_model_it_ends_in_two(config: str) -> None:
    result = CliRunner().invoke(serve.main, [config, "--port", "0"])
    assert result.exit_code == 2
    assert "train first" in result.stderr


def test_loopback_is_told_from_other_addresses() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.1.2.3", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "", "192.0.2.1"]))
    with pytest.raises(EnvironmentFault, match="there is no address 'no-such-host'"):
        is_loopback("no-such-host")
    with pytest.raises(EnvironmentFault, match=r"cannot listen on 192\.0\.2\.1:0"):
        listen("192.0.2.1", 0)
