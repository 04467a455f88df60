"""Where a rehearsal's prices come from, and sizes that are worth the same at any of them."""

from pathlib import Path
from typing import Any

import pytest

from node.errors import OperatorError
from tools.rehearsal import PRICE, Prices, Rehearsal

HEADER = "timestamp,open,high,low,close,volume"


class Empty(Rehearsal):
    """Nothing happens in it."""

    async def tell(self) -> None:
        return


@pytest.fixture
def minutes(tmp_path: Path) -> Path:
    path = tmp_path / "minutes.csv"
    path.write_text(f"{HEADER}\n2022-01-01 00:00:00,46499,46501,46400,46500.9,1\n")
    return path


@pytest.mark.parametrize("name", ["sim", "fixed"])
def test_simulated_prices_begin_at_the_price_that_sizes_are_meant_for(
    tmp_path: Path, name: str
) -> None:
    rehearsal = Empty(tmp_path, prices=Prices(name))

    assert Prices(name).flags() == ["--prices", name]
    assert rehearsal.scale(20_000) == 20_000


def test_a_file_begins_at_its_first_close_and_sizes_grow_as_its_price_is_lower(
    tmp_path: Path, minutes: Path
) -> None:
    prices = Prices(str(minutes), "60")

    rehearsal = Empty(tmp_path, prices=prices)

    assert prices.flags() == ["--prices", str(minutes), "--speed", "60"]
    assert prices.first() == 46_500  # 46,500.9, floor; half of PRICE
    assert PRICE == 93_000
    assert rehearsal.scale(20_000) == 40_000
    assert rehearsal.scale(-15_001) == -30_002


@pytest.mark.parametrize("prices", [{"name": "nowhere.csv"}, {"name": "sim", "speed": "2"}])
def test_prices_that_are_none_are_refused(tmp_path: Path, prices: dict[str, Any]) -> None:
    with pytest.raises(OperatorError):
        Empty(tmp_path, prices=Prices(**prices))
