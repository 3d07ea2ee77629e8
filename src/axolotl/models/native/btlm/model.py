"""BTLM as a model of transformers: modules and parameters named as in the published checkpoint.

The maximal update parametrisation (arXiv:2203.03466) shows in four places: embeddings are multiplied
by `mup_embeddings_scale`; logits by `mup_output_alpha * mup_width_scale`; scores are divided by the
head width in place of its root; new matrices are drawn narrower. The logits are scaled by scaling
what goes into the head, which is the same, so that a loss computed inside the head is right.

B rows, T tokens, C model width, H heads, D head width, A numbers added by ALiBi.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache, DynamicCache
from transformers.masking_utils import create_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.pytorch_utils import Conv1D
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from axolotl.models.native.btlm.alibi import ADDED, RelativeBias, slopes_of
from axolotl.models.native.btlm.configuration import BTLMConfig
from axolotl.models.native.btlm.rows import lengths_of, places_of


class BTLMAttention(nn.Module):
    """Attention of all heads; `layer_idx` counts from 0."""

    is_causal = True

    def __init__(self, config: BTLMConfig, layer_idx: int) -> None:
        super().__init__()
        self.config: Any = config
        self.layer_idx = layer_idx
        self.heads = config.n_head
        self.width = config.n_embd // config.n_head
        self.scaling = scaling_of(config)
        self.shrink = 1 / (layer_idx + 1) if config.scale_attn_by_inverse_layer_idx else 1.0
        self.upcast = config.reorder_and_upcast_attn
        self.c_attn = Conv1D(3 * config.n_embd, config.n_embd)
        self.c_proj = Conv1D(config.n_embd, config.n_embd)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(
        self,
        hidden_BTC: Tensor,
        attention_mask: Tensor | None,
        relative: tuple[Tensor, Tensor] | None,
        past_key_values: Cache | None = None,
        **more: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Hidden states of the same shape, and the weights where eager attention computes them."""
        rows, tokens, _ = hidden_BTC.shape
        query, key, value = (
            part.view(rows, tokens, self.heads, self.width).transpose(1, 2)
            for part in self.c_attn(hidden_BTC).split(self.config.n_embd, dim=2)
        )
        if self.shrink != 1.0:
            query = query * self.shrink
        if relative is not None:  # the keys lie in the cache with their places, the values as wide
            query = _wider(query, relative[0])
            key = _wider(key, relative[1])
            value = nn.functional.pad(value, (0, ADDED))
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        attend: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention
        )
        output, weights = attend(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.config.attn_pdrop if self.training else 0.0,
            scaling=self.scaling,
            **more,
        )
        output = output[..., : self.width].reshape(rows, tokens, -1)
        return self.resid_dropout(self.c_proj(output)), weights


