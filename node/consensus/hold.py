"""The hold: a council's halt where no sound block can carry it (RECOVERY, Halt).

It lies outside of the state, in a file of the data directory that is fsynced before anybody is
told, and the node obeys it: a sequencer seals nothing, a validator signs nothing. A restart does
not lift it; only a fork or a resume does. The file holds the very action, so that anybody can check
who signed.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from node.chain.crash import crash_point
from node.chain.durable import sync_directory, write_durably
from node.crypto import keccak256
from node.errors import OperatorError
from node.units import Hash32, Height

FILE = "hold"
_TITLE = "perpnode hold 1"


class Held(NamedTuple):
    """Why a node stands still."""

    digest: Hash32
    """What the council signed."""
    fork_id: int
    """The branch that stands."""
    height: Height
    """The head when the hold was laid."""
    submission: bytes
    """The action and its signatures: calldata of Governance."""

    def text(self) -> str:
        """Return one sentence for people."""
        return (
            f"held by the council at block {self.height} (halt 0x{self.digest.hex()}): "
            "a fork or a resume ends it"
        )


class Hold:
    """The hold of one node; without a path it lives in memory, for tests and tools."""

    def __init__(self, path: Path | None = None) -> None:
        """Open the file, if there is one; OperatorError unless it is whole."""
        self._path = path
        self.current = None if path is None else _load(path)
        """The hold in force, None if there is none."""

    def lay(self, held: Held) -> None:
        """Stand still from now on; on disk when this returns. A hold that is laid stays."""
        if self.current is not None:
            return
        crash_point("hold: before the file")
        if self._path is not None:
            write_durably(self._path, _render(held).encode("ascii"))
        crash_point("hold: after the file")
        self.current = held

    def lift(self) -> None:
        """Go on: a fork or a resume says so. Nothing happens if there is no hold."""
        if self.current is None:
            return
        if self._path is not None:
            self._path.unlink()
            sync_directory(self._path.parent)
        self.current = None


def _load(path: Path) -> Held | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OperatorError(f"{path}: can't be read ({error.strerror}): mend that first") from None
    try:
        fields = dict(line.split(" ", 1) for line in data.decode("ascii").splitlines()[1:])
        held = Held(
            Hash32(bytes.fromhex(fields["digest"][2:])),
            int(fields["fork_id"]),
            Height(int(fields["height"])),
            bytes.fromhex(fields["submission"][2:]),
        )
    except (ValueError, KeyError):
        raise _damaged(path) from None
    if _render(held).encode("ascii") != data:
        raise _damaged(path)
    return held


def _damaged(path: Path) -> OperatorError:
    return OperatorError(
        f"{path}: is damaged: the council's hold can't be read, and must not be forgotten: "
        "restore the file from another node's, or delete it if the council ended the hold"
    )


def _render(held: Held) -> str:
    """Return the file's one form; its last line is the hash of all before."""
    body = (
        f"{_TITLE}\n"
        f"digest 0x{held.digest.hex()}\n"
        f"fork_id {held.fork_id}\n"
        f"height {held.height}\n"
        f"submission 0x{held.submission.hex()}\n"
    )
    return f"{body}check 0x{keccak256(body.encode('ascii')).hex()}\n"
