"""Answers in the shape that clients of OpenAI expect."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from axolotl.inference.server.errors import ApiError
from axolotl.inference.server.jobs import Ended, Piece

DONE = "data: [DONE]\n\n"


def event(content: dict[str, Any]) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(content, ensure_ascii=False, separators=(',', ':'))}\n\n"


def error_event(error: ApiError) -> str:
    """An error in the middle of a stream, where the status is sent already."""
    return event(error.body())


@dataclass
class Reply:
    """One reply, gathered or streamed.

    Args:
        model: Name of the model.
        chat: Whether it is a turn of a conversation.
        include_usage: Whether a stream ends with the counts of tokens.
        answers: How many prompts there are.
        prompt_tokens: Tokens of the prompts.
    """

    model: str
    chat: bool
    include_usage: bool = False
    answers: int = 1
    prompt_tokens: int = 0
    _tokens: int = 0
    _created: int = field(default_factory=lambda: int(time.time()))
    _id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self._texts = [""] * self.answers
        self._reasons = ["stop"] * self.answers

    def take(self, happened: Piece | Ended) -> None:
        """Take in what the model made."""
        if isinstance(happened, Piece):
            self._texts[happened.index] += happened.text
        else:
            self._reasons[happened.index] = happened.reason
            self._tokens += happened.tokens

    def whole(self) -> dict[str, Any]:
        """The reply to a request that does not stream."""
        choices = [
            self._choice(index, reason, self._said(text, whole=True))
            for index, (text, reason) in enumerate(zip(self._texts, self._reasons, strict=True))
        ]
        return self._frame(choices, usage=self._usage())

    def begin(self) -> Iterator[str]:
        """Events before the first piece."""
        if self.chat:
            said = {"delta": {"role": "assistant", "content": ""}}
            yield self._chunk([self._choice(0, None, said)])

    def chunk(self, happened: Piece | Ended) -> str:
        """The event for a piece, or for the end of an answer."""
        self.take(happened)
        if isinstance(happened, Piece):
            said = self._said(happened.text, whole=False)
            return self._chunk([self._choice(happened.index, None, said)])
        said = {"delta": {}} if self.chat else {"text": ""}
        return self._chunk([self._choice(happened.index, happened.reason, said)])

    def end(self) -> Iterator[str]:
        """Events behind the last piece."""
        if self.include_usage:
            yield event(self._frame([], usage=self._usage(), part=True))
        yield DONE

    def _chunk(self, choices: list[dict[str, Any]]) -> str:
        usage = {"usage": None} if self.include_usage else {}
        return event(self._frame(choices, part=True, **usage))

    def _said(self, text: str, *, whole: bool) -> dict[str, Any]:
        if not self.chat:
            return {"text": text}
        if whole:
            return {"message": {"role": "assistant", "content": text, "refusal": None}}
        return {"delta": {"content": text}}

    def _choice(self, index: int, reason: str | None, said: dict[str, Any]) -> dict[str, Any]:
        return {"index": index, **said, "logprobs": None, "finish_reason": reason}

    def _frame(
        self, choices: list[dict[str, Any]], *, part: bool = False, **more: Any
    ) -> dict[str, Any]:
        kind = "text_completion"
        if self.chat:
            kind = "chat.completion.chunk" if part else "chat.completion"
        return {
            "id": f"{'chatcmpl' if self.chat else 'cmpl'}-{self._id}",
            "object": kind,
            "created": self._created,
            "model": self.model,
            "choices": choices,
            **more,
        }

    def _usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self._tokens,
            "total_tokens": self.prompt_tokens + self._tokens,
        }
