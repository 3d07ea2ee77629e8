"""A `.gguf` file as a base model: converted once to a plain safetensors folder in the cache.

transformers reads GGUF and dequantises it, but a model loaded that way refuses to be saved again
("not serializable"), so its weights are moved into a fresh model of the same configuration.
Costs: the weights twice in memory while converting, and the fp32 folder on disk.
"""

from __future__ import annotations

import contextlib
import io
import struct
from pathlib import Path
from typing import Any

from axolotl.core.atomic import write_atomic
from axolotl.core.cache import cache_folder, made_once
from axolotl.core.console import note
from axolotl.core.hashing import hash_file, hash_values
from axolotl.core.optional import need
from axolotl.errors import ModelError

_NOT_CONFIG = ("quantization_config", "_name_or_path", "architectures", "transformers_version")


def converted(file: Path) -> Path:
    """Folder with `config.json`, `model.safetensors` (fp32) and the tokenizer of a GGUF file.

    The same bytes give the same folder; it is made by the first call.

    Raises:
        EnvironmentFault: the `gguf` extra is missing, or the cache cannot be written.
        ModelError: the file is damaged or of an architecture that transformers cannot read.
    """
    need("gguf", extra="gguf", why=f"base_model: {file.name}")
    folder = cache_folder("gguf", f"{file.stem}-{_identity(file)[:16]}")

    def convert(work: Path) -> None:
        note(f"converting {file.name} to safetensors, once; it will lie in {folder}")
        _convert(file, work)

    return made_once(folder, convert)


def _identity(file: Path) -> str:
    """Hash of the file's bytes, remembered by its size and time so that it is read once."""
    state = file.stat()
    key = hash_values([str(file.resolve()), state.st_size, state.st_mtime_ns])
    remembered = cache_folder("gguf", "identities", key)
    if remembered.is_file():
        return remembered.read_text()
    digest = hash_file(file)
    write_atomic(remembered, digest)
    return digest


def _convert(file: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from axolotl.models.quiet import no_library_bars

    source: dict[str, Any] = {
        "pretrained_model_name_or_path": str(file.parent),
        "gguf_file": file.name,
    }
    try:
        # The library's bars over tensors are plain tqdm, which only its stream can silence.
        with contextlib.redirect_stderr(io.StringIO()), no_library_bars():
            tokenizer = AutoTokenizer.from_pretrained(**source)
            loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    except (ValueError, LookupError, OSError, EOFError, NotImplementedError, struct.error) as error:
        raise ModelError(
            f"'{file}' cannot be converted: {error}",
            hint="is the download whole? otherwise let base_model name the original model",
        ) from error
    settings = {k: v for k, v in loaded.config.to_dict().items() if k not in _NOT_CONFIG}
    plain = type(loaded)(type(loaded.config)(**settings))
    plain.load_state_dict(loaded.state_dict())
    plain.tie_weights()
    with no_library_bars():
        plain.save_pretrained(target)
    tokenizer.save_pretrained(target)
