"""What this process is: version, role, chain, branch, size and peers, in one answer."""

from node.rpc.context import Context
from node.rpc.eth import CLIENT_VERSION
from node.rpc.hex import data
from node.rpc.render import Json


async def get_info(context: Context) -> Json:
    """Return this node's version, role, chain, branch, data size and peers."""
    core = context.core
    info, head = await core.info(), core.heads().latest
    return {
        "clientVersion": CLIENT_VERSION,
        "role": info.role,
        "chainId": core.chain_id,
        "genesisHash": data(core.genesis_hash),
        "forkId": head.extension.fork_id,
        "devEpoch": head.extension.dev_epoch,
        "blockNumber": head.header.number,
        "dataBytes": info.data_bytes,
        "peers": list(info.peers),
    }
