"""The model card says what was trained, on what, how well, and with which file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from axolotl.artifacts import model_card as cards
from axolotl.artifacts.model_card import CARD_FILE, model_card, write_card, write_gguf_card
from axolotl.config import load_config
from axolotl.models.rope_saved import POSITIONS_FILE
from axolotl.resolve import resolve

FINAL = {"steps": 1200, "trained_tokens": 34_567, "train_loss": 1.5, "eval_loss": None}
ALPACA = {"path": "tatsu-lab/alpaca", "type": "alpaca"}


def card_of(*, interrupted: bool = False, **options: Any) -> tuple[dict[str, Any], str]:
    """What the hub reads, and the text below."""
    given = {"base_model": "HuggingFaceTB/SmolLM2-135M", "datasets": [ALPACA], **options}
    resolved = resolve(load_config(given), purpose="answer")
    card = ModelCard(model_card(resolved, {"final": FINAL, "interrupted": interrupted}))
    data: Any = card.data
    return data.to_dict(), card.text


def test_what_the_hub_reads() -> None:
    data, _ = card_of(adapter="lora", lora_target_linear=True)
    assert data["base_model"] == "HuggingFaceTB/SmolLM2-135M"
    assert data["datasets"] == ["tatsu-lab/alpaca"]
    assert (data["library_name"], data["license"]) == ("peft", "unknown")
    assert {"axolotl", "lora"} <= {*data["tags"]}
    assert card_of()[0]["library_name"] == "transformers"
    data, text = card_of(adapter="lora", lora_target_linear=True, relora_steps=5)
    assert data["library_name"] == "transformers"
    assert {"lora", "relora"} <= {*data["tags"]}
    assert "ReLoRA (lora, merged into the model every 5 steps and at the end) of" in text


def test_places_of_this_machine_are_no_names_of_the_hub(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("")
    source = {"path": str(file), "type": "alpaca"}
    data, text = card_of(base_model=str(tmp_path), datasets=[source])
    assert not {"base_model", "datasets"} & data.keys()
    assert f"of `{tmp_path.name}`, on `rows.jsonl`." in text


def test_each_data_set_is_named_once() -> None:
    both = [ALPACA, {**ALPACA, "type": "alpaca_chat"}, {"path": "me/own", "type": "completion"}]
    assert card_of(datasets=both)[0]["datasets"] == ["tatsu-lab/alpaca", "me/own"]


def test_a_stream_is_named() -> None:
    data, _ = card_of(datasets=None, pretraining_dataset="me/texts", max_steps=5)
    assert data["datasets"] == ["me/texts"]


def test_what_people_read() -> None:
    _, text = card_of(hub_model_id="me/colours", learning_rate=2e-4)
    assert "# colours\n" in text
    assert "| steps | 1,200 |\n| trained tokens | 34,567 |\n| training loss | 1.5000 |" in text
    assert "held-out" not in text
    given = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    assert given["learning_rate"] == 2e-4
    assert "stopped before its last step" not in text
    assert "stopped before its last step" in card_of(interrupted=True)[1]


def test_what_other_programs_have_to_be_told(tmp_path: Path) -> None:
    scaling = {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}
    saved = {"rope_parameters": scaling, "max_position_embeddings": 8192, "xpos_rope": None}
    (tmp_path / POSITIONS_FILE).write_text(json.dumps(saved))
    given = {"base_model": "me/some", "datasets": [ALPACA]}
    asked = {"rope_scaling": {"type": "linear", "factor": 4}, "adapter": "lora"}
    record = {"final": FINAL, "interrupted": False}

    def text(**options: Any) -> str:
        write_card(tmp_path, resolve(load_config({**given, **options}), purpose="answer"), record)
        return (tmp_path / CARD_FILE).read_text("utf-8")

    shown = json.loads(text(**asked).split("```json\n")[1].split("```")[0])
    assert shown == {k: saved[k] for k in ("rope_parameters", "max_position_embeddings")}
    (tmp_path / POSITIONS_FILE).unlink()
    assert "base_config.json" not in text()
    assert "auto_map" not in text()
    assert "auto_map" in text(base_model="cerebras/btlm-3b-8k-base", adapter="lora")
    (tmp_path / "config.json").write_text('{"model_type": "btlm"}')
    assert "auto_map" in text()
    assert "auto_map" in card_of(base_model=str(tmp_path), adapter="lora")[1]


def test_no_password_is_told() -> None:
    source = {"path": "https://me:password@host/rows.jsonl?token=1", "type": "alpaca"}
    _, text = card_of(datasets=[source], mlflow_tracking_uri="https://me:password@server")
    assert "on `https://host/rows.jsonl`." in text
    assert "password" not in text
    assert "token=1" not in text


def test_a_merged_model_says_how_exact_the_merge_is() -> None:
    given = {"base_model": "HuggingFaceTB/SmolLM2-135M", "datasets": [ALPACA], "adapter": "lora"}
    resolved = resolve(load_config({**given, "lora_target_linear": True}), purpose="answer")
    difference = {"relative": 2.1e-3, "agreeing": 1200, "positions": 1210}
    merge = {"dtype": "bfloat16", "rows": "4 held-out rows", "difference": difference}
    record = {"final": FINAL, "interrupted": False}
    card = ModelCard(model_card(resolved, record, merge=merge))
    data: Any = card.data
    assert data.library_name == "transformers"
    assert "An adapter (lora), merged into the model, of" in card.text
    assert (
        "differ from those of base and adapter by at most 2.1e-03 of the largest one" in card.text
    )
    assert "1,200 of 1,210 positions" in card.text
    assert "| steps | 1,200 |" in card.text


def test_an_exported_model_takes_the_card_of_the_model(tmp_path: Path) -> None:
    source, out = tmp_path / "model", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    given = {"base_model": "HuggingFaceTB/SmolLM2-135M", "datasets": [ALPACA]}
    resolved = resolve(load_config(given), purpose="answer")
    write_card(source, resolved, {"final": FINAL, "interrupted": False})
    write_gguf_card(source, out / "m.gguf", kind="q8_0", difference=0.004)
    card = ModelCard.load(out / CARD_FILE)
    data: Any = card.data
    assert (data.library_name, data.base_model) == ("gguf", given["base_model"])
    assert {"axolotl", "gguf"} <= {*data.tags}
    assert "`m.gguf` holds the model as q8_0" in card.text
    assert "## Configuration" in card.text
    before = (source / CARD_FILE).read_text("utf-8")
    write_gguf_card(source, source / "m.gguf", kind="f16", difference=0)
    assert (source / CARD_FILE).read_text("utf-8") == before


@pytest.mark.parametrize(
    ("head", "tags"),
    [
        (b"tags:\n", ["gguf"]),
        (b"tags: mine\n", ["gguf"]),
        (b"license: mit\n", ["gguf"]),
        (b"tags: [a]\n", ["a", "gguf"]),
        (b"tags: [a\n", None),
        (b"only words\n", None),
        (b"name: \xff\n", None),
    ],
)
def test_a_card_of_another_hand_does_not_stop_an_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes, tags: list[str] | None
) -> None:
    said: list[str] = []
    monkeypatch.setattr(cards, "note", said.append)
    (tmp_path / CARD_FILE).write_bytes(b"---\n" + head + b"---\n# Mine\n")
    out = tmp_path / "gguf"
    out.mkdir()
    write_gguf_card(tmp_path, out / "m.gguf", kind="q8_0", difference=0.004)
    if tags is None:
        assert [*out.iterdir()] == []
        assert "m.gguf' has no card beside it" in said[0]
    else:
        data: Any = ModelCard.load(out / CARD_FILE).data
        assert (data.tags, said) == (tags, [])
