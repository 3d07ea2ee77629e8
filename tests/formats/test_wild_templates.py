"""Real conversations in the chat templates of the families that people train.

What must be trained is found here in another way than the format does it: in the text that
transformers renders, by a pattern that each family's answers stand in. The trained tokens, decoded,
must be exactly those texts, and all tokens together those of the whole text.
"""

# ruff: noqa: RUF001  DeepSeek writes its tokens with a wide bar
from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from axolotl.data.encoder import Encoder
from axolotl.data.tokenize import SegmentBatch, tokenize
from axolotl.formats import Shared, bind
from axolotl.records import IGNORE_INDEX
from axolotl.templates.named import named_template, template_names
from tests.conftest import build_tokenizer

DATA = Path(__file__).parents[1] / "fixtures" / "data"


@dataclass(frozen=True)
class Family:
    """What marks the answers of a family.

    Args:
        answer: Pattern of an answer in the rendered text, what is trained in a group.
        tokens: Texts that are one token each.
        bos: The begin token, which the tokenizer puts in front by itself; empty for none.
        eos: The end token.
        kinds: Kinds of conversations that the template has a form for.
    """

    answer: str
    tokens: str
    bos: str = "<s>"
    eos: str = "</s>"
    kinds: str = "plain system"


_CHATML = r"<\|im_start\|>assistant\n(.*?<\|im_end\|>)"
_COHERE = Family(
    r"<\|CHATBOT_TOKEN\|>(.*?<\|END_OF_TURN_TOKEN\|>)",
    "<|START_OF_TURN_TOKEN|> <|END_OF_TURN_TOKEN|> <|SYSTEM_TOKEN|> <|USER_TOKEN|> <|CHATBOT_TOKEN|>",
    "<BOS_TOKEN>",
    "<|END_OF_TURN_TOKEN|>",
)
_MISTRAL_TOKENS = "[INST] [/INST] [TOOL_CALLS] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] [/TOOL_RESULTS]"
_MISTRAL_TOOLS = r"(?:\[/INST\]|\[/TOOL_RESULTS\])(?!\[TOOL_RESULTS\])(.*?</s>)"
_PHI = Family(
    r"<\|assistant\|>\n(.*?<\|end\|>)",
    "<|system|> <|user|> <|assistant|> <|end|>",
    eos="<|endoftext|>",
)
FAMILIES: dict[str, Family] = {
    "alpaca": Family(r"### Response:\n(.*?</s>)", ""),
    "aya": _COHERE,
    "chatml": Family(_CHATML, "<|im_start|>", "", "<|im_end|>"),
    "cohere": _COHERE,
    "deepseek_v2": Family(
        r"<｜Assistant｜>(.*?<｜end▁of▁sentence｜>)",
        "<｜User｜> <｜Assistant｜>",
        "<｜begin▁of▁sentence｜>",
        "<｜end▁of▁sentence｜>",
    ),
    "deepseek_v3": Family(
        r"(?:<｜Assistant｜>|<｜tool▁outputs▁end｜>)(.*?<｜end▁of▁sentence｜>)",
        "<｜User｜> <｜Assistant｜> <｜tool▁calls▁begin｜> <｜tool▁calls▁end｜> <｜tool▁call▁begin｜> "
        "<｜tool▁call▁end｜> <｜tool▁sep｜> <｜tool▁outputs▁begin｜> <｜tool▁outputs▁end｜> "
        "<｜tool▁output▁begin｜> <｜tool▁output▁end｜>",
        "<｜begin▁of▁sentence｜>",
        "<｜end▁of▁sentence｜>",
        "plain system calls",
    ),
    "exaone": Family(
        r"\[\|assistant\|\](.*?\[\|endofturn\|\])",
        "[|system|] [|user|] [|assistant|]",
        "",
        "[|endofturn|]",
    ),
    "falcon_h1": Family(_CHATML, "<|im_start|> <|im_end|>", "<|begin_of_text|>", "<|end_of_text|>"),
    "gemma": Family(
        r"<start_of_turn>model\n(.*?<end_of_turn>)",
        "<start_of_turn> <end_of_turn>",
        "<bos>",
        "<eos>",
        "plain",
    ),
    "gemma3": Family(
        r"<start_of_turn>model\n(.*?<end_of_turn>)",
        "<start_of_turn> <end_of_turn>",
        "<bos>",
        "<eos>",
    ),
    "gemma3n": Family(
        r"<start_of_turn>model\n(.*?<end_of_turn>)",
        "<start_of_turn> <end_of_turn>",
        "<bos>",
        "<eos>",
    ),
    "jamba": Family(
        r"<\|assistant\|>(.*?<\|eom\|>)",
        "<|bom|> <|eom|> <|system|> <|user|> <|assistant|>",
        "<|startoftext|>",
        "<|endoftext|>",
    ),
    "llama2": Family(r"\[/INST\](.*?</s>)", ""),
    "llama3": Family(
        r"assistant<\|end_header_id\|>\n\n(.*?<\|eot_id\|>)",
        "<|start_header_id|> <|end_header_id|> <|eot_id|>",
        "<|begin_of_text|>",
        "<|end_of_text|>",
    ),
    "llama4": Family(
        r"assistant<\|header_end\|>\n\n(.*?<\|eot\|>)",
        "<|header_start|> <|header_end|> <|eot|> <|python_start|> <|python_end|>",
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "plain system tools",
    ),
    "metharme": Family(r"<\|model\|>(.*?</s>)", "<|system|> <|user|> <|model|>"),
    "mistral_v1": Family(r"\[/INST\](.*?</s>)", ""),
    "mistral_v2v3": Family(_MISTRAL_TOOLS, _MISTRAL_TOKENS, kinds="plain system tools"),
    "mistral_v3_tekken": Family(_MISTRAL_TOOLS, _MISTRAL_TOKENS, kinds="plain system tools"),
    "mistral_v7_tekken": Family(
        r"\[/INST\](.*?</s>)", "[INST] [/INST] [SYSTEM_PROMPT] [/SYSTEM_PROMPT]"
    ),
    "phi_3": _PHI,
    "phi_35": _PHI,
    "phi_4": Family(
        r"<\|im_start\|>assistant<\|im_sep\|>(.*?<\|im_end\|>)",
        "<|im_start|> <|im_sep|>",
        "",
        "<|im_end|>",
    ),
    "qwen3": Family(
        _CHATML,
        "<|im_start|> <think> </think> <tool_call> </tool_call> <tool_response> </tool_response>",
        "",
        "<|im_end|>",
        "plain system tools thinking",
    ),
    "qwen_25": Family(
        _CHATML, "<|im_start|> <tool_call> </tool_call>", "", "<|im_end|>", "plain system tools"
    ),
    "vicuna": Family(r"ASSISTANT:(.*?</s>)", ""),
    "zephyr": Family(r"<\|assistant\|>\n(.*?</s>)", ""),
}


