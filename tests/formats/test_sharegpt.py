"""ShareGPT conversations: text and mask by every template, and what is said of rows that are odd."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml

from axolotl.data.encoder import Encoder
from axolotl.data.tokenize import SegmentBatch, TokenRows, tokenize
from axolotl.errors import ConfigError, DataError, UnknownName
from axolotl.formats import Shared, bind
from axolotl.formats._turns import EMPTY_TURN, LEFT_OUT, MODEL_FIRST, TWO_IN_A_ROW
from axolotl.formats.sharegpt import NAMES_UNUSED
from axolotl.records import IGNORE_INDEX, Segment, TokenizerFacts
from axolotl.templates.conversations import TEMPLATES

FIXTURES = Path(__file__).parents[1] / "fixtures"
EXPECTED: dict[str, dict[str, str]] = yaml.safe_load(
    (FIXTURES / "conversations.yaml").read_text(encoding="utf-8")
)
VICUNA = TEMPLATES["vicuna_v1.1"].system_message


def rows_of(file: str) -> list[dict[str, Any]]:
    text = (FIXTURES / "data" / file).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


REAL = rows_of("sharegpt.jsonl")
ODD = {row.pop("case"): row for row in rows_of("sharegpt_odd.jsonl")}


def talk(*turns: tuple[Any, Any], keys: Sequence[str] = ("from", "value")) -> dict[str, Any]:
    return {"conversations": [dict(zip(keys, turn, strict=True)) for turn in turns]}


FOUR = [("human", "Name a colour."), ("gpt", "Red."), ("human", "Another?"), ("gpt", "Blue.")]
TWO_TURNS = [("human", "Hi."), ("gpt", "Hello.")]
GUANACO = [("prompter", "Hi."), ("assistant", "Hello.")]
TWO = talk(*TWO_TURNS)


def shown(parts: Sequence[Segment]) -> str:
    return "".join(f"⟦{part.text}⟧" if part.train else part.text for part in parts)


def text(row: Mapping[str, Any], kind: str = "sharegpt", **settings: Any) -> str:
    return shown(bind(kind, settings=settings).segments(row))


def knows(end_token: str) -> Shared:
    return Shared(tokenizer=TokenizerFacts(None, {"eos_token": end_token}, frozenset([end_token])))


@pytest.mark.parametrize("conversation", TEMPLATES)
@pytest.mark.parametrize("system", ["own", "given"])
def test_text_and_mask_of_every_template(conversation: str, system: str) -> None:
    turns = [("system", "Be brief."), *FOUR] if system == "given" else FOUR
    row = talk(*turns)
    before = copy.deepcopy(row)
    bound = bind("sharegpt", settings={"conversation": conversation})
    parts = bound.segments(row)
    assert shown(parts) == EXPECTED[conversation][system]
    assert [part.bos for part in parts] == [True] + [False] * (len(parts) - 1)
    assert [(part.eos, part.joined) for part in parts] == [(part.train,) * 2 for part in parts]
    assert row == before
    assert bound.remarks(row) == []


def test_no_template_is_expected_that_is_not_there() -> None:
    assert list(EXPECTED) == list(TEMPLATES)


def trained_runs(tokens: TokenRows, tokenizer: Any) -> list[str]:
    """The text of each run of trained tokens."""
    pairs = zip(tokens.input_ids.tolist(), tokens.labels.tolist(), strict=True)
    return [
        tokenizer.decode([token for token, _ in run])
        for trained, run in groupby(pairs, lambda pair: pair[1] != IGNORE_INDEX)
        if trained
    ]


@pytest.mark.parametrize("conversation", TEMPLATES)
def test_what_is_trained_are_the_answers_of_real_rows(
    conversation: str, bos_tokenizer: Any
) -> None:
    encoder = Encoder(bos_tokenizer)
    bound = bind(
        "sharegpt", settings={"conversation": conversation}, shared={"tokenizer": encoder.facts()}
    )
    for row in REAL:
        batch = SegmentBatch()
        batch.add(bound.segments(row))
        tokens, _ = tokenize(batch, encoder)
        runs = trained_runs(tokens, bos_tokenizer)
        answers = [t["value"] for t in row["conversations"] if t["from"] == "gpt"]
        if conversation in ("rwkv", "falcon"):  # no empty lines within a turn
            answers = [answer.replace("\n\n", "\n") for answer in answers]
        assert len(runs) == len(answers)
        for run, answer in zip(runs, answers, strict=True):
            assert run.removeprefix(" <s>").lstrip("\n ").startswith(answer)
            assert run.endswith("</s>")
            assert run.count("</s>") == 1
        assert tokens.input_ids[0] == bos_tokenizer.bos_token_id


@pytest.mark.parametrize(
    ("conversation", "end_token", "expected"),
    [
        ("chatml", "<|im_end|>", "<|im_start|>assistant⟦\nHello.<|im_end|>⟧\n"),
        ("vigogne-chat", "</s>", "<|assistant|>:⟦ Hello.</s>⟧\n"),
        ("llama-2", "</s>", "[/INST]⟦ Hello. </s>⟧<s>"),
        ("vicuna_v1.1", "</s>", "ASSISTANT:⟦ Hello.</s>⟧"),
        ("vicuna_v1.1", "<|im_end|>", "ASSISTANT:⟦ Hello.</s>⟧"),
    ],
)
def test_an_end_token_in_the_separator_ends_what_is_trained(
    conversation: str, end_token: str, expected: str
) -> None:
    bound = bind("sharegpt", settings={"conversation": conversation}, shared=knows(end_token))
    parts = bound.segments(TWO)
    assert shown(parts).endswith(expected)
    assert sum(part.eos for part in parts) == 1
    old = bind(
        "sharegpt",
        settings={"conversation": conversation, "prompt_templates": "2023-10"},
        shared=knows(end_token),
    )
    assert old.segments(TWO)[-1].train


def test_an_end_token_in_the_answer_is_not_taken_for_the_separator() -> None:
    bound = bind("sharegpt", settings={"conversation": "chatml"}, shared=knows("<|im_end|>"))
    row = talk(("human", "Hi."), ("gpt", "It is <|im_end|> here."))
    assert shown(bound.segments(row)).endswith("⟦\nIt is <|im_end|> here.<|im_end|>⟧\n")


def test_the_wording_of_october_2023() -> None:
    old = {"prompt_templates": "2023-10"}
    assert text(TWO, conversation="chatml", **old).endswith("⟦\nHello.<|im_end|>\n\n⟧")
    without_system = bind("sharegpt", settings={"conversation": "oasst_llama", **old})
    assert not any(part.bos for part in without_system.segments(TWO))
    rounds = bind("sharegpt", settings={"conversation": "chatglm", **old}).segments(talk(*FOUR))
    assert [part.text for part in rounds if part.bos] == ["[Round 0]\n", "[Round 1]\n"]
    assert "Name a colour." in text(talk(*FOUR), conversation="llama-2", **old)


@pytest.mark.parametrize(
    ("kind", "row", "settings"),
    [
        ("sharegpt.load_role", talk(*TWO_TURNS, keys=("role", "value")), {}),
        ("sharegpt.load_guanaco", talk(*GUANACO, keys=("role", "text")), {}),
        ("sharegpt.load_guanaco", talk(*GUANACO), {}),
        (
            "sharegpt.load_guanaco",
            {"conversations": [{"role": "prompter", "text": "Hi.", "from": None}, {"from": "assistant", "value": "Hello."}]},
            {},
        ),
        ("sharegpt", talk(("user", "Hi."), ("assistant", "Hello.")), {"field_human": "user", "field_model": "assistant"}),
        ("sharegpt", talk(("human", "Hi."), ("bot", "Hello.")), {"field_model": "bot"}),
        ("sharegpt.load_role", talk(("user", "Hi."), ("gpt", "Hello."), keys=("role", "value")), {"field_human": "user"}),
    ],
)  # fmt: skip
def test_turns_may_be_written_in_several_ways(
    kind: str, row: dict[str, Any], settings: dict[str, str]
) -> None:
    assert text(row, kind, **settings) == text(TWO)


def test_the_variants_take_a_template_too() -> None:
    row = talk(*GUANACO, keys=("role", "text"))
    assert text(row, "sharegpt.load_guanaco", conversation="chatml") == text(
        TWO, conversation="chatml"
    )


def test_vicuna_takes_names_from_the_row() -> None:
    named = TWO | {"roles": ["Bob", "Eve"]}
    assert text(named) == f"{VICUNA} Bob: Hi. Eve:⟦ Hello.</s>⟧"
    assert bind("sharegpt").remarks(named) == []
    other = bind("sharegpt", settings={"conversation": "koala_v1"})
    assert other.segments(named) == other.segments(TWO)
    assert other.remarks(named) == [NAMES_UNUSED]
    assert text(TWO | {"roles": None}) == text(TWO)
    for wrong in ("Bob", ["Bob"], ["Bob", 1], ["Bob", " "], {"user": "Bob"}):
        with pytest.raises(DataError, match="'roles' is no list of two names"):
            text(TWO | {"roles": wrong})


ROLE_HINT = "`type: chat_template` takes turns of further roles; or take the turn out"


@pytest.mark.parametrize(
    ("row", "what", "hint"),
    [
        (ODD["human_last"], "'conversations' has one turn; a conversation has two at least", "add what is missing"),
        (ODD["no_turns"], "'conversations' has no turns", "add what is missing"),
        (ODD["missing_value_1"], r"turn 1 has no 'value' \(it has: from\)", "add 'value'"),
        (ODD["missing_value_2"], "'value' of turn 2 is null", "may be empty"),
        (ODD["system_last"], "turn 5 is from 'system'", "can only be the first turn"),
        (ODD["wrong_type_1"], r"'conversations' is text \(\"Human: hi\"\), not a list of turns", "as a list such as"),
        (ODD["wrong_type_2"], "'conversations' is null", "give it a list of turns"),
        ({"messages": []}, r"no field 'conversations' \(the row has: messages\)", None),
        ({"conversation": []}, "no field 'conversations'", "rename 'conversation' to 'conversations'"),
        ({"conversations": [["human", "Hi."], 5]}, "turn 1 of 'conversations' is a list, not an object", "write each turn"),
        ({"conversations": [TWO["conversations"][0], "Hello."]}, r"turn 2 of 'conversations' is text \(\"Hello.\"\)", "write each"),
        (talk(("human", "Hi."), ("gpt", 5)), r"'value' of turn 2 is a number \(5\), not text", "text in quotes"),
        (talk(("human", "Hi."), (["gpt"], "Hello.")), "'from' of turn 2 is a list, not text", "text in quotes"),
        (talk(("human", "Hi."), ("function_call", "{}")), "turn 2 is from 'function_call', neither from 'human' nor from 'gpt'", ROLE_HINT),
        (talk(("user", "Hi."), ("assistant", "Hello.")), "turn 1 is from 'user'", "add `field_human: user` and `field_model: assistant` to"),
        (talk(("human", "Hi."), ("assistant", "Hello.")), "turn 2 is from 'assistant'", "add `field_model: assistant` to"),
        (talk(("narrator", "It is late."), ("narrator", "Hi."), ("gpt", "Hello.")), "turn 2 is from 'narrator'", ROLE_HINT),
        (talk(("user", "Hi."), ("gpt", "Yes?"), keys=("role", "content")), "turn 1 has no 'from'", "by `type: chat_template`"),
        (talk(("human", "Hi."), ("gpt", "Yes?"), keys=("role", "value")), "turn 1 has no 'from'", r"by `type: sharegpt.load_role`"),
        (talk(("human", "Hi."), ("gpt", "Yes?"), keys=("role", "text")), "turn 1 has no 'from'", r"by `type: sharegpt.load_guanaco`"),
        (talk(("human", "Hi."), ("gpt", "Yes?"), keys=("from", "valu")), "turn 1 has no 'value'", "rename 'valu' to 'value'"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_used(row: dict[str, Any], what: str, hint: str | None) -> None:
    with pytest.raises(DataError, match=what) as caught:
        bind("sharegpt").segments(row)
    assert caught.value.hint
    assert hint is None or hint in caught.value.hint


def test_guanaco_knows_two_roles_and_no_other() -> None:
    for role in ("system", "human", "narrator"):
        with pytest.raises(DataError, match=f"turn 1 is from '{role}', neither from 'prompter'"):
            text(talk((role, "Hi."), ("assistant", "Hello.")), "sharegpt.load_guanaco")


@pytest.mark.parametrize(
    ("row", "remarks", "expected"),
    [
        (ODD["gpt_first"], [MODEL_FIRST], f"{VICUNA} ASSISTANT:⟦ I speak first. ⟧USER: What differences"),
        (ODD["two_humans"], [TWO_IN_A_ROW], "USER: And again.</s>ASSISTANT:⟦ Both"),
        (ODD["unknown_role"], [LEFT_OUT, MODEL_FIRST], f"{VICUNA} ASSISTANT:⟦ Both"),
        (talk(("system", "Go."), ("narrator", "Late."), *FOUR), [LEFT_OUT], "Go. USER: Name a colour. ASSISTANT"),
        (talk(("human", "Hi."), ("gpt", "")), [EMPTY_TURN], "USER: Hi. ASSISTANT:⟦⟧"),
        (talk(("human", " \n"), ("gpt", "Hello.")), [EMPTY_TURN], "USER:  \n ASSISTANT:⟦ Hello.</s>⟧"),
        (talk(*FOUR[:3]), [], "ASSISTANT:⟦ Red.</s>⟧USER: Another? "),
        (talk(("system", "Go."), ("human", "Hi.")), [], "Go. USER: Hi. "),
    ],
)  # fmt: skip
def test_an_odd_row_is_used_and_remarked_on(
    row: dict[str, Any], remarks: list[str], expected: str
) -> None:
    bound = bind("sharegpt")
    before = copy.deepcopy(row)
    assert expected in shown(bound.segments(row))
    assert bound.remarks(row) == remarks
    assert row == before


def test_a_separator_that_is_no_token_is_remarked_on(bos_tokenizer: Any) -> None:
    facts = Shared(tokenizer=Encoder(bos_tokenizer).facts())

    def said(conversation: str) -> list[str]:
        return bind("sharegpt", settings={"conversation": conversation}, shared=facts).remarks(TWO)

    assert said("vicuna_v1.1") == said("claude") == said("tulu") == []
    letters = "of the template is no token of this tokenizer, its letters are trained"
    assert said("chatml") == [f"<|im_end|> {letters}"]
    assert bind("sharegpt_jokes", settings={"conversation": "internlm-chat"}, shared=facts).remarks(
        {"text": "A pun.", "explanation": "Because."}
    ) == [f"<eoa> {letters}"]
    longer = copy.deepcopy(bos_tokenizer)
    longer.add_tokens(["<|im_end|>"])  # no special token, as with `tokens:`
    facts = Shared(tokenizer=Encoder(longer).facts())
    assert said("chatml") == []


def test_an_empty_answer_trains_its_end_token_alone(bos_tokenizer: Any) -> None:
    batch = SegmentBatch()
    batch.add(bind("sharegpt").segments(talk(("human", "Hi."), ("gpt", ""))))
    tokens, _ = tokenize(batch, Encoder(bos_tokenizer))
    labels = tokens.labels.tolist()
    assert labels[-1] == bos_tokenizer.eos_token_id
    assert set(labels[:-1]) == {IGNORE_INDEX}


@pytest.mark.parametrize("conversation", TEMPLATES)
def test_a_question_is_asked_as_in_training(conversation: str) -> None:
    bound = bind("sharegpt", settings={"conversation": conversation})
    parts, asked = bound.segments(TWO), bound.prompt("Hi.")
    assert asked == parts[: len(asked)]
    assert parts[len(asked)].train
    assert not any(part.train or part.eos for part in asked)


@pytest.mark.parametrize(
    ("kind", "settings", "error", "message"),
    [
        ("sharegpt", {"conversation": "vicuna"}, ConfigError, "did you mean vicuna_v1.1"),
        ("sharegpt", {"conversation": "raw"}, ConfigError, "nothing would be trained"),
        ("sharegpt", {"conversation": "bard"}, ConfigError, "for a service"),
        ("sharegpt", {"field_model": "human"}, ConfigError, "are both called 'human'"),
        ("sharegpt", {"field": "text"}, ConfigError, "'sharegpt' has no setting 'field'"),
        ("sharegpt:load_role", {}, UnknownName, "write `type: sharegpt.load_role`"),
        ("sharegpt.load_rol", {}, UnknownName, "did you mean sharegpt.load_role"),
    ],
)
def test_settings_that_cannot_be(
    kind: str, settings: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        bind(kind, settings=settings, key="datasets.0.type")
    if "conversation" in settings:
        assert isinstance(caught.value, ConfigError)
        assert caught.value.key == "datasets.0.conversation"


def test_inputs_are_never_trained() -> None:
    shared = Shared(train_on_inputs=True)
    assert bind("sharegpt", shared=shared).segments(TWO) == bind("sharegpt").segments(TWO)


def test_the_tokenizer_is_no_part_of_what_the_format_is() -> None:
    assert (
        bind("sharegpt", shared=knows("</s>")).identity()
        == bind("sharegpt", shared=knows("<|im_end|>")).identity()
    )
