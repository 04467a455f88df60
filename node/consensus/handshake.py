"""The greeting of a peer link: who is there, proved afresh for this very connection.

    client                              server
      ── TLS 1.3, server's certificate ──   the client compares its key with genesis
      ◄─ nonce                               32 random bytes each
      ── nonce ─────────────────────────►
      ── Hello ─────────────────────────►   signed by a member of the set, unsigned by others
      ◄─ Hello                               signed by the key of the certificate

A Hello's signature is over both nonces and the hash of the server's certificate: it is worth
nothing on another connection, nor to whoever stands between two nodes. The two ends sign different
words, so that none can be sent back to its author.
"""

import secrets
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, Protocol

from node.chain.domains import Identity, Kind, signed_bytes
from node.consensus.messages import VERSION, Hello, decode_message, encode_message
from node.consensus.node_key import NodeKey
from node.crypto import ed25519_sign, ed25519_verify
from node.errors import EncodingError, PeerRefused
from node.units import Hash32, Height

NONCE_SIZE = 32


class End(StrEnum):
    """Which end of a link speaks."""

    CLIENT = "client"
    SERVER = "server"


class Standing(NamedTuple):
    """Where a node is, as it says in its greeting."""

    identity: Identity
    height: Height
    head_hash: Hash32


class Binding(NamedTuple):
    """What makes a greeting this connection's own."""

    client_nonce: bytes
    server_nonce: bytes
    certificate_hash: bytes


class Frames(Protocol):
    """What the greeting needs of a connection; `receive` raises EncodingError for a text."""

    async def send(self, frame: bytes) -> None:
        """Send a frame."""

    async def receive(self) -> bytes:
        """Return the next frame."""


async def greet_server(
    frames: Frames, key: NodeKey | None, standing: Standing, *, pinned: bytes, certificate: bytes
) -> Hello:
    """Greet as the client; return the server's Hello, which `pinned` signed.

    `certificate` is the hash of what the server showed. Raises PeerRefused or EncodingError.
    """
    nonce = secrets.token_bytes(NONCE_SIZE)
    server_nonce = await _receive_nonce(frames)
    await frames.send(nonce)
    binding = Binding(nonce, server_nonce, certificate)
    await frames.send(encode_message(make_hello(key, standing, binding, End.CLIENT)))
    hello = check_hello(await frames.receive(), standing.identity, binding, End.SERVER)
    if hello.public_key != pinned:
        raise PeerRefused(f"greeted by key 0x{hello.public_key.hex()}, not its certificate's")
    return hello


async def greet_client(
    frames: Frames,
    key: NodeKey,
    standing: Standing,
    *,
    certificate: bytes,
    admit: Callable[[Hello], None],
) -> Hello:
    """Greet as the server; return the client's Hello, signed by the key it names, or unsigned.

    `admit` raises PeerRefused for a key that is not in the set; nothing is answered then.
    Raises PeerRefused or EncodingError.
    """
    nonce = secrets.token_bytes(NONCE_SIZE)
    await frames.send(nonce)
    binding = Binding(await _receive_nonce(frames), nonce, certificate)
    hello = check_hello(await frames.receive(), standing.identity, binding, End.CLIENT)
    admit(hello)
    await frames.send(encode_message(make_hello(key, standing, binding, End.SERVER)))
    return hello


def make_hello(key: NodeKey | None, standing: Standing, binding: Binding, end: End) -> Hello:
    """Return this end's greeting; without a key it is an observer's."""
    hello = Hello(
        VERSION,
        *standing.identity,
        public_key=b"" if key is None else key.public_key,
        height=standing.height,
        head_hash=standing.head_hash,
        signature=b"",
    )
    if key is None:
        return hello
    return hello._replace(signature=ed25519_sign(key.seed, _signed(hello, binding, end)))


def check_hello(frame: bytes, ours: Identity, binding: Binding, end: End) -> Hello:
    """Return the other end's greeting; PeerRefused unless it is of this chain, link and key.

    The fork and the development epoch may differ: whoever is behind learns of a fork here.
    """
    hello = decode_message(frame)
    if not isinstance(hello, Hello):
        raise PeerRefused(f"sent {type(hello).__name__} instead of Hello")
    for name, value, expected in (
        ("version", hello.version, VERSION),
        ("genesis", "0x" + hello.genesis_hash.hex(), "0x" + ours.genesis_hash.hex()),
        ("chain id", hello.chain_id, ours.chain_id),
    ):
        if value != expected:
            raise PeerRefused(f"its {name} is {value}, ours {expected}")
    if not hello.public_key and not hello.signature:
        return hello
    if not ed25519_verify(hello.public_key, hello.signature, _signed(hello, binding, end)):
        raise PeerRefused(f"its Hello is not signed by 0x{hello.public_key.hex()} for this link")
    return hello


def _signed(hello: Hello, binding: Binding, end: End) -> bytes:
    identity = Identity(hello.genesis_hash, hello.chain_id, hello.fork_id, hello.dev_epoch)
    return signed_bytes(
        Kind.HELLO,
        identity,
        hello.version,
        hello.public_key,
        hello.height,
        hello.head_hash,
        end.value,
        *binding,
    )


async def _receive_nonce(frames: Frames) -> bytes:
    nonce = await frames.receive()
    if len(nonce) != NONCE_SIZE:
        raise EncodingError(f"a nonce of {len(nonce)} bytes, must be {NONCE_SIZE}")
    return nonce
