"""Tiny BTLMs, built here: the layout is the published one, the numbers are random."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from axolotl.models.native.btlm.configuration import BTLMConfig
from axolotl.models.native.btlm.model import BTLMLMHeadModel
from tests.conftest import build_tokenizer

PUBLISHED: dict[str, Any] = {
    "activation_function": "swiglu",
    "architectures": ["BTLMLMHeadModel"],
    "attn_pdrop": 0.0,
    "auto_map": {
        "AutoConfig": "configuration_btlm.BTLMConfig",
        "AutoModel": "modeling_btlm.BTLMModel",
        "AutoModelForCausalLM": "modeling_btlm.BTLMLMHeadModel",
    },
    "bos_token_id": 50256,
    "embd_pdrop": 0.0,
    "eos_token_id": 50256,
    "initializer_range": 0.073,
    "layer_norm_epsilon": 1e-05,
    "model_type": "btlm",
    "mup_embeddings_scale": 14.6,
    "mup_output_alpha": 2.22,
    "mup_scale_qk_dot_by_d": True,
    "mup_width_scale": 0.1,
    "n_embd": 2560,
    "n_head": 32,
    "n_inner": 6826,
    "n_layer": 32,
    "n_positions": 8192,
    "position_embedding_type": "alibi",
    "reorder_and_upcast_attn": False,
    "resid_pdrop": 0.0,
    "scale_attn_by_inverse_layer_idx": False,
    "scale_attn_weights": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.30.0",
    "use_cache": True,
    "vocab_size": 50257,
}
"""The settings of cerebras/btlm-3b-8k-base; the muP scalars and the spread are of its paper's size."""
TINY: dict[str, Any] = {
    k: v for k, v in PUBLISHED.items() if not k.startswith(("auto_map", "torch", "transf"))
} | {
    "n_embd": 64,
    "n_head": 4,
    "n_inner": 100,
    "n_layer": 2,
    "n_positions": 512,
    "vocab_size": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "initializer_range": 1.0,
}


def tiny_btlm(seed: int = 0, **changes: Any) -> Any:
    """A random BTLM, hidden 64, two layers, four heads; biases and norms are random too."""
    torch.manual_seed(seed)
    model = BTLMLMHeadModel(BTLMConfig(**(TINY | changes))).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias") or ".ln_" in name:
                weight += 0.1 * torch.randn_like(weight)
    return model


def write_folder(folder: Path, *, code: str | None = None, **changes: Any) -> Path:
    """A folder with a tiny BTLM as published, and code beside it where that is given."""
    tiny_btlm(**changes).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    file = folder / "config.json"
    settings = json.loads(file.read_text()) | {"architectures": ["BTLMLMHeadModel"]}
    if code is not None:
        settings["auto_map"] = PUBLISHED["auto_map"]
        (folder / "configuration_btlm.py").write_text(CODE_OF_SETTINGS)
        (folder / "modeling_btlm.py").write_text(code)
    file.write_text(json.dumps(settings))
    return folder


CODE_OF_SETTINGS = """
from transformers import PretrainedConfig

class BTLMConfig(PretrainedConfig):
    model_type = "btlm"
    attribute_map = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer"}
    vocab_size: int = 512
    n_embd: int = 64
    n_layer: int = 2
    tie_word_embeddings: bool = True
"""
CODE_OF_MODEL = """
import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput
from .configuration_btlm import BTLMConfig

class BTLMModel(PreTrainedModel):
    config_class = BTLMConfig
    base_model_prefix = "transformer"
    _keys_to_ignore_on_load_unexpected = [r"transformer"]

    def __init__(self, config):
        super().__init__(config)
        self.wte = torch.nn.Embedding(config.vocab_size, config.n_embd)
        self.post_init()

    def get_input_embeddings(self):
        return self.wte

class BTLMLMHeadModel(PreTrainedModel):
    config_class = BTLMConfig
    base_model_prefix = "transformer"
    _keys_to_ignore_on_load_unexpected = [r"transformer"]
    _tied_weights_keys = {"lm_head.weight": "transformer.wte.weight"}

    def __init__(self, config):
        super().__init__(config)
        self.transformer = BTLMModel(config)
        self.lm_head = torch.nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.post_init()

    def forward(self, input_ids=None, **more):
        return CausalLMOutput(logits=self.lm_head(self.transformer.wte(input_ids)))
"""
"""Stands for the published modelling code, which was written for a library of 2023."""
