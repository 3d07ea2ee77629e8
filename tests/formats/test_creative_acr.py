from typing import Any

import pytest
import yaml

from axolotl.errors import DataError
from axolotl.formats import bind

SCORES = {"refusal": 9, "creativity": 4}
CRITIQUES = {"refusal": {"improvements": "none: it's fine", "explanation": "a\nb"}}
ROW = {
    "instruction": "Name a colour.",
    "answer": "Blue.",
    "scores": SCORES,
    "critiques": CRITIQUES,
    "revision": "Red.",
}


def test_scores_and_critiques_can_be_read_back() -> None:
    answer = bind("creative_acr.load_critique").segments(ROW)[1].text
    assert answer.index("creativity: 4") < answer.index("refusal: 9")
    cut = answer.index("refusal:\n")
    assert (yaml.safe_load(answer[:cut]), yaml.safe_load(answer[cut:])) == (SCORES, CRITIQUES)


def test_what_was_judged_stands_in_the_prompt_of_a_revision() -> None:
    judged = bind("creative_acr.load_critique").segments(ROW)[1].text
    prompt, answer = bind("creative_acr.load_revise").segments(ROW)
    assert f"Answer: Blue.\nEvaluation:\n{judged}\n\nASSISTANT:" in prompt.text
    assert answer.text == "Red."


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(depth):
        inner = {"a": inner}
    return inner


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ("refusal: 9", "'scores' is text"),
        ([9], "'scores' is a list, not an object"),
        (nested(5_000), "'scores' cannot be written as YAML"),
        ({"a": object()}, "'scores' cannot be written as YAML"),
    ],
    ids=["text", "list", "deep", "object"],
)
@pytest.mark.parametrize("variant", ["load_critique", "load_revise"])
def test_scores_that_are_none(variant: str, scores: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        bind(f"creative_acr.{variant}").segments(ROW | {"scores": scores})
    assert caught.value.hint


def test_a_plain_question_has_no_answer_to_judge() -> None:
    (part,) = bind("creative_acr.load_critique").prompt("Why?")
    assert part.text == "USER: Why?\nASSISTANT:"
