"""A chat template at work: a conversation becomes text, and each turn has its place in it.

A conversation is rendered once. Loops of the template tell which message they have come to by marks
in the text, which are taken out again; so the place of a turn does not depend on what it says. Where
a template goes through the messages in another way, the places are found by rendering the
conversation turn by turn, which is slow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from axolotl.errors import ConfigError, DataError
from axolotl.templates.places import Message, Rendered, in_order, spans_by_marks, spans_by_turns

if TYPE_CHECKING:
    from jinja2 import Template

_DAY = "strftime_now"
_FAILURES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class ChatTemplate:
    """A compiled chat template.

    Args:
        template: The compiled template, with marks.
        looks_ahead: Whether it may write a turn otherwise when others follow.
        captured: Loops whose text it may still change.
    """

    def __init__(self, template: Template, *, looks_ahead: bool, captured: frozenset[int]) -> None:
        self.looks_ahead = looks_ahead
        self._template = template
        self._captured = captured
        self._by_marks = True

    def follow_turn_by_turn(self) -> None:
        """Find turns without marks from now on, because those are in the wrong places."""
        self._by_marks = False

    def render(
        self,
        messages: Sequence[Message],
        variables: Mapping[str, Any],
        *,
        tools: Sequence[Any] | None = None,
        prompt: bool = False,
    ) -> str:
        """The text of a conversation.

        Args:
            messages: The turns.
            variables: What the template may read besides.
            tools: The tools that it is told of.
            prompt: Whether what stands before the next answer is added.

        Raises:
            DataError: the template refuses the conversation or fails on it.
        """
        return self._render(messages, variables, tools=tools, prompt=prompt, marks=None)

    def place(
        self,
        messages: Sequence[Message],
        variables: Mapping[str, Any],
        *,
        tools: Sequence[Any] | None = None,
        prompt: bool = False,
    ) -> Rendered:
        """The text of a conversation, and where each turn stands.

        Args:
            messages: The turns.
            variables: What the template may read besides.
            tools: The tools that it is told of.
            prompt: Whether what stands before the next answer is added.

        Raises:
            DataError: the template refuses the conversation, fails on it, or cannot be followed.
        """
        placed = None
        if self._by_marks:
            placed = self.place_by_marks(messages, variables, tools=tools, prompt=prompt)
        return placed or self._turn_by_turn(messages, variables, tools, prompt=prompt)

    def place_by_marks(
        self,
        messages: Sequence[Message],
        variables: Mapping[str, Any],
        *,
        tools: Sequence[Any] | None = None,
        prompt: bool = False,
    ) -> Rendered | None:
        """As `place`, in one rendering; None where the marks do not say it."""
        from axolotl.templates.environment import MARK, Marks

        marks = Marks(messages)
        marked = self._render(messages, variables, tools=tools, prompt=prompt, marks=marks)
        pieces = marked.split(MARK)
        if not in_order(pieces, len(marks.set)):
            return None
        texts = pieces[::2]
        spans = spans_by_marks(texts, marks.set, messages)
        if spans is None:
            return None
        text = "".join(texts)
        if self._captured and any(loop in self._captured for loop, _ in marks.set):
            plain = self.render(messages, variables, tools=tools, prompt=prompt)
            if plain != text:
                return None
        return Rendered(text, spans)

    def _turn_by_turn(
        self,
        messages: Sequence[Message],
        variables: Mapping[str, Any],
        tools: Sequence[Any] | None,
        *,
        prompt: bool,
    ) -> Rendered:
        def render(some: Sequence[Message], *, prompt: bool) -> str:
            return self.render(some, variables, tools=tools, prompt=prompt)

        text = render(messages, prompt=prompt)
        eos = str(variables.get("eos_token") or "")
        return Rendered(text, spans_by_turns(render, messages, text, eos=eos))

    def _render(
        self,
        messages: Sequence[Message],
        variables: Mapping[str, Any],
        *,
        tools: Sequence[Any] | None,
        prompt: bool,
        marks: Any,
    ) -> str:
        from jinja2.exceptions import SecurityError, TemplateError, UndefinedError

        from axolotl.templates.environment import DAY, MARKS

        given = {
            "documents": None,
            **variables,
            "messages": messages,
            "tools": tools,
            "add_generation_prompt": prompt,
            MARKS: marks,
        }
        if _DAY in given:
            given[DAY] = str(given.pop(_DAY))
        template = self._template
        try:
            return "".join(template.root_render_func(template.new_context(given)))
        except SecurityError as error:
            raise DataError(
                f"the chat template does what no template may: {error}",
                hint="choose another chat_template, or mend chat_template_jinja",
            ) from error
        except (UndefinedError, *_FAILURES) as error:
            raise DataError(
                f"the chat template fails on it: {type(error).__name__}: {error}",
                hint=_way_out(messages, tools),
            ) from error
        except TemplateError as error:
            raise DataError(
                f"the chat template refuses it: {error.message or type(error).__name__}",
                hint="mend the row, or choose a chat_template that takes it",
            ) from error
        except RecursionError as error:
            raise DataError(
                "the chat template goes in circles, or the row is nested too deeply",
                hint="mend chat_template_jinja, or take the row out",
            ) from error


@lru_cache(maxsize=32)
def compile_template(text: str) -> ChatTemplate:
    """Compile a chat template.

    Args:
        text: Its Jinja text.

    Raises:
        ConfigError: it is no Jinja, or too deeply nested; the key is `chat_template_jinja`.
    """
    from jinja2 import Template, TemplateSyntaxError

    from axolotl.templates.environment import chat_environment, set_marks
    from axolotl.templates.lookahead import looks_ahead

    environment = chat_environment()
    try:
        tree = environment.parse(text)
        ahead = looks_ahead(tree)
        captured = set_marks(tree).copy()
        tree.set_environment(environment)
        code = environment.compile(tree, filename="<chat template>")
    except TemplateSyntaxError as error:
        raise ConfigError(
            "chat_template_jinja",
            f"line {error.lineno} of the chat template: {error.message}",
            hint="mend the template, or choose another chat_template",
        ) from error
    except (RecursionError, SyntaxError) as error:
        raise ConfigError(
            "chat_template_jinja", f"the chat template cannot be compiled: {error}"
        ) from error
    made = Template.from_code(environment, code, environment.make_globals(None))
    return ChatTemplate(made, looks_ahead=ahead, captured=captured)


def common_start(first: str, second: str) -> int:
    """How many characters two texts have in common at their beginning."""
    if first.startswith(second):
        return len(second)
    pairs = enumerate(zip(first, second, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(first), len(second)))


def _way_out(messages: Sequence[Message], tools: Sequence[Any] | None) -> str:
    """What to do about a conversation on which a template fails."""
    silent = [n for n, message in enumerate(messages, 1) if message.get("content") is None]
    if silent or tools:
        what = f"turn {silent[0]} calls tools and says nothing" if silent else "the row has tools"
        return f"{what}; choose a chat_template that has a form for that, such as qwen_25 or qwen3"
    return "mend the row, or choose a chat_template that takes it"
