"""What will run: every option with its final value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from axolotl.config import Config, Sections
from axolotl.records import Finding


@dataclass(frozen=True)
class Resolved(Sections):
    """A configuration with every default filled in that needs no data.

    Args:
        config: What the file and the command line say.
        implied: Option → what its value follows from.
        findings: What the rules have to say, in the order of the lines.
    """

    config: Config
    implied: Mapping[str, str]
    findings: tuple[Finding, ...] = ()

    @property
    def folder(self) -> Path:
        """Folder of the configuration file; the current one where it is no file."""
        return self.config.folder

    @property
    def file_name(self) -> str:
        """Name of the configuration file, as in `Config`."""
        return self.config.file_name

    def origin(self, key: str) -> str:
        """Where the value of `key` comes from.

        Args:
            key: An option, or a dotted path.

        Returns:
            `file.yml:12`, `--lora_r`, `argument`, `implied by sample_packing` or `default`.
        """
        return self.implied.get(key) or self.config.origin(key)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid to run it."""
        return tuple(finding for finding in self.findings if finding.level == "error")
