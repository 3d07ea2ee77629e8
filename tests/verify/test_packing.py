"""Packed against alone: it holds for a model that keeps samples apart, and sees one that does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from axolotl import api
from axolotl.attention import Choice
from axolotl.models.quantized import Quantized
from axolotl.models.tiny import tiny_model
from axolotl.verify import Proof, packing
from axolotl.verify._packed_row import RowComparison, samples_of
from axolotl.verify.packing import SHARED_ROWS, prove, tolerance, without_chance
from tests.conftest import build_llama, build_tokenizer
from tests.verify.conftest import Options


def proof_of(options: dict[str, Any], *, rows: int | None = None) -> Proof:
    return prove(api.resolved(options), rows=rows)


def test_it_holds_with_the_numbers_of_rounding(options: Options) -> None:
    proof = proof_of(options())
    numbers = proof.numbers
    assert proof.holds
    assert numbers["rows"] == SHARED_ROWS
    assert numbers["documents"] >= 2 * numbers["rows"]
    assert numbers["tolerance"] == 1e-5
    for name in ("logits_share", "leak_share", "loss_share", "gradient_share"):
        assert numbers[name] <= 1e-5, name
    assert numbers["moved_share"] > 0.1
    assert numbers["unmarked_share"] > 0.1
    assert any(
        line.startswith("tolerance: 1.0e-05, all is computed in float32") for line in proof.lines
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"lora_dropout": 0.2, "gradient_checkpointing": True}, "float32"),
        ({"bf16": True}, "12 roundings of bfloat16"),
        ({"load_in_8bit": True}, "12 roundings of int8"),
        ({"adapter": "qlora", "load_in_4bit": True}, "float32"),
    ],
    ids=["dropout", "bf16", "8bit", "4bit"],
)
def test_it_holds_as_the_model_is_trained(
    options: Options, changes: dict[str, Any], why: str
) -> None:
    lora = {"adapter": "lora", "lora_r": 4, "lora_target_linear": True}
    proof = proof_of(options(**(lora | changes)), rows=1)
    assert proof.holds, proof.lines
    assert proof.numbers["rows"] == 1
    assert any(line.startswith("tolerance: ") and why in line for line in proof.lines)


def test_samples_share_rows_also_without_packing(options: Options) -> None:
    proof = proof_of(options(sample_packing=False, micro_batch_size=3), rows=1)
    assert proof.holds
    assert proof.numbers["documents"] == 3


def test_padding_is_no_sample(options: Options) -> None:
    padded = proof_of(options(pad_to_sequence_len=True), rows=1).numbers
    plain = proof_of(options(), rows=1).numbers
    assert padded["documents"] == plain["documents"]
    assert padded["tokens"] == plain["tokens"]


def test_a_model_that_lets_samples_see_each_other_is_found_out(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training would give such a model rows of its own; here it is told that all is well."""
    plain = packing.build_model

    def leaking(*args: Any, **kwargs: Any) -> Any:
        model, _ = plain(*args, **kwargs)
        norm = model.model.norm
        forward = norm.forward
        norm.forward = lambda x: forward(x) + 1e-3 * forward(x).cumsum(1)
        return model, Choice("per_document")

    monkeypatch.setattr(packing, "build_model", leaking)
    proof = proof_of(options(), rows=1)
    assert not proof.holds
    for name in ("logits_share", "leak_share", "gradient_share"):
        assert proof.numbers[name] > 1e-5, name


