"""What a client is told that asked a path that is none, or in another way than it takes."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route

from axolotl.inference.server.errors import ApiError


def path_error(request: Request, error: HTTPException) -> ApiError:
    """Say which paths there are, or how this one is asked.

    Args:
        request: What was asked.
        error: What the router says of it.
    """
    path = request.url.path
    if error.status_code == 404:
        routes = [route for route in request.app.routes if isinstance(route, Route)]
        there = [f"{_method(route)} {route.path}" for route in routes if "{" not in route.path]
        what = f"there is no path '{path}' here; there are {', '.join(there)}"
        return ApiError(404, what, code="unknown_path")
    allow = (error.headers or {}).get("Allow")
    if error.status_code == 405 and allow:
        takes = " and ".join(sorted(allow.split(", ")))
        what = f"'{path}' takes {takes}, not {request.method}"
        return ApiError(405, what, code="method_not_allowed", allow=allow)
    return ApiError(error.status_code, str(error.detail))


def _method(route: Route) -> str:
    return "POST" if "POST" in (route.methods or ()) else "GET"
