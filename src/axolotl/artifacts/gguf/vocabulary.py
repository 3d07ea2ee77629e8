"""A tokenizer as llama.cpp reads it: the words, how they are joined, and where text is cut before."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from axolotl.core.console import note
from axolotl.errors import ModelError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_CUTS: Mapping[tuple[str, ...], str] = {
    ("bytes",): "gpt-2",
    ("digits", "bytes"): "smollm",
    (rf"{_ENDINGS}|{_WORD}|\p{{N}}{{1,3}}|{_REST}",): "llama-bpe",
    (rf"{_ENDINGS}|{_WORD}|\p{{N}}|{_REST}",): "qwen2",
    (
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+|[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*"
        r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ): "tekken",
}
"""How a tokenizer cuts text into words → the name that llama.cpp has for it."""


def write_vocabulary(writer: Any, tokenizer: Any, *, size: int) -> list[str]:
    """Write words, ways of joining them, special tokens and the chat template.

    Args:
        writer: A `gguf.GGUFWriter`.
        tokenizer: The tokenizer.
        size: Rows of the model's embeddings; those without a word get a name.

    Returns:
        The words.

    Raises:
        ModelError: llama.cpp has no such tokenizer.
    """
    core = _settings(tokenizer)
    words, types = _words(tokenizer, core, size)
    merges = [m if isinstance(m, str) else " ".join(m) for m in core["model"]["merges"]]
    if core["model"].get("byte_fallback"):
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_list(words)
        writer.add_token_scores(_scores(words, merges))
        writer.add_add_space_prefix(_puts_space_first(tokenizer))
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(_cut(core))
        writer.add_token_list(words)
        writer.add_token_merges(merges)
    writer.add_token_types(types)
    _write_special(writer, tokenizer)
    return words


def _settings(tokenizer: Any) -> dict[str, Any]:
    """What `tokenizer.json` says.

    Raises:
        ModelError: it is of another kind than llama.cpp's.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    core = json.loads(backend.to_str()) if backend is not None else {}
    kind = core["model"]["type"] if core else type(tokenizer).__name__
    if kind == "BPE":
        return core
    raise ModelError(
        f"a tokenizer of the kind {kind} cannot be exported to GGUF",
        hint="BPE tokenizers can: those of Llama, Mistral, SmolLM and Qwen",
    )


def _words(tokenizer: Any, core: Mapping[str, Any], size: int) -> tuple[list[str], list[int]]:
    """The word of every row of the embeddings, and of what kind it is."""
    added = {token["id"]: token for token in core["added_tokens"]}
    words = [f"[PAD{row}]" for row in range(size)]
    types = [UNUSED] * size
    for word, row in tokenizer.get_vocab().items():
        if row >= size:
            raise ModelError(
                f"the tokenizer has the token '{word}' with the number {row}, and the model has "
                f"{size} rows of embeddings",
                hint="let base_model and tokenizer belong together",
            )
        words[row], types[row] = word, NORMAL
        if row in added:
            types[row] = CONTROL if added[row]["special"] else USER_DEFINED
        elif core["model"].get("byte_fallback") and re.fullmatch("<0x[0-9A-F]{2}>", word):
            types[row] = BYTE
    unknown = core["model"].get("unk_token")
    if unknown is not None and core["model"].get("byte_fallback"):
        types[words.index(unknown)] = UNKNOWN
    return words, types


def _scores(words: Sequence[str], merges: Sequence[str]) -> list[float]:
    """llama.cpp joins the pair whose word has the highest score: the one that was merged first."""
    rank: dict[str, int] = {}
    for number, merge in enumerate(merges):
        rank.setdefault(merge.replace(" ", ""), number)
    return [-float(rank.get(word, len(merges))) for word in words]


def _puts_space_first(tokenizer: Any) -> bool:
    """Whether a text gets a space in front. llama.cpp then does so after each special token as well.

    A tokenizer that does not is exact for conversations without that space, and for texts with it.
    """
    end = tokenizer.eos_token or ""

    def puts(before: str, text: str) -> bool:
        pieces = "".join(tokenizer.tokenize(before + text)).removeprefix(before)
        return pieces == "▁" + text.replace(" ", "▁")

    if not puts("", "a"):
        return False
    if puts("", " a") and puts(end, "a"):
        return True
    talks = isinstance(tokenizer.chat_template, str) and not puts(end, "a")
    where = "before any text" if talks else "before every text and after special tokens"
    note(
        "llama.cpp cannot put a space just where this tokenizer does: in the file, there is "
        f"{'none' if talks else 'one'} {where}, so that some texts have other tokens"
    )
    return not talks


def _cut(core: Mapping[str, Any]) -> str:
    """llama.cpp's name for how the text is cut into words.

    Raises:
        ModelError: it has none.
    """
    steps = core["pre_tokenizer"] or {}
    found: list[str] = []
    for step in steps.get("pretokenizers", [steps]):
        if step.get("type") == "Split" and "Regex" in step["pattern"]:
            found.append(step["pattern"]["Regex"])
        elif step.get("type") == "Digits" and step["individual_digits"]:
            found.append("digits")
        elif step.get("type") == "ByteLevel" and not step["add_prefix_space"]:
            found += ["bytes"] if step["use_regex"] else []
        else:
            found.append(json.dumps(step))
    if tuple(found) not in _CUTS:
        raise ModelError(
            f"the tokenizer cuts text as llama.cpp is not known to: {' then '.join(found) or 'not at all'}",
            hint=f"known are the ways of: {', '.join(_CUTS.values())}",
        )
    return _CUTS[tuple(found)]


def _write_special(writer: Any, tokenizer: Any) -> None:
    """Tokens with a meaning, whether texts begin and end with them, and the chat template."""
    for name in ("bos", "eos", "unk", "pad"):
        number = getattr(tokenizer, f"{name}_token_id")
        if number is not None:
            getattr(writer, f"add_{name}_token_id")(number)
    ids = tokenizer("a").input_ids
    writer.add_add_bos_token(bool(ids) and ids[0] == tokenizer.bos_token_id)
    writer.add_add_eos_token(bool(ids) and ids[-1] == tokenizer.eos_token_id)
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)
