"""Dataset formats: one file per family, each a function from a row to segments of text.

A format knows nothing of tokenizers, labels or lengths. `type: alpaca:chat` is the file
`alpaca.py` with its option `SUFFIX` set to `chat`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args

from pydantic import BaseModel, ValidationError

from axolotl.core.hashing import hash_file
from axolotl.errors import ConfigError, UnknownName
from axolotl.records import Segment
from axolotl.registry import load, nearest


class Format(Protocol):
    """What a file of this folder contains.

    Attributes:
        Options: Frozen pydantic model of what a dataset entry may say about the format. A field
            named `train_on_inputs` is filled from the key of that name.
        SUFFIX: Name of the option that the part of `type` behind the colon sets; None for none.
        LONG_ROWS: What becomes of a row longer than `sequence_len`: dropped, or split into
            consecutive rows.
    """

    __name__: str
    Options: type[BaseModel]
    SUFFIX: str | None
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


def bind(
    source_type: str,
    *,
    train_on_inputs: bool = False,
    settings: Mapping[str, Any] | None = None,
    key: str = "type",
    where: str | None = None,
) -> BoundFormat:
    """Find the format that `source_type` names and fill in its options.

    Args:
        source_type: `name` or `name:suffix`, such as `alpaca:chat` or `completion:body`.
        train_on_inputs: Train on the prompt too; formats without a prompt do not ask.
        settings: What the dataset entry says besides, such as `field`; None values are left out.
        key: The key of the YAML file, for messages.
        where: Where it was written, for messages.

    Raises:
        UnknownName: no such format or style; names the nearest.
        ConfigError: the format has no such setting.
    """
    name, _, suffix = source_type.partition(":")
    module = cast(Format, load("axolotl.formats", name, where=where))
    given = {k: v for k, v in (settings or {}).items() if v is not None}
    known = module.Options.model_fields
    for setting in given:
        if setting not in known:
            raise ConfigError(
                key,
                f"type '{source_type}' has no setting '{setting}'",
                where=where,
                hint=f"remove `{setting}`; {name} knows: {', '.join(known)}",
            )
    if ":" in source_type:
        _take_suffix(module, suffix, given, key=key, source_type=source_type, where=where)
    if "train_on_inputs" in known:
        given["train_on_inputs"] = train_on_inputs
    try:
        options = module.Options(**given)
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise ConfigError(key, f"type '{source_type}': {problem}", where=where) from error
    return BoundFormat(source_type, module, options)


def _take_suffix(
    module: Format,
    suffix: str,
    given: dict[str, Any],
    *,
    key: str,
    source_type: str,
    where: str | None,
) -> None:
    option = module.SUFFIX
    name = source_type.partition(":")[0]
    if option is None or not suffix:
        raise UnknownName(
            f"'{source_type}' is no format", where=where, hint=f"write `type: {name}`"
        )
    if given.get(option, suffix) != suffix:
        raise ConfigError(
            key,
            f"type '{source_type}' and `{option}: {given[option]}` disagree",
            where=where,
            hint=f"write `type: {name}` and keep `{option}`",
        )
    choices = [str(c) for c in get_args(module.Options.model_fields[option].annotation)]
    if choices and suffix not in choices:
        guess = nearest(suffix, choices)
        raise UnknownName(
            f"{name} has no {option} '{suffix}'",
            where=where,
            hint=f"{f'did you mean {name}:{guess}? ' if guess else ''}Available: "
            + ", ".join(f"{name}:{c}" for c in choices),
        )
    given[option] = suffix


@cache
def _source_hash(module_name: str) -> str:
    import importlib

    file = importlib.import_module(module_name).__file__
    assert file is not None, f"{module_name} has no file"
    return hash_file(Path(file))
