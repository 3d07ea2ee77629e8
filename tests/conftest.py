"""Fixtures shared by all tests: a tiny tokenizer and tiny models, built here and never fetched."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from axolotl.core.garbage import leave_loaded_alone
from tests.browser import MISSING, Page, chromium, find_chromium

# What a shell starts in the background ignores Ctrl-C, and so would what the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time; `--hypothesis-profile default` searches anew.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

SHORT_TEXTS = [
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.",
    "### Instruction:\nName three colours.\n\n### Response:\nRed, green and blue.",
    "The quick brown fox jumps over the lazy dog, 0123456789 times; is that so? Yes!",
]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    import sys

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


_MANY_MODULES = 100
"""So many newly loaded ones are a library."""
_modules_left_out = 0


@pytest.fixture(autouse=True)
def _libraries_are_no_garbage() -> None:
    """Libraries that were loaded since are left out of collections of garbage.

    Each training ends with one. Through all the objects of torch and transformers it takes about as
    long as the rest of a tiny training.
    """
    global _modules_left_out
    if len(sys.modules) >= _modules_left_out + _MANY_MODULES:
        leave_loaded_alone()
        _modules_left_out = len(sys.modules)


def build_tokenizer(*, bos: bool = False) -> Any:
    """A byte-level BPE tokenizer of about 400 tokens with `<s>`, `</s>` and `<pad>`.

    Args:
        bos: Whether encoding puts `<s>` in front, as Llama's tokenizer does.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        SHORT_TEXTS,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<pad>", "<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if bos:
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def build_llama(*, vocab: int = 512, seed: int = 0, **changes: Any) -> Any:
    """A random Llama: hidden 64, two layers, four heads on two key-value heads, fp32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    settings: dict[str, Any] = {
        "vocab_size": vocab,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    return LlamaForCausalLM(LlamaConfig(**(settings | changes))).eval()


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return build_tokenizer()


@pytest.fixture(scope="session")
def bos_tokenizer() -> Any:
    return build_tokenizer(bos=True)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random Llama and its tokenizer, to be read only."""
    folder = tmp_path_factory.mktemp("tiny") / "llama"
    build_llama().save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One tab of a real browser for all tests that look at pages; without a browser they are skipped."""
    program = find_chromium()
    if program is None and os.environ.get("CI"):
        pytest.fail(MISSING)
    if program is None:
        pytest.skip(MISSING)
    with chromium(program, tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture(scope="session")
def shots() -> Path:
    """Where the pictures of pages are put, to be looked at: `build/screenshots`, or another folder."""
    chosen = os.environ.get("AXOLOTL_SCREENSHOTS")
    folder = Path(chosen) if chosen else Path(__file__).parents[1] / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the support table and the pages come to."""
    file = Path(__file__).parents[1] / "docs" / "support.json"
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"].values()
    cells = Counter(cell["state"] for row in rows for cell in row["cells"].values())
    states = {"runs": "run", "needs": "need a GPU or a package", "refused": "are refused"}
    told = [f"{cells[state]} {words}" for state, words in states.items()]
    told += [f"{cells['fault']} do not work yet"] if cells["fault"] else []
    terminalreporter.write_line(f"cells of docs/support.md: {', '.join(told)}")
    terminalreporter.write_line(f"blocks of the README and docs/: {_blocks_of_pages()}")


def _blocks_of_pages() -> str:
    from tests.docs.blocks import RUN, blocks

    root = Path(__file__).parents[1]
    pages = [root / "README.md", *(root / "docs").rglob("*.md")]
    every = [block for page in pages for block in blocks(page) if block.language in RUN]
    left_out = sum(block.why_not is not None for block in every)
    return f"{len(every) - left_out} are run, {left_out} say why they cannot be"
