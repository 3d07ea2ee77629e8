"""An adapter added into the weights of its base, one block of layers at a time.

The base is held as it is stored. Only while a block is computed or written are its weights there a
second time: in fp32, since in half precision W + BA would lose most of BA to rounding, and with the
adapter in them where that is asked for. So a merge needs little more memory than the model itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import AuxiliaryTrainingWrapper, ModulesToSaveWrapper, TrainableTokensWrapper
from torch import Tensor, nn

from axolotl.artifacts.row_fold import RowFold, merge_into, slices
from axolotl.core.console import note
from axolotl.errors import ModelError


def check_kind(folder: Path) -> None:
    """Refuse an adapter that changes the inputs of a model and not its weights, before anything is loaded.

    Args:
        folder: Folder of the adapter.

    Raises:
        ModelError: it cannot be merged.
    """
    kind = PeftConfig.from_pretrained(str(folder)).peft_type
    tuner = PEFT_TYPE_TO_TUNER_MAPPING.get(kind)  # pyright: ignore[reportArgumentType]
    if not hasattr(tuner, "merge_and_unload"):
        raise ModelError(
            f"an adapter of the kind {getattr(kind, 'value', kind)} cannot be merged",
            hint="it changes the model's inputs, not its weights; use it beside the base model",
        )


def blocks(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The parts of a model that are computed one after the other: layers, embeddings, norms, head.

    Every weight is in exactly one of them.

    Args:
        module: The model below peft's outermost wrapper, or a part of it.
        path: Its name in the model.
    """
    whole = isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper) or _holds_any(module)
    if whole:
        yield path, module
        return
    for name, child in module.named_children():
        is_layer = isinstance(module, nn.ModuleList) and not isinstance(child, nn.ModuleList)
        if is_layer:
            yield _join(path, name), child
        else:
            yield from blocks(child, _join(path, name))


@contextmanager
def in_fp32(block: nn.Module, *, merged: bool, apart: Container[nn.Module] = ()) -> Iterator[None]:
    """Hold the weights of a block in fp32 while the body runs.

    Args:
        block: One of `blocks`.
        merged: Whether the adapter is added into them for that time.
        apart: Modules in it that are left as they are, with all their parts.

    Raises:
        ModelError: the adapter holds numbers that are none.
    """
    modules = list(_modules(block, apart))
    held = {
        id(tensor): tensor
        for module in modules
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))
    }
    before = [(tensor, tensor.data) for tensor in held.values() if tensor.is_floating_point()]
    layers: list[Any] = [m for m in modules if isinstance(m, BaseTunerLayer)]
    try:
        for tensor, data in before:
            tensor.data = data.float()
        for layer in layers if merged else ():
            merge_into(layer)
        yield
    finally:
        for layer in layers:
            layer.merged_adapters.clear()
        for tensor, data in before:
            tensor.data = data


def plain_weights(module: nn.Module, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Weights and saved buffers under the names of a model without adapter.

    Args:
        module: A model with an adapter, or a block of it.
        path: Its name in the model.
    """
    module = _below(module)
    for name, parameter in module.named_parameters(recurse=False):
        yield _join(path, name), parameter
    for name, buffer in _saved_buffers(module):
        yield _join(path, name), buffer
    for name, child in module.named_children():
        yield from plain_weights(child, _join(path, name))


@torch.no_grad()
def merged_pieces(module: nn.Module, path: str) -> Iterator[tuple[str, int, Tensor]]:
    """What the weights of a module are with the adapter in them: names, first rows, and rows in fp32.

    Large matrices come in slices; what has no adapter comes as it is held. A piece must be used before
    the next is asked for.

    Args:
        module: One of `blocks`.
        path: Its name in the model.

    Raises:
        ModelError: the adapter holds numbers that are none.
    """
    fold = RowFold.of(module)
    adapted = any(isinstance(part, BaseTunerLayer) for part in module.modules())
    with in_fp32(module, merged=True) if adapted and fold is None else nullcontext():
        for name, weight in plain_weights(module, path):
            if fold is not None and weight is fold.weight:
                for first, rows in fold:
                    yield name, first, rows
            else:
                for part in slices(weight.shape):
                    yield name, part.start, weight.detach()[part] if weight.dim() else weight


def tied_after(base: Any) -> dict[str, str]:
    """Weights that the merged model does not hold itself: name → name of the one that it shares.

    What the base model shares stays shared only if the adapter makes the same of both.

    Args:
        base: The model below peft's outermost wrapper.
    """
    every = dict(plain_weights(base))
    of_block = {
        name: block for path, block in blocks(base) for name, _ in plain_weights(block, path)
    }
    known: dict[str, str] = getattr(base, "all_tied_weights_keys", None) or {}
    shared = {
        name: source
        for name, source in known.items()
        if name in every and source in every and every[name] is every[source]
    }

    def digest(name: str) -> str:
        weights = merged_pieces(of_block[name], name.rpartition(".")[0])
        found = hashlib.sha256()
        for its, _, piece in weights:
            if its == name:
                found.update(piece.contiguous().cpu().numpy().data)
        return found.hexdigest()

    def adapted(name: str) -> bool:
        return any(isinstance(m, BaseTunerLayer) for m in of_block[name].modules())

    return {
        name: source
        for name, source in shared.items()
        if not (adapted(name) or adapted(source)) or digest(name) == digest(source)
    }


def untie(base: Any) -> None:
    """Say of a model that embeddings and output head are two matrices."""
    base.config.tie_word_embeddings = False
    base.config.get_text_config().tie_word_embeddings = False
    note("embeddings and output head were trained apart; the merged model keeps both")


def _modules(module: nn.Module, apart: Container[nn.Module]) -> Iterator[nn.Module]:
    """A module and its parts, without those that stay as they are."""
    if module not in apart:
        yield module
        for child in module.children():
            yield from _modules(child, apart)


def _below(module: nn.Module) -> nn.Module:
    """What stands in the place of a module once the adapter is taken off."""
    while True:
        inner: Any = module
        if isinstance(module, ModulesToSaveWrapper):
            module = inner.modules_to_save[inner.active_adapters[0]]
        elif isinstance(module, TrainableTokensWrapper):
            module = inner.token_adapter
        elif isinstance(module, BaseTunerLayer):
            module = module.get_base_layer()
        else:
            return module


def _holds_any(module: nn.Module) -> bool:
    """Whether a module has weights of its own, not only those of its parts."""
    return any(True for _ in module.parameters(recurse=False)) or bool(_saved_buffers(module))


def _saved_buffers(module: Any) -> list[tuple[str, Tensor]]:
    unsaved = module._non_persistent_buffers_set
    return [(name, b) for name, b in module.named_buffers(recurse=False) if name not in unsaved]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
