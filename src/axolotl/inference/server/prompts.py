"""From the messages of a conversation to the segments of a prompt, in the format of the training."""

from __future__ import annotations

from collections.abc import Sequence

from axolotl.errors import AxolotlError
from axolotl.formats import BoundFormat
from axolotl.inference.server.bodies import Message
from axolotl.inference.server.errors import ApiError
from axolotl.records import Segment


def text_segments(text: str) -> list[Segment]:
    """A text to go on from, as it is."""
    return [Segment(text, False, bos=True)]


def chat_segments(messages: Sequence[Message], bound: BoundFormat | None) -> list[Segment]:
    """The segments that stand before the next answer; none is trained.

    Args:
        messages: The turns, the last from the user.
        bound: The format; None for plain text.

    Raises:
        ApiError: the format cannot write this conversation.
    """
    if bound is None:
        if [message.role for message in messages] != ["user"]:
            raise ApiError(
                400,
                "this model is asked in plain text: send one message, of the role user",
                param="messages",
            )
        return text_segments(messages[0].text)
    try:
        return bound.conversation([_plain(message) for message in messages])
    except AxolotlError as error:
        raise ApiError(400, told(error), param="messages") from error


def told(error: AxolotlError) -> str:
    """An error in one line."""
    return f"{error.what} ({error.hint})" if error.hint else error.what


def _plain(message: Message) -> dict[str, str]:
    """The message with the newer name of the system role as templates know it."""
    role = "system" if message.role == "developer" else message.role
    return {"role": role, "content": message.text}
