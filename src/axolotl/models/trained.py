"""Where the result of a run is to be loaded from: an adapter on its base, or a whole model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from axolotl.config.adapter import AdapterSection
from axolotl.config.model import ModelSection
from axolotl.errors import ModelError


@dataclass(frozen=True)
class TrainedSource:
    """What to load.

    Args:
        model: Base model and tokenizer.
        adapter: Folder of the adapter to put on it; None for a whole model.
    """

    model: ModelSection
    adapter: Path | None


def trained_source(
    model: ModelSection, adapter: AdapterSection, *, output_dir: str, base: bool = False
) -> TrainedSource:
    """What a configuration's run has made, or the base model it began with.

    The tokenizer saved beside the weights is taken: it has the tokens that the run added.

    Args:
        model: The configuration's base model.
        adapter: Its adapter options; `lora_model_dir` names another adapter than `output_dir`.
        output_dir: Its output folder.
        base: The base model without what was trained.

    Raises:
        ModelError: nothing was trained there yet.
    """
    if base:
        return TrainedSource(model, None)
    folder = Path(adapter.lora_model_dir or output_dir)
    wanted = "adapter_config.json" if adapter.adapter else "config.json"
    if not (folder / wanted).is_file():
        what = "adapter" if adapter.adapter else "model"
        raise ModelError(
            f"'{folder}' holds no trained {what}",
            hint="train first, or let output_dir (lora_model_dir for an adapter) name its folder",
        )
    changes: dict[str, object] = {"tokenizer_type": None, "special_tokens": None, "tokens": None}
    if (folder / "tokenizer_config.json").is_file():
        changes["tokenizer_config"] = str(folder)
    if not adapter.adapter:
        changes |= {"base_model": str(folder), "base_model_config": None, "model_revision": None}
    return TrainedSource(model.model_copy(update=changes), folder if adapter.adapter else None)
