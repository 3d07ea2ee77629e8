"""Files behind an address: fetched once, read like local ones, and said clearly where they are not there."""

from __future__ import annotations

import gzip
import http.server
import io
import json
import socket
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest

from axolotl.data import fetched
from axolotl.data import http as http_files
from axolotl.data.prepare import Prepared
from axolotl.data.sources import find_sources
from axolotl.errors import DataError, EnvironmentFault

Run = Callable[..., Prepared]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "axolotl" / "remote"


def rows(*texts: str) -> bytes:
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)


def texts(path: str, **options: Any) -> list[str]:
    found = find_sources(path, key="datasets.0.path", **options)
    chunks = [chunk for source in found for chunk in source.chunks()]
    return [row["text"] for c in chunks for row in c.rows if isinstance(row, dict)]


@pytest.fixture
def memory() -> Iterator[Callable[[str, bytes], None]]:
    """Write a file into fsspec's memory."""
    files = fsspec.filesystem("memory")

    def put(name: str, content: bytes) -> None:
        files.pipe_file(name, content)

    yield put
    files.store.clear()


@pytest.fixture
def bucket(memory: Callable[[str, bytes], None]) -> None:
    memory("/b/train-0.jsonl", rows("0"))
    memory("/b/train-1.jsonl.gz", gzip.compress(rows("1")))
    memory("/b/test.jsonl", rows("t"))
    memory("/b/deep/train/lang=en/x.csv", b"text\nen\n")
    memory("/b/README.md", b"not data")
    memory("/b/rows.dat", rows("dat"))


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize(
    ("path", "options", "found"),
    [
        ("memory://b/train-0.jsonl", {}, "0"),
        ("memory://b/rows.dat", {}, "dat"),
        ("memory://b", {}, "en 0 1"),
        ("memory://b/", {"split": "test"}, "t"),
        ("memory://b", {"split": "train[1:]"}, "0 1"),
        ("memory://b/train-*.jsonl*", {}, "0 1"),
        ("memory://b/**/*.csv", {}, "en"),
        ("memory://b", {"data_files": ["test.jsonl", "train-0*"]}, "t 0"),
        ("memory://b", {"data_dir": "deep"}, "en"),
        ("json", {"data_files": "memory://b/rows.dat"}, "dat"),
        ("json", {"data_files": ["memory://b/t*.jsonl", "memory://b/test.jsonl"]}, "t 0"),
    ],
)
def test_what_an_address_names(path: str, options: dict[str, Any], found: str) -> None:
    assert texts(path, **options) == found.split()


@pytest.mark.usefixtures("bucket")
def test_a_file_is_fetched_when_it_is_read_and_once_for_each_version(
    memory: Callable[[str, bytes], None], cache: Path
) -> None:
    source = find_sources("memory://b/train-0.jsonl")[0]
    assert not cache.exists()
    before = source.identity()
    assert source.label == "memory://b/train-0.jsonl"
    assert texts("memory://b/train-0.jsonl") == ["0"]
    assert len(list(cache.glob("*/*.jsonl"))) == 1
    memory("/b/train-0.jsonl", rows("9"))  # as long as before
    again = find_sources("memory://b/train-0.jsonl")[0]
    assert again.identity() != before
    assert texts("memory://b/train-0.jsonl") == ["9"]
    assert len(list(cache.glob("*/*.jsonl"))) == 2


def test_a_remote_file_gives_the_store_of_a_local_one(
    run: Run, memory: Callable[[str, bytes], None]
) -> None:
    memory("/b/a.jsonl", rows("red", "blue"))
    Path("a.jsonl").write_bytes(rows("red", "blue"))
    remote = run({"path": "memory://b/a.jsonl", "type": "completion"})
    local = run({"path": "a.jsonl", "type": "completion"})
    assert remote.summary.key == local.summary.key
    assert remote.summary.sources[0]["file"] == "memory://b/a.jsonl"


