"""The report of one run, or of several beside each other, as one page that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any

from axolotl.reports import report_text as say
from axolotl.reports.line_chart import COLOURS
from axolotl.reports.page_parts import whole_page
from axolotl.reports.report_charts import charts
from axolotl.reports.report_run import sections
from axolotl.reports.run_files import RunFiles


def report_page(runs: Sequence[RunFiles], *, made: datetime, version: str) -> str:
    """The HTML text.

    Args:
        runs: The runs, at least one.
        made: When.
        version: Version of this tool.
    """
    drawn = charts(runs)
    names = " and ".join(run.label for run in runs)
    return whole_page(
        "report",
        title=f"Report of {names}",
        scripts=["report.js"],
        data=[data for _, data in drawn],
        parts={
            "summary": _summary(runs),
            "charts": "".join(html for html, _ in drawn) or "<p>Nothing was logged.</p>",
            "differences": _differences(runs),
            "sections": "".join(_section(run, several=len(runs) > 1) for run in runs),
            "made": f"{made:%Y-%m-%d %H:%M} by axolotl {escape(version)}",
        },
    )


def state_of(run: RunFiles) -> str:
    """How a run ended, as far as its folder says it.

    Without its `run.json` a run is still going on, or was killed: nothing else tells.
    """
    step = say.count(run.metrics.last_step)
    if run.finished:
        return f"stopped early, at step {step}" if run.interrupted else "finished"
    total = run.part("plan").get("steps")
    of = f" of {say.count(total)}" if total else ""
    quiet = "" if run.quiet_s is None else f"; last line written {say.duration(run.quiet_s)} ago"
    return f"not finished: at step {step}{of}{quiet}"


def _summary(runs: Sequence[RunFiles]) -> str:
    facts = [_facts(run) for run in runs]
    if len(runs) == 1:
        return say.pairs(facts[0].items()) + _remarks(runs[0])
    header = ["", *(run.label for run in runs)]
    rows = [
        [escape(name), *(fact.get(name, say.NOTHING) for fact in facts)]
        for name in dict.fromkeys(name for fact in facts for name in fact)
    ]
    keys = " ".join(
        f'<span class="key k{i % COLOURS}">{escape(run.label)}</span>' for i, run in enumerate(runs)
    )
    return f'<p class="legend">{keys}</p>{say.table(header, rows, kind="runs")}' + "".join(
        _remarks(run, f"{run.label}: ") for run in runs
    )


def _remarks(run: RunFiles, of: str = "") -> str:
    return "".join(f'<p class="warn">{say.text(of + remark)}</p>' for remark in run.remarks)


def _facts(run: RunFiles) -> dict[str, str]:
    """What is to be seen first; HTML."""
    final, resolved, metrics = run.part("final"), run.part("config", "resolved"), run.metrics
    seconds = final.get("seconds_in_all", final.get("seconds"))
    found = {
        "state": say.text(state_of(run)),
        "base model": say.text(resolved.get("base_model", say.NOTHING)),
        "method": say.text(_method(resolved)) if resolved else say.NOTHING,
        "processes": _processes(run),
        "steps": say.count(final.get("steps", metrics.last_step)),
        "loss in training": say.loss(final.get("train_loss", metrics.curve("loss").last)),
        "loss on held-out rows": _held_out(run),
        "trained tokens": say.count(final.get("trained_tokens", metrics.trained_tokens)),
        "speed": f"{say.count(_speed(run))} tokens per second",
        "time": say.duration(seconds),
        "peak memory": say.size(
            final.get("peak_memory_bytes", metrics.curve("peak_memory_bytes").last)
        ),
        "folder": say.text(str(run.folder)),
    }
    return {name: value for name, value in found.items() if not value.startswith(say.NOTHING)}


def _speed(run: RunFiles) -> Any:
    measured = run.metrics.curve("tokens_per_second").last
    return run.part("final").get("tokens_per_second", measured)


def _method(resolved: dict[str, Any]) -> str:
    adapter = resolved.get("adapter")
    if not adapter:
        return "full fine-tuning"
    return f"{adapter}, r {resolved['lora_r']}" if resolved.get("lora_r") else str(adapter)


def _processes(run: RunFiles) -> str:
    """How many, on how many machines, and what each holds; nothing of a run in a single one."""
    spread = run.part("processes")
    machines, method = spread.get("machines"), spread.get("method")
    if not method:
        return say.NOTHING
    on = f" on {say.count(machines)} machines" if isinstance(machines, int) and machines > 1 else ""
    return f"{say.count(spread.get('count'))}{on}, {say.text(method)}"


def _held_out(run: RunFiles) -> str:
    """First, lowest and last loss on the held-out rows."""
    curve = run.metrics.curve("eval_loss")
    last = run.part("final").get("eval_loss", curve.last)
    if last is None or curve.first is None or curve.best is None:
        return say.loss(last)
    step, lowest = curve.best
    if len(curve.values) == 1:
        return say.loss(last)
    return (
        f"{say.loss(last)} <small>from {say.loss(curve.first)}; lowest {say.loss(lowest)} "
        f"at step {say.count(step)}</small>"
    )


def _differences(runs: Sequence[RunFiles]) -> str:
    """Options that the runs do not have in common."""
    if len(runs) == 1:
        return ""
    options = [run.part("config", "resolved") for run in runs]
    keys = dict.fromkeys(key for some in options for key in some)
    differing = [key for key in keys if any(o.get(key) != options[0].get(key) for o in options)]
    if not differing:
        return "<h2>Options that differ</h2><p>None.</p>"
    rows = [
        [
            f"<code>{say.text(key)}</code>",
            *(f"<code>{say.text(o.get(key))}</code>" for o in options),
        ]
        for key in differing
    ]
    header = ["option", *(run.label for run in runs)]
    return f"<h2>Options that differ</h2>{say.table(header, rows, kind='config')}"


def _section(run: RunFiles, *, several: bool) -> str:
    inner = "".join(
        f"<details{'' if several or title == 'Environment' else ' open'}>"
        f"<summary><h3>{escape(title)}</h3></summary>{html}</details>"
        for title, html in sections(run)
    )
    if not inner:
        inner = "<p>The folder says nothing more: the run ended before it wrote its run.json.</p>"
    heading = f"<h2>{escape(run.label)}</h2>" if several else ""
    return f"<section>{heading}{inner}</section>"
