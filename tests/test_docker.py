"""The images and the compose file: linted, and every line that installs run as far as it goes here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
ENTRYPOINT = ROOT / "docker" / "cloud-entrypoint.sh"
COMPOSE = ROOT / "docker-compose.yaml"
CUDA_OF_TORCH = {"2.13": ("13.0", 580)}
"""Of the pinned torch: the CUDA of its builds for Linux on PyPI, by their `Requires-Dist`, and the oldest
driver for that (https://docs.nvidia.com/deploy/cuda-compatibility)."""
TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}, "minItems": 1}
SCHEMA: dict[str, Any] = {
    # The part of the Compose specification that the file uses; another key is a misspelt one.
    "type": "object",
    "required": ["services"],
    "additionalProperties": False,
    "properties": {
        "volumes": {"type": "object", "additionalProperties": {"type": ["null", "object"]}},
        "services": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["build"],
                "additionalProperties": False,
                "properties": {
                    "build": {
                        "type": "object",
                        "required": ["context", "dockerfile"],
                        "additionalProperties": False,
                        "properties": {
                            **{
                                key: {"type": "string"}
                                for key in ("context", "dockerfile", "target")
                            },
                            "args": {"type": "object"},
                        },
                    },
                    "image": {"type": "string"},
                    "working_dir": {"type": "string"},
                    "volumes": TEXTS,
                    "ports": {**TEXTS, "items": {"pattern": r"^127\.0\.0\.1:\d+:\d+$"}},
                    "environment": {
                        "type": "object",
                        "additionalProperties": {"type": "string", "pattern": r"^\$\{\w+:-\}$"},
                    },
                    "ipc": {"enum": ["host"]},
                    "init": {"type": "boolean"},
                    "ulimits": {"type": "object", "additionalProperties": {"type": "integer"}},
                    "deploy": {
                        "type": "object",
                        "required": ["resources"],
                        "additionalProperties": False,
                        "properties": {"resources": {"$ref": "#/$defs/resources"}},
                    },
                },
            },
        },
    },
    "$defs": {
        "resources": {
            "type": "object",
            "required": ["reservations"],
            "additionalProperties": False,
            "properties": {
                "reservations": {
                    "type": "object",
                    "required": ["devices"],
                    "additionalProperties": False,
                    "properties": {
                        "devices": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["capabilities"],
                                "additionalProperties": False,
                                "properties": {
                                    "driver": {"const": "nvidia"},
                                    "count": {"type": ["integer", "string"]},
                                    "capabilities": TEXTS,
                                },
                            },
                        }
                    },
                }
            },
        }
    },
}


def lines() -> list[str]:
    """The instructions of the Dockerfile, each in one line, without comments."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE)
    return [" ".join(x.split()) for x in text.replace("\\\n", " ").splitlines() if x.strip()]


def commands() -> list[str]:
    """What RUN runs, one by one, with the build's arguments in place."""
    given = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE.read_text("utf-8"), re.MULTILINE))
    found: list[str] = []
    for line in lines():
        if line.startswith("RUN "):
            text = re.sub(r"\$\{(\w+)\}", lambda match: given[match[1]], line.removeprefix("RUN "))
            found += text.split(" && ")
    return found


def stages() -> list[str]:
    return [
        line.split(" AS ")[1] for line in lines() if line.startswith("FROM ") and " AS " in line
    ]


def pip_lines() -> list[str]:
    return [command for command in commands() if "pip install" in command]


def apt_packages() -> list[str]:
    found = [c for c in commands() if "apt-get install" in c]
    words = [word for command in found for word in command.split("apt-get install")[1].split()]
    return [word for word in words if not word.startswith("-")]


def test_the_dockerfile_passes_the_linter() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which(
        "hadolint"
    )
    if hadolint is None:
        pytest.skip("hadolint is only built for Linux and macOS")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_line_that_installs_is_known_here() -> None:
    kinds = ("apt-get update", "apt-get install", "python3 -m venv", "python -m pip", "rm -rf")
    for command in commands():
        assert any(kind in command for kind in kinds), f"run '{command}' in a test, too"
    assert len(pip_lines()) == 2
    assert {"git", "python3-venv", "build-essential", "openssh-server"} <= set(apt_packages())


