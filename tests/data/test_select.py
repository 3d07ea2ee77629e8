"""Which rows are trained and evaluated, how often, in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from axolotl.data import equal_rows
from axolotl.data.prepare import Prepared
from axolotl.data.select import Weighted, order_rows, weigh
from axolotl.data.store import TokenStore
from axolotl.errors import DataError
from tests.data.conftest import Prepare, json_lines

Write = Callable[[str, bytes], str]
Entries = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def entries(write: Write) -> Entries:
    """Data sets whose rows are `a0`, `a1`, …; `b0`, …; each entry with its settings."""

    def make(*counts: int, **settings: list[Any]) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        for number, (letter, count) in enumerate(zip("abc", counts, strict=False)):
            rows = [{"text": f"{letter}{i}"} for i in range(count)]
            path = write(f"{letter}.jsonl", json_lines(rows))
            own = {name: values[number] for name, values in settings.items()}
            made.append({"path": path, "type": "completion", **own})
        return made

    return make


@pytest.fixture
def rows(tokenizer: Any) -> Callable[[TokenStore | None], list[str]]:
    def read(store: TokenStore | None) -> list[str]:
        assert store is not None
        ids = [store[i].input_ids for i in range(len(store))]
        return [tokenizer.decode(row, skip_special_tokens=True) for row in ids]

    return read


Read = Callable[[TokenStore | None], list[str]]


def numbered(letter: str, *numbers: int) -> list[str]:
    return [f"{letter}{number}" for number in numbers]


def test_one_data_set_keeps_its_order_and_several_are_shuffled_together(
    run: Prepare, entries: Entries, rows: Read
) -> None:
    assert rows(run(*entries(9)).train) == numbered("a", *range(9))
    both = numbered("a", *range(9)) + numbered("b", *range(5))
    mixed = rows(run(*entries(9, 5)).train)
    assert mixed != both
    assert sorted(mixed) == sorted(both)
    assert rows(run(*entries(9, 5), seed=1).train) != mixed


def test_shuffle_merged_datasets_can_be_said(run: Prepare, entries: Entries, rows: Read) -> None:
    both = numbered("a", *range(9)) + numbered("b", *range(5))
    assert rows(run(*entries(9, 5), shuffle_merged_datasets=False).train) == both
    one = rows(run(*entries(9), shuffle_merged_datasets=True).train)
    assert one != numbered("a", *range(9))
    assert sorted(one) == numbered("a", *range(9))


def test_shuffle_before_merging_datasets_mixes_each_alone(
    run: Prepare, entries: Entries, rows: Read
) -> None:
    options = {"shuffle_before_merging_datasets": True, "shuffle_merged_datasets": False}
    found = rows(run(*entries(9, 5), **options).train)
    assert [name[0] for name in found] == ["a"] * 9 + ["b"] * 5
    assert found != sorted(found)
    assert sorted(found[:9]) == numbered("a", *range(9))
    assert found[9:] != numbered("b", *range(5))


def test_curriculum_sampling_keeps_the_order_of_the_data(
    run: Prepare, entries: Entries, rows: Read
) -> None:
    both = numbered("a", *range(9)) + numbered("b", *range(5))
    assert rows(run(*entries(9, 5), curriculum_sampling=True).train) == both
    asked = run(*entries(9, 5), curriculum_sampling=True, shuffle_merged_datasets=True)
    assert rows(asked.train) != both


def test_held_out_rows_are_of_all_data_sets_or_it_is_said(
    run: Prepare, entries: Entries, rows: Read
) -> None:
    mixed = run(*entries(40, 40), val_set_size=20)
    assert {name[0] for name in rows(mixed.eval)} == {"a", "b"}
    assert mixed.summary.warnings == ()
    apart = run(*entries(40, 40), val_set_size=20, shuffle_merged_datasets=False)
    assert rows(apart.eval) == numbered("b", *range(20, 40))
    (warning,) = apart.summary.warnings
    assert warning.startswith("no held-out row is of a.jsonl: the last rows are held out")
    (by_chance,) = run(*entries(40, 1), val_set_size=1).summary.warnings
    assert by_chance.startswith("no held-out row is of b.jsonl: as few as 1 are held out;")


@pytest.mark.parametrize(
    ("weight", "times"), [(2, {2}), (2.5, {2, 3}), (0.5, {0, 1}), (1, {1}), (3.25, {3, 4})]
)
def test_weight_says_how_often_rows_are_trained(
    weight: float, times: set[int], run: Prepare, entries: Entries, rows: Read
) -> None:
    prepared = run(*entries(40, 7, weight=[weight, 1]))
    found = Counter(rows(prepared.train))
    assert {found[name] for name in numbered("a", *range(40))} == times
    assert {found[name] for name in numbered("b", *range(7))} == {1}
    assert prepared.summary.train_rows == len(prepared.train) == 40 * weight + 7
    assert prepared.summary.unweighted_rows == 47


def test_the_seed_chooses_the_rows_of_a_part(run: Prepare, entries: Entries, rows: Read) -> None:
    halves = [set(rows(run(*entries(40, weight=[0.5]), seed=s).train)) for s in (1, 2, 1)]
    assert [len(half) for half in halves] == [20, 20, 20]
    assert halves[0] == halves[2] != halves[1]


def test_weight_does_not_change_the_held_out_rows(
    run: Prepare, entries: Entries, rows: Read
) -> None:
    plain = run(*entries(30, 30), val_set_size=0.2)
    weighted = run(*entries(30, 30, weight=[3, 0.5]), val_set_size=0.2)
    assert rows(weighted.eval) == rows(plain.eval)
    held_out = set(rows(plain.eval))
    assert held_out.isdisjoint(rows(weighted.train))
    trained = Counter(rows(plain.train))
    found = Counter(rows(weighted.train))
    assert all(found[name] == 3 for name in trained if name[0] == "a")
    assert weighted.summary.key == plain.summary.key
    assert weighted.summary.from_cache


def test_weighted_rows_are_counted(run: Prepare, entries: Entries) -> None:
    summary = run(*entries(10, 10, weight=[2.5, 1]), val_set_size=5, seed=3).summary
    (weighted,) = summary.weighted
    assert (weighted.key, weighted.weight) == ("datasets.0", 2.5)
    lines = dict(summary.lines())
    assert lines["rows kept"] == "20: 15 to train on, 5 held out"
    said = f"{summary.train_rows}, a.jsonl 2.5 times: {weighted.trained} of {weighted.rows}"
    assert lines["trained rows by weight"] == said
    assert summary.train_rows == 15 + weighted.trained - weighted.rows
    assert "trained rows by weight" not in dict(run(*entries(10, 10)).summary.lines())


def test_weighted_rows_in_order_come_as_often_through_the_data_set() -> None:
    sets = np.array([0, 0, 0, 1, 1])
    weighted = [Weighted(0, 2.0, 3, 6), Weighted(1, 1.5, 2, 3)]
    found = weigh(np.arange(5), sets, weighted, seed=0, shuffle=False).tolist()
    assert found[:8] == [0, 1, 2, 0, 1, 2, 3, 4]
    assert found[8:] in ([3], [4])
    mixed = weigh(np.arange(5), sets, weighted, seed=0, shuffle=True).tolist()
    assert mixed != found
    assert sorted(mixed) == sorted(found)


def test_a_weight_that_leaves_no_row(run: Prepare, entries: Entries) -> None:
    with pytest.raises(DataError, match=r"0\.01 of 9 rows is less than one") as caught:
        run(*entries(9, weight=[0.01]))
    assert caught.value.where == "datasets.0.weight"


def test_order_within_each_is_that_of_the_library() -> None:
    import datasets

    expected = datasets.Dataset.from_dict({"n": range(20)}).shuffle(seed=7)["n"]
    sets = np.repeat([0, 1], [20, 5])
    found = order_rows(sets, seed=7, each=True, together=False)
    assert found[:20].tolist() == list(expected)
    assert sorted(found[20:].tolist()) == list(range(20, 25))


# ── rows that are equal ─────────────────────────────────────────────────────────────────────────


def repeating(write: Write, *names: str) -> list[dict[str, Any]]:
    """Data sets of one row for each letter."""
    return [
        {
            "path": write(f"{i}.jsonl", json_lines([{"text": c} for c in letters])),
            "type": "completion",
        }
        for i, letters in enumerate(names)
    ]


def test_dataset_exact_deduplication_drops_rows_that_are_equal(
    run: Prepare, write: Write, rows: Read
) -> None:
    # The last five are held out; of these and of the rest some are equal.
    (entry,) = repeating(write, "abcaabXdeXfXe")
    prepared = run(entry, val_set_size=5, dataset_exact_deduplication=True)
    assert rows(prepared.eval) == list("eXf")
    assert rows(prepared.train) == list("abcd")
    summary = prepared.summary
    assert {reason: group.places for reason, group in summary.equal_rows.items()} == {
        "equal to another row to train on": (("0.jsonl", 4), ("0.jsonl", 5), ("0.jsonl", 6)),
        "to train on, and equal to a row to evaluate on": (("0.jsonl", 7),),
        "equal to another row to evaluate on": (("0.jsonl", 12), ("0.jsonl", 13)),
    }
    lines = dict(summary.lines())
    assert lines["dropped: equal to another row to train on"] == "3 (0.jsonl row 4, 5, 6)"
    assert lines["rows kept"] == "7: 4 to train on, 3 held out"
    assert summary.warnings == ()
    assert summary.as_dict()["equal_rows"]
    plain = run(entry, val_set_size=5)
    assert (len(plain.train), plain.summary.equal_rows) == (8, {})
    assert plain.summary.warnings


def test_equal_rows_of_several_data_sets(run: Prepare, write: Write, rows: Read) -> None:
    found = run(*repeating(write, "abcc", "bcd"), dataset_exact_deduplication=True)
    assert sorted(rows(found.train)) == list("abcd")
    (group,) = found.summary.equal_rows.values()
    assert group.places == (("0.jsonl", 4), ("1.jsonl", 1), ("1.jsonl", 2))


@pytest.mark.parametrize("hashes", ["all differ", "all the same"])
def test_rows_are_compared_token_by_token_and_label_by_label(
    run: Prepare, write: Write, rows: Read, monkeypatch: pytest.MonkeyPatch, hashes: str
) -> None:
    if hashes == "all the same":
        monkeypatch.setattr(
            equal_rows, "_keys", lambda rows, numbers: np.zeros(numbers.size, np.uint64)
        )
    letters = run(*repeating(write, "abcaabXdeXfXe"), dataset_exact_deduplication=True)
    assert rows(letters.train) == list("abcXdef")
    asked = [{"instruction": word, "output": "It."} for word in ("1", "2", "1")]
    entry = {"path": write("a.jsonl", json_lines(asked)), "type": "alpaca"}
    first, second = (run(entry).train[i] for i in (0, 1))
    assert first.labels.tolist() == second.labels.tolist(), "only the ids tell them apart"
    ids = first.input_ids.tolist()
    tokens = {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": ids}
    other = {"path": write("b.jsonl", json_lines([tokens]))}
    found = run(entry, other, dataset_exact_deduplication=True)
    assert sorted(found.train.indices.tolist()) == [0, 1, 3], "of the same ids, other labels"


def test_a_row_that_is_evaluated_too_is_not_trained(run: Prepare, write: Write, rows: Read) -> None:
    train, test = repeating(write, "abcd", "xbxd")
    options = {"test_datasets": [test], "dataset_exact_deduplication": True}
    found = run(train, **options)
    assert rows(found.train) == list("ac")
    assert rows(found.eval) == list("xbd")
    groups = found.summary.equal_rows
    assert groups["to train on, and equal to a row to evaluate on"].places[0] == ("0.jsonl", 2)
    assert groups["equal to another row to evaluate on"].places == (("1.jsonl", 3),)
    with pytest.raises(DataError, match="every row to train on is equal to one to evaluate on"):
        run(train, **options | {"test_datasets": [train]})


def test_many_equal_rows_are_found_among_many(run: Prepare, write: Write) -> None:
    texts = [{"text": str(i % 3000)} for i in range(9000)]
    path = write("many.jsonl", json_lines(texts))
    found = run({"path": path, "type": "completion"}, dataset_exact_deduplication=True)
    assert found.train.indices.tolist() == list(range(3000))
    (group,) = found.summary.equal_rows.values()
    assert (group.count, len(group.places)) == (6000, 100)


# ── rows to evaluate on from data sets of their own ─────────────────────────────────────────────


def test_test_datasets_are_evaluated_whole(run: Prepare, entries: Entries, rows: Read) -> None:
    a, b, c = entries(9, 5, 3)
    prepared = run(a, test_datasets=[b, c])
    assert rows(prepared.train) == numbered("a", *range(9))
    assert rows(prepared.eval) == numbered("b", *range(5)) + numbered("c", *range(3))
    summary = prepared.summary
    assert (summary.rows_read, summary.rows_kept) == (17, 17)
    assert (summary.train_rows, summary.eval_rows) == (9, 8)
    assert [s["entry"] for s in summary.sources] == [
        "datasets.0",
        "test_datasets.0",
        "test_datasets.1",
    ]
    assert [report.key for report in summary.by_source] == [s["entry"] for s in summary.sources]
    assert dict(summary.lines())["rows kept"] == "17: 9 to train on, 8 to evaluate on"
    alone = run(a)
    assert alone.summary.key == summary.key, "the rows to train on have a store of their own"
    assert alone.summary.from_cache
    assert summary.test_key not in (None, summary.key)
    assert run(a, test_datasets=[b, c]).summary.from_cache


def test_test_datasets_have_their_own_types_and_files(
    run: Prepare, entries: Entries, write: Write
) -> None:
    (a,) = entries(9)
    path = write("t.jsonl", json_lines([{"instruction": "Say it.", "output": "It."}]))
    prepared = run(a, test_datasets=[{"path": path, "type": "alpaca"}])
    assert prepared.eval is not None
    assert prepared.eval[0].labels[0] == -100
    with pytest.raises(DataError, match=r"no file or folder 'gone\.jsonl'") as caught:
        run(a, test_datasets=[{"path": "gone.jsonl", "type": "alpaca"}])
    assert caught.value.where == "test_datasets.0.path"


def test_parts_of_the_rows_do_not_cut_test_datasets(
    run: Prepare, entries: Entries, rows: Read
) -> None:
    a, b = entries(9, 5)
    part = run(a, test_datasets=[b], dataset_shard_num=3, dataset_shard_idx=1)
    assert rows(part.train) == numbered("a", 1, 4, 7)
    assert len(rows(part.eval)) == 5
    assert dict(part.summary.lines())["left to other parts"].startswith("6 ")


def test_the_selection_has_a_mark(run: Prepare, entries: Entries) -> None:
    def mark(*counts: int, weight: float = 1, **options: Any) -> str:
        made = entries(*counts, weight=[weight, 1])
        prepared: Prepared = run(*made, **options)
        return prepared.summary.selection

    marks = [
        mark(9, 5),
        mark(9, 5, weight=2),
        mark(9, 5, seed=1),
        mark(9, 5, shuffle_merged_datasets=False),
        mark(9, 5, val_set_size=2),
    ]
    assert len(set(marks)) == len(marks)
    assert mark(9, 5) == marks[0]
