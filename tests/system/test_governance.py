"""The Governance contract through calldata: every refusal beside what is accepted."""

from typing import Any

import pytest

from node.crypto import keccak256
from node.errors import (
    ActionExpired,
    ActionExpiredAtHeight,
    ActionNonceUsed,
    DuplicateSignature,
    HaltHeightPassed,
    InvalidCancelFilter,
    InvalidMode,
    JumpNotAsAcknowledged,
    MalformedCalldata,
    MalformedSignature,
    MarketNotFound,
    NoAuditEntry,
    NoJump,
    NotAllowedInMode,
    NotEnoughSignatures,
    NotHalted,
    Refusal,
    UnknownSigner,
    WrongForkId,
)
from node.governance.action import (
    AcknowledgeJump,
    Action,
    CancelOrders,
    Fork,
    Halt,
    Kind,
    Resume,
    SetMode,
    compute_digest,
)
from node.governance.audit import ActionExecuted, entry_hash, is_whole
from node.perp.oracle import Jump, Report
from node.perp.status import CHAIN, Decree, Mode
from node.system.contracts import GOVERNANCE, contract
from node.system.dispatch import execute_call
from node.system.governance import (
    Signed,
    decode_submission,
    encode_ended_hold,
    encode_submission,
    get_audit_entries,
    get_domain,
    is_submission,
)
from node.units import Address, Hash32, Height, Ticks, TimeMs
from tests.helpers.council import COUNCIL, MEMBERS, OUTSIDER, make, sign_action
from tests.helpers.ledger import MARKET, reporter
from tests.helpers.system_ledger import DictSystemLedger, call, make_system_ledger

ANYBODY = Address(b"\x0e" * 20)
PRICE = 100


@pytest.fixture
def ledger() -> DictSystemLedger:
    made = make_system_ledger(price=PRICE)
    made.council = COUNCIL
    return made


def submit(ledger: DictSystemLedger, action: Action, signatures: list[bytes] | None = None) -> None:
    """Submit an action as anybody; what is refused must leave no trace."""
    if signatures is None:
        signatures = sign_action(action, get_domain(ledger))
    before, checkpoint = ledger.dump(), ledger.checkpoint()
    data = encode_submission(action, signatures)
    try:
        execute_call(ledger, sender=ANYBODY, to=GOVERNANCE, value=0, data=data)
    except Refusal:
        ledger.revert(checkpoint)
        assert ledger.dump() == before, "a refused action leaves a trace"
        raise


def set_halted(ledger: DictSystemLedger) -> None:
    ledger.set_status(ledger.status._replace(mode=Mode.HALTED))


# --- terms and signatures -------------------------------------------------------------------------

SAMPLES: list[Action] = [
    make(Halt, height=0),
    make(SetMode, market=MARKET, mode=Mode.POST_ONLY),
    make(CancelOrders, filter=0),
]


@pytest.mark.parametrize("action", SAMPLES, ids=lambda action: type(action).__name__)
def test_what_three_of_five_signed_is_carried_out_once(
    ledger: DictSystemLedger, action: Action
) -> None:
    submit(ledger, action)

    assert ledger.audit_log.length == 1
    with pytest.raises(ActionNonceUsed):
        submit(ledger, action)
    other = action._replace(reason="other words, the same nonce")
    with pytest.raises(ActionNonceUsed):
        submit(ledger, other)
    submit(ledger, other._replace(nonce=Hash32(keccak256(b"a new nonce"))))


@pytest.mark.parametrize("action", SAMPLES, ids=lambda action: type(action).__name__)
def test_terms_that_are_over_are_refused_by_name(ledger: DictSystemLedger, action: Any) -> None:
    seconds = ledger.time_ms // 1_000

    with pytest.raises(WrongForkId):
        submit(ledger, action._replace(fork_id=1))
    with pytest.raises(ActionExpired) as caught:
        submit(ledger, action._replace(expires_at=seconds - 1))
    assert (caught.value.expires_at, caught.value.time) == (seconds - 1, seconds)
    with pytest.raises(ActionExpiredAtHeight):
        submit(ledger, action._replace(expires_at_height=ledger.height - 1))
    submit(ledger, action._replace(expires_at=seconds, expires_at_height=ledger.height))