def test_a_loss_that_is_not_the_mean_over_tokens_is_found_out(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = packing.RowComparison

    class Wrong(plain):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            sound = self.row_loss
            self.row_loss = _Doubled(sound)

    class _Doubled:
        """Long rows weigh more."""

        def __init__(self, sound: Any) -> None:
            self.sound, self.base = sound, sound.base

        def __call__(self, model: Any, row: Any) -> Any:
            return self.sound(model, row) * (1 + row["labels"].shape[1] / 1000)

    monkeypatch.setattr(packing, "RowComparison", Wrong)
    proof = proof_of(options(), rows=1)
    assert not proof.holds
    assert proof.numbers["logits_share"] <= 1e-5
    assert proof.numbers["loss_share"] > 1e-3


def test_a_model_that_cannot_be_isolated_is_said_to_have_rows_of_one_sample(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = packing.build_model
    leak = "documents of a row see each other (logits change by 31.00%)"
    monkeypatch.setattr(
        packing, "build_model", lambda *a, **k: (plain(*a, **k)[0], Choice("eager", leak))
    )
    proof = proof_of(options())
    assert proof.holds
    assert proof.claim == "each sample has a row for itself, so none can see another"
    assert proof.numbers == {"rows": 0, "rows_looked_at": 48, "documents": 0}
    said = "\n".join(proof.lines)
    assert "eager attention: documents of a row see each other" in said
    assert "compared: nothing" in said
    assert "the file asks for sample_packing, and this model does without" in said


def test_a_model_with_a_memory_has_rows_of_one_sample(options: Options, tmp_path: Path) -> None:
    """A state-space model carries its state over the border, and is seen to."""
    tiny_model("mamba").save_pretrained(tmp_path / "mamba")
    build_tokenizer().save_pretrained(tmp_path / "mamba")
    proof = proof_of(options(base_model=str(tmp_path / "mamba")))
    assert proof.holds
    assert proof.numbers["rows"] == 0
    assert "documents of a row see each other" in "\n".join(proof.lines)


def test_rows_of_one_sample_are_told_as_such(options: Options) -> None:
    proof = proof_of(options(sample_packing=False, micro_batch_size=1))
    assert "sample_packing is off and micro_batch_size is 1" in "\n".join(proof.lines)
    long = write_long(Path(options()["output_dir"]).with_name("long.jsonl"))
    proof = proof_of(options(datasets=[{"path": str(long), "type": "alpaca"}], sequence_len=256))
    assert "no two samples fit into a row of 256 tokens" in "\n".join(proof.lines)


def test_a_long_sample_is_compared_beside_a_short_one(options: Options, tmp_path: Path) -> None:
    long = write_long(tmp_path / "long.jsonl", short=2)
    proof = proof_of(
        options(
            datasets=[{"path": str(long), "type": "alpaca"}], sequence_len=512, micro_batch_size=2
        ),
        rows=5,
    )
    assert proof.holds
    assert 0 < proof.numbers["rows"] < 5
    assert proof.numbers["tokens"] > 400
    assert "5 were asked for; no more that several samples share were found" in proof.lines[-1]


def write_long(file: Path, *, short: int = 0) -> Path:
    """Rows of about 220 tokens, and short ones."""
    rows = [{"instruction": f"Colour {i}?", "output": "red green " * 60} for i in range(3)]
    rows += [{"instruction": f"Colour {i}?", "output": "red"} for i in range(short)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_logits_exist_in_chunks_only(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    from axolotl.verify import _packed_row

    widest: list[int] = []
    plain = vars(RowComparison)["_logits"]

    def watched(self: Any, states: torch.Tensor) -> torch.Tensor:
        logits = plain(self, states)
        widest.append(logits.numel())
        return logits

    whole = proof_of(options(), rows=1).numbers
    monkeypatch.setattr(_packed_row, "MAX_LOGITS", 7 * 512)
    monkeypatch.setattr(RowComparison, "_logits", watched)
    pieces = proof_of(options(), rows=1).numbers
    assert max(widest) == 7 * 512
    assert {**pieces, "gradient_share": 0} == pytest.approx(
        {**whole, "gradient_share": 0}, abs=1e-7
    )


def test_the_coarser_the_format_the_more_is_allowed() -> None:
    model = build_llama()
    assert tolerance(model, None, None).share == 1e-5
    assert tolerance(model, torch.bfloat16, None).share == 12 / 256
    assert tolerance(model, None, None, tf32=True).share == 12 / 2048
    assert tolerance(model.to(torch.float16), None, None).share == 12 / 2048
    fp32 = build_llama()
    assert tolerance(fp32, None, Quantized("nf4")).share == 1e-5
    assert tolerance(fp32, None, Quantized("int8")).share == 12 / 254
    assert tolerance(fp32, None, Quantized("nf4", torch.bfloat16)).why == "12 roundings of bfloat16"


def test_no_dropout_is_left() -> None:
    model = build_llama(attention_dropout=0.5).train()
    model.model.norm = nn.Sequential(model.model.norm, nn.Dropout(0.5))
    row = {"input_ids": torch.arange(9)[None], "position_ids": torch.arange(9)[None]}
    row["labels"] = row["input_ids"]
    comparison = RowComparison(model, autocast=lambda: torch.autocast("cpu", enabled=False))
    assert not comparison.repeats(row)
    without_chance(model)
    assert comparison.repeats(row)
    assert model.training


def test_samples_are_found_by_their_positions() -> None:
    row = {
        "position_ids": torch.tensor([[0, 1, 0, 0, 1, 2, 0, 1]]),
        "input_ids": torch.tensor([[5, 6, 0, 7, 8, 9, 0, 0]]),
        "labels": torch.tensor([[-100, 6, -100, -100, 8, 9, -100, -100]]),
    }
    found = samples_of(row)
    assert [(part.start, part.stop) for part in found] == [(0, 2), (2, 3), (3, 6), (6, 8)]
    assert samples_of(row, padding=0) == found[:3]
    assert samples_of(row, padding=9) == found
