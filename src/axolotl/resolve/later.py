"""Names of plug-ins that users know from elsewhere and that this version does not have yet.

A name leaves its list when a file of that name comes; a test checks that.
"""

from __future__ import annotations

import re

LATER_TYPES = frozenset(
    [
        "stepwise_supervised",
    ]
)
LATER_ATTENTION = frozenset(
    [
        "paged_attention",
        "sage",
    ]
)


def is_later(name: str, names: frozenset[str]) -> bool:
    """Whether the name, without what stands behind a colon or point, is one for later."""
    return re.split(r"[.:]", name, maxsplit=1)[0] in names
