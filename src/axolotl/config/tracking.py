"""Trackers: following runs on a web page."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from axolotl.config.section import Section

_PROJECT = "`wandb_project`"


class TrackingSection(Section):
    """Trackers: following runs on a web page."""

    wandb_project: str | None = Field(
        default=None,
        min_length=1,
        description="Project that the run is logged to; setting it turns the tracker on.",
        json_schema_extra={"needs": "the package wandb"},
    )
    wandb_mode: Literal["online", "offline", "disabled"] | None = Field(
        default=None,
        description="`offline` logs into `output_dir/wandb`, for `wandb sync` to send it later; "
        "`disabled` logs nothing whatever else is set; by default WANDB_MODE of the environment, or "
        "`online`.",
        json_schema_extra={"needs": _PROJECT},
    )
    wandb_entity: str | None = Field(
        default=None,
        description="Team or user that the project belongs to.",
        json_schema_extra={"needs": _PROJECT},
    )
    wandb_run_id: str | None = Field(
        default=None,
        description="Id and name of the run; the same id continues the same run. By default a new "
        "one, which a resume of the run continues.",
        json_schema_extra={"needs": _PROJECT},
    )
    wandb_name: str | None = Field(
        default=None,
        description="Name of the run on the page, where it is not `wandb_run_id`.",
        json_schema_extra={"needs": _PROJECT},
    )
    wandb_watch: Literal["gradients", "parameters", "all", "false"] | bool | None = Field(
        default=None,
        description="Log histograms of what is trained: its gradients (also `true`), its "
        "`parameters`, or `all`, with every log line.",
        json_schema_extra={"needs": _PROJECT},
    )
    wandb_log_model: Literal["checkpoint", "end", "false"] | bool | None = Field(
        default=None,
        description="Log the model as an artifact `model-ID`: the result at the `end` (also `true`), "
        "or every `checkpoint` and the result. Offline a copy of each stays in `output_dir/wandb`, "
        "which `save_total_limit` does not limit.",
        json_schema_extra={"needs": _PROJECT},
    )
    eval_table_size: int = Field(
        default=0,
        ge=0,
        description="How many rows to evaluate on are shown beside what the model makes of them, at "
        "each evaluation: in `predictions.jsonl`, and as a table in the trackers.",
        json_schema_extra={"needs": "`val_set_size` or `test_datasets`"},
    )
    eval_table_max_new_tokens: int = Field(
        default=128,
        ge=1,
        description="Longest of these predictions in tokens.",
        json_schema_extra={"needs": "`eval_table_size`"},
    )
    use_tensorboard: bool = Field(
        default=False,
        description="Write TensorBoard files into `output_dir/runs`, a folder for each run.",
        json_schema_extra={"needs": "the package tensorboard"},
    )
    use_mlflow: bool = Field(
        default=False,
        description="Log the run to MLflow.",
        json_schema_extra={"needs": "the package mlflow"},
    )
    mlflow_tracking_uri: str | None = Field(
        default=None,
        description="Server, database or folder (`file:./mlruns`) of MLflow; by default "
        "MLFLOW_TRACKING_URI of the environment, or MLflow's own choice, `mlflow.db` where the "
        "training is started; a resume goes on where the run was logged.",
        json_schema_extra={"needs": "`use_mlflow: true`"},
    )
    mlflow_experiment_name: str | None = Field(
        default=None,
        description="Experiment that the run belongs to; by default MLFLOW_EXPERIMENT_NAME of the "
        "environment, or `Default`.",
        json_schema_extra={"needs": "`use_mlflow: true`"},
    )
    mlflow_run_name: str | None = Field(
        default=None,
        description="Name of the run; by default one that MLflow makes up.",
        json_schema_extra={"needs": "`use_mlflow: true`"},
    )
    hf_mlflow_log_artifacts: bool = Field(
        default=False,
        description="Copy checkpoints and the result into MLflow's artifacts.",
        json_schema_extra={"needs": "`use_mlflow: true`"},
    )
