"""The file of corrections: strict, in one form, and what it makes of a block."""

import json
from pathlib import Path
from typing import Any

import pytest

from node.audit.corrections import (
    NONE,
    Corrections,
    correct_block,
    find_funding,
    find_price,
    hash_corrections,
    read_corrections,
)
from node.errors import CorrectionsError
from node.system.contracts import contract
from node.units import Hash32, Height, MarketId, TimeMs
from tests.helpers.chain import BTC, Chain, Person, make_genesis

PRICE = 400_000
SPAN = {"market": 1, "first": 10, "last": 12}


def write(directory: Path, document: object, name: str = "corrections.json") -> Path:
    path = directory / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def read(directory: Path, **sections: Any) -> Corrections:
    return read_corrections(write(directory, {"format": 1, **sections}))


def test_what_is_not_named_is_not_corrected(tmp_path: Path) -> None:
    assert read(tmp_path) == NONE


def test_a_price_holds_in_its_blocks_and_market_alone(tmp_path: Path) -> None:
    found = read(tmp_path, prices=[{**SPAN, "ticks": 7}])

    prices = [find_price(found, BTC, Height(each), TimeMs(0)) for each in range(9, 14)]
    assert prices == [None, 7, 7, 7, None]
    assert find_price(found, MarketId(2), Height(11), TimeMs(0)) is None


@pytest.mark.parametrize(
    ("header", "starts", "expected"),
    [("block", (10, 12), [None, 5, 5, 6, None]), ("time_ms", (150, 250), [None, None, 5, 6, None])],
)
def test_a_line_of_a_price_file_holds_until_the_next(
    tmp_path: Path, header: str, starts: tuple[int, int], expected: list[int | None]
) -> None:
    write(tmp_path, f"{header},ticks\n{starts[0]},5\n{starts[1]},6\n", "prices.csv")
    found = read(tmp_path, prices=[{**SPAN, "file": "prices.csv"}])

    # Block 10 was observed at 100, block 11 at 200.
    prices = [
        find_price(found, BTC, Height(height), TimeMs(100 * (height - 9)))
        for height in range(9, 14)
    ]

    assert prices == expected


def test_numbers_of_funding_hold_from_first_to_last(tmp_path: Path) -> None:
    index = {**SPAN, "index": "-18446200431"}
    rate = {**SPAN, "last": 10, "rate_ppb": -5}
    found = read(tmp_path, funding=[index, rate])

    numbers = [
        [(each.index, each.rate_ppb) for each in find_funding(found, Height(height))]
        for height in (9, 10, 12, 13)
    ]

    wanted = (-18446200431, None)
    assert numbers == [[], [wanted, (None, -5)], [wanted], []]


def test_the_hash_says_what_is_corrected_and_not_how_it_is_written(tmp_path: Path) -> None:
    write(tmp_path, "block,ticks\n10,5\n", "prices.csv")
    other = {"market": 2, "first": 1, "last": 2, "ticks": 9}
    hashes = {
        hash_corrections(read(tmp_path, prices=prices))
        for prices in (
            [{**SPAN, "ticks": 5}, other],
            [other, {**SPAN, "ticks": 5}],
            [other, {**SPAN, "file": "prices.csv"}],
        )
    }

    assert len(hashes) == 1
    assert hash_corrections(read(tmp_path, prices=[other])) not in hashes


