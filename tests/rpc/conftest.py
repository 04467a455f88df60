"""One traded chain for all tests that only read, and a fresh one for those that write."""

from collections.abc import Iterator

import pytest

from tests.rpc.chain import Chain


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Return a chain with an open market, a position on each side and a resting order."""
    chain = Chain(tmp_path_factory.mktemp("traded"))
    chain.open_market()
    chain.trade()
    yield chain
    chain.core.close()


@pytest.fixture
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Return a chain that has nothing but its genesis."""
    chain = Chain(tmp_path_factory.mktemp("fresh"))
    yield chain
    chain.core.close()
