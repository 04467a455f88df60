"""What operators' tools read over plain HTTP: `GET /health` and `GET /metrics`.

Health has words of its own for what looks alike from outside: a chain that its council halted and
one that is being rewound are well, a node that is behind or that stopped by itself is not.
"""

from __future__ import annotations

from typing import Final

import orjson

from node.consensus.core import Core, Status
from node.consensus.phase import OPEN, STOPPED, SYNCING
from node.perp.status import Mode
from node.rpc.backend import FrontCounts, Page
from node.rpc.metrics import CONTENT_TYPE, Metrics

HEALTH: Final = "/health"
METRICS: Final = "/metrics"

READY: Final = "ready"
"""Blocks are made, or followed, and transactions taken."""
HALTED: Final = "halted"
"""The council halted the chain; reads go on."""


async def get_page(core: Core, metrics: Metrics, path: str, counts: FrontCounts) -> Page | None:
    """Return the page under a path, None if there is none."""
    if path == HEALTH:
        return render_health(core)
    if path == METRICS:
        body = await metrics.render(
            kept_answers=counts.kept_answers, connections=counts.connections
        )
        return Page(200, CONTENT_TYPE, body)
    return None


def render_health(core: Core) -> Page:
    """Return how the node is in one word, with HTTP status 503 where somebody should look."""
    status = core.status()
    word = name_health(status, is_held=core.hold() is not None)
    answer = {
        "status": word,
        "reason": status.reason,
        "blockNumber": status.latest,
        "safe": status.safe,
        "finalized": status.finalized,
        "forkId": status.fork_id,
    }
    code = 503 if word in (SYNCING, STOPPED) else 200
    return Page(code, b"application/json", orjson.dumps(answer) + b"\n")


def name_health(status: Status, *, is_held: bool) -> str:
    """Return "ready", "halted", or the phase: "syncing", "lagging", "forking", "stopped" …"""
    if is_held or (status.phase == OPEN and status.mode == Mode.HALTED):
        return HALTED
    return READY if status.phase == OPEN else status.phase
