"""The model against its formulas, written out here once more; cache, padding, packing, checkpointing."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from axolotl.attention import eager, per_document, sdpa
from axolotl.models.native.btlm.configuration import BTLMConfig
from axolotl.models.native.btlm.model import BTLMLMHeadModel
from axolotl.records import IGNORE_INDEX
from tests.models.native.btlm.folders import PUBLISHED, tiny_btlm

ATTENTION = ("eager", "sdpa", "per_document")
every_attention = pytest.mark.parametrize("attention", ATTENTION)


@pytest.fixture(scope="module", autouse=True)
def _known() -> None:
    for backend in (eager, sdpa, per_document):
        backend.register()


def ids_of(count: int, seed: int = 1) -> Tensor:
    return torch.randint(3, 512, (1, count), generator=torch.Generator().manual_seed(seed))


# -- layout -------------------------------------------------------------------------------------


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of cerebras/btlm-3b-8k-base: a Conv1D holds inputs times outputs."""
    width, inner, vocabulary, heads = 2560, 6826, 50257, 32
    shapes: dict[str, tuple[int, ...]] = {
        "lm_head.weight": (vocabulary, width),
        "transformer.wte.weight": (vocabulary, width),
        "transformer.relative_pe.slopes": (heads, 1),
        "transformer.ln_f.weight": (width,),
        "transformer.ln_f.bias": (width,),
    }
    layers = {
        "attn.c_attn": (width, 3 * width),
        "attn.c_proj": (width, width),
        "mlp.c_fc": (width, inner),
        "mlp.c_fc2": (width, inner),
        "mlp.c_proj": (inner, width),
    }
    for block in range(32):
        for name, (inputs, outputs) in layers.items():
            shapes[f"transformer.h.{block}.{name}.weight"] = (inputs, outputs)
            shapes[f"transformer.h.{block}.{name}.bias"] = (outputs,)
        for name in ("ln_1", "ln_2"):
            shapes[f"transformer.h.{block}.{name}.weight"] = (width,)
            shapes[f"transformer.h.{block}.{name}.bias"] = (width,)
    return shapes


def test_names_and_shapes_are_those_of_the_published_checkpoint() -> None:
    with torch.device("meta"):
        model = BTLMLMHeadModel(BTLMConfig(**PUBLISHED))
    got = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    assert got == published_shapes()
    assert "transformer.relative_pe.slopes" not in dict(model.named_parameters()), "never trained"
    count = sum(weight.numel() for weight in model.parameters())
    assert count == 2_646_255_744, "2.6 billion, the head counted once"
    assert model.lm_head.weight is model.transformer.wte.weight


def test_learned_positions_and_a_plain_mlp_have_the_names_of_gpt2() -> None:
    model = tiny_btlm(position_embedding_type="learned", activation_function="gelu_new")
    names = set(model.state_dict())
    assert "transformer.wpe.weight" in names
    assert not any("relative_pe" in name or "c_fc2" in name for name in names)


# -- formulas -----------------------------------------------------------------------------------


def by_the_formulas(model: Any, ids: Tensor, **changes: Any) -> Tensor:
    """Logits of one row, (T, V), in fp64: written from the papers, with the square of biases."""
    c = {**model.config.to_dict(), **changes}
    w = {name: weight.double() for name, weight in model.state_dict().items()}
    heads, layers, tokens = c["n_head"], c["n_layer"], ids.shape[1]
    width = c["n_embd"] // heads

    def norm(x: Tensor, name: str) -> Tensor:
        return torch.nn.functional.layer_norm(
            x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], c["layer_norm_epsilon"]
        )

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    place = torch.arange(tokens)
    distance = (place[:, None] - place[None]).abs().double()
    slopes = torch.tensor([2.0 ** (-8 * h / heads) for h in range(1, heads + 1)]).double()
    bias = -slopes[:, None, None] * distance
    bias = bias.masked_fill(place[None] > place[:, None], -math.inf)
    divisor = 1.0
    if c["scale_attn_weights"]:
        divisor = width if c["mup_scale_qk_dot_by_d"] else math.sqrt(width)
    x = w["transformer.wte.weight"][ids[0]]
    if c["position_embedding_type"] == "learned":
        x = x + w["transformer.wpe.weight"][:tokens]
        bias = bias.clamp(min=0.0, max=0.0).masked_fill(place[None] > place[:, None], -math.inf)
    x = x * c["mup_embeddings_scale"]
    for layer in range(layers):
        at = f"transformer.h.{layer}"
        q, k, v = linear(norm(x, f"{at}.ln_1"), f"{at}.attn.c_attn").chunk(3, dim=-1)
        q, k, v = (part.view(tokens, heads, width).transpose(0, 1) for part in (q, k, v))
        deeper = layer + 1 if c["scale_attn_by_inverse_layer_idx"] else 1
        scores = q @ k.transpose(1, 2) / divisor / deeper + bias
        mixed = (scores.softmax(-1) @ v).transpose(0, 1).reshape(tokens, -1)
        x = x + linear(mixed, f"{at}.attn.c_proj")
        h = norm(x, f"{at}.ln_2")
        up = linear(h, f"{at}.mlp.c_fc")
        if c["activation_function"] == "swiglu":
            gate = linear(h, f"{at}.mlp.c_fc2")
            up = up * gate * torch.sigmoid(gate)
        else:
            up = torch.nn.functional.gelu(up, approximate="tanh")
        x = x + linear(up, f"{at}.mlp.c_proj")
    logits = norm(x, "transformer.ln_f") @ w["lm_head.weight"].T
    return logits * c["mup_output_alpha"] * c["mup_width_scale"]


