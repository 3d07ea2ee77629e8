"""Saved adapters: put on a model, written, taken up again on a resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from peft import PeftModel, load_peft_weights, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedModel

from axolotl.config.adapter import AdapterSection
from axolotl.config.model import ModelSection
from axolotl.core.console import note
from axolotl.errors import ModelError, located
from axolotl.models.adapters.new import fit_layer_types
from axolotl.models.adapters.number_format import to_fp32
from axolotl.models.adapters.starts import (
    OWN_BASE,
    name_own_base,
    start_of,
    take_up,
    write_converted,
)
from axolotl.models.quiet import quiet_peft
from axolotl.models.sources import first_line

RELORA_BASE = "relora"
"""Folder in a checkpoint of ReLoRA with the base model that its adapter stands on."""


def attach_saved(
    model: PreTrainedModel,
    folder: Path,
    *,
    trainable: bool,
    fp32: bool = False,
    where: str | None = None,
) -> PeftModel:
    """Put the adapter saved in `folder` on `model`.

    Args:
        model: The base model, with embeddings as large as when the adapter was trained.
        folder: Holds `adapter_config.json` and `adapter_model.safetensors`.
        trainable: Whether its weights are to be trained on.
        fp32: Whether all of its weights are held in fp32 beside a base that is not.
        where: The option that names the folder, for messages.

    Raises:
        ModelError: no adapter there, or one that is damaged or does not fit this base.
    """
    if where is not None:
        with located(where):
            return attach_saved(model, folder, trainable=trainable, fp32=fp32)
    settings = check_saved(folder)
    try:
        with quiet_peft():
            loaded = PeftModel.from_pretrained(model, str(folder), is_trainable=trainable or fp32)
            if fp32 and to_fp32(loaded):  # what was rounded while it was loaded is loaded again
                set_peft_model_state_dict(loaded, load_peft_weights(str(folder), device="cpu"))
            if not trainable:
                loaded.requires_grad_(False).eval()
    except SafetensorError as error:
        raise ModelError(
            f"'{folder / 'adapter_model.safetensors'}' is damaged: {first_line(error)}",
            hint="copy it again, or use one of the run's checkpoint folders",
        ) from error
    except (ValueError, TypeError, RuntimeError, KeyError) as error:
        base = settings.get("base_model_name_or_path") or "another base model"
        raise ModelError(
            f"the adapter in '{folder}' does not fit the base model: {_mismatch(error)}",
            hint=f"it was trained on '{base}'; let base_model name that one",
        ) from error
    fit_layer_types(loaded)
    return loaded


def check_saved(folder: Path) -> dict[str, object]:
    """See whether a folder holds an adapter, without reading its weights; what it says of itself.

    Raises:
        ModelError: there is none, or one that cannot be gone on with.
    """
    settings = _read_settings(folder)
    _check_start(folder, settings)
    return settings


def _check_start(folder: Path, settings: dict[str, object]) -> None:
    """Refuse what another program saved without the start that its weights belong to."""
    start = str(settings.get("init_lora_weights"))
    if start.startswith("pissa_niter") or start in ("loftq", "corda", "eva", "lora_ga"):
        raise ModelError(
            f"the adapter in '{folder}' began with '{start}', and that cannot be found again",
            hint="let the program that made it save it as an ordinary LoRA adapter",
        )


def save_adapter(adapted: Any, folder: Path, *, state_dict: dict[str, Any] | None = None) -> None:
    """Write the adapter so that it is right on the unchanged base model, in any program.

    Args:
        adapted: The model, with its adapter.
        folder: Where to.
        state_dict: All weights of the model, where they are not its own.
    """
    with quiet_peft():
        adapted.save_pretrained(
            str(folder),
            state_dict=state_dict,
            save_embedding_layers=_saves_embeddings(adapted),
        )
    start = start_of(adapted)
    if start is None:
        return
    if start.factors:
        write_converted(start, folder)
    elif start.base is not None:
        name_own_base(folder, start.base)


def _saves_embeddings(adapted: Any) -> bool | Literal["auto"]:
    """Whether the embeddings are written too: where they have another size than the base model's.

    peft asks the hub at each save, and takes them for unchanged where it gets no answer. Where the
    base model came from the hub, its `config.json` is on this disk by now.

    Returns:
        `auto` leaves it to peft: where an adapter is on the embeddings, or the base is not found.
    """
    vocabulary = _base_vocabulary(adapted)
    if vocabulary is None:
        return "auto"
    rows = getattr(adapted.peft_config["default"], "trainable_token_indices", None)
    if adapted.config.vocab_size != vocabulary:
        return not _new_rows_are_trained(adapted, rows, vocabulary)
    model = adapted.get_base_model()
    ends = model.get_input_embeddings(), model.get_output_embeddings()
    adapts = any(isinstance(layer, BaseTunerLayer) for layer in ends)
    return "auto" if adapts and not rows else False


def _base_vocabulary(adapted: Any) -> int | None:
    """Size of the base model's vocabulary by its `config.json` on this disk; None without one."""
    base = adapted.peft_config["default"].base_model_name_or_path
    base = str(base or adapted.get_base_model().name_or_path)
    if not base:
        return None
    commit = getattr(adapted.config, "_commit_hash", None)
    try:
        config = type(adapted.config).from_pretrained(base, revision=commit, local_files_only=True)
    except OSError:
        return None
    return getattr(config, "vocab_size", None)


