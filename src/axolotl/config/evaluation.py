"""When the held-out loss is computed, and what is found out besides it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from axolotl.config.section import CountOrShare, Section


class EvaluationSection(Section):
    """When the held-out loss is computed, and what is found out besides it."""

    eval_steps: CountOrShare | None = Field(
        default=None,
        gt=0,
        description="Optimizer steps between two evaluations, or a share of all steps below 1; in a "
        "stream by default a tenth of `max_steps`.",
    )
    evals_per_epoch: int | None = Field(
        default=None,
        ge=1,
        description="Evaluations in each pass over the data, evenly spaced; the last is at its end.",
    )
    evaluation_strategy: Literal["no", "epoch", "steps"] | None = Field(
        default=None,
        description="When the held-out loss is computed, besides after the last step; `no`: never, "
        "not even then. By default `no` without held-out rows, `steps` if `eval_steps` or "
        "`evals_per_epoch` is set or the data is a stream, else `epoch`.",
    )
    early_stopping_patience: int | None = Field(
        default=None,
        ge=1,
        description="Stop after so many evaluations without a better loss.",
        json_schema_extra={
            "needs": "`val_set_size` or `test_datasets`, `save_steps` and `eval_steps`, or both per epoch"
        },
    )
    load_best_model_at_end: bool | None = Field(
        default=None,
        description="Save the best checkpoint as the result, instead of the last state.",
        json_schema_extra={
            "needs": "evaluations and checkpoints at the same steps",
            "implied": "on with `early_stopping_patience`, and where `save_steps` is a multiple of "
            "`eval_steps`, or `evals_per_epoch` of `saves_per_epoch`; else off",
        },
    )
    metric_for_best_model: str | None = Field(
        default=None,
        description="What tells the best checkpoint, and how long patience lasts: `loss`, the held-out "
        "loss; `eval_<name>_loss`, that of one of several sets; or with `do_bench_eval`, "
        "`bench_accuracy` or `bench_loss`.",
        json_schema_extra={
            "needs": "`load_best_model_at_end`",
            "choices": ["loss", "eval_loss", "bench_accuracy", "bench_loss"],
        },
    )
    greater_is_better: bool | None = Field(
        default=None,
        description="A higher metric is the better one: of a loss the lower is, so `false`; of an "
        "accuracy the higher.",
        json_schema_extra={"needs": "`metric_for_best_model`"},
    )
    do_bench_eval: bool = Field(
        default=False,
        description="Answer the multiple-choice questions of `bench_dataset` at each evaluation.",
        json_schema_extra={"needs": "`val_set_size` or `test_datasets`"},
    )
    bench_dataset: str = Field(
        default="pharaouk/dharma-1/dharma_1_mini.json",
        min_length=1,
        description="Questions to answer, with `input`, `output` (the right letter) and `subject`: a "
        "file, `mmlu-zs` or `mmlu-fs`, or a file of a hub data set.",
        json_schema_extra={"needs": "`do_bench_eval: true`"},
    )
    eval_sample_prompts: list[str] | str | None = Field(
        default=None,
        description="Prompts that the model answers at each evaluation, or a text file with one in "
        "each line; the answers are shown, and kept in `samples.jsonl`.",
        json_schema_extra={"needs": "`val_set_size` or `test_datasets`"},
    )
    eval_sample_max_new_tokens: int = Field(
        default=128,
        ge=1,
        description="Longest of these answers in tokens.",
        json_schema_extra={"needs": "`eval_sample_prompts`"},
    )
