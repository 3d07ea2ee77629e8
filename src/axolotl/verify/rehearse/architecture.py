"""Which architecture a configuration means, and the files of its base model that are to be had.

Only what describes a model is looked at, never its weights, and no code that comes with it is run.
Files are looked for where the file says, then in the hub's local cache, and on the hub itself only
if it answers; what is fetched goes into the scratch folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axolotl.architectures import facts_of, families
from axolotl.config.model import ModelSection
from axolotl.core.hub_reach import why_not_reached
from axolotl.errors import ModelError

CONFIG = "config.json"
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "tokenizer.model", "spiece.model", "chat_template.jinja"),
)
_NAMED: Mapping[str, str] = {
    "btlm": "btlm",
    "cerebrasgpt": "gpt2",
    "codellama": "llama",
    "dolly": "gpt_neox",
    "falcon": "falcon",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3": "gemma3_text",
    "gpt2": "gpt2",
    "gptj": "gptj",
    "gptneox": "gpt_neox",
    "granite": "granite",
    "llama": "llama",
    "mistral": "mistral",
    "mixtral": "mixtral",
    "mpt": "mpt",
    "olmo": "olmo",
    "olmo2": "olmo2",
    "openllama": "llama",
    "opt": "opt",
    "phi": "phi",
    "phi3": "phi3",
    "phi35": "phi3",
    "phi4": "phi3",
    "pythia": "gpt_neox",
    "qwen2": "qwen2",
    "qwen25": "qwen2",
    "qwen3": "qwen3",
    "redpajama": "gpt_neox",
    "replit": "mpt",
    "smollm": "llama",
    "smollm3": "smollm3",
    "stablelm": "stablelm",
    "stablelmbasealpha": "gpt_neox",
    "stablelmtunedalpha": "gpt_neox",
    "starcoder": "gpt_bigcode",
    "starcoder2": "starcoder2",
    "tinyllama": "llama",
    "vicuna": "llama",
    "wizardlm": "llama",
    "xgen": "llama",
    "yi": "llama",
    "zephyr": "mistral",
}
"""How the names of published models begin, letters and digits only → their `model_type`."""
_SWITCHES = {
    "is_llama_derived_model": "llama",
    "is_falcon_derived_model": "falcon",
    "is_mistral_derived_model": "mistral",
}


@dataclass(frozen=True, slots=True)
class Files:
    """What is to be had of the base model here.

    Args:
        config: Its `config.json`; None where that is not to be had.
        tokenizer: Folder with the files of its tokenizer; None where they are not to be had.
    """

    config: Mapping[str, Any] | None = None
    tokenizer: Path | None = None


def find_files(model: ModelSection, scratch: Path) -> Files:
    """Look for the files of the base model; loads no library that computes.

    Args:
        model: What the file says of it.
        scratch: Where files from the hub are put.

    Raises:
        ModelError: its `config.json` cannot be read.
    """
    places = Places(model, scratch)
    return Files(places.config(), places.tokenizer())


def recognise(
    model: ModelSection, config: Mapping[str, Any] | None, *, named: str | None = None
) -> tuple[str, str]:
    """The architecture of a base model, and how it is known.

    Args:
        model: What the file says of it.
        config: Its `config.json`, where that is to be had.
        named: A `model_type` that the user gives, for a name that tells nothing.

    Raises:
        ModelError: nothing says which architecture it is.
    """
    if named:
        return named, "--architecture"
    if config is not None and _known_type(config.get("model_type")):
        return str(config["model_type"]), "its config.json"
    return _guess(model)


class Places:
    """Where files of the base model may be.

    Args:
        model: What the file says of it.
        scratch: Where files from the hub are put.
    """

    def __init__(self, model: ModelSection, scratch: Path) -> None:
        self._model = model
        self._scratch = scratch
        self._reached: bool | None = None

    def config(self) -> Mapping[str, Any] | None:
        """The `config.json` of the base model; None where it is not to be had."""
        other = self._model.base_model_config
        revision = None if other else self._model.model_revision
        file = self._file(other or self._model.base_model, CONFIG, revision)
        if file is None:
            return None
        try:
            read = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"'{file}' cannot be read: {error}", where="base_model") from error
        return read if isinstance(read, dict) else None

    def tokenizer(self) -> Path | None:
        """A folder with the files of the tokenizer; None where they are not to be had."""
        other = self._model.tokenizer_config
        source = other or self._model.base_model
        revision = None if other else self._model.model_revision
        found = [self._file(source, name, revision) for name in TOKENIZER_FILES]
        names = {file.name: file for file in found if file is not None}
        usable = "tokenizer.json" in names or {"vocab.json", "merges.txt"} <= names.keys()
        return next(iter(names.values())).parent if usable else None

    def _file(self, source: str, name: str, revision: str | None) -> Path | None:
        folder = Path(source).expanduser()
        if folder.is_dir():
            file = folder / name
            return file if file.is_file() else None
        if not re.fullmatch(r"[\w.-]+/[\w.-]+|[\w-]+", source) or source.endswith(".gguf"):
            return None
        return self._cached(source, name, revision) or self._fetched(source, name, revision)

    def _cached(self, source: str, name: str, revision: str | None) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(source, name, revision=revision)
        return Path(found) if isinstance(found, str) else None

    def _fetched(self, source: str, name: str, revision: str | None) -> Path | None:
        from huggingface_hub import constants, hf_hub_download

        if self._reached is None:
            offline = constants.HF_HUB_OFFLINE
            self._reached = not offline and why_not_reached(constants.ENDPOINT) is None
        if not self._reached:
            return None
        try:
            found = hf_hub_download(
                source,
                name,
                revision=revision,
                cache_dir=self._scratch / "hub",
                token=self._model.hf_use_auth_token,
            )
        except (OSError, ValueError):  # what the hub refuses is an OSError, too
            return None
        return Path(found)


def _known_type(name: object) -> bool:
    """Whether a model of that type can be made without code from elsewhere."""
    if not isinstance(name, str):
        return False
    if facts_of(name) is not None:
        return True
    from transformers import CONFIG_MAPPING

    return name in CONFIG_MAPPING


def _guess(model: ModelSection) -> tuple[str, str]:
    """The architecture by the class, the name or the switches that the file gives."""
    by_class = _of_class(model.model_type)
    if by_class is not None:
        return by_class, f"`model_type: {model.model_type}`"
    by_name = _of_name(model.base_model)
    if by_name is not None:
        return by_name, "the name of the base model"
    for switch, model_type in _SWITCHES.items():
        if getattr(model, switch):
            return model_type, f"`{switch}: true`"
    raise ModelError(
        f"nothing says which architecture '{model.base_model}' has: its config.json is not to be had "
        "here, and its name is not known",
        where="base_model",
        hint="say it by --architecture, such as `--architecture llama`",
    )


def _of_class(name: str) -> str | None:
    """The `model_type` of a class of transformers, such as `LlamaForCausalLM`."""
    if name.startswith("AutoModel"):
        return None
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    types = [t for t, c in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items() if name == c]
    usual = name.removesuffix("ForCausalLM").lower()  # some later types share an older class
    types.sort(key=lambda found: (found.replace("_", "") != usual, facts_of(found) is None))
    return types[0] if types else None


def _of_name(base_model: str) -> str | None:
    """The architecture by the name of a published model; the longest beginning that is known wins.

    >>> _of_name("EleutherAI/pythia-1.4b-deduped"), _of_name("me/my-Qwen2.5-tune"), _of_name("me/it")
    ('gpt_neox', 'qwen2', None)
    >>> _of_name("google/gemma-2b"), _of_name("google/gemma-2-2b")
    ('gemma', 'gemma2')
    """
    for facts in families().values():
        if base_model in facts.checkpoints:
            return facts.model_types[0]
    words = re.findall(r"[a-z0-9]+", base_model.rpartition("/")[2].lower())
    words = [word for word in words if not re.fullmatch(r"\d+[bm]", word)]  # gemma-2b is no gemma2
    found: list[tuple[int, str]] = []
    for start in range(len(words)):
        rest = "".join(words[start:])
        found += [(len(name), _NAMED[name]) for name in _NAMED if rest.startswith(name)]
    return max(found)[1] if found else None