def _new_rows_are_trained(adapted: Any, rows: Any, vocabulary: int) -> bool:
    """Whether the embeddings differ from the base model's in rows only that are saved by themselves.

    Otherwise they are written as a whole: an untrained new row is random, and another program would
    draw another one.
    """
    if not rows:
        return False
    new = set(range(vocabulary, adapted.config.vocab_size))
    listed = list(rows.values()) if isinstance(rows, dict) else [rows]
    both = bool(adapted.config.tie_word_embeddings) or len(listed) > 1
    return both and all(new <= set(ids) for ids in listed)


def take_weights(adapted: nn.Module, folder: Path) -> bool:
    """Take up the adapter in a folder of this run, where the library cannot; whether it was done."""
    start = start_of(adapted)
    if start is None or not start.factors:
        return False
    assert isinstance(adapted, PeftModel)
    take_up(adapted, start, folder)
    return True


def gone_on_with(adapter: AdapterSection) -> Path | None:
    """Folder of the saved adapter that is trained on; None for a new one, or none."""
    there = adapter.lora_model_dir if adapter.adapter else None
    return Path(there) if there else None


def own_base(folder: Path) -> Path | None:
    """The base model that was kept for the adapter in `folder`; None for the one of the file.

    Raises:
        ModelError: it is gone.
    """
    file = folder / "adapter_config.json"
    if not file.is_file():
        return None
    named = str(_read_settings(folder).get("base_model_name_or_path") or "")
    if (folder / RELORA_BASE / "config.json").is_file():
        return folder / RELORA_BASE
    if Path(named).name != OWN_BASE:
        return None
    for place in (folder / OWN_BASE, folder.parent / OWN_BASE, Path(named)):
        if (place / "config.json").is_file():
            return place
    raise ModelError(
        f"the adapter in '{folder}' belongs to the base model '{named}', which is gone",
        hint="LoftQ trains beside quantised weights, which only that folder holds: put it back, or "
        "train again",
    )


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


def with_own_base(model: ModelSection, folder: Path) -> ModelSection:
    """The base model that an adapter was trained beside, where its run has kept one of its own."""
    kept = own_base(folder)
    if kept is None:
        return model
    note(f"the base model is {kept}, which the adapter in '{folder}' was trained beside")
    there = {"base_model": str(kept), "base_model_config": None, "model_revision": None}
    return model.model_copy(update=there)
