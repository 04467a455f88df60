"""This node's own settings, and the wall clock. Nothing here is consensus.

What two nodes of one chain may set differently is here: ports, paths, pace. What they must agree
on stands in genesis (`node.chain.genesis`).
"""

import time
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from node.units import DurationMs, TimeMs


class Role(StrEnum):
    """What a node process does."""

    SEQUENCER = "sequencer"
    """Orders transactions and seals blocks."""
    VALIDATOR = "validator"
    """Recomputes the sequencer's blocks and attests them."""
    ARCHIVE = "archive"
    """Recomputes the sequencer's blocks; has no key, signs nothing."""


class LogFormat(StrEnum):
    """How a line of the log is written."""

    TEXT = "text"
    """For people: time, level, event, key=value."""
    JSON = "json"
    """For machines: one object a line, the same fields."""


class NodeConfig(NamedTuple):
    """How one node process runs."""

    role: Role
    genesis_path: Path
    data_dir: Path
    host: str = "127.0.0.1"
    """The address to bind; beyond loopback, methods that sign or damage are off (DESIGN 10)."""
    port: int = 8545
    """HTTP and WebSocket; 0 lets the system choose."""
    host_names: tuple[str, ...] = ()
    """Further names accepted in a Host header."""
    allow_origins: tuple[str, ...] = ()
    """Further web origins that may call what signs or damages."""
    block_time_ms: DurationMs = DurationMs(1_000)
    """The pace of sealing."""
    instant: bool = False
    """Seal as soon as a transaction arrives; for tests."""
    key_path: Path | None = None
    """The node's own Ed25519 key; a sequencer needs it where genesis names one."""
    peer_urls: tuple[str, ...] = ()
    """wss://HOST:PORT of the sequencer's link and of validators' links, for all others."""
    peer_port: int | None = None
    """Where a node listens for its peers; None: a sequencer at the port after `port`, a validator
    not at all."""
    snapshot_interval: int = 100
    """Blocks between snapshots; all validators of a chain should agree on it."""
    confirm_forks: bool = False
    """Whether a fork plan from a peer waits until it is handed in here."""
    accounts_path: Path | None = None
    """Private keys of development accounts for which the node signs; only with dev: true."""
    faults: bool = False
    """Whether debug_injectFault exists (DESIGN section 9); a sequencer's alone."""
    log_format: LogFormat = LogFormat.TEXT


def wall_time_ms() -> TimeMs:
    """Return the wall clock, in milliseconds since 1970. Only sealing reads it, never a rule."""
    return TimeMs(time.time_ns() // 1_000_000)