GOOD_HASH = "0x" + "ab" * 32


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "line 1, column 2 is no JSON"),
        ("[]", "the document was []: must be an object"),
        ({}, "format was null: must be an integer"),
        ({"format": 2}, "format was 2: must be 1"),
        ({"format": True}, "format was true: must be an integer"),
        ({"format": 1, "price": []}, "has the unknown field 'price': remove it"),
        ('{"format": 1, "format": 1}', "format stands twice in one object"),
        ({"format": 1, "prices": {}}, "prices was {}: must be a list"),
        ({"format": 1, "prices": [5]}, "prices[0] was 5: must be an object"),
        ({"format": 1, "prices": [SPAN]}, "prices[0] has neither: give one of ticks, file"),
        (
            {"format": 1, "prices": [{**SPAN, "ticks": 5, "file": "x"}]},
            "prices[0] has ticks and file: give one of ticks, file",
        ),
        ({"format": 1, "prices": [{**SPAN, "ticks": 0}]}, "prices[0].ticks was 0"),
        ({"format": 1, "prices": [{**SPAN, "ticks": 1.5}]}, "has the number 1.5"),
        ({"format": 1, "prices": [{**SPAN, "ticks": "5"}]}, 'prices[0].ticks was "5"'),
        ({"format": 1, "prices": [{**SPAN, "to": 5, "ticks": 5}]}, 'the unknown field "to"'),
        (
            {"format": 1, "prices": [{"market": 1, "first": 1, "ticks": 5}]},
            'lacks the field "l',
        ),
        ({"format": 1, "prices": [{**SPAN, "market": 0, "ticks": 5}]}, "prices[0].market was 0"),
        ({"format": 1, "prices": [{**SPAN, "last": 9, "ticks": 5}]}, "prices[0].last was 9"),
        (
            {"format": 1, "prices": [{**SPAN, "ticks": 5}, {**SPAN, "first": 12, "ticks": 6}]},
            "prices of market 1 are corrected twice in block 12",
        ),
        ({"format": 1, "prices": [{**SPAN, "file": "none.csv"}]}, "none.csv: can't be read"),
        ({"format": 1, "funding": [SPAN]}, "funding[0] has neither: give one of index, rate_ppb"),
        ({"format": 1, "funding": [{**SPAN, "index": 5}]}, "funding[0].index was 5"),
        ({"format": 1, "funding": [{**SPAN, "index": "05"}]}, "funding[0].index was '05'"),
        ({"format": 1, "funding": [{**SPAN, "index": "9" * 37}]}, "funding[0].index was 99"),
        ({"format": 1, "funding": [{**SPAN, "rate_ppb": "5"}]}, 'funding[0].rate_ppb was "5"'),
        (
            {"format": 1, "funding": [{**SPAN, "rate_ppb": 5}, {**SPAN, "rate_ppb": 5}]},
            "funding rate_ppb of market 1 are corrected twice in block 10",
        ),
        ({"format": 1, "left_out": [GOOD_HASH[:-1]]}, "left_out[0] was '0xab"),
        ({"format": 1, "left_out": [7]}, "left_out[0] was 7: must be a transaction's hash"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, document: object, words: str) -> None:
    path = write(tmp_path, document)

    with pytest.raises(CorrectionsError) as refused:
        read_corrections(path)

    text = str(refused.value)
    assert words in text
    assert "\n" not in text
    assert str(tmp_path) in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no price below its header"),
        ("time,price\n1,2\n", "line 1 was time,price: must be block,ticks or time_ms,ticks"),
        ("block,ticks\n", "has no price below its header"),
        ("block,ticks\n1,2,3\n", "line 2 was 1,2,3: must be two whole numbers"),
        ("block,ticks\n1,-2\n", "line 2 was 1,-2: must be two whole numbers"),
        ("block,ticks\n1,2.5\n", "line 2 was 1,2.5: must be two whole numbers"),
        ("block,ticks\n5,2\n5,3\n", "line 3 begins at 5: must be after the line before it, 5"),
        ("block,ticks\n5,0\n", "line 2, ticks was 0"),
    ],
)
def test_a_line_of_a_price_file_that_is_wrong_is_named(
    tmp_path: Path, text: str, words: str
) -> None:
    write(tmp_path, text, "prices.csv")

    with pytest.raises(CorrectionsError) as refused:
        read(tmp_path, prices=[{**SPAN, "file": "prices.csv"}])

    assert words in str(refused.value)
    assert "prices.csv" in str(refused.value)


def test_a_price_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_bytes(b"block,ticks\n\xff")

    with pytest.raises(CorrectionsError, match=r"prices.csv is no UTF-8 at byte 12"):
        read(tmp_path, prices=[{**SPAN, "file": "prices.csv"}])


# --- a block --------------------------------------------------------------------------------------


def test_a_report_says_the_corrected_price_and_is_otherwise_its_own(tmp_path: Path) -> None:
    chain = Chain(make_genesis([]))
    reports = chain.reports(PRICE)
    tight = [each._replace(gas_limit=1) for each in reports]
    block = chain.seal(*reports)._replace(transactions=tuple(tight))
    found = read(tmp_path, prices=[{"market": 1, "first": 1, "last": 1, "ticks": 0xFFFFFF}])

    corrected = correct_block(block, found)

    decode = contract("Oracle").functions["reportPrice"].inputs.decode
    for was, now in zip(block.transactions, corrected.transactions, strict=True):
        market, price, observed_ms, fork_id = decode(now.data, 4)
        assert (market, price) == (BTC, 0xFFFFFF)
        assert (observed_ms, fork_id) == decode(was.data, 4)[2:]
        # Other digits may have another gas price: they must not be what stops the report.
        assert now.gas_limit > was.gas_limit
        assert now._replace(data=was.data, gas_limit=was.gas_limit) == was


def test_a_report_that_reverts_anyway_stays(tmp_path: Path) -> None:
    chain, stranger = Chain(make_genesis([Person("stranger")])), Person("stranger")
    good = stranger.call("Oracle", "reportPrice", 1, PRICE, 0, 0)
    block = chain.seal(stranger.send(good.to, good.data[:40], nonce=0))
    found = read(tmp_path, prices=[{"market": 1, "first": 1, "last": 1, "ticks": 5}])

    assert correct_block(block, found) == block


def test_what_is_left_out_leaves_an_empty_transaction(tmp_path: Path) -> None:
    taker = Person("taker")
    chain = Chain(make_genesis([taker]))
    chain.open_market(PRICE)
    order = taker.order(10, PRICE + 5)
    block = chain.seal(*chain.reports(PRICE), order)
    found = read(tmp_path, left_out=[f"0x{order.hash.hex()}"])

    corrected = correct_block(block, found)

    (empty,) = [each for each in corrected.transactions if each.sender == taker.address]
    assert (empty.to, empty.value, empty.data) == (taker.address, 0, b"")
    assert (empty.nonce, empty.hash) == (order.nonce, order.hash)
    assert found.left_out == {Hash32(order.hash)}
