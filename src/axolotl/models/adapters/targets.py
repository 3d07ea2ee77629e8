"""Which parts of a model an adapter takes, by name; names that mean nothing are refused."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from axolotl.architectures import facts_of
from axolotl.config.adapter import AdapterSection
from axolotl.core.console import note_once
from axolotl.errors import ModelError


def linear_names(model: PreTrainedModel) -> list[str]:
    """Last name parts of all linear layers, the output head left out; sorted, each once.

    Also finds GPT-2's `Conv1D`, which is a linear layer with its weight transposed.
    """
    head = model.get_output_embeddings()
    names = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if (isinstance(module, torch.nn.Linear | Conv1D) or _is_packed(module))
        and module is not head
    }
    return sorted(names)


def outside_experts(model: PreTrainedModel) -> list[str]:
    """Names of linear layers that peft never takes for experts: those of the attention, if known."""
    paths = [path for path, module in model.named_modules() if not list(module.children())]
    attention = {p.rpartition(".")[2] for p in paths if "attn" in p or "attention" in p}
    linear = linear_names(model)
    return [name for name in linear if name in attention] or linear


def beside_experts(adapted: Any) -> list[str]:
    """Paths of linear layers that got no adapter because experts are called like them.

    transformers holds the experts of a layer as tensors, and peft takes `gate_proj`, `up_proj` and
    `down_proj` of such models for those, wherever they are: in models whose dense layers and shared
    experts have the same names, such as DeepSeek's, it then passes these over.

    Args:
        adapted: A model with a LoRA adapter of peft.
    """
    config = adapted.peft_config["default"]
    experts = {name.rpartition(".")[2] for name in config.target_parameters or ()}
    paths = {
        path.removeprefix("base_model.model."): module
        for path, module in adapted.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) or _is_packed(module)
    }
    found = []
    for path in paths:
        name = path.rpartition(".")[2]
        if _FUSED.get(name, name) in experts and _is_meant(path, config.layers_to_transform):
            found.append(path)
    return found


_FUSED = {"gate_proj": "gate_up_proj", "up_proj": "gate_up_proj"}
"""In which tensor of all experts peft puts the adapter of a layer."""


def _is_meant(path: str, layers: Sequence[int] | int | None) -> bool:
    numbers = [layers] if isinstance(layers, int) else layers
    return numbers is None or _layer_of(path) in numbers


def _is_packed(module: torch.nn.Module) -> bool:
    """Whether this is a quantised linear layer of another package, which peft knows by its class."""
    return hasattr(module, "qweight")


def chosen_targets(model: PreTrainedModel, adapter: AdapterSection) -> list[str] | str:
    """What `target_modules` of peft is to be: the named layers, and all linear ones where asked.

    A regular expression stands for the whole names that it matches; together with
    `lora_target_linear` or with layer numbers it is written out as those names.
    """
    listed = adapter.lora_target_modules
    linear = adapter.lora_target_linear or not listed
    some_layers = adapter.peft_layers_to_transform is not None
    if isinstance(listed, str):
        if not linear and not some_layers:
            return listed
        listed = [n for n, _ in model.named_modules() if n and _fullmatch(listed, n)]
        if some_layers:  # peft takes whole names without a look at their numbers
            listed = [name for name in listed if _layer_of(name) in _numbers(adapter)]
    without = _past_which_code_goes(model, listed or ())
    if not linear:
        return list(listed or [])
    foreign = any(_is_packed(m) and not isinstance(m, torch.nn.Linear) for m in model.modules())
    if not listed and not some_layers and not foreign and not without:
        return "all-linear"
    return sorted(set(linear_names(model)).difference(without).union(listed or ()))


def _past_which_code_goes(model: PreTrainedModel, listed: Sequence[str]) -> set[str]:
    """Linear layers that are not meant by all of them; named ones are refused.

    Raises:
        ModelError: an adapter is asked for where it would have no effect.
    """
    facts = facts_of(str(model.config.model_type))
    past = set(facts.read_past if facts else ()).intersection(linear_names(model))
    names = ", ".join(sorted(past))
    why = f"an adapter on {names} has no effect: the model's code takes the weight past the layer"
    if past.intersection(listed):
        raise ModelError(why, where="lora_target_modules", hint="remove it from the list")
    if past:
        note_once(f"{why}, so it gets none")
    return past


def _layer_of(name: str) -> int | None:
    number = re.search(r"\.(\d+)(\.|$)", name)
    return int(number[1]) if number else None


def _numbers(adapter: AdapterSection) -> list[int]:
    """The layers that are adapted, by their numbers; none where all are."""
    asked = adapter.peft_layers_to_transform
    return [asked] if isinstance(asked, int) else list(asked or [])


def _fullmatch(pattern: str, name: str) -> bool:
    try:
        return re.fullmatch(pattern, name) is not None
    except re.error as error:
        raise ModelError(
            f"'{pattern}' is no regular expression: {error}",
            where="lora_target_modules",
            hint="a list is compared with the ends of names: `[q_proj, v_proj]`",
        ) from error


def no_place(adapter: AdapterSection, why: str, *, linear: Sequence[str]) -> ModelError:
    """The message that LoRA finds no layer to adapt, in a model with these linear layers."""
    hint = f"its linear layers are {', '.join(linear)}"
    listed = adapter.lora_target_modules
    if isinstance(listed, str):
        hint = f"a text is one regular expression for whole names; write `[{listed}]`: {hint}"
    why = re.sub(r"\{([^{}]*)\}", _in_order, why)
    return ModelError(
        f"LoRA finds no place in this model: {why}", where="lora_target_modules", hint=hint
    )


def _in_order(names: re.Match[str]) -> str:
    """A set as Python prints it, without the chance in its order."""
    return ", ".join(sorted(name.strip(" '\"") for name in names[1].split(",")))


def touches_tied_weights(model: PreTrainedModel, adapter: AdapterSection) -> bool:
    """Whether a tied head or its embeddings are trained: apart, they could not be merged again."""
    if not model.config.tie_word_embeddings:
        return False
    listed = adapter.lora_target_modules
    names = {
        *(adapter.lora_modules_to_save or []),
        *([] if isinstance(listed, str) else listed or []),
    }
    tied = (model.get_input_embeddings(), model.get_output_embeddings())
    paths = [path for path, module in model.named_modules() if module in tied]
    if isinstance(listed, str) and any(_fullmatch(listed, path) for path in paths):
        return True
    return bool(names & {path.rpartition(".")[2] for path in paths})


def saved_modules(model: PreTrainedModel, names: Sequence[str]) -> list[torch.nn.Module]:
    """The modules that `lora_modules_to_save` means: those whose path ends in one of the names."""
    ends = tuple(names)  # whole parts or not: peft compares the same way
    return [module for path, module in model.named_modules() if path.endswith(ends)]


def check_module_names(model: PreTrainedModel, names: Sequence[str], *, key: str) -> None:
    """Refuse a name that stands for no module: it would be left out in silence.

    Raises:
        ModelError: names the nearest ones.
    """
    for name in names:
        if saved_modules(model, [name]):
            continue
        ends = {path.rpartition(".")[2] for path, _ in model.named_modules() if path}
        ends = sorted(end for end in ends if not end.isdigit())
        raise ModelError(
            f"the model has no module '{name}' to be saved with the adapter"
            if key == "lora_modules_to_save"
            else f"the model has no module '{name}'",
            where=key,
            hint=f"{near(name.rpartition('.')[2], ends)}its modules are {', '.join(ends)}",
        )


def check_whole_weights(model: PreTrainedModel, names: Sequence[str]) -> None:
    """Refuse to train as a whole what is held in few bits: it would stay as it is, in silence.

    Raises:
        ModelError: names the layer.
    """
    for module in saved_modules(model, names):
        for part in module.modules():
            weight = dict(part.named_parameters(recurse=False)).get("weight")
            packed = weight is None or not weight.is_floating_point()
            if isinstance(part, torch.nn.Linear) and packed:
                path = next(path for path, other in model.named_modules() if other is part)
                raise ModelError(
                    f"{path} is quantised, and cannot be trained as a whole",
                    where="lora_modules_to_save",
                    hint=f"take it out; {path.rpartition('.')[2]} can be one of lora_target_modules",
                )


def near(name: str, known: Iterable[str]) -> str:
    """`did you mean …? `, or nothing where no name is like it."""
    close = difflib.get_close_matches(name, list(known), n=3)
    return f"did you mean {' or '.join(close)}? " if close else ""


def token_modules(
    model: PreTrainedModel, wanted: Sequence[int] | dict[str, list[int]] | None
) -> list[tuple[torch.nn.Module, list[int]]]:
    """The modules that `peft_trainable_token_indices` means, each with its token ids.

    A list is for the input embeddings, and for the output head where the two share weights.
    """
    if not wanted:
        return []
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    named = wanted if isinstance(wanted, dict) else {"": list(wanted)}
    found = [
        (module, list(ids))
        for name, ids in named.items()
        for module in (saved_modules(model, [name]) if name else [embeddings])
    ]
    if head is not None and model.config.tie_word_embeddings:
        found += [(head, ids) for module, ids in found if module is embeddings]
    return found


def check_token_indices(model: PreTrainedModel, adapter: AdapterSection) -> None:
    """Refuse token ids that the model has no row for, and rows that are trained as a whole already.

    Raises:
        ModelError: names them.
    """
    wanted = adapter.peft_trainable_token_indices
    key = "peft_trainable_token_indices"
    if isinstance(wanted, dict):
        check_module_names(model, list(wanted), key=key)
    whole = saved_modules(model, adapter.lora_modules_to_save or ())
    for module, ids in token_modules(model, wanted):
        path = next(path for path, other in model.named_modules() if other is module)
        rows = getattr(getattr(module, "weight", None), "shape", (0,))[0]
        if wrong := [index for index in ids if not 0 <= index < rows]:
            raise ModelError(
                f"{path} has {rows} rows, and none for the tokens {', '.join(map(str, wrong))}",
                where=key,
                hint=f"ids are 0 to {rows - 1}; new tokens are added with `tokens`",
            )
        if any(module is other for other in whole):
            raise ModelError(
                f"{path} is trained as a whole by lora_modules_to_save",
                where=key,
                hint=f"remove {key}, or take {path.rpartition('.')[2]} out of lora_modules_to_save",
            )


def check_layers(model: PreTrainedModel, adapter: AdapterSection) -> None:
    """Refuse layer numbers that the model does not have.

    Raises:
        ModelError: names them.
    """
    count = model.config.get_text_config().num_hidden_layers
    numbers = _numbers(adapter)
    if adapter.peft_layer_replication:
        if beyond := [pair for pair in adapter.peft_layer_replication if pair[1] > count]:
            raise ModelError(
                f"the model has {count} layers, and {beyond[0]} goes beyond them",
                where="peft_layer_replication",
                hint=f"a range [a, b] holds the layers a to b - 1; b is {count} at most",
            )
        count = sum(end - start for start, end in adapter.peft_layer_replication)
    if wrong := [number for number in numbers if not 0 <= number < count]:
        raise ModelError(
            f"the model has {count} layers, and none with the number {wrong[0]}",
            where="peft_layers_to_transform",
            hint=f"layers are 0 to {count - 1}",
        )
