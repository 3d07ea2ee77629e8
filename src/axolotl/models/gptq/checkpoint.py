"""What a GPTQ checkpoint is, read from its settings and the headers of its files; no weights yet.

The tensors decide: how many bits a layer has and how many groups follows from their shapes, so a
checkpoint that leaves layers whole, or gives some more bits than others, needs nothing said about
it. Its settings tell the version of the format, and whether inputs are in order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from axolotl.errors import ModelError
from axolotl.models.sources import first_line

SETTINGS_FILE = "quantize_config.json"
"""Where AutoGPTQ and gptqmodel write the settings, beside or instead of `config.json`."""
INDEX_FILE = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_VERSIONS = {"gptq": 1, "gptq_v2": 2}
_MEND = "check that the checkpoint is whole, and that GPTQModel or AutoGPTQ wrote it"


@dataclass(frozen=True)
class Settings:
    """What a checkpoint says of itself.

    Args:
        bits: Of a weight.
        group_size: Inputs that share a scale; -1 for all of them.
        act_order: Whether inputs were quantised by their importance, so that groups are scattered.
        version: Of the format, 1 or 2.
        mixed: Whether some layers have other bits or groups than these.
        raw: All of it, as it was written.
    """

    bits: int
    group_size: int
    act_order: bool
    version: int
    mixed: bool
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class Stored:
    """A tensor of a checkpoint, by its file's header.

    Args:
        file: Where it is.
        dtype: As safetensors writes it, such as `I32`.
        shape: Its shape.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A folder with a GPTQ checkpoint.

    Args:
        folder: The folder.
        settings: What it says of itself.
        tensors: What its files hold.
    """

    folder: Path
    settings: Settings
    tensors: Mapping[str, Stored]


def read_checkpoint(folder: Path, config: Any) -> Checkpoint:
    """Look at a checkpoint.

    Args:
        folder: With `config.json` and safetensors files.
        config: The model's configuration.

    Raises:
        ModelError: it is no GPTQ checkpoint, or one of a kind that cannot be read.
    """
    raw = _raw_settings(folder, config)
    if raw is not None:
        _check_method(raw, folder)
    tensors = _read_headers(_weight_files(folder, raw or {}))
    if not any(name.endswith(".qweight") for name in tensors):
        raise ModelError(
            f"'{folder}' is no GPTQ checkpoint: none of its layers has a qweight",
            where="gptq",
            hint="remove gptq; `load_in_4bit: true` holds an ordinary model in 4 bits",
        )
    if raw is None:
        raise ModelError(
            f"'{folder}' does not say how it was quantised",
            where="gptq",
            hint=f"write {SETTINGS_FILE} into it, such as "
            '{"bits": 4, "group_size": 128, "desc_act": false, "checkpoint_format": "gptq"}',
        )
    return Checkpoint(folder, _settings(raw, folder), tensors)


def _raw_settings(folder: Path, config: Any) -> dict[str, Any] | None:
    """The settings as they were written; those of `config.json` come first."""
    for holder in (config, config.get_text_config()):
        found = getattr(holder, "quantization_config", None)
        if found is not None:
            return dict(found if isinstance(found, dict) else found.to_dict())
    file = folder / SETTINGS_FILE
    if not file.is_file():
        return None
    try:
        read = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"'{file}' cannot be read: {first_line(error)}", hint=_MEND) from error
    if not isinstance(read, dict):
        raise ModelError(f"'{file}' is no JSON object", hint=_MEND)
    return read


def _check_method(raw: Mapping[str, Any], folder: Path) -> None:
    """Refuse what another method quantised, or what has another layout."""
    method = str(raw.get("quant_method", raw.get("method", "gptq"))).lower()
    if method != "gptq":
        raise ModelError(
            f"'{folder}' was quantised by {method}, not by GPTQ",
            where="gptq",
            hint="name a GPTQ checkpoint in base_model, or the original model with "
            "`load_in_4bit: true` instead of gptq",
        )
    form = _format(raw)
    if form not in _VERSIONS:
        raise ModelError(
            f"'{folder}' is in the format {form}, whose layout is not that of GPTQ's own kernels",
            where="gptq",
            hint=f"the formats that can be read are {' and '.join(_VERSIONS)}",
        )
    if raw.get("pack_dtype", "int32") != "int32":
        raise ModelError(
            f"'{folder}' packs its weights into {raw['pack_dtype']}, not int32",
            where="gptq",
            hint="quantise it anew with pack_dtype int32",
        )


def _format(raw: Mapping[str, Any]) -> str:
    if raw.get("is_marlin_format"):
        return "marlin"
    return str(raw.get("checkpoint_format") or raw.get("format") or "gptq").lower()


def _settings(raw: Mapping[str, Any], folder: Path) -> Settings:
    try:
        return Settings(
            bits=int(raw["bits"]),
            group_size=int(raw.get("group_size", -1)),
            act_order=bool(raw.get("desc_act", False)),
            version=_VERSIONS[_format(raw)],
            mixed=bool(raw.get("dynamic")),
            raw=raw,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"the settings of the GPTQ checkpoint '{folder}' lack a number: {error}",
            where="gptq",
            hint=_MEND,
        ) from error


def weight_names(folder: Path, raw: Mapping[str, Any]) -> dict[str, Path]:
    """The weight files under the names that transformers looks for, and where they lie.

    Older checkpoints have names such as `gptq_model-4bit-128g.safetensors`.

    Raises:
        ModelError: there is none, or it is not clear which.
    """
    if (folder / _SINGLE).is_file():
        return {_SINGLE: folder / _SINGLE}
    indexes = [folder / INDEX_FILE, *sorted(folder.glob("*.safetensors.index.json"))]
    index = next((file for file in indexes if file.is_file()), None)
    if index is not None:
        return {INDEX_FILE: index, **{name: folder / name for name in _shards(index)}}
    files = sorted(folder.glob("*.safetensors"))
    named = folder / f"{raw.get('model_file_base_name')}.safetensors"
    if named in files:
        files = [named]
    if len(files) == 1:
        return {_SINGLE: files[0]}
    if files:
        raise ModelError(
            f"'{folder}' holds {len(files)} safetensors files and no index: "
            + ", ".join(file.name for file in files[:4]),
            hint="keep the one to be used, as model.safetensors",
        )
    others = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth"))
    what = f"its weights are in {others[0]}" if others else "there are no weights"
    raise ModelError(
        f"'{folder}' holds no safetensors file: {what}",
        hint="use a checkpoint in safetensors; pickled ones are not read",
    )


def _weight_files(folder: Path, raw: Mapping[str, Any]) -> list[Path]:
    return [file for name, file in weight_names(folder, raw).items() if name != INDEX_FILE]


def _shards(index: Path) -> list[str]:
    try:
        shards = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"'{index}' cannot be read: {first_line(error)}", hint=_MEND) from error
    for shard in shards:
        if not (index.parent / shard).is_file():
            raise ModelError(f"'{index.parent}' lacks {shard}, which its index names", hint=_MEND)
    return shards


def _read_headers(files: list[Path]) -> dict[str, Stored]:
    found: dict[str, Stored] = {}
    for file in files:
        try:
            with safe_open(file, "pt") as opened:
                for name in opened.keys():  # noqa: SIM118 - it is no mapping
                    part = opened.get_slice(name)
                    found[name] = Stored(file, part.get_dtype(), tuple(part.get_shape()))
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"'{file}' is damaged: {first_line(error)}", hint="fetch it again"
            ) from error
    return found
