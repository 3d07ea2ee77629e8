"""What the table before the start says of options that are set: formats, savings, followers."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from axolotl.config import Sections
from axolotl.training.precision import formats


def number_formats(sections: Sections, *, gpu: bool) -> str | None:
    """What is computed in which format, as the file asks for it; None for plain float32."""
    found = formats(sections.precision, gpu=gpu)
    said: list[str] = []
    if found.weights != torch.float32:
        said.append(f"weights in {_name(found.weights)}")
    if found.autocast is not None:
        said.append(f"layers computed in {_name(found.autocast)}")
    if found.evaluation is not None:
        said.append(f"evaluated with {_name(found.evaluation)} copies of the weights")
    if gpu and sections.precision.tf32:
        said.append("products in tf32")
    return ", ".join(said) or None


def savers(sections: Sections) -> str | None:
    """What saves memory or time, or makes noise: `gradient checkpointing, NEFTune noise 5`."""
    training = sections.training
    said: list[str] = []
    if training.gradient_checkpointing:
        said.append("gradient checkpointing")
    if training.noisy_embedding_alpha:
        said.append(f"NEFTune noise {training.noisy_embedding_alpha:g}")
    if training.torch_compile:
        backend = training.torch_compile_backend
        said.append(f"torch.compile{f' with {backend}' if backend else ''}")
    return ", ".join(said) or None


def trackers(sections: Sections) -> str | None:
    """Who follows the run besides `metrics.jsonl`, and where."""
    return "; ".join(_trackers(sections)) or None


def _trackers(sections: Sections) -> Iterator[str]:
    tracking, folder = sections.tracking, sections.saving.output_dir
    if tracking.wandb_project and tracking.wandb_mode != "disabled":
        mode = tracking.wandb_mode
        where = f" in {folder}/wandb" if mode == "offline" else ""
        yield f"wandb, project {tracking.wandb_project}{f', {mode}' if mode else ''}{where}"
    if tracking.use_tensorboard:
        yield f"TensorBoard in {folder}/runs"
    if tracking.use_mlflow:
        place = tracking.mlflow_tracking_uri
        yield f"MLflow{f' at {place}' if place else ''}"


def hub(sections: Sections) -> str | None:
    """What is sent to the hub."""
    name = sections.hub.hub_model_id
    return f"{name}, {sections.hub.hub_strategy}" if name else None


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
