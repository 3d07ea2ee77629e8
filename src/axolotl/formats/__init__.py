"""Dataset formats: one file per family, each a function from a row to segments of text.

A format knows nothing of tokens, labels or lengths. `type: alpaca:chat` is the file `alpaca.py`
with its option `SUFFIX` set to `chat`, `type: alpaca_chat.load_qa` the file `alpaca_chat.py` with
its option `VARIANT` set to `load_qa`, and a mapping in the place of `type` is the file `custom.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict, cast, get_args

from pydantic import BaseModel, ValidationError

from axolotl.config import Sections
from axolotl.core.hashing import hash_file
from axolotl.errors import ConfigError, UnknownName
from axolotl.formats._fitting import fitting_types as fitting_types
from axolotl.records import Segment, TokenizerFacts
from axolotl.registry import load, nearest

CUSTOM = "custom"
"""The format of a mapping in the place of `type`."""


class Format(Protocol):
    """What a file of this folder contains.

    Attributes:
        Options: Frozen pydantic model of what a dataset entry may say about the format. A field
            with the name of a `Shared` is filled from it where the entry does not say it.
        SUFFIX: Name of the option that the part of `type` behind the colon sets; None for none.
        VARIANT: Name of the option that the part of `type` behind the point sets; None for none.
        LONG_ROWS: What becomes of a row longer than `sequence_len`: dropped, or split into
            consecutive rows.
    """

    __name__: str
    Options: type[BaseModel]
    SUFFIX: str | None
    VARIANT: str | None
    LONG_ROWS: Literal["drop", "split"]

    def fields(self, options: Any) -> tuple[str, ...]:
        """Fields that every row must have."""
        ...

    def segments(self, row: Mapping[str, Any], options: Any) -> list[Segment]:
        """The segments of one row; raises `DataError`, without a place, for a row it cannot use."""
        ...

    def prompt(self, text: str, options: Any) -> list[Segment]:
        """The segments that stand before the answer to a plain question; none is trained."""
        ...


@dataclass(frozen=True, slots=True)
class BoundFormat:
    """A format with its options filled in.

    Args:
        type: The `type` of the YAML file.
        module: The format's file.
        options: Its options.
    """

    type: str
    module: Format
    options: BaseModel

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields that every row must have."""
        return self.module.fields(self.options)

    @property
    def long_rows(self) -> Literal["drop", "split"]:
        """What becomes of a row longer than `sequence_len`."""
        return self.module.LONG_ROWS

    def segments(self, row: Mapping[str, Any]) -> list[Segment]:
        """The segments of one row.

        Raises:
            DataError: the row cannot be used; without a place.
        """
        return self.module.segments(row, self.options)

    def prompt(self, text: str) -> list[Segment]:
        """The segments that stand before the answer to a plain question."""
        return self.module.prompt(text, self.options)

    def identity(self) -> dict[str, Any]:
        """What decides the text that comes out: the file's content and the options."""
        return {
            "format": self.module.__name__,
            "source": _source_hash(self.module.__name__),
            "options": self.options.model_dump(mode="json"),
        }


class Shared(TypedDict, total=False):
    """What holds for every dataset entry; a format takes what its `Options` have a field for.

    Args:
        train_on_inputs: Train on the prompt too.
        prompt_templates: Which wording of the prompts.
        chat_template: Name of the chat template.
        chat_template_jinja: A chat template, or the file that it is in.
        chat_template_kwargs: Further variables of the chat template.
        eot_tokens: Tokens that end a turn, besides the end token.
        tokenizer: What there is to know of the tokenizer; left out where none is loaded.
    """

    train_on_inputs: bool
    prompt_templates: str
    chat_template: str | None
    chat_template_jinja: str | None
    chat_template_kwargs: Mapping[str, Any] | None
    eot_tokens: Sequence[str] | None
    tokenizer: TokenizerFacts | None


def shared_settings(options: Sections, tokenizer: TokenizerFacts | None = None) -> Shared:
    """What the file says for all of its dataset entries, and what there is to know of the tokenizer."""
    return Shared(
        train_on_inputs=options.data.train_on_inputs,
        prompt_templates=options.data.prompt_templates,
        chat_template=options.chat.chat_template,
        chat_template_jinja=options.chat.chat_template_jinja,
        chat_template_kwargs=options.chat.chat_template_kwargs,
        eot_tokens=options.chat.eot_tokens,
        tokenizer=tokenizer,
    )


