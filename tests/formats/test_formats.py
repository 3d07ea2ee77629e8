"""The contract of a format file, asserted for every file there is."""

import pytest

from axolotl.errors import ConfigError, DataError, UnknownName
from axolotl.formats import bind
from axolotl.registry import available, load

NAMES = available("axolotl.formats")


def test_the_formats_that_are_there() -> None:
    assert {"alpaca", "completion"} <= set(NAMES)
    assert not [name for name in NAMES if name.startswith("_")]


@pytest.mark.parametrize("name", NAMES)
def test_a_format_keeps_the_contract(name: str) -> None:
    module = load("axolotl.formats", name)
    bound = bind(name)
    assert module.LONG_ROWS in ("drop", "split")
    assert module.SUFFIX is None or module.SUFFIX in module.Options.model_fields
    assert module.Options.model_config == {"frozen": True, "extra": "forbid"}
    row = dict.fromkeys(bound.fields, "some text")
    parts = bound.segments(row)
    assert any(part.train for part in parts)
    assert parts[-1].eos
    assert not any(part.train or part.eos for part in bound.prompt("a question"))
    for field in bound.fields:
        with pytest.raises(DataError, match=f"no field '{field}'"):
            bound.segments({k: v for k, v in row.items() if k != field})
        with pytest.raises(DataError, match=f"'{field}' is a number \\(5\\), not text"):
            bound.segments(row | {field: 5})
        with pytest.raises(DataError, match=f"'{field}' is null"):
            bound.segments(row | {field: None})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("alpca", "did you mean 'alpaca'"),
        ("alpaca:chta", "alpaca has no style 'chta'[^$]*did you mean alpaca:chat"),
        ("alpaca:", "'alpaca:' is no format"),
        ("alpaca.load_x", r"'alpaca\.load_x' is no format[^$]*alpaca:load_x"),
        ("_fields", "formats has no '_fields'"),
    ],
)
def test_an_unknown_type_names_the_nearest(wrong: str, message: str) -> None:
    with pytest.raises(UnknownName, match=message) as caught:
        bind(wrong, where="a.yml:3")
    assert str(caught.value).startswith("a.yml:3: ")


def test_a_setting_that_the_format_does_not_have() -> None:
    with pytest.raises(ConfigError, match="'alpaca' has no setting 'field'"):
        bind("alpaca", settings={"field": "body"})
    assert bind("alpaca", settings={"field": None}).fields == ("instruction", "output")


def test_identity_follows_options_and_text() -> None:
    plain = bind("alpaca").identity()
    assert plain == bind("alpaca:instruct").identity()
    assert plain != bind("alpaca:chat").identity()
    assert plain != bind("alpaca", shared={"train_on_inputs": True}).identity()
    assert len(plain["source"]) == 64
