"""Take the port, or say who has it."""

import errno
import socket
from pathlib import Path

from node.errors import OperatorError, PortInUse

BACKLOG = 2_048
_LISTEN = "0A"
"""The state of a listening socket in /proc/net/tcp."""


def listen(host: str, port: int, *, flag: str = "--port") -> socket.socket:
    """Return a socket that listens on host and port (0: any free one).

    `flag` is how the operator chooses another.
    Raise PortInUse naming the owner, OperatorError for an address that is none of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise OperatorError(f"can't listen on {host}: {error.strerror or error}") from None
    server = socket.socket(family, kind, protocol)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen(BACKLOG)
    except OSError as error:
        server.close()
        if error.errno != errno.EADDRINUSE:
            raise OperatorError(f"can't listen on {host}:{port}: {error.strerror}") from None
        raise PortInUse(
            f"port {port} on {host} is in use by {find_owner(port)}; "
            f"end that process or choose another port with {flag}"
        ) from None
    server.setblocking(False)
    return server


def find_owner(port: int, proc: Path = Path("/proc")) -> str:
    """Name the process that listens on a TCP port, as far as the system tells."""
    inodes = _listening_inodes(port, proc)
    targets = {f"socket:[{inode}]" for inode in inodes}
    for directory in sorted(proc.glob("[0-9]*")):
        if targets and _holds(directory, targets):
            return f"{_command(directory)} (process {directory.name})"
    return "another process"


def _listening_inodes(port: int, proc: Path) -> set[str]:
    inodes: set[str] = set()
    for table in ("net/tcp", "net/tcp6"):
        try:
            rows = (proc / table).read_text().splitlines()[1:]
        except OSError:
            continue  # no such table on this system
        for row in rows:
            fields = row.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes


def _holds(directory: Path, targets: set[str]) -> bool:
    try:
        return any(str(link.readlink()) in targets for link in (directory / "fd").iterdir())
    except OSError:
        return False  # another user's process, or one that ended meanwhile


def _command(directory: Path) -> str:
    try:
        words = (directory / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "a process"
    return b" ".join(words).decode(errors="replace").strip()[:120] or "a process"
