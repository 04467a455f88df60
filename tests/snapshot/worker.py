"""A process for tests to kill: one step of a snapshot, a restore or a fork over a directory.

    python -m tests.snapshot.worker fork DIRECTORY PLAN.json

prints the head afterwards as one JSON line. PERPNODE_CRASH_AT says where it dies.
"""

import json
import sys
from pathlib import Path

from node.chain.block import Block
from node.chain.blockchain import Blockchain
from node.chain.store import BlockStore
from node.errors import PerpnodeError
from node.snapshot.apply import apply_plan, resume_fork
from node.snapshot.directory import SnapshotDirectory
from node.snapshot.export import ExportJob
from node.snapshot.manifest import manifest_hash
from node.snapshot.plan import decode_plan
from node.snapshot.restore import finish_restore, restore_snapshot
from node.state.kv import LevelDb
from node.units import Height
from tests.snapshot.story import make_story_genesis

CHUNK_TARGET = 2_000


def main(step: str, data_dir: Path, argument: str) -> None:
    genesis = make_story_genesis(validators=True)
    if step == "restore":
        restore_snapshot(Path(argument), data_dir, genesis)
    finish_restore(data_dir)
    database = LevelDb(data_dir / "db")
    try:
        blockchain = Blockchain(genesis, database, BlockStore(database, data_dir / "HEAD"))
        bumped = data_dir / "SIGNED"
        resume_fork(blockchain, lambda block: _bump(bumped, block))
        result = {}
        if step == "fork":
            plan = decode_plan(Path(argument).read_bytes())
            apply_plan(blockchain, plan, lambda block: _bump(bumped, block))
        elif step == "snapshot":
            block = blockchain.block_at(Height(int(argument)))
            assert block is not None
            directory = SnapshotDirectory(data_dir / "snapshots")
            job = ExportJob(blockchain, block, directory, chunk_target=CHUNK_TARGET)
            result["manifest"] = manifest_hash(job.finish()).hex()
        head = blockchain.head.block
        result["head"] = head.hash.hex()
        result["root"] = head.header.state_root.hex()
        result["flat"] = (blockchain.states.flat_root() or b"").hex()
        print(json.dumps(result))
    finally:
        database.close()


def _bump(path: Path, block: Block) -> None:
    path.write_text(block.hash.hex())


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
    except PerpnodeError as error:
        sys.exit(str(error))
