"""perp_getDifference: what changed between two blocks, as JSON."""

import pytest

from tests.rpc.chain import Chain, RpcFailure


def test_it_names_each_record_with_its_sides_and_the_fields_that_differ(traded: Chain) -> None:
    found = traded.ask("perp_getDifference", "earliest", "latest")

    assert found["before"]["blockNumber"] == 0
    assert found["after"]["blockHash"] == traded.ask("perp_getBlock", "latest")["hash"]
    assert found["isWhole"]
    oracle = next(each for each in found["changes"] if each["kind"] == "Oracle")
    assert oracle["subject"].startswith("market ")
    assert oracle["changed"]
    for name in oracle["changed"]:
        assert oracle["before"][name] != oracle["after"][name]


def test_it_ends_at_the_limit(traded: Chain) -> None:
    found = traded.ask("perp_getDifference", "earliest", "latest", 2)

    assert len(found["changes"]) == 2
    assert not found["isWhole"]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        (("0x3e8", "latest"), -32000),
        (("latest", "latest", 0), -32602),
        (("latest", "latest", 10_001), -32602),
    ],
)
def test_what_is_not_there_or_too_much_is_refused(
    traded: Chain, params: tuple[object, ...], code: int
) -> None:
    with pytest.raises(RpcFailure) as refused:
        traded.ask("perp_getDifference", *params)

    assert refused.value.code == code
