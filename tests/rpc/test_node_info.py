"""What a node says of itself."""

from pathlib import Path

from node.config import Role
from node.consensus.core import Core, measure
from node.rpc.context import Context
from tests.rpc.chain import Chain


def context_of(chain: Chain, core: Core) -> Context:
    return chain.context()._replace(core=core)


def test_a_node_says_what_it_is_and_where_it_stands(chain: Chain) -> None:
    chain.seal()

    info = chain.ask("node_info")

    assert info["clientVersion"] == chain.ask("web3_clientVersion")
    assert info["chainId"] == int(chain.ask("eth_chainId"), 16)
    assert info["genesisHash"] == chain.ask("eth_getBlockByNumber", "0x0", False)["hash"]
    assert (info["role"], info["blockNumber"], info["forkId"]) == ("sequencer", 1, 0)
    assert (info["dataBytes"], info["peers"]) == (0, [])


def test_it_says_its_role_its_size_and_its_peers(chain: Chain, tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "LOG").write_bytes(b"12345")
    (tmp_path / "HEAD").write_bytes(b"678")
    core = Core(
        chain.blockchain,
        chain.mempool,
        chain.sequencer,
        role=Role.ARCHIVE,
        data_dir=tmp_path,
    )
    core.list_peers = lambda: ["sequencer"]

    info = chain.ask("node_info", context=context_of(chain, core))
    core.close()

    assert (info["role"], info["dataBytes"], info["peers"]) == ("archive", 8, ["sequencer"])


def test_a_directory_that_is_gone_has_no_size(tmp_path: Path) -> None:
    assert measure(tmp_path / "gone") == 0
