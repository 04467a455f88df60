"""Files that are written whole or not at all, and are on disk when the call returns."""

import os
from pathlib import Path

TEMPORARY_SUFFIX = ".new"
"""What a crash leaves beside a file: it counts for nothing."""


def write_durably(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Replace a file's contents: temporary file, fsync, rename, fsync of the directory."""
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
