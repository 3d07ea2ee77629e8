"""The contract of a format file, asserted for every file there is."""

from typing import Any

import pytest

from axolotl.errors import ConfigError, DataError, UnknownName
from axolotl.formats import CUSTOM, BoundFormat, Shared, bind
from axolotl.formats._names import written_forms
from axolotl.records import TokenizerFacts
from axolotl.registry import available, load

NAMES = available("axolotl.formats")
FORMS = [form for name in NAMES for form in written_forms(load("axolotl.formats", name), name)]
"""Everything that may be written in `type`."""
VALUES: dict[str, Any] = {
    "choices": ["red", "blue"],
    "scores": {"clarity": 7},
    "critiques": {"clarity": {"explanation": "It is short."}},
}
"""Fields that hold something else than text."""
TURNS = {
    "sharegpt": ("from", "value", "human", "gpt"),
    "sharegpt.load_role": ("role", "value", "human", "gpt"),
    "sharegpt.load_guanaco": ("role", "text", "prompter", "assistant"),
    "pygmalion": ("role", "value", "human", "bot"),
    "llama2_chat": ("from", "value", "human", "gpt"),
}
"""Type → keys of its turns, and what it calls the two sides."""
NULLABLE = {"category", "system", "system_prompt"}
"""Fields that must be there, and may be null."""
BRING_THEIR_END = {"chat_template", "input_output"}
"""Formats that leave it to the row or the template how a text begins and how a turn ends."""
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SHARED = Shared(tokenizer=TokenizerFacts(CHATML, {"eos_token": "<|im_end|>"}, frozenset()))


def bound_to(form: str) -> BoundFormat:
    """The format; own templates are written as a mapping, here one that says nothing else."""
    return bind({} if form == CUSTOM else form, shared=SHARED)


def row_for(form: str, text: str = "some text") -> dict[str, Any]:
    """A row with the fields that the type needs, with `text` wherever text can stand."""
    values = VALUES
    if form in TURNS:
        role, said, *sides = TURNS[form]
        values = VALUES | {"conversations": [{role: side, said: text} for side in sides]}
    if form == "chat_template":
        return {"messages": [{"role": r, "content": text} for r in ("user", "assistant")]}
    if form == "input_output":
        return {"segments": [{"label": True, "text": text}]}
    return {name: values.get(name, text) for name in bound_to(form).fields}


def test_the_formats_that_are_there() -> None:
    assert {"alpaca", "completion"} <= set(NAMES)
    assert not [name for name in NAMES if name.startswith("_")]
    assert {"alpaca:chatml", "alpaca_chat.load_qa", "creative_acr.load_answer"} <= set(FORMS)


@pytest.mark.parametrize("name", NAMES)
def test_a_format_keeps_the_contract(name: str) -> None:
    module = load("axolotl.formats", name)
    known = module.Options.model_fields
    assert module.LONG_ROWS in ("drop", "split")
    assert {module.SUFFIX, module.VARIANT} <= {None, *known}
    assert {"frozen": True, "extra": "forbid"}.items() <= module.Options.model_config.items()
    assert all(option.description for option in known.values())


@pytest.mark.parametrize("form", FORMS)
def test_a_row_becomes_text_of_which_some_is_trained(form: str) -> None:
    bound = bound_to(form)
    parts = bound.segments(row_for(form))
    assert parts[0].bos or form in BRING_THEIR_END
    assert any(part.train for part in parts)
    assert parts[-1].eos or form in BRING_THEIR_END


@pytest.mark.parametrize("form", FORMS)
def test_a_question_is_asked_and_not_trained(form: str) -> None:
    parts = bound_to(form).prompt("Why {this}?")
    assert "Why {this}?" in "".join(part.text for part in parts)
    assert parts[0].bos or form in BRING_THEIR_END
    assert not any(part.train or part.eos for part in parts)


@pytest.mark.parametrize("form", FORMS)
def test_a_field_that_is_missing_or_wrong_is_named(form: str) -> None:
    bound = bound_to(form)
    row = row_for(form)
    for field in bound.fields:
        with pytest.raises(DataError, match=f"no field '{field}'") as caught:
            bound.segments({k: v for k, v in row.items() if k != field})
        assert caught.value.hint
        with pytest.raises(DataError, match=f"'{field}' is a number \\(5\\), not") as caught:
            bound.segments(row | {field: 5})
        assert caught.value.hint
        if field in NULLABLE:
            assert bound.segments(row | {field: None}) == bound.segments(row | {field: ""})
        else:
            with pytest.raises(DataError, match=f"'{field}' is null"):
                bound.segments(row | {field: None})


@pytest.mark.parametrize("form", FORMS)
def test_braces_in_the_data_are_text(form: str) -> None:
    hostile = "{instruction} {{x}} {0.__class__} %s"
    parts = bound_to(form).segments(row_for(form, hostile))
    assert hostile in "".join(part.text for part in parts)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("alpca", "did you mean 'alpaca'"),
        ("alpaca:chta", "alpaca has no style 'chta'[^$]*did you mean alpaca:chat"),
        ("alpaca:", "'alpaca:' is no format[^$]*Available: alpaca, alpaca:instruct, alpaca:chat,"),
        ("alpaca.chat", r"'alpaca\.chat' is no format[^$]*write `type: alpaca:chat`"),
        ("alpaca.load_x", r"'alpaca\.load_x' is no format[^$]*Available: alpaca, alpaca:instruct"),
        ("alpaca:load_open_orca", r"write `type: alpaca_w_system\.load_open_orca`"),
        ("alpaca.load_open_orca", r"write `type: alpaca_w_system\.load_open_orca`"),
        (
            "alpaca_chat:load_qa",
            r"'alpaca_chat:load_qa' is no [^$]*write `type: alpaca_chat\.load_qa`",
        ),
        ("alpaca_chat.load_aq", r"no variant 'load_aq'[^$]*did you mean alpaca_chat\.load_qa\?"),
        (
            "alpaca:load_no_prompt",
            r"alpaca_chat\.load_no_prompt` or `type: alpaca_instruct\.load_no",
        ),
        ("completion.body", "'completion.body' is no format[^$]*write `type: completion:body`"),
        (
            "creative_acr",
            r"'creative_acr' alone is no format[^$]*`type: creative_acr\.load_answer` or",
        ),
        ("alpca_chat.load_qa", "there is no format 'alpca_chat'[^$]*did you mean 'alpaca_chat'"),
        ("_fields", "there is no format '_fields'"),
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


def test_identity_follows_what_formats_share(monkeypatch: pytest.MonkeyPatch) -> None:
    from axolotl import formats

    source_hash = formats._source_hash  # pyright: ignore[reportPrivateUsage]
    source_hash.cache_clear()
    before = bind("jeopardy").identity()["source"]
    monkeypatch.setattr(
        formats, "hash_file", lambda path: "new" if path.name == "_alpaca_prompt.py" else path.name
    )
    source_hash.cache_clear()
    changed = bind("jeopardy").identity()["source"]
    monkeypatch.setattr(formats, "hash_file", lambda path: path.name)
    source_hash.cache_clear()
    same = bind("jeopardy").identity()["source"]
    source_hash.cache_clear()
    assert len({before, changed, same}) == 3