def bind(
    source_type: str | Mapping[str, Any],
    *,
    settings: Mapping[str, Any] | None = None,
    shared: Shared | None = None,
    key: str = "type",
    where: str | None = None,
) -> BoundFormat:
    """Find the format that `source_type` names and fill in its options.

    Args:
        source_type: `name`, `name:suffix` or `name.variant`, such as `alpaca:chat`, `completion:body`
            or `alpaca_chat.load_qa`; or a mapping of templates, for the format `custom`.
        settings: What the dataset entry says besides, such as `field`; None values are left out.
        shared: What holds for every entry.
        key: The key of the YAML file, for messages.
        where: Where it was written, for messages.

    Raises:
        UnknownName: no such format or style; names the nearest.
        ConfigError: the format has no such setting.
    """
    given = {k: v for k, v in (settings or {}).items() if v is not None}
    if not isinstance(source_type, str):
        given |= source_type
        source_type = CUSTOM
    name, mark, part = _name_and_part(source_type)
    module = cast(Format, load("axolotl.formats", name, where=where))
    known = module.Options.model_fields
    for setting in given:
        if setting not in known:
            raise ConfigError(
                key,
                f"type '{source_type}' has no setting '{setting}'",
                where=where,
                hint=f"remove `{setting}`; {name} knows: {', '.join(_own(known))}",
            )
    if mark:
        option = module.SUFFIX if mark == ":" else module.VARIANT
        _take_part(module, option, mark, part, given, key=key, name=name, where=where)
    taken = _shared(shared or {}, given)
    given = {k: v for k, v in taken.items() if k in known and v is not None} | given
    try:
        options = module.Options(**given)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        problem = first["msg"].removeprefix("Value error, ")
        raise ConfigError(
            key, f"type '{source_type}': {at + ': ' if at else ''}{problem}", where=where
        ) from error
    return BoundFormat(source_type, module, options)


def _name_and_part(source_type: str) -> tuple[str, str, str]:
    """Name of the format, `:` or `.`, and what stands behind it."""
    at = min((i for i in map(source_type.find, ":.") if i >= 0), default=len(source_type))
    return source_type[:at], source_type[at : at + 1], source_type[at + 1 :]


def _own(known: Mapping[str, Any]) -> list[str]:
    """The settings that a dataset entry may hold."""
    return [name for name in known if name not in ("train_on_inputs", "tokenizer")]


def _shared(shared: Shared, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is taken over; a chat template of the entry's own stands against both of the file."""
    templates = ("chat_template", "chat_template_jinja")
    own = any(name in given for name in templates)
    return {k: v for k, v in shared.items() if not (own and k in templates)}


def _take_part(
    module: Format,
    option: str | None,
    mark: str,
    part: str,
    given: dict[str, Any],
    *,
    key: str,
    name: str,
    where: str | None,
) -> None:
    written = f"{name}{mark}{part}"
    if option is None or not part:
        other = module.VARIANT if mark == ":" else module.SUFFIX
        raise UnknownName(
            f"'{written}' is no format",
            where=where,
            hint=f"write `type: {name}{'.' if mark == ':' else ':'}{part}`"
            if other and part
            else f"write `type: {name}`",
        )
    if given.get(option, part) != part:
        raise ConfigError(
            key,
            f"type '{written}' and `{option}: {given[option]}` disagree",
            where=where,
            hint=f"write `type: {name}` and keep `{option}`",
        )
    choices = [str(c) for c in get_args(module.Options.model_fields[option].annotation)]
    if choices and part not in choices:
        guess = nearest(part, choices)
        raise UnknownName(
            f"{name} has no {option} '{part}'",
            where=where,
            hint=f"{f'did you mean {name}{mark}{guess}? ' if guess else ''}Available: "
            + ", ".join(f"{name}{mark}{c}" for c in choices),
        )
    given[option] = part


@cache
def _source_hash(module_name: str) -> str:
    import importlib

    file = importlib.import_module(module_name).__file__
    assert file is not None, f"{module_name} has no file"
    return hash_file(Path(file))
