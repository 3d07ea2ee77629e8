"""What a request says."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from axolotl.errors import AxolotlError
from axolotl.inference.options import GenerationOptions
from axolotl.inference.server.errors import ApiError
from axolotl.inference.server.reasons import Role, reason_of
from axolotl.inference.server.unsupported import refuse_unsupported

MOST_STOPS = 16
MOST_PROMPTS = 64
Text = Annotated[str, Field(min_length=1)]


class TextPart(BaseModel):
    """A part of a content that is written in parts."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One turn. What else a turn of an answer has, such as `refusal: null`, must be empty."""

    model_config = ConfigDict(extra="allow")

    role: Role
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        """What is said."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """How an answer is streamed; `include_obfuscation` would fill up pieces, and has no effect."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False
    include_obfuscation: bool = False


class Body(BaseModel):
    """What both kinds of request have in common."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    model: str
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0)
    repetition_penalty: float | None = Field(None, gt=0)
    min_p: float | None = Field(None, ge=0, lt=1)
    seed: int | None = Field(None, ge=-(2**63), le=2**63 - 1)
    stop: Text | list[Text] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None

    @field_validator("stop")
    @classmethod
    def _few_stops(cls, value: str | list[str] | None) -> str | list[str] | None:
        if isinstance(value, list) and len(value) > MOST_STOPS:
            raise ValueError(f"at most {MOST_STOPS} texts")
        return value

    @property
    def longest(self) -> int | None:
        """Longest answer in tokens, where the request says it."""
        return self.max_tokens

    def options(self, usual: GenerationOptions, *, number: int) -> GenerationOptions:
        """How the answer is chosen.

        Args:
            usual: What holds where the request says nothing.
            number: Number of the request, which gives one without a seed another one each time.
        """
        said = {
            "max_new_tokens": self.longest,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "repetition_penalty": self.repetition_penalty,
            "min_p": self.min_p,
            "seed": self.seed,
            "stop": (self.stop,) if isinstance(self.stop, str) else self.stop,
        }
        known = {name: getattr(usual, name) for name in said} | {"seed": usual.seed + number}
        try:
            return GenerationOptions.of(
                **known | {name: value for name, value in said.items() if value is not None}
            )
        except AxolotlError as error:
            raise ApiError(400, str(error)) from error


class ChatBody(Body):
    """A request for the next turn of a conversation."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)

    @property
    def longest(self) -> int | None:
        """The newer name goes first."""
        return self.max_completion_tokens or self.max_tokens


class CompletionBody(Body):
    """A request to go on from a text, or from several."""

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=MOST_PROMPTS)]

    @property
    def prompts(self) -> list[str]:
        """The texts."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


B = TypeVar("B", bound=Body)


def read_body(kind: type[B], content: bytes) -> B:
    """Read and check a request.

    Raises:
        ApiError: it is no JSON, has a wrong value, or asks for what is not supported.
    """
    try:
        body = kind.model_validate_json(content, strict=True)
    except ValidationError as error:
        raise _explained(error) from error
    known = frozenset(kind.model_fields)
    refuse_unsupported(body.model_extra or {}, known=known)
    if body.stream_options is not None and not body.stream:
        raise ApiError(400, "stream_options goes with `stream: true`", param="stream_options")
    if isinstance(body, ChatBody):
        for number, message in enumerate(body.messages):
            _refuse_beside(number, message.model_extra or {})
    return body


def _refuse_beside(number: int, extra: dict[str, Any]) -> None:
    for name, value in extra.items():
        if value not in (None, [], ""):
            raise ApiError(
                400,
                f"'{name}' of a message is not supported: messages are a role and a text",
                param=f"messages.{number}.{name}",
                code="unsupported_parameter",
            )


def _explained(error: ValidationError) -> ApiError:
    """The first fault; of a union, the branch that got the farthest says most."""
    first = max(
        error.errors(include_url=False),
        key=lambda found: (len(found["loc"]), not found["type"].endswith("_type")),
    )
    if first["type"] == "json_invalid":
        return ApiError(400, f"the body is no JSON: {first['msg']}", code="invalid_json")
    param = ".".join(str(part) for part in first["loc"] if not _of_union(part)) or None
    reason = reason_of(param or "", first["type"], first["input"])
    reason = reason or first["msg"].removeprefix("Value error, ")
    where = f"{param}: " if param else "the body: "
    return ApiError(400, f"{where}{reason}", param=param, code="invalid_value")


def _of_union(part: str | int) -> bool:
    """Whether a part of a place names a branch of a union, and not a key."""
    return isinstance(part, str) and (
        part in ("str", "constrained-str", "TextPart") or part.startswith("list[")
    )
