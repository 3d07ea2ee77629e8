"""One training, from a resolved configuration to trained weights; the only entrance.

Reads from top to bottom: data, plan, model, loop. What it did comes back as `Trained`; writing the
run folder is left to `axolotl.artifacts`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from axolotl.attention import Choice
from axolotl.config.config import DEFAULT
from axolotl.core.console import note
from axolotl.data.entries import of_first_entry
from axolotl.data.prepare import prepare, prepare_tests
from axolotl.errors import located
from axolotl.models.adapters import keep_base
from axolotl.models.matmul import choose_route, layer_shapes, use_route
from axolotl.models.patches.deepspeed_if_loaded import deepspeed_if_loaded
from axolotl.models.tokenizer import load_tokenizer, pad_id, save_early
from axolotl.packing.loader import SampleStore
from axolotl.records import RunResult
from axolotl.resolve import Resolved
from axolotl.training import checkpoints
from axolotl.training.ahead import look_ahead
from axolotl.training.answer_ends import answer_ends, make_saveable, stop_at
from axolotl.training.assemble import build_trainer
from axolotl.training.chat import keep_template
from axolotl.training.data import Plan, plan_training
from axolotl.training.distributed.spread import Spread, asked_method
from axolotl.training.eval_extras import EvalExtras
from axolotl.training.evaluation import EvalResult
from axolotl.training.fingerprint import check_resume, fingerprint
from axolotl.training.hub import HubUploads
from axolotl.training.last_good import naming_last_checkpoint
from axolotl.training.loop import run_loop
from axolotl.training.model import build_model
from axolotl.training.processes import join_processes
from axolotl.training.public import without_secrets
from axolotl.training.ranks.muster import Muster
from axolotl.training.relora.build import loss_is_of
from axolotl.training.run_data import PreparedData, RunData
from axolotl.training.streamed_data import StreamedData, open_streamed, plan_streaming
from axolotl.training.streaming import BufferMark
from axolotl.training.summary import print_summary
from axolotl.training.trackers import Trackers
from axolotl.training.tracking import tracked_run


@dataclass(frozen=True)
class Trained:
    """What a training leaves behind, still in memory.

    Args:
        result: Its figures.
        resolved: The configuration that it followed.
        data: The data it saw.
        write: Writes model or adapter and tokenizer into a folder.
        is_writer: Whether this process is the one that writes.
        spread: How it was spread over processes, as was seen when the model was made ready.
        model: The model, with its adapter.
        facts: What was chosen on the way: attention, matmul route, parameters, steps.
    """

    result: RunResult
    resolved: Resolved
    data: RunData
    write: Callable[[Path], None]
    is_writer: bool
    spread: Spread
    model: Any = field(repr=False)
    facts: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write model or adapter, and the tokenizer, into a folder."""
        with deepspeed_if_loaded():
            self.write(folder)

    def record(self) -> dict[str, Any]:
        """What `run.json` says of it."""
        result = self.result
        losses = {"train_loss": result.train_loss, "eval_loss": result.eval_loss}
        if result.eval_loss is not None:
            losses["perplexity"] = EvalResult(result.eval_loss, 0, 0.0).perplexity
        return {
            "interrupted": result.interrupted,
            "final": {**losses, "steps": result.steps, **result.metrics},
            **_record_of_start(self.resolved, self.data, self.facts, self.spread),
        }


def _record_of_start(
    resolved: Resolved, data: RunData, facts: Mapping[str, Any], spread: Spread
) -> dict[str, Any]:
    """What is known of a run before its first step."""
    values = resolved.as_dict()
    origins = {key: resolved.origin(key) for key in values}
    return {
        "plan": dict(facts),
        "processes": spread.as_dict(),
        "data": data.as_dict(),
        "format": of_first_entry(resolved),
        "config": without_secrets(
            {
                "given": resolved.config.given(),
                "resolved": values,
                "origins": {key: origin for key, origin in origins.items() if origin != DEFAULT},
            }
        ),
    }


def run_training(
    resolved: Resolved,
    *,
    on_start: Callable[[], object],
    on_record: Callable[[Mapping[str, Any]], object] | None = None,
    on_prepared: Callable[[SampleStore, Any], object] | None = None,
    trackers: Trackers | None = None,
    hub: HubUploads | None = None,
    muster: Muster | None = None,
) -> Trained:
    """Prepare, train, evaluate.

    Args:
        resolved: The configuration.
        on_start: Called on the writing process when all is ready, before the first step.
        on_record: Called behind it with what is known of the run by then, as `run.json` will say it.
        on_prepared: Called with samples and the tokenizer before the model is loaded.
        trackers: What follows the run.
        hub: Sends checkpoints to the hub.
        muster: The processes of the run; by default there is this one.

    Raises:
        AxolotlError: the user's input or machine is at fault.
    """
    muster = muster or Muster(None, None)
    with deepspeed_if_loaded():
        trained = _run(
            resolved,
            muster,
            on_start=on_start,
            on_record=on_record,
            on_prepared=on_prepared,
            trackers=trackers or Trackers(),
            hub=hub,
        )
    muster.part()
    return trained


