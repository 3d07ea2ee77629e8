"""Prepared data on the hub: taken from there instead of being prepared, and sent there once it is.

`push_dataset_to_hub: me` keeps each preparation as the private data set `me/<key>`; with a name that
has an owner already, `me/prepared`, each is a configuration `<key>` of that one data set. Either way
`datasets.load_dataset` opens it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from axolotl.core.atomic import atomic_folder, write_json
from axolotl.core.console import note
from axolotl.core.hashing import hash_file
from axolotl.data.hub import hub_faults, hub_reason
from axolotl.errors import EnvironmentFault

_SENT = "hub.json"
_CARD = "README.md"


class StoreExchange(Protocol):
    """A place that stores are taken from and sent to."""

    def fetch(self, folder: Path) -> bool:
        """Put the store of that name into its folder; False where it is not to be had."""
        ...

    def sent(self, folder: Path) -> bool:
        """Whether the store is known to be there."""
        ...

    def push(self, folder: Path) -> None:
        """Send the store, if it is not there."""
        ...


def hub_exchange(name: str | None) -> StoreExchange | None:
    """Where stores are kept on the hub; None where `push_dataset_to_hub` is not set."""
    return HubExchange(name) if name else None


@dataclass(frozen=True, slots=True)
class HubExchange:
    """Stores on the hub.

    Args:
        name: An owner, or a whole repository.
    """

    name: str

    def fetch(self, folder: Path) -> bool:
        """Put the store of that name into its folder.

        Returns:
            Whether it was there; what else goes wrong is a note, because it can be prepared.

        Raises:
            EnvironmentFault: there is no token, so nothing could be sent afterwards either.
        """
        from huggingface_hub import constants, get_token, snapshot_download
        from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

        if constants.HF_HUB_OFFLINE:
            note("HF_HUB_OFFLINE is set: the prepared data is not looked for on the hub")
            return False
        if get_token() is None:
            raise EnvironmentFault(
                "push_dataset_to_hub needs a token of the hub, and there is none",
                hint="log in with `hf auth login`, or set HF_TOKEN",
            )
        place = self._place(folder)
        try:
            if f"{place.prefix}store.json" not in place.names():
                note(f"{place}: not on the hub yet, so the data is prepared here")
                return False
            with atomic_folder(folder) as work:
                snapshot_download(
                    place.repository,
                    repo_type="dataset",
                    allow_patterns=f"{place.prefix}*",
                    local_dir=work / "hub",
                    token=True,
                )
                for file in (work / "hub" / place.prefix).iterdir():
                    if file.is_file() and file.name not in (_CARD, ".gitattributes"):
                        file.rename(work / file.name)
                shutil.rmtree(work / "hub")
                write_json(work / _SENT, {"place": str(place)})
        except (RepositoryNotFoundError, EntryNotFoundError):
            note(f"{place}: not on the hub yet, so the data is prepared here")
            return False
        except hub_faults() as error:
            note(f"{place}: cannot be looked for on the hub: {hub_reason(error)}")
            return False
        note(f"{place}: the prepared data is taken from the hub")
        return True

    def sent(self, folder: Path) -> bool:
        """Whether the store came from the hub or was sent there before."""
        try:
            said = json.loads((folder / _SENT).read_text("utf-8"))
            return said["place"] == str(self._place(folder))
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def push(self, folder: Path) -> None:
        """Send the store as a private data set, unless the hub has it.

        Raises:
            EnvironmentFault: it cannot be sent.
        """
        from huggingface_hub import HfApi, constants

        place = self._place(folder)
        if constants.HF_HUB_OFFLINE:
            note(f"HF_HUB_OFFLINE is set: the prepared data is not sent to {place}")
            return
        with _sending(place, folder):
            api = HfApi(token=True)
            api.create_repo(place.repository, repo_type="dataset", private=True, exist_ok=True)
            if not api.dataset_info(place.repository).private:
                raise EnvironmentFault(
                    "the data set is public, and prepared data is sent to private ones only",
                    where=str(place),
                    hint="make it private in its settings, or name another in push_dataset_to_hub",
                )
            if not place.has(folder):
                note(f"{place}: the prepared data is sent to the hub")
                api.create_commit(
                    place.repository,
                    place.operations(folder),
                    repo_type="dataset",
                    commit_message=f"Prepared data {folder.name}",
                )
        write_json(folder / _SENT, {"place": str(place)})

    def _place(self, folder: Path) -> _Place:
        if "/" in self.name:
            return _Place(self.name, f"{folder.name}/", folder.name)
        return _Place(f"{self.name}/{folder.name}", "", "default")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a store lies on the hub.

    Args:
        repository: The data set.
        prefix: What its files' names begin with there.
        config: Its configuration.
    """

    repository: str
    prefix: str
    config: str

    def __str__(self) -> str:
        return f"{self.repository}/{self.prefix}".rstrip("/")

    def names(self) -> list[str]:
        """The files of the data set."""
        from huggingface_hub import HfApi

        return HfApi(token=True).list_repo_files(self.repository, repo_type="dataset")

    def has(self, folder: Path) -> bool:
        """Whether the same files lie there, byte for byte."""
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile

        wanted = json.loads((folder / "store.json").read_text("utf-8"))["files"]
        names = {f"{self.prefix}{name}": folder / name for name in [*wanted, "store.json"]}
        infos = HfApi(token=True).get_paths_info(self.repository, [*names], repo_type="dataset")
        there = {info.path: info for info in infos if isinstance(info, RepoFile)}
        return {*there} == {*names} and all(_same(names[n], info) for n, info in there.items())

    def operations(self, folder: Path) -> list[Any]:
        """What makes the data set hold the store: its files, the card, and no others of it."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        files = sorted(f for f in folder.iterdir() if f.is_file() and f.name != _SENT)
        new = {f"{self.prefix}{file.name}": file for file in files}
        old = [n for n in self.names() if n.startswith(f"{self.prefix}data-") and n not in new]
        card = self._card(json.loads((folder / "store.json").read_text("utf-8")))
        return [
            *(CommitOperationAdd(name, str(file)) for name, file in new.items()),
            CommitOperationAdd(_CARD, card.encode()),
            *(CommitOperationDelete(name) for name in old),
        ]

    def _card(self, facts: dict[str, Any]) -> str:
        """What the data set says of itself; other configurations of it stay."""
        before = self._old_card()
        head = before.split("---\n")[1] if before.startswith("---\n") else ""
        said = yaml.safe_load(head) or {}
        mine = {
            "config_name": self.config,
            "data_files": [{"split": "train", "path": f"{self.prefix}data-*.arrow"}],
        }
        others = [c for c in said.get("configs", []) if c.get("config_name") != self.config]
        said["configs"] = [*others, mine]
        name = f'"{self.repository}"' + (f', "{self.config}"' if self.prefix else "")
        return (
            f"---\n{yaml.safe_dump(said, sort_keys=False)}---\n"
            "Rows that Axolotl has prepared for training: `input_ids`, `attention_mask` and `labels`.\n\n"
            f'    load_dataset({name})["train"]\n\n'
            f"{self.prefix.rstrip('/') or 'It'} has rows of {len(facts.get('inputs', []))} sources, "
            "described in `store.json`.\n"
        )

    def _old_card(self) -> str:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError

        try:
            found = hf_hub_download(self.repository, _CARD, repo_type="dataset", token=True)
        except EntryNotFoundError:
            return ""
        return Path(found).read_text("utf-8")


def _same(file: Path, info: Any) -> bool:
    """Whether a file has the content that the hub says one of its own has."""
    if info.size != file.stat().st_size:
        return False
    if info.lfs is not None:
        return info.lfs.sha256 == hash_file(file)
    blob = hashlib.sha1(b"blob %d\0" % info.size + file.read_bytes())  # as Git names it
    return info.blob_id == blob.hexdigest()


@contextmanager
def _sending(place: _Place, folder: Path) -> Iterator[None]:
    try:
        yield
    except hub_faults() as error:
        raise EnvironmentFault(
            f"the prepared data cannot be sent to the hub: {hub_reason(error)}",
            where=str(place),
            hint=f"it is kept in {folder}, and the next start tries again; or take "
            "push_dataset_to_hub out",
        ) from error
