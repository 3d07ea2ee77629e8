"""A model folder → one GGUF file, tensor by tensor, read back and compared.

The file holds all that llama.cpp and what is built on it need: weights, sizes, tokenizer, special
tokens and chat template. Norms and biases stay in fp32, as llama.cpp expects them.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer

from axolotl.artifacts.gguf.families import (
    Family,
    family_of,
    head_width,
    rope_factors,
    write_sizes,
)
from axolotl.artifacts.gguf.vocabulary import write_vocabulary
from axolotl.artifacts.merge_target import room_for
from axolotl.artifacts.model_card import write_gguf_card
from axolotl.core.atomic import disk_faults, usual_permissions
from axolotl.core.console import note
from axolotl.core.optional import need
from axolotl.errors import ConfigError, ModelError
from axolotl.training.relora.files import WeightFiles

TYPES = ("f32", "f16", "bf16", "q8_0")
LIMITS = {"F32": 0.0, "F16": 2**-11, "BF16": 2**-8, "Q8_0": 0.005}
"""Largest difference of a number that its form explains, divided by the largest of its row."""


@dataclass(frozen=True)
class GgufReport:
    """What came of an export.

    Args:
        source: The folder of the model.
        file: The file.
        arch: The kind of model in it, as llama.cpp calls it.
        kind: One of `TYPES`.
        tensors: How many tensors it holds.
        size_bytes: Its size.
        difference: Largest difference of a number that was read back, divided by the largest of its
            row in the model.
        chat_template: Whether it has one.
        seconds: How long it took.
    """

    source: Path
    file: Path
    arch: str
    kind: str
    tensors: int
    size_bytes: int
    difference: float
    chat_template: bool
    seconds: float


def export(source: Path, out: Path, *, kind: str = "f16") -> GgufReport:
    """Write a model as a GGUF file; it appears only if all of it came back right.

    Args:
        source: Folder of a whole model, with its tokenizer.
        out: The file; an earlier one is replaced.
        kind: One of `TYPES`.

    Raises:
        ConfigError: no such type, or `out` is a folder.
        ModelError: the model or its tokenizer cannot be exported, or does not fit into the type.
        EnvironmentFault: the extra `gguf` is missing, or there is no room.
    """
    start = time.perf_counter()
    _check(kind, out)
    need("gguf", extra="gguf", why="export-gguf")
    config = AutoConfig.from_pretrained(source)
    exported = _Model(source, config, family_of(config), kind)
    tokenizer = AutoTokenizer.from_pretrained(source)
    room_for(exported.size_bytes, out)
    note(f"writing {source} as {kind}, and reading it back")
    with disk_faults(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            words = exported.write(work / out.name, tokenizer)
            difference = exported.compare(work / out.name, words)
            usual_permissions(work)
            (work / out.name).replace(out)
            write_gguf_card(source, out, kind=kind, difference=difference)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return GgufReport(
        source=source,
        file=out,
        arch=exported.family.arch,
        kind=kind,
        tensors=len(exported.names),
        size_bytes=out.stat().st_size,
        difference=difference,
        chat_template=isinstance(tokenizer.chat_template, str),
        seconds=time.perf_counter() - start,
    )


class _Model:
    """The weights of a model, in the order and under the names of its file."""

    def __init__(self, source: Path, config: Any, family: Family, kind: str) -> None:
        import gguf

        self.source, self.config, self.family = source, config, family
        self.wanted = gguf.GGMLQuantizationType[kind.upper()]
        self.weights = WeightFiles(source)
        arch = gguf.MODEL_ARCH[family.arch.upper()]
        known = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
        self.names: dict[str, str] = {}
        for name in self.weights.shapes:
            if name == "lm_head.weight" and config.tie_word_embeddings:
                continue
            if name.endswith("rotary_emb.inv_freq"):
                continue  # files of 2023 hold what follows from the configuration
            target = known.get_name(name, try_suffixes=(".weight", ".bias"))
            if target is None:
                raise ModelError(
                    f"'{source}' holds '{name}', which a {family.arch} in GGUF has no place for",
                    hint="is it an adapter, or a model with parts of its own? merge it first",
                )
            self.names[target] = name
        self.factors = rope_factors(config)

    @property
    def size_bytes(self) -> int:
        """About what the file will take."""
        return sum(
            torch.Size(shape).numel() * (4 if len(shape) == 1 else 2 if self.wanted != 0 else 4)
            for shape in self.weights.shapes.values()
        )

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        """Names in the file and tensors, fp32, as llama.cpp has their rows."""
        if self.factors is not None:
            yield "rope_freqs.weight", self.factors
        read = 0
        for target, name in self.names.items():
            tensor = self.weights.read(name).float()
            yield target, self._turned(name, tensor) if self.family.turned else tensor
            read += tensor.nbytes
            if read > 256 << 20:  # what was read of a mapped file leaves the memory
                del tensor
                self.weights.close()
                read = 0

    def write(self, file: Path, tokenizer: Any) -> list[str]:
        """Write the file; its words."""
        import gguf

        writer = gguf.GGUFWriter(file, self.family.arch)
        writer.add_name(self.source.resolve().name)
        writer.add_file_type(
            {
                "F32": gguf.LlamaFileType.ALL_F32,
                "F16": gguf.LlamaFileType.MOSTLY_F16,
                "BF16": gguf.LlamaFileType.MOSTLY_BF16,
                "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
            }[self.wanted.name]
        )
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        write_sizes(writer, self.config)
        words = write_vocabulary(writer, tokenizer, size=self.config.vocab_size)
        if self.factors is not None:
            self._announce(writer, "rope_freqs.weight", tuple(self.factors.shape))
        for target, name in self.names.items():
            self._announce(writer, target, self.weights.shapes[name])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for _, tensor in self:
            kind = self._kind(tuple(tensor.shape))
            writer.write_tensor_data(gguf.quantize(tensor.contiguous().numpy(), kind))
        writer.close()
        return words

    def compare(self, file: Path, words: list[str]) -> float:
        """Read the file again; the largest difference, divided by the largest number of its row.

        Raises:
            ModelError: it is more than the type explains.
        """
        import gguf

        reader = gguf.GGUFReader(file)
        written = {tensor.name: tensor for tensor in reader.tensors}
        assert reader.fields["tokenizer.ggml.tokens"].contents() == words
        largest = 0.0
        for target, want in self:
            found = written.pop(target)
            got = torch.from_numpy(gguf.dequantize(found.data, found.tensor_type).copy())
            scale = want.abs().amax(dim=-1, keepdim=True).clamp(min=1e-30)
            apart = float(((got.reshape(want.shape) - want).abs() / scale).max())
            if not apart <= LIMITS[found.tensor_type.name]:
                raise ModelError(
                    f"'{target}' came back from {found.tensor_type.name} with a difference of "
                    f"{apart:.2g} of the largest number of its row; nothing was written",
                    hint="numbers too large for float16 fit into --type bf16 or f32",
                )
            largest = max(largest, apart)
        assert not written, f"never compared: {sorted(written)[:3]}"
        return largest

    def _kind(self, shape: tuple[int, ...]) -> Any:
        """The form of a tensor: whole for norms and biases, and where rows do not divide into blocks."""
        import gguf

        whole = gguf.GGMLQuantizationType.F32
        if len(shape) == 1:
            return whole
        block = gguf.GGML_QUANT_SIZES[self.wanted][0]
        return self.wanted if shape[-1] % block == 0 else gguf.GGMLQuantizationType.F16

    def _announce(self, writer: Any, name: str, shape: tuple[int, ...]) -> None:
        import gguf
        import numpy as np

        kind = self._kind(shape)
        block, size = gguf.GGML_QUANT_SIZES[kind]
        nbytes = torch.Size(shape).numel() // block * size
        writer.add_tensor_info(name, shape, np.dtype(np.float32), nbytes, raw_dtype=kind)

    def _turned(self, name: str, tensor: Tensor) -> Tensor:
        """Query and key with the two halves of each head interleaved; others as they are."""
        part = name.rpartition(".")[0].rpartition(".")[2]
        if part not in ("q_proj", "k_proj"):
            return tensor
        width = head_width(self.config)
        halves = tensor.reshape(tensor.shape[0] // width, 2, width // 2, *tensor.shape[1:])
        return halves.swapaxes(1, 2).reshape(tensor.shape)


def _check(kind: str, out: Path) -> None:
    if kind not in TYPES:
        raise ConfigError(
            "type", f"no type '{kind}'", where="--type", hint=f"one of: {', '.join(TYPES)}"
        )
    if out.is_dir():
        raise ConfigError(
            "out", f"'{out}' is a folder", where="--out", hint="name a file, such as model.gguf"
        )
