"""`axolotl train CONFIG --launcher ray`: the processes run on a cluster of Ray, or on a Ray of its own.

Each worker reads the same file and trains as a process that torchrun would have started. After a
failure Ray starts all workers anew, and they go on from the last checkpoint in `output_dir`; so all
machines must see that folder. What the user has to mend is not tried again.
"""

from __future__ import annotations

import json
import math
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from axolotl.artifacts.run_folder import RUN_FILE, read_run
from axolotl.cli._trained import say_trained
from axolotl.cli.launch.ray_mark import earlier_start, fault_of, leave_fault, mark_of
from axolotl.cli.launch.torchrun import CHECKED
from axolotl.core.console import note
from axolotl.core.optional import need
from axolotl.errors import AxolotlError, ConfigError, EnvironmentFault, ProcessLost
from axolotl.records import RunResult

if TYPE_CHECKING:
    from axolotl.resolve import Resolved

_PLACED = ("output_dir", "dataset_prepared_path")
"""Folders that are put below `--ray_storage_path` where they are written as relative."""


def train_on_ray(resolved: Resolved, arguments: Sequence[str], options: Mapping[str, Any]) -> None:
    """Train, and wait for the end.

    Args:
        resolved: The configuration.
        arguments: The file and overrides, as each worker reads them.
        options: The options of Ray, as `axolotl.cli.launch.options.ray_options` gives them.

    Raises:
        ConfigError: an option of Ray cannot be used.
        EnvironmentFault: Ray is not installed or not reached, or has not enough to give.
        AxolotlError: what a worker has to say of the user's file, data or machine.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    ray: Any = need("ray", extra="ray", why="--launcher ray")
    torch_part: Any = need("ray.train.torch", extra="ray", why="--launcher ray")
    train: Any = need("ray.train", extra="ray", why="--launcher ray")
    resources = _resources(options.get("resources_per_worker"))
    storage, run = _storage(options.get("storage_path")), uuid.uuid4().hex
    joined = _connect(ray, options.get("address"))
    try:
        there, asked = ray.cluster_resources(), options.get("num_workers")
        workers, use_gpu = _workers(there, asked, resources, joined=joined)
        job = {
            "folder": str(Path.cwd()),
            "arguments": [*arguments, *_placed(resolved, storage)],
            "run": run,
        }
        trainer = torch_part.TorchTrainer(
            run_worker,
            train_loop_config=job,
            torch_config=torch_part.TorchConfig(
                backend=_backend(fsdp=bool(resolved.distributed.fsdp), use_gpu=use_gpu),
                timeout_s=resolved.distributed.ddp_timeout or 1800,
            ),
            scaling_config=train.ScalingConfig(
                num_workers=workers, use_gpu=use_gpu, resources_per_worker=resources
            ),
            run_config=train.RunConfig(
                name=options.get("run_name") or f"axolotl-{time.strftime('%Y%m%d-%H%M%S')}",
                storage_path=str(storage or Path(resolved.saving.output_dir).absolute() / "ray"),
                failure_config=train.FailureConfig(max_failures=options.get("max_failures", 0)),
            ),
        )
        output = (storage or Path.cwd()) / resolved.saving.output_dir
        before = _written(output)
        try:
            result = trainer.fit()
        except train.v2.api.exceptions.WorkerGroupError as error:
            fault = _fault_of(error.worker_failures)
            if fault is None:
                raise
            raise fault from error
        finally:
            with suppress(OSError):  # it would hide how the run ended
                mark_of(output, run).unlink(missing_ok=True)
        if result.return_value is not None:
            raise EnvironmentFault(**result.return_value)
    finally:
        ray.shutdown()
    if _written(output) != before:
        adapter = resolved.adapter.adapter is not None
        say_trained(_result(output), job["arguments"], adapter=adapter)
    else:
        note(f"trained; the result is in {output}, on the machines that see that folder")


def run_worker(job: Mapping[str, Any]) -> dict[str, Any] | None:
    """One process of the run, in a worker of Ray.

    Args:
        job: What `train_on_ray` sends.

    Returns:
        The arguments of an `EnvironmentFault` that has ended an earlier start of the run; else None.

    Raises:
        EnvironmentFault: whatever the user can mend; it is of one class so that it can be sent.
    """
    from axolotl import api
    from axolotl.config.load import load_arguments
    from axolotl.core.rank_log import keep_output
    from axolotl.resolve import resolve

    if Path(job["folder"]).is_dir():
        os.chdir(job["folder"])
    os.environ[CHECKED] = "1"
    mark: Path | None = None
    try:
        resolved = resolve(load_arguments(job["arguments"]), purpose="train")
        output = Path(resolved.saving.output_dir)
        tell: Any = need("ray.train.collective", extra="ray", why="--launcher ray")
        mark = mark_of(output, job["run"])
        earlier = earlier_start(mark, tell.broadcast_from_rank_zero)
        if earlier.fault:
            return earlier.fault
        if earlier.started:
            arguments = [*job["arguments"], "--auto_resume_from_checkpoints=true"]
            resolved = resolve(load_arguments(arguments), purpose="train")
        keep_output(output)
        api.train(resolved)
    except AxolotlError as error:
        if mark is not None and not isinstance(error, ProcessLost):
            leave_fault(mark, error)
        raise EnvironmentFault(**fault_of(error)) from None
    return None


def _written(output: Path) -> int | None:
    """When the result of a folder was written, in nanoseconds; None where there is none."""
    file = output / RUN_FILE
    return file.stat().st_mtime_ns if file.exists() else None


def _result(output: Path) -> RunResult:
    """What a run came to, from its `run.json`: what a worker prints may be lost when Ray ends."""
    record = read_run(output) or {}
    final = record["final"]
    loss = final["train_loss"]  # null where it is no number
    return RunResult(
        output_dir=output,
        steps=final["steps"],
        train_loss=math.nan if loss is None else loss,
        eval_loss=final["eval_loss"],
        interrupted=record["interrupted"],
        metrics=final,
    )


def _connect(ray: Any, address: str | None) -> bool:
    """Join the cluster, or start a Ray on this machine alone, which only this machine reaches.

    Returns:
        Whether a cluster was joined.
    """
    given = address or os.environ.get("RAY_ADDRESS")
    own: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(address=given, **({} if given else own))
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise EnvironmentFault(
            f"no Ray at '{given or 'this machine'}': {str(error).splitlines()[0]}",
            where="--ray_address",
            hint="start one with `ray start --head`, or leave --ray_address out: then one is started on "
            "this machine for the run",
        ) from error
    return bool(given)


def _workers(
    there: Mapping[str, float],
    asked: int | None,
    each: Mapping[str, float] | None,
    *,
    joined: bool,
) -> tuple[int, bool]:
    """How many workers, and whether they compute on GPUs.

    Args:
        there: What the cluster has now.
        asked: How many the user wants.
        each: What the user says that each takes.
        joined: Whether it is a cluster of the user's, which may start machines once they are asked for.

    Raises:
        ConfigError: nobody says how many, or there is not so much and never will be.
    """
    gpus = int(there.get("GPU", 0))
    use_gpu = bool((each or {}).get("GPU", gpus))
    workers = asked or gpus
    if not workers:
        raise ConfigError(
            "ray_num_workers",
            "the cluster has no GPU, and nothing says how many processes are to compute on CPUs",
            where="--ray_num_workers",
            hint="write --ray_num_workers 2",
        )
    if joined and not use_gpu and "GPU" not in (each or {}):
        note(
            "the cluster has no GPU now, so the workers compute on CPUs; where it starts machines with "
            """GPUs when it needs them, write --ray_resources_per_worker '{"GPU": 1}'"""
        )
    needs = {**({"GPU": 1.0} if use_gpu else {}), "CPU": 1.0, **(each or {})}
    for name, amount in needs.items():
        if workers * amount <= (found := there.get(name, 0.0)):
            continue
        what = f"{workers} workers take {workers * amount:g} {name}, and the cluster has {found:g}"
        if not (joined and asked):
            raise ConfigError(
                "ray_num_workers",
                what,
                where="--ray_num_workers",
                hint="ask for fewer workers, or for less for each with --ray_resources_per_worker",
            )
        note(f"{what} now; Ray waits until it has started more machines, or others have joined")
    return workers, use_gpu


def _backend(*, fsdp: bool, use_gpu: bool) -> str | None:
    """What the workers exchange by; None leaves it to Ray: NCCL with GPUs, gloo without.

    Ray joins the process group before the training does, which otherwise asks for both by itself:
    FSDP has tensors on CPUs too, where weights are offloaded, gathered or dealt out.
    """
    from axolotl.training.processes import BOTH

    return BOTH if fsdp and use_gpu else None


def _resources(text: str | None) -> dict[str, float] | None:
    """What each worker takes, from JSON.

    Raises:
        ConfigError: it is no mapping of numbers.
    """
    if text is None:
        return None
    try:
        found: Any = json.loads(text)
    except ValueError:
        found = None
    given: dict[str, Any] = found if isinstance(found, dict) else {}
    if not given or not all(type(amount) in (int, float) for amount in given.values()):
        raise ConfigError(
            "ray_resources_per_worker",
            f"'{text}' is no mapping of numbers",
            where="--ray_resources_per_worker",
            hint='write \'{"CPU": 4, "GPU": 1}\'',
        )
    return {name: float(amount) for name, amount in given.items()}


def _storage(path: str | None) -> Path | None:
    """The folder that all machines see.

    Raises:
        ConfigError: it is a bucket, into which checkpoints cannot be written file by file.
    """
    if path is None:
        return None
    if "://" in path:
        raise ConfigError(
            "ray_storage_path",
            f"'{path}' is no folder",
            where="--ray_storage_path",
            hint="name a folder that all machines see, such as one on NFS; a bucket can be mounted as "
            "one, or let the run send its checkpoints to the hub: `hub_strategy: checkpoint`",
        )
    return Path(path).expanduser().absolute()


def _placed(resolved: Resolved, storage: Path | None) -> list[str]:
    """Overrides that put the folders of the run below the one that all machines see."""
    found = list[str]()
    for key in _PLACED if storage else ():
        value = resolved.as_dict()[key]
        if value and not Path(value).is_absolute():
            found.append(f"--{key}={storage / value}")
    return found


def _fault_of(failures: Mapping[int, BaseException]) -> AxolotlError | None:
    """What the user can mend of what the workers failed with; None where it is a bug, or Ray's."""
    for _, failure in sorted(failures.items()):
        seen: BaseException | None = failure
        while seen is not None:
            cause = getattr(seen, "cause", None)
            for one in (seen, cause):
                if isinstance(one, AxolotlError):
                    return one
            seen = seen.__cause__ or seen.__context__
    return None
