"""Evaluations, and what follows from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from glob import has_magic
from pathlib import Path

from axolotl.config.set_names import set_names
from axolotl.registry import nearest
from axolotl.resolve.case import Case, Found, Table, strategy

_QUESTION_FILES = (".json", ".jsonl", ".csv", ".parquet", ".arrow", ".gz", ".zst")
_OFTEN = ("eval_steps", "evals_per_epoch")


def one_strategy_for_evaluation(case: Case) -> Iterator[Found]:
    """`eval_steps` and `evals_per_epoch` say `steps`, and `steps` needs to know how many."""
    evaluation = case.config.evaluation
    steps = {"eval_steps": evaluation.eval_steps, "evals_per_epoch": evaluation.evals_per_epoch}
    yield from strategy(
        "evaluation_strategy", evaluation.evaluation_strategy, steps, "evals_per_epoch"
    )


def rows_to_evaluate_on(case: Case) -> Iterator[Found]:
    """Evaluations need held-out rows."""
    config = case.config
    keys = case.asked(*_OFTEN, "early_stopping_patience", "load_best_model_at_end")
    if config.evaluation.evaluation_strategy not in (None, "no"):
        keys.append("evaluation_strategy")
    if not keys or config.data.evaluates or config.streaming.pretraining_dataset:
        return
    # Without evaluations a patience never runs out, so nothing would be as asked.
    if "val_set_size" in config.written or keys[0] not in (*_OFTEN, "evaluation_strategy"):
        yield Found(
            "error",
            keys[0],
            f"{keys[0]}: there is nothing to evaluate on, because val_set_size is 0",
            f"remove {keys[0]}, or hold rows out: `val_set_size: 0.05`; or name test_datasets",
        )
    else:
        yield Found(
            "warning",
            keys[0],
            f"{keys[0]} has no effect: no rows are held out",
            "hold rows out: `val_set_size: 0.05`; or name test_datasets",
        )


def best_checkpoint(case: Case) -> Iterator[Found]:
    """The best checkpoint can only be told where each has its evaluation."""
    keys = case.asked("early_stopping_patience", "load_best_model_at_end")
    if not keys:
        return
    evaluation, saving = case.config.evaluation, case.config.saving
    patience = evaluation.early_stopping_patience
    if patience and evaluation.load_best_model_at_end is False:
        yield Found(
            "error",
            "load_best_model_at_end",
            "load_best_model_at_end: false does not go with early_stopping_patience, which stops "
            "after the best checkpoint and saves that",
            "remove one of the two",
        )
    often = {
        "save_steps": saving.save_steps or saving.saves_per_epoch,
        "eval_steps": evaluation.eval_steps or evaluation.evals_per_epoch,
    }
    lacking = [key for key, value in often.items() if value is None]
    if patience and lacking:
        yield Found(
            "error",
            keys[0],
            f"{keys[0]} needs {' and '.join(lacking)}: patience is counted in evaluations",
            "add `save_steps: 100` and `eval_steps: 100`",
        )
        return
    yield from _same_times(
        keys[0],
        saves=(saving.save_strategy, saving.save_steps, saving.saves_per_epoch),
        evaluates=(
            evaluation.evaluation_strategy,
            evaluation.eval_steps,
            evaluation.evals_per_epoch,
        ),
    )


_Times = tuple[str | None, float | None, int | None]
"""Strategy, steps, and times per epoch, as written."""


def _same_times(key: str, *, saves: _Times, evaluates: _Times) -> Iterator[Found]:
    names = [_when(*times) for times in (saves, evaluates)]
    if names[0] == "no":
        what, hint = "there are no checkpoints to choose from", "remove `save_strategy: no`"
    elif names[1] == "no":
        what, hint = "there are no evaluations to choose by", "remove `evaluation_strategy: no`"
    elif names[0] != names[1]:
        what = "checkpoints and evaluations happen at different times"
        hint = "set both save_steps and eval_steps, or saves_per_epoch and evals_per_epoch, or none"
    elif saves[2] and evaluates[2] and evaluates[2] % saves[2]:
        yield Found(
            "error",
            "saves_per_epoch",
            f"saves_per_epoch: evals_per_epoch, {evaluates[2]}, is no multiple of {saves[2]}, so a "
            f"checkpoint has no evaluation, which {key} needs",
            "make evals_per_epoch a multiple of saves_per_epoch",
        )
        return
    elif saves[1] and evaluates[1] and not divides(evaluates[1], saves[1]):
        yield Found(
            "error",
            "save_steps",
            f"save_steps: {saves[1]} is no multiple of eval_steps, {evaluates[1]}, so a checkpoint "
            f"has no evaluation, which {key} needs",
            "make save_steps a multiple of eval_steps",
        )
        return
    else:
        return
    yield Found("error", key, f"{key}: {what}", hint)


def _when(name: str | None, steps: float | None, per_epoch: int | None) -> str:
    """What tells two ways of counting apart."""
    if per_epoch is not None:
        return "per epoch"
    return name or ("epoch" if steps is None else "steps")


def divides(part: float, whole: float) -> bool:
    """Whether `whole` is a multiple of `part`, both counts or both shares."""
    if (part < 1) != (whole < 1):
        return False
    ratio = whole / part
    return abs(ratio - round(ratio)) < 1e-9 and round(ratio) >= 1


def metric_of_the_best(case: Case) -> Iterator[Found]:
    """It is a loss, of all held-out rows or of a set, or an accuracy on questions."""
    evaluation = case.config.evaluation
    metric, greater = evaluation.metric_for_best_model, evaluation.greater_is_better
    known = _measured(case)
    if metric is not None and metric not in known and f"eval_{metric}" not in known:
        guess = nearest(metric, known)
        yield Found(
            "error",
            "metric_for_best_model",
            f"metric_for_best_model: '{metric}' is not measured here",
            f"{f'did you mean {guess}? ' if guess else ''}There are: {', '.join(known)}",
        )
    elif metric is not None and metric.endswith("_accuracy"):
        if greater is False:
            yield Found(
                "error",
                "greater_is_better",
                "greater_is_better: the metric is an accuracy, and a higher one is better",
                "remove it",
            )
    elif greater:
        yield Found(
            "error",
            "greater_is_better",
            "greater_is_better: the metric is a loss, and a lower one is better",
            "remove it",
        )


def _measured(case: Case) -> list[str]:
    """Figures that every evaluation gives."""
    config = case.config
    entries = config.data.test_datasets or config.data.datasets
    names = set_names(entries) if len(entries) > 1 else []
    found = ["eval_loss", *(f"eval_{name}_loss" for name in names)]
    return found + (["bench_accuracy", "bench_loss"] if config.evaluation.do_bench_eval else [])


def answered_at_evaluations(case: Case) -> Iterator[Found]:
    """Questions and prompts are answered at evaluations, of which there have to be some."""
    for key in case.asked("do_bench_eval", "eval_sample_prompts"):
        if not case.config.data.evaluates:
            yield Found(
                "error",
                key,
                f"{key}: there is nothing to evaluate on, and so never a time to answer",
                "hold rows out: `val_set_size: 0.05`; or name test_datasets",
            )
        elif case.config.evaluation.evaluation_strategy == "no":
            yield Found(
                "error",
                key,
                f"{key}: there are no evaluations, and so never a time to answer",
                "remove `evaluation_strategy: no`",
            )


def prompts_to_answer(case: Case) -> Iterator[Found]:
    """A text is the name of a file; a prompt itself stands in a list."""
    key, prompts = "eval_sample_prompts", case.config.evaluation.eval_sample_prompts
    if isinstance(prompts, list):
        for number, prompt in enumerate(prompts):
            if not prompt.strip():
                yield Found("error", key, f"{key}: prompt {number + 1} is empty", "remove it")
    elif prompts is not None and case.trains and not Path(prompts).expanduser().is_file():
        yield Found(
            "error",
            key,
            f"{key}: no file '{prompts}'",
            "name a text file with one prompt in each line; a prompt itself is written as a list: "
            f"`{key}: [{json.dumps(prompts, ensure_ascii=False)}]`",
        )


def questions_to_ask(case: Case) -> Iterator[Found]:
    """A file of questions is there; what may be a data set of the hub is asked for later."""
    key, evaluation = "bench_dataset", case.config.evaluation
    path = evaluation.bench_dataset
    if not (evaluation.do_bench_eval and case.trains) or "://" in path or has_magic(path):
        return
    place = Path(path).expanduser()
    owner, *rest = path.split("/")
    begins_here = path.startswith(("/", ".", "~")) or (len(rest) > 1 and Path(owner).exists())
    named_as_file = len(rest) < 2 and place.suffix.lower() in _QUESTION_FILES
    if (begins_here or named_as_file) and not place.exists():
        yield Found(
            "error",
            key,
            f"{key}: no file '{path}'",
            "name a JSON file of questions, a file of a hub data set as `owner/name/file.json`, or "
            "`mmlu-zs`",
        )


TABLE: Table = [
    (one_strategy_for_evaluation, "evaluation_strategy eval_steps evals_per_epoch"),
    (
        rows_to_evaluate_on,
        "val_set_size test_datasets eval_steps evals_per_epoch evaluation_strategy "
        "early_stopping_patience",
    ),
    (
        best_checkpoint,
        "early_stopping_patience load_best_model_at_end save_steps eval_steps save_strategy "
        "evaluation_strategy saves_per_epoch evals_per_epoch",
    ),
    (
        metric_of_the_best,
        "metric_for_best_model greater_is_better test_datasets datasets do_bench_eval",
    ),
    (
        answered_at_evaluations,
        "do_bench_eval eval_sample_prompts val_set_size test_datasets",
    ),
    (prompts_to_answer, "eval_sample_prompts"),
    (questions_to_ask, "do_bench_eval bench_dataset"),
]
