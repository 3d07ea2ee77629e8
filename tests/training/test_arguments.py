"""What only a GPU could show reaches the library's trainer."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from axolotl.config.distributed import DistributedSection
from axolotl.config.optimizer import OptimizerSection
from axolotl.config.precision import PrecisionSection
from axolotl.config.saving import SavingSection
from axolotl.config.training import TrainingSection
from axolotl.training import arguments
from axolotl.training.arguments import Cadence, training_arguments


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The arguments as handed to the library."""
    monkeypatch.setattr(arguments, "TrainingArguments", dict)

    def collect(
        *,
        gpu: bool,
        training: dict[str, Any] | None = None,
        distributed: dict[str, Any] | None = None,
        **precision: Any,
    ) -> Any:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        return training_arguments(
            training=TrainingSection(**training or {}),
            optimizer=OptimizerSection(),
            precision=PrecisionSection(**precision),
            saving=SavingSection(),
            distributed=DistributedSection(**distributed or {}),
            save=Cadence("no"),
            evaluate=Cadence("no"),
            logging_steps=1,
            total_steps=1,
            accumulation_steps=1,
        )

    return collect


@pytest.mark.parametrize("option", ["fp16", "tf32"])
def test_number_formats_of_gpus(given: Any, option: str) -> None:
    assert given(gpu=True, **{option: True})[option] is True
    assert not given(gpu=True).get(option)
    assert not given(gpu=False, **{option: True}).get(option)


def test_gradient_checkpointing_kwargs(given: Any) -> None:
    def kwargs(**training: Any) -> list[Any]:
        handed = given(gpu=False, training=training)
        return [value for key, value in handed.items() if key.endswith("checkpointing_kwargs")]

    assert kwargs() == [{"use_reentrant": False}]
    assert kwargs(gradient_checkpointing_kwargs={"use_reentrant": True}) == [
        {"use_reentrant": True}
    ]


@pytest.mark.parametrize(
    ("option", "value", "without"),
    [
        ("ddp_timeout", 60, None),
        ("ddp_bucket_cap_mb", 7, None),
        ("ddp_broadcast_buffers", False, None),
        ("ddp_broadcast_buffers", True, None),
        ("ddp_find_unused_parameters", True, False),
    ],
)
def test_options_of_several_processes(given: Any, option: str, value: Any, without: Any) -> None:
    assert given(gpu=False, distributed={option: value})[option] is value
    assert given(gpu=False).get(option) is without
