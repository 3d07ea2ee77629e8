"""What was trained is found again, or the message says what is there instead."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from axolotl.artifacts.trained import Trained, find_full, find_trained, plain_attention
from axolotl.config.adapter import AdapterSection
from axolotl.config.model import ModelSection
from axolotl.core import console
from axolotl.errors import ModelError

LORA, FULL = AdapterSection(adapter="lora"), AdapterSection()


@pytest.fixture
def model(tiny_model: Path) -> ModelSection:
    return ModelSection(base_model=str(tiny_model), tokens=["<tool>"])


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes, in the order they were said."""
    lines: list[str] = []
    monkeypatch.setattr(console, "note", lines.append)
    monkeypatch.setattr(console, "_said", set())
    return lines


def test_an_adapter_comes_with_its_tokenizer_and_its_run(
    model: ModelSection, adapter: Path, said: list[str]
) -> None:
    found = find_trained(model, LORA, output_dir=adapter)
    assert found.adapter == adapter
    assert found.model.base_model == model.base_model
    assert found.model.tokenizer_config == str(adapter)
    assert found.model.tokens == [], "the saved tokenizer has the tokens it was trained with"
    assert found.run is not None
    assert found.run["format"] == found.format == {"type": "alpaca"}
    assert said == []


def test_lora_model_dir_goes_before_output_dir_and_says_so(
    model: ModelSection, adapter: Path, tmp_path: Path, said: list[str]
) -> None:
    other = tmp_path / "other"
    adapter.rename(other)
    there = AdapterSection(adapter="lora", lora_model_dir=str(other))
    assert find_trained(model, there, output_dir=adapter).adapter == other
    assert said == []
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    assert find_trained(model, there, output_dir=adapter).adapter == other
    assert "holds another one" in said[0]


def test_a_full_model_is_loaded_from_the_folder_itself(tiny_model: Path, tmp_path: Path) -> None:
    base = ModelSection(base_model="not/there", model_revision="v1", base_model_config="x")
    found = find_trained(base, FULL, output_dir=tiny_model)
    assert found.adapter is None
    assert found.model.base_model == found.model.tokenizer_config == str(tiny_model)
    tokenizer = found.tokenizer()
    assert found.open(dtype=torch.bfloat16, tokenizer=tokenizer).dtype == torch.bfloat16


def test_a_run_that_did_not_finish_is_said(
    model: ModelSection, adapter: Path, said: list[str]
) -> None:
    (adapter / "run.json").write_text('{"interrupted": true}')
    find_trained(model, LORA, output_dir=adapter)
    (adapter / "run.json").unlink()
    find_trained(model, LORA, output_dir=adapter)
    assert "stopped before its last step" in said[0]
    assert "has no run.json" in said[1]


def test_the_message_says_what_is_there_instead(
    model: ModelSection, adapter: Path, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="train first"):
        find_trained(model, LORA, output_dir=tmp_path / "nowhere")
    with pytest.raises(ModelError, match="set `adapter: lora`"):
        find_trained(model, FULL, output_dir=adapter)
    with pytest.raises(ModelError, match="that is the base model itself"):
        find_trained(model, LORA, output_dir=tiny_model)
    with pytest.raises(ModelError, match="no trained model"):
        find_full(model, tmp_path)
    stopped = tmp_path / "stopped"
    for step in (5, 20):
        (stopped / f"checkpoint-{step}").mkdir(parents=True)
        (stopped / f"checkpoint-{step}" / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"--lora_model_dir \S*checkpoint-20"):
        find_trained(model, LORA, output_dir=stopped)


def test_an_adapter_is_put_on_the_base(
    model: ModelSection, adapter: Path, tiny_model: Path
) -> None:
    ids = torch.arange(5, 15)[None]
    found = find_trained(model, LORA, output_dir=adapter)
    tokenizer: Any = found.tokenizer()
    adapted = found.open(dtype=torch.float32, tokenizer=tokenizer)
    base = Trained(ModelSection(base_model=str(tiny_model)))
    plain = base.open(dtype=torch.float32, tokenizer=tokenizer)
    assert not adapted.training
    with torch.no_grad():
        assert (adapted(ids).logits - plain(ids).logits).abs().max() > 0.01


def test_answers_use_sdpa_where_the_model_has_it(tmp_path: Path, tiny_model: Path) -> None:
    from transformers import Gemma2Config

    assert plain_attention(ModelSection(base_model=str(tiny_model))) == "sdpa"
    Gemma2Config(attn_logit_softcapping=50.0).save_pretrained(tmp_path)
    assert plain_attention(ModelSection(base_model=str(tmp_path))) == "eager"


def test_a_folder_where_no_run_has_begun_is_not_called_unfinished(
    model: ModelSection, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match="no run has begun there: train first"):
        find_trained(model, LORA, output_dir=tmp_path)
    (tmp_path / "metrics.jsonl").touch()
    with pytest.raises(ModelError, match="the run did not finish"):
        find_trained(model, LORA, output_dir=tmp_path)


def test_a_record_that_cannot_be_read_is_refused(
    model: ModelSection, tiny_model: Path, tmp_path: Path
) -> None:
    merged = tmp_path / "merged"
    shutil.copytree(tiny_model, merged)
    (merged / "merge.json").write_text("{")
    with pytest.raises(ModelError, match=r"merge\.json' cannot be read"):
        find_full(model, merged)
