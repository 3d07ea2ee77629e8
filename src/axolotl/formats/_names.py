"""What stands behind the name of a format in `type`: a style behind a colon, a variant behind a point.

A name that is none is told the nearest one, in the format itself and in the others.
"""

from __future__ import annotations

from typing import Any, get_args

from axolotl.errors import UnknownName
from axolotl.registry import available, load, nearest


def split_name(source_type: str) -> tuple[str, str, str]:
    """Name of the format, `:` or `.`, and what stands behind it.

    >>> split_name("alpaca_chat.load_qa")
    ('alpaca_chat', '.', 'load_qa')
    """
    at = min((i for i in map(source_type.find, ":.") if i >= 0), default=len(source_type))
    return source_type[:at], source_type[at : at + 1], source_type[at + 1 :]


def option_of_part(module: Any, name: str, mark: str, part: str, *, where: str | None) -> str:
    """The option that is set by what stands behind the name.

    Args:
        module: The format's file.
        name: Its name.
        mark: `:` or `.`.
        part: What stands behind it.
        where: Where it was written, for messages.

    Raises:
        UnknownName: there is no such part; names the nearest.
    """
    option = module.SUFFIX if mark == ":" else module.VARIANT
    if option and part and (is_open(module, option) or part in _values(module, option)):
        return option
    written = f"{name}{mark}{part}"
    what = f"{name} has no {option} '{part}'" if option and part else f"'{written}' is no format"
    raise UnknownName(what, where=where, hint=_advice(module, name, mark, part))


def require_variant(module: Any, name: str, *, where: str | None) -> None:
    """Refuse the bare name of a format that is several.

    Raises:
        UnknownName: it names the variants.
    """
    if module.VARIANT and module.Options.model_fields[module.VARIANT].is_required():
        raise UnknownName(
            f"'{name}' alone is no format",
            where=where,
            hint=f"write {_as_types(written_forms(module, name))}",
        )


def is_open(module: Any, option: str) -> bool:
    """Whether any text may stand for the option, as for the column of `completion:column`."""
    return not get_args(module.Options.model_fields[option].annotation)


def written_forms(module: Any, name: str) -> list[str]:
    """All that may be written in `type` for this format."""
    variant = module.VARIANT
    alone = not (variant and module.Options.model_fields[variant].is_required())
    forms = [name] if alone else []
    for mark, option in ((":", module.SUFFIX), (".", variant)):
        forms += [f"{name}{mark}{value}" for value in _values(module, option)]
    return forms


def _values(module: Any, option: str | None) -> list[str]:
    """The values of a style or variant that can be written; empty where any text may be."""
    if not option:
        return []
    return [str(v) for v in get_args(module.Options.model_fields[option].annotation) if v]


def _advice(module: Any, name: str, mark: str, part: str) -> str:
    forms = written_forms(module, name)
    other = ".:"[".:".index(mark) - 1]
    meant = [f"{name}{other}{part}"] if f"{name}{other}{part}" in forms else _elsewhere(part)
    option = module.SUFFIX if other == ":" else module.VARIANT
    if not meant and part and option and is_open(module, option):
        meant = [f"{name}{other}{part}"]
    if meant:
        return f"write {_as_types(meant)}"
    guess = nearest(f"{name}{mark}{part}", forms, cutoff=0.8) if part else None
    return f"{f'did you mean {guess}? ' if guess else ''}Available: {', '.join(forms)}"


def _elsewhere(variant: str) -> list[str]:
    """The formats that have a variant of this name."""
    formats = available("axolotl.formats")
    return [
        f"{name}.{variant}"
        for name in formats
        if (module := load("axolotl.formats", name)).VARIANT
        and variant in _values(module, module.VARIANT)
    ]


def _as_types(names: list[str]) -> str:
    return " or ".join(f"`type: {name}`" for name in names)
