"""Base models that GPTQ quantised: read, held as they are, multiplied with, and made whole again."""

from axolotl.models.gptq.layer import unpack_head
from axolotl.models.gptq.load import open_gptq

__all__ = ["open_gptq", "unpack_head"]
