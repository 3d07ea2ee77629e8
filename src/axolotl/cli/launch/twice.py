"""A second Ctrl-C, or SIGTERM, to a launcher ends it at once, and its processes with it.

torchrun waits for them after each signal anew. It may even wait for a store where Python handles no
signal: so a thread counts them.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from axolotl.cli.launch.children import end_children

_COUNTED = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def ending_at_second_signal(folder: Path) -> Iterator[None]:
    """End this process and its children when a signal comes for the second time.

    A Ctrl-C before torchrun takes it over, while it waits for other machines, is enough by itself.

    Args:
        folder: Removed then.
    """
    comes, goes = socket.socketpair()
    goes.setblocking(False)
    before = signal.set_wakeup_fd(goes.fileno(), warn_on_full_buffer=False)

    def count() -> None:
        seen = set[int]()
        while got := comes.recv(1):
            begun = signal.getsignal(got[0]) is not signal.default_int_handler
            if got[0] in seen or not begun:
                shutil.rmtree(folder, ignore_errors=True)
                end_children()
                sys.stderr.write("interrupted\n")
                sys.stderr.flush()
                os._exit(128 + got[0])
            seen |= {got[0]} & {*_COUNTED}
        comes.close()

    counter = threading.Thread(target=count, name="second signal", daemon=True)
    counter.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        goes.close()
        counter.join()  # it may be about to end all, which is why the body came to its end
