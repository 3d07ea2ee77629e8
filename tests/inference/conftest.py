"""Options of a tiny training, for what must have been learned."""

from tests.flows.conftest import tiny_options

__all__ = ["tiny_options"]
