"""How the processes of a run leave: all at the same time, when the first one has written and sent.

A launcher that sees one end counts the minutes until the others do. Where the first process keeps the
store, it stays until all have read that it is through. Only then may the process group be taken down:
some of its libraries do that together, and would wait for whoever is gone.
"""

from __future__ import annotations

import atexit
import threading
import time

import torch.distributed as dist

from axolotl.training.ranks.post import Post
from axolotl.training.ranks.pulse import Pulse

THROUGH = "through"
"""Name of the message that the first process has nothing more to do."""
LEAVES_S = 30.0
"""How long the first process stays for the others to read it."""
_POLL_S = 0.2


def let_go(post: Post, pulse: Pulse) -> list[int]:
    """Tell all others that the first process is through, and wait until they leave.

    Args:
        post: Of the first process.
        pulse: Knows who has gone meanwhile; nobody waits for those.

    Returns:
        Those who have gone, or do not read it.
    """
    missing = set(post.place.others)

    def tell() -> None:
        until = time.monotonic() + LEAVES_S
        try:
            post.put(THROUGH, {"gone": sorted(pulse.left)})
            while (waits := missing - pulse.left) and time.monotonic() < until:
                missing.difference_update(post.get_all("end", sorted(waits)))
                time.sleep(_POLL_S)
        except RuntimeError:
            return  # the store has gone, and those that read it

    # Of a store that is lost with its machine there may be no answer, and all is written.
    last = threading.Thread(target=tell, name="leaving", daemon=True)
    last.start()
    last.join(LEAVES_S)
    return sorted(missing | pulse.left)


def leave_group_at_exit() -> None:
    """Take the process group down when this process ends, which NCCL asks for; all are there.

    Not earlier: the process may train again, and a group cannot be joined twice.
    """
    atexit.register(_leave_group)


def stay_in_group() -> None:
    """Take back what a former run of this process has asked for: this one may fail."""
    atexit.unregister(_leave_group)


def _leave_group() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
