"""Who may speak to this node, and who may do more than read (DESIGN section 10).

Loopback is not a boundary: any web page can post to 127.0.0.1, or rebind a name of its own to it.
So the Host must be one that only this machine has, and an Origin that is neither of this machine
nor allowed by the operator may read and send signed transactions, nothing else.
"""

from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

FOREIGN_ORIGIN = "not allowed from this origin"
EXPOSED = "not allowed: this node listens beyond loopback"


def is_loopback(name: str) -> bool:
    """Tell whether a host name or address literal is this machine's."""
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


class Policy(NamedTuple):
    """What the operator allows."""

    bind_host: str
    host_names: frozenset[str] = frozenset()
    """Names besides loopback ones that may stand in Host (`--host-name`), in lower case."""
    origins: frozenset[str] = frozenset()
    """Origins trusted like loopback ones (`--allow-origin`), in lower case; "*" is all."""

    def is_allowed_host(self, header: str | None) -> bool:
        """Tell whether a Host header names this machine; one that is missing does not."""
        name = _host_name("//" + header) if header else None
        if name is None:
            return False
        return is_loopback(name) or name in self.host_names or name == self.bind_host

    def find_refusal(self, origin: str | None) -> str | None:
        """Return why guarded methods are refused to this origin, None if they are not."""
        if not is_loopback(self.bind_host):
            return EXPOSED
        if origin is None or "*" in self.origins or origin.lower() in self.origins:
            return None
        name = _host_name(origin)
        return None if name is not None and is_loopback(name) else FOREIGN_ORIGIN


def _host_name(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        if parts.username is not None or parts.path or parts.query or parts.fragment:
            return None
        _ = parts.port  # raises when it is no number
        return parts.hostname
    except ValueError:
        return None
