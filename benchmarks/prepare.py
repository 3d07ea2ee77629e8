"""Preparing data: the plain way against ours.

Plain: the same text through the bare tokenizer in chunks of 4,000 rows, and nothing else
(`encode_batch_fast`, or `encode_batch` where masks need offsets); reading the file is not counted.
Ours reads, formats, tokenizes, masks, checks and writes. Each runs in a process of its
own, so that peak memory can be told apart, and they take turns. The rows are made of the quick
start's; see `_rows.py`.

    python benchmarks/prepare.py [alpaca|chat|completion|million …] [--rows N] [--tokenizer FOLDER]
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

from _rows import LOADS, in_chunks, read_rows, write_rows

CHUNK = 4000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("loads", nargs="*", choices=[*LOADS, []], default=[])
    parser.add_argument("--tokenizer", type=Path, help="folder with tokenizer.json")
    parser.add_argument("--rows", type=int, help="instead of as many as the load has")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", choices=CHILDREN)
    parser.add_argument("--data", type=Path)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(CHILDREN[args.child](args.loads[0], args.data, args.tokenizer)))
        return
    tokenizer = args.tokenizer
    if tokenizer is None:
        from _smol import model_folder

        tokenizer = model_folder()
    for name in args.loads or LOADS:
        with tempfile.TemporaryDirectory() as folder:
            data = write_rows(name, Path(folder) / "rows.jsonl", args.rows)
            report(name, data, tokenizer, 1 if name == "million" else args.repeats)


def report(name: str, data: Path, tokenizer: Path, repeats: int) -> None:
    load = LOADS[name]
    children = [child for child in CHILDREN if load.bound or child != "plain"]
    found: dict[str, list[dict[str, float]]] = {child: [] for child in children}
    for _ in range(repeats):
        for child in children:
            found[child].append(run_child(child, name, data, tokenizer))
        shutil.rmtree(data.parent / "store")
    seconds = {child: statistics.median(r["seconds"] for r in found[child]) for child in children}
    peak = {c: max(r["peak_mb"] - r["imports_mb"] for r in found[c]) for c in children}
    rows = found["ours"][0]["rows"]
    for child in children:
        print(
            f"{child:6} {seconds[child]:6.2f} s  {rows / seconds[child]:9,.0f} rows/s"
            f"  peak {peak[child]:4.0f} MB above imports"
        )
    if load.bound:
        ratio = seconds["plain"] / seconds["ours"]
        print(f"prepare {name}, rows/s of the bare tokenizer: {ratio:.2f} (>= {load.bound})")
    print(f"prepare {name}, from the store, seconds: {seconds['again']:.2f} (<= 1)")
    whole = max(run["peak_mb"] for run in found["ours"])
    print(f"prepare {name}, peak MB in all: {whole:.0f} (<= 1000)")


def run_child(child: str, name: str, data: Path, tokenizer: Path) -> dict[str, float]:
    command = [sys.executable, __file__, name, "--child", child]
    command += ["--data", str(data), "--tokenizer", str(tokenizer)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    return json.loads(done.stdout)


def plain(name: str, data: Path, folder: Path) -> dict[str, float]:
    from tokenizers import Tokenizer

    load = LOADS[name]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encode = tokenizer.encode_batch if load.offsets else tokenizer.encode_batch_fast
    imports_mb = peak_mb()
    pieces = [load.texts(row) for row in read_rows(data)]
    began = time.perf_counter()
    for chunk in in_chunks(pieces, CHUNK):
        encode([text for row in chunk for text in row], add_special_tokens=False)
    return measured(began, imports_mb, len(pieces))


def ours(name: str, data: Path, folder: Path) -> dict[str, float]:
    from transformers import AutoTokenizer

    from axolotl.config.load import load_config
    from axolotl.data.prepare import prepare

    load = LOADS[name]
    config = load_config(
        {
            "base_model": str(folder),
            "datasets": [{"path": str(data), **load.entry}],
            "dataset_prepared_path": str(data.parent / "store"),
            **(load.options or {}),
        }
    )
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    imports_mb = peak_mb()
    began = time.perf_counter()
    prepared = prepare(config, tokenizer=tokenizer)
    return measured(began, imports_mb, prepared.summary.rows_read)


def measured(began: float, imports_mb: float, rows: int) -> dict[str, float]:
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "imports_mb": imports_mb, "peak_mb": peak_mb(), "rows": rows}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


CHILDREN = {"plain": plain, "ours": ours, "again": ours}

if __name__ == "__main__":
    main()
