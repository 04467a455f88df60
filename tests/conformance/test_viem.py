"""viem against a live chain; the story is viem.mjs."""

from tests.conformance.trade import run_story
from tests.helpers.devnet import Devnet


def test_viem_trades_reads_typed_errors_and_verifies_proofs(chain: Devnet) -> None:
    assert run_story("viem", 0, chain)["fills"] == 2
