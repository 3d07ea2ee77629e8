"""What is said of Python code that comes with a model, and from which revision it is taken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from axolotl.config.model import ModelSection
from axolotl.errors import ModelError
from axolotl.models.load import model_config
from axolotl.models.tokenizer import load_tokenizer

ELSEWHERE = "'other/code' run, as it is there now; model_revision does not pin it"
CODE = """
from transformers import PreTrainedTokenizerFast

class Own(PreTrainedTokenizerFast):
    where = "beside the weights"
"""


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def add(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | values), "utf-8")


def trusting(folder: Path) -> ModelSection:
    return ModelSection(base_model=str(folder), trust_remote_code=True)


def test_code_of_another_repository_is_named_before_it_is_run(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(model / "config.json", auto_map={"AutoConfig": "other/code--own.Own"}, model_type="own")
    with pytest.raises(ModelError):  # it is not to be had here
        model_config(trusting(model))
    assert ELSEWHERE in capsys.readouterr().err


@pytest.mark.parametrize(
    "named", [["other/code--own.Own", None], {"AutoTokenizer": [None, "other/code--own.Own"]}]
)
def test_so_is_that_of_a_tokenizer(
    model: Path, named: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    add(model / "tokenizer_config.json", auto_map=named)
    with pytest.raises(ModelError):
        load_tokenizer(trusting(model))
    assert ELSEWHERE in capsys.readouterr().err


def test_code_beside_the_weights_is_run_and_nothing_said_of_another_place(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "own.py").write_text(CODE)
    add(model / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "own.Own"]})
    tokenizer: Any = load_tokenizer(trusting(model))
    assert tokenizer.where == "beside the weights"
    model_config(trusting(model))
    assert "trust_remote_code" not in capsys.readouterr().err


def test_code_is_not_looked_at_where_it_is_not_to_be_run(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(model / "tokenizer_config.json", auto_map=["other/code--own.Own", None])
    load_tokenizer(ModelSection(base_model=str(model)))
    assert "other/code" not in capsys.readouterr().err
