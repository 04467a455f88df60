"""Named points at which a test can kill the process; never active by default (RECOVERY).

    PERPNODE_CRASH_AT="block: after the batch#3"

kills the process, as `kill -9` would, at the third time it comes by that point.
"""

import os
import signal

_NAME, _, _COUNT = os.environ.get("PERPNODE_CRASH_AT", "").partition("#")
_left = {_NAME: int(_COUNT or 1)} if _NAME else {}


def crash_point(name: str) -> None:
    """Die here if the environment names this point."""
    if _left and name in _left:
        _left[name] -= 1
        if _left[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
