"""Training step of SmolLM2-135M on alpaca-like rows, packed 4 x 1024, fp32.

Ours is the whole trainer: plan, loader, loss, clipping, AdamW, counters, log lines. It is compared
in one process with a loop written by hand (same ideas, nothing else) and with the plain library
Trainer on padded batches. Peak memory is measured in processes of its own.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from typing import Any

import _loop
import torch
from _smol import MICRO_BATCH, SEQUENCE_LEN, MemoryStore, alpaca_like_rows, lora, model_folder
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

from axolotl.attention import per_document
from axolotl.config.optimizer import OptimizerSection
from axolotl.models.matmul import choose_route, layer_shapes
from axolotl.packing.loader import make_loader
from axolotl.packing.plan import plan_packed
from axolotl.packing.sampler import PlanSampler
from axolotl.training.checkpointing import Kept
from axolotl.training.counters import RunCounters
from axolotl.training.memory import peak_bytes
from axolotl.training.optimizer import OptimizerMaker
from axolotl.training.places import RowPlaces
from axolotl.training.steps import Steps
from axolotl.training.trainer import Loaders, PackedTrainer

ROUNDS = 3
CAPACITY = MICRO_BATCH * SEQUENCE_LEN
PADDED_BATCH, PADDED_STEPS = 8, 4
"""Samples of a padded batch: more of them waste more on padding, and need too much memory."""


def arguments(folder: str, **more: Any) -> TrainingArguments:
    """What both trainers share."""
    return TrainingArguments(
        output_dir=folder,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        learning_rate=1e-4,
        logging_steps=10_000,
        **more,
    )


def packed_loader() -> Any:
    """The rows in packed batches."""
    store: Any = MemoryStore(alpaca_like_rows(400))
    plan = PlanSampler(
        lambda epoch: plan_packed(store.lengths, capacity_tokens=CAPACITY, seed=0, epoch=epoch)
    )
    return make_loader(store, plan, pad_to_tokens=None, pad_token_id=0)


def our_trainer(adapter: bool, folder: str, steps: int) -> PackedTrainer:
    """Ours, ready to train."""
    per_document.register()
    model = load("per_document")
    return PackedTrainer(
        model=lora(model) if adapter else model,
        args=arguments(folder, per_device_train_batch_size=1, max_steps=steps),
        loaders=Loaders(packed_loader()),
        kept=Kept(
            make_optimizer=OptimizerMaker(OptimizerSection(learning_rate=1e-4)),
            lr_factor=lambda _step: 1.0,
            fingerprint={},
        ),
        counters=RunCounters(),
        tokenizer=None,
        callbacks=[],
        places=RowPlaces(Steps(1, 1, 1, steps, 0, 1), lambda _row: []),
    )


def load(attention: str) -> Any:
    """The model in fp32."""
    return AutoModelForCausalLM.from_pretrained(
        model_folder(), dtype=torch.float32, attn_implementation=attention
    ).train()


def ours(adapter: bool) -> float:
    """Tokens per second of our trainer, the first step left out."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = our_trainer(adapter, folder, steps=1)
        trainer.train()
        trainer = our_trainer(adapter, folder, steps=ROUNDS)
        trainer.train()
        return trainer.counters.tokens_per_second


def by_hand(adapter: bool) -> float:
    """Tokens per second of the loop written by hand."""
    model = _loop.load(str(model_folder()))
    loop = _loop.Loop(lora(model) if adapter else model)
    batches = list(itertools.islice(packed_loader(), ROUNDS + 1))
    loop.step(batches[0])
    seconds = [loop.step(batch) for batch in batches[1:]]
    return sum(b["input_ids"].numel() for b in batches[1:]) / sum(seconds)


def plain_trainer() -> float:
    """Real tokens per second of transformers' Trainer on padded batches."""
    rows = alpaca_like_rows(PADDED_BATCH * PADDED_STEPS)

    def pad(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        longest = max(len(x["input_ids"]) for x in batch)

        def filled(name: str, value: int) -> torch.Tensor:
            parts = [torch.as_tensor(x[name]).long() for x in batch]
            return torch.stack(
                [torch.nn.functional.pad(p, (0, longest - len(p)), value=value) for p in parts]
            )

        mask = [torch.ones(len(x["input_ids"])) for x in batch]
        return {
            "input_ids": filled("input_ids", 0),
            "labels": filled("labels", -100),
            "attention_mask": torch.stack(
                [torch.nn.functional.pad(m, (0, longest - len(m))) for m in mask]
            ).long(),
        }

    data: Any = [{"input_ids": r.input_ids, "labels": r.labels} for r in rows]
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=lora(load("sdpa")),
            args=arguments(
                folder, per_device_train_batch_size=PADDED_BATCH, max_steps=PADDED_STEPS
            ),
            train_dataset=data,
            data_collator=pad,
        )
        trainer.args.max_steps = 1
        trainer.train()
        trainer.args.max_steps = PADDED_STEPS
        result = trainer.train()
    return sum(len(r.input_ids) for r in rows) / result.metrics["train_runtime"]


def memory_of(kind: str) -> int:
    """Peak bytes of one step in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--memory", kind], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def measure_memory(kind: str) -> None:
    """One step of ours, or of the plain way: block mask and full logits."""
    if kind == "ours":
        with tempfile.TemporaryDirectory() as folder:
            our_trainer(True, folder, steps=1).train()
    else:
        model: Any = lora(load("sdpa"))
        batch = next(iter(packed_loader()))
        model(**batch, use_cache=False).loss.backward()
    print(peak_bytes(torch.device("cpu")))


def main() -> None:
    """Measure, and print one line each."""
    torch.manual_seed(0)
    # First of all: this process has no model yet, and the plain way needs most of the memory.
    used = {kind: memory_of(kind) for kind in ("ours", "plain")}
    share = used["ours"] / used["plain"]
    print(f"LoRA: peak memory against block mask and full logits: {share:.2f} (<= 0.75)")
    print("peak GB: " + ", ".join(f"{k} {v / 1e9:.1f}" for k, v in used.items()))
    route = choose_route(layer_shapes(load("sdpa")), device=torch.device("cpu"))
    print(f"matmul route: {route}")
    speeds = {"plain Trainer": plain_trainer()}
    torch.set_float32_matmul_precision(route.setting)
    for name, adapter in (("LoRA", True), ("full", False)):
        pairs = [(by_hand(adapter), ours(adapter)) for _ in range(2)]
        hand, own = (statistics.mean(values) for values in zip(*pairs, strict=True))
        speeds |= {f"{name} by hand": hand, f"{name} ours": own}
        print(f"{name}: tokens per second against a loop by hand: {own / hand:.2f} (>= 0.9)")
    against = speeds["LoRA ours"] / speeds["plain Trainer"]
    print(f"LoRA: real tokens per second against the plain Trainer: {against:.2f} (>= 2)")
    print("tokens per second: " + ", ".join(f"{k} {v:.0f}" for k, v in speeds.items()))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        measure_memory(sys.argv[2])
    else:
        main()
