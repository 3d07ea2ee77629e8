"""A small Hugging Face hub on this machine: data sets and models in memory, behind the requests that its libraries make.

    with FakeHub() as hub:
        hub.put("me/set", {"train.jsonl": b"…"})
        …  # HF_ENDPOINT=hub.url in a process that has not imported the libraries yet

It knows one user, `me`, with the token `TOKEN`; a private or gated repository is closed without it.
Large files go the way of Git LFS.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import os
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_fake"
_LFS = (".arrow", ".npy", ".parquet", ".bin", ".safetensors", ".pt", ".pth")
_TIME = "2026-01-01T00:00:00.000Z"


@dataclass
class Repository:
    """A data set or model: its files, by branch or tag."""

    kind: str = "dataset"
    private: bool = False
    gated: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    branches: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def at(self, revision: str) -> dict[str, bytes] | None:
        """The files of a revision."""
        if revision in ("main", self.commit("main")):
            return self.files
        for name, files in self.branches.items():
            if revision in (name, self.commit(name)):
                return files
        return None

    def commit(self, revision: str) -> str:
        """Name of the commit, which follows from the content."""
        files = self.files if revision == "main" else self.branches[revision]
        content = {path: hashlib.sha1(data).hexdigest() for path, data in sorted(files.items())}
        return hashlib.sha1(json.dumps([revision, content]).encode()).hexdigest()


class FakeHub:
    """The hub; a context manager that serves while it is open."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.faults: dict[str, int] = {}
        """Part of a request (method and path) → the status that it is refused with."""
        self.once: set[str] = set()
        """Those of them that are refused only once."""
        self.commits: list[tuple[str, str]] = []
        """Repository and message of each commit."""
        self.open = threading.Event()
        """While it is not set, what is to be stored waits."""
        self.open.set()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.hub = self  # pyright: ignore[reportAttributeAccessIssue]
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def put(self, name: str, files: dict[str, bytes], **options: Any) -> Repository:
        """Add a data set."""
        self.repositories[name] = Repository(files=dict(files), **options)
        return self.repositories[name]

    def environment(self, home: Path, *, token: bool = True) -> dict[str, str]:
        """The variables of a process that knows this hub alone and keeps its files in `home`."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "XDG_")) and "proxy" not in name.lower()
        }
        return {
            **kept,
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home / "hf"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            **({"HF_TOKEN": TOKEN} if token else {}),
        }

    def __enter__(self) -> FakeHub:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Refused(Exception):
    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        self.status, self.code, self.message = status, code, message


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        hub: FakeHub = self.server.hub
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = self._chunks()
        request = f"{self.command} {unquote(urlsplit(self.path).path)}"
        hub.asked.append(request)
        try:
            for part, status in list(hub.faults.items()):
                if part in request:
                    if part in hub.once:
                        del hub.faults[part]
                    raise _Refused(status, "", f"refused with {status}")
            for pattern, handle in _ROUTES:
                if match := re.fullmatch(pattern, request):
                    return handle(self, hub, **match.groupdict())
            raise _Refused(404, "", f"the fake hub knows no {request}")
        except _Refused as refused:
            headers = {"X-Error-Code": refused.code, "X-Error-Message": refused.message}
            self._send(refused.status, b"{}", {k: v for k, v in headers.items() if v})

    def _chunks(self) -> bytes:
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, content: Any) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    @property
    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _found(self, hub: FakeHub, name: str) -> Repository:
        found = hub.repositories.get(name)
        kind = "model" if self._of_models else "dataset"
        if found is None or found.kind != kind or (found.private and not self._known):
            raise _Refused(404 if self._known else 401, "RepoNotFound", "Repository not found")
        if found.gated and not self._known:
            raise _Refused(401, "GatedRepo", "Access to this data set is restricted")
        return found

    @property
    def _of_models(self) -> bool:
        return not unquote(self.path).startswith(("/api/datasets/", "/datasets/"))

    def _files(self, repository: Repository, revision: str) -> dict[str, bytes]:
        files = repository.at(revision)
        if files is None:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return files

    def info(self, hub: FakeHub, name: str, revision: str | None) -> None:
        found = self._found(hub, name)
        files = self._files(found, revision or "main")
        sha = next(r for r in ("main", *found.branches) if found.at(r) is files)
        self._json(
            {
                "_id": "1",
                "id": name,
                "author": name.split("/")[0],
                "sha": found.commit(sha),
                "private": found.private,
                "gated": "auto" if found.gated else False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "lastModified": _TIME,
                "createdAt": _TIME,
                "siblings": [{"rfilename": path} for path in sorted(files)],
            }
        )

    def no_model(self, hub: FakeHub) -> None:
        raise _Refused(404 if self._known else 401, "RepoNotFound", "Repository not found")

    def tree(self, hub: FakeHub, name: str, revision: str, folder: str | None) -> None:
        files = self._files(self._found(hub, name), revision)
        prefix = f"{folder}/" if folder else ""
        recursive = parse_qs(urlsplit(self.path).query).get("recursive", [""])[0].lower() == "true"
        entries: dict[str, dict[str, Any]] = {}
        for path, data in sorted(files.items()):
            if not path.startswith(prefix):
                continue
            parts = path[len(prefix) :].split("/")
            for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
                inner = prefix + "/".join(parts[:depth])
                entries[inner] = {"type": "directory", "path": inner, "size": 0, "oid": "0" * 40}
            if recursive or len(parts) == 1:
                entries[path] = _entry(path, data)
        if folder and not entries:
            raise _Refused(404, "EntryNotFound", f"{folder} does not exist")
        self._json(list(entries.values()))

    def paths_info(self, hub: FakeHub, name: str, revision: str) -> None:
        files = self._files(self._found(hub, name), revision)
        asked = parse_qs(self.body.decode()).get("paths", [])
        if self.headers.get("Content-Type", "").startswith("application/json"):
            asked = json.loads(self.body)["paths"]
        found = [_entry(path, files[path]) for path in asked if path in files]
        found += [
            {"type": "directory", "path": path, "size": 0, "oid": "0" * 40}
            for path in asked
            if path not in files and any(inner.startswith(f"{path}/") for inner in files)
        ]
        self._json(found)

    def refs(self, hub: FakeHub, name: str) -> None:
        found = self._found(hub, name)
        branches = [
            {"name": n, "ref": f"refs/heads/{n}", "targetCommit": found.commit(n)}
            for n in ("main", *found.branches)
        ]
        self._json({"branches": branches, "tags": [], "converts": []})

    def resolve(self, hub: FakeHub, name: str, revision: str, path: str) -> None:
        found = self._found(hub, name)
        files = self._files(found, revision)
        if path not in files:
            raise _Refused(404, "EntryNotFound", f"{path} does not exist")
        data, status = files[path], 200
        branch = next(r for r in ("main", *found.branches) if found.at(r) is files)
        headers = {
            "ETag": f'"{_oid(path, data)}"',
            "X-Repo-Commit": found.commit(branch),
            "Accept-Ranges": "bytes",
        }
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(match[1]), int(match[2] or len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{min(last, len(data) - 1)}/{len(data)}"
            data, status = data[first : last + 1], 206
        self._send(status, data, headers)

    def create(self, hub: FakeHub) -> None:
        if not self._known:
            raise _Refused(401, "", "Invalid username or password.")
        asked = json.loads(self.body)
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        if not name.startswith("me/"):
            raise _Refused(403, "", "You don't have the rights to create a dataset there")
        kind = asked.get("type") or "model"
        place = name if kind == "model" else f"{kind}s/{name}"
        if name in hub.repositories:
            answer = {"error": "You already created it", "url": f"{hub.url}/{place}"}
            return self._send(409, json.dumps(answer).encode())
        private = asked.get("private") or asked.get("visibility") == "private"
        hub.put(name, {".gitattributes": b""}, kind=kind, private=bool(private))
        self._json({"url": f"{hub.url}/{place}", "name": name, "id": "1"})

    def preupload(self, hub: FakeHub, name: str, revision: str) -> None:
        self._written(hub, name)
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(_LFS) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self.body)["files"]
        ]
        self._json({"files": files})

    def batch(self, hub: FakeHub, name: str) -> None:
        self._written(hub, name)
        objects = [
            {
                "oid": wanted["oid"],
                "size": wanted["size"],
                "authenticated": True,
                "actions": {"upload": {"href": f"{hub.url}/lfs/{wanted['oid']}"}},
            }
            for wanted in json.loads(self.body)["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def store(self, hub: FakeHub, oid: str) -> None:
        hub.open.wait()
        hub.objects[oid] = self.body
        self._send(200, b"")

    def commit(self, hub: FakeHub, name: str, revision: str) -> None:
        found = self._written(hub, name)
        for line in self.body.splitlines():
            said = json.loads(line)
            value = said["value"]
            if said["key"] == "header":
                hub.commits.append((name, value["summary"]))
            elif said["key"] == "file":
                found.files[value["path"]] = base64.b64decode(value["content"])
            elif said["key"] == "lfsFile":
                found.files[value["path"]] = hub.objects[value["oid"]]
            elif said["key"] == "deletedFile":
                del found.files[value["path"]]
        sha = found.commit("main")
        url = f"{hub.url}/{'' if self._of_models else 'datasets/'}{name}/commit/{sha}"
        self._json({"success": True, "commitOid": sha, "commitUrl": url})

    def _written(self, hub: FakeHub, name: str) -> Repository:
        if not self._known:
            raise _Refused(401, "", "Invalid username or password.")
        return self._found(hub, name)

    def user(self, hub: FakeHub) -> None:
        if not self._known:
            raise _Refused(401, "", "Invalid username or password.")
        self._json({"type": "user", "name": "me", "orgs": [], "auth": {"type": "access_token"}})

    def card(self, hub: FakeHub) -> None:
        self._json({"errors": [], "warnings": []})


def _oid(path: str, data: bytes) -> str:
    if path.endswith(_LFS):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _entry(path: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": "1" * 40}
    if path.endswith(_LFS):
        return {**entry, "lfs": {"oid": _oid(path, data), "size": len(data), "pointerSize": 130}}
    return {**entry, "oid": _oid(path, data)}


_SET = r"/api/(?:datasets|models)/(?P<name>[^/]+/[^/]+)"
_ROUTES: list[tuple[str, Any]] = [
    (rf"(?:GET|HEAD) {_SET}(?:/revision/(?P<revision>.+))?", _Handler.info),
    (rf"GET {_SET}/tree/(?P<revision>refs/convert/[^/]+|[^/]+)(?:/(?P<folder>.+))?", _Handler.tree),
    (rf"POST {_SET}/paths-info/(?P<revision>.+)", _Handler.paths_info),
    (rf"GET {_SET}/refs", _Handler.refs),
    (
        r"(?:GET|HEAD) (?:/datasets)?/(?P<name>[^/]+/[^/]+)/resolve/"
        r"(?P<revision>refs/convert/[^/]+|[^/]+)/(?P<path>.+)",
        _Handler.resolve,
    ),
    (r"POST /api/repos/create", _Handler.create),
    (rf"POST {_SET}/preupload/(?P<revision>.+)", _Handler.preupload),
    (r"POST (?:/datasets)?/(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch", _Handler.batch),
    (r"PUT /lfs/(?P<oid>\w+)", _Handler.store),
    (rf"POST {_SET}/commit/(?P<revision>.+)", _Handler.commit),
    (r"GET /api/whoami-v2", _Handler.user),
    (r"POST /api/validate-yaml", _Handler.card),
    (r"(?:GET|POST) /api/models/.+", _Handler.no_model),
]