@cache
def words_tokenizer() -> Any:
    """A tokenizer to which most words of the conversations are one token, with the space before."""
    plain = build_tokenizer()
    texts = [turn for _, row in conversations() for turn in re.findall(r"[^\"]+", str(row))]
    return plain.train_new_from_iterator(texts, vocab_size=4000, show_progress=False)


@cache
def family_tokenizer(name: str) -> Any:
    """That tokenizer with the special tokens of a family."""
    from tokenizers import processors

    family = FAMILIES[name]
    tokenizer = copy.deepcopy(words_tokenizer())
    texts = [t for t in (family.bos, family.eos, *family.tokens.split()) if t]
    tokenizer.add_tokens(texts, special_tokens=True)
    tokenizer.eos_token = family.eos
    tokenizer.bos_token = family.bos or None
    if family.bos:
        number = tokenizer.convert_tokens_to_ids(family.bos)
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{family.bos}:0 $A:0", special_tokens=[(family.bos, number)]
        )
    tokenizer.chat_template = named_template(name)
    return tokenizer


@cache
def conversations() -> list[tuple[str, dict[str, Any]]]:
    """Rows with their kind; a row of ShareGPT has it by whether it has a system turn."""
    rows = []
    for line in (DATA / "sharegpt.jsonl").read_text("utf-8").split("\n"):
        if line:
            row = json.loads(line)
            first = row["conversations"][0]["from"]
            rows.append(("system" if first == "system" else "plain", row))
    for line in (DATA / "messages.jsonl").read_text("utf-8").split("\n"):
        if line:
            row = json.loads(line)
            rows.append((row.pop("kind"), row))
    return rows


