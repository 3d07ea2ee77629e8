import pytest

from axolotl.errors import ConfigError
from axolotl.formats import bind
from axolotl.records import Segment


@pytest.mark.parametrize(
    ("source_type", "field", "column"),
    [
        ("completion", None, "text"),
        ("completion", "body", "body"),
        ("completion:body", None, "body"),
        ("completion:body", "body", "body"),
    ],
)
def test_the_column_is_text_unless_named(source_type: str, field: str | None, column: str) -> None:
    bound = bind(source_type, settings={"field": field})
    assert bound.segments({column: "Some text."}) == [
        Segment("Some text.", train=True, bos=True, eos=True)
    ]


def test_train_on_inputs_has_nothing_to_say() -> None:
    assert (
        bind("completion", shared={"train_on_inputs": True}).identity()
        == bind("completion").identity()
    )


def test_two_names_for_the_column() -> None:
    with pytest.raises(ConfigError, match="'completion:a' and `field: b` disagree"):
        bind("completion:a", settings={"field": "b"})
