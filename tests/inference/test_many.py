"""A file of prompts: answered in order, named where it cannot be, and gone on with after a kill."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from axolotl.errors import DataError, EnvironmentFault
from axolotl.formats import bind
from axolotl.inference import many, prompt_rows
from axolotl.inference.answer_file import AnswerFile
from axolotl.inference.generate import Generator
from axolotl.inference.making import Answer
from axolotl.inference.many import Told, answer_file
from axolotl.inference.options import GenerationOptions
from tests.conftest import build_llama

WORDS = ["red", "green", "blue", "quick brown fox", "0 1 2 3 4", "x", "Is that so?"]
ROWS = [{"instruction": " ".join(WORDS[i % 7 :: 2]), "id": f"n{i}"} for i in range(40)]


def generator(tokenizer: Any, **options: Any) -> Generator:
    return Generator(
        build_llama(eos_token_id=500, initializer_range=0.3),
        tokenizer,
        bound=bind("alpaca"),
        options=GenerationOptions.of(**({"temperature": 0, "max_new_tokens": 8} | options)),
        name="tiny",
    )


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")
    return file


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_each_row_has_the_answer_that_it_has_alone(
    tokenizer: Any, prompts: Path, tmp_path: Path, temperature: float
) -> None:
    ours = generator(tokenizer, temperature=temperature)
    told = answer_file(ours, prompts, tmp_path / "out" / "a.jsonl", batch_prompts=3)
    found = lines_of(tmp_path / "out" / "a.jsonl")
    assert [line["row"] for line in found] == list(range(1, 41))
    assert [line["id"] for line in found] == [row["id"] for row in ROWS]
    assert (told.rows, told.failed, told.before) == (40, 0, 0)
    for line, row in zip(found, ROWS, strict=True):
        ids = ours.prompt_ids(row["instruction"])
        alone = ours.batch_ids([ids], ours.options, numbers=[line["row"]])[0]
        assert line["answer"] == alone.text
        assert (line["tokens"], line["cut"]) == (alone.tokens, alone.cut)
    assert told.cut == sum(line["cut"] for line in found) > 0
    there = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert [name for name in there if not name.startswith(".")] == ["a.jsonl", "a.jsonl.made"]


class Killed(BaseException):
    """As hard as a kill: nothing catches it."""


def killing(ours: Generator, after: int) -> None:
    """Let the generator answer so many batches, and no more."""
    plain, left = ours.batch_ids, iter(range(after))

    def batch_ids(*args: Any, **more: Any) -> list[Answer]:
        if next(left, None) is None:
            raise Killed
        return plain(*args, **more)

    vars(ours)["batch_ids"] = batch_ids


def counting(ours: Generator) -> list[int]:
    """Sizes of the batches that the generator will have answered."""
    plain, sizes = ours.batch_ids, list[int]()

    def batch_ids(ids: Any, *args: Any, **more: Any) -> list[Answer]:
        sizes.append(len(ids))
        return plain(ids, *args, **more)

    vars(ours)["batch_ids"] = batch_ids
    return sizes


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_a_run_that_was_killed_goes_on_where_it_was(
    tokenizer: Any,
    prompts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    temperature: float,
) -> None:
    monkeypatch.setattr(many, "_STRETCH_BATCHES", 4)
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    answer_file(generator(tokenizer, temperature=temperature), prompts, whole, batch_prompts=3)
    made = 0
    for after in (3, 6, 1):  # in the middle of the first stretch, and of later ones
        ours = generator(tokenizer, temperature=temperature)
        killing(ours, after)
        with pytest.raises(Killed):
            answer_file(ours, prompts, out, batch_prompts=3)
        made += after
        with out.open("ab") as file:
            file.write(b'{"row": 99, "answ')
        with (tmp_path / "out.jsonl.part").open("ab") as file:
            file.write(b'{"row": 39, "answer": "hal')
    counted = generator(tokenizer, temperature=temperature)
    batches = counting(counted)
    told = answer_file(counted, prompts, out, batch_prompts=3)
    assert out.read_bytes() == whole.read_bytes()
    assert told.before == 24, "two stretches were whole"
    assert sum(batches) <= 40 - 3 * made + 3, "no row was answered again"
    assert not (tmp_path / "out.jsonl.part").exists()
    again = answer_file(counted, prompts, out, batch_prompts=3)
    assert again.before == 40
    assert out.read_bytes() == whole.read_bytes()


def test_rows_that_cannot_be_answered_are_named(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(many, "note", said.append)
    file = tmp_path / "p.jsonl"
    bad = ['{"instruction": 5}', "{", '{"output": "x"}', '{"instruction": "\\ud800"}']
    long = json.dumps({"instruction": "0 1 2 3 4 " * 200, "id": "long"})
    file.write_text("\n".join([json.dumps(ROWS[0]), *bad, long, json.dumps(ROWS[1])]), "utf-8")
    out = tmp_path / "a.jsonl"
    told = answer_file(generator(tokenizer), file, out)
    found = lines_of(out)
    assert [line["row"] for line in found] == [1, 2, 3, 4, 5, 6, 7]
    assert ["error" in line for line in found] == [False, *[True] * 5, False]
    assert told.failed == 5
    assert [line.partition(":")[0] for line in said] == [f"row {n}" for n in range(2, 7)]
    assert found[5]["id"] == "long"
    assert "tokens, and the model only" in found[5]["error"]
    assert "half a character" in found[4]["error"]
    again = answer_file(generator(tokenizer), file, out)
    assert (again.before, again.failed_before, again.failed) == (7, 5, 0)
    assert again.which == told.which == "rows 2, 3, 4, 5, 6"
    assert said[-1].endswith("and 5 ended with an error (rows 2, 3, 4, 5, 6)")


def test_rows_without_an_answer_are_known_after_a_kill(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(many, "note", said.append)
    file, out = tmp_path / "p.jsonl", tmp_path / "a.jsonl"
    rows = ['{"instruction": 5}', *(json.dumps(row) for row in ROWS[:6])]
    file.write_text("\n".join(rows), "utf-8")
    ours = generator(tokenizer)
    killing(ours, 1)
    with pytest.raises(Killed):
        answer_file(ours, file, out, batch_prompts=3)
    said.clear()
    told = answer_file(generator(tokenizer), file, out, batch_prompts=3)
    assert (told.failed, told.failed_before, told.which) == (1, 0, "row 1")
    assert said[0].startswith("row 1: ")


def test_the_first_of_many_rows_without_an_answer_are_named(tmp_path: Path) -> None:
    file, out = tmp_path / "p.jsonl", tmp_path / "a.jsonl"
    file.write_text("{\n" * 12, "utf-8")
    for _ in range(2):
        told = quick(file, out)
        assert told.unanswered == 12
        assert told.which == "rows 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …"


def test_answers_of_another_kind_are_not_mixed(
    tokenizer: Any, prompts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.jsonl"
    ours = generator(tokenizer)
    killing(ours, 1)
    with pytest.raises(Killed):
        answer_file(ours, prompts, out, batch_prompts=3, made_by={"model": "one"})
    with pytest.raises(DataError, match=r"made otherwise: model was 'one' and is 'two'"):
        answer_file(generator(tokenizer), prompts, out, made_by={"model": "two"})
    with pytest.raises(DataError, match="max_new_tokens was 8 and is 9"):
        answer_file(generator(tokenizer, max_new_tokens=9), prompts, out, made_by={"model": "one"})
    with pytest.raises(DataError, match="the same file"):
        answer_file(generator(tokenizer), prompts, prompts)
    assert lines_of(prompts) == ROWS
    out.unlink()
    told = answer_file(generator(tokenizer), prompts, out, made_by={"model": "two"})
    assert told.before == 0
    assert len(lines_of(out)) == 40, "a file that was deleted is begun anew"


def test_a_finished_file_knows_how_it_was_made(tmp_path: Path) -> None:
    file, out = written(tmp_path, 5), tmp_path / "a.jsonl"
    for _ in range(2):
        quick(file, out, model="one")
    before = out.read_bytes()
    with pytest.raises(DataError, match="model was 'one' and is 'two'"):
        quick(file, out, model="two")
    with pytest.raises(DataError, match=r"temperature was 0.* and is 0\.5"):
        quick(file, out, temperature=0.5, model="one")
    (tmp_path / "a.jsonl.made").rename(tmp_path / "away")
    with pytest.raises(DataError, match=r"not known: 'a\.jsonl\.made' is missing"):
        quick(file, out, model="one")
    (tmp_path / "a.jsonl.made").write_bytes((tmp_path / "away").read_bytes()[:-3])
    with pytest.raises(DataError, match="knows of fewer rows"):
        quick(file, out, model="one")
    assert out.read_bytes() == before


def test_rows_are_added_at_the_end_and_nowhere_else(tmp_path: Path) -> None:
    file, out = written(tmp_path, 5), tmp_path / "a.jsonl"
    quick(file, out)
    lines = file.read_text().splitlines(keepends=True)
    before = out.read_bytes()
    for number, changed in [
        (1, ['{"prompt": "new"}\n', *lines]),
        (4, [*lines[:3], '{"prompt": "new"}\n', *lines[4:]]),
    ]:
        file.write_text("".join(changed))
        with pytest.raises(DataError, match=rf"row {number} is another one than"):
            quick(file, out)
        assert out.read_bytes() == before
    file.write_text("".join([*lines, '{"prompt": "new"}\n']))
    assert quick(file, out).before == 5
    assert quick(file, out).before == 6
    assert [line["row"] for line in lines_of(out)] == [1, 2, 3, 4, 5, 6]


def test_what_only_the_journal_holds_is_answered_again_for_another_row(
    tokenizer: Any, prompts: Path, tmp_path: Path
) -> None:
    out, whole = tmp_path / "a.jsonl", tmp_path / "whole.jsonl"
    ours = generator(tokenizer)
    killing(ours, 4)
    with pytest.raises(Killed):
        answer_file(ours, prompts, out, batch_prompts=3)
    prompts.write_text('{"prompt": "Is that so?"}\n' + prompts.read_text("utf-8"), "utf-8")
    answer_file(generator(tokenizer), prompts, out, batch_prompts=3)
    answer_file(generator(tokenizer), prompts, whole, batch_prompts=3)
    assert out.read_bytes() == whole.read_bytes()


def test_a_full_disk_at_the_start_loses_no_answers(
    tokenizer: Any, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, journal = tmp_path / "a.jsonl", tmp_path / "a.jsonl.part"
    ours = generator(tokenizer)
    killing(ours, 4)
    with pytest.raises(Killed):
        answer_file(ours, prompts, out, batch_prompts=3)
    kept = journal.read_bytes()
    assert kept.count(b'"answer"') == 12

    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as disk:
        disk.setattr("axolotl.inference.answer_file.sync", full)
        with pytest.raises(EnvironmentFault, match="no space left"):
            answer_file(generator(tokenizer), prompts, out, batch_prompts=3)
    assert journal.read_bytes() == kept


@pytest.mark.parametrize("content", ['{"a": 1}\n', "hello\n", "hello", '{"row": 2}\n'])
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, content: str) -> None:
    out = tmp_path / "a.jsonl"
    out.write_text(content)
    with pytest.raises(DataError, match="no answer to row 1"):
        AnswerFile(out, {})
    assert out.read_text() == content


def test_more_answers_than_rows(tokenizer: Any, prompts: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    answer_file(generator(tokenizer, max_new_tokens=1), prompts, out)
    prompts.write_text('{"prompt": "x"}\n')
    with pytest.raises(DataError, match=r"has 40 answers, and .* only 1 rows"):
        answer_file(generator(tokenizer, max_new_tokens=1), prompts, out)


class Quick:
    """Answers at once, so that only the file counts."""

    bound = None
    options = GenerationOptions(temperature=0)

    def read(self, prompt: Any) -> list[int]:
        return [1]

    def batches(self, lengths: Any, most: int) -> Iterator[list[int]]:
        return iter(
            [list(range(i, min(i + most, len(lengths)))) for i in range(0, len(lengths), most)]
        )

    def batch_ids(self, prompts: Any, options: Any, *, numbers: Any) -> list[Answer]:
        return [Answer("y" * 100, 1, False) for _ in prompts]


def quick(file: Path, out: Path, *, temperature: float = 0, **made_by: str) -> Told:
    ours: Any = Quick()
    ours.options = GenerationOptions(temperature=temperature)
    return answer_file(ours, file, out, made_by=made_by)


def written(folder: Path, count: int) -> Path:
    """A file of so many prompts."""
    file = folder / "p.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"x{n}"}) + "\n" for n in range(count)))
    return file


def test_many_rows_need_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "_STRETCH_BATCHES", 4)

    def peak(count: int) -> int:
        file, out = tmp_path / f"{count}.jsonl", tmp_path / f"{count}.out"
        with file.open("w") as lines:
            lines.writelines(
                json.dumps({"prompt": "x" * 200, "id": n}) + "\n" for n in range(count)
            )
        tracemalloc.start()
        answer_file(Quick(), file, out)  # pyright: ignore[reportArgumentType]
        answer_file(Quick(), file, out)  # pyright: ignore[reportArgumentType]
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert prompt_rows.count_rows(out) == count
        return found

    peak(10)  # what is imported on the way
    assert peak(4000) < peak(400) + 300_000


WRITER = """
import sys
from pathlib import Path
from axolotl.inference.answer_file import only_writer
with only_writer(Path(sys.argv[1])):
    print("writes", flush=True)
    sys.stdin.read()
