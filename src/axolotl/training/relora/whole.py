"""Whole weights of a base model that is quantised in memory: from one merge's files to the next's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from axolotl.core.atomic import usual_permissions
from axolotl.training.relora.files import WeightFiles, check_whole
from axolotl.training.relora.layers import AdaptedLayer, base_state
from axolotl.training.relora.writer import ShardWriter, check_room, write_settings


class WholeWeights:
    """The last whole weights, on the disk, and how the adapter is merged into them.

    Args:
        model: A model of peft.
        layers: The layers that its adapter changes.
        files: Where the whole weights are.
        on_cpu: Add up on the CPU, which spares the memory of a GPU.

    Raises:
        ModelError: weights that will be needed are not there.
    """

    def __init__(
        self,
        model: Any,
        layers: Sequence[AdaptedLayer],
        files: WeightFiles,
        *,
        on_cpu: bool = False,
    ) -> None:
        self.base = model.get_base_model()
        self.model = model
        self.layers = layers
        self.files = files
        self.on_cpu = on_cpu
        self._prefix = str(getattr(self.base, "base_model_prefix", ""))
        check_whole(files, {item.name: item.shape for item in layers}, prefix=self._prefix)

    def take(self) -> None:
        """Give the model in memory the weights of the files."""
        for item in self.layers:
            item.put(self.files.read(self._found(item.name)))

    def merge(self) -> None:
        """Give the model in memory the weights of the files with the adapter merged into them."""
        for item in self.layers:
            item.put(self._merged(item))

    @torch.no_grad()
    def write(
        self,
        folder: Path,
        *,
        put: bool = False,
        dtype: torch.dtype | None = None,
        instead: dict[str, torch.Tensor] | None = None,
    ) -> None:
        """Write all weights, with the adapter merged into them.

        Args:
            folder: An empty folder.
            put: Whether the model in memory takes the merged weights as well.
            dtype: dtype of all weights; by default merged ones are fp32 and others as they were.
            instead: Weights to write instead of those of the files, by their names in the model.

        Raises:
            EnvironmentFault: there is no room.
        """
        size = 4 if dtype is None else dtype.itemsize
        check_room(folder, sum(size * torch.Size(s).numel() for s in self.files.shapes.values()))
        adapted = {self._found(item.name): item for item in self.layers}
        given = {self._found(name, name): value for name, value in (instead or {}).items()}
        given = self._grown() | given
        writer = ShardWriter(folder)
        for name in self.files.shapes:
            value = given.pop(name, None)
            if (item := adapted.get(name)) is not None:
                value = self._merged(item)
                if put:
                    item.put(value)
            elif value is None:
                value = self.files.read(name)
            writer.add(name, value.to(dtype) if dtype and value.is_floating_point() else value)
        if not self.base.config.tie_word_embeddings:  # else the head is in no file of its own
            for name, value in given.items():
                writer.add(name, value.to(dtype or value.dtype))
        writer.finish()
        write_settings(self.base, folder, dtype=dtype)
        usual_permissions(folder)

    def _merged(self, item: AdaptedLayer) -> torch.Tensor:
        """The whole weight of a layer with its adapter merged into it, fp32, on the CPU."""
        delta = item.delta(on_cpu=self.on_cpu)
        original = self.files.read(self._found(item.name))
        return (original.to(delta.device, torch.float32) + delta).cpu()

    def _grown(self) -> dict[str, torch.Tensor]:
        """Embeddings that have more rows in the model than in the files, for new tokens."""
        ends = (self.base.get_input_embeddings(), self.base.get_output_embeddings())
        names = {f"{path}.weight" for path, module in self.base.named_modules() if module in ends}
        live = {self._found(n, n): v for n, v in base_state(self.model).items() if n in names}
        have = self.files.shapes
        return {n: v for n, v in live.items() if n in have and have[n] != tuple(v.shape)}

    def _found(self, name: str, default: str | None = None) -> str:
        found = self.files.find(name, prefix=self._prefix) or default
        assert found is not None, f"{name} was there before the training"
        return found