def test_signatures_are_refused_by_name(ledger: DictSystemLedger) -> None:
    action = make(Halt, height=0)
    domain = get_domain(ledger)
    good = sign_action(action, domain)
    elsewhere = domain._replace(genesis_hash=keccak256(b"another devnet"))

    for signatures, refusal in (
        ([], NotEnoughSignatures),
        (good[:2], NotEnoughSignatures),
        ([*good[:2], good[1]], DuplicateSignature),
        ([*good, good[0]], DuplicateSignature),
        ([*good[:2], *sign_action(action, domain, [OUTSIDER])], UnknownSigner),
        (sign_action(action, elsewhere), UnknownSigner),
        (sign_action(action._replace(height=7), domain), UnknownSigner),
        ([*good[:2], b""], MalformedSignature),
        ([*good[:2], good[2][:64]], MalformedSignature),
    ):
        with pytest.raises(refusal):
            submit(ledger, action, signatures)
    submit(ledger, action, good)


def test_a_nonce_may_be_any_32_bytes_in_any_order(ledger: DictSystemLedger) -> None:
    for number in (2**256 - 1, 0, 5, 1):
        nonce = Hash32(number.to_bytes(32, "big"))
        assert call(ledger, ANYBODY, "Governance", "isNonceUsed", nonce) == (False,)
        submit(ledger, make(CancelOrders, filter=0, nonce=nonce))
        assert call(ledger, ANYBODY, "Governance", "isNonceUsed", nonce) == (True,)


def test_a_fork_is_no_call() -> None:
    fork = make(Fork, plan_hash=Hash32(bytes(32)))

    with pytest.raises(KeyError):
        encode_submission(fork, [])


def test_a_submission_has_one_form(ledger: DictSystemLedger) -> None:
    action = make(Resume)
    data = encode_submission(action, sign_action(action, get_domain(ledger)))

    assert is_submission(data)
    decoded, signatures = decode_submission(data)
    assert (decoded, list(signatures)) == (action, sign_action(action, get_domain(ledger)))
    for other in (
        data + b"\x00",
        data[:-1],
        b"",
        contract("Governance").functions["forkId"].selector,
        b"\x01\x02\x03\x04" + data[4:],
    ):
        assert not is_submission(other)


@pytest.mark.parametrize("cut", [4, 5, 36, 100])
def test_calldata_that_is_cut_off_is_malformed(ledger: DictSystemLedger, cut: int) -> None:
    data = encode_submission(make(Halt, height=0), [])

    with pytest.raises(MalformedCalldata):
        execute_call(ledger, sender=ANYBODY, to=GOVERNANCE, value=0, data=data[:cut])


# --- rules ----------------------------------------------------------------------------------------


def test_a_halt_is_written_down_for_its_height(ledger: DictSystemLedger) -> None:
    submit(ledger, make(Halt, height=ledger.height + 5))
    assert call(ledger, ANYBODY, "Governance", "haltHeight") == (ledger.height + 5,)
    submit(ledger, make(Halt, height=ledger.height + 9))
    assert ledger.status.halt_height == ledger.height + 5
    submit(ledger, make(Halt, height=0))
    assert ledger.status.halt_height == ledger.height
    assert [entry.result for entry in ledger.audit_entries.rows.values()] == [
        ledger.height + 5,
        ledger.height + 5,
        ledger.height,
    ]


def test_a_halt_can_be_neither_past_nor_twice(ledger: DictSystemLedger) -> None:
    with pytest.raises(HaltHeightPassed) as caught:
        submit(ledger, make(Halt, height=ledger.height - 1))
    assert caught.value.height == ledger.height
    set_halted(ledger)
    with pytest.raises(NotAllowedInMode):
        submit(ledger, make(Halt, height=0))


def test_a_resume_needs_a_halt(ledger: DictSystemLedger) -> None:
    with pytest.raises(NotHalted):
        submit(ledger, make(Resume))
    set_halted(ledger)

    submit(ledger, make(Resume))

    assert ledger.status.decrees == (Decree(CHAIN, Mode.CANCEL_ONLY, Mode.OPEN),)
    assert ledger.audit_entries.rows[0].result == Mode.HALTED


@pytest.mark.parametrize("mode", list(Mode))
def test_a_market_may_be_set_to_every_mode(ledger: DictSystemLedger, mode: Mode) -> None:
    submit(ledger, make(SetMode, market=MARKET, mode=mode))

    assert ledger.status.decrees == (Decree(MARKET, mode, mode),)


