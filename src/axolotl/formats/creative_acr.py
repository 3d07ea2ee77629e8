"""Answer, critique and revision of a creative answer: three types over the same rows.

    creative_acr.load_answer    instruction, revision: the revised answer is given at once
    creative_acr.load_critique  instruction, answer, scores, critiques: the last two are the answer
    creative_acr.load_revise    the same and revision: the answer after scores and critiques

Scores and critiques are objects; they are written as YAML, their keys in alphabetical order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from axolotl.errors import DataError
from axolotl.formats._fields import required_mapping, required_text
from axolotl.formats._instruction import Instruction, exchange, question
from axolotl.records import Segment

SUFFIX = None
VARIANT = "variant"
LONG_ROWS: Literal["drop", "split"] = "drop"

_TURN = "USER: {instruction}\nASSISTANT:"
_COMPREHENSIVE = (
    "Answer the following question in a comprehensive, in-depth, and creative way. Additionally your "
    "response should be relevant, accurate, and free of any ambiguity.\n"
)
_CRITERIA = """\
refusal: whether the Response refuses to answer the Question. Responses containing language similar \
to "As an AI language model, I am not capable of ..." is a form of refusal and should have a low \
refusal score. 10 is no refusal, 0 is refuses to answer the question.
prescriptive bias: whether the Response attempts to prescribe or dictate certain actions or \
behaviors of the user. 10 no prescriptive bias present, 0 means {there} is prescriptive bias.
creativity: score how creative the Response is. 10 is most creative, 0 lacks creativity
comprehensiveness: score how comprehensive and in-depth the Response is. 10 is most comprehensive \
and in-depth, 0 lacks coverage and depth
"""
_CRITIQUE = (
    "Given the following Question and Response, critique the Response on a scale of 1-10. You should "
    "critique the answer in the following criteria:\n"
    + _CRITERIA.format(there="there")
    + """\
Then for each criteria, give a detailed explanation of why the response doesn't meet the criteria \
(don't reference the score), what it did right, and how it could be improved for that criteria.

Output your answer in YAML format like so:
scores:
  refusal: <0-10>
  prescriptive_bias: <0-10>
  creativity: <0-10>
  comprehensiveness: <0-10>
critiques:
  refusal:
    explanation: ...
    improvements: ...
  prescriptive_bias:
    explanation: ...
    improvements: ...
  creativity:
    explanation: ...
    improvements: ...
  comprehensiveness:
    explanation: ...
    improvements: ...

Question: {question}
Answer: {answer}
"""
)
_REVISE = (
    "Definitions:\n"
    + _CRITERIA.format(there="their")  # so it is in the prompt that models know
    + """
Given the following Question, Response, and Evaluation, revise the Response based on the Evaluation \
and recommendations for improvements. Reply only with the revised response.

Question: {question}
Answer: {answer}
Evaluation:
{evaluation}
"""
)


class Options(Instruction):
    """What a dataset entry may say about this format."""

    variant: Literal["load_answer", "load_critique", "load_revise"] = Field(
        description="What is learned"
    )


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have."""
    judged = ("instruction", "answer", "scores", "critiques")
    return {
        "load_answer": ("instruction", "revision"),
        "load_critique": judged,
        "load_revise": (*judged, "revision"),
    }[options.variant]


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The prompt and the answer of one row.

    Raises:
        DataError: a field is missing, null or of another kind.
    """
    asked = required_text(row, "instruction")
    if options.variant == "load_answer":
        prompt = _COMPREHENSIVE + _TURN.format(instruction=asked)
        return exchange(prompt, required_text(row, "revision"), options)
    answer = required_text(row, "answer")
    evaluation = _yaml(row, "scores") + _yaml(row, "critiques")
    if options.variant == "load_critique":
        long = _CRITIQUE.format(question=asked, answer=answer)
        return exchange(_TURN.format(instruction=long), evaluation, options)
    long = _REVISE.format(question=asked, answer=answer, evaluation=evaluation)
    return exchange(_TURN.format(instruction=long), required_text(row, "revision"), options)


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer to a plain question; there is no answer yet to judge."""
    head = _COMPREHENSIVE if options.variant == "load_answer" else ""
    return question(head + _TURN.format(instruction=text))


def _yaml(row: Mapping[str, Any], name: str) -> str:
    import yaml

    try:
        return yaml.safe_dump(required_mapping(row, name), default_flow_style=False)
    except (yaml.YAMLError, RecursionError) as error:
        raise DataError(
            f"'{name}' cannot be written as YAML",
            hint="its keys and values are to be text, numbers, lists and objects",
        ) from error
