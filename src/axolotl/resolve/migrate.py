"""An old file in today's form: the fixes of all findings, made in its text.

One fix is made at a time and the file is judged anew, so that none is made for a reason that another
one has removed. Nothing depends on the machine: the file is judged as on one that can do everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from axolotl.config.edit import apply
from axolotl.config.find import Source
from axolotl.config.yaml_text import read_yaml
from axolotl.records import Finding
from axolotl.resolve.fates import Fate, Fates, line_of
from axolotl.resolve.machine import Machine
from axolotl.resolve.partial import UNKNOWN, read_partly
from axolotl.resolve.resolve import examine
from axolotl.resolve.rules import RULES

_ABLE = Machine(gpu=True, bf16=True)
_MOST_FIXES = 1000
_BY_HAND = "change it by hand: it is inherited, or written in a way that cannot be changed in place"
_NOTES = {"batch-size": ("batch_size", "micro_batch_size", "gradient_accumulation_steps")}
"""Rules that are applied while a file is read → the options that they look at."""

_ALL = "*"
"""What a rule has for its options that looks at all of them."""

_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Migration:
    """A file in today's form.

    Args:
        text: Its text.
        changed: Whether that is another than before.
        keys: What became of each key of the old file, in its order.
        findings: What remains to be looked at; lines are those of the old file.
    """

    text: str
    changed: bool
    keys: Sequence[Fate]
    findings: Sequence[Finding]

    @property
    def ok(self) -> bool:
        """Whether nothing is refused."""
        return all(fate.status != "refused" for fate in self.keys)


def migrate(text: str, source: Source | str) -> Migration:
    r"""Bring the text of a configuration into today's form.

    Args:
        text: What the file says. Comments, order and whatever needs no change stay as they are.
        source: The file, or its name: for messages, and to find what its `base` names.

    Raises:
        ConfigError: it is no YAML, or the file it is based on cannot be read.

    >>> print(migrate("base_model: m\ndevice_map: auto  # all\n", "old.yml").text, end="")
    base_model: m
    """
    if isinstance(source, str):
        source = Source(source, path=Path(source))
    bom = _BOM if text.startswith(_BOM) else ""
    old = text.removeprefix(_BOM)
    fates = Fates(read_yaml(old, source.name)[0])
    new, by_hand = _mend(old, source, fates)
    findings = [
        replace(f, hint=f"{f.hint}; {_BY_HAND}" if f.hint else _BY_HAND)
        if repr(f.fix) in by_hand
        else f
        for f in _judge(new, source)[0]
        if f.level != "info" or repr(f.fix) in by_hand
    ]
    for finding in findings:
        if finding.rule == "not-yet":
            fates.told(finding, "not yet")
    for finding in reversed(findings):  # of several about one key, the first is shown
        if finding.level == "error":
            fates.told(finding, "refused")
    placed = [replace(f, where=_place(f, source, fates)) for f in findings]
    return Migration(bom + new, new != old, tuple(fates), tuple(placed))


def _mend(text: str, source: Source, fates: Fates) -> tuple[str, set[str]]:
    """The text with all fixes made, and those that could not be made."""
    tried, by_hand = set[str](), set[str]()
    for _ in range(_MOST_FIXES):
        waiting = [f for f in _judge(text, source)[1] if f.fix and repr(f.fix) not in tried]
        if not waiting:
            break
        finding = waiting[0]
        tried.add(repr(finding.fix))
        new, left = apply(text, finding.fix)
        if left:
            by_hand.add(repr(finding.fix))
        elif new != text:
            text = new
            fates.mended(finding)
            # What could not be made before may be possible now: a key has its present name, say.
            tried -= by_hand
            by_hand.clear()
    return text, by_hand


def _judge(text: str, source: Source) -> tuple[list[Finding], list[Finding]]:
    """All findings, and those whose fixes can be relied on."""
    partial = read_partly(text, source)
    refused = list(partial.refused)
    if partial.config is None:
        return refused, []
    lines = {finding.where for finding in refused if line_of(finding.where)}
    found, sure = list[Finding](), list[Finding]()
    for finding in examine(partial.config, machine=_ABLE).findings:
        if finding.rule == UNKNOWN or finding.where in lines:
            continue  # it is refused anyway
        keys = _looked_at(finding, partial.config.notes)
        if partial.doubtful.isdisjoint(keys):
            found.append(finding)
            if not partial.doubtful or _ALL not in keys:
                sure.append(finding)
    return [*refused, *found], sure


def _looked_at(finding: Finding, notes: Sequence[Finding]) -> set[str]:
    """The options that a finding depends on."""
    if finding in notes:
        return set(_NOTES.get(finding.rule, ()))
    return {key for rule in RULES if rule.id == finding.rule for key in rule.keys}


def _place(finding: Finding, source: Source, fates: Fates) -> str:
    """Where a finding is in the old file."""
    if not finding.where.startswith(f"{source.name}:") or line_of(finding.where) is None:
        return finding.where
    line = fates.line(finding.key)
    return source.name if line is None else f"{source.name}:{line}"