def eager_attention(
    module: BTLMAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Attention with all scores in memory, as the attention functions of transformers.

    Args:
        module: The layer; says whether scores are computed in fp32.
        query: (B, H, T, D + A).
        key: (B, H, tokens of the cache too, D + A).
        value: As `key`.
        attention_mask: Added to the scores.
        scaling: Factor on the scores.
        dropout: Probability of dropping a weight.

    Returns:
        (B, T, H, D + A) and the weights.
    """
    if module.upcast:
        with torch.autocast(query.device.type, enabled=False):
            scores = query.float() @ key.float().transpose(2, 3) * scaling
    else:
        scores = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    precise = torch.promote_types(scores.dtype, torch.float32)
    weights = nn.functional.softmax(scores, dim=-1, dtype=precise).to(value.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return (weights @ value).transpose(1, 2).contiguous(), weights


def scaling_of(config: BTLMConfig) -> float:
    """What the scores are multiplied by: the head width to the power of -1 or -1/2, or nothing."""
    if not config.scale_attn_weights:
        return 1.0
    return (config.n_embd // config.n_head) ** (-1.0 if config.mup_scale_qk_dot_by_d else -0.5)


def _wider(states_BHTD: Tensor, added: Tensor) -> Tensor:
    added = added.to(states_BHTD.dtype).expand(*states_BHTD.shape[:3], -1)
    return torch.cat((added, states_BHTD), dim=-1)


class BTLMMLP(nn.Module):
    """`c_proj(c_fc(x) * silu(c_fc2(x)))`: the gate is `c_fc2`; without it where nothing is gated."""

    def __init__(self, config: BTLMConfig) -> None:
        super().__init__()
        inner = 4 * config.n_embd if config.n_inner is None else config.n_inner
        self.gated = config.activation_function == "swiglu"
        self.act = nn.SiLU() if self.gated else ACT2FN[config.activation_function]
        self.c_fc = Conv1D(inner, config.n_embd)
        if self.gated:
            self.c_fc2 = Conv1D(inner, config.n_embd)
        self.c_proj = Conv1D(config.n_embd, inner)
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, hidden_BTC: Tensor) -> Tensor:
        """The same shape."""
        inner = self.c_fc(hidden_BTC)
        inner = inner * self.act(self.c_fc2(hidden_BTC)) if self.gated else self.act(inner)
        return self.dropout(self.c_proj(inner))


class BTLMBlock(GradientCheckpointingLayer):
    """Attention and MLP, each behind a layer norm and beside a residual."""

    def __init__(self, config: BTLMConfig, layer_idx: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = BTLMAttention(config, layer_idx)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = BTLMMLP(config)

    def forward(
        self,
        hidden_BTC: Tensor,
        attention_mask: Tensor | None,
        relative: tuple[Tensor, Tensor] | None,
        **more: Any,
    ) -> Tensor:
        """The same shape."""
        attended, _ = self.attn(self.ln_1(hidden_BTC), attention_mask, relative, **more)
        hidden_BTC = hidden_BTC + attended
        return hidden_BTC + self.mlp(self.ln_2(hidden_BTC))


class BTLMPreTrainedModel(PreTrainedModel):
    """What transformers needs to know of both models."""

    config: BTLMConfig
    config_class = BTLMConfig
    base_model_prefix = "transformer"
    supports_gradient_checkpointing = True
    _no_split_modules = ["BTLMBlock"]  # noqa: RUF012
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _keep_in_fp32_modules_strict = ["relative_pe"]  # noqa: RUF012
    # Masks that old code stored with each layer.
    _keys_to_ignore_on_load_unexpected = [r"\.attn\.(masked_)?bias$"]  # noqa: RUF012
    _can_record_outputs = {  # noqa: RUF012
        "hidden_states": BTLMBlock,
        "attentions": OutputRecorder(BTLMAttention, layer_name=".attn", index=1),
    }

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """GPT-2's scheme; matrices inside the blocks shrink with the root of the width scale."""
        super()._init_weights(module)
        std = self.config.initializer_range * math.sqrt(self.config.mup_width_scale)
        if isinstance(module, Conv1D):
            if self._ends_branch(module):  # two in each block add up on the way through
                std /= math.sqrt(2 * self.config.n_layer)
            init.normal_(module.weight, mean=0.0, std=std)
            init.zeros_(module.bias)
        elif isinstance(module, RelativeBias):
            init.copy_(module.slopes, torch.tensor(slopes_of(module.heads))[:, None])

    def _ends_branch(self, layer: nn.Module) -> bool:
        return any(
            layer is part.c_proj
            for part in self.modules()
            if isinstance(part, BTLMAttention | BTLMMLP)
        )


class BTLMModel(BTLMPreTrainedModel):
    """Embeddings, blocks and the last layer norm."""

    def __init__(self, config: BTLMConfig) -> None:
        super().__init__(config)
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList(BTLMBlock(config, index) for index in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.wpe: nn.Embedding | None = None
        self.relative_pe: RelativeBias | None = None
        if config.position_embedding_type == "alibi":
            self.relative_pe = RelativeBias(config.n_head, config.alibi_scaling)
        else:
            self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The token embeddings."""
        return self.wte

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Put others in their place."""
        self.wte = value

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Hidden states behind the last layer norm.

        Args:
            input_ids: int64, (B, T).
            past_key_values: Keys and values of the tokens before.
            attention_mask: (B, tokens of the cache too), 0 for padding; or a mask with four
                dimensions, used as it is.
            position_ids: int64, (1 or B, T); without mask and cache, a document begins where they
                start anew. Only learned positions look at their values.
            inputs_embeds: (B, T, C), in place of `input_ids`; not scaled yet.
            use_cache: Whether keys and values are returned.
            **kwargs: What attention is given besides.

        Raises:
            ValueError: not exactly one of `input_ids` and `inputs_embeds`.
        """
        if inputs_embeds is None:
            if input_ids is None:
                raise ValueError("a BTLM is given neither input_ids nor inputs_embeds")
            inputs_embeds = self.wte(input_ids)
        elif input_ids is not None:
            raise ValueError("a BTLM is given both input_ids and inputs_embeds")
        assert inputs_embeds is not None
        kwargs = {k: v for k, v in kwargs.items() if not k.startswith("output_")}
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        seen = past_key_values.get_seq_length() if past_key_values is not None else 0
        if position_ids is None:
            position_ids = torch.arange(inputs_embeds.shape[1], device=inputs_embeds.device) + seen
            position_ids = position_ids[None]
        mask = create_causal_mask(
            config=self.config,
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            position_ids=position_ids,
        )
        borders = position_ids if attention_mask is None and past_key_values is None else None
        relative = self._relative(inputs_embeds.shape[1], seen, borders, attention_mask)
        hidden = inputs_embeds if self.wpe is None else inputs_embeds + self.wpe(position_ids)
        hidden = self.drop(hidden * self.config.mup_embeddings_scale)
        for block in self.h:
            hidden = block(
                hidden,
                mask,
                relative,
                past_key_values=past_key_values,
                position_ids=position_ids,
                use_cache=use_cache,
                **kwargs,
            )
        return BaseModelOutputWithPast(
            last_hidden_state=self.ln_f(hidden),
            past_key_values=past_key_values if use_cache else None,
        )

    def _relative(
        self, tokens: int, seen: int, borders: Tensor | None, attention_mask: Tensor | None
    ) -> tuple[Tensor, Tensor] | None:
        """What queries and keys are widened by, for all layers; None with learned positions."""
        if self.relative_pe is None:
            return None
        places = places_of(tokens, seen, borders, device=self.relative_pe.slopes.device)
        lengths = lengths_of(places, borders, attention_mask)
        return self.relative_pe(places, lengths, scaling=scaling_of(self.config))


class BTLMLMHeadModel(BTLMPreTrainedModel, GenerationMixin):
    """A BTLM with its output head, which shares the weights of the embeddings."""

    _tied_weights_keys = {"lm_head.weight": "transformer.wte.weight"}  # noqa: RUF012

    def __init__(self, config: BTLMConfig) -> None:
        super().__init__(config)
        self.transformer = BTLMModel(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits, (B, T or the positions kept, vocabulary).

        Args:
            input_ids: As in `BTLMModel`.
            past_key_values: The same.
            attention_mask: The same.
            position_ids: The same.
            inputs_embeds: The same.
            labels: int64, (B, T), -100 where nothing is to be learnt; not shifted.
            use_cache: As in `BTLMModel`.
            logits_to_keep: How many positions at the end, 0 for all; or which, int64, (P,).
            **kwargs: What attention and loss are given besides.
        """
        outputs = self.transformer(
            input_ids,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        hidden = outputs.last_hidden_state[:, kept]
        logits = self.lm_head(hidden * (self.config.mup_output_alpha * self.config.mup_width_scale))
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
