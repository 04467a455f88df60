"""Files that an operator names, opened safely: a pipe would hang, a device would never end."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

DOCUMENT_MAX = 64 * 1024 * 1024
"""Bytes of a document that is read whole."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; OSError for whatever else the path is, without waiting."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return open(descriptor, "rb")


def read_regular(path: Path, size_max: int = DOCUMENT_MAX) -> bytes:
    """Return a regular file's content; OSError if it is none, or longer than `size_max` bytes."""
    with open_regular(path) as file:
        data = file.read(size_max + 1)
    if len(data) > size_max:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data
