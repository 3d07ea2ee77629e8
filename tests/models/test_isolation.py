"""Whatever attention and layout are settled on, a row's loss is that of its documents alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from axolotl.attention import Candidates, Choice, _row, candidates
from axolotl.config.sequence import SequenceSection
from axolotl.config.training import TrainingSection
from axolotl.models.backend import attention_need, settle_attention
from axolotl.models.isolation import row_arguments, why_not_isolated, why_not_served
from axolotl.packing.batch import flatten
from axolotl.records import IGNORE_INDEX, TokenRow
from axolotl.training.data import eval_rows, planner, train_rows
from axolotl.training.evaluation import evaluate_loss
from axolotl.training.loss import RowLoss
from tests.conftest import build_llama

LENGTHS = [5, 11, 2, 17, 9, 3]
SMALL: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GROUPED = {**SMALL, "num_key_value_heads": 2}
OLD = {"vocab_size": 128, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
ENDS = {"bos_token_id": 1, "eos_token_id": 2}

# class of the configuration, its options, the attention settled on, whether documents share rows
MODELS: dict[str, tuple[str, dict[str, Any], str, bool]] = {
    "llama": ("LlamaConfig", GROUPED, "per_document", True),
    "mistral": ("MistralConfig", {**GROUPED, "sliding_window": 6}, "per_document", True),
    "qwen2": ("Qwen2Config", GROUPED, "per_document", True),
    "qwen3": ("Qwen3Config", {**GROUPED, "head_dim": 8}, "per_document", True),
    "gemma2": (
        "Gemma2Config",
        {**GROUPED, "head_dim": 8, "sliding_window": 6},
        "per_document",
        True,
    ),
    "gemma3": (
        "Gemma3TextConfig",
        {**GROUPED, "head_dim": 8, "sliding_window": 6},
        "per_document",
        True,
    ),
    "phi": ("PhiConfig", SMALL, "per_document", True),
    "phi3": ("Phi3Config", GROUPED, "per_document", True),
    "gpt2": ("GPT2Config", {**OLD, **ENDS}, "per_document", True),
    "gpt_neox": ("GPTNeoXConfig", SMALL, "per_document", True),
    "gptj": ("GPTJConfig", {**OLD, **ENDS, "rotary_dim": 4}, "eager", True),
    "gpt_bigcode": ("GPTBigCodeConfig", {**OLD, **ENDS}, "sdpa", True),
    "persimmon": ("PersimmonConfig", SMALL, "sdpa", True),
    "stablelm": ("StableLmConfig", GROUPED, "sdpa", True),
    "falcon": (
        "FalconConfig",
        {k: v for k, v in SMALL.items() if k != "intermediate_size"},
        "sdpa",
        True,
    ),
    "mpt": (
        "MptConfig",
        {"vocab_size": 128, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 128},
        "eager",
        True,
    ),
    "bloom": (
        "BloomConfig",
        {"vocab_size": 128, "hidden_size": 32, "n_layer": 2, "n_head": 4, **ENDS},
        "eager",
        True,
    ),
    "gpt_oss": (
        "GptOssConfig",
        {
            **GROUPED,
            "head_dim": 8,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "sliding_window": 6,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        },
        "per_document",
        True,
    ),
    "xglm": (
        "XGLMConfig",
        {
            "vocab_size": 128,
            "d_model": 32,
            "ffn_dim": 48,
            "num_layers": 2,
            "attention_heads": 4,
            "max_position_embeddings": 128,
            **ENDS,
        },
        "eager",
        True,
    ),
    "mamba": (
        "MambaConfig",
        {"vocab_size": 128, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, **ENDS},
        "eager",
        False,
    ),
}


def build(name: str, attention: str) -> Any:
    class_name, options, _, _ = MODELS[name]
    config = getattr(transformers, class_name)(**options)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            # Larger than at the start of a training: what a document sees then matters.
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model.eval()


def settled(name: str) -> tuple[Any, Choice]:
    class_name, options, _, _ = MODELS[name]
    need = attention_need(getattr(transformers, class_name)(**options))
    tried = candidates(None, need)
    model = build(name, tried.names[0])
    return model, settle_attention(model, tried)


def documents() -> list[TokenRow]:
    random = np.random.default_rng(5)
    rows = []
    for length in LENGTHS:
        ids = random.integers(3, 128, length).astype(np.int32)
        rows.append(TokenRow(input_ids=ids, labels=ids.copy()))
    return rows


def batches(rows: list[TokenRow], plan: Callable[[int], Any]) -> list[dict[str, torch.Tensor]]:
    found = []
    for step in range(plan(0).steps):
        row = flatten([rows[i] for i in plan(0).bin(0, step)])
        names = ("input_ids", "position_ids", "labels")
        found.append({n: torch.tensor(getattr(row, n), dtype=torch.int64)[None] for n in names})
    return found


def loss_alone(model: Any, rows: list[TokenRow]) -> float:
    """Mean loss per token of each document by itself, by the library's own code."""
    total, count = 0.0, 0
    with torch.no_grad():
        for row in rows:
            ids = torch.tensor(row.input_ids, dtype=torch.int64)[None]
            logits = model(input_ids=ids).logits[0, :-1].float()
            total += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
            count += ids.shape[1] - 1
    return total / count


