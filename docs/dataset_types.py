"""Write `dataset_types.md`, the page of all dataset types: `make docs`.

What a type is for, its fields and its settings come from the files in `axolotl.formats`; the example
of each from `tests/fixtures/dataset_types.yaml`, against which the tests hold the code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from axolotl.formats import CUSTOM, bind
from axolotl.registry import available, load

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "tests" / "fixtures" / "dataset_types.yaml"
NOT_FROM_THE_ENTRY = ("tokenizer", "train_on_inputs", "chat_template_kwargs", "eot_tokens")
LONGEST = 700
INTRODUCTION = """\
# Dataset types

<!-- Generated from src/axolotl/formats and tests/fixtures/dataset_types.yaml by `make docs`. -->

`type:` of an entry of `datasets` says how a row becomes text. `name:style` and `name.variant` choose among the forms of a
type; a mapping in the place of `type` gives own templates (`custom`); rows with `input_ids`, `attention_mask` and `labels`
are tokens already and need no type. `axolotl preview FILE` shows what your own rows become.

In the examples, ‹BOS› is the begin token of a tokenizer that adds one by itself, ‹EOS› the end token, and what stands
between ⟦ and ⟧ is trained; everything else is masked. Texts are in the wording in common use; `prompt_templates: 2023-10`
(for the file or for one data set) gives that of the release of October 2023, faults included.
"""


def dataset_types_page() -> str:
    """The text of `dataset_types.md`."""
    examples = yaml.safe_load(EXAMPLES.read_text("utf-8"))
    lines = [INTRODUCTION]
    for name in available("axolotl.formats"):
        lines += _type(name, [e for e in examples if _name(e["type"]) == name])
    return "\n".join(lines)


def _type(name: str, examples: list[dict[str, Any]]) -> Iterator[str]:
    module = load("axolotl.formats", name)
    yield f"## `{name}`\n"
    yield f"{_words(module.__doc__)}\n"
    yield from _forms(name, module)
    settings = {
        key: info
        for key, info in module.Options.model_fields.items()
        if key not in (*NOT_FROM_THE_ENTRY, module.SUFFIX, module.VARIANT)
    }
    if settings:
        yield "| setting | default | what it does |\n|---|---|---|"
        for key, info in settings.items():
            default = (
                ""
                if info.is_required()
                else f"`{json.dumps(_plain(info.get_default(call_default_factory=True)))}`"
            )
            yield f"| `{key}` | {_cell(default)} | {_cell(info.description or '')} |"
        yield ""
    for example in examples[:1]:
        yield from _example(example)


def _forms(name: str, module: Any) -> Iterator[str]:
    rows = []
    variants = (
        get_args(module.Options.model_fields[module.VARIANT].annotation) if module.VARIANT else [""]
    )
    for variant in variants:
        kind = f"{name}.{variant}" if variant else name
        try:
            fields = bind({} if kind == CUSTOM else kind).fields
        except (ValidationError, ValueError):
            continue
        if fields:
            written = "a mapping" if kind == CUSTOM else f"`{kind}`"
            rows.append(f"{written}: rows have {', '.join(f'`{f}`' for f in fields)}")
    styles = (
        get_args(module.Options.model_fields[module.SUFFIX].annotation) if module.SUFFIX else []
    )
    styles = [style for style in styles if isinstance(style, str) and style]
    if styles:
        rows.append("styles: " + ", ".join(f"`{name}:{style}`" for style in styles))
    if rows:
        yield "\n".join(f"- {row}" for row in rows) + "\n"


def _example(example: dict[str, Any]) -> Iterator[str]:
    text = example.get("canonical", example.get("text", ""))
    entry = {"type": example["type"], **example.get("settings", {})}
    row = json.dumps(example["row"], ensure_ascii=False)
    if len(row) + len(text) > LONGEST * 2:
        text = text[:LONGEST] + " …"
    yield f"`{json.dumps(entry, ensure_ascii=False)}` makes of `{row}`\n"
    yield f"```text\n{text}\n```\n"


def _name(kind: Any) -> str:
    return "custom" if isinstance(kind, dict) else str(kind).partition(":")[0].partition(".")[0]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _words(text: str | None) -> str:
    """A docstring as Markdown: a paragraph that is a table becomes a block of code."""
    found: list[str] = []
    for paragraph in (text or "").strip().split("\n\n"):
        lines = paragraph.strip("\n").splitlines()
        table = all(re.search(r"\S  +\S", line) for line in lines)
        found.append("\n".join(f"    {line.strip()}" if table else line for line in lines))
    return "\n\n".join(found)


def _cell(text: str) -> str:
    return text.replace("|", chr(92) + "|")


if __name__ == "__main__":
    (HERE / "dataset_types.md").write_text(dataset_types_page(), encoding="utf-8")