def test_the_compiler_is_of_the_cuda_that_torch_is_built_for() -> None:
    constraints = (ROOT / "constraints.txt").read_text("utf-8")
    torch = re.findall(r"^torch==(\d+\.\d+)", constraints, re.MULTILINE)
    assert torch == [*CUDA_OF_TORCH], "look up the CUDA of this torch, and the driver it needs"
    ((cuda, driver),) = CUDA_OF_TORCH.values()
    (compiler,) = re.findall(r"^ARG CUDA=(\S+)$", DOCKERFILE.read_text("utf-8"), re.MULTILINE)
    assert compiler.split(".")[0] == cuda.split(".")[0]
    assert re.fullmatch(r"\d+\.\d+\.\d+", compiler), "tags of nvidia/cuda have three numbers"
    built = [name for name in requires("torch") or () if name.startswith("cuda-toolkit")]
    assert all(f"=={cuda}." in name for name in built), "that of this environment is another one"
    docker, install = (
        (ROOT / "docs" / f"{x}.md").read_text("utf-8") for x in ("docker", "install")
    )
    assert f"`CUDA={compiler}`" in docker
    assert f"CUDA {cuda.split('.')[0]}:" in install
    for page in (docker, install):
        assert re.search(rf"driver(,| of) {driver} or newer", " ".join(page.split()))


def test_the_compose_file_is_one() -> None:
    content = yaml.safe_load(COMPOSE.read_text("utf-8"))
    jsonschema.validate(content, SCHEMA)
    for service in content["services"].values():
        build = service["build"]
        assert (ROOT / build["context"] / build["dockerfile"]).is_file()
        assert build["target"] in stages()
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source in content["volumes"] or (ROOT / source).exists()


def test_a_misspelt_key_would_be_seen() -> None:
    content = yaml.safe_load(COMPOSE.read_text("utf-8"))
    content["services"]["axolotl"]["volume"] = content["services"]["axolotl"].pop("volumes")
    with pytest.raises(jsonschema.ValidationError, match="'volume' was unexpected"):
        jsonschema.validate(content, SCHEMA)


def test_what_is_copied_and_mounted_goes_together() -> None:
    copied = [word for line in lines() if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert all((ROOT / source).exists() for source in copied)
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert not {*copied} & {*ignored}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {project["readme"], *project["license-files"]} <= {*copied}, "pip reads them"
    place = next(line.split()[1] for line in lines() if line.startswith("WORKDIR "))
    service = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]["axolotl"]
    assert f".:{place}" in service["volumes"]
    assert service["working_dir"] == place
    assert not place.startswith("/workspace"), "a disk that a cloud mounts there would hide it"
    extras = {e for line in pip_lines() for e in re.findall(r"\[(.*)\]", line)[0].split(",")}
    assert extras <= {*project["optional-dependencies"]}


@pytest.mark.slow
@pytest.mark.parametrize("line", pip_lines(), ids=lambda line: line.partition("-e ")[2])
def test_pip_finds_what_an_image_installs(line: str) -> None:
    """All but the installation itself; that of `.[gguf,dev]` is how this environment was made."""
    python = f"{sys.executable} -m pip --disable-pip-version-check"
    dry = line.replace("python -m pip", python).replace("install", "install --dry-run --quiet")
    done = subprocess.run(dry, shell=True, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_environment_of_the_image_is_made(tmp_path: Path) -> None:
    (line,) = [command for command in commands() if "-m venv" in command]
    where = line.split()[-1]
    made = line.replace(where, str(tmp_path / "made")).replace("python3", sys.executable, 1)
    subprocess.run(made, shell=True, check=True)
    assert f"ENV PATH={where}/bin:$PATH" in DOCKERFILE.read_text("utf-8")
    assert (tmp_path / "made" / "bin" / "pip").is_file()


def test_the_packages_of_the_system_have_these_names() -> None:
    apt = shutil.which("apt-get")
    if apt is None or not list(Path("/var/lib/apt/lists").glob("*Packages*")):
        pytest.skip("no list of Debian's or Ubuntu's packages on this machine: apt-get update")
    wanted = [apt, "install", "--simulate", "--no-install-recommends", *apt_packages()]
    done = subprocess.run(wanted, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_cloud_image_lets_in_the_key_alone(tmp_path: Path) -> None:
    """With stand-ins for the programs of the SSH server, which write down how they were called."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sshd", "ssh-keygen"):
        stand_in = tools / name
        stand_in.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/called\n')
        stand_in.chmod(0o755)
    start = ENTRYPOINT.read_text("utf-8").replace("/run/sshd", f"{tmp_path}/run")
    (tmp_path / "start.sh").write_text(start)

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        settings = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "TOKEN": "secret",
        }
        return subprocess.run(
            ["bash", str(tmp_path / "start.sh"), "echo", "runs"],
            env=settings | more,
            capture_output=True,
            text=True,
            check=True,
        )

    assert run().stdout == "runs\n"
    assert not (tmp_path / "called").exists(), "no key, no server"
    assert run(PUBLIC_KEY="ssh-ed25519 AAAA me").stdout == "runs\n"
    called = (tmp_path / "called").read_text()
    assert "sshd -o PasswordAuthentication=no" in called
    keys = tmp_path / ".ssh" / "authorized_keys"
    assert keys.read_text() == "ssh-ed25519 AAAA me\n"
    assert keys.stat().st_mode & 0o77 == 0
    assert "secret" not in (tmp_path / ".bash_profile").read_text()
