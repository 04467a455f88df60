"""TLS between nodes: a self-signed certificate made of a node's own key, and the pin on it.

There is no certificate authority. TLS 1.3 proves that the server holds the private key of the
certificate it shows (its CertificateVerify is checked whatever the verify mode); which key that
must be stands in genesis, and `require_pinned_key` compares. Python's `ssl` can't ask a client for
a certificate that no authority signed, so a client proves its key within the link, by a signed
greeting that names this very certificate (`node.consensus.handshake`).
"""

import hashlib
import os
import ssl
import tempfile
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from node.consensus.node_key import NodeKey
from node.errors import PeerRefused

_FROM = datetime(2020, 1, 1, tzinfo=UTC)
_UNTIL = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""RFC 5280's "no well-defined expiration": the key is pinned, a clock has no say in it."""


class ServerTls(NamedTuple):
    """What a listening node needs."""

    context: ssl.SSLContext
    certificate_hash: bytes
    """SHA-256 of the certificate: the greeting names it."""


class ShownKey(NamedTuple):
    """Who a server proved to be."""

    public_key: bytes
    certificate_hash: bytes


def make_certificate(key: NodeKey) -> bytes:
    """Return a self-signed certificate of the node's key, DER; always the same bytes."""
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, key.public_key.hex())])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
    )
    return builder.sign(private, algorithm=None).public_bytes(Encoding.DER)


def hash_certificate(certificate: bytes) -> bytes:
    """Return a certificate's SHA-256, as TLS tools print it."""
    return hashlib.sha256(certificate).digest()


def make_server_tls(key: NodeKey) -> ServerTls:
    """Return the context of a server that shows this key's certificate; TLS 1.3 only."""
    certificate = make_certificate(key)
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # `ssl` takes a key by a file only: one that is ours alone, for this moment.
    descriptor, name = tempfile.mkstemp(prefix="perpnode-")
    try:
        with open(descriptor, "wb") as file:
            file.write(
                private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                + x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)
            )
        context.load_cert_chain(name)
    finally:
        os.truncate(name, 0)
        Path(name).unlink()
    return ServerTls(context, hash_certificate(certificate))


def make_client_tls() -> ssl.SSLContext:
    """Return the context of a client, which must call `require_pinned_key`; TLS 1.3 only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # no authority signed it: the pin stands in its place
    return context


def require_pinned_key(connection: ssl.SSLObject, pinned: Collection[bytes]) -> ShownKey:
    """Return the server's key and its certificate's hash; PeerRefused unless the key is pinned."""
    certificate = connection.getpeercert(binary_form=True)
    shown = b"" if certificate is None else read_public_key(certificate)
    if certificate is None or shown not in pinned:
        raise PeerRefused(
            f"the server's key is 0x{shown.hex()}: neither the sequencer's nor a validator's"
        )
    return ShownKey(shown, hash_certificate(certificate))


def read_public_key(certificate: bytes) -> bytes:
    """Return the Ed25519 key that a DER certificate shows; PeerRefused if it has another kind."""
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except ValueError as error:
        raise PeerRefused(f"the server's certificate can't be read: {error}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise PeerRefused(f"the server's certificate holds a {type(key).__name__}, not Ed25519")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
