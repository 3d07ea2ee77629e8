"""What no text can hold is taken out, and what no terminal should get is written as a code."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from axolotl.config.characters import printable, refuse_characters
from axolotl.config.tree import Branch, Leaf, Row


def test_what_cannot_be_text_is_left_unset_and_told() -> None:
    tree = Branch("f")
    tree.items = {
        "a": Leaf("x\0", "f:1"),
        "b\ud800": Leaf("x", "f:2"),
        "c": Row("f:3", [Leaf("é😀\x1b", "f:3"), Leaf("\udcff", "f:4"), Leaf(3, "f:5")]),
        "k" * 201: Leaf("x", "f:6"),
        "k" * 200: Leaf("x", "f:7"),
    }
    found = refuse_characters(tree)
    assert [(problem.where, problem.key) for problem in found] == [
        ("f:1", "a"),
        ("f:2", r"b\ud800"),
        ("f:4", "c.1"),
        ("f:6", "k" * 40),
    ]
    assert list(tree.items) == ["a", "c", "k" * 200]
    assert tree.items["a"] == Leaf(None, "f:1")
    row = tree.items["c"]
    assert isinstance(row, Row)
    assert [leaf.value for leaf in row.items if isinstance(leaf, Leaf)] == ["é😀\x1b", None, 3]


@given(st.text(st.characters(exclude_categories=()), max_size=50))
def test_a_message_can_be_printed(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    shown.encode()
    assert shown == text or not text.isprintable()


def test_a_message_has_a_bounded_length() -> None:
    assert printable("x" * 10_000) == "x" * 60 + "…"
    assert len(printable("word " * 10_000)) < 2010
    assert printable("word " * 10) == "word " * 10
