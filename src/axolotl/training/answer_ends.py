"""Where answers end: the tokens that generation has to stop at, and the chat template they come from.

A model stops where the tokens that generation looks for are those that it has learned to end with. So
they are written beside the weights: the end token, the tokens that the file names, and those that
end the trained parts of the data, such as ChatML's <|im_end|>, whatever format wrote them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from transformers import GenerationConfig

from axolotl.errors import ConfigError
from axolotl.records import IGNORE_INDEX, TokenRow

GENERATION_FILE = "generation_config.json"
_SAMPLES = 200
_OFTEN = 0.2
"""A row may have been cut anywhere, so what ends one by chance does not count."""


class Samples(Protocol):
    """Samples by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> TokenRow: ...


def answer_ends(
    tokenizer: Any, samples: Samples, *, eot_tokens: Sequence[str] | None = None
) -> list[int]:
    """Ids of the tokens that end an answer, the tokenizer's own end token first.

    Args:
        tokenizer: A tokenizer of transformers.
        samples: The samples to train on; some of them are looked at.
        eot_tokens: Further tokens, by their text.

    Raises:
        ConfigError: one of `eot_tokens` is not one token of the tokenizer.
    """
    own = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    named = [one_token(tokenizer, text, number) for number, text in enumerate(eot_tokens or [])]
    return list(dict.fromkeys([*own, *named, *_seen(tokenizer, samples)]))


def one_token(tokenizer: Any, text: str, number: int) -> int:
    """Id of one of `eot_tokens`.

    Raises:
        ConfigError: the text is not one token.
    """
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if len(ids) == 1 and ids[0] != getattr(tokenizer, "unk_token_id", None):
        return int(ids[0])
    raise ConfigError(
        "eot_tokens",
        f"'{text}' is {len(ids)} tokens of the tokenizer, not one",
        where=f"eot_tokens.{number}",
        hint="name a token that it has, or add it with `tokens` or added_tokens_overrides",
    )


def _seen(tokenizer: Any, samples: Samples) -> list[int]:
    """The added tokens that trained parts end with."""
    added = {int(number) for number in tokenizer.added_tokens_decoder}

    def is_line_end(token: int) -> bool:
        return token not in added and not tokenizer.decode([token]).strip()

    inside, behind, before = Counter[int](), Counter[int](), Counter[int]()
    numbers = np.linspace(0, len(samples) - 1, min(len(samples), _SAMPLES)).astype(int)
    for ids, ends_row in (part for number in numbers for part in _trained(samples[int(number)])):
        *rest, last = ids
        if rest and is_line_end(last):  # ChatML has one behind the turn
            *rest, last = rest
        if last in added:
            (behind if ends_row else inside)[last] += 1
            if len(rest) > 1 and is_line_end(rest[-1]) and rest[-2] in added:
                before[rest[-2]] += 1  # or one, and the end token behind it
    often = [token for token, count in behind.items() if count >= _OFTEN * len(numbers)]
    turns = inside.total() + behind.total()
    doubled = [token for token, count in before.items() if count > turns / 2]
    return sorted({*inside, *often, *doubled})


def _trained(row: TokenRow) -> Iterator[tuple[list[int], bool]]:
    """The trained parts of a row, and whether each stands at its end."""
    trained = np.concatenate(([False], np.asarray(row.labels) != IGNORE_INDEX, [False]))
    borders = np.flatnonzero(trained[1:] != trained[:-1]).tolist()
    for begin, end in zip(borders[::2], borders[1::2], strict=True):
        yield [int(i) for i in row.input_ids[begin:end]], end == len(row.input_ids)


def stop_at(model: Any, ends: Sequence[int]) -> None:
    """Have generation stop at these tokens, besides those that the model stops at by itself.

    Args:
        model: A model of transformers, without an adapter on it or with one.
        ends: The ids.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    settings = getattr(base, "generation_config", None)
    if settings is None or not ends:
        return
    known = settings.eos_token_id
    known = known if isinstance(known, list) else [known] if isinstance(known, int) else []
    settings.eos_token_id = list(dict.fromkeys([*ends, *known]))


def make_saveable(model: Any) -> None:
    """Let the settings of generation be saved as they were loaded.

    Sampling options with sampling off, as some models of the hub have them, are read by the library
    and refused when it is to write them, which would end a training at its first checkpoint.

    Args:
        model: A model of transformers, without an adapter on it or with one.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    settings = getattr(base, "generation_config", None)
    if settings is None:
        return
    try:
        settings.validate(strict=True)
    except ValueError:
        settings.do_sample = True


def write_stops(model: Any, folder: Path) -> None:
    """Write where generation stops beside an adapter, which else would not say it."""
    if (folder / GENERATION_FILE).exists() or not hasattr(model, "get_base_model"):
        return
    settings = getattr(model.get_base_model(), "generation_config", None)
    if settings is not None:
        tokens = ("bos_token_id", "eos_token_id", "pad_token_id")
        kept = {name: getattr(settings, name, None) for name in tokens}
        GenerationConfig(**kept).save_pretrained(folder)
