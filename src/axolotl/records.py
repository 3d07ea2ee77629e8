"""Frozen records that cross packages. Plain data, no behaviour beyond checking itself.

Shapes: T tokens of one flattened row, D documents (samples) in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from signal import Signals

    import numpy as np

IGNORE_INDEX = -100
"""Label of a token without loss; the value that torch's cross entropy skips."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of text whose tokens are trained, or not.

    Args:
        text: The text; may be empty.
        train: Whether its tokens carry a label.
        bos: Let the tokenizer put its begin token in front, where it is one that does so and the
            text does not begin with it already.
        eos: How many end tokens it ends with; those that the text ends with count.
        joined: Tokenized in one call with the segment before it, instead of alone. A token belongs
            to the segment in which it begins.
    """

    text: str
    train: bool
    bos: bool = False
    eos: int = 0
    joined: bool = False


@dataclass(frozen=True, slots=True)
class TokenizerFacts:
    """What a format may know of the tokenizer.

    Args:
        chat_template: Its chat template; None where it has none.
        special_tokens: Name → text, such as `bos_token` and `eos_token`; those it has.
        control_tokens: The texts of all tokens that steer the model and are not text.
        whole_tokens: The texts that are one token wherever they stand, those among them; None where
            that is not known.
    """

    chat_template: str | None
    special_tokens: Mapping[str, str]
    control_tokens: frozenset[str]
    whole_tokens: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One tokenized sample.

    Args:
        input_ids: int32, shape (T,).
        labels: int32, shape (T,); `IGNORE_INDEX` where nothing is trained.
        source: File and number of the row that it comes from, where that is known.
    """

    input_ids: np.ndarray
    labels: np.ndarray
    source: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """One flattened row: documents one after the other, no attention mask, no padding between them.

    Args:
        input_ids: int64, shape (T,).
        position_ids: int64, shape (T,); restarts at 0 for every document.
        labels: int64, shape (T,); the first label of each document is `IGNORE_INDEX`, because it
            would be predicted from the document before.
        documents: Number of documents, D.
    """

    input_ids: np.ndarray
    position_ids: np.ndarray
    labels: np.ndarray
    documents: int


@dataclass(frozen=True, slots=True)
class Edit:
    """One change to a configuration file.

    Args:
        action: `remove` the key; `rename` it, where it stands, to the key `value`; `set` it to
            `value`, adding it behind the last key of its mapping where it is not written.
        key: Dotted path of the key, such as `datasets.0.type`.
        value: The new name (a dotted path) or the new value (plain Python data).
    """

    action: Literal["remove", "rename", "set"]
    key: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check of the configuration has to say.

    Args:
        level: `error`, `warning` or `info`.
        rule: Short identifier of the rule.
        key: The key it is about.
        where: Where that key was written.
        message: What is the matter.
        hint: The way out.
        fix: The way out as changes to the file that keep what it means; empty where only the user
            can know, or where it depends on the machine.
    """

    level: str
    rule: str
    key: str
    where: str
    message: str
    hint: str = ""
    fix: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a training run came to.

    Args:
        output_dir: Folder with the model or adapter, the tokenizer and `run.json`.
        steps: Optimizer steps done, counted from the beginning of the training.
        train_loss: Mean loss over the trained tokens of the whole run, nats per token.
        eval_loss: The same on the evaluation set after the last step; None without one.
        interrupted: Whether the run was stopped before its last step.
        metrics: Further figures: seconds, tokens per second, peak memory in bytes.
        stopped_by: The signal by which it was stopped.
    """

    output_dir: Path
    steps: int
    train_loss: float
    eval_loss: float | None
    interrupted: bool = False
    metrics: Mapping[str, Any] = field(default_factory=dict)
    stopped_by: Signals | None = None
