"""How a child process learns that its parent is gone: its standard input ends.

The parent holds the other end of the pipe and never writes to it again; whatever ends the parent,
kill -9 included, closes it. That needs no signal, no polling and no Linux.
"""

import os
import signal
import sys
import threading


def end_with_parent() -> None:
    """Send this process SIGTERM once standard input ends."""
    threading.Thread(target=_wait_for_end, name="lifeline", daemon=True).start()


def _wait_for_end() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
