"""Whole weights of a model that is cut up, and their way back into it.

Gathered weights are in the memory of the first process only, on the CPU; the others get nothing.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.distributed.tensor import DTensor

from axolotl.models.published import is_published_otherwise
from axolotl.models.quiet import no_library_bars

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True, broadcast_from_rank0=True)
"""States are gathered, each tensor at a time, and dealt out by the first process."""
_ADAPTER = "adapter_model.safetensors"
_INDEX = "model.safetensors.index.json"


def gathered(model: Any) -> dict[str, Tensor]:
    """The weights of a model under FSDP, of one with an adapter those that are trained; on rank 0."""
    found: dict[str, Tensor] = {}
    for name, part in parts(model).items():
        whole = part.full_tensor() if isinstance(part, DTensor) else part
        if dist.get_rank() == 0:
            found[name] = whole.detach().cpu()
    return found


def parts(model: Any) -> dict[str, Tensor]:
    """The same in the parts that this process holds; of tied weights, one."""
    state: dict[str, Any] = get_model_state_dict(model)
    if isinstance(model, PeftModel):
        return {name: state[name] for name in _trained(model)}
    seen = {name for name, _ in model.named_parameters()}
    twice = {name for name, _ in model.named_parameters(remove_duplicate=False)} - seen
    return {name: value for name, value in state.items() if name not in twice}


def _trained(model: Any) -> list[str]:
    return [name for name, weight in model.named_parameters() if weight.requires_grad]


def put_parts(model: Any, state: dict[str, Any]) -> None:
    """Put parts back that `parts` gave."""
    set_model_state_dict(model, state, options=StateDictOptions(strict=False))


def take_whole(model: Any, folder: Path) -> list[str]:
    """Deal the weights in a folder out to the processes; on every process.

    Args:
        model: The model under FSDP.
        folder: A checkpoint, or a result, as `save_pretrained` writes it.

    Returns:
        What is wrong: weights that are missing there, or that the model does not have.
    """
    wanted = _wanted(model)
    read: dict[str, Any] = read_whole(model, folder) if dist.get_rank() == 0 else {}
    wrong: list[Any] = [sorted(wanted ^ (read.keys() - _tied(model))) if read else []]
    dist.broadcast_object_list(wrong, src=0)
    if wrong[0]:
        return wrong[0]
    options = StateDictOptions(
        full_state_dict=True, cpu_offload=True, broadcast_from_rank0=True, strict=False
    )
    set_model_state_dict(model, read, options=options)
    return []


def read_whole(model: Any, folder: Path) -> dict[str, Tensor]:
    """The weights in the files of a folder, by the names that the model has for them."""
    if isinstance(model, PeftModel):
        return _by_own_names(model, load_file(folder / _ADAPTER))
    if is_published_otherwise(model):
        kind: Any = next(
            base for base in type(model).__mro__ if not base.__name__.startswith("FSDP")
        )
        with no_library_bars():
            read = kind.from_pretrained(
                folder, config=copy.deepcopy(model.config), dtype=torch.float32
            )
        return read.state_dict()
    if not (folder / _INDEX).is_file():
        return load_file(folder / "model.safetensors")
    files = set(json.loads((folder / _INDEX).read_text("utf-8"))["weight_map"].values())
    return {
        name: value for file in sorted(files) for name, value in load_file(folder / file).items()
    }


def _wanted(model: Any) -> set[str]:
    """The names of all weights that a folder must have."""
    if isinstance(model, PeftModel):
        return set(_trained(model))
    return set(model.state_dict()) - _tied(model)


def _tied(model: Any) -> set[str]:
    return set(getattr(model, "all_tied_weights_keys", None) or ())


def _by_own_names(model: PeftModel, saved: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Saved weights of an adapter by the names in the model, which has the adapter's name in them.

    peft says under which name it saves each: it is asked with marks in the place of weights.
    """
    marks = {name: torch.empty(0) for name, p in model.named_parameters() if p.requires_grad}
    names = {id(mark): name for name, mark in marks.items()}
    asked = get_peft_model_state_dict(model, state_dict=marks, save_embedding_layers=False)
    return {names[id(mark)]: saved[to] for to, mark in asked.items() if to in saved}
