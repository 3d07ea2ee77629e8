"""The quick start, cut short, and on its result the commands that people know from 2023, word for word.

The model and its data are the real ones; only the number of steps is another.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from axolotl.training.callbacks.metrics import read_metrics

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
FILE = "examples/quickstart/lora.yml"
OUT = "./runs/quickstart-lora"
MERGED = f"{OUT}/merged"
FEW = "--max_new_tokens=12"
# As a question it can be answered, and as plain text it can be gone on from.
PROMPT = "Write down the days of the week. Monday, Tuesday,"


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run it as a user would who has the tool's `.venv` before the path, and no GPU."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the quick start came to its end."""
    folder = tmp_path_factory.mktemp("quickstart")
    (folder / "examples").symlink_to(ROOT / "examples")
    done = shell(
        folder, "python examples/quickstart/run.py --max_steps 3 --warmup_steps 0 --val_set_size 4"
    )
    assert "held-out loss" in done.stdout + done.stderr
    (folder / "prompt.txt").write_text(f"{PROMPT}\n", "utf-8")
    return folder


def test_it_learns_and_merges(taught: Path) -> None:
    run = json.loads((taught / OUT / "run.json").read_text("utf-8"))
    trained = [x["loss"] for x in read_metrics(taught / OUT / "metrics.jsonl") if "loss" in x]
    assert trained[-1] < trained[0]
    assert run["final"]["eval_loss"] > 0
    assert (taught / OUT / "adapter_model.safetensors").exists()
    assert json.loads((taught / MERGED / "merge.json").read_text("utf-8"))


def ask(folder: Path, options: str) -> str:
    """The answer to the prompt from a pipe."""
    command = f"cat prompt.txt | python -m axolotl.cli.inference {FILE} {options} {FEW}"
    said = shell(folder, command).stdout
    assert said.strip()
    assert PROMPT not in said
    return said


def test_adapter_and_merged_model_give_the_same_answer(taught: Path) -> None:
    adapter = ask(taught, f'--lora_model_dir="{OUT}" --temperature=0')
    assert adapter == ask(taught, f'--base_model="{MERGED}" --temperature=0')


@pytest.mark.parametrize(
    "options",
    [
        f'--base_model="{MERGED}" --prompter=None --load_in_8bit=True',
        f'--lora_model_dir="{OUT}" --load_in_4bit=True',
    ],
    ids=["8bit, plain text", "4bit"],
)
def test_it_answers_in_fewer_bits(taught: Path, options: str) -> None:
    ask(taught, options)


def test_merging_by_the_old_words(taught: Path) -> None:
    before = (taught / MERGED / "model.safetensors").read_bytes()
    shell(
        taught,
        f'rm -r {MERGED} && CUDA_VISIBLE_DEVICES="" python3 -m axolotl.cli.merge_lora {FILE} '
        f'--lora_model_dir="{OUT}" --load_in_8bit=False --load_in_4bit=False',
    )
    assert (taught / MERGED / "model.safetensors").read_bytes() == before