@pytest.mark.parametrize("name", MODELS)
def test_rows_have_the_loss_of_their_documents_alone(name: str) -> None:
    model, attention = settled(name)
    _, _, expected, isolates = MODELS[name]
    assert (attention.name, attention.isolates) == (expected, isolates)
    assert model.config._attn_implementation == expected
    rows, lengths = documents(), np.array(LENGTHS, dtype=np.int32)
    training = TrainingSection(micro_batch_size=2)
    packed = SequenceSection(sequence_len=16, sample_packing=True, eval_sample_packing=True)
    plain = SequenceSection(sequence_len=16, sample_packing=False, eval_sample_packing=False)
    want = loss_alone(build(name, "eager"), rows)
    row_loss = RowLoss(model)
    for sequence in (packed, plain):
        for layout in (train_rows, eval_rows):
            planned = planner(
                lengths,
                layout(sequence, training, isolates=attention.isolates),
                seed=0,
                world_size=1,
            )
            laid_out = batches(rows, planned)
            assert sum((b["labels"] != IGNORE_INDEX).sum() for b in laid_out) > 0
            assert (len(laid_out) < len(rows)) == isolates
            got = evaluate_loss(model, laid_out, row_loss, device=torch.device("cpu")).loss
            assert got == pytest.approx(want, rel=2e-5)


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if not model[3]])
def test_a_leak_is_noticed_and_named(name: str) -> None:
    _, attention = settled(name)
    assert "documents of a row see each other" in str(attention.leak)


def test_an_attention_that_computes_something_else_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    candidates(None, attention_need(build_llama().config))
    model = build("mistral", "per_document")
    assert why_not_served(model) is None
    monkeypatch.setattr(_row, "_window", lambda *_: None)
    assert "logits differ from eager attention's by" in str(why_not_served(model))


def test_positions_that_run_on_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("gpt2", "sdpa")
    assert why_not_isolated(model) is None
    plain = model.transformer.wpe.forward
    monkeypatch.setattr(
        model.transformer.wpe, "forward", lambda ids: plain(torch.arange(ids.shape[-1])[None])
    )
    assert "differ from documents alone" in str(why_not_isolated(model))


def test_the_probe_leaves_the_model_as_it_was() -> None:
    model = build_llama(attn_implementation="sdpa").train()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    assert why_not_served(model) is None
    assert why_not_isolated(model) is None
    assert model.training
    assert model.config._attn_implementation == "sdpa"
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_the_attention_named_in_the_file_is_kept_even_if_it_leaks() -> None:
    model = build("mamba", "eager")
    choice = settle_attention(model, Candidates(("eager",)))
    assert (choice.name, choice.isolates, choice.reason) == ("eager", False, "")


def test_a_model_is_given_only_the_arguments_that_it_takes() -> None:
    class Plain(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor, use_cache: bool = True) -> torch.Tensor:
            return input_ids

    ids = torch.ones(1, 3, dtype=torch.int64)
    assert row_arguments(Plain(), ids, ids) == {"input_ids": ids, "use_cache": False}
    assert row_arguments(build_llama(), ids, ids).keys() == {
        "input_ids",
        "position_ids",
        "use_cache",
    }


def test_half_precision_is_not_taken_for_a_leak() -> None:
    for name in ("llama", "gemma3"):
        model = build(name, "sdpa").to(torch.bfloat16)
        assert why_not_served(model) is None
        assert why_not_isolated(model) is None
    leaking = build("falcon", "eager").to(torch.bfloat16)
    assert "see each other" in str(why_not_isolated(leaking))