def _run(
    resolved: Resolved,
    muster: Muster,
    *,
    on_start: Callable[[], object],
    on_record: Callable[[Mapping[str, Any]], object] | None,
    on_prepared: Callable[[SampleStore, Any], object] | None,
    trackers: Trackers,
    hub: HubUploads | None,
) -> Trained:
    """As `run_training`, among the other processes of the run."""
    output = Path(resolved.saving.output_dir)
    resume = checkpoints.checkpoint_to_resume(
        output,
        asked=resolved.saving.resume_from_checkpoint,
        automatic=resolved.saving.auto_resume_from_checkpoints,
    )
    with located(resolved.origin("base_model")):
        tokenizer = load_tokenizer(resolved.model)
        look_ahead(resolved)
    # Before there is a process group, which would time out: this can take hours.
    data = muster.first_alone("prepare the data", lambda: _open_data(resolved, tokenizer))
    keep_template(tokenizer, resolved)
    if on_prepared is not None:
        on_prepared(data.shown, tokenizer)
    with located(resolved.origin("base_model")):
        extras = EvalExtras.read(resolved, tokenizer)
    muster.agree(resolved.as_dict(), data.marks(), resume)
    state = muster.join(lambda: join_processes(resolved.distributed))
    device = state.device or torch.device("cpu")
    model, attention = _build(resolved, tokenizer, data)
    plan = _plan(
        resolved,
        data,
        resume,
        isolates=attention.isolates,
        rank=state.process_index,
        world_size=state.num_processes,
        pad_token_id=pad_id(tokenizer),
    )
    processes = state.num_processes
    method = asked_method(resolved.distributed, processes=processes)
    spread = Spread(processes, muster.machines, method)
    marks = fingerprint(resolved, data, plan, world_size=processes)
    if resume is not None:
        check_resume(resume, marks)
    route = choose_route(layer_shapes(model), device=device, resume=resume)
    facts = print_summary(
        resolved,
        data,
        plan,
        model=model,
        attention=attention,
        route=route,
        device=device,
        spread=spread,
    )
    trainer, stop = build_trainer(
        resolved,
        plan,
        model,
        tokenizer,
        marks,
        resume=resume,
        route=route,
        trackers=trackers,
        sources=lambda row: data.sources(plan, row),
    )
    trainer.spread = spread
    muster.follow(trainer)
    if hub is not None:
        trainer.add_callback(hub)
    extras.attach(trainer, resolved, tokenizer, isolates=attention.isolates, trackers=trackers)
    facts |= extras.facts(resolved)
    if resume is not None:
        note(f"resuming from {resume}")
    if trainer.args.should_save:
        on_start()
        if on_record is not None:
            on_record(_record_of_start(resolved, data, facts, spread))
        checkpoints.set_aside(output, resume=resume)
        save_early(tokenizer, output)
        keep_base(model, output, tokenizer)
        trackers.start(tracked_run(resolved, facts, resume=resume))
    with naming_last_checkpoint(resolved), use_route(route), stop.listening():
        result = run_loop(trainer, stop, resume=resume, output=output)
    if result.eval_loss is not None:
        result = replace(result, metrics={**result.metrics, **loss_is_of(resolved)})
    for line in data.closing():
        note(line)
    return Trained(
        result=result,
        resolved=resolved,
        data=data,
        write=trainer.result_writer(),
        is_writer=trainer.args.should_save,
        spread=spread,
        model=model,
        facts=facts,
    )


def _open_data(resolved: Resolved, tokenizer: Any) -> PreparedData | StreamedData:
    """The data, prepared, or opened to be read while the training goes on."""
    if resolved.streaming.asked_by is None:
        return PreparedData(prepare(resolved, tokenizer=tokenizer))
    held_out = prepare_tests(resolved, tokenizer=tokenizer)
    return open_streamed(resolved, tokenizer, held_out=held_out)


def _build(
    resolved: Resolved, tokenizer: Any, data: PreparedData | StreamedData
) -> tuple[Any, Choice]:
    """The model, with its adapter, which knows where answers end; and its attention."""
    set_seed(resolved.training.seed)
    with located(resolved.origin("base_model")):
        model, attention = build_model(resolved, origin=resolved.origin, tokenizer=tokenizer)
    stop_at(model, answer_ends(tokenizer, data.shown, eot_tokens=resolved.chat.eot_tokens))
    make_saveable(model)
    return model, attention


def _plan(
    resolved: Resolved, data: PreparedData | StreamedData, resume: Path | None, **layout: Any
) -> Plan:
    """Rows and steps, by the layout that `plan_training` and `plan_streaming` ask for."""
    if isinstance(data, StreamedData):
        start = BufferMark.read(resume) if resume else None
        return plan_streaming(data, resolved, start=start, **layout)
    steps_alone = resolved.training.max_steps is not None
    only = steps_alone and resolved.origin("num_epochs") == "default"
    return plan_training(data.prepared, resolved, only_max_steps=only, **layout)
