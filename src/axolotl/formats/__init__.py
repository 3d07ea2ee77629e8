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
from typing import Any, Literal, Protocol, TypedDict, cast

from pydantic import BaseModel, ValidationError

from axolotl.config import Sections
from axolotl.config.sources import CustomPrompt, DatasetSource
from axolotl.core.hashing import hash_file, hash_values
from axolotl.errors import ConfigError, DataError
from axolotl.formats._asked import before_answer
from axolotl.formats._asked import only_question as only_question
from axolotl.formats._fitting import fitting_types as fitting_types
from axolotl.formats._names import option_of_part, require_variant, split_name
from axolotl.records import Segment, TokenizerFacts
from axolotl.registry import load

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

    @property
    def talks(self) -> bool:
        """Whether its rows are conversations, so that a question may follow an answer.

        Such a format has two functions more: `conversation(messages, options, tools)`, what stands
        before the next answer, and `asked(row, options)`, what stands before the answer of a row.
        """
        return hasattr(self.module, "conversation")

    def conversation(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None = None
    ) -> list[Segment]:
        """The segments that stand before the next answer; none is trained.

        Args:
            messages: The turns, with `role` and `content`, the last from the user or a tool.
            tools: Tools that the model is told of, where the format can.

        Raises:
            DataError: the format has no place for them; without a place.
        """
        if tools and self.type != "chat_template":
            raise DataError(
                f"the format {self.type} has no place for tools",
                hint="a model that was trained with `type: chat_template` can be told of tools",
            )
        talk: Any = getattr(self.module, "conversation", None)
        if talk is not None:
            return talk(messages, self.options, tools)
        return self.prompt(only_question(messages, self.type))

    def asked(self, row: Mapping[str, Any]) -> list[Segment]:
        """The segments that stand before the answer of a row, which may have none yet.

        Raises:
            DataError: something else than the answer is missing; without a place.
        """
        found: Any = getattr(self.module, "asked", None)
        if found is not None:
            return found(row, self.options)
        plain = self.options
        if "train_on_inputs" in type(plain).model_fields:
            plain = plain.model_copy(update={"train_on_inputs": False})
        return before_answer(row, self.fields, lambda whole: self.module.segments(whole, plain))

    def remarks(self, row: Mapping[str, Any]) -> list[str]:
        """What is odd about a row that is used as it is, in words that many rows can share.

        A format says it in a function `remarks(row, options)`, which it may leave out.
        """
        said = getattr(self.module, "remarks", None)
        return said(row, self.options) if said else []

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
        ConfigError: the format has no such setting, or `custom` is written as a name.
    """
    given = {k: v for k, v in (settings or {}).items() if v is not None}
    own = not isinstance(source_type, str)
    if not isinstance(source_type, str):
        _check_once(given, source_type, key=key, where=where)
        given |= source_type
        source_type = CUSTOM
    elif source_type == CUSTOM:
        raise ConfigError(
            key,
            f"`type: {CUSTOM}` says nothing of the prompts",
            where=where,
            hint="write a mapping with own templates in its place, such as "
            '`type: {field_instruction: q, field_output: a, no_input_format: "Q: {instruction} A: "}`',
        )
    name, mark, part = split_name(source_type)
    module = cast(Format, load("axolotl.formats", name, where=where))
    _check_settings(module, source_type, given, key=key, where=where)
    if mark:
        option = option_of_part(module, name, mark, part, where=where)
        _check_agreement(given, option, part, source_type, key=key, where=where)
        given[option] = part
    else:
        require_variant(module, name, where=where)
    known = module.Options.model_fields
    taken = _shared(shared or {}, given)
    given = {k: v for k, v in taken.items() if k in known and v is not None} | given
    try:
        options = module.Options(**given)
    except ConfigError as error:  # of a check of the format's own; its key is the option
        at = _key_of(error.key, key, settings)
        raise ConfigError(at, error.what, where=where, hint=error.hint) from error
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        problem = first["msg"].removeprefix("Value error, ")
        if own:
            raise ConfigError(f"{key}.{at}" if at else key, problem, where=where) from error
        raise ConfigError(
            _key_of(at, key, settings),
            f"type '{source_type}': {at + ': ' if at else ''}{problem}",
            where=where,
        ) from error
    return BoundFormat(source_type, module, options)


def _key_of(option: str, key: str, settings: Mapping[str, Any] | None) -> str:
    """Where an option is written: beside `type`, in it, or for the whole file."""
    if option in Shared.__annotations__ and option not in (settings or {}):
        return option
    beside = option in (settings or {}) and key.endswith(".type")
    return f"{key.removesuffix('.type')}.{option}" if beside else key


def _check_settings(
    module: Format, source_type: str, given: Mapping[str, Any], *, key: str, where: str | None
) -> None:
    known = module.Options.model_fields
    for setting in given:
        if setting not in known:
            sayable = {*CustomPrompt.model_fields} if source_type == CUSTOM else set[str]()
            sayable |= DatasetSource.model_fields.keys()
            names = [name for name in known if name in sayable]
            raise ConfigError(
                key,
                f"type '{source_type}' has no setting '{setting}'",
                where=where,
                hint=f"remove `{setting}`"
                + (f"; {source_type} knows: {', '.join(names)}" if names else ""),
            )


def _check_once(
    beside: Mapping[str, Any], mapping: Mapping[str, Any], *, key: str, where: str | None
) -> None:
    for name in beside.keys() & mapping.keys():
        if beside[name] != mapping[name]:
            raise ConfigError(
                key,
                f"`{name}: {beside[name]}` stands beside the mapping, which does not look there",
                where=where,
                hint=f"move `{name}` below `type:`",
            )


def _check_agreement(
    given: Mapping[str, Any],
    option: str,
    part: str,
    source_type: str,
    *,
    key: str,
    where: str | None,
) -> None:
    if given.get(option, part) != part:
        raise ConfigError(
            key,
            f"type '{source_type}' and `{option}: {given[option]}` disagree",
            where=where,
            hint=f"write `type: {split_name(source_type)[0]}` and keep `{option}`",
        )


def _shared(shared: Shared, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is taken over; a chat template of the entry's own stands against both of the file."""
    templates = ("chat_template", "chat_template_jinja")
    own = any(name in given for name in templates)
    return {k: v for k, v in shared.items() if not (own and k in templates)}


@cache
def _source_hash(module_name: str) -> str:
    """Hash of the file and of all that the formats share: files of this folder, and the templates."""
    folder = Path(__file__).parent
    file = folder / f"{module_name.rpartition('.')[2]}.py"
    shared = [*folder.glob("_[!_]*.py"), *(folder.parent / "templates").glob("*.py")]
    return hash_values([hash_file(path) for path in [file, *sorted(shared)]])
