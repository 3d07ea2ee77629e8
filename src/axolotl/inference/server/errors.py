"""What a client is told that asked for something that cannot be, in the form that OpenAI uses."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """A request that is not answered as asked.

    Args:
        status: The HTTP status.
        message: What is wrong, and the way out.
        param: The parameter that is at fault.
        code: Short name of the fault, for programs.
        retry_s: Seconds after which asking again is worth it.
        allow: The methods that the path takes.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_s: int | None = None,
        allow: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.retry_s = retry_s
        self.allow = allow

    def body(self) -> dict[str, Any]:
        """The JSON object."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        kind = "authentication_error" if self.status == 401 else kind
        return {
            "error": {
                "message": self.message,
                "type": kind,
                "param": self.param,
                "code": self.code,
            }
        }

    def headers(self) -> dict[str, str]:
        """Headers that go with it."""
        found = {} if self.retry_s is None else {"Retry-After": str(self.retry_s)}
        found |= {} if self.allow is None else {"Allow": self.allow}
        return found | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})
