"""The model card: `README.md` of a result, for people and for the hub."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from axolotl.artifacts.card_data import data_lines
from axolotl.artifacts.places import on_hub, short_name, without_folders
from axolotl.artifacts.run_folder import versions
from axolotl.core.atomic import write_atomic
from axolotl.core.console import note
from axolotl.errors import EnvironmentFault
from axolotl.models.native.btlm import MODEL_TYPE as BTLM
from axolotl.models.rope_saved import saved_positions
from axolotl.models.sources import first_line
from axolotl.resolve import Resolved
from axolotl.training.public import without_secrets

CARD_FILE = "README.md"
_UNKNOWN: Mapping[str, Any] = {"final": {}, "interrupted": False}
"""The record of a run of which there is none: another program trained the adapter."""
_HEAD = re.compile(r"---\n(?P<head>.*?\n)---\n(?P<text>.*)", re.DOTALL)


def write_card(folder: Path, resolved: Resolved, record: Mapping[str, Any]) -> None:
    """Put the card into the folder of a result.

    Args:
        folder: The folder.
        resolved: The configuration.
        record: What `run.json` says of the run.
    """
    text = model_card(
        resolved, record, model_type=_model_type(folder), positions=saved_positions(folder)
    )
    (folder / CARD_FILE).write_text(text, encoding="utf-8")


def write_merged_card(
    folder: Path,
    resolved: Resolved,
    record: Mapping[str, Any] | None,
    merge: Mapping[str, Any],
) -> None:
    """Put the card into the folder of a merged model.

    Args:
        folder: The folder.
        resolved: The configuration.
        record: What `run.json` says of the run that trained the adapter, if there is one.
        merge: What `merge.json` will say.
    """
    known = record if record and "final" in record else _UNKNOWN
    text = model_card(resolved, known, model_type=_model_type(folder), merge=merge)
    (folder / CARD_FILE).write_text(text, encoding="utf-8")


def write_gguf_card(source: Path, file: Path, *, kind: str, difference: float) -> None:
    """Put a card beside an exported file, where the model has one and no other stands there.

    A card whose head cannot be read, or a disk without room for another, only leaves this one out.

    Args:
        source: Folder of the model.
        file: The exported file.
        kind: Its type, such as `q8_0`.
        difference: See `GgufReport`.
    """
    card = source / CARD_FILE
    target = file.parent / CARD_FILE
    if not card.is_file() or target.exists():
        return
    said = (
        f"\n## GGUF\n\n`{file.name}` holds the model as {kind}, for llama.cpp and what is built on it, "
        f"with its tokenizer and chat template. Its numbers differ from the model's by at most "
        f"{difference:.1e} of the largest of their row.\n"
    )
    try:
        match = _HEAD.match(card.read_text("utf-8"))
        if match is not None:
            write_atomic(target, f"---\n{_gguf_head(match['head'])}---\n{match['text']}{said}")
    except (OSError, ValueError, yaml.YAMLError, EnvironmentFault) as error:
        note(f"'{file}' has no card beside it: that of the model, '{card}': {first_line(error)}")


def _gguf_head(text: str) -> str:
    """The head of a model's card as that of its exported file.

    Raises:
        ValueError: it is no mapping.
        yaml.YAMLError: it is no YAML.
    """
    head: object = yaml.safe_load(text)
    if not isinstance(head, dict):
        raise ValueError("its head is no mapping")
    known = cast("dict[str, Any]", head)
    tags = known.get("tags")
    tags = cast("list[Any]", tags) if isinstance(tags, list) else []
    named = {**known, "library_name": "gguf", "tags": [*tags, "gguf"]}
    return yaml.safe_dump(named, sort_keys=False, allow_unicode=True)


def model_card(
    resolved: Resolved,
    record: Mapping[str, Any],
    *,
    model_type: str | None = None,
    positions: Mapping[str, Any] | None = None,
    merge: Mapping[str, Any] | None = None,
) -> str:
    """The text of the card.

    Args:
        resolved: The configuration.
        record: What `run.json` says of the run.
        model_type: Of a whole model, and of an adapter whose base model lies in a folder here.
        positions: What an adapter's `base_config.json` says, if there is one.
        merge: What `merge.json` says, of a model that an adapter was merged into.
    """
    name = resolved.hub.hub_model_id or Path(resolved.saving.output_dir).resolve().name
    head = yaml.safe_dump(
        _head(resolved, merged=merge is not None), sort_keys=False, allow_unicode=True
    )
    used = versions(record if merge is None else None)  # a merge may be on another machine
    options = without_folders(without_secrets(resolved.config.given()))
    given = yaml.safe_dump(options, sort_keys=False, allow_unicode=True)
    return "\n".join(
        [
            f"---\n{head}---\n",
            f"# {name.rpartition('/')[2]}\n",
            f"{_how(resolved)}{', merged into the model,' if merge else ''} of {_model_words(resolved)}, on {_data_words(resolved)}.\n",
            *_table(record),
            *data_lines(record),
            *_merged_words(merge),
            *_read_elsewhere(resolved, model_type or _model_type(Path(resolved.model.base_model))),
            *_positions_elsewhere(positions or {}),
            "\n## Configuration\n",
            f"```yaml\n{given}```\n",
            f"Built with Axolotl {used.pop('axolotl')}: "
            + ", ".join(f"{name} {version}" for name, version in used.items())
            + ".\n",
        ]
    )


def _merged_words(merge: Mapping[str, Any] | None) -> list[str]:
    """How exact the merge is."""
    if merge is None:
        return []
    apart = merge["difference"]
    return [
        f"\nThe weights are {merge['dtype']}. Loaded again and run on {merge['rows']}, the model's logits "
        f"differ from those of base and adapter by at most {apart['relative']:.1e} of the largest one; "
        f"{apart['agreeing']:,} of {apart['positions']:,} positions have the same most probable token.\n"
    ]


def _head(resolved: Resolved, *, merged: bool = False) -> dict[str, Any]:
    """What the hub reads; it takes only its own names for models and data sets."""
    adapter, merges = resolved.adapter.adapter, resolved.relora.relora_steps
    base = resolved.model.base_model
    datasets = [name for name in _sources(resolved) if on_hub(name)]
    return {
        "library_name": "peft" if adapter and not merges and not merged else "transformers",
        "license": "unknown",
        **({"base_model": base} if on_hub(base) else {}),
        **({"datasets": datasets} if datasets else {}),
        "tags": ["axolotl", "generated_from_trainer", *_method_tags(resolved)],
        "pipeline_tag": "text-generation",
    }


def _method_tags(resolved: Resolved) -> list[str]:
    adapter, merges = resolved.adapter.adapter, resolved.relora.relora_steps
    return [*([adapter] if adapter else []), *(["relora"] if merges else [])]


def _sources(resolved: Resolved) -> Sequence[str]:
    """What was trained on, each once."""
    data, stream = resolved.data.datasets, resolved.streaming.pretraining_dataset
    named = [stream] if isinstance(stream, str) else [*(stream or []), *data]
    paths = [s if isinstance(s, str) else str(s.path) for s in named]
    return list(dict.fromkeys(paths))


def _how(resolved: Resolved) -> str:
    adapter, merges = resolved.adapter.adapter, resolved.relora.relora_steps
    if merges:
        return f"ReLoRA ({adapter}, merged into the model every {merges} steps and at the end)"
    return f"An adapter ({adapter})" if adapter else "A full fine-tuning"


def _model_words(resolved: Resolved) -> str:
    base = resolved.model.base_model
    return f"[{base}](https://huggingface.co/{base})" if on_hub(base) else f"`{short_name(base)}`"


def _data_words(resolved: Resolved) -> str:
    names = [f"`{short_name(name)}`" for name in _sources(resolved)]
    return ", ".join(names) or "no data set"


def _table(record: Mapping[str, Any]) -> list[str]:
    """The figures of the run as rows of a table."""
    final = record["final"]
    rows = {
        "steps": final.get("steps"),
        "trained tokens": final.get("trained_tokens"),
        "training loss": final.get("train_loss"),
        "held-out loss": final.get("eval_loss"),
        "held-out perplexity": final.get("perplexity"),
        "held-out figures are of": final.get("eval_loss_of"),
    }
    lines = [f"| {name} | {_figure(value)} |" for name, value in rows.items() if value is not None]
    if not lines:
        return []
    stopped = ["\nThe run was stopped before its last step.\n"] if record["interrupted"] else []
    return ["| | |\n|---|---|", *lines, *stopped]


def _model_type(folder: Path) -> str | None:
    """What the `config.json` of a folder calls its model; None without one that says it."""
    try:
        return json.loads((folder / "config.json").read_text("utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None


def _positions_elsewhere(positions: Mapping[str, Any]) -> list[str]:
    """What another program has to set before it puts an adapter on its base model."""
    names = ("rope_parameters", "max_position_embeddings", "original_max_position_embeddings")
    wanted = {name: positions[name] for name in names if name in positions}
    if "rope_parameters" not in wanted:
        return []
    return [
        "\nThe base model's positions were stretched in training. Axolotl reads how from "
        "`base_config.json`. Any other program has to be told: set this in the base model's "
        "configuration before it is loaded (transformers 4 calls `rope_parameters` `rope_scaling`).\n",
        f"```json\n{json.dumps(wanted, indent=2)}\n```\n",
    ]


def _read_elsewhere(resolved: Resolved, model_type: str | None) -> list[str]:
    """What other programs do not know of the model."""
    attention, lines = resolved.attention, list[str]()
    if attention.xpos_rope:
        lines.append(
            "\nThe model has xPos positions (arXiv 2212.10554). Axolotl applies them; any other program "
            "takes plain rotary positions, and the answers are worse without a word.\n"
        )
    if attention.landmark_attention:
        lines.append(
            "\nThe model was trained with landmark attention (arXiv 2305.16300). Axolotl answers with "
            "landmarks; any other program reads the model as a plain Llama, without them.\n"
        )
    if model_type == BTLM or BTLM in Path(resolved.model.base_model).name.lower():
        lines.append(
            "\nThe model is a BTLM, which transformers does not know. Axolotl loads it; any other "
            "program needs the published code: add its files and the `auto_map` of "
            "`cerebras/btlm-3b-8k-base` to `config.json`, and load with `trust_remote_code=True`.\n"
        )
    return lines


def _figure(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
