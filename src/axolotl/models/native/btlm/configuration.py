"""The settings of a BTLM, by the names of the published `config.json`."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig


class BTLMConfig(PreTrainedConfig):
    """Settings of a BTLM.

    Args:
        vocab_size: Rows of the embeddings.
        n_positions: Longest sequence in tokens; only learned positions end there.
        n_embd: Width of the hidden states.
        n_layer: Number of blocks.
        n_head: Attention heads of a block.
        n_inner: Width inside the MLP; None for four times `n_embd`.
        activation_function: `swiglu` for the gated MLP, else a name that transformers knows.
        resid_pdrop: Dropout behind attention and MLP.
        embd_pdrop: Dropout of the embeddings.
        attn_pdrop: Dropout of the attention weights.
        layer_norm_epsilon: Added to the variance in the layer norms.
        initializer_range: Standard deviation of new weights, at a width scale of 1.
        scale_attn_weights: Whether scores are divided by the root of the head width.
        scale_attn_by_inverse_layer_idx: Whether they are divided by the number of the layer, from 1.
        reorder_and_upcast_attn: Whether eager attention computes its scores in fp32.
        position_embedding_type: `alibi` or `learned`.
        mup_width_scale: Width of the model that was tuned, divided by that of this one.
        mup_embeddings_scale: Factor on the embeddings.
        mup_output_alpha: Factor on the logits, together with `mup_width_scale`.
        mup_scale_qk_dot_by_d: Whether scores are divided by the head width in place of its root.
        alibi_scaling: How slopes are flattened for longer texts than those of the pretraining
            (arXiv:2310.13017): `{type: linear, factor: 4.0}` always, or
            `{type: linear, train_seq_len: 8192}` as a text is longer than that.

    Raises:
        ValueError: a setting that no BTLM has.
    """

    model_type = "btlm"
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012
    attribute_map = {  # noqa: RUF012
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    }

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    scale_attn_weights: bool = True
    use_cache: bool = True
    bos_token_id: int | None = 50256
    eos_token_id: int | list[int] | None = 50256
    pad_token_id: int | None = None
    scale_attn_by_inverse_layer_idx: bool = False
    reorder_and_upcast_attn: bool = False
    position_embedding_type: str = "learned"
    mup_width_scale: float = 1.0
    mup_embeddings_scale: float = 1.0
    mup_output_alpha: float = 1.0
    mup_scale_qk_dot_by_d: bool = False
    alibi_scaling: dict[str, Any] | None = None
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd {self.n_embd} does not divide among {self.n_head} heads")
        if self.position_embedding_type not in ("alibi", "learned"):
            raise ValueError(
                f"position_embedding_type is '{self.position_embedding_type}', and a BTLM knows "
                "alibi and learned"
            )
        if self.add_cross_attention:
            raise ValueError("add_cross_attention is true, and a BTLM has no encoder to look at")
        _check_scaling(self.alibi_scaling)


def _check_scaling(scaling: Any) -> None:
    if scaling is None:
        return
    known = isinstance(scaling, dict) and scaling.get("type") == "linear"
    rest = {k: v for k, v in scaling.items() if k != "type"} if known else {}
    factor, length = rest.get("factor"), rest.get("train_seq_len")
    fixed = set(rest) == {"factor"} and isinstance(factor, int | float) and factor > 1
    grows = set(rest) == {"train_seq_len"} and isinstance(length, int) and length > 1
    if not (fixed or grows):
        raise ValueError(
            f"alibi_scaling is {scaling}; write {{type: linear}} with either a factor above 1 or "
            "a train_seq_len in tokens"
        )
