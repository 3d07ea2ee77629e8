"""The model card says what was trained, on what, how well, and with which file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from axolotl import api
from axolotl.artifacts import model_card as cards
from axolotl.artifacts.card_data import data_lines
from axolotl.artifacts.model_card import CARD_FILE, model_card, write_card, write_gguf_card
from axolotl.artifacts.places import without_folders
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


def data_of(options: dict[str, Any], *, packed: float | None = None) -> tuple[str, dict[str, Any]]:
    """The section on data, after a preparation; and the record that it was made of."""
    config = load_config({"base_model": "me/some", **options})
    record = {
        "data": json.loads(json.dumps(api.prepare(config).summary.as_dict(), default=str)),
        "plan": {"packing_efficiency": packed},
        "config": {"given": config.given(), "resolved": resolve(config).as_dict()},
    }
    return "\n".join(data_lines(record)), record


@pytest.fixture
def rows(tmp_path: Path, tiny_model: Path) -> dict[str, Any]:
    """Options of a preparation of one file: 20 rows, of which two cannot be trained."""
    lines = [{"instruction": f"Colour {n}?", "output": f"Red and {n}."} for n in range(18)]
    lines += [
        {"instruction": "Colour?", "output": ""},
        {"instruction": "Colour " * 99, "output": "x"},
    ]
    file = tmp_path / "home" / "own|rows.jsonl"
    file.parent.mkdir()
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return {
        "base_model": str(tiny_model),
        "datasets": [{"path": str(file), "type": "alpaca"}],
        "dataset_prepared_path": str(tmp_path / "store"),
        "sequence_len": 128,
        "sample_packing": True,
        "val_set_size": 3,
    }


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.replace("\\|", "¦").strip("|").split("|")]


def test_the_data_is_told_source_by_source(rows: dict[str, Any], tmp_path: Path) -> None:
    text, record = data_of(rows, packed=0.987)
    assert str(tmp_path) not in text
    (line,) = [line for line in text.splitlines() if "rows.jsonl" in line]
    source, kind, trained, held_out, left_out, tokens, digest = cells(line)
    assert (source, kind) == ("`own¦rows.jsonl`", "alpaca")
    kept = record["data"]["rows_kept"]
    assert (int(trained), int(held_out)) == (kept - 3, 3)
    for reason, count in record["data"]["dropped"].items():
        assert f"{count} {reason.partition(': ')[0]}" in left_out
    assert sum(record["data"]["dropped"].values()) == 20 - kept > 0
    assert 0 < int(tokens) < record["data"]["trained_tokens"]  # without those of held-out rows
    content = Path(rows["datasets"][0]["path"]).read_bytes()
    assert digest == f"`{hashlib.sha256(content).hexdigest()[:12]}`"
    assert "up to 128 tokens (`sequence_len`), and are packed" in text
    assert "filled to 98.7%" in text
    assert "and are not packed" in data_of({**rows, "sample_packing": False})[0]


def test_each_of_several_sources_has_its_figures(rows: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "home" / "tokens"
    folder.mkdir()
    tokens = [{"input_ids": [5, 6, 7 + n], "labels": [-100, 6, 7 + n]} for n in range(4)]
    for name in ("a", "b"):
        lines = "".join(f"{json.dumps(line)}\n" for line in tokens)
        (folder / f"{name}.jsonl").write_text(lines)
    tests = tmp_path / "home" / "tests.jsonl"
    tests.write_text(json.dumps({"instruction": "Which?", "output": "None."}))
    text, _ = data_of(
        {
            **rows,
            "datasets": [*rows["datasets"], {"path": str(folder)}],
            "test_datasets": [{"path": str(tests), "type": "alpaca"}],
            "val_set_size": 0,
        }
    )
    table = [cells(line) for line in text.splitlines() if line.startswith("| `")]
    assert [row[1] for row in table] == ["alpaca", "pretokenized", "alpaca"]
    assert [row[2:4] for row in table[1:]] == [["8", "0"], ["0", "1"]]
    assert table[0][3] == "0"
    assert table[1][0] == "`tokens (2 files)`"
    assert table[1][5] == "16"
    assert len(table[1][6].split()) == 2
    assert str(tmp_path) not in text


def test_what_rows_are_wrong_in_stays_here() -> None:
    """It may be words of the data."""
    bad = {"no 'output' beside 'a secret'": {"count": 2}, "'another' is no text": {"count": 1}}
    source = {"key": "datasets.0", "name": "/home/me/a.jsonl", "bad": bad, "dropped": {}}
    text = "\n".join(data_lines({"data": {"by_source": [source]}}))
    assert "| 3 cannot be used |" in text
    assert "secret" not in text
    assert "/home" not in text


def test_data_that_is_read_on_the_way_is_told(tmp_path: Path) -> None:
    given = {"pretraining_dataset": [{"path": str(tmp_path / "texts.jsonl")}]}
    data = {"streamed": True, "read": 5000, "dropped": {"empty": 3}, "truncated": 0, "eval_rows": 7}
    config = {"given": given, "resolved": {"sequence_len": 2048, "sample_packing": True}}
    text = "\n".join(data_lines({"data": data, "config": config}))
    assert "| `texts.jsonl` | completion |" in text
    assert "5,000 rows; left out: 3 empty; 7 rows to evaluate on" in text
    assert "up to 2,048 tokens" in text


def test_a_record_without_data_has_no_section() -> None:
    assert data_lines({"final": FINAL}) == []
    assert "## Data" not in card_of()[1]


def test_folders_of_this_machine_are_not_told(tmp_path: Path) -> None:
    source = {"path": str(tmp_path / "rows.jsonl"), "type": "alpaca"}
    options: dict[str, Any] = {
        "output_dir": str(tmp_path / "out"),
        "eval_sample_prompts": ["/no/place of mine"],
    }
    options["val_set_size"] = 0.1
    text = card_of(datasets=[source], base_model=str(tmp_path / "base"), **options)[1]
    assert str(tmp_path) not in text
    given = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    assert given["datasets"] == [{"path": "rows.jsonl", "type": "alpaca"}]
    assert (given["base_model"], given["output_dir"]) == ("base", "out")
    assert given["eval_sample_prompts"] == ["/no/place of mine"]


ELSEWHERE = (
    "../clients/acme/{}",
    "./clients/acme/{}",
    "/nosuchroot/acme/{}",
    "~/acme/{}",
    "file:///home/acme/{}",
    r"C:\Users\acme\{}",
    r"\\server\acme\{}",
)


@pytest.mark.parametrize("place", ELSEWHERE)
def test_folders_of_no_machine_are_told(place: str) -> None:
    """A merge may run where the places of the training are not, and a relative one tells as much."""
    source = {"path": place.format("rows.jsonl"), "type": "alpaca"}
    files = {"path": "json", "data_files": [place.format("*.csv")], "type": "alpaca"}
    options: dict[str, Any] = {
        "base_model": place.format("base"),
        "tokenizer_config": place.format("words"),
        "dataset_prepared_path": place.format("store"),
        "mlflow_tracking_uri": "sqlite:////home/acme/mlflow.db",
        "val_set_size": 0.1,
        "use_mlflow": True,
    }
    data, text = card_of(datasets=[source, files], **options)
    assert not {"base_model", "datasets"} & data.keys()
    assert "acme" not in text
    given = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    assert [entry["path"] for entry in given["datasets"]] == ["rows.jsonl", "json"]
    assert given["datasets"][1]["data_files"] == ["*.csv"]
    assert (given["base_model"], given["tokenizer_config"]) == ("base", "words")
    assert (given["dataset_prepared_path"], given["mlflow_tracking_uri"]) == ("store", "mlflow.db")


def test_what_is_no_place_of_a_machine_stays() -> None:
    given = {
        "base_model": "pypi:some==1.0/data/file.gguf",
        "tokenizer_config": "me/some.v1",
        "datasets": [
            {"path": "me/own", "data_files": ["data/train-*.parquet", "/home/me/x.parquet"]},
            {"path": "s3://bucket/deep/rows.jsonl"},
        ],
        "chat_template_jinja": "{{ a / b }}",
        "eval_sample_prompts": ["and/or", "C: is a drive"],
        "resume_from_checkpoint": True,
    }
    told = without_folders(given)
    assert told["datasets"][0].pop("data_files") == ["data/train-*.parquet", "x.parquet"]
    assert given["datasets"][0].pop("data_files")
    assert told == given
    assert without_folders({"eval_sample_prompts": "mine/p.txt"}) == {
        "eval_sample_prompts": "p.txt"
    }
    assert without_folders({"chat_template_jinja": "a/b.jinja"}) == {
        "chat_template_jinja": "b.jinja"
    }


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
