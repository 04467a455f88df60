"""One live chain for all wallet libraries: prices stand still, markets OPEN, no other traders."""

from collections.abc import Iterator

import pytest

from tests.helpers.devnet import MINIMAL_GENESIS, Devnet


@pytest.fixture(scope="package")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    data_dir = tmp_path_factory.mktemp("conformance") / "data"
    flags = ["--genesis", str(MINIMAL_GENESIS), "--block-time", "0.2", "--validators", "0"]
    flags += ["--prices", "fixed", "--bots", "0", "--accounts", "10"]
    with Devnet(data_dir, *flags).start() as devnet:
        devnet.wait_for_open_markets()
        yield devnet
