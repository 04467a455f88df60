"""gov_ methods: what a signer reads and hands in, without an account of their own."""

from collections.abc import Iterator
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from node.chain.genesis import Genesis, parse_genesis
from node.crypto import keccak256
from node.errors import HeaderMismatch
from node.rpc import governance
from node.rpc.errors import to_rpc_error
from tests.helpers.council import COUNCIL, LATE, MEMBERS, OUTSIDER
from tests.rpc import chain as rpc_chain
from tests.rpc.chain import MARKET, Chain, RpcFailure


@pytest.fixture
def governed(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Chain]:
    """Return a chain that our council governs."""

    def parse_governed(data: bytes, *, name: str) -> Genesis:
        return parse_genesis(data, name=name)._replace(council=COUNCIL)

    monkeypatch.setattr(rpc_chain, "parse_genesis", parse_governed)
    chain = Chain(tmp_path_factory.mktemp("governed"))
    chain.seal()
    yield chain
    chain.core.close()


def typed_data(chain: Chain, kind: str, **fields: Any) -> Any:
    terms: dict[str, Any] = {"expiresAt": LATE, "reason": "a test"}
    if kind not in ("Resume", "Fork"):
        terms["expiresAtHeight"] = LATE
    return chain.ask("gov_getTypedData", kind, terms | fields)["typedData"]


def sign(document: Any, members: Any = MEMBERS[:3]) -> list[str]:
    """Return each member's signature, by eth-account."""
    message = encode_typed_data(full_message=document)
    return [
        "0x" + bytes(Account.sign_message(message, member.key).signature).hex()
        for member in members
    ]


def test_the_council_is_told_with_its_domain_and_threshold(governed: Chain) -> None:
    council = governed.ask("gov_getCouncil")

    assert council["members"] == ["0x" + member.hex() for member in COUNCIL.members]
    assert council["threshold"] == 3
    assert council["domain"]["salt"] == governed.ask("perp_status")["genesisHash"]
    assert (council["forkId"], council["haltHeight"], council["hold"]) == (0, None, None)
    assert council["mode"] == "CANCEL_ONLY"


def test_typed_data_is_what_a_wallet_signs(governed: Chain) -> None:
    answer = governed.ask(
        "gov_getTypedData",
        "Halt",
        {"height": 9, "expiresAt": LATE, "expiresAtHeight": LATE, "reason": "why"},
    )

    signable = encode_typed_data(full_message=answer["typedData"])
    digest = keccak256(b"\x19\x01" + signable.header + signable.body)
    assert answer["digest"] == "0x" + digest.hex()
    other = typed_data(governed, "Halt", height=9)
    assert other["message"]["nonce"] != answer["typedData"]["message"]["nonce"]


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("Pause", {}, "want one of Halt"),
        ("Halt", [], "want an object"),
        ("Halt", {"height": 1}, "message"),
        ("Halt", {"height": -1}, "height"),
        ("Resume", {"height": 1}, "message"),
    ],
)
def test_typed_data_of_nothing_is_refused(
    governed: Chain, kind: str, fields: Any, words: str
) -> None:
    if isinstance(fields, dict) and fields != {"height": 1}:
        fields |= {"expiresAt": 1, "expiresAtHeight": 1, "reason": ""}
    with pytest.raises(RpcFailure) as caught:
        governed.ask("gov_getTypedData", kind, fields)

    assert caught.value.code == -32602
    assert words in caught.value.message


LISTED = {
    "symbol": "SOL-USD",
    "lotDecimals": 2,
    "tickDecimals": 2,
    "k": 100,
    "brackets": [{"notionalFrom": 0, "initialMarginPpm": 50_000}],
    "maintenancePpm": 500_000,
    "oiLowerCap": "500000000000000",
    "oiUpperCap": "1000000000000000",
    "takerFeePpm": 450,
    "makerFeePpm": -150,
    "priceBandPpm": 50_000,
    "orderValueMin": 10**7,
    "impactNotional": 5 * 10**9,
    "fundingIntervalMs": 60_000,
    "fundingInterestPpb": 100_000,
    "fundingClampFactorPpm": 6_000_000,
    "priceAgeMsMax": 30_000,
    "priceMovePpmMax": 50_000,
    "priceConfirmMs": 3_000,
    "liquidationFeePpm": 15_000,
    "markBandPpm": 10_000,
    "vaultSizeMax": 0,
    "positionMax": 10**6,
    "openInterestMax": 10**7,
    "liquidationNotionalMax": 10**12,
}


