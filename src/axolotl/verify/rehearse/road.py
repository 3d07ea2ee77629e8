"""The road of a rehearsal: its stages in order; a failure stops what depends on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from axolotl.errors import AxolotlError
from axolotl.verify.rehearse.claims import CLAIMS, NEEDS, Failed, NotShown, Seen
from axolotl.verify.rehearse.records import Replacement, Stage
from axolotl.verify.rehearse.stages import Stages


class Road:
    """One walk along the road.

    Args:
        does: What the stages do.
        on_stage: Called with each stage as it ends.
    """

    def __init__(
        self, does: Stages, *, on_stage: Callable[[Stage], object] = lambda _: None
    ) -> None:
        self._does = does
        self.on_stage = on_stage
        self.stages: list[Stage] = []

    @property
    def said(self) -> list[Replacement]:
        """What was replaced so far."""
        return self._does.said

    def walk(self) -> None:
        """All stages, in order."""
        for name, claim in CLAIMS.items():
            began = time.perf_counter()
            stage = self._stage(name, claim)
            stage = replace(stage, seconds=time.perf_counter() - began)
            self.stages.append(stage)
            self.on_stage(stage)

    def _stage(self, name: str, claim: str) -> Stage:
        lacking = self._lacking(name)
        if lacking:
            return Stage(name, claim, "not shown", f"it needs {lacking}, which did not end well")
        try:
            seen: Seen = getattr(self._does, name)()
        except NotShown as why:
            return Stage(name, claim, "not shown", str(why))
        except Failed as failed:
            if before := next((s for s in self.stages if s.seen == failed.seen), None):
                failed.seen, failed.hint = f"the same as {before.name}", ""
            return Stage(name, claim, "failed", failed.seen, failed.hint, mendable=failed.mendable)
        except AxolotlError as error:
            where = self._does.in_file(error.where)
            seen_instead = f"{where}: {error.what}" if where else error.what
            return Stage(name, claim, "failed", seen_instead, error.hint or "", mendable=True)
        return Stage(name, claim, "proven", seen.text, numbers=seen.numbers)

    def _lacking(self, name: str) -> str:
        """The stage that would have had to go well before."""
        bad = {s.name for s in self.stages if s.state == "failed" or self._never_begun(s)}
        return next((needed for needed in NEEDS.get(name, ()) if needed in bad), "")

    @staticmethod
    def _never_begun(stage: Stage) -> bool:
        return stage.state == "not shown" and "did not end well" in stage.seen