def test_modes_that_may_not_be_set_are_refused(ledger: DictSystemLedger) -> None:
    for market, mode in ((MARKET, 4), (MARKET, 255), (CHAIN, Mode.HALTED), (CHAIN, 9)):
        with pytest.raises(InvalidMode):
            submit(ledger, make(SetMode, market=market, mode=mode))
    with pytest.raises(MarketNotFound):
        submit(ledger, make(SetMode, market=77, mode=Mode.OPEN))
    set_halted(ledger)
    with pytest.raises(NotAllowedInMode):
        submit(ledger, make(SetMode, market=CHAIN, mode=Mode.OPEN))
    submit(ledger, make(SetMode, market=MARKET, mode=Mode.POST_ONLY))


def test_the_later_of_two_decrees_in_a_block_counts(ledger: DictSystemLedger) -> None:
    submit(ledger, make(SetMode, market=MARKET, mode=Mode.CANCEL_ONLY))
    submit(ledger, make(SetMode, market=CHAIN, mode=Mode.POST_ONLY))
    submit(ledger, make(SetMode, market=MARKET, mode=Mode.POST_ONLY))

    assert ledger.status.decrees == (
        Decree(CHAIN, Mode.POST_ONLY, Mode.POST_ONLY),
        Decree(MARKET, Mode.POST_ONLY, Mode.POST_ONLY),
    )


@pytest.mark.parametrize(
    ("filter_code", "market", "account"),
    [
        (3, 0, bytes(20)),
        (255, 0, bytes(20)),
        (0, MARKET, bytes(20)),
        (0, 0, ANYBODY),
        (1, 0, bytes(20)),
        (1, MARKET, ANYBODY),
        (2, 0, bytes(20)),
        (2, MARKET, ANYBODY),
    ],
)
def test_a_filter_takes_its_own_fields_alone(
    ledger: DictSystemLedger, filter_code: int, market: int, account: Address
) -> None:
    with pytest.raises(InvalidCancelFilter):
        submit(ledger, make(CancelOrders, filter=filter_code, market=market, account=account))


def test_a_filter_for_a_market_that_is_not_there_is_refused(ledger: DictSystemLedger) -> None:
    with pytest.raises(MarketNotFound):
        submit(ledger, make(CancelOrders, filter=1, market=77))


def wait_with_jump(ledger: DictSystemLedger, price: int) -> None:
    for number in (1, 2):
        report = Report(Ticks(price), TimeMs(ledger.time_ms - 10))
        ledger.reports.set((MARKET, reporter(number)), report)
    oracle = ledger.oracles.get(MARKET)
    assert oracle is not None
    jump = Jump(up=True, since_ms=TimeMs(ledger.time_ms - 10), since_height=Height(5))
    ledger.oracles.set(MARKET, oracle._replace(accepted=(), jump=(jump,)))


def test_the_price_that_waits_is_accepted_if_it_is_the_one_acknowledged(
    ledger: DictSystemLedger,
) -> None:
    wait_with_jump(ledger, 200)
    for price in (0, -200, PRICE, 150, 190, 211):  # 5 % of 190 are 9.5
        with pytest.raises(JumpNotAsAcknowledged) as caught:
            submit(ledger, make(AcknowledgeJump, market=MARKET, price=price))
        assert caught.value.candidate == 200

    submit(ledger, make(AcknowledgeJump, market=MARKET, price=209))

    oracle = ledger.oracles.get(MARKET)
    assert oracle is not None
    assert (oracle.price, oracle.jump) == (200, ())
    assert ledger.audit_entries.rows[0].result == 200


def test_without_a_jump_that_waits_there_is_nothing_to_acknowledge(
    ledger: DictSystemLedger,
) -> None:
    with pytest.raises(NoJump):
        submit(ledger, make(AcknowledgeJump, market=MARKET, price=PRICE))
    with pytest.raises(MarketNotFound):
        submit(ledger, make(AcknowledgeJump, market=77, price=PRICE))
    wait_with_jump(ledger, 200)
    ledger.reports.delete((MARKET, reporter(1)))
    with pytest.raises(NoJump):
        submit(ledger, make(AcknowledgeJump, market=MARKET, price=200))
    set_halted(ledger)
    with pytest.raises(NotAllowedInMode):
        submit(ledger, make(AcknowledgeJump, market=MARKET, price=200))


# --- the audit log and the views ------------------------------------------------------------------