VARIANTS: dict[str, dict[str, Any]] = {
    "as published": {},
    "no muP": {
        "mup_width_scale": 1.0,
        "mup_embeddings_scale": 1.0,
        "mup_output_alpha": 1.0,
        "mup_scale_qk_dot_by_d": False,
        "initializer_range": 0.2,
    },
    "by the layer": {"scale_attn_by_inverse_layer_idx": True},
    "scores as they are": {"scale_attn_weights": False, "initializer_range": 0.1},
    "scores in fp32": {"reorder_and_upcast_attn": True},
    "learned positions": {"position_embedding_type": "learned"},
    "no gate": {"activation_function": "gelu_new", "n_inner": None},
}


@every_attention
@pytest.mark.parametrize("name", VARIANTS)
def test_the_logits_are_those_of_the_formulas(name: str, attention: str) -> None:
    model = tiny_btlm(**VARIANTS[name])
    model.set_attn_implementation(attention)
    ids = ids_of(70)
    want = by_the_formulas(model, ids)
    with torch.no_grad():
        got = model(ids, use_cache=False).logits[0].double()
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5 * want.abs().max().item())
        if attention != "per_document" and name != "scores in fp32":
            exact = model.double()(ids, use_cache=False).logits[0]
            torch.testing.assert_close(exact, want, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("setting", "other"),
    [
        ("mup_width_scale", 0.2),
        ("mup_embeddings_scale", 1.0),
        ("mup_output_alpha", 1.0),
        ("mup_scale_qk_dot_by_d", False),
        ("scale_attn_by_inverse_layer_idx", True),
    ],
)
def test_each_scalar_is_felt(setting: str, other: Any) -> None:
    # A formula that left one out would agree with a model that does.
    model, ids = tiny_btlm(), ids_of(30)
    plain, changed = by_the_formulas(model, ids), by_the_formulas(model, ids, **{setting: other})
    assert (plain - changed).abs().max() > 0.01 * plain.abs().max()


def test_hidden_states_are_scaled_by_hand_computed_numbers() -> None:
    # embeddings * 14.6; head * 2.22 * 0.1 = 0.222; scores / 16 for 64 numbers in 4 heads.
    model, ids = tiny_btlm(), ids_of(5)
    with torch.no_grad():
        outputs = model(ids, use_cache=False, output_hidden_states=True, output_attentions=True)
    embedded = model.transformer.wte.weight[ids]
    torch.testing.assert_close(outputs.hidden_states[0], embedded * 14.6)
    torch.testing.assert_close(
        outputs.logits, outputs.hidden_states[-1] @ model.lm_head.weight.T * 0.222
    )
    assert model.transformer.h[0].attn.scaling == 1 / 16


def test_new_matrices_are_as_wide_as_the_width_scale_says() -> None:
    model = tiny_btlm(initializer_range=0.1, mup_width_scale=0.25, n_layer=8, n_embd=128)
    block = model.transformer.h[0]
    for weight, want in (
        (model.transformer.wte.weight, 0.1),
        (block.mlp.c_fc2.weight, 0.05),
        (block.attn.c_attn.weight, 0.05),
        (block.attn.c_proj.weight, 0.05 / 4),  # the root of two times 8 layers
        (block.mlp.c_proj.weight, 0.05 / 4),
    ):
        assert float(weight.detach().std()) == pytest.approx(want, rel=0.05)


