"""Files of a snapshot that somebody damaged, or forged to hang together: refused by name.

A forger can give a chunk any content and the manifest its hash, so what is inside is damaged too.
"""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import EncodingError, InvalidSnapshot, PlanRefused
from node.snapshot.approval import decode_signed_plan, encode_signed_plan
from node.snapshot.chunks import chunk_hash, compress, decompress
from node.snapshot.directory import SnapshotDirectory, load_manifest, load_signatures
from node.snapshot.importer import import_snapshot
from node.snapshot.manifest import Manifest, canonical_json, encode_manifest
from node.snapshot.plan import decode_plan, encode_plan
from node.snapshot.verify import verify_snapshot
from tests.snapshot.story import approve, certify, export, id_of, plan_of, tell_story


class Written(NamedTuple):
    """A good snapshot, and one to damage."""

    good: Path
    broken: Path
    manifest: Manifest
    signed_plan: bytes


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    story = tell_story(validators=True)
    directory = SnapshotDirectory(tmp_path_factory.mktemp("damage"))
    manifest = export(story.chain, story.snapshot, directory)
    certify(story.chain, directory, manifest)
    plan = plan_of(story, manifest)
    path = directory.path_of(id_of(manifest))
    return Written(path, path.parent / "broken", manifest, encode_signed_plan(approve(plan)))


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Return bytes with a few of them changed, left out, repeated or put in."""
    content = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        end = min(len(content), at + draw(st.integers(0, 9)))
        content[at:end] = draw(st.binary(max_size=9) | st.just(bytes(content[at:end]) * 2))
    return bytes(content)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["0x", "0x00", "0x" + "11" * 32, 2**63, -1]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)  # fmt: skip


@given(st.data())
def test_a_damaged_file_is_named_or_read_as_it_was(written: Written, data: st.DataObject) -> None:
    shutil.rmtree(written.broken, ignore_errors=True)
    shutil.copytree(written.good, written.broken)
    files = sorted(each for each in written.broken.rglob("*") if each.is_file())
    file = data.draw(st.sampled_from(files), label="file")
    before = file.read_bytes()
    file.write_bytes(data.draw(damaged(before)))

    verdict = verify_snapshot(written.broken)

    if verdict.good and file.suffix == ".json":
        assert file.read_bytes() == before


@given(st.data())
def test_a_forged_chunk_that_its_manifest_names_is_refused(
    written: Written, data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, len(written.manifest.chunks) - 1))
    name, info = f"chunks/{number:05}", written.manifest.chunks[number]
    inside = decompress((written.good / name).read_bytes(), size=info.size, file="")
    forged = data.draw(damaged(inside).filter(lambda each: each not in (b"", inside)))
    shutil.rmtree(written.broken, ignore_errors=True)
    shutil.copytree(written.good, written.broken)
    (written.broken / name).write_bytes(compress(forged))
    chunks = list(written.manifest.chunks)
    chunks[number] = info._replace(sha256=chunk_hash(forged), size=len(forged))
    manifest = written.manifest._replace(chunks=tuple(chunks))

    with pytest.raises(InvalidSnapshot):
        import_snapshot(written.broken, manifest, lambda _: None)


@given(st.data())
def test_another_value_in_a_document_is_refused_or_the_document_of_that_value(
    written: Written, data: st.DataObject
) -> None:
    which = data.draw(st.sampled_from(["manifest", "signatures", "plan"]))
    if which == "plan":
        document = json.loads(decode_signed_plan(written.signed_plan).plan)
    elif which == "manifest":
        document = json.loads(encode_manifest(written.manifest))
    else:
        document = json.loads((written.good / "signatures.json").read_bytes())
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(JUNK)
        break
    content = canonical_json(document)

    try:
        if which == "plan":
            assert encode_plan(decode_plan(content)) == content
        else:
            shutil.rmtree(written.broken, ignore_errors=True)
            written.broken.mkdir()
            (written.broken / f"{which}.json").write_bytes(content)
            (load_manifest if which == "manifest" else load_signatures)(written.broken)
    except (InvalidSnapshot, PlanRefused, EncodingError):
        return


@given(st.data())
def test_a_damaged_signed_plan_is_refused_or_another(written: Written, data: st.DataObject) -> None:
    content = data.draw(damaged(written.signed_plan) | st.binary(max_size=60))

    try:
        signed = decode_signed_plan(content)
        decode_plan(signed.plan)
    except (EncodingError, PlanRefused):
        return
    assert encode_signed_plan(signed) == content
