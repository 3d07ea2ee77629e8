"""The quick start: ask a small model, teach it, ask it again, merge. `make quickstart` runs it.

Everything here is the public Python API; the same steps on the command line are

    axolotl evaluate examples/quickstart/lora.yml --base
    axolotl train examples/quickstart/lora.yml
    axolotl merge-lora examples/quickstart/lora.yml

Words behind `run.py` override the file as they would there: `run.py --num_epochs 1`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from rich.table import Table
from rich.text import Text

import axolotl
from axolotl.core.console import console, note, print_pairs
from axolotl.errors import AxolotlError

HERE = Path(__file__).parent
GREEDY = {"temperature": 0.0, "max_new_tokens": 60}


def main() -> int:
    """Run it; 2 if something about this machine is at fault, 130 if it was stopped."""
    start = time.perf_counter()
    try:
        return _teach(start)
    except AxolotlError as error:
        console().print(str(error), markup=False)
        return 2


def _teach(start: float) -> int:
    file = str(HERE.relative_to(Path.cwd()) if HERE.is_relative_to(Path.cwd()) else HERE)
    config = axolotl.load_config(f"{file}/lora.yml", sys.argv[1:])
    lines = (HERE / "questions.jsonl").read_text("utf-8").splitlines()
    questions = [json.loads(line)["instruction"] for line in lines]

    note("1/4  the model as it is: held-out loss and three answers")
    before = axolotl.evaluate(config, base=True)
    answers_before = axolotl.generate(config, questions, base=True, **GREEDY)

    note("2/4  training")
    result = axolotl.train(config)
    if result.interrupted:
        note("stopped before the end; `make quickstart` begins anew")
        return 130

    note("3/4  the same questions again")
    answers_after = axolotl.generate(config, questions, **GREEDY)

    note("4/4  merging the adapter into the model")
    merged = axolotl.merge(config)

    table = Table(title="Before and after", title_justify="left", show_lines=True)
    table.add_column("question", ratio=2)
    table.add_column("before", ratio=3)
    table.add_column("after", ratio=3, style="bold")
    for question, old, new in zip(questions, answers_before, answers_after, strict=True):
        table.add_row(*(Text(text.strip()) for text in (question, old, new)))
    console().print(table)

    assert result.eval_loss is not None, "the quick start holds rows out, and came to its end"
    print_pairs(
        "Result",
        {
            "held-out loss": f"{before.loss:.3f} before, {result.eval_loss:.3f} after "
            f"({result.eval_loss / before.loss - 1:+.0%})",
            "time": f"{result.metrics['seconds']:.0f} s of training, "
            f"{time.perf_counter() - start:.0f} s in all",
            "speed": f"{result.metrics['tokens_per_second']:,.0f} tokens per second",
            "peak memory": f"{result.metrics['peak_memory_bytes'] / 1e9:.2f} GB",
            "adapter": str(result.output_dir),
            "merged model": f"{merged.folder} (logits differ by at most {merged.difference.largest:.1e})",
            "report": str(result.output_dir / "run.json"),
            "ask it yourself": f"axolotl inference {file}/lora.yml",
        },
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
