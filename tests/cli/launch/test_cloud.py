"""The examples for the cloud: of the form that their readers expect, with options that there are."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from axolotl.cli._exit import LOST, MENDABLE, TERMINATED
from axolotl.cli.launch.options import OPTIONS
from axolotl.cli.launch.torchrun import STOP_S
from axolotl.config import options

CLOUD = Path(__file__).parents[3] / "docs" / "cloud"
LAUNCH = {name.removeprefix("--") for names, _ in OPTIONS for name in names}
# https://docs.skypilot.co/en/latest/reference/yaml-spec.html
SKY_KEYS = {"name", "resources", "num_nodes", "envs", "secrets", "workdir", "file_mounts"} | {
    "setup",
    "run",
}
SKY_VARIABLES = {
    "SKYPILOT_NUM_GPUS_PER_NODE",
    "SKYPILOT_NUM_NODES",
    "SKYPILOT_NODE_RANK",
    "SKYPILOT_NODE_IPS",
    "SKYPILOT_TASK_ID",
}

# https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1/
JOB_KEYS = {"completionMode", "completions", "parallelism", "backoffLimit", "podFailurePolicy"} | {
    "template"
}
POD_KEYS = {"subdomain", "restartPolicy", "terminationGracePeriodSeconds", "containers", "volumes"}


def keys_of(words: list[str]) -> Iterator[str]:
    for word in words:
        if word.startswith("--"):
            yield word[2:].partition("=")[0]


def check_command(words: list[str]) -> None:
    assert words[:2] == ["axolotl", "train"]
    unknown = [key for key in keys_of(words) if key not in LAUNCH and key not in options()]
    assert not unknown
    assert {"nproc", "nnodes", "rdzv_endpoint"} <= set(keys_of(words))
    assert "auto_resume_from_checkpoints" in set(keys_of(words)), "an interruption begins anew"


def test_skypilot() -> None:
    task: dict[str, Any] = yaml.safe_load((CLOUD / "skypilot.yaml").read_text())
    assert task.keys() == SKY_KEYS
    assert re.fullmatch(r"[A-Z0-9-]+:\d+", task["resources"]["accelerators"])
    check_command(shlex.split(task["run"].replace("\\\n", " ")))
    assert set(re.findall(r"\$(SKYPILOT_\w+)", task["run"])) == SKY_VARIABLES
    ((mount, storage),) = task["file_mounts"].items()
    assert f"--output_dir {mount}/" in task["run"]
    assert storage["mode"] == "MOUNT_CACHED", "metrics.jsonl and logs are appended to"
    assert all(isinstance(value, str) for value in (task["envs"] | task["secrets"]).values()), (
        "what is null has to be named at each launch"
    )


def test_the_commands_in_the_header_launch_the_file() -> None:
    text = (CLOUD / "skypilot.yaml").read_text()
    secrets = yaml.safe_load(text)["secrets"]
    commands = [shlex.split(found) for found in re.findall(r"  (sky jobs launch .*)", text)]
    assert [command[-1] for command in commands] == ["docs/cloud/skypilot.yaml"] * 2
    assert commands[0][3:-1] == []
    assert commands[1][3:-1] == [word for name in secrets for word in ("--secret", name)]


def test_what_skypilot_installs_is_the_checkout_that_it_sends() -> None:
    task: dict[str, Any] = yaml.safe_load((CLOUD / "skypilot.yaml").read_text())
    assert task["workdir"] == "."
    pip, install, *words = shlex.split(task["setup"])
    assert (pip, install) == ("pip", "install")
    constraints, (what,) = words[:2], words[2:]
    assert constraints == ["-c", "constraints.txt"]
    folder, _, extras = what.removesuffix("]").partition("[")
    assert folder == ".", "a name would be looked up on PyPI"
    project = tomllib.loads((CLOUD.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    assert {*extras.split(",")} <= {*project["optional-dependencies"]}


def test_kubernetes() -> None:
    service, job = yaml.safe_load_all((CLOUD / "kubernetes-job.yaml").read_text())
    assert (service["apiVersion"], service["kind"]) == ("v1", "Service")
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert job["spec"].keys() == JOB_KEYS
    assert job["spec"]["template"]["spec"].keys() == POD_KEYS
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    check_command([*container["command"], *container["args"]])
    said = dict(word[2:].split("=", 1) for word in container["args"])
    # A pod of an indexed job is called after the job and its number, below the service.
    name = job["metadata"]["name"]
    assert said["rdzv_endpoint"] == f"{name}-0.{service['metadata']['name']}:29500"
    assert said["node_rank"] == "$(JOB_COMPLETION_INDEX)", "that of the pod with this name is 0"
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": name}
    assert service["spec"]["clusterIP"] == "None"
    assert spec["completionMode"] == "Indexed"
    assert str(spec["completions"]) == str(spec["parallelism"]) == said["nnodes"]
    assert str(container["resources"]["limits"]["nvidia.com/gpu"]) == said["nproc"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    assert pod["restartPolicy"] == "Never", "it must be with a policy for failures"


def test_kubernetes_gives_a_drained_pod_the_time_to_save_and_starts_it_anew() -> None:
    _, job = yaml.safe_load_all((CLOUD / "kubernetes-job.yaml").read_text())
    spec = job["spec"]
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > STOP_S
    assert spec["backoffLimit"] >= 5 * spec["completions"], "each pod of an incident counts"
    ignored = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    assert spec["podFailurePolicy"] == {"rules": [ignored]}
    said = (CLOUD / "kubernetes-job.yaml").read_text()
    for code in (TERMINATED, LOST, MENDABLE):
        assert re.search(rf"# .*\b{code} ", said), f"what {code} means"