@pytest.mark.parametrize(
    ("kind", "fields", "result"),
    [
        ("ScheduleMaintenance", {"startHeight": 5, "haltHeight": 9, "endMs": 2**42}, "9"),
        ("SettleMarket", {"market": MARKET, "price": 7, "beyondMaxMove": True}, "0"),
        ("ChangeCouncil", {"members": ["0x" + "77" * 20], "threshold": 1}, "1"),
        ("SetParameter", {"market": 0, "name": "actions_max", "value": 7}, None),
        ("SetReporters", {"reporters": ["0x" + "77" * 20], "quorum": 1}, "1"),
        ("SetBrackets", {"market": MARKET, "brackets": LISTED["brackets"]}, "1"),
        ("ListMarket", {"market": 7, "params": LISTED}, "7"),
        (
            "Compensate",
            {
                "source": "LiquidatorVault",
                "root": "0x" + "77" * 32,
                "refunds": 2,
                "total": 9,
                "cap": 10,
                "payUntil": LATE,
            },
            "1",
        ),
    ],
)
def test_every_kind_is_signed_by_a_wallet_submitted_and_recorded(
    governed: Chain, kind: str, fields: Any, result: str | None
) -> None:
    document = typed_data(governed, kind, **fields)

    assert governed.ask("gov_submitAction", document, sign(document))["outcome"] == "queued"

    governed.seal()
    (entry,) = governed.ask("gov_getAuditLog")["entries"]
    assert (entry["kind"], entry["action"]) == (kind, document["message"])
    assert result is None or entry["result"] == result


def test_a_part_of_an_action_that_is_wrong_is_named(governed: Chain) -> None:
    for change, words in (
        ({"params": LISTED | {"k": "many"}}, "params.k"),
        ({"params": LISTED | {"more": 1}}, "params"),
        ({"params": LISTED | {"brackets": [{}]}}, "params.brackets[0]"),
        ({"params": LISTED | {"brackets": {}}}, "params.brackets"),
        ({"params": []}, "params"),
    ):
        with pytest.raises(RpcFailure) as caught:
            typed_data(governed, "ListMarket", **({"market": 7} | change))
        assert caught.value.code == -32602
        assert words in caught.value.message


def test_a_halt_is_submitted_sealed_and_recorded(governed: Chain) -> None:
    document = typed_data(governed, "Halt", height=0)

    answer = governed.ask("gov_submitAction", document, sign(document))

    assert (answer["kind"], answer["outcome"]) == ("Halt", "queued")
    governed.seal()
    assert governed.ask("perp_status")["mode"] == "HALTED"
    height = governed.seal()
    assert governed.seal() == height, "blocks are made only for governance"
    log = governed.ask("gov_getAuditLog")
    (entry,) = log["entries"]
    assert (log["length"], log["head"]) == (1, entry["hash"])
    assert entry["digest"] == answer["digest"]
    assert (entry["kind"], entry["result"]) == ("Halt", str(height))
    assert entry["action"] == document["message"]
    assert entry["signers"] == sorted("0x" + member.address.hex() for member in MEMBERS[:3])


def test_the_audit_log_can_be_recomputed_from_what_is_served(governed: Chain) -> None:
    for index in range(3):
        document = typed_data(governed, "SetMode", market=MARKET, mode=index)
        governed.ask("gov_submitAction", document, sign(document))
        governed.seal()

    log = governed.ask("gov_getAuditLog")

    previous = "0x" + "00" * 32
    for entry in log["entries"]:
        assert entry["previous"] == previous
        previous = "0x" + keccak256(bytes.fromhex(entry["record"][2:])).hex()
        assert entry["hash"] == previous
    assert log["head"] == previous
    assert [each["number"] for each in governed.ask("gov_getAuditLog", 1, 1)["entries"]] == [1]
    assert governed.ask("gov_getAuditLog", 7)["entries"] == []


