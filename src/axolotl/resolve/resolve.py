"""Fill in what follows, and hold the configuration against every rule."""

from __future__ import annotations

from typing import Any

from axolotl.config import SECTIONS, Config
from axolotl.config.characters import printable
from axolotl.config.config import DEFAULT
from axolotl.config.load import place_order
from axolotl.errors import ConfigError, ConfigErrors
from axolotl.records import Finding
from axolotl.resolve.case import Case, Purpose
from axolotl.resolve.defaults import IMPLIED
from axolotl.resolve.machine import Machine, this_machine
from axolotl.resolve.resolved import Resolved
from axolotl.resolve.rules import RULES

_LEVELS = ("error", "warning", "info")


def resolve(
    config: Config, *, purpose: Purpose = "train", machine: Machine | None = None
) -> Resolved:
    """What will run.

    Args:
        config: The configuration.
        purpose: What it is to be used for. Preparing data or merging needs less of a machine than
            training: what it lacks is then a warning.
        machine: What it is to run on; by default the machine that this process runs on.

    Raises:
        ConfigErrors: every finding that forbids to run it, in the order of the lines.
    """
    resolved = examine(config, purpose=purpose, machine=machine)
    if resolved.errors:
        remarks = [finding for finding in resolved.findings if finding.level != "error"]
        raise ConfigErrors([as_error(f) for f in resolved.errors], config, remarks)
    return resolved


def as_error(finding: Finding) -> ConfigError:
    """A finding that forbids to run, as what is raised."""
    f = finding
    return ConfigError(f.key, f.message, where=f.where, hint=f.hint or None, rule=f.rule)


def examine(
    config: Config, *, purpose: Purpose = "check", machine: Machine | None = None
) -> Resolved:
    """As `resolve`, with errors among the findings instead of raised."""
    machine = machine or this_machine()
    values, implied = dict[str, Any](), dict[str, str]()
    for key, follow in IMPLIED.items():
        if (found := follow(config, machine)) is not None:
            values[key], by = found
            implied[key] = f"implied by {by}" if by else DEFAULT
    sections: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        own = {key: value for key, value in values.items() if key in section.model_fields}
        sections[name] = getattr(config, name).model_copy(update=own)
    findings = [*config.notes, *_findings(Case(config, machine, purpose))]
    findings.sort(key=lambda f: (_LEVELS.index(f.level), place_order(f.where)))
    return Resolved(**sections, config=config, implied=implied, findings=tuple(findings))


def _findings(case: Case) -> list[Finding]:
    return [
        Finding(
            level=found.level,
            rule=rule.id,
            key=found.key,
            where=case.config.origin(found.key),
            message=printable(found.message),
            hint=printable(found.hint),
            fix=found.fix,
        )
        for rule in RULES
        for found in rule.check(case)
    ]
