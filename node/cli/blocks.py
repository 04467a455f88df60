"""How commands name blocks, and how a named block is found in a stopped node's directory."""

import re
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from node.chain.block import Block
    from node.chain.blockchain import Blockchain

BLOCK_HELP = "A number, a hash, FORK:NUMBER for a branch that was left, or latest."
_NUMBER = re.compile(r"[0-9]{1,18}")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_ON_FORK = re.compile(r"([0-9]{1,7}):([0-9]{1,18})")
_TAGS = ("latest", "safe", "finalized", "earliest")


def parse_block(text: str) -> Any:
    """Return a block as JSON-RPC names it; a usage error if it is none."""
    if text in _TAGS or _HASH.fullmatch(text):
        return text
    if _NUMBER.fullmatch(text):
        return hex(int(text))
    if on_fork := _ON_FORK.fullmatch(text):
        return {"forkId": int(on_fork[1]), "blockNumber": hex(int(on_fork[2]))}
    raise typer.BadParameter(f"{text!r} is no block: write a number, a hash or FORK:NUMBER")


def find_block(blockchain: "Blockchain", ref: Any) -> "Block":
    """Return the block that JSON-RPC would find by this name; OperatorError if it is not here."""
    from node.chain.branches import load_on_branch
    from node.errors import OperatorError
    from node.units import Hash32, Height

    store, head = blockchain.store, blockchain.head.block
    if isinstance(ref, dict):
        block_hash = load_on_branch(store, ref["forkId"], Height(int(ref["blockNumber"], 16)))
    elif ref in _TAGS:
        heights = {
            "safe": blockchain.certified_height(),
            "finalized": blockchain.finalized.header.number,
            "earliest": Height(0),
        }
        block_hash = store.load_canonical(heights.get(ref, head.header.number))
    elif _HASH.fullmatch(ref):
        block_hash = Hash32(bytes.fromhex(ref[2:]))
    else:
        block_hash = store.load_canonical(Height(int(ref, 16)))
    block = None if block_hash is None else store.load_block(block_hash)
    if block is None:
        raise OperatorError(f"block {ref} is not here: the head is {head.header.number}")
    return block