"""


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    file, out = written(tmp_path, 5), tmp_path / "a.jsonl"
    (tmp_path / "b.jsonl").symlink_to(out)
    command = [sys.executable, "-c", WRITER, str(out)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "writes\n"
            for name in ("a.jsonl", "b.jsonl"):
                with pytest.raises(
                    EnvironmentFault, match=r"another process is writing '.*a\.jsonl'"
                ):
                    quick(file, tmp_path / name)
            assert not out.exists()
            assert quick(file, tmp_path / "c.jsonl").rows == 5, "another file is free"
        finally:
            child.kill()
    assert quick(file, out).before == 0, "one that was killed keeps nobody out"
    assert len(lines_of(out)) == 5


PROGRAM = """
import sys
from tests.conftest import build_tokenizer
from tests.inference.test_many import generator
from axolotl.inference.many import answer_file
from pathlib import Path
ours = generator(build_tokenizer(), max_new_tokens=20)
plain, made = ours.batch_ids, 0
def batch_ids(*args, **more):
    global made
    made += 1
    print(made, flush=True)
    return plain(*args, **more)
ours.batch_ids = batch_ids
answer_file(ours, Path(sys.argv[1]), Path(sys.argv[2]), batch_prompts=2)
"""


@pytest.mark.slow
def test_a_real_kill_loses_nothing(tokenizer: Any, prompts: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "a.jsonl", tmp_path / "whole.jsonl"
    answer_file(generator(tokenizer, max_new_tokens=20), prompts, whole, batch_prompts=2)
    command = [sys.executable, "-c", PROGRAM, str(prompts), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        while child.stdout.readline().strip() != "6":
            assert child.poll() is None
        os.kill(child.pid, signal.SIGKILL)
    kept = (tmp_path / "a.jsonl.part").read_bytes().count(b'"answer"')
    assert kept >= 10, "five batches of two were answered"
    ours = generator(tokenizer, max_new_tokens=20)
    batches = counting(ours)
    answer_file(ours, prompts, out, batch_prompts=2)
    assert out.read_bytes() == whole.read_bytes()
    assert sum(batches) == 40 - kept