def test_members_of_a_remote_archive(memory: Callable[[str, bytes], None]) -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("a.jsonl", rows("a"))
        archive.writestr("b.csv", "text\nb\n")
    memory("/b/x.zip", sink.getvalue())
    assert texts("memory://b/x.zip") == ["a", "b"]
    memory("/b/x", sink.getvalue())
    with pytest.raises(DataError, match=r"memory://b/x: an archive of 2 files[^$]*\.zip"):
        texts("memory://b/x")
    labels = [source.label for source in find_sources("memory://b/x.zip")]
    assert labels == ["memory://b/x.zip/a.jsonl", "memory://b/x.zip/b.csv"]


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "memory://b/train-0.json",
            "memory://b/train-0.json: no such file or folder[^$]*train-0.jsonl",
        ),
        ("memory://nobucket/x.jsonl", "no such file or folder[^$]*check the address"),
        ("memory://b/*.parquet", "no file fits the pattern"),
        ("memory://b/deep/train/lang=fr", "no such file or folder"),
        ("foo://b/x.jsonl", "'foo://' is no address that can be read[^$]*s3://"),
    ],
)
def test_what_is_not_there(path: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        texts(path)


@pytest.mark.parametrize(
    ("path", "package", "hint"),
    [
        ("s3://bucket/x.jsonl", "s3fs", r"pip install 'axolotl\[s3\]'"),
        ("gs://bucket/x.jsonl", "gcsfs", r"pip install 'axolotl\[gcs\]'"),
        ("abfs://box/x.jsonl", "adlfs", "Azure"),
    ],
)
def test_a_missing_package_is_named(
    path: str, package: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EnvironmentFault, match=f"(?s){path}: .*{package}.*{hint}"):
        texts(path)


class Failing(fsspec.AbstractFileSystem):
    """A file system whose files cannot be had, for one reason or another."""

    protocol = "failing"
    error: Exception = OSError()

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        raise self.error


class NoCredentialsError(Exception):
    """As that of botocore, which is no OSError."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError("Forbidden"), "access is refused: Forbidden"),
        (NoCredentialsError("Unable to locate them"), "access is refused: Unable to locate them"),
        (ConnectionError("no route\nto host"), "cannot be read: no route\n  hint: .*connection"),
        (RuntimeError("odd"), "cannot be read: odd"),
    ],
)
def test_what_a_protocol_says_is_said(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("failing", Failing, clobber=True)
    monkeypatch.setattr(Failing, "error", error)
    with pytest.raises(DataError, match=f"^failing://host/x.jsonl: {message}"):
        texts("failing://me:secret@host/x.jsonl")


def test_a_split_of_a_single_file_is_said_to_have_no_effect(
    memory: Callable[[str, bytes], None], capfd: Any
) -> None:
    memory("/b/one.jsonl", rows("a"))
    assert texts("memory://b/one.jsonl", split="validation") == ["a"]
    assert "memory://b/one.jsonl has no splits" in capfd.readouterr().err


def test_several_readers_fetch_once(
    memory: Callable[[str, bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory("/b/a.jsonl", rows("a"))
    fetches: list[str] = []
    get = type(fsspec.filesystem("memory")).get_file

    def slow(self: Any, path: str, *rest: Any, **options: Any) -> None:
        fetches.append(path)
        time.sleep(0.05)
        get(self, path, *rest, **options)

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "get_file", slow)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: texts("memory://b/a.jsonl"), range(4)))
    assert found == [["a"]] * 4
    assert len(fetches) == 1


def test_a_file_that_comes_short_is_not_kept(
    memory: Callable[[str, bytes], None], cache: Path
) -> None:
    memory("/b/a.jsonl", rows("a"))
    source: Any = find_sources("memory://b/a.jsonl")[0]
    source.file.info["size"] += 1
    with pytest.raises(DataError, match="only 14 of 15 bytes came"):
        list(source.chunks())
    assert not list(cache.glob("*/*.jsonl"))


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by a table: path → (status, headers, body)."""

    answers: ClassVar[dict[str, tuple[int, dict[str, str], bytes]]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        status, headers, body = self.answers.get(self.path.partition("?")[0], (404, {}, b"no"))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a server on this machine whose answers are `Handler.answers`."""
    monkeypatch.setattr(Handler, "answers", {})
    monkeypatch.setattr(Handler, "asked", [])
    monkeypatch.setattr(http_files, "PAUSES_S", (0.0, 0.0))
    monkeypatch.setenv("no_proxy", "*")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_file_of_the_web_is_fetched_once(web: str, cache: Path) -> None:
    Handler.answers["/a.jsonl"] = (200, {"ETag": '"1"'}, rows("a"))
    assert texts(f"{web}/a.jsonl") == ["a"]
    assert texts(f"{web}/a.jsonl?signature=2") == ["a"]  # the tag says that it is the same
    assert len(list(cache.glob("*/*.jsonl"))) == 1
    Handler.answers["/a.jsonl"] = (200, {"ETag": '"2"'}, rows("b"))
    assert texts(f"{web}/a.jsonl") == ["b"]
    source = find_sources(f"{web}/a.jsonl?signature=2")[0]
    assert source.label == f"{web}/a.jsonl"


def test_a_file_without_a_version_is_fetched_every_time(web: str, capfd: Any) -> None:
    for text in "ab":
        Handler.answers["/a.jsonl"] = (200, {}, rows(text))
        assert texts(f"{web}/a.jsonl") == [text]
    assert "fetched every time" in capfd.readouterr().err


def test_the_name_may_be_in_the_answer(web: str) -> None:
    said = {"Content-Disposition": 'attachment; filename="x.csv"'}
    Handler.answers["/download"] = (200, said, b"text\na\n")
    assert texts(f"{web}/download?id=3") == ["a"]
    assert texts("csv", data_files=f"{web}/download?id=3") == ["a"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((404, {}, b""), r"no such file \(404 Not Found\)"),
        ((403, {}, b""), r"access is refused \(403 Forbidden\)\n  hint: it is not public"),
        ((500, {}, b""), r"the server answers 500 .*\n  hint: the server is at fault"),
        ((429, {}, b""), "the server answers 429 Too Many Requests"),
        ((200, {"Content-Type": "text/html"}, b"<p>Log in</p>"), "a web page instead of data"),
        ((200, {}, b"<!DOCTYPE html><p>Log in</p>"), "a web page instead of data"),
        (
            (200, {"Content-Length": "500", "ETag": "x"}, b"{}"),
            "only 2 of 500 bytes came",
        ),
    ],
)
def test_what_the_web_refuses(
    web: str, answer: tuple[int, dict[str, str], bytes], message: str
) -> None:
    Handler.answers["/a.jsonl"] = answer
    with pytest.raises(DataError, match=f"^{web}/a.jsonl: {message}") as caught:
        texts(f"{web}/a.jsonl?token=secret")
    assert "secret" not in str(caught.value)
    assert len(Handler.asked) == (3 if "500" in message or "429" in message else 1)


def test_another_try_may_mend_it(web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Handler.answers["/a.jsonl"] = (503, {}, b"")

    def mend(_: float) -> None:
        Handler.answers["/a.jsonl"] = (200, {}, rows("a"))

    monkeypatch.setattr(http_files.time, "sleep", mend)
    assert texts(f"{web}/a.jsonl") == ["a"]


def test_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_files, "PAUSES_S", ())
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a.jsonl"
        with pytest.raises(DataError, match=f"^{url}: cannot be fetched: .*refused"):
            texts(url)


def test_the_last_copy_is_read_where_the_server_is_down(web: str, capfd: Any) -> None:
    Handler.answers["/a.jsonl"] = (200, {"ETag": '"1"'}, rows("a"))
    assert texts(f"{web}/a.jsonl") == ["a"]
    Handler.answers["/a.jsonl"] = (503, {}, b"")
    assert texts(f"{web}/a.jsonl") == ["a"]
    assert "answers 503 Service Unavailable; the copy of 20" in capfd.readouterr().err
    Handler.answers["/a.jsonl"] = (404, {}, b"")
    with pytest.raises(DataError, match="no such file"):
        texts(f"{web}/a.jsonl")


def test_the_page_of_a_data_set_is_no_file() -> None:
    with pytest.raises(DataError, match=r"the page of a data set[^$]*write `path: owner/set`"):
        texts("https://huggingface.co/datasets/owner/set/tree/main")


@pytest.mark.parametrize("path", ["https://host/folder/", "https://host/*.jsonl"])
def test_the_web_has_no_folders(path: str) -> None:
    with pytest.raises(DataError, match=r"cannot be listed[^$]*data_files"):
        texts(path)


def test_a_bar_for_big_files(
    memory: Callable[[str, bytes], None], monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setattr(fetched, "BIG_BYTES", 10)
    memory("/b/a.jsonl", rows("a"))
    assert texts("memory://b/a.jsonl") == ["a"]
    assert "fetching memory://b/a.jsonl" in capfd.readouterr().err
