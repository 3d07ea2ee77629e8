"""LoRA adapters through peft: new ones, and saved ones to go on with, to answer or to merge."""

from __future__ import annotations

import difflib
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from transformers import PreTrainedModel

from axolotl.config.adapter import AdapterSection
from axolotl.errors import ModelError, located
from axolotl.models.sources import first_line


def attach_new(model: PreTrainedModel, adapter: AdapterSection) -> PeftModel:
    """Put a fresh LoRA adapter on `model` and freeze everything else.

    Targets are `lora_target_modules` together with all linear layers if `lora_target_linear`; with
    neither, all linear layers. The output head is never a target by itself. B starts at zero, so
    the first forward pass equals the base model (Hu et al. 2021, arXiv 2106.09685).

    Raises:
        ModelError: the model has nothing of one of the names.
    """
    _check_saved_names(model, adapter.lora_modules_to_save or ())
    listed = adapter.lora_target_modules
    targets: list[str] | str
    if isinstance(listed, str):
        targets = listed
    elif adapter.lora_target_linear or not listed:
        targets = sorted(set(linear_names(model)).union(listed)) if listed else "all-linear"
    else:
        targets = list(listed)
    config = LoraConfig(
        r=adapter.lora_r,
        lora_alpha=adapter.lora_alpha,
        lora_dropout=adapter.lora_dropout,
        target_modules=targets,
        modules_to_save=list(adapter.lora_modules_to_save or []) or None,
        fan_in_fan_out=adapter.lora_fan_in_fan_out,
        ensure_weight_tying=_touches_tied_weights(model, adapter),
        bias="none",
        task_type="CAUSAL_LM",
    )
    try:
        with _quiet():
            return get_peft_model(model, config)
    except ValueError as error:
        raise ModelError(
            f"LoRA finds no place in this model: {str(error).splitlines()[0]}",
            where="lora_target_modules",
            hint=f"its linear layers are {', '.join(linear_names(model))}",
        ) from error


def linear_names(model: PreTrainedModel) -> list[str]:
    """Last name parts of all linear layers, the output head left out; sorted, each once.

    Also finds GPT-2's `Conv1D`, which is a linear layer with its weight transposed.
    """
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    names = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not head
    }
    return sorted(names)


def _touches_tied_weights(model: PreTrainedModel, adapter: AdapterSection) -> bool:
    """Whether a tied head or its embeddings are trained: apart, they could not be merged again."""
    listed = adapter.lora_target_modules
    names = {
        *(adapter.lora_modules_to_save or []),
        *([listed] if isinstance(listed, str) else listed or []),
    }
    tied = (model.get_input_embeddings(), model.get_output_embeddings())
    ends = {n.rpartition(".")[2] for n, module in model.named_modules() if module in tied}
    return bool(model.config.tie_word_embeddings and names & ends)


def saved_modules(model: PreTrainedModel, names: Sequence[str]) -> list[torch.nn.Module]:
    """The modules that `lora_modules_to_save` means: those whose path ends in one of the names."""
    ends = tuple(names)  # whole parts or not: peft compares the same way
    return [module for path, module in model.named_modules() if path.endswith(ends)]


def _check_saved_names(model: PreTrainedModel, names: Sequence[str]) -> None:
    """Refuse a name that stands for no module: the adapter would be trained without it in silence."""
    for name in names:
        if saved_modules(model, [name]):
            continue
        ends = sorted({path.rpartition(".")[2] for path, _ in model.named_modules() if path})
        ends = [end for end in ends if not end.isdigit()]
        close = difflib.get_close_matches(name.rpartition(".")[2], ends, n=3)
        near = f"did you mean {' or '.join(close)}? " if close else ""
        raise ModelError(
            f"the model has no module '{name}' to be saved with the adapter",
            where="lora_modules_to_save",
            hint=f"{near}its modules are {', '.join(ends)}",
        )


def attach_saved(
    model: PreTrainedModel, folder: Path, *, trainable: bool, where: str | None = None
) -> PeftModel:
    """Put the adapter saved in `folder` on `model`.

    Args:
        model: The base model, with embeddings as large as when the adapter was trained.
        folder: Holds `adapter_config.json` and `adapter_model.safetensors`.
        trainable: Whether its weights are to be trained on.
        where: The option that names the folder, for messages.

    Raises:
        ModelError: no adapter there, or one that is damaged or does not fit this base.
    """
    if where is not None:
        with located(where):
            return attach_saved(model, folder, trainable=trainable)
    settings = _read_settings(folder)
    try:
        with _quiet():
            loaded = PeftModel.from_pretrained(model, str(folder), is_trainable=trainable)
    except SafetensorError as error:
        raise ModelError(
            f"'{folder / 'adapter_model.safetensors'}' is damaged: {first_line(error)}",
            hint="copy it again, or use one of the run's checkpoint folders",
        ) from error
    except (ValueError, RuntimeError, KeyError) as error:
        base = settings.get("base_model_name_or_path") or "another base model"
        raise ModelError(
            f"the adapter in '{folder}' does not fit the base model: {_mismatch(error)}",
            hint=f"it was trained on '{base}'; let base_model name that one",
        ) from error
    return loaded


@contextmanager
def _quiet() -> Iterator[None]:
    """The peft of today still reads a name that transformers has renamed; users can do nothing about it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
        yield


def _read_settings(folder: Path) -> dict[str, object]:
    if not folder.is_dir():
        raise ModelError(f"no adapter folder '{folder}'", hint="train first, or set lora_model_dir")
    file = folder / "adapter_config.json"
    if not file.is_file():
        raise ModelError(
            f"'{folder}' holds no adapter_config.json, so it is no adapter",
            hint="lora_model_dir (or output_dir) must name the folder of a trained adapter",
        )
    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(
            f"'{folder}' holds no adapter_model.safetensors",
            hint="the run that wrote it did not finish; use one of its checkpoint folders",
        )
    try:
        return json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ModelError(
            f"'{file}' is not JSON: {error}", hint="train the adapter again"
        ) from error


def _mismatch(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    sizes = [line for line in lines if "size mismatch" in line]
    if sizes:
        more = f" (and {len(sizes) - 1} more)" if len(sizes) > 1 else ""
        return f"{sizes[0]}{more}"
    return first_line(error)
