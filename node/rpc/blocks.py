"""Which block a caller means: tags, numbers, hashes and EIP-1898 objects."""

from typing import Literal, NamedTuple, cast

from node.chain.block import Block
from node.consensus.core import Core
from node.rpc.errors import InvalidParams, ServerError
from node.rpc.hex import INT64_MAX, parse_hash, parse_quantity
from node.units import Hash32, Height

Tag = Literal["latest", "pending", "earliest", "safe", "finalized"]
TAGS = frozenset({"latest", "pending", "earliest", "safe", "finalized"})


class BlockHash(NamedTuple):
    """A block by its hash (EIP-1898)."""

    hash: Hash32
    require_canonical: bool


class BlockOnFork(NamedTuple):
    """The block that had a number while a fork was the chain's: {"forkId", "blockNumber"}."""

    fork_id: int
    height: Height


BlockRef = Tag | Height | BlockHash | BlockOnFork
"""A block as a caller names it."""


def parse_block_number(value: object) -> Tag | Height:
    """Read a tag or a number."""
    if isinstance(value, str) and value in TAGS:
        return cast(Tag, value)
    if isinstance(value, str) and not value.startswith("0x"):
        raise ValueError("hex string without 0x prefix")
    try:
        return Height(parse_quantity(value))
    except ValueError as error:
        raise ValueError(f"invalid block number: {error}") from None


def parse_block(value: object) -> BlockRef:
    """Read a tag, a number, a hash or an EIP-1898 object."""
    if isinstance(value, dict):
        number, block_hash = value.get("blockNumber"), value.get("blockHash")
        if "forkId" in value:
            return _parse_on_fork(value["forkId"], number)
        if number is not None and block_hash is not None:
            raise ValueError(
                "cannot specify both BlockHash and BlockNumber, choose one or the other"
            )
        if block_hash is not None:
            require = value.get("requireCanonical", False)
            if not isinstance(require, bool):
                raise ValueError("requireCanonical must be a boolean")
            return BlockHash(parse_hash(block_hash), require)
        if number is None:
            raise ValueError("invalid block: blockNumber or blockHash is needed")
        return parse_block_number(number)
    if isinstance(value, str) and len(value) == 66:
        return BlockHash(parse_hash(value), require_canonical=False)
    return parse_block_number(value)


def _parse_on_fork(fork_id: object, number: object) -> BlockOnFork:
    if not isinstance(fork_id, int) or isinstance(fork_id, bool) or not 0 <= fork_id < 2**21:
        raise ValueError("invalid forkId: want a number from 0")
    return BlockOnFork(fork_id, Height(parse_quantity(number, highest=INT64_MAX)))


async def find_block(core: Core, ref: BlockRef) -> Block | None:
    """Return the block, None if there is none; `pending` stands for the head it builds on."""
    if isinstance(ref, str):
        heads = core.heads()
        if ref == "safe":
            return heads.safe
        if ref == "finalized":
            return heads.finalized
        if ref == "earliest":
            return await core.block_by_number(Height(0))
        return heads.latest
    if isinstance(ref, BlockHash):
        return await core.block_by_hash(ref.hash)
    if isinstance(ref, BlockOnFork):
        return await core.block_on_fork(ref.fork_id, ref.height)
    latest = core.heads().latest
    if ref == latest.header.number:
        return latest
    if ref > INT64_MAX:
        raise InvalidParams("invalid argument: block number larger than int64")
    return await core.block_by_number(ref)


async def get_block(core: Core, ref: BlockRef) -> Block:
    """Return the block whose state is asked for; raise ServerError in geth's words."""
    block = await find_block(core, ref)
    if block is None:
        by_hash = isinstance(ref, BlockHash)
        raise ServerError("header for hash not found" if by_hash else "header not found")
    if isinstance(ref, BlockHash) and ref.require_canonical:
        canonical = await core.block_by_number(block.header.number)
        if canonical is None or canonical.hash != block.hash:
            raise ServerError("hash is not currently canonical")
    return block
