"""Many subjects do not flood a line."""

from __future__ import annotations

from axolotl.training.bench.figures import bench_record, bench_words

MANY = {
    "bench_accuracy": 0.25,
    "bench_average_accuracy": 0.2,
    "bench_loss": 1.0,
    **{f"bench_s{i}_accuracy": i / 100 for i in range(20)},
}


def test_only_some_of_many_subjects_are_named() -> None:
    words = bench_words(MANY, 40)
    assert words.startswith("10 of 40 questions right (25.0%), loss 1.0000; s0 0.0%, s1 1.0%")
    assert words.endswith("s11 11.0%, 8 more, 20.0% on average of the subjects")


def test_the_record_has_them_all() -> None:
    found = bench_record(MANY)
    assert len(found["subjects"]) == 20
    assert found["average_accuracy"] == 0.2
    assert bench_record({"eval_loss": 1.0}) == {}