def test_an_entry_says_who_signed_what_when_and_with_which_result(
    ledger: DictSystemLedger,
) -> None:
    action = make(SetMode, market=MARKET, mode=Mode.HALTED)

    submit(ledger, action)

    signers = tuple(sorted(member.address for member in MEMBERS[:3]))
    digest = compute_digest(action, get_domain(ledger))
    entry = ledger.audit_entries.rows[0]
    shown = call(ledger, ANYBODY, "Governance", "getAuditEntry", 0)
    assert shown == (
        1,
        digest,
        tuple("0x" + signer.hex() for signer in signers),
        ledger.height,
        ledger.time_ms,
        Mode.OPEN,
        bytes(32),
        entry_hash(entry),
    )
    event = ledger.events[-1]
    assert event == ActionExecuted(0, entry.kind, digest, signers, 0, entry_hash(entry))
    assert call(ledger, ANYBODY, "Governance", "auditLog") == (1, entry_hash(entry))


def test_entries_are_chained(ledger: DictSystemLedger) -> None:
    assert call(ledger, ANYBODY, "Governance", "auditLog") == (0, bytes(32))
    for number in range(3):
        submit(ledger, make(CancelOrders, filter=0, nonce=Hash32(bytes(31) + bytes([number]))))

    entries = list(ledger.audit_entries.rows.values())
    assert is_whole(ledger.audit_log, entries)
    assert [entry.previous for entry in entries[1:]] == [entry_hash(each) for each in entries[:2]]


@pytest.mark.parametrize("number", [0, 1, 2**64 - 1])
def test_an_entry_that_is_not_there_is_refused(ledger: DictSystemLedger, number: int) -> None:
    with pytest.raises(NoAuditEntry):
        call(ledger, ANYBODY, "Governance", "getAuditEntry", number)


def test_the_domain_is_told_as_eip_5267_has_it(ledger: DictSystemLedger) -> None:
    shown = call(ledger, ANYBODY, "Governance", "eip712Domain")

    domain = get_domain(ledger)
    address = "0x" + GOVERNANCE.hex()
    assert shown == (
        b"\x1f",
        "perpnode",
        "1",
        domain.chain_id,
        address,
        domain.genesis_hash,
        (),
    )


def test_governance_runs_while_halted_and_nothing_else_does(ledger: DictSystemLedger) -> None:
    set_halted(ledger)

    submit(ledger, make(CancelOrders, filter=0))
    with pytest.raises(NotAllowedInMode):
        call(ledger, ANYBODY, "Token", "faucet", 1)


# --- holds that ended -----------------------------------------------------------------------------


def record_hold(ledger: DictSystemLedger, halt: Signed, resume: Signed) -> None:
    checkpoint = ledger.checkpoint()
    data = encode_ended_hold(halt, resume)
    assert is_submission(data)
    try:
        execute_call(ledger, sender=ANYBODY, to=GOVERNANCE, value=0, data=data)
    except Refusal:
        ledger.revert(checkpoint)
        raise


def signed(ledger: DictSystemLedger, action: Action, members: Any = MEMBERS[:3]) -> Signed:
    return Signed(action, sign_action(action, get_domain(ledger), members))


def test_an_ended_hold_is_recorded_and_changes_nothing_else(ledger: DictSystemLedger) -> None:
    status = ledger.status

    record_hold(ledger, signed(ledger, make(Halt, height=0)), signed(ledger, make(Resume)))

    kinds = [entry.kind for entry in get_audit_entries(ledger, 0, 10)]
    assert (kinds, ledger.status) == ([Kind.HALT, Kind.RESUME], status)


def test_both_of_an_ended_hold_are_judged_like_any_action(ledger: DictSystemLedger) -> None:
    halt, resume = make(Halt, height=0), make(Resume)
    good = signed(ledger, halt), signed(ledger, resume)
    same = make(Resume, nonce=halt.nonce)

    with pytest.raises(NotEnoughSignatures):
        record_hold(ledger, signed(ledger, halt, MEMBERS[:2]), good[1])
    with pytest.raises(NotEnoughSignatures):
        record_hold(ledger, good[0], signed(ledger, resume, MEMBERS[:2]))
    with pytest.raises(WrongForkId):
        record_hold(ledger, signed(ledger, make(Halt, height=0, fork_id=1)), good[1])
    with pytest.raises(ActionNonceUsed):
        record_hold(ledger, good[0], signed(ledger, same))
    assert ledger.audit_log.length == 0

    record_hold(ledger, *good)
    with pytest.raises(ActionNonceUsed):
        record_hold(ledger, *good)
