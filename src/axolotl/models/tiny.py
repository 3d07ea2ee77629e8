"""Tiny random models of an architecture, for rehearsals, tests and measurements.

What makes a large configuration large is recognised by the names of its settings; all others stay as
they are, and with them what makes the architecture itself: its position encoding, the order of its
layers, caps on scores, how heads share keys, tied embeddings. So a model that has no file here is
made small too.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig

from axolotl.errors import ModelError
from axolotl.models.native import btlm

_WIDTH, _HEADS, _HEAD_WIDTH, _WINDOW = 64, 4, 16, 8

_WIDTHS = ("hidden_size", "n_embd", "d_model", "word_embed_proj_dim", "embedding_size")
_LAYERS = (
    *("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    *("encoder_layers", "decoder_layers"),
)
_HEAD_COUNTS = (
    *("num_attention_heads", "n_head", "n_heads", "attention_heads", "num_heads"),
    *("encoder_attention_heads", "decoder_attention_heads"),
)
_KEY_HEAD_COUNTS = (
    *("num_key_value_heads", "num_kv_heads", "kv_n_heads", "num_global_key_value_heads"),
    *("swa_num_key_value_heads",),
)
_HEAD_WIDTHS = ("head_dim", "global_head_dim", "swa_head_dim", "kv_channels", "attention_head_dim")
_FIXED = {
    "intermediate_size": 128,
    "n_inner": 128,
    "ffn_dim": 128,
    "ffn_hidden_size": 128,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "intermediate_size_mlp": 128,
    "dense_intermediate_size": 128,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "moe_shared_expert_intermediate_size": 32,
    "shared_intermediate_size": 32,
    "expert_ffn_hidden_size": 32,
    "q_lora_rank": 32,
    "kv_lora_rank": 32,
    "o_lora_rank": 32,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": _HEAD_WIDTH,
    "qk_head_dim": 32,
    "v_head_dim": 16,
    "lru_width": _WIDTH,
    "hidden_size_per_layer_input": 16,
    "laurel_rank": 8,
    "altup_num_inputs": 2,
    "index_head_dim": 16,
    "index_n_heads": 2,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "image_size": 32,
    "patch_size": 16,
}
"""Sizes set to a number wherever the model has them."""
_MOST = {
    "num_local_experts": 4,
    "num_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "num_experts_per_tok": 2,
    "num_experts_per_token": 2,
    "experts_per_token": 2,
    "moe_topk": 2,
    "moe_top_k": 2,
    "moe_k": 2,
    "n_shared_experts": 1,
    "num_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "num_dense_layers": 1,
    "num_nextn_predict_layers": 0,
    "num_kv_shared_layers": 0,
    "sliding_window": _WINDOW,
    "sliding_window_size": _WINDOW,
    "attention_window_size": _WINDOW,
    "window_size": _WINDOW,
    "attention_chunk_size": 16,
    "local_attention": _WINDOW,
    "mamba_d_state": 16,
    "state_size": 16,
    "ssm_state_size": 16,
    "time_step_rank": 8,
    "index_topk": 16,
}
"""Sizes set to this number where they are greater."""
_SPECIAL_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_SPREADS = ("initializer_range", "init_std", "initializer_std")
_DROPPED = (
    *("quantization_config", "compression_config", "dtype", "torch_dtype", "transformers_version"),
    *("architectures",),
)
_BY_TYPE: Mapping[str, Mapping[str, Any]] = {
    "mamba": {"intermediate_size": 2 * _WIDTH},
    "falcon_mamba": {"intermediate_size": 2 * _WIDTH},
    "mamba2": {"num_heads": 8, "head_dim": 16, "n_groups": 1},
    "bamba": {"mamba_n_heads": 8, "mamba_d_head": 16, "attn_layer_indices": [1]},
    "falcon_h1": {"mamba_d_ssm": 128, "mamba_n_heads": 8, "mamba_d_head": 16},
    "granitemoehybrid": {"mamba_n_heads": 8, "mamba_d_head": 16},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_dt_rank": 8},
    "recurrent_gemma": {"num_hidden_layers": 3},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "rwkv": {"attention_hidden_size": _WIDTH},
}
"""Where one setting follows from others in a way that only this architecture has."""
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "btlm": {
        "activation_function": "swiglu",
        "position_embedding_type": "alibi",
        "mup_width_scale": 0.1,
        "mup_embeddings_scale": 14.6,
        "mup_output_alpha": 2.22,
        "mup_scale_qk_dot_by_d": True,
    },
    "deepseek_v2": {"num_experts_per_tok": 2},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 16},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128},
    "ministral": {"head_dim": 128},
    "nemotron": {"num_key_value_heads": 8},
}
"""What the class of a configuration leaves open although its model cannot do without."""


def tiny_config(
    of: PreTrainedConfig | str,
    *,
    vocabulary: int = 512,
    changes: Mapping[str, Any] | None = None,
) -> PreTrainedConfig:
    """The configuration of a tiny model of the same architecture: two layers, hidden width 64.

    There are more layers where the model has more kinds of them. A sliding window has 8 tokens, so
    that it is felt. The number of positions stays: a sequence that is too long for the model is too
    long for the tiny one.

    Args:
        of: The configuration to be made small, which is left as it is, or a `model_type`.
        vocabulary: Rows of the embeddings. Special tokens beyond them are given low numbers.
        changes: Settings that differ from those of `of`, before it is made small.

    Raises:
        ModelError: transformers knows no model of that type.
    """
    btlm.make_known()
    if isinstance(of, str):
        try:
            of = AutoConfig.for_model(of, **{**_DEFAULTS.get(of, {}), **(changes or {})})
        except ValueError as error:
            raise ModelError(
                f"transformers knows no architecture '{of}'",
                where="model_type",
                hint="name one as in the `model_type` of a config.json, such as llama",
            ) from error
        changes = None
    settings = {**copy.deepcopy(of.to_dict()), **(changes or {})}
    small = _small(settings, vocabulary)
    small |= {k: v for k, v in _BY_TYPE.get(of.model_type, {}).items() if k in settings}
    if "pad_token_id" in small and small["pad_token_id"] is None:
        small["pad_token_id"] = 0
    config = type(of).from_dict(small)
    config.name_or_path = of.name_or_path
    return config


def tiny_model(
    of: PreTrainedConfig | str,
    *,
    vocabulary: int = 512,
    seed: int = 0,
    changes: Mapping[str, Any] | None = None,
) -> Any:
    """A random model by `tiny_config`, fp32, in eval mode; the same for the same seed.

    Its matrices are drawn wider than a new model's, so that what a token attends to shows in the
    logits. Torch's global random state is left as it is.

    Raises:
        ModelError: transformers knows no causal language model of that type.
    """
    config = tiny_config(of, vocabulary=vocabulary, changes=changes)
    # Code from outside may run here only if the caller let it run for the configuration.
    own_code = type(config).__module__.startswith("transformers_modules")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = AutoModelForCausalLM.from_config(
                config, dtype=torch.float32, trust_remote_code=own_code
            )
        except ValueError as error:
            if "Unrecognized configuration class" not in str(error):
                raise
            raise ModelError(
                f"'{config.model_type}' is no causal language model of transformers",
                where="model_type",
                hint="name one as in the `model_type` of a config.json, such as llama",
            ) from error
    return model.eval()


def _small(settings: dict[str, Any], vocabulary: int) -> dict[str, Any]:
    """The settings of a configuration, or of a part of one, with small sizes."""
    small = {k: v for k, v in settings.items() if k not in _DROPPED}
    small |= _few_layers(settings)
    small |= _few_heads(settings)
    for key, value in settings.items():
        if _is_size(value):
            if key in _WIDTHS:
                small[key] = _WIDTH
            elif key in _FIXED:
                small[key] = _FIXED[key]
            elif key in _MOST:
                small[key] = min(value, _MOST[key])
            elif key.startswith("vocab_size"):
                small[key] = vocabulary
        if key in _SPREADS and isinstance(value, float) and value:
            small[key] = 0.08
        if key.endswith(("token_id", "token_index")):
            small[key] = _inside(value, _SPECIAL_IDS.get(key, 3), vocabulary)
        if isinstance(value, dict) and key.endswith("_config"):
            small[key] = _small(value, vocabulary)
    for key in ("rope_parameters", "rope_scaling"):
        if isinstance(settings.get(key), dict):
            small[key] = _rope(settings[key], _head_width(settings), _head_width(small))
    if isinstance(settings.get("rotary_dim"), int):
        share = settings["rotary_dim"] / (_head_width(settings) or settings["rotary_dim"])
        small["rotary_dim"] = max(2, round(share * _HEAD_WIDTH / 2) * 2)
    return small


def _few_layers(settings: dict[str, Any]) -> dict[str, Any]:
    """Two layers or one of each kind, and of each list with an entry per layer those of these."""
    count = next((settings[k] for k in _LAYERS if _is_size(settings.get(k))), None)
    if count is None:
        return {}
    per_layer = {k: v for k, v in settings.items() if isinstance(v, list) and len(v) == count}
    own = {int(layer): one for layer, one in (settings.get("per_layer_config") or {}).items()}
    kinds: dict[str, int] = {}
    for layer in range(count):
        kinds.setdefault(repr([*(v[layer] for v in per_layer.values()), own.get(layer)]), layer)
    kept = list(kinds.values()) if 1 < len(kinds) <= 4 else [0, min(1, count - 1)]
    few: dict[str, Any] = {k: [v[layer] for layer in kept] for k, v in per_layer.items()}
    if own:
        pairs = [(now, own.get(was)) for now, was in enumerate(kept)]
        few["per_layer_config"] = {n: {**one, **_few_heads(one)} for n, one in pairs if one}
    return few | {k: len(kept) for k in _LAYERS if _is_size(settings.get(k))}


def _few_heads(settings: dict[str, Any]) -> dict[str, Any]:
    """Four heads; keys for all of them, for pairs, or for all together, as it was."""
    small: dict[str, Any] = {k: _HEADS for k in _HEAD_COUNTS if _is_size(settings.get(k))}
    heads = next((settings[k] for k in _HEAD_COUNTS if _is_size(settings.get(k))), 0)
    for key in _KEY_HEAD_COUNTS:
        value = settings.get(key)
        if _is_size(value):
            small[key] = 1 if value == 1 else _HEADS if value == heads else 2
    small |= {k: _HEAD_WIDTH for k in _HEAD_WIDTHS if _is_size(settings.get(k))}
    return small


def _head_width(settings: dict[str, Any]) -> int:
    """Width of a head in numbers; 0 where it cannot be told."""
    for key in _HEAD_WIDTHS:
        if _is_size(settings.get(key)):
            return settings[key]
    width = next((settings[k] for k in _WIDTHS if _is_size(settings.get(k))), 0)
    heads = next((settings[k] for k in _HEAD_COUNTS if _is_size(settings.get(k))), 0)
    return width // heads if heads else 0


def _rope(rope: dict[str, Any], was: int, now: int) -> dict[str, Any]:
    """Rotary settings whose lists of factors fit the new width of a head."""
    fitted: dict[str, Any] = {}
    for key, value in rope.items():
        if isinstance(value, dict):
            value = _rope(value, was, now)
        elif isinstance(value, list) and key.endswith("factor") and was:
            length = max(1, len(value) * now // was)
            value = [value[place * len(value) // length] for place in range(length)]
        elif isinstance(value, list) and key == "mrope_section" and was:
            value = [max(1, part * now // was) for part in value]
        fitted[key] = value
    return fitted


def _inside(value: Any, replacement: int, vocabulary: int) -> Any:
    """Ids of special tokens that the vocabulary has."""
    if isinstance(value, list):
        return [_inside(one, replacement, vocabulary) for one in value]
    return replacement if isinstance(value, int) and value >= vocabulary else value


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
