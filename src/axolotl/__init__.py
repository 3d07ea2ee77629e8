"""Fine-tuning of causal language models from one YAML file.

The names below are loaded on first use, so that `import axolotl` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from axolotl.api import (
        evaluate as evaluate,
    )
    from axolotl.api import (
        generate as generate,
    )
    from axolotl.api import (
        load_config as load_config,
    )
    from axolotl.api import (
        load_model as load_model,
    )
    from axolotl.api import (
        load_tokenizer as load_tokenizer,
    )
    from axolotl.api import (
        merge as merge,
    )
    from axolotl.api import (
        prepare as prepare,
    )
    from axolotl.api import (
        train as train,
    )

__version__ = "0.1.0"
__all__ = [
    "evaluate",
    "generate",
    "load_config",
    "load_model",
    "load_tokenizer",
    "merge",
    "prepare",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'axolotl' has no attribute '{name}'")
    from axolotl import api

    return getattr(api, name)
