"""How an answer is chosen, token by token."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from transformers import GenerationConfig

from axolotl.errors import ConfigError
from axolotl.registry import nearest

SAMPLING_PENALTY = 1.1


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """Options of generation.

    Args:
        max_new_tokens: Longest answer, in tokens.
        temperature: 0 takes the most probable token each time (greedy); higher is more varied.
        top_p: Sample from the fewest tokens that have this probability together; 1 for all.
        top_k: Sample from so many tokens at most; 0 for all.
        repetition_penalty: Above 1 makes tokens of prompt and answer less probable; default 1.1
            when sampling, none when greedy.
        min_p: Leave out tokens less probable than this share of the most probable one; 0 for none.
        stop: Texts that end an answer, and are not part of it.
        seed: Seed of the sampling.
    """

    max_new_tokens: int = 1024
    temperature: float = 0.9
    top_p: float = 0.95
    top_k: int = 40
    repetition_penalty: float | None = None
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int = 42

    def __post_init__(self) -> None:
        allowed = {
            "max_new_tokens": (self.max_new_tokens >= 1, "at least 1"),
            "temperature": (0 <= self.temperature < math.inf, "0 or more"),
            "top_p": (0 < self.top_p <= 1, "above 0 and at most 1"),
            "top_k": (self.top_k >= 0, "0 or more"),
            "repetition_penalty": (
                self.repetition_penalty is None or 0 < self.repetition_penalty < math.inf,
                "above 0",
            ),
            "min_p": (0 <= self.min_p < 1, "at least 0 and below 1"),
            "stop": (all(self.stop), "texts that are not empty"),
        }
        for name, (fits, what) in allowed.items():
            if not fits:
                raise ConfigError(name, f"{name} must be {what}, not {getattr(self, name)}")

    @classmethod
    def of(cls, **options: Any) -> GenerationOptions:
        """Options from keyword arguments; None stands for the default.

        Raises:
            ConfigError: an unknown name or a value that cannot be.
        """
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                guess = nearest(name, known)
                raise ConfigError(
                    name,
                    f"there is no generation option '{name}'",
                    hint=f"{f'did you mean {guess}? ' if guess else ''}There are: {', '.join(known)}",
                )
        given = {name: value for name, value in options.items() if value is not None}
        if "stop" in given:
            stop = given["stop"]
            given["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)
        return cls(**given)

    @property
    def greedy(self) -> bool:
        """Whether nothing is left to chance."""
        return self.temperature == 0

    @property
    def penalty(self) -> float:
        """What tokens of prompt and answer lose by; 1 for nothing."""
        return float(self.repetition_penalty or (1.0 if self.greedy else SAMPLING_PENALTY))

    def for_library(self, *, eos: list[int], pad: int, max_new_tokens: int) -> GenerationConfig:
        """The same for transformers; which token is taken, `sampling.choice` says.

        Args:
            eos: Tokens that end an answer.
            pad: Token to pad with.
            max_new_tokens: Longest answer; at most `self.max_new_tokens`.
        """
        return GenerationConfig(
            max_new_tokens=max_new_tokens,
            eos_token_id=eos or None,
            pad_token_id=pad,
            use_cache=True,
            do_sample=False,
        )
