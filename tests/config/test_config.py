"""What holds for every option there is, also for those added later."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from axolotl.config import SECTIONS, options
from axolotl.config.later_names import INSTEAD, LATER
from axolotl.config.sources import DatasetSource
from axolotl.config.wording import describe

FOLDER = Path(__file__).resolve().parents[2] / "src" / "axolotl" / "config"
ENTRIES = {f"datasets.{key}": info for key, info in DatasetSource.model_fields.items()}
EVERYTHING = {**options(), **ENTRIES}


def test_a_key_belongs_to_one_section() -> None:
    counts = collections.Counter(key for s in SECTIONS.values() for key in s.model_fields)
    assert {key: n for key, n in counts.items() if n > 1} == {}
    assert len(options()) == sum(counts.values())


def test_a_section_is_a_file_of_its_name() -> None:
    for name, section in SECTIONS.items():
        assert (FOLDER / f"{name}.py").is_file(), name
        assert section.__name__ == f"{name.capitalize()}Section"


@pytest.mark.parametrize("key", EVERYTHING)
def test_an_option_has_a_sentence_and_a_type_with_a_name(key: str) -> None:
    info = EVERYTHING[key]
    assert info.description
    assert info.description.endswith(".")
    assert len(info.description.split()) >= 4
    assert describe(info.annotation)


@pytest.mark.parametrize("section", [*SECTIONS.values(), DatasetSource], ids=lambda s: s.__name__)
def test_a_section_refuses_unknown_keys_and_changes(section: type[BaseModel]) -> None:
    required: dict[str, Any] = {"base_model": "m", "datasets": [{"path": "d"}], "path": "d"}
    values = {key: required[key] for key in section.model_fields if key in required}
    made = section(**values)
    with pytest.raises(ValidationError, match="nonsense"):
        section(**values, nonsense=1)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(made, next(iter(section.model_fields)), "x")


def test_defaults_are_within_their_own_bounds() -> None:
    for section in SECTIONS.values():
        for key, info in section.model_fields.items():
            if not info.is_required() and info.default is not None:
                _revalidate(section, key, info)


def _revalidate(section: type[BaseModel], key: str, info: FieldInfo) -> None:
    required: dict[str, Any] = {"base_model": "m", "datasets": [{"path": "d"}]}
    values = {k: required[k] for k in section.model_fields if k in required}
    default = info.get_default(call_default_factory=True)
    assert getattr(section(**{**values, key: default}), key) == default


def test_a_supported_option_is_not_called_a_later_one() -> None:
    assert set(LATER) & set(EVERYTHING) == set()
    assert set(INSTEAD) <= set(LATER)
