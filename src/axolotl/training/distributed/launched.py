"""What `accelerate launch` was told beside the file of options.

Its own file and options come as variables, which accelerate and transformers take as settings where they
are given none: a run would be spread, rounded or compiled as the file of options does not say.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

from axolotl.config.distributed import DistributedSection
from axolotl.core.console import note
from axolotl.errors import EnvironmentFault

_SPREADS = {
    "ACCELERATE_USE_FSDP": ("fsdp", "FSDP", "fsdp: [full_shard, auto_wrap]"),
    "ACCELERATE_USE_DEEPSPEED": ("deepspeed", "DeepSpeed", "deepspeed: deepspeed/zero2.json"),
}
_UNKNOWN = {
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a mesh of processes",
}
_PRECISION, _COMPILER = "ACCELERATE_MIXED_PRECISION", "ACCELERATE_DYNAMO_BACKEND"
_BESIDE: Mapping[str, tuple[str, ...]] = {
    "ACCELERATE_USE_FSDP": ("FSDP_",),
    "ACCELERATE_USE_DEEPSPEED": (
        "ACCELERATE_DEEPSPEED_",
        "ACCELERATE_CONFIG_DS_FIELDS",
        "ACCELERATE_GRADIENT_",
    ),
    _COMPILER: ("ACCELERATE_DYNAMO_",),
}
"""How the variables begin that accelerate reads beside each of these."""
_ON = ("1", "true", "yes", "on", "y", "t")


def file_alone_holds(options: DistributedSection, environment: MutableMapping[str, str]) -> None:
    """Leave out what accelerate's launcher was told, and say so; refuse what the file says nothing of.

    Args:
        options: How the file has the run spread.
        environment: The variables of this process; changed.

    Raises:
        EnvironmentFault: the launcher was told to cut the model up, and the file does not.
    """
    for variable, name in _UNKNOWN.items():
        if _on(environment, variable):
            raise EnvironmentFault(
                f"`accelerate launch` was told to use {name}, which there is not here",
                where=variable,
                hint="take it out of accelerate's options or configuration file",
            )
    for variable, (key, name, line) in _SPREADS.items():
        if not _on(environment, variable):
            continue
        if not getattr(options, key):
            raise EnvironmentFault(
                f"`accelerate launch` was told to use {name}, and the file of options has no `{key}`",
                where=variable,
                hint=f"write `{line}` into the file of options, or take it out of accelerate's options or "
                "configuration file",
            )
        note(f"accelerate's own settings of {name} are left out: those of the file of options hold")
        del environment[variable]
        _leave_out(environment, variable)
    for variable, keys in ((_PRECISION, "bf16 and fp16"), (_COMPILER, "torch_compile")):
        if (told := environment.pop(variable, "no").lower()) != "no":
            what = variable.removeprefix("ACCELERATE_").lower()
            note(
                f"accelerate's own {what} ({told}) is left out: {keys} of the file of options hold"
            )
    _leave_out(environment, _COMPILER)


def _leave_out(environment: MutableMapping[str, str], variable: str) -> None:
    """Remove what accelerate would still read where the file turns the same on."""
    for name in [name for name in environment if name.startswith(_BESIDE[variable])]:
        del environment[name]


def _on(environment: MutableMapping[str, str], variable: str) -> bool:
    return environment.get(variable, "").lower() in _ON
