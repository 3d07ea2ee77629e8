"""What the page for inference asks: the model and its base, for each open page by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

from axolotl.errors import AxolotlError
from axolotl.inference.chat import Conversation
from axolotl.inference.options import GenerationOptions

if TYPE_CHECKING:
    from axolotl.inference.generate import Generator as Answering
    from axolotl.inference.prompt import Prompt

Side = Literal["trained", "base"]
SIDES: tuple[Side, Side] = ("trained", "base")


class Answerer:
    """What the page asks: the model, and its base.

    Args:
        trained: What was trained.
        open_base: Loads the base model where it does not lie under an adapter; it is called when
            somebody first asks it. None where there is none to compare with.
    """

    def __init__(self, trained: Answering, open_base: Callable[[], Answering] | None) -> None:
        self.trained = trained
        self._open_base = open_base
        self._base: Answering | None = None
        self._one_at_a_time = threading.Lock()

    @property
    def compares(self) -> bool:
        """Whether the base model can be asked as well."""
        return self.trained.has_adapter or self._open_base is not None

    @property
    def follows(self) -> bool:
        """Whether a question follows those before it."""
        return self.trained.bound is not None and self.trained.bound.talks

    def stream(
        self, prompt: Prompt, options: GenerationOptions, *, side: Side, stop: threading.Event
    ) -> Generator[str]:
        """The answer of one side, in pieces, until it is told to stop.

        Args:
            prompt: What is asked.
            options: How the answer is chosen.
            side: Who answers.
            stop: Ends the answer once it is set.

        Raises:
            DataError: it cannot be asked.
        """
        with self._one_at_a_time:
            model, base = self._of(side)
            with closing(model.stream(prompt, options=options, base=base)) as pieces:
                for piece in pieces:
                    yield piece
                    if stop.is_set():
                        return

    def why_cut(self, side: Side) -> str:
        """How the last answer of a side was cut, in words; empty where it was not."""
        return self._of(side)[0].why_cut

    def _of(self, side: Side) -> tuple[Answering, bool]:
        if side == "trained" or self.trained.has_adapter:
            return self.trained, side == "base"
        if self._base is None:
            assert self._open_base is not None, "the page offers no base model then"
            self._base = self._open_base()
            self._base.bound = self.trained.bound  # both are asked the same text
        return self._base, False


class Session:
    """What one open page has asked so far; a new one for each.

    Args:
        answerer: What it asks.
    """

    def __init__(self, answerer: Answerer) -> None:
        self.stop = threading.Event()
        self.shown: dict[Side, list[dict[str, str]]] = {side: [] for side in SIDES}
        self._answerer = answerer
        self._options = answerer.trained.options
        self._system = ""
        self._talks = {side: self._conversation(side) for side in SIDES}

    def __deepcopy__(self, memo: object) -> Session:
        """A session of its own for a page that is opened anew."""
        return Session(self._answerer)

    def begin_anew(self, system: str = "") -> None:
        """Forget what was said.

        Args:
            system: The system text to begin with.
        """
        self._system = system
        for side in SIDES:
            self.shown[side] = []
            self._talks[side].reset(system)

    def ask(
        self, text: str, options: GenerationOptions, *, system: str, both: bool
    ) -> Iterator[str]:
        """Ask one side or both, one after the other; `shown` changes as the answers come.

        Args:
            text: The question.
            options: How answers are chosen.
            system: The system text; another one than before begins anew.
            both: Whether the base model answers too.

        Yields:
            What there is to say besides, at the end; empty until then.
        """
        self.stop.clear()
        self._options = options
        if system != self._system:
            self.begin_anew(system)
        said = ""
        for side in SIDES if both else SIDES[:1]:
            shown = self.shown[side]  # `begin_anew` leaves this list and shows another
            question = {"role": "user", "content": text}
            answer = {"role": "assistant", "content": ""}
            shown += [question, answer]
            try:
                with closing(self._talks[side].ask(text)) as pieces:
                    for piece in pieces:
                        answer["content"] += piece
                        yield said
            except AxolotlError as error:
                del shown[-2:]
                said = str(error)
                yield said
                return
            if self.stop.is_set():
                yield "stopped"
                return
            if cut := self._answerer.why_cut(side):
                said = cut
            elif not answer["content"]:
                said = "an answer is empty: the model ended it at once"
        yield said

    def _conversation(self, side: Side) -> Conversation:
        def stream(prompt: Prompt) -> Generator[str]:
            return self._answerer.stream(prompt, self._options, side=side, stop=self.stop)

        return Conversation(stream, follows=self._answerer.follows)


def options_of(values: Mapping[str, Any], usual: GenerationOptions) -> GenerationOptions:
    """Generation options from what the page's controls say.

    Args:
        values: Name of an option → its value; `stop` is one text a line.
        usual: Where a control is empty.

    Raises:
        ConfigError: a value that cannot be.
    """
    given = {name: value for name, value in values.items() if value is not None}
    for name in ("max_new_tokens", "top_k", "seed"):
        if name in given:
            given[name] = int(given[name])
    given["stop"] = tuple(line for line in str(given.get("stop", "")).split("\n") if line)
    fields = {name: getattr(usual, name) for name in GenerationOptions.__dataclass_fields__}
    return GenerationOptions.of(**{**fields, **given})
