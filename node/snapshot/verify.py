"""What a snapshot's files are, what they should be, and who signed: for people to read.

The reading is the importer's; here it goes nowhere, and each file gets a line. The first file that
is wrong ends it: what follows hangs on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from node.errors import InvalidSnapshot
from node.governance.validators import is_quorum, total_power
from node.snapshot.directory import (
    SIGNATURES_FILE,
    Signatures,
    chunk_name,
    load_manifest,
    load_signatures,
)
from node.snapshot.importer import import_snapshot
from node.snapshot.manifest import MANIFEST_FILE, Manifest, manifest_hash, to_hex
from node.snapshot.signatures import Signer, list_signers, signed_power
from node.units import Hash32


class FileReport(NamedTuple):
    """One file of a snapshot."""

    file: str
    what: str
    """What the file is for."""
    value: str
    expected: str
    """Empty if the file is right."""


class Verdict(NamedTuple):
    """What a snapshot is found to be."""

    manifest: Manifest | None
    files: tuple[FileReport, ...]
    signers: tuple[Signer, ...]
    power: int
    """Of the good signatures."""
    power_total: int
    certified: bool

    @property
    def good(self) -> bool:
        """Whether every file is right and a quorum signed."""
        return self.certified and all(not file.expected for file in self.files)


def verify_snapshot(path: Path, expected_hash: Hash32 | None = None) -> Verdict:
    """Read every file of a snapshot and say of each what it is and what was expected."""
    files: list[FileReport] = []
    try:
        manifest = load_manifest(path)
    except InvalidSnapshot as failure:
        return Verdict(None, (_wrong(failure, "the list of all parts"),), (), 0, 0, certified=False)
    digest = manifest_hash(manifest)
    wanted = "" if expected_hash in (None, digest) else to_hex(expected_hash or b"")
    files.append(FileReport(MANIFEST_FILE, "the list of all parts", to_hex(digest), wanted))
    numbers = {chunk_name(number): number for number in range(len(manifest.chunks))}

    def passed(name: str) -> None:
        number = numbers[name]
        value = (
            f"{manifest.chunks[number].size} bytes, sha256 {manifest.chunks[number].sha256.hex()}"
        )
        files.append(FileReport(name, describe_chunk(manifest, number), value, ""))

    try:
        import_snapshot(path, manifest, lambda _: None, passed)
        counts = f"{manifest.accounts} accounts, {manifest.records} records"
        value = f"{to_hex(manifest.state_root)}, {counts}"
        files.append(FileReport("chunks", "the state, rebuilt", value, ""))
    except InvalidSnapshot as failure:
        files.append(_wrong(failure, describe_chunk(manifest, numbers.get(failure.file))))
    signatures: Signatures | None = None
    try:
        signatures = load_signatures(path) if (path / SIGNATURES_FILE).exists() else None
    except InvalidSnapshot as failure:
        files.append(_wrong(failure, "who signed"))
    else:
        files.append(_describe_signatures(signatures, digest))
    signers = list_signers(signatures, manifest)
    power, total = signed_power(signers), total_power(manifest.validators)
    certified = not total or is_quorum(manifest.validators, power)
    return Verdict(manifest, tuple(files), tuple(signers), power, total, certified)


def describe_chunk(manifest: Manifest, number: int | None) -> str:
    """Return what a chunk is for."""
    if number is None:
        return "all chunks together"
    return (
        "block, receipts, headers" if number < manifest.history_chunks else "accounts and records"
    )


def _describe_signatures(signatures: Signatures | None, digest: Hash32) -> FileReport:
    if signatures is None:
        return FileReport(SIGNATURES_FILE, "who signed", "absent: nobody signed yet", "")
    expected = "" if signatures.manifest_hash == digest else f"signatures of {to_hex(digest)}"
    value = f"{len(signatures.by_validator)} signatures of {to_hex(signatures.manifest_hash)}"
    return FileReport(SIGNATURES_FILE, "who signed", value, expected)


def _wrong(failure: InvalidSnapshot, what: str) -> FileReport:
    was, wanted = str(failure).split(": was ", 1)[1].rsplit(", expected ", 1)
    field = failure.field
    return FileReport(failure.file, what, f"{field} {was}", f"{field} {wanted}")
