"""When checkpoints and evaluations happen, in words, before a run begins."""

from __future__ import annotations

from axolotl.config import Sections
from axolotl.core.console import note
from axolotl.training.arguments import every
from axolotl.training.callbacks.best import metric_key
from axolotl.training.callbacks.per_epoch import is_due
from axolotl.training.data import Plan


def checkpoints_in_words(sections: Sections, plan: Plan) -> str:
    """How often checkpoints are written, and how many: `each 50 steps, 4 in all, 2 are kept`."""
    saving = sections.saving
    often, count = _often(
        plan,
        saving.save_strategy or "epoch",
        saving.save_steps,
        "saves_per_epoch",
        saving.saves_per_epoch,
    )
    if not count:
        return "none on the way"
    limit = saving.save_total_limit
    kept = f", {limit} are kept" if 0 < limit < count else ""
    return f"{often}, {count:,} in all{kept}"


def evaluations_in_words(sections: Sections, plan: Plan) -> str:
    """How often the held-out loss is computed, and what follows from it."""
    evaluation = sections.evaluation
    if plan.eval_loader is None:
        return "none"
    often, count = _often(
        plan,
        evaluation.evaluation_strategy or "epoch",
        evaluation.eval_steps,
        "evals_per_epoch",
        evaluation.evals_per_epoch,
    )
    if evaluation.eval_steps and evaluation.eval_steps < 1:
        first = every("steps", evaluation.eval_steps, plan.steps.total).steps != 1
        often, count = f"{often} and after the first", count + first
    best = ""
    if evaluation.load_best_model_at_end:
        best = (
            f"; the best checkpoint by {metric_key(evaluation.metric_for_best_model)} is the result"
        )
    if patience := evaluation.early_stopping_patience:
        best += f", and {patience:,} without a better one end the run"
    return f"{often}, {count:,} in all{best}"


def _often(
    plan: Plan, strategy: str, steps: float | None, key: str, per_epoch: int | None
) -> tuple[str, int]:
    """How often something happens, and how many times; more often than each step is said."""
    total, epoch = plan.steps.total, plan.steps.per_epoch
    if per_epoch is not None:
        times = sum(step == total or is_due(step, per_epoch, epoch) for step in range(1, total + 1))
        if per_epoch > epoch:
            note(f"{key}: {per_epoch:,}, but an epoch has {epoch:,} steps: it happens after each")
            return "each step", times
        return f"{per_epoch:,} an epoch", times
    found = every(strategy, steps, total)
    if found.strategy == "no":
        return "none", 0
    length = found.steps if found.steps is not None else epoch
    times = -(-total // length)
    if found.steps is None:
        return "each epoch", times
    return ("each step" if length == 1 else f"each {length:,} steps"), times
