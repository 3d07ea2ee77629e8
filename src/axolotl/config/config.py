"""The configuration: what the file and the command line say, grouped, with the place of each value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from pydantic.fields import FieldInfo

from axolotl.config.adapter import AdapterSection
from axolotl.config.attention import AttentionSection
from axolotl.config.chat import ChatSection
from axolotl.config.data import DataSection
from axolotl.config.distributed import DistributedSection
from axolotl.config.evaluation import EvaluationSection
from axolotl.config.general import GeneralSection
from axolotl.config.hub import HubSection
from axolotl.config.logging import LoggingSection
from axolotl.config.loss import LossSection
from axolotl.config.model import ModelSection
from axolotl.config.optimizer import OptimizerSection
from axolotl.config.precision import PrecisionSection
from axolotl.config.quantization import QuantizationSection
from axolotl.config.relora import ReloraSection
from axolotl.config.rows import RowsSection
from axolotl.config.saving import SavingSection
from axolotl.config.schedule import ScheduleSection
from axolotl.config.section import Section
from axolotl.config.sequence import SequenceSection
from axolotl.config.streaming import StreamingSection
from axolotl.config.tracking import TrackingSection
from axolotl.config.training import TrainingSection
from axolotl.records import Finding

DEFAULT = "default"
NO_FILE = "(no file)"
"""What stands for the name of a configuration that is an address, standard input or a mapping."""


@dataclass(frozen=True)
class Sections:
    """All options, one attribute for each section. A section is added by adding it here."""

    model: ModelSection
    quantization: QuantizationSection
    precision: PrecisionSection
    data: DataSection
    chat: ChatSection
    rows: RowsSection
    streaming: StreamingSection
    hub: HubSection
    sequence: SequenceSection
    adapter: AdapterSection
    relora: ReloraSection
    training: TrainingSection
    optimizer: OptimizerSection
    schedule: ScheduleSection
    saving: SavingSection
    evaluation: EvaluationSection
    logging: LoggingSection
    tracking: TrackingSection
    attention: AttentionSection
    loss: LossSection
    distributed: DistributedSection
    general: GeneralSection

    @property
    def folder(self) -> Path:
        """Folder of the configuration file; the current one where it is no file."""
        return Path()

    @property
    def file_name(self) -> str:
        """Name of the configuration file; `NO_FILE` where it is none."""
        return NO_FILE

    def as_dict(self) -> dict[str, Any]:
        """Every option with its value, flat as in the file; plain Python values."""
        return {k: v for n in SECTIONS for k, v in getattr(self, n).model_dump().items()}


SECTIONS: Mapping[str, type[Section]] = get_type_hints(Sections)
"""Attribute of `Sections` → its class."""


@cache
def options() -> Mapping[str, FieldInfo]:
    """Every key of the file → what it is. A key belongs to one section only."""
    return {key: info for s in SECTIONS.values() for key, info in s.model_fields.items()}


@dataclass(frozen=True)
class Config(Sections):
    """What the file and the command line say; nothing writes to it.

    Args:
        written: The values as written, flat, without those left to their defaults.
        places: Dotted path → where it was written.
        notes: What was read in another way than written.
        file: The file that was named; None for an address, standard input or a mapping.
    """

    written: Mapping[str, Any]
    places: Mapping[str, str]
    notes: tuple[Finding, ...] = ()
    file: Path | None = None

    @property
    def folder(self) -> Path:
        """Folder of the configuration file; the current one where it is no file."""
        return self.file.parent if self.file else Path()

    @property
    def file_name(self) -> str:
        """Name of the configuration file; `NO_FILE` where it is none."""
        return self.file.name if self.file else NO_FILE

    def origin(self, key: str) -> str:
        """Where the value of `key` comes from: `file.yml:12`, `--lora_r`, `argument` or `default`.

        Args:
            key: An option, or a dotted path such as `datasets.0.path`; one that is not written
                there has the place of what it belongs to.
        """
        while key not in self.places and "." in key:
            key = key.rpartition(".")[0]
        return self.places.get(key, DEFAULT)

    def given(self) -> dict[str, Any]:
        """The values as written, flat; defaults are left out."""
        return dict(self.written)
