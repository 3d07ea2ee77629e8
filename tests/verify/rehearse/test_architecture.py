"""Which architecture a file means, by its files, its class, its name or its switches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from axolotl.config import load_config
from axolotl.config.model import ModelSection
from axolotl.errors import ModelError
from axolotl.verify.rehearse.architecture import find_files, recognise


def model(**options: Any) -> ModelSection:
    return load_config({"base_model": "me/it", "datasets": [{"path": "d.jsonl"}]} | options).model


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("EleutherAI/pythia-12b-deduped", "gpt_neox"),
        ("EleutherAI/gpt-j-6b", "gptj"),
        ("cerebras/Cerebras-GPT-1.3B", "gpt2"),
        ("cerebras/btlm-3b-8k-base", "btlm"),
        ("replit/replit-code-v1-3b", "mpt"),
        ("Salesforce/xgen-7b-8k-base", "llama"),
        ("openlm-research/open_llama_3b_v2", "llama"),
        ("microsoft/Phi-3-mini-4k-instruct", "phi3"),
        ("google/gemma-2b", "gemma"),
        ("google/gemma-2-2b", "gemma2"),
        ("me/my-Qwen2.5-7B-tune", "qwen2"),
        ("pypi:p==1/x/SmolLM2-135M.gguf", "llama"),
    ],
)
def test_the_name_of_a_published_model_tells(name: str, expected: str) -> None:
    assert recognise(model(base_model=name), None) == (expected, "the name of the base model")


def test_what_tells_more_comes_first() -> None:
    known = model(base_model="x/llama-7b", model_type="GPTNeoXForCausalLM")
    assert recognise(known, None)[0] == "gpt_neox"
    assert recognise(known, {"model_type": "qwen2"})[0] == "qwen2"
    assert recognise(known, {"model_type": "qwen2"}, named="mpt")[0] == "mpt"
    assert recognise(model(model_type="LlamaForCausalLM"), None)[0] == "llama"
    assert recognise(model(is_falcon_derived_model=True), None)[0] == "falcon"


def test_an_unknown_type_of_remote_code_is_told_by_its_name() -> None:
    config = {"model_type": "something_of_its_own", "auto_map": {}}
    assert recognise(model(base_model="x/phi-1_5"), config)[0] == "phi"


def test_where_nothing_tells_the_way_out_is_said() -> None:
    with pytest.raises(ModelError, match="nothing says which architecture 'me/it' has") as caught:
        recognise(model(), None)
    assert "--architecture llama" in str(caught.value.hint)


def test_files_of_a_folder_and_of_the_hubs_cache_are_found(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_files(model(base_model=str(tiny_model)), tmp_path)
    assert found.config is not None
    assert (found.config["model_type"], found.tokenizer) == ("llama", tiny_model)
    cache = tmp_path / "hub"
    snapshot = cache / "models--me--it" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (cache / "models--me--it" / "refs").mkdir()
    (cache / "models--me--it" / "refs" / "main").write_text("abc")
    (snapshot / "config.json").write_text(json.dumps({"model_type": "mistral"}))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(cache), raising=False)
    found = find_files(model(), tmp_path)
    assert found.config == {"model_type": "mistral"}
    assert found.tokenizer is None


def test_an_adapter_folder_that_has_no_config_is_no_error_yet(tmp_path: Path) -> None:
    found = find_files(model(base_model=str(tmp_path)), tmp_path)
    assert (found.config, found.tokenizer) == (None, None)
