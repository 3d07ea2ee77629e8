"""Preparing 52,000 instruction rows: the plain way against ours.

Plain: the same pieces through `encode_batch_fast` in chunks of 4,000 rows, and one Arrow file of
the ids. Each runs in a process of its own, so that peak memory can be told apart, and they take
turns. The rows are the quick start's, joined to the length of alpaca's (mean about 140 tokens),
with a number in each, so that none is equal to another.

    python benchmarks/prepare.py [ROWS.jsonl] [--tokenizer FOLDER] [--rows 52000]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CHUNK = 4000
QUICKSTART = Path(__file__).parents[1] / "examples" / "quickstart" / "data.jsonl"
QUESTION = (
    "Below is an instruction that describes a task{}. Write a response that appropriately "
    "completes the request.\n\n### Instruction:\n{}{}\n\n### Response:\n"
)
PAIRED = ", paired with an input that provides further context"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, nargs="?", help="rows with instruction, input, output")
    parser.add_argument("--tokenizer", type=Path, help="folder with tokenizer.json")
    parser.add_argument("--rows", type=int, default=52_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", choices=["plain", "ours", "again"])
    args = parser.parse_args()
    if args.child:
        print(json.dumps(CHILDREN[args.child](args)))
        return
    tokenizer = args.tokenizer
    if tokenizer is None:
        from _smol import model_folder

        tokenizer = model_folder()
    with tempfile.TemporaryDirectory() as folder:
        data = many_rows(args.data, Path(folder) / "rows.jsonl", args.rows)
        report(data, tokenizer, args.repeats)


def report(data: Path, tokenizer: Path, repeats: int) -> None:
    found: dict[str, list[dict[str, float]]] = {"plain": [], "ours": [], "again": []}
    for _ in range(repeats):
        for child in found:
            found[child].append(run_child(child, data, tokenizer))
        shutil.rmtree(data.parent / "store")
    seconds = {name: statistics.median(r["seconds"] for r in runs) for name, runs in found.items()}
    peak = {n: max(r["peak_mb"] - r["imports_mb"] for r in runs) for n, runs in found.items()}
    rows = found["ours"][0]["rows"]
    for name in found:
        print(
            f"{name:6} {seconds[name]:6.2f} s  {rows / seconds[name]:9,.0f} rows/s"
            f"  peak {peak[name]:4.0f} MB above imports"
        )
    print(
        f"prepare, rows/s of the bare tokenizer: {seconds['plain'] / seconds['ours']:.2f} (>= 0.8)"
    )
    print(f"prepare, from the store, seconds: {seconds['again']:.2f} (<= 1)")
    print(f"prepare, peak MB above imports: {peak['ours']:.0f} (<= 600)")


def run_child(child: str, data: Path, tokenizer: Path) -> dict[str, float]:
    command = [sys.executable, __file__, str(data), "--tokenizer", str(tokenizer), "--child", child]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    return json.loads(done.stdout)


def plain(args: argparse.Namespace) -> dict[str, float]:
    import pyarrow as pa
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(args.tokenizer / "tokenizer.json"))
    imports_mb = peak_mb()
    pieces = []
    for row in read_rows(args.data):
        extra = f"\n\n### Input:\n{row['input']}" if row["input"] else ""
        pieces.append(QUESTION.format(PAIRED if extra else "", row["instruction"], extra))
        pieces.append(row["output"])
    began = time.perf_counter()
    schema = pa.schema([("input_ids", pa.list_(pa.int32()))])
    target = args.data.parent / "plain.arrow"
    with target.open("wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for start in range(0, len(pieces), 2 * CHUNK):
            found = tokenizer.encode_batch_fast(
                pieces[start : start + 2 * CHUNK], add_special_tokens=False
            )
            ids = [a.ids + b.ids for a, b in zip(found[::2], found[1::2], strict=True)]
            writer.write_batch(pa.record_batch([pa.array(ids, pa.list_(pa.int32()))], schema))
    return measured(began, imports_mb, len(pieces) // 2)


def ours(args: argparse.Namespace) -> dict[str, float]:
    from transformers import AutoTokenizer

    from axolotl.config.load import load_config
    from axolotl.data.prepare import prepare

    config = load_config(
        {
            "base_model": str(args.tokenizer),
            "datasets": [{"path": str(args.data), "type": "alpaca"}],
            "dataset_prepared_path": str(args.data.parent / "store"),
            "val_set_size": 0.04,
        }
    )
    tokenizer: Any = AutoTokenizer.from_pretrained(args.tokenizer)
    imports_mb = peak_mb()
    began = time.perf_counter()
    prepared = prepare(config, tokenizer=tokenizer)
    return measured(began, imports_mb, prepared.summary.rows_read)


def measured(began: float, imports_mb: float, rows: int) -> dict[str, float]:
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "imports_mb": imports_mb, "peak_mb": peak_mb(), "rows": rows}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def many_rows(source: Path | None, target: Path, count: int) -> Path:
    rows = read_rows(source or QUICKSTART)
    if source is None:
        triples = zip(rows, rows[1:] + rows[:1], rows[2:] + rows[:2], strict=True)
        rows = [a | {"output": f"{a['output']} {b['output']} {c['output']}"} for a, b, c in triples]
    with target.open("w", encoding="utf-8", newline="\n") as out:
        for number in range(count):
            row = rows[number % len(rows)]
            changed = row | {"instruction": f"{number}. {row['instruction']}"}
            out.write(json.dumps(changed, ensure_ascii=False) + "\n")
    return target


def read_rows(source: Path) -> list[dict[str, str]]:
    with source.open(encoding="utf-8", newline="\n") as lines:
        return [json.loads(line) for line in lines]


CHILDREN = {"plain": plain, "ours": ours, "again": ours}

if __name__ == "__main__":
    main()
