"""Names that are known and that cannot be right here, or that other tools have."""

from __future__ import annotations

from axolotl.optimizers import Facts

_IN_BACKWARD = (
    "it changes weights during the backward pass, before gradients are added up over the rows of a "
    "step, clipped and counted"
)
_PROJECTED = "optimizer: galore_adamw"
_NOT_HERE = "it is an optimizer of another tool that this one does not have"


def _backward(instead: str) -> Facts:
    return Facts(refused=_IN_BACKWARD, instead=instead)


def _elsewhere(instead: str) -> Facts:
    return Facts(refused=_NOT_HERE, instead=instead)


OPTIMIZERS = {
    "adamw_torch_xla": Facts(refused="it is for TPUs, on which this program does not train"),
    "adamw_torch_npu_fused": Facts(
        refused="it is for Ascend NPUs, on which this program does not train",
        instead="optimizer: adamw_torch_fused",
    ),
    "galore_adamw_8bit": Facts(
        refused="its package gives today's bitsandbytes its settings in the wrong order",
        instead=_PROJECTED,
    ),
    "lomo": _backward("optimizer: sgd"),
    "adalomo": _backward("optimizer: adafactor"),
    "galore_adamw_layerwise": _backward(_PROJECTED),
    "galore_adamw_8bit_layerwise": _backward(_PROJECTED),
    "galore_adafactor_layerwise": _backward("optimizer: galore_adafactor"),
    "apollo_adamw_layerwise": _backward("optimizer: apollo_adamw"),
    "ao_adamw_4bit": _elsewhere("optimizer: adamw_torch_4bit"),
    "ao_adamw_8bit": _elsewhere("optimizer: adamw_torch_8bit"),
    "ao_adamw_fp8": _elsewhere("optimizer: adamw_torch_8bit"),
    "came_pytorch": _elsewhere("optimizer: adafactor"),
    "muon": _elsewhere("optimizer: adamw_torch"),
    "dion": _elsewhere("optimizer: adamw_torch"),
    "adopt_adamw": _elsewhere("optimizer: adamw_torch"),
}
