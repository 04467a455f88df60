"""ethers against a live chain; the story is ethers.mjs."""

from tests.conformance.trade import run_story
from tests.helpers.devnet import Devnet


def test_ethers_trades_reads_typed_errors_and_verifies_proofs(chain: Devnet) -> None:
    assert run_story("ethers", 1, chain)["fills"] == 2
