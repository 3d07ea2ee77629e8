import re
import xml.etree.ElementTree as ElementTree

import pytest

from axolotl.reports.histogram import histogram


def bars(svg: str) -> list[tuple[str, str]]:
    """Class and title of each bar."""
    root = ElementTree.fromstring(svg)
    return [(bar.get("class", ""), bar[0].text or "") for bar in root.iter("rect")]


def test_every_value_is_in_one_bar() -> None:
    found = bars(histogram([0, 9, 10, 11, 100], title="t", unit="tokens", bins=10))
    assert found == [
        ("", "0 to 10 tokens: 2 rows"),
        ("", "10 to 20 tokens: 2 rows"),
        ("", "90 to 100 tokens: 1 rows"),
    ]


def test_bars_behind_the_line_are_marked() -> None:
    svg = histogram(
        [10, 60, 99], title="t", unit="u", most=100, line=50, line_label="limit", bins=4
    )
    assert [kind for kind, _ in bars(svg)] == ["", "over", "over"]
    assert re.search(r'class="line" d="M130\.0', svg), "in the middle of 260"
    assert ">limit<" in svg


def test_the_axis_reaches_a_line_behind_all_values() -> None:
    assert "104 u" in histogram([10], title="t", unit="u", line=100)


@pytest.mark.parametrize("values", [[], [0]])
def test_nothing_to_show_is_no_error(values: list[float]) -> None:
    assert len(bars(histogram(values, title="t", unit="u"))) == len(values)


def test_words_cannot_become_markup() -> None:
    assert "<b>" not in histogram([1], title="<b>", unit="<b>", line=1, line_label="<b>")
