"""The stages of a rehearsal: one method each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from axolotl.config import Config
from axolotl.verify.rehearse.architecture import Files, find_files
from axolotl.verify.rehearse.cached import cache_of_user
from axolotl.verify.rehearse.claims import Commands, Failed, NotShown, Seen
from axolotl.verify.rehearse.options import SAVED_AT, STEPS, rehearsed_options
from axolotl.verify.rehearse.process import Ended, Workers
from axolotl.verify.rehearse.records import Replacement

ENOUGH_FOR_MADE_UP = 256
"""Tokens of a sequence that takes every made-up row."""
QUESTION = "Which colours does the door have?"


class Stages:
    """What the stages do, each in a process of its own.

    A stage gives back what it has seen, or raises `Failed`, `NotShown`, or an error of the tool.

    Args:
        config: The configuration of the file.
        scratch: An empty folder for all that is written.
        workers: What starts the processes.
        commands: What they run.
        packs: Whether samples share rows.
        architecture: A `model_type` that the user gives.
    """

    def __init__(
        self,
        config: Config,
        *,
        scratch: Path,
        workers: Workers,
        commands: Commands,
        packs: bool,
        architecture: str | None = None,
    ) -> None:
        self.config = config
        self.given = config.given()
        self.scratch = scratch
        self.workers = workers
        self.commands = commands
        self.architecture = architecture
        made = rehearsed_options(config, packs=packs)
        self.options, self.said = made.values, made.said
        self.files = Files()
        self._trained: dict[str, Any] = {}
        self._held_out = bool(config.data.val_set_size or config.data.test_datasets)

    def base(self) -> Seen:
        """A tiny random model of the architecture, and a tokenizer."""
        self.files = find_files(self.config.model, self.scratch)
        folder = self.scratch / "base"
        made = self._run("base", "make_base", self.given, self.files, folder, self.architecture)
        own = self.files.tokenizer is not None
        self.options["base_model"] = str(folder)
        if not own:
            for key in ("tokenizer_type", "tokenizer_legacy", "added_tokens_overrides"):
                self.options.pop(key, None)
            if self.options.get("peft_trainable_token_indices"):
                self.options["peft_trainable_token_indices"] = [3, 4]
        form = ", its layers rounded to 4 bits" if made["gptq"] else ""
        text = (
            f"{made['class']}, {made['layers']} layers of width {made['width']}, "
            f"{made['parameters']:,} random weights{form}; "
            f"{'its own' if own else 'a small'} tokenizer of {made['vocabulary']:,} tokens"
        )
        self.said.insert(
            0,
            Replacement(
                "base_model",
                self.config.model.base_model,
                f"a random {made['class']}, which {made['whence']} says it is",
                "that its weights load, and what they take of memory",
            ),
        )
        if not own:
            self.said.insert(
                1,
                Replacement("tokenizer", "that of the model", "a small one", "its own vocabulary"),
            )
        return Seen(text, {"parameters": made["parameters"], "vocabulary": made["vocabulary"]})

    def data(self) -> Seen:
        """The first rows of each data set, or made-up ones."""
        own = self.files.tokenizer is not None
        kept = {k: self.options[k] for k in ("base_model",)}
        kept |= {} if own else {"tokenizer_type": "AutoTokenizer", "added_tokens_overrides": {}}
        folder = self.scratch / "data"
        length = self.options["sequence_len"]
        cache = cache_of_user()
        made = self._run("data", "make_rows", self.given, kept, folder, own, length, cache)
        self.options |= made["options"]
        said: Sequence[Replacement] = made["said"]
        self.said += said
        if all("made-up" in one.now for one in said):
            self.options["sequence_len"] = min(self.options["sequence_len"], ENOUGH_FOR_MADE_UP)
        own_rows = [one for one in said if "made-up" not in one.now]
        if not own_rows:
            raise NotShown("made-up rows: none of its data sets is on this machine")
        text = f"{len(own_rows)} of {len(said)} data sets by their first rows"
        return Seen(text, {"data_sets": len(said), "by_own_rows": len(own_rows)})

    def _full_options(self, run: str) -> dict[str, Any]:
        """The options of a run of the rehearsal."""
        every = {
            **self.options,
            "output_dir": str(self.scratch / run),
            "dataset_prepared_path": str(self.scratch / "store"),
            "max_steps": STEPS,
            "save_steps": SAVED_AT,
            "logging_steps": 1,
            "dataset_processes": 1,
        }
        if self._held_out:
            every["eval_steps"] = STEPS
        return every

    def prepare(self) -> Seen:
        """The store of tokens."""
        found = self._run("prepare", "prepare_rows", self._full_options("whole"))
        if found.get("streamed"):
            raise NotShown("rows are read while training goes on: there is nothing to prepare")
        text = (
            f"{found['train_rows']} rows to train on, {found['eval_rows']} held out; "
            f"{found['tokens']:,} tokens, {found['trained_tokens']:,} of them trained"
        )
        numbers = ("train_rows", "eval_rows", "tokens", "trained_tokens")
        return Seen(text, {name: found[name] for name in numbers})

    def pack(self) -> Seen:
        """Samples of a row apart, as `verify packing` shows it."""
        found = self._run("pack", "prove_packing", self._full_options("whole"))
        lines = dict(line.split(": ", 1) for line in found["lines"])
        numbers = found["numbers"]
        if not numbers.get("documents"):
            raise NotShown(lines.get("rows", "no samples share a row"))
        text = (
            f"{numbers['documents']:.0f} samples, {lines['attention']} attention: logits "
            f"{numbers['logits_share']:.0e}, gradient {numbers['gradient_share']:.0e} apart, "
            f"a changed sample moves others by {numbers['leak_share']:.0e} "
            f"(tolerance {numbers['tolerance']:.0e})"
        )
        if not found["holds"]:
            hint = "train with `sample_packing: false` and `micro_batch_size: 1`"
            raise Failed(f"samples see each other: {text}", hint=hint)
        return Seen(text, numbers)

    def train(self) -> Seen:
        """All steps, without a kill."""
        found = self._run("train", "train", self._full_options("whole"), self.commands.train)
        self._trained = found
        losses = ", ".join("no number" if x is None else f"{x:.4f}" for x in found["losses"])
        held_out = found["eval_loss"]
        text = f"losses {losses}" + (f"; {held_out:.4f} held out" if held_out is not None else "")
        numbers = {f"loss_{i}": x for i, x in enumerate(found["losses"], 1) if x is not None}
        if found["steps"] != STEPS:
            raise Failed(f"it ended after {found['steps']} steps of {STEPS}; {text}")
        if len(numbers) < STEPS:
            raise Failed(text, hint="a lower learning_rate, or another number format")
        return Seen(text, numbers)

    def save(self) -> Seen:
        """What the run has written, held against the base."""
        folders = str(self.scratch / "whole"), str(self.scratch / "base")
        found = self._run("save", "look_at_result", *folders)
        text = (
            f"{found['tensors']} tensors, {found['moved']} of {found['moving']} moved; "
            f"{', '.join(found['checkpoints'] if 'checkpoints' in found else self._trained['checkpoints'])}"
        )
        if found["broken"]:
            raise Failed(
                f"{found['broken'][0]} and {len(found['broken']) - 1} others hold no numbers"
            )
        if not found["moved"]:
            raise Failed(
                f"no weight has changed: {text}", hint="is learning_rate too small for its format?"
            )
        return Seen(text, {name: found[name] for name in ("tensors", "moved")})

    def evaluate(self) -> Seen:
        """The held-out loss of what was written."""
        if not self._held_out:
            raise NotShown("the file holds no rows out: val_set_size is 0")
        said = self._trained["eval_loss"]
        other = self._trained["eval_loss_of"]
        options = self._full_options("whole")
        found = self._run(
            "evaluate", "evaluate", options, self.commands.evaluate, None if other else said
        )
        text = f"{found['loss']:.6f} over {found['trained_tokens']:,} tokens"
        if found["apart"] is None:
            return Seen(f"{text}; the run's is of {other or 'nothing'}", {"loss": found["loss"]})
        text += f", {found['apart']:.0e} from the run's"
        if not found["same"]:
            raise Failed(f"another loss: {text}")
        return Seen(text, {"loss": found["loss"], "apart": found["apart"]})

    def kill(self) -> Seen:
        """The same run again, killed after its first checkpoint."""
        options = self._full_options("killed")
        signal_number = self._run("kill", "train_until_killed", options, SAVED_AT + 1, kill=True)
        folder = self.scratch / "killed"
        left = sorted(path.name for path in folder.glob("checkpoint-*"))
        if left != [f"checkpoint-{SAVED_AT}"] or (folder / "run.json").exists():
            raise Failed(f"it left {', '.join(left) or 'no checkpoint'}")
        return Seen(f"died of signal {signal_number}; left {left[0]}", {"signal": signal_number})

    def resume(self) -> Seen:
        """Going on from there, held against the run without a kill."""
        options = self._full_options("killed") | {"auto_resume_from_checkpoints": True}
        found = self._run("resume", "train", options, self.commands.train)
        if found["steps"] != STEPS:
            raise Failed(f"it ended at step {found['steps']}")
        folders = str(self.scratch / "whole"), str(self.scratch / "killed")
        same = self._run("compare", "compare_runs", *folders)
        if same["different"]:
            count = len(same["different"])
            raise Failed(
                f"{count} of {same['tensors']} tensors differ, first {same['different'][0]}"
            )
        if not same["same_lines"]:
            raise Failed("the weights are the same, but logged losses differ")
        text = f"{same['tensors']} tensors and {same['lines']} logged lines are the same to the bit"
        return Seen(text, {"tensors": same["tensors"]})

    def merge(self) -> Seen:
        """The merge of adapter and base."""
        if self.config.adapter.adapter is None:
            raise NotShown("the file trains all weights: there is no adapter")
        if self.config.adapter.adapter == "llama-adapter":
            raise NotShown("a llama-adapter cannot be merged")
        if self.config.relora.relora_steps:
            raise NotShown("ReLoRA has merged its adapter by itself: the result is a whole model")
        found = self._run("merge", "merge", self._full_options("whole"), self.commands.merge)
        text = (
            f"{found['dtype']}, loaded again: {found['relative']:.0e} of the largest logit apart, "
            f"same next token at {found['agreeing']} of {found['positions']} positions"
        )
        return Seen(text, {name: found[name] for name in ("largest", "relative", "agreeing")})

    def answer(self) -> Seen:
        """One question."""
        options = self._full_options("whole")
        found = self._run("answer", "answer", options, self.commands.generate, QUESTION)
        said = found["answer"]
        return Seen(f"{len(said)} characters; what random weights say means nothing", {})

    def _run(self, name: str, body: str, *arguments: Any, kill: bool = False) -> Any:
        ended = self.workers.run(name, body, *arguments, kill=kill)
        if ended.failed:
            raise self._as_failed(ended)
        return ended.value

    def _as_failed(self, ended: Ended) -> Failed:
        where = self.in_file(ended.where)
        what = self._real_names(ended.what)
        return Failed(
            f"{where}: {what}" if where else what,
            hint=self._real_names(ended.hint),
            mendable=ended.mendable,
        )

    def in_file(self, where: str | None) -> str:
        """A place as the user knows it: an option with its line, a data set by its own name."""
        from axolotl.config import options

        if not where:
            return ""
        place = where.removeprefix("argument: ")
        if place.partition(".")[0] in options():
            origin = self.config.origin(place)
            return place if origin == "default" else f"{origin}: {place}"
        return "" if where == "argument" else self._real_names(where)

    def _real_names(self, text: str) -> str:
        """A text with the data sets' own names in the place of the files of the rehearsal."""
        for one in self.said:
            number = one.key.removesuffix(".path").replace(".", "-")
            number = number.replace("pretraining_dataset", "pretraining")
            text = text.replace(str(self.scratch / "data" / f"{number}.jsonl"), one.was)
        return text.replace(str(self.scratch / "base"), self.config.model.base_model)