# -- answering ----------------------------------------------------------------------------------


def answer(model: Any, ids: Tensor, **more: Any) -> Any:
    return model.generate(
        ids,
        max_new_tokens=24,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
        **more,
    )


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"position_embedding_type": "learned"},
        {"alibi_scaling": {"type": "linear", "factor": 2.0}},
    ],
    ids=["alibi", "learned", "flatter"],
)
def test_an_answer_is_the_same_with_a_cache_and_without(
    changes: dict[str, Any], attention: str
) -> None:
    model = tiny_btlm(tie_word_embeddings=False, **changes)
    model.set_attn_implementation(attention)
    ids = ids_of(300) if "position_embedding_type" not in changes else ids_of(30)
    with_cache, without = answer(model, ids), answer(model, ids, use_cache=False)
    assert with_cache.past_key_values.get_seq_length() == ids.shape[1] + 23
    assert torch.equal(with_cache.sequences, without.sequences)
    torch.testing.assert_close(
        torch.stack(with_cache.logits), torch.stack(without.logits), rtol=1e-4, atol=1e-5
    )
    assert len(set(with_cache.sequences[0, -24:].tolist())) > 3, (
        "an answer of one token tells little"
    )


def test_a_cache_is_gone_on_with_over_several_tokens() -> None:
    model, ids = tiny_btlm(), ids_of(40)
    with torch.no_grad():
        whole = model(ids, use_cache=False).logits
        first = model(ids[:, :25], use_cache=True)
        rest = model(ids[:, 25:], past_key_values=first.past_key_values, use_cache=True)
    torch.testing.assert_close(rest.logits, whole[:, 25:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_batch_with_padding_in_front_answers_as_each_does_alone(attention: str) -> None:
    model = tiny_btlm(tie_word_embeddings=False)
    model.set_attn_implementation(attention)
    texts = [ids_of(5, seed=1), ids_of(19, seed=2), ids_of(11, seed=3)]
    longest = max(ids.shape[1] for ids in texts)
    batch = torch.zeros(3, longest, dtype=torch.long)
    mask = torch.zeros_like(batch)
    for row, ids in enumerate(texts):
        batch[row, longest - ids.shape[1] :] = ids
        mask[row, longest - ids.shape[1] :] = 1
    together = answer(model, batch, attention_mask=mask)
    for row, ids in enumerate(texts):
        alone = answer(model, ids)
        assert torch.equal(together.sequences[row, longest:], alone.sequences[0, ids.shape[1] :])
        torch.testing.assert_close(
            torch.stack(together.logits)[:, row],
            torch.stack(alone.logits)[:, 0],
            rtol=1e-4,
            atol=1e-5,
        )


def test_slopes_follow_the_length_of_each_text_where_a_trained_length_is_set() -> None:
    scaling = {"type": "linear", "train_seq_len": 16}
    model, plain = tiny_btlm(alibi_scaling=scaling), tiny_btlm()
    short, long = ids_of(12, seed=1), ids_of(40, seed=2)
    with torch.no_grad():
        torch.testing.assert_close(model(short).logits, plain(short).logits)
        fixed = tiny_btlm(alibi_scaling={"type": "linear", "factor": 40 / 16})
        torch.testing.assert_close(model(long).logits, fixed(long).logits, rtol=1e-4, atol=1e-5)
        assert (model(long).logits - plain(long).logits).abs().max() > 0.01
        # In a batch and in a row, a short text keeps its own slopes.
        mask = torch.ones(2, 40, dtype=torch.long)
        mask[0, :28] = 0
        padded = torch.cat((torch.cat((torch.zeros_like(long[:, :28]), short), 1), long))
        got = model(padded, attention_mask=mask).logits
        torch.testing.assert_close(got[:1, 28:], plain(short).logits, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(got[1:], fixed(long).logits, rtol=1e-4, atol=1e-5)
        places = torch.cat((torch.arange(12), torch.arange(40)))[None]
        row = model(torch.cat((short, long), 1), position_ids=places, use_cache=False).logits
        torch.testing.assert_close(row[:, :12], plain(short).logits, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(row[:, 12:], fixed(long).logits, rtol=1e-4, atol=1e-5)


# -- training -----------------------------------------------------------------------------------

LENGTHS = (5, 11, 17, 7)


def packed() -> tuple[Tensor, Tensor]:
    return ids_of(sum(LENGTHS)), torch.cat([torch.arange(n) for n in LENGTHS])[None]


def gradients(model: Any) -> dict[str, Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@every_attention
@pytest.mark.parametrize("positions", ["alibi", "learned"])
def test_documents_of_a_row_are_as_alone_forward_and_backward(
    positions: str, attention: str
) -> None:
    model = tiny_btlm(position_embedding_type=positions)
    model.set_attn_implementation(attention)
    ids, places = packed()
    row = model(ids, position_ids=places, use_cache=False).logits
    row.square().mean().backward()
    together = gradients(model)
    alone = [model(part, use_cache=False).logits for part in ids.split(LENGTHS, dim=1)]
    torch.testing.assert_close(row, torch.cat(alone, dim=1), rtol=1e-4, atol=1e-5)
    torch.cat(alone, dim=1).square().mean().backward()
    apart = gradients(model)
    assert together.keys() == apart.keys()
    for name, want in apart.items():
        torch.testing.assert_close(
            together[name], want, rtol=1e-3, atol=1e-5 * want.abs().max().item() + 1e-9
        )
    with torch.no_grad():
        joined = model(ids, use_cache=False).logits
    assert (joined - row).abs().max() > 0.05, "one document would differ"


@every_attention
def test_no_gradient_reaches_another_document(attention: str) -> None:
    model = tiny_btlm()
    model.set_attn_implementation(attention)
    ids, places = packed()
    embedded = model.transformer.wte(ids).detach().requires_grad_()
    logits = model(inputs_embeds=embedded, position_ids=places, use_cache=False).logits
    logits[0, 16:33].square().sum().backward()
    assert embedded.grad is not None
    felt = embedded.grad[0].abs().sum(-1) > 0
    assert felt.nonzero().flatten().tolist() == list(range(16, 33))


@every_attention
def test_checkpointing_changes_no_gradient(attention: str) -> None:
    model = tiny_btlm().train()
    model.set_attn_implementation(attention)
    ids, places = packed()
    labels = ids.masked_fill(places == 0, IGNORE_INDEX)
    found: list[dict[str, Tensor]] = []
    for checkpointing in (False, True):
        if checkpointing:
            enable = getattr(
                model, "activation_checkpointing_enable", None
            )  # its name from 5.23 on
            (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})
        model(ids, position_ids=places, labels=labels, use_cache=False).loss.backward()
        found.append(gradients(model))
    for name, want in found[0].items():
        assert torch.equal(found[1][name], want), name


def test_dropout_is_where_the_settings_say() -> None:
    ids = ids_of(20)
    for setting in ("attn_pdrop", "resid_pdrop", "embd_pdrop"):
        changes: dict[str, Any] = {setting: 0.5}
        model = tiny_btlm(**changes)
        quiet = model(ids).logits
        assert torch.equal(quiet, model(ids).logits)
        assert not torch.equal(quiet, model.train()(ids).logits), setting


# -- the head -----------------------------------------------------------------------------------


def test_only_the_wanted_positions_get_logits() -> None:
    model, ids = tiny_btlm(), ids_of(20)
    whole = model(ids).logits
    torch.testing.assert_close(model(ids, logits_to_keep=3).logits, whole[:, -3:])
    wanted = torch.tensor([2, 5, 19])
    torch.testing.assert_close(model(ids, logits_to_keep=wanted).logits, whole[:, wanted])


def test_the_loss_is_that_of_the_logits_and_can_be_computed_inside_the_head() -> None:
    from axolotl.models.head_trial import examine_head

    model, ids = tiny_btlm(), ids_of(20)
    outputs = model(ids, labels=ids)
    want = torch.nn.functional.cross_entropy(outputs.logits[0, :-1], ids[0, 1:])
    torch.testing.assert_close(outputs.loss, want)
    found = examine_head(model)
    assert not isinstance(found, str)
    assert found.module is model.lm_head
    assert found.after.scale == 1.0, "the scale comes before the head"


def test_more_embeddings_stay_tied() -> None:
    model, ids = tiny_btlm(), ids_of(20)
    before = model(ids).logits
    model.resize_token_embeddings(520)
    assert model.lm_head.weight is model.transformer.wte.weight
    assert model.config.vocab_size == 520
    torch.testing.assert_close(model(ids).logits[..., :512], before)


def test_inputs_are_tokens_or_embeddings_and_not_both() -> None:
    model, ids = tiny_btlm(), ids_of(4)
    with pytest.raises(ValueError, match="neither"):
        model()
    with pytest.raises(ValueError, match="both"):
        model(ids, inputs_embeds=model.transformer.wte(ids))
