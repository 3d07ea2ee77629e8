"""The tokenizer that a file asks for, with its special and added tokens."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from transformers import AddedToken, AutoTokenizer, PreTrainedTokenizerBase
from transformers.models.auto.tokenization_auto import get_tokenizer_config

from axolotl.config.model import ModelSection
from axolotl.core.atomic import disk_faults
from axolotl.core.console import note_once
from axolotl.errors import ModelError
from axolotl.models.native import btlm
from axolotl.models.remote_code import say_if_elsewhere
from axolotl.models.reserved_tokens import rename_tokens
from axolotl.models.sources import asked_briefly, base_source, first_line, hub_token, local_source


def load_tokenizer(model: ModelSection) -> PreTrainedTokenizerBase:
    """Load the tokenizer of `base_model` (or `tokenizer_config`) and add the file's tokens.

    A tokenizer without a padding token pads with its end token; padding is never trained, and
    nothing is added to the vocabulary for it.

    Raises:
        ModelError: nothing loads from there, or its class is not the one asked for.
    """
    tokenizer = _load(model)
    for name, text in (model.special_tokens or {}).items():
        _add_special(tokenizer, name, _exact(text, special=True))
    if model.tokens:
        tokenizer.add_tokens([_exact(text, special=False) for text in model.tokens])
    if tokenizer.pad_token is None and tokenizer.eos_token is not None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.eos_token is None:
        note_once(
            "the tokenizer has no end token: answers will not learn to stop; "
            "set special_tokens.eos_token"
        )
    return tokenizer


def _add_special(tokenizer: PreTrainedTokenizerBase, name: str, token: AddedToken) -> None:
    """Set a special token; one that the library has no name for stands beside its others."""
    if name in tokenizer.SPECIAL_TOKENS_ATTRIBUTES:
        tokenizer.add_special_tokens({name: token})
    else:
        tokenizer.add_special_tokens(
            {"extra_special_tokens": [token]}, replace_extra_special_tokens=False
        )


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Number of the padding token; 0 where there is none, since padding is never trained or seen."""
    token = tokenizer.pad_token_id
    return token if isinstance(token, int) else 0


def save_early(tokenizer: PreTrainedTokenizerBase, output_dir: Path) -> None:
    """Save the tokenizer of a run before its first step, for whoever looks at a run that goes on.

    Not where an earlier run's result lies, which keeps its own until the new one is there.

    Raises:
        EnvironmentFault: disk full or not writable.
    """
    if not any((output_dir / name).exists() for name in ("config.json", "adapter_config.json")):
        with disk_faults(output_dir):
            tokenizer.save_pretrained(output_dir)


def _source(model: ModelSection) -> str:
    """A folder of its own may hold a tokenizer and no model."""
    folder = Path(model.tokenizer_config or "").expanduser()
    if model.tokenizer_config and folder.is_dir():
        return str(folder)
    return local_source(model.tokenizer_config) if model.tokenizer_config else base_source(model)


def new_tokens(model: ModelSection) -> list[str]:
    """The file's special and added tokens that the tokenizer does not have by itself."""
    wanted = [*(model.special_tokens or {}).values(), *(model.tokens or [])]
    if not wanted:
        return []
    known = _load(model).get_vocab()
    return [text for text in dict.fromkeys(wanted) if text not in known]


def _load(model: ModelSection) -> PreTrainedTokenizerBase:
    source = _source(model)
    revision = None if model.tokenizer_config else model.model_revision
    legacy = {} if model.tokenizer_legacy is None else {"legacy": model.tokenizer_legacy}
    try:
        with asked_briefly(source):
            where: dict[str, Any] = {"revision": revision or "main", **hub_token(model)}
            btlm.choose(source, trust_remote_code=model.trust_remote_code, **where)
            if model.trust_remote_code:
                say_if_elsewhere(source, get_tokenizer_config(source, **where).get("auto_map"))
            tokenizer = _loader(model).from_pretrained(
                source,
                trust_remote_code=model.trust_remote_code,
                use_fast=model.tokenizer_use_fast,
                **legacy,
                **where,
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"no tokenizer loads from '{source}': {first_line(error)}",
            hint="tokenizer_config may name another folder or hub id with the tokenizer",
        ) from error
    if legacy:
        _keep_legacy(tokenizer, legacy)
    rename_tokens(tokenizer, model.added_tokens_overrides)
    return tokenizer


def _keep_legacy(tokenizer: PreTrainedTokenizerBase, legacy: dict[str, bool]) -> None:
    """Have it saved with the tokenizer, which else forgets it; say where it changes nothing."""
    kind = type(tokenizer)
    if "legacy" in inspect.signature(kind.__init__).parameters:
        tokenizer.init_kwargs |= legacy
    else:
        note_once(
            f"tokenizer_legacy has no effect: a {kind.__name__} is what its files say; "
            "it matters to a LlamaTokenizer"
        )


def _loader(model: ModelSection) -> Any:
    import transformers

    if not model.tokenizer_type:
        return AutoTokenizer
    loader = getattr(transformers, model.tokenizer_type, None)
    kinds = (PreTrainedTokenizerBase, AutoTokenizer)
    if loader is None:
        problem = f"transformers has no tokenizer class '{model.tokenizer_type}'"
    elif not (isinstance(loader, type) and issubclass(loader, kinds)):
        problem = f"the class '{model.tokenizer_type}' is no tokenizer"
    else:
        return loader
    raise ModelError(
        problem,
        where="tokenizer_type",
        hint="leave tokenizer_type out to let the model folder decide",
    )


def _exact(text: str, *, special: bool) -> AddedToken:
    """The token as written: no spaces eaten around it, no normalisation."""
    return AddedToken(text, lstrip=False, rstrip=False, normalized=False, special=special)
