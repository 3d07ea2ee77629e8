"""The base model of a rehearsal: random, tiny, of the same architecture, with a tokenizer beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from axolotl.config import Config, load_config
from axolotl.data.encoder import Encoder
from axolotl.errors import ModelError
from axolotl.models.patches.deepspeed_if_loaded import deepspeed_if_loaded
from axolotl.models.tiny import tiny_model
from axolotl.models.tokenizer import load_tokenizer
from axolotl.templates.choice import DEFAULT
from axolotl.templates.named import named_template, template_names
from axolotl.verify.rehearse.architecture import TOKENIZER_FILES, Files, recognise
from axolotl.verify.rehearse.gptq import write_rounded
from axolotl.verify.rehearse.rows import Surroundings, rehearsed_sets, rehearsed_streams
from axolotl.verify.rehearse.tokenizer import Kind, kind_of, small_tokenizer


@dataclass(frozen=True, slots=True)
class _Known:
    """The architecture of the base model, and what is to be had of it."""

    model_type: str
    files: Files


def make_base(
    given: Mapping[str, Any], files: Files, folder: Path, architecture: str | None = None
) -> dict[str, Any]:
    """Write the base model of a rehearsal.

    Args:
        given: The options of the file.
        files: What is to be had of its base model.
        folder: Where to.
        architecture: Its `model_type`, where the user gives it.

    Returns:
        What it is: `class`, `parameters`, `layers`, `width`, `vocabulary`; `model_type` and `whence`
        that is known; `gptq`; special tokens `assumed` to be the model's.

    Raises:
        ModelError: transformers has no such architecture, or the tokenizer's files do not load.
    """
    config = load_config(given)
    model_type, whence = recognise(config.model, files.config, named=architecture)
    known = _Known(model_type, files)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _put_tokenizer(config, known, folder)
    model = tiny_model(_described(known), vocabulary=len(tokenizer))
    _check_class(config, model)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if (number := getattr(tokenizer, name)) is not None and hasattr(model.config, name):
            setattr(model.config, name, number)
            if model.generation_config is not None:
                setattr(model.generation_config, name, number)
    if config.quantization.gptq:
        write_rounded(model, folder)
    else:
        with deepspeed_if_loaded():
            model.save_pretrained(folder)
    described = model.config.get_text_config()
    return {
        "model_type": model_type,
        "whence": whence,
        "class": type(model).__name__,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "layers": described.num_hidden_layers,
        "width": described.hidden_size,
        "vocabulary": len(tokenizer),
        "gptq": config.quantization.gptq,
        "assumed": [] if known.files.tokenizer else taken_as_known(config, _kind(config, known)),
    }


def make_rows(
    given: Mapping[str, Any],
    base: Mapping[str, Any],
    folder: Path,
    own_tokenizer: bool,
    tokens: int,
    cache: Path,
) -> dict[str, Any]:
    """Write the rows of a rehearsal.

    Args:
        given: The options of the file.
        base: Those of the rehearsal that name its base model and tokenizer.
        folder: Where to.
        own_tokenizer: Whether the tokenizer is that of the file.
        tokens: The longest sample of the rehearsal.
        cache: Where the library has prepared data sets of the hub.

    Returns:
        `options`, which name them, and `said`: what they stand for.

    Raises:
        AxolotlError: there is no such type, or rows of it cannot be made up.
    """
    config = load_config(given)
    encoder = Encoder(load_tokenizer(load_config({**given, **base}).model))
    surroundings = Surroundings(encoder, own_tokenizer, tokens, cache)
    options: dict[str, Any] = {}
    said = []
    for key in ("datasets", "test_datasets"):
        entries = getattr(config.data, key)
        if entries:
            options[key], replaced = rehearsed_sets(
                entries, config, folder, key=key, surroundings=surroundings
            )
            said += replaced
    if config.streaming.pretraining_dataset:
        options["pretraining_dataset"], replaced = rehearsed_streams(
            config.streaming.pretraining_dataset, folder
        )
        said += replaced
    return {"options": options, "said": said}


def _described(known: _Known) -> PreTrainedConfig | str:
    """The configuration that is made small: that of the base model, where it is to be had."""
    if known.files.config is None:
        return known.model_type
    settings = {k: v for k, v in known.files.config.items() if k not in ("model_type", "auto_map")}
    try:
        return AutoConfig.for_model(known.model_type, **settings)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"the config.json of the base model cannot be read as one of '{known.model_type}': {error}",
            where="base_model",
        ) from error


def _put_tokenizer(config: Config, known: _Known, folder: Path) -> Any:
    """The tokenizer beside the base model: its own files, or a small one."""
    if known.files.tokenizer is not None:
        for name in TOKENIZER_FILES:
            if (known.files.tokenizer / name).is_file():
                shutil.copyfile(known.files.tokenizer / name, folder / name)
        if not (folder / "config.json").is_file():  # by which the library finds the class
            kind = {"model_type": known.model_type}
            (folder / "config.json").write_text(json.dumps(kind), encoding="utf-8")
        return load_tokenizer(load_config({**_bare(config), "base_model": str(folder)}).model)
    kind = _kind(config, known)
    template = _template(config, kind.template)
    tokenizer = small_tokenizer(kind, template=template, others=taken_as_known(config, kind))
    tokenizer.save_pretrained(folder)
    return tokenizer


def _kind(config: Config, known: _Known) -> Kind:
    return kind_of(known.model_type, config.model.base_model)


def taken_as_known(config: Config, kind: Kind) -> list[str]:
    """Special tokens of the file that the model's own tokenizer must have.

    An adapter that does not train embeddings cannot learn tokens; such a file counts on its tokenizer.
    """
    adapter = config.adapter
    if adapter.adapter is None or adapter.lora_modules_to_save:
        return []
    if adapter.peft_trainable_token_indices is not None:
        return []
    wanted = [*config.model.special_tokens.values(), *(config.chat.eot_tokens or [])]
    return [text for text in dict.fromkeys(wanted) if text not in kind.specials]


def _bare(config: Config) -> dict[str, Any]:
    """The options that a tokenizer is loaded by, without those that add tokens to it."""
    given = config.given()
    kept = ("tokenizer_type", "tokenizer_use_fast", "datasets", "pretraining_dataset", "max_steps")
    return {key: given[key] for key in kept if key in given}


def _template(config: Config, of_family: str) -> str:
    """The chat template of a small tokenizer: the one that the file names, else the family's."""
    asked = config.chat.chat_template
    own = [entry.chat_template for entry in config.data.datasets]
    names = [name for name in (asked, *own) if name and name != DEFAULT]
    known = next((name for name in names if name in template_names()), of_family)
    return named_template(known)


def _check_class(config: Config, model: Any) -> None:
    """A class that the file names has to be the one that loads the model."""
    name = config.model.model_type
    if name.startswith("AutoModel") or name == type(model).__name__:
        return
    import transformers

    if not hasattr(transformers, name):
        raise ModelError(
            f"transformers has no model class '{name}'",
            where="model_type",
            hint="leave model_type out: the class is read from the model's config.json",
        )
