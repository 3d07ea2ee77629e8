"""What a report says of one run: data, samples, configuration, environment, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, cast

from axolotl.reports import report_text as say
from axolotl.reports.run_files import RunFiles

MOST_PROMPTS = 20
MOST_ANSWERS = 6
"""Answers to one prompt, the newest; those of all evaluations stand in the file."""


def sections(run: RunFiles) -> Iterator[tuple[str, str]]:
    """Heading and HTML of each section that the run has something for."""
    makers = {
        "Data": _data,
        "Samples": _samples,
        "Rows that were evaluated": _predictions,
        "Checkpoints": _checkpoints,
        "Configuration": _config,
        "Environment": _environment,
    }
    for title, make in makers.items():
        if html := make(run):
            yield title, html


def _data(run: RunFiles) -> str:
    data = run.part("data")
    sources = _mappings(data.get("by_source"))
    if not sources:
        return ""
    rows = [
        (
            f"<b>{say.text(source.get('name', ''))}</b><small>{say.text(source.get('key', ''))}</small>",
            say.text(source.get("format", "")),
            say.count(source.get("rows_read")),
            say.count(source.get("rows_kept")),
            _lost(source),
            say.count(source.get("tokens")),
            _share(source.get("trained_tokens"), source.get("tokens")),
            say.count(source.get("median_tokens")),
            say.count(source.get("longest_tokens")),
            _lengths(source.get("lengths")),
        )
        for source in sources
    ]
    header = ("source", "type", "read", "kept", "left out or cut", "tokens", "trained", "median")
    html = say.table((*header, "longest", "rows by length"), rows, kind="data")
    held = say.count(data.get("eval_rows"))
    html += f"<p>{say.count(data.get('train_rows'))} rows to train on in an epoch, {held} to evaluate on.</p>"
    warnings = cast("Sequence[Any]", data.get("warnings") or ())
    return html + "".join(f'<p class="warn">{say.text(warning)}</p>' for warning in warnings)


def _lost(source: Mapping[str, Any]) -> str:
    found: list[str] = []
    for kind in ("dropped", "bad"):
        for reason, rows in _mapping(source.get(kind)).items():
            found.append(f"{say.count(_mapping(rows).get('count'))} dropped: {say.text(reason)}")
    for kind, word in (("truncated", "cut"), ("split", "split")):
        if number := _mapping(source.get(kind)).get("count"):
            found.append(f"{say.count(number)} {word}")
    return "<br>".join(found) or "none"


def _share(part: Any, whole: Any) -> str:
    return (
        f"{part / whole:.1%}"
        if isinstance(part, int) and isinstance(whole, int) and whole
        else say.NOTHING
    )


def _lengths(bins: Any) -> str:
    """A bar for each bin of lengths."""
    pairs = [(int(end), int(rows)) for end, rows in bins or ()]
    tallest = max((rows for _, rows in pairs), default=0)
    if not tallest:
        return ""
    width = 100 / len(pairs)
    bars = "".join(
        f'<rect x="{i * width + 1:.1f}" y="{30 - max(1.0, rows / tallest * 28):.1f}" '
        f'width="{width - 2:.1f}" height="{max(1.0, rows / tallest * 28):.1f}">'
        f"<title>up to {end:,} tokens: {rows:,} rows</title></rect>"
        for i, (end, rows) in enumerate(pairs)
        if rows
    )
    words = ", ".join(f"up to {end}: {rows}" for end, rows in pairs if rows)
    return (
        f'<svg class="bins" viewBox="0 0 100 30" role="img" aria-label="{escape(words)}">{bars}</svg>'
        f"<small>to {pairs[-1][0]:,} tokens</small>"
    )


def _samples(run: RunFiles) -> str:
    by_prompt: dict[str, list[dict[str, Any]]] = {}
    for row in run.samples:
        by_prompt.setdefault(str(row.get("prompt", "")), []).append(row)
    html = ""
    for prompt, rows in list(by_prompt.items())[:MOST_PROMPTS]:
        answers = "".join(
            f"<li><small>step {say.count(row.get('step'))}{'' if row.get('stopped', True) else ', cut'}"
            f"</small><pre>{say.text(row.get('answer', ''))}</pre></li>"
            for row in rows[: -MOST_ANSWERS - 1 : -1]
        )
        html += f'<article><pre class="asked">{say.text(prompt)}</pre><ol>{answers}</ol></article>'
    left = len(by_prompt) - MOST_PROMPTS
    return html + (f"<p>{left:,} prompts more are in samples.jsonl.</p>" if left > 0 else "")


def _predictions(run: RunFiles) -> str:
    if not run.predictions:
        return ""
    last = run.predictions[-1].get("step")
    rows = [row for row in run.predictions if row.get("step") == last][:MOST_PROMPTS]
    names = {
        "prompt": "prompt",
        "correct": "answer of the data",
        "generated": "answer of the model",
    }
    cells = [[f"<pre>{say.text(row.get(name, ''))}</pre>" for name in names] for row in rows]
    shown = say.table(tuple(names.values()), cells, kind="texts")
    return f"<p>At step {say.count(last)}.</p>{shown}"


def _checkpoints(run: RunFiles) -> str:
    if not run.checkpoints:
        return ""
    curve = run.metrics.curve("eval_loss")
    measured = dict(zip(curve.steps, curve.values, strict=True))
    kept = run.part("final").get("checkpoint")
    best = min(
        (one.step for one in run.checkpoints if one.step in measured),
        key=lambda step: measured[step],
        default=None,
    )
    rows = [
        (
            say.text(one.name),
            say.count(one.step),
            say.loss(measured.get(one.step)),
            say.size(one.size_bytes),
            " · ".join(
                word
                for word, is_so in (
                    ("the result", one.step == kept),
                    ("lowest loss of these", one.step == best),
                )
                if is_so
            ),
        )
        for one in run.checkpoints
    ]
    return say.table(("checkpoint", "step", "held-out loss", "size", ""), rows)


def _config(run: RunFiles) -> str:
    resolved, given = run.part("config", "resolved"), run.part("config", "given")
    origins = run.part("config", "origins")
    if not resolved and not given:
        return ""
    written = [key for key in resolved if key in origins or key in given]
    written += [key for key in given if key not in resolved]
    shown = {**given, **resolved}
    rows = [
        (
            f"<code>{say.text(key)}</code>",
            f"<code>{say.text(_said(shown[key]))}</code>",
            say.text(origins.get(key, "written")),
        )
        for key in written
    ]
    html = say.table(("option", "value", "from"), rows, kind="config")
    others = [key for key in resolved if key not in written]
    if not others:
        return html
    rest = [
        (f"<code>{say.text(key)}</code>", f"<code>{say.text(resolved[key])}</code>")
        for key in others
    ]
    return html + (
        f"<details><summary>{len(others):,} options at their defaults</summary>"
        f"{say.table(('option', 'value'), rest, kind='config')}</details>"
    )


def _said(value: Any) -> Any:
    """A value without the settings inside of it that say nothing."""
    if isinstance(value, Mapping):
        inner = cast("Mapping[str, Any]", value)
        return {key: _said(one) for key, one in inner.items() if one is not None}
    if isinstance(value, list):
        return [_said(one) for one in cast("list[Any]", value)]
    return value


def _environment(run: RunFiles) -> str:
    plan, platform, versions = run.part("plan"), run.part("platform"), run.part("versions")
    matmul, spread = _mapping(plan.get("matmul")), run.part("processes")
    quantized = _mapping(plan.get("quantized"))
    known = {
        "machine": platform.get("system"),
        "accelerator": platform.get("accelerator") or ("none" if platform else None),
        "threads": platform.get("threads"),
        "processes": spread.get("count"),
        "machines": spread.get("machines"),
        "spread by": spread.get("method"),
        "device": plan.get("device"),
        "number format": plan.get("dtype"),
        "attention": plan.get("attention"),
        "documents apart": plan.get("documents_isolated"),
        "matmul": matmul.get("setting"),
        "base weights": quantized.get("kind"),
        "parameters": plan.get("parameters"),
        "trained parameters": plan.get("trainable_parameters"),
        "rows filled to": plan.get("packing_efficiency"),
    }
    rows = [(name, _fact(value)) for name, value in known.items() if value is not None]
    rows += [(name, say.text(value)) for name, value in versions.items()]
    return say.pairs(rows) if rows else ""


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1%}"
    return say.count(value) if isinstance(value, int) else say.text(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [_mapping(one) for one in cast("list[Any]", value)] if isinstance(value, list) else []
