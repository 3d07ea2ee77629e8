"""Rows of hub data sets come from the user's cache, by configuration, revision and split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import datasets
import pytest

from axolotl.config.sources import DatasetSource
from axolotl.errors import DataError
from axolotl.verify.rehearse.cached import cache_of_user, folder_name, prepared_rows

PATH = "Open-Orca/OpenOrca"
FIRST, SECOND = "a" * 40, "b" * 40


class Made(datasets.GeneratorBasedBuilder):
    """A data set of the hub, without a hub."""

    BUILDER_CONFIGS: ClassVar[Any] = [
        datasets.BuilderConfig("default"),
        datasets.BuilderConfig("small"),
    ]
    splits = ("train", "train_sft")

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo()

    def _split_generators(self, dl_manager: Any) -> list[Any]:
        return [
            datasets.SplitGenerator(name=name, gen_kwargs={"split": name}) for name in self.splits
        ]

    def _generate_examples(self, **kwargs: Any) -> Iterator[Any]:
        for number in range(40):
            yield number, {"q": f"{self.config.name} {str(self.hash)[0]} {kwargs['split']}"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache as the library leaves it, of two configurations and two revisions."""
    folder = tmp_path_factory.mktemp("cache")
    for name, commit in (("default", FIRST), ("default", SECOND), ("small", SECOND)):
        made = Made(
            cache_dir=str(folder),
            dataset_name="OpenOrca",
            repo_id=PATH,
            config_name=name,
            hash=commit,
        )
        made.download_and_prepare()
    return folder


def first(cache: Path, **entry: Any) -> str:
    rows = prepared_rows(DatasetSource(path=PATH, type="alpaca", **entry), cache)
    return next(iter(rows))["q"]


def test_a_prepared_data_set_is_found_by_the_librarys_own_name_for_it(cache: Path) -> None:
    from datasets.naming import camelcase_to_snakecase

    assert (cache / folder_name(PATH)).is_dir()
    for name in ("OpenOrca", "SQLPairs", "alpaca_2k_test", "GPT4-LLM-Cleaned", "ultraChat200K"):
        assert folder_name(f"Me/{name}") == f"Me___{camelcase_to_snakecase(name)}"
    rows = list(prepared_rows(DatasetSource(path=PATH, type="alpaca"), cache))
    assert len(rows) == 32
    assert rows[0] == {"q": "default b train"}


def test_configuration_revision_and_split_are_those_of_the_entry(cache: Path) -> None:
    assert first(cache, name="small") == "small b train"
    assert first(cache, revision=FIRST) == "default a train"
    assert first(cache, revision=FIRST, train_on_split="train_sft") == "default a train_sft"
    assert first(cache, revision="main", train_on_split="train[:10%]") == "default b train"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"name": "large"}, "not its configuration 'large'"),
        ({"revision": "c" * 40}, "not its revision ccc"),
        ({"train_on_split": "test"}, "not its split 'test'"),
        ({"data_dir": "sub"}, "not a configuration to take"),
    ],
)
def test_what_is_not_there_is_said(cache: Path, entry: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        first(cache, **entry)


def test_what_was_not_prepared_to_its_end_is_not_read(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'me/it' is not on this machine"):
        list(prepared_rows(DatasetSource(path="me/it", type="alpaca"), cache))
    begun = tmp_path / folder_name(PATH) / "default" / "0.0.0" / f"{FIRST}.incomplete"
    begun.mkdir(parents=True)
    (begun / "dataset_info.json").write_text("{}")
    with pytest.raises(DataError, match="is not on this machine"):
        first(tmp_path)


def test_the_cache_is_where_the_user_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "data"))
    assert cache_of_user() == tmp_path / "data"
    monkeypatch.delenv("HF_DATASETS_CACHE")
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "home"))
    assert cache_of_user() == tmp_path / "home" / "datasets"
