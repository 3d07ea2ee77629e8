"""An adapter added into the weights of its base, one block of layers at a time.

The base is held as it is stored. Only while a block is computed or written are its weights there a
second time: in fp32, since in half precision W + BA would lose most of BA to rounding, and with the
adapter in them where that is asked for. So a merge needs little more memory than the model itself.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import AuxiliaryTrainingWrapper, ModulesToSaveWrapper, TrainableTokensWrapper
from torch import Tensor, nn

from axolotl.core.console import note
from axolotl.errors import ModelError

_ROWS = 2048
"""Rows of the output head that are there in fp32 at a time."""


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
def in_fp32(block: nn.Module, *, merged: bool) -> Iterator[None]:
    """Hold the weights of a block in fp32 while the body runs.

    Args:
        block: One of `blocks`.
        merged: Whether the adapter is added into them for that time.

    Raises:
        ModelError: the adapter holds numbers that are none.
    """
    held = [*block.parameters(), *block.buffers()]
    before = [(tensor, tensor.data) for tensor in held if tensor.is_floating_point()]
    layers: list[Any] = [m for m in block.modules() if isinstance(m, BaseTunerLayer)]
    try:
        for tensor, data in before:
            tensor.data = data.float()
        for layer in layers if merged else ():
            _merge(layer)
        yield
    finally:
        for layer in layers:
            layer.merged_adapters.clear()
        for tensor, data in before:
            tensor.data = data


@contextmanager
def computing_in_fp32(model: Any, *, merged: bool) -> Iterator[None]:
    """Let a model compute every block as `in_fp32` holds it, whatever its weights are held in.

    Embeddings and output head, which may be half of a small model, are not turned as a whole: of the
    ones only the rows of the tokens that are there, the other a few rows at a time.

    Args:
        model: The model below peft's outermost wrapper.
        merged: See `in_fp32`.
    """
    open_blocks: list[ExitStack] = []

    def enter(block: nn.Module, *_: Any) -> None:
        open_blocks.append(ExitStack())
        open_blocks[-1].enter_context(in_fp32(block, merged=merged))

    def leave(*_: Any) -> None:
        open_blocks.pop().close()

    with ExitStack() as hooks:
        for _, block in blocks(model):
            if forward := _by_rows(model, block):
                block.forward = forward
                hooks.callback(delattr, block, "forward")
                continue
            hooks.callback(block.register_forward_pre_hook(enter).remove)
            hooks.callback(block.register_forward_hook(leave, always_call=True).remove)
        yield


@contextmanager
def head_by_rows(model: Any) -> Iterator[None]:
    """Let a model compute its output head a few rows at a time: libraries copy half precision ones."""
    head: Any = model.get_output_embeddings()
    if head.__class__ is not nn.Linear:
        yield
        return
    head.forward = lambda hidden: _project(head, hidden, head.weight.dtype)
    try:
        yield
    finally:
        del head.forward


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
        with torch.no_grad(), in_fp32(of_block[name], merged=True):
            weight = every[name].detach().contiguous()
            return hashlib.sha256(weight.cpu().numpy().data).hexdigest()

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


def _by_rows(model: Any, block: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """How embeddings or head are computed in fp32 by parts; None for all else, and with an adapter."""
    kind: Any = type(block)
    if block is model.get_input_embeddings() and isinstance(block, nn.Embedding):

        def embed(ids: Tensor) -> Tensor:
            used, places = ids.unique(return_inverse=True)
            weight, padding = block.weight.data, block.padding_idx
            try:
                block.padding_idx = None  # matters to gradients alone
                block.weight.data = weight[used].float()
                return kind.forward(block, places)
            finally:
                block.weight.data, block.padding_idx = weight, padding

        return embed
    if block is model.get_output_embeddings() and kind is nn.Linear:
        return lambda hidden: _project(block, hidden, torch.float32)
    return None


def _project(head: Any, hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """The output head, a few of its rows at a time."""
    logits = torch.empty(*hidden.shape[:-1], head.weight.shape[0], dtype=dtype)
    for start in range(0, logits.shape[-1], _ROWS):
        part = slice(start, start + _ROWS)
        bias = None if head.bias is None else head.bias[part].to(dtype)
        logits[..., part] = nn.functional.linear(hidden, head.weight[part].to(dtype), bias)
    return logits


def _merge(layer: Any) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            layer.merge(safe_merge=True)
        except ValueError as error:
            raise ModelError(
                f"the adapter cannot be merged: {str(error).splitlines()[0]}",
                hint="if it holds numbers that are none, the training diverged: lower learning_rate",
            ) from error
    for warning in said:
        note(f"while merging: {warning.message}")


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
