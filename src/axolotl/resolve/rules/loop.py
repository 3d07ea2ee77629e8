"""The training loop: checkpoints, checkpointing."""

from __future__ import annotations

from collections.abc import Iterator

from axolotl.registry import nearest
from axolotl.resolve.case import Case, Found, Table, strategy

_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
_BACKENDS = (
    *("inductor", "eager", "eager_noexcept", "eager_debug", "pre_dispatch_eager", "ts", "aot_ts"),
    *("aot_eager", "aot_eager_default_partitioner", "aot_eager_decomp_partition"),
    *("aot_eager_decomp_partition_with_mode", "aot_eager_decomp_partition_crossref"),
    *("invoke_subgraph", "cudagraphs", "openxla", "openxla_eval", "tvm"),
    *("dynamo_minifier_backend", "dynamo_accuracy_minifier_backend"),
)
"""What torch compiles with, besides what is installed for it and what it has for its own tests."""
_CHECKPOINTING = ("use_reentrant", "preserve_rng_state", "determinism_check", "debug")


def one_strategy_for_saving(case: Case) -> Iterator[Found]:
    """`save_steps` and `saves_per_epoch` say `steps`, and `steps` needs to know how many."""
    saving = case.config.saving
    steps = {"save_steps": saving.save_steps, "saves_per_epoch": saving.saves_per_epoch}
    yield from strategy("save_strategy", saving.save_strategy, steps, "saves_per_epoch")


def epochs_of_a_stream(case: Case) -> Iterator[Found]:
    """A stream has no epochs in which something could happen so often."""
    if not case.config.streaming.asked_by:
        return
    for key, instead in (("saves_per_epoch", "save_steps"), ("evals_per_epoch", "eval_steps")):
        if case.asked(key):
            yield Found(
                "error",
                key,
                f"{key}: data that is read while training goes on has no epochs",
                f"write `{instead}: 100` instead",
            )
    strategies = {
        "save_strategy": (case.config.saving.save_strategy, "save_steps"),
        "evaluation_strategy": (case.config.evaluation.evaluation_strategy, "eval_steps"),
    }
    for key, (value, instead) in strategies.items():
        if value == "epoch":
            yield Found(
                "error",
                key,
                f"{key}: epoch does not go with data that is read while training goes on, which has "
                "no epochs",
                f"write `{instead}: 100` instead",
            )


def checkpointing_arguments(case: Case) -> Iterator[Found]:
    """`gradient_checkpointing_kwargs` are arguments of torch's checkpointing."""
    for name in case.config.training.gradient_checkpointing_kwargs or {}:
        if name in _CHECKPOINTING:
            continue
        guess = nearest(name, _CHECKPOINTING)
        yield Found(
            "error",
            f"gradient_checkpointing_kwargs.{name}",
            f"gradient_checkpointing_kwargs.{name}: torch's checkpointing has no such argument",
            f"did you mean '{guess}'?" if guess else f"it has {', '.join(_CHECKPOINTING)}",
        )


def _is_backend(name: str) -> bool:
    """Whether torch has it, or a package has been installed that brings it."""
    if name in _BACKENDS or name.endswith("_TESTING_ONLY"):
        return True
    from importlib.metadata import entry_points

    return bool(entry_points(group="torch_dynamo_backends", name=name))


def compiling(case: Case) -> Iterator[Found]:
    """The backend of torch itself writes C++, which has to be compiled, and it alone has modes."""
    training = case.config.training
    if not training.torch_compile:
        return
    own = training.torch_compile_backend in (None, "inductor")
    if own and case.trains and not case.machine.compiler:
        yield Found(
            "error",
            "torch_compile",
            "torch_compile needs a C++ compiler, and there is none here",
            "install one (`apt-get install g++`), or write `torch_compile: false`",
        )
    backend = training.torch_compile_backend
    if backend and case.trains and not own and not _is_backend(backend):
        guess = nearest(backend, _BACKENDS)
        yield Found(
            "error",
            "torch_compile_backend",
            f"torch_compile_backend: torch has no backend '{backend}' here",
            f"did you mean '{guess}'?" if guess else f"there are {', '.join(_BACKENDS)}",
        )
    mode = training.torch_compile_mode
    if mode is not None and mode not in _MODES:
        guess = nearest(mode, _MODES)
        yield Found(
            "error",
            "torch_compile_mode",
            f"torch_compile_mode: torch knows no '{mode}'",
            f"did you mean '{guess}'?" if guess else f"there are {', '.join(_MODES)}",
        )
    elif mode is not None and not own:
        yield Found(
            "error",
            "torch_compile_mode",
            f"torch_compile_mode: the backend {training.torch_compile_backend} has no modes",
            "remove it",
        )


TABLE: Table = [
    (one_strategy_for_saving, "save_strategy save_steps saves_per_epoch"),
    (
        epochs_of_a_stream,
        "saves_per_epoch evals_per_epoch save_strategy evaluation_strategy pretraining_dataset",
    ),
    (checkpointing_arguments, "gradient_checkpointing_kwargs"),
    (compiling, "torch_compile torch_compile_backend torch_compile_mode"),
]
