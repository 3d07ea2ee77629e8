"""What makes prepared data be made again, and what does not, as a user would change it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from axolotl import api

Change = Callable[[dict[str, Any]], None]

CHAT = [
    {"conversations": [{"from": "human", "value": f"{i}?"}, {"from": "gpt", "value": f"{i}!"}]}
    for i in range(9)
]
ROWS = [{"instruction": f"Name {i} colours.", "output": f"Red and {i} more."} for i in range(9)]
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}</s>\n{% endfor %}"


@pytest.fixture
def config(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Conversations, rows in a template of the file's own, and a model that may be changed."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model, "model")
    for name, rows in (("chat.jsonl", CHAT), ("rows.jsonl", ROWS)):
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    Path("own.jinja").write_text(TEMPLATE, "utf-8")
    own = {"field_instruction": "instruction", "field_output": "output", "format": "{instruction}"}
    return {
        "base_model": "model",
        "datasets": [
            {"path": "chat.jsonl", "type": "sharegpt", "conversation": "chatml"},
            {"path": "rows.jsonl", "type": own},
            {"path": "chat.jsonl", "type": "chat_template", "chat_template_jinja": "own.jinja"},
        ],
        "sequence_len": 256,
        "micro_batch_size": 1,
        "num_epochs": 1,
        "learning_rate": 0.001,
    }


def one_byte(config: dict[str, Any]) -> None:
    file = Path(config["datasets"][0]["path"])
    content = bytearray(file.read_bytes())
    content[content.index(b"5!")] ^= 1
    file.write_bytes(content)


def one_character_of_the_template(config: dict[str, Any]) -> None:
    config["datasets"][1]["type"]["format"] += "."


def one_character_of_the_template_file(_config: dict[str, Any]) -> None:
    Path("own.jinja").write_text(TEMPLATE.replace("</s>", ".</s>"), "utf-8")


def another_chat_template(config: dict[str, Any]) -> None:
    config["datasets"][0]["conversation"] = "vicuna_v1.1"


def the_tokenizer_file(_config: dict[str, Any]) -> None:
    file = Path("model/tokenizer.json")
    content = json.loads(file.read_text("utf-8"))
    content["model"]["merges"].pop()
    file.write_text(json.dumps(content), "utf-8")


def option(**options: Any) -> Change:
    return lambda config: config.update(options)


@pytest.mark.parametrize(
    "change",
    [
        one_byte,
        one_character_of_the_template,
        one_character_of_the_template_file,
        another_chat_template,
        the_tokenizer_file,
        option(tokens=["<colour>"]),
        option(sequence_len=255),
        option(train_on_inputs=True),
        option(excess_length_strategy="truncate"),
        option(min_sample_len=2),
    ],
)
def test_what_changes_rows_makes_them_again(change: Change, config: dict[str, Any]) -> None:
    first = api.prepare(config).summary
    assert api.prepare(config).summary.from_cache
    change(config)
    second = api.prepare(config).summary
    assert not second.from_cache
    assert second.key != first.key
    assert sorted(
        f.name for f in Path("last_run_prepared").iterdir() if f.name[0] != "."
    ) == sorted([first.key, second.key])


@pytest.mark.parametrize(
    "change",
    [
        option(learning_rate=0.5),
        option(num_epochs=7),
        option(micro_batch_size=2),
        option(output_dir="elsewhere"),
        option(val_set_size=2),
        option(seed=11),
        option(skip_bad_rows=3),
    ],
)
def test_what_changes_no_rows_finds_them(change: Change, config: dict[str, Any]) -> None:
    first = api.prepare(config).summary
    change(config)
    second = api.prepare(config).summary
    assert second.from_cache
    assert second.folder == first.folder
