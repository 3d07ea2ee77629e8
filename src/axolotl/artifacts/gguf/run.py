"""Which model an export is of: that of a configuration, or of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from axolotl.artifacts.gguf.export import GgufReport, export
from axolotl.artifacts.trained import MERGED, find_full, find_trained
from axolotl.config.model import ModelSection
from axolotl.errors import ModelError

if TYPE_CHECKING:
    from axolotl.resolve import Resolved

_MERGE_FIRST = "merge it first: axolotl merge-lora with the file that trained it"


def export_run(resolved: Resolved, *, kind: str = "f16", out: Path | None = None) -> GgufReport:
    """Export what a configuration trained: the merged model, or the one trained in full.

    Args:
        resolved: The configuration.
        kind: One of `TYPES`.
        out: The file; default: in the folder of the run, or of another model, with the type in its name.

    Raises:
        ModelError: nothing is trained or merged, or it cannot be exported.
        ConfigError: no such type.
    """
    output = Path(resolved.saving.output_dir)
    found = find_trained(resolved.model, resolved.adapter, output_dir=output)
    if found.adapter is None:
        return export_folder(Path(found.model.base_model), kind=kind, out=out)
    if not (output / MERGED / "config.json").is_file():
        raise ModelError(f"the adapter in '{found.adapter}' is not merged yet", hint=_MERGE_FIRST)
    return export_folder(output / MERGED, kind=kind, out=out)


def export_folder(folder: Path, *, kind: str = "f16", out: Path | None = None) -> GgufReport:
    """Export the model in a folder, or the merged one in the folder of an adapter.

    Args:
        folder: Folder of a run, of a merged model, or of any other whole model.
        kind: One of `TYPES`.
        out: See `export_run`.

    Raises:
        ModelError: no whole model there, or one that cannot be exported.
        ConfigError: no such type.
    """
    if (folder / "adapter_config.json").is_file():
        if not (folder / MERGED / "config.json").is_file():
            raise ModelError(f"'{folder}' holds an adapter", hint=_MERGE_FIRST)
        folder = folder / MERGED
    section = ModelSection(base_model=str(folder))
    find_full(section, folder, key="export-gguf")  # refuses a merge older than its adapter
    # Not into a merged folder, which the next merge replaces as a whole.
    home = folder.resolve().parent if folder.name == MERGED else folder
    return export(folder, out or home / f"{home.resolve().name}-{kind}.gguf", kind=kind)