def test_refusals_are_named_and_carry_the_abi_error(governed: Chain) -> None:
    document = typed_data(governed, "Halt", height=0)
    good = sign(document)

    for signatures, name in (
        (good[:2], "NotEnoughSignatures"),
        ([*good, good[0]], "DuplicateSignature"),
        ([*good, *sign(document, [OUTSIDER])], "UnknownSigner"),
        ([*good[:2], "0x00"], "MalformedSignature"),
    ):
        with pytest.raises(RpcFailure) as caught:
            governed.ask("gov_submitAction", document, signatures)
        assert caught.value.code == -32000
        assert name in caught.value.message
        assert caught.value.data is not None
        assert len(caught.value.data) >= 10
    governed.seal()
    assert governed.ask("gov_getAuditLog")["length"] == 0


def test_an_action_for_another_chain_is_named(governed: Chain) -> None:
    document = typed_data(governed, "Halt", height=0)
    document["domain"]["salt"] = "0x" + "11" * 32

    with pytest.raises(RpcFailure, match=r"domain\.salt"):
        governed.ask("gov_submitAction", document, sign(document))


def test_a_fork_is_no_action_alone(governed: Chain) -> None:
    document = typed_data(governed, "Fork", planHash="0x" + "22" * 32)

    with pytest.raises(RpcFailure, match="with its plan"):
        governed.ask("gov_submitAction", document, sign(document))


def test_where_no_block_can_be_built_a_halt_is_a_hold(governed: Chain) -> None:
    governed.sequencer.failure = HeaderMismatch(9, "state_root", 0, 1)
    document = typed_data(governed, "Halt", height=0)

    answer = governed.ask("gov_submitAction", document, sign(document))

    assert answer["outcome"] == "held"
    assert governed.ask("gov_getCouncil")["hold"]["digest"] == answer["digest"]
    status = governed.ask("perp_status")
    assert status["phase"] == "stopped"
    assert "held by the council" in status["reason"]
    other = typed_data(governed, "CancelOrders", filter=0, market=0, account="0x" + "00" * 20)
    assert governed.ask("gov_submitAction", other, sign(other))["outcome"] == "kept"
    again = typed_data(governed, "Halt", height=0)
    with pytest.raises(RpcFailure, match="held by the council at block"):
        governed.ask("gov_submitAction", again, sign(again))
    resume = typed_data(governed, "Resume")
    assert governed.ask("gov_submitAction", resume, sign(resume))["outcome"] == "lifted"
    assert governed.ask("gov_getCouncil")["hold"] is None


def test_governing_is_refused_to_foreign_origins_and_reading_is_not(governed: Chain) -> None:
    foreign = governed.context(refusal="not allowed from this origin")

    assert governed.ask("gov_getCouncil", context=foreign)["threshold"] == 3
    with pytest.raises(RpcFailure, match="not allowed from this origin"):
        governed.ask("gov_submitAction", {}, [], context=foreign)


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (governance.parse_signatures, "0x"),
        (governance.parse_signatures, ["0x"] * 101),
        (governance.parse_signatures, [5]),
        (governance.parse_number, -1),
        (governance.parse_number, True),
        (governance.parse_count, 0),
        (governance.parse_count, 1_001),
        (governance.parse_kind, []),
    ],
)
def test_arguments_of_another_form_are_refused(read: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r"want|cannot"):
        read(value)


def test_unknown_errors_stay_bugs() -> None:
    assert to_rpc_error(KeyError("x")) is None


def test_no_reorg_makes_blocks_where_the_council_halted_the_chain(governed: Chain) -> None:
    document = typed_data(governed, "Halt", height=0)
    governed.ask("gov_submitAction", document, sign(document))
    halt = governed.seal()

    with pytest.raises(RpcFailure, match="the chain is HALTED"):
        governed.ask("anvil_reorg", 0)
    governed.ask("anvil_reorg", 1)  # the halt's own block may be left

    assert governed.blockchain.head.block.header.number == halt
    assert governed.ask("perp_status")["mode"] == "CANCEL_ONLY"
