"""BTLM (`model_type: btlm`), which transformers does not have.

Blocks of GPT-2 with a gated MLP, ALiBi in place of learned positions, and the scalars of maximal
update parametrisation. Folders in the published layout (cerebras/btlm-3b-8k-base, arXiv:2309.11568)
load by name, with or without the Python code that was published beside them.
"""

from __future__ import annotations

from typing import Any

from axolotl.core.console import note_once

MODEL_TYPE = "btlm"


def make_known() -> None:
    """Let transformers' auto classes take the classes here for `btlm`; cheap when it is done already.

    A transformers that has classes of its own for `btlm` keeps them.
    """
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if MODEL_TYPE in CONFIG_MAPPING:
        return
    from axolotl.models.native.btlm.configuration import BTLMConfig
    from axolotl.models.native.btlm.model import BTLMLMHeadModel, BTLMModel

    AutoConfig.register(MODEL_TYPE, BTLMConfig)
    AutoModel.register(BTLMConfig, BTLMModel, exist_ok=True)
    AutoModelForCausalLM.register(BTLMConfig, BTLMLMHeadModel, exist_ok=True)


def step_back() -> None:
    """Let transformers no longer know `btlm` from here, so that a model's own code can be taken.

    It prefers registered classes to that code, trusted or not.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    mapping: Any = CONFIG_MAPPING
    known = mapping._extra_content
    if MODEL_TYPE in known and known[MODEL_TYPE].__module__.startswith(__name__):
        del known[MODEL_TYPE]


def choose(source: str, *, trust_remote_code: bool, **where: Any) -> None:
    """Make these classes known, unless the model brings code of its own and the file trusts it.

    Holds until the next call; call it before a configuration is read.

    Args:
        source: Folder or hub id of the model.
        trust_remote_code: Whether the file lets the model's code run.
        where: What else finds the configuration, such as `revision`.
    """
    if trust_remote_code and _brings_code(source, where):
        step_back()
    else:
        make_known()


def settle(config: Any) -> None:
    """Say it once where these classes are taken and the model brought others.

    Code that lies beside the weights is not copied into the folders of a run, so that what is saved
    no longer names it; code in a repository of its own still is named.
    """
    named = getattr(config, "auto_map", None) or {}
    if not type(config).__module__.startswith(__name__) or "AutoConfig" not in named:
        return
    note_once(
        "btlm: the code that comes with the model is not run, since axolotl has its own; "
        "trust_remote_code: true takes the model's"
    )
    if "--" not in named["AutoConfig"]:
        del config.auto_map


def way_out(config: Any) -> str | None:
    """What to do where the code that came with a model does not work; None where it is not run."""
    ours = type(config).__module__.startswith((__name__, "transformers."))
    if ours or getattr(config, "model_type", None) != MODEL_TYPE:
        return None
    return "leave trust_remote_code out: axolotl has code of its own for btlm"


def _brings_code(source: str, where: dict[str, Any]) -> bool:
    from transformers import PreTrainedConfig

    try:
        settings, _ = PreTrainedConfig.get_config_dict(source, **where)
    except OSError:  # whoever reads the configuration next says it
        return False
    return settings.get("model_type") == MODEL_TYPE and "AutoConfig" in settings.get("auto_map", {})
