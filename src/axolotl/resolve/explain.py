"""All there is to say of one option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from axolotl.config import SECTIONS
from axolotl.config.paths import Key, general
from axolotl.config.reference import default_words, value_words
from axolotl.config.section import facts
from axolotl.records import Finding
from axolotl.resolve.defaults import IMPLIED
from axolotl.resolve.resolved import Resolved
from axolotl.resolve.rules import RULES
from axolotl.resolve.rules.no_effect import idle_because


@dataclass(frozen=True, slots=True)
class Explanation:
    """What an option is, and what it is in one configuration.

    Args:
        key: Its dotted path.
        section: What the group that it belongs to is about.
        takes: Type and bounds in words.
        default: The default in words.
        description: What it changes.
        needs: What it needs; empty for nothing.
        rules: Rule → what it is about, for those that look at the option.
        value: Its value in the configuration.
        origin: Where that comes from; empty without a configuration.
        findings: What the rules say of it there.
    """

    key: str
    section: str
    takes: str
    default: str
    description: str
    needs: str
    rules: Mapping[str, str]
    value: Any = None
    origin: str = ""
    findings: tuple[Finding, ...] = ()


def explain(key: Key, asked: str, resolved: Resolved | None = None) -> Explanation:
    """Explain an option.

    Args:
        key: The option.
        asked: Its path as asked for, perhaps with the number of an entry.
        resolved: A configuration to look it up in.
    """
    info = key.info
    top = key.path.partition(".")[0]
    default = default_words(info)
    if "." not in asked and top in IMPLIED and default == "—":
        default = "follows from other options"
    findings: tuple[Finding, ...] = ()
    if resolved is not None:
        findings = tuple(f for f in resolved.findings if _speaks_of(f, asked))
    return Explanation(
        key=asked,
        section=(SECTIONS[key.section].__doc__ or "").partition("\n")[0].rstrip("."),
        takes=value_words(info).replace("`", "'"),
        default=default.replace("`", "").replace("*", ""),
        description=info.description or "",
        needs=facts(info).get("needs", ""),
        rules=_rules(key),
        value=None if resolved is None else _value(resolved.as_dict(), asked),
        origin="" if resolved is None else resolved.origin(asked),
        findings=findings,
    )


def _rules(key: Key) -> dict[str, str]:
    """Rules that look at an option, and what each is about; for a key inside, those that name it."""
    top = key.path.partition(".")[0]
    found = {r.id: (r.check.__doc__ or "").partition("\n")[0] for r in RULES if top in r.keys}
    if key.parent:
        return {rule: about for rule, about in found.items() if f"`{key.name}`" in about}
    if reasons := idle_because(top):
        found["no-effect"] = f"It may change nothing: {'; or '.join(reasons)}."
    return found


def _speaks_of(finding: Finding, key: str) -> bool:
    words = finding.message.partition(":")[0].replace(",", " ").split()
    return general(finding.key).startswith(general(key)) or key in words


def _value(values: Any, path: str) -> Any:
    """What stands at a dotted path; None where there is nothing."""
    for part in path.split("."):
        if isinstance(values, dict):
            values = cast("dict[str, Any]", values).get(part)
        elif isinstance(values, list) and part.isdigit():
            items = cast("list[Any]", values)
            values = items[int(part)] if int(part) < len(items) else None
        else:
            return None
    return values