def rows_for(name: str) -> list[dict[str, Any]]:
    """The conversations that a template has a form for."""
    kinds = FAMILIES[name].kinds.split()
    rows = [row for kind, row in conversations() if kind in kinds]
    if "calls" in kinds:  # tools called, and not described
        rows += [{"messages": row["messages"]} for kind, row in conversations() if kind == "tools"]
    return rows


def rendered(name: str, row: dict[str, Any]) -> str:
    """The whole text as transformers makes it."""
    names = {"human": "user", "gpt": "assistant", "system": "system"}
    turns = row.get("messages") or [
        {"role": names[turn["from"]], "content": turn["value"]} for turn in row["conversations"]
    ]
    return family_tokenizer(name).apply_chat_template(turns, tools=row.get("tools"), tokenize=False)


def trained(name: str, row: dict[str, Any], **settings: Any) -> tuple[list[int], list[str]]:
    """All ids of a row, and the text of each run of trained ones."""
    tokenizer = family_tokenizer(name)
    encoder = Encoder(tokenizer)
    shared = Shared(chat_template=None, tokenizer=encoder.facts())
    batch = SegmentBatch()
    batch.add(bind("chat_template", settings=settings, shared=shared).segments(row))
    rows, _ = tokenize(batch, encoder)
    runs = groupby(
        zip(rows.input_ids.tolist(), rows.labels != IGNORE_INDEX, strict=True), lambda p: p[1]
    )
    texts = [tokenizer.decode([i for i, _ in run]) for on, run in runs if on]
    return rows.input_ids.tolist(), texts


def answers(name: str, text: str) -> list[str]:
    """What must be trained, in order."""
    found = re.finditer(FAMILIES[name].answer, text, re.DOTALL)
    return [next(part for part in match.groups() if part is not None) for match in found]


def test_every_template_has_its_family() -> None:
    assert sorted(FAMILIES) == list(template_names())


@pytest.mark.parametrize("name", FAMILIES)
def test_exactly_the_answers_and_their_ends_are_trained(name: str) -> None:
    tokenizer = family_tokenizer(name)
    assert len(rows_for(name)) >= 8
    for row in rows_for(name):
        text = rendered(name, row)
        wanted = answers(name, text)
        turns = row.get("messages") or row["conversations"]
        assert len(wanted) == sum(
            t.get("role", t.get("from")) in ("assistant", "gpt") for t in turns
        )
        ids, runs = trained(name, row)
        assert [run.strip() for run in runs] == [answer.strip() for answer in wanted]
        assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_named_template_is_that_of_the_tokenizer(name: str) -> None:
    row = rows_for(name)[0]
    assert trained(name, row) == trained(name, row, chat_template=name)


@pytest.mark.parametrize("name", [n for n, family in FAMILIES.items() if family.bos])
def test_it_begins_with_one_begin_token(name: str) -> None:
    tokenizer = family_tokenizer(name)
    for row in rows_for(name):
        ids, _ = trained(name, row)
        wanted = rendered(name, row).count(FAMILIES[name].bos)
        assert ids[0] == tokenizer.bos_token_id or not wanted
        assert ids.count(tokenizer.bos_token_id) == wanted


@pytest.mark.parametrize(
    "name", ["alpaca", "llama2", "mistral_v1", "mistral_v2v3", "vicuna", "jamba"]
)
def test_a_word_that_is_one_token_with_the_space_before_it_is_trained(name: str) -> None:
    row = rows_for(name)[0]
    said = [turn["value"] for turn in row["conversations"] if turn["from"] == "gpt"]
    first = said[0].split()[0]
    assert len(family_tokenizer(name)(f" {first}", add_special_tokens=False)["input_ids"]) == 1
    _, runs = trained(name, row)
    assert runs[0].split()[0] == first
