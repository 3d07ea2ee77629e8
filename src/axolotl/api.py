"""The public functions: each does what the command of its name does.

They take a path to a YAML file, a mapping of options, or what `load_config` gave.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from axolotl.config import Config
from axolotl.config.load import load_config as load_config
from axolotl.errors import located
from axolotl.resolve import Purpose, Resolved, all_told, resolve

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from axolotl.artifacts.gguf.export import GgufReport
    from axolotl.artifacts.merge import MergeReport
    from axolotl.artifacts.reshard import ShardReport
    from axolotl.data.prepare import Prepared
    from axolotl.packing.loader import SampleStore
    from axolotl.records import RunResult
    from axolotl.training.evaluation import EvalResult
    from axolotl.training.ranks.muster import Muster
    from axolotl.training.run import Trained

Source = str | Path | Mapping[str, Any] | Config | Resolved


def resolved(config: Source, *, purpose: Purpose = "answer") -> Resolved:
    """The configuration with every default filled in.

    Args:
        config: The configuration.
        purpose: What it is to be used for; what this machine cannot do is an error only for
            `train`.

    Raises:
        ConfigErrors: everything that is wrong with it.
    """
    if isinstance(config, Resolved):
        return config
    with all_told(purpose=purpose):
        given = config if isinstance(config, Config) else load_config(config)
    return resolve(given, purpose=purpose)


def prepare(config: Source) -> Prepared:
    """Tokenize the data sets into the store, or find them there."""
    from axolotl.data import prepare as data

    settings = resolved(config)
    return data.prepare(settings, tokenizer=load_tokenizer(settings))


def train(config: Source) -> RunResult:
    """Train, and write model or adapter, tokenizer and `run.json` into `output_dir`."""
    from axolotl.training.ranks.muster import Muster

    settings = resolved(config, purpose="train")
    muster = Muster.call()
    with muster.together():
        return _train(settings, muster)


def _train(settings: Resolved, muster: Muster) -> RunResult:
    """As `train`, among the other processes of the run."""
    from axolotl.artifacts.run_folder import begin_run, only_run, write_start
    from axolotl.core.atomic import ensure_folder
    from axolotl.training.hub import sending
    from axolotl.training.run import run_training
    from axolotl.training.trackers import following

    output = ensure_folder(Path(settings.saving.output_dir))
    # Of the processes of one run, only the first writes.
    alone = only_run(output) if os.environ.get("RANK", "0") == "0" else nullcontext()
    with alone, sending(settings.hub, output) as hub:
        with following(settings.tracking) as trackers:
            trained = run_training(
                settings,
                on_start=lambda: begin_run(output),
                on_record=lambda record: write_start(output, record),
                on_prepared=_print_samples(settings),
                trackers=trackers,
                hub=hub,
                muster=muster,
            )
            trackers.interrupted = trained.result.interrupted
            files = _write_result(trained, output) if trained.is_writer else []
            trackers.log_result([output / name for name in files])
        if hub is not None and trained.result.interrupted:
            hub.wait()
        elif hub is not None:
            hub.send_result([*files, "run.json", "metrics.jsonl"])
    return trained.result


def _write_result(trained: Trained, output: Path) -> list[str]:
    """Write what was trained, its model card and `run.json`; names of the files of the model."""
    from axolotl.artifacts.model_card import write_card
    from axolotl.artifacts.run_folder import write_run
    from axolotl.training.last_good import naming_last_checkpoint

    record = trained.record()

    def save(folder: Path) -> None:
        trained.save(folder)
        write_card(folder, trained.resolved, record)

    with naming_last_checkpoint(trained.resolved):
        return write_run(output, save=save, record=record)["files"]


def _print_samples(settings: Resolved) -> Callable[[SampleStore, Any], object] | None:
    """What `debug` prints of the prepared data."""
    from axolotl.reports.preview_text import print_samples

    if not settings.general.debug:
        return None
    seed = settings.training.seed
    return lambda samples, tokenizer: print_samples(samples, tokenizer, seed=seed)


def evaluate(
    config: Source, *, base: bool = False, checkpoint: str | Path | None = None
) -> EvalResult:
    """The loss of the trained model on the held-out rows, and its answers to `bench_dataset`.

    Args:
        config: The configuration.
        base: Evaluate the base model without what was trained.
        checkpoint: A checkpoint folder of the training, or its name in `output_dir`, in place of the
            result.
    """
    from axolotl.artifacts.trained import find_checkpoint, find_trained
    from axolotl.training.evaluate import run_evaluation

    settings = resolved(config)
    if base:
        return run_evaluation(settings, model=settings.model, base=True)
    output = Path(settings.saving.output_dir)
    if checkpoint is not None:
        found = find_checkpoint(
            settings.model, settings.adapter, output_dir=output, checkpoint=Path(checkpoint)
        )
    else:
        found = find_trained(settings.model, settings.adapter, output_dir=output)
    return run_evaluation(settings, model=found.model, adapter=found.adapter)


def merge(
    config: Source,
    *,
    dtype: str | None = None,
    out: Path | None = None,
    max_shard_size: str | None = None,
) -> MergeReport:
    """Merge the adapter into the base model and measure the difference in logits.

    Args:
        config: The configuration.
        dtype: dtype of the merged weights; default: that of the base in training.
        out: Target folder; default `output_dir/merged`.
        max_shard_size: Size of a file of weights at most, such as `2GB`; default `5GB`.
    """
    from axolotl.artifacts.merge import merge_run

    return merge_run(resolved(config), dtype=dtype, out=out, max_shard_size=max_shard_size)


def shard(
    config: Source, *, max_shard_size: str | None = None, out: Path | None = None
) -> ShardReport:
    """Save the trained model, or the base model where nothing is trained, in files of another size.

    Args:
        config: The configuration.
        max_shard_size: Size of a file of weights at most, such as `2GB`; default `5GB`.
        out: Target folder; default `output_dir` while that is empty, else its folder `sharded`.
    """
    from axolotl.artifacts.reshard import shard_run

    return shard_run(resolved(config), max_shard_size=max_shard_size, out=out)


def export_gguf(config: Source, *, kind: str = "f16", out: Path | None = None) -> GgufReport:
    """Write the merged model, or the one trained in full, as a GGUF file.

    Args:
        config: The configuration.
        kind: `f32`, `f16`, `bf16` or `q8_0`.
        out: The file; default: in the model's folder.
    """
    from axolotl.artifacts.gguf.run import export_run

    return export_run(resolved(config), kind=kind, out=out)


def generate(
    config: Source,
    prompts: Sequence[str | Sequence[Mapping[str, Any]]],
    *,
    base: bool = False,
    **options: Any,
) -> list[str]:
    """Answers to questions, asked in the format of the training.

    Args:
        config: The configuration.
        prompts: The questions; in their place may be messages with `role` and `content`.
        base: Ask the base model instead of the trained one.
        options: Generation options, such as `max_new_tokens` and `temperature`.
    """
    from axolotl.inference.opening import open_generator

    return open_generator(resolved(config), base=base, **options).answers(list(prompts))


def load_tokenizer(config: Source) -> PreTrainedTokenizerBase:
    """The tokenizer of the configuration, with its added tokens."""
    from axolotl.models.tokenizer import load_tokenizer as load

    settings = resolved(config)
    with located(settings.origin("base_model")):
        return load(settings.model)


def load_model(config: Source) -> torch.nn.Module:
    """The model as training begins with it: base model, and adapter where one is asked for."""
    from axolotl.training.model import build_model

    settings = resolved(config)
    tokenizer = load_tokenizer(settings)
    return build_model(settings, origin=settings.origin, tokenizer=tokenizer)[0]
