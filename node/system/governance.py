"""The Governance contract: the views, and the door for what the council signed.

Whoever submits an action is of no account: what counts is who signed it. An action is checked in
this order, and the first thing that is wrong is named: its branch, its time, its nonce, its
signatures, its rule. Then it is carried out and recorded in the audit log, or it changes nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from node.errors import (
    ActionNonceUsed,
    GenesisError,
    InvalidCouncil,
    InvalidValidators,
    NoAuditEntry,
    SystemAddress,
    UnknownSource,
    WrongForkId,
)
from node.governance.action import (
    NAME,
    VERSION,
    AcknowledgeJump,
    Action,
    Bracket,
    CancelOrders,
    ChangeCouncil,
    ChangeValidators,
    Compensate,
    Domain,
    Halt,
    ListMarket,
    Resume,
    ScheduleMaintenance,
    SetBrackets,
    SetMode,
    SetParameter,
    SetReporters,
    SettleMarket,
    compute_digest,
    get_signers,
    is_expired,
    make_action,
    require_current,
)
from node.governance.audit import (
    ActionExecuted,
    ActionUse,
    AuditEntry,
    AuditLog,
    append_entry,
    entry_hash,
    make_entry,
)
from node.governance.council import Council, CouncilChanged, validate_council
from node.governance.validators import ValidatorsChanged, validate_validators
from node.perp.account import SYSTEM_ADDRESS_MAX, VAULT
from node.perp.closure import process_settlement, require_settlement_price
from node.perp.compensation import NewCompensation, process_compensation
from node.perp.decrees import (
    process_cancel_filtered,
    process_halt,
    process_resume,
    process_set_mode,
)
from node.perp.listing import process_listing
from node.perp.maintenance import Maintenance, process_schedule
from node.perp.oracle import process_acknowledgement
from node.perp.parameters import MarginBracket, MarketParams
from node.perp.setting import (
    process_set_brackets,
    process_set_parameter,
    process_set_reporters,
)
from node.perp.status import CHAIN, Mode, get_mode
from node.system.contracts import CONTRACTS, GOVERNANCE, SYSTEM_ACCOUNT, contract
from node.system.handler import Handler, Handlers, Outputs
from node.system.ledger import SystemLedger
from node.system.token import get_nonce_floor
from node.units import Address, Hash32, Height, MarketId, TimeMs

ALL_FIELDS = b"\x1f"
"""EIP-5267: name, version, chain id, contract and salt are all part of the domain."""


SOURCE = CONTRACTS[VAULT].name
"""Who pays compensations, as signers read it."""


class Signed(NamedTuple):
    """An action and who agreed to it."""

    action: Action
    signatures: Sequence[bytes]


class GovernanceView(NamedTuple):
    """Who governs, and what they have set, as readers see it."""

    council: Council
    domain: Domain
    fork_id: int
    mode: Mode
    """The chain's."""
    halt_height: Height
    """The last ordinary block before a halt that is due; 0: none is."""
    maintenance: Maintenance | None
    """The window that is announced, or on."""
    audit_log: AuditLog


def compute_view(ledger: SystemLedger) -> GovernanceView:
    """Return who governs, and what they have set."""
    status = ledger.status
    return GovernanceView(
        ledger.council,
        get_domain(ledger),
        status.fork_id,
        status.mode,
        status.halt_height,
        ledger.maintenance,
        ledger.audit_log,
    )


def get_audit_entries(ledger: SystemLedger, first: int, count: int) -> list[AuditEntry]:
    """Return so many entries of the audit log from `first` on, as far as there are any."""
    last = min(first + count, ledger.audit_log.length)
    found = [ledger.audit_entries.get(number) for number in range(first, last)]
    return [entry for entry in found if entry is not None]


def get_domain(ledger: SystemLedger) -> Domain:
    """Return the chain that actions must be signed for."""
    return Domain(ledger.chain_id, ledger.genesis_hash)


def get_verified_signers(
    ledger: SystemLedger, action: Action, signatures: Sequence[bytes]
) -> tuple[Address, ...]:
    """Return who signed an action that is good now, before its own rule is asked.

    Raises WrongForkId, ActionExpired, ActionExpiredAtHeight, ActionNonceUsed, MalformedSignature,
    UnknownSigner, DuplicateSignature or NotEnoughSignatures.
    """
    require_current(
        action, fork_id=ledger.status.fork_id, time_ms=ledger.time_ms, height=ledger.height
    )
    if ledger.action_uses.get(action.nonce) is not None:
        raise ActionNonceUsed(action.nonce)
    digest = compute_digest(action, get_domain(ledger))
    return get_signers(digest, signatures, ledger.council)


def process_action(ledger: SystemLedger, action: Action, signatures: Sequence[bytes]) -> None:
    """Carry out what the council signed and record it; raise the Refusal that stands against it."""
    signers = get_verified_signers(ledger, action, signatures)
    result = int(_RULES[type(action)](ledger, action))
    process_record(ledger, action, signers, result)


def process_record(
    ledger: SystemLedger, action: Action, signers: tuple[Address, ...], result: int
) -> None:
    """Use up an action's nonce and append it to the audit log."""
    log = ledger.audit_log
    entry = make_entry(
        log,
        action,
        digest=compute_digest(action, get_domain(ledger)),
        signers=signers,
        height=ledger.height,
        time_ms=ledger.time_ms,
        fork_id=ledger.status.fork_id,
        result=result,
    )
    ledger.action_uses.set(action.nonce, ActionUse(entry.number))
    ledger.audit_entries.set(entry.number, entry)
    ledger.set_audit_log(append_entry(log, entry))
    ledger.emit(
        ActionExecuted(entry.number, entry.kind, entry.digest, signers, result, entry_hash(entry))
    )


def process_ended_hold(ledger: SystemLedger, halt: Signed, resume: Signed) -> None:
    """Record a halt that nodes obeyed outside of the state, and the resume that ended it.

    The halt was judged when they took it, and may have expired since. So that no resume that is
    over takes along a halt that is good, the resume must be current, or both be over: then they
    have no other effect any more than to be recorded. Raises the Refusal that stands against one.
    """
    height, time_ms, fork_id = ledger.height, ledger.time_ms, ledger.status.fork_id
    is_over = is_expired(resume.action, time_ms=time_ms, height=height)
    if is_over and not is_expired(halt.action, time_ms=time_ms, height=height):
        require_current(resume.action, fork_id=fork_id, time_ms=time_ms, height=height)
    _record_held(ledger, halt, ledger.height - 1)
    before = ledger.status
    if not is_over and (before.mode == Mode.HALTED or before.halt_height):
        process_resume(ledger)
    _record_held(ledger, resume, int(before.mode))


def _record_held(ledger: SystemLedger, signed: Signed, result: int) -> None:
    if signed.action.fork_id != ledger.status.fork_id:
        raise WrongForkId(signed.action.fork_id, ledger.status.fork_id)
    if ledger.action_uses.get(signed.action.nonce) is not None:
        raise ActionNonceUsed(signed.action.nonce)
    digest = compute_digest(signed.action, get_domain(ledger))
    signers = get_signers(digest, signed.signatures, ledger.council)
    process_record(ledger, signed.action, signers, result)


def encode_ended_hold(halt: Signed, resume: Signed) -> bytes:
    """Return the calldata by which a hold that a resume ended is recorded."""
    return _RECORD_HOLD.encode_call(*halt, *resume)


def decode_ended_hold(data: bytes) -> tuple[Signed, Signed] | None:
    """Return the halt and the resume of such calldata; None if it is none."""
    if data[:4] != _RECORD_HOLD.selector:
        return None
    halt, halt_signatures, resume, resume_signatures = _RECORD_HOLD.inputs.decode(data, 4)
    return Signed(Halt(*halt), halt_signatures), Signed(Resume(*resume), resume_signatures)


def encode_submission(action: Action, signatures: Sequence[bytes]) -> bytes:
    """Return the calldata by which an action is submitted; KeyError for a fork, which is none."""
    function = contract("Governance").functions[FUNCTIONS[type(action)]]
    return function.encode_call(action, signatures)


def decode_submission(data: bytes) -> tuple[Action, Sequence[bytes]]:
    """Return action and signatures of a submission; ValueError if the calldata is none."""
    for action_class, name in FUNCTIONS.items():
        function = contract("Governance").functions[name]
        if data[:4] == function.selector:
            fields, signatures = function.inputs.decode(data, 4)
            return make_action(action_class, fields), signatures
    raise ValueError(f"0x{data[:4].hex()} is no function that takes an action")


def is_submission(data: bytes) -> bool:
    """Tell whether calldata submits an action, in its one form: nothing may follow it."""
    try:
        ended = decode_ended_hold(data)
        if ended is not None:
            return encode_ended_hold(*ended) == data
        return encode_submission(*decode_submission(data)) == data
    except ValueError:
        return False


FUNCTIONS: Mapping[type[Action], str] = {
    Halt: "halt",
    SetMode: "setMode",
    CancelOrders: "cancelOrders",
    AcknowledgeJump: "acknowledgeJump",
    Resume: "resume",
    ScheduleMaintenance: "scheduleMaintenance",
    SettleMarket: "settleMarket",
    ChangeCouncil: "changeCouncil",
    ChangeValidators: "changeValidators",
    SetParameter: "setParameter",
    SetReporters: "setReporters",
    SetBrackets: "setBrackets",
    ListMarket: "listMarket",
    Compensate: "compensate",
}
"""Which function takes which kind; a fork is a plan that nodes carry out, not a call."""


def _schedule(ledger: SystemLedger, action: ScheduleMaintenance) -> int:
    window = Maintenance(
        Height(action.start_height), Height(action.halt_height), TimeMs(action.end_ms)
    )
    process_schedule(ledger, window)
    return window.halt_height


def _settle(ledger: SystemLedger, action: SettleMarket) -> int:
    if not action.beyond_max_move:
        require_settlement_price(ledger, action.market, action.price)
    return process_settlement(ledger, action.market, action.price)


def _change_council(ledger: SystemLedger, action: ChangeCouncil) -> int:
    council = Council(action.members, action.threshold)
    _require_people(council.members)
    try:
        validate_council(council)
    except GenesisError as error:
        raise InvalidCouncil(error.message) from None
    ledger.set_council(council)
    ledger.emit(CouncilChanged(*council))
    return len(council.members)


def _change_validators(ledger: SystemLedger, action: ChangeValidators) -> int:
    """Set who attests the next block; whoever trusts this set may follow the chain to it."""
    validators = ledger.next_validators._replace(members=action.validators)
    try:
        validate_validators(validators)
    except GenesisError as error:
        raise InvalidValidators(error.message) from None
    if not validators.members:
        raise InvalidValidators("validators: is empty, name at least one: nobody would attest")
    ledger.set_validators(validators)
    ledger.emit(ValidatorsChanged(validators.members))
    return len(validators.members)


def _set_reporters(ledger: SystemLedger, action: SetReporters) -> int:
    _require_people(action.reporters)
    return process_set_reporters(ledger, action.reporters, action.quorum)


def _list_market(ledger: SystemLedger, action: ListMarket) -> int:
    values = action.params._asdict() | {"brackets": _make_brackets(action.params.brackets)}
    return process_listing(ledger, action.market, MarketParams(**values))


def _compensate(ledger: SystemLedger, action: Compensate) -> int:
    if action.source != SOURCE:
        raise UnknownSource(action.source)
    return process_compensation(
        ledger,
        NewCompensation(action.root, action.refunds, action.total, action.cap, action.pay_until),
    )


def _make_brackets(brackets: Sequence[Bracket]) -> tuple[MarginBracket, ...]:
    return tuple(MarginBracket(*each) for each in brackets)


def _require_people(addresses: Sequence[Address]) -> None:
    """Raise SystemAddress for one that is no person's."""
    for address in addresses:
        if address <= SYSTEM_ADDRESS_MAX or address == SYSTEM_ACCOUNT:
            raise SystemAddress(address)


_RULES: Mapping[type[Action], Callable[[SystemLedger, Any], int]] = {
    Halt: lambda ledger, action: process_halt(ledger, Height(action.height)),
    SetMode: lambda ledger, action: process_set_mode(ledger, action.market, action.mode),
    CancelOrders: lambda ledger, action: process_cancel_filtered(
        ledger, action.filter, action.market, action.account
    ),
    AcknowledgeJump: lambda ledger, action: process_acknowledgement(
        ledger, action.market, action.price
    ),
    Resume: lambda ledger, _: process_resume(ledger),
    ScheduleMaintenance: _schedule,
    SettleMarket: _settle,
    ChangeCouncil: _change_council,
    ChangeValidators: _change_validators,
    SetParameter: lambda ledger, action: process_set_parameter(
        ledger, action.market, action.name, action.value
    ),
    SetReporters: _set_reporters,
    SetBrackets: lambda ledger, action: process_set_brackets(
        ledger, action.market, _make_brackets(action.brackets)
    ),
    ListMarket: _list_market,
    Compensate: _compensate,
}
"""What each kind does to the exchange; returns the audit log's result."""


_RECORD_HOLD = contract("Governance").functions["recordHold"]


# --- functions ------------------------------------------------------------------------------------


def _submit(action_class: type[Action]) -> Handler:
    def submit(
        ledger: SystemLedger, _: Address, fields: Sequence[Any], signatures: Sequence[bytes]
    ) -> Outputs:
        process_action(ledger, make_action(action_class, fields), signatures)
        return ()

    return submit


def record_hold(
    ledger: SystemLedger,
    _: Address,
    halt: Sequence[Any],
    halt_signatures: Sequence[bytes],
    resume: Sequence[Any],
    resume_signatures: Sequence[bytes],
) -> Outputs:
    """Record a hold that a resume ended."""
    process_ended_hold(
        ledger, Signed(Halt(*halt), halt_signatures), Signed(Resume(*resume), resume_signatures)
    )
    return ()


def view_mode(ledger: SystemLedger, _: Address, market: MarketId) -> Outputs:
    """Return the stricter of the chain's mode and the market's; the chain's for market 0."""
    return (ledger.status.mode if market == CHAIN else get_mode(ledger, market),)


def view_nonce(ledger: SystemLedger, _: Address, nonce: Hash32) -> Outputs:
    """Tell whether an action of this nonce was carried out."""
    return (ledger.action_uses.get(nonce) is not None,)


def view_audit_entry(ledger: SystemLedger, _: Address, number: int) -> Outputs:
    """Return an entry of the audit log; raise NoAuditEntry."""
    length = ledger.audit_log.length
    entry = ledger.audit_entries.get(number) if number < length else None
    if entry is None:
        raise NoAuditEntry(number, length)
    return (
        entry.kind,
        entry.digest,
        entry.signers,
        entry.height,
        entry.time_ms,
        entry.result,
        entry.previous,
        entry_hash(entry),
    )


def view_domain(ledger: SystemLedger, _: Address) -> Outputs:
    """Return the domain of what members sign (EIP-5267)."""
    domain = get_domain(ledger)
    return ALL_FIELDS, NAME, VERSION, domain.chain_id, GOVERNANCE, domain.genesis_hash, ()


HANDLERS: Handlers = {
    **{name: _submit(action_class) for action_class, name in FUNCTIONS.items()},
    "recordHold": record_hold,
    "getMode": view_mode,
    "forkId": lambda ledger, _: (ledger.status.fork_id,),
    "nonceFloor": lambda ledger, _: (get_nonce_floor(ledger),),
    "council": lambda ledger, _: (ledger.council.members,),
    "threshold": lambda ledger, _: (ledger.council.threshold,),
    "haltHeight": lambda ledger, _: (ledger.status.halt_height,),
    "isNonceUsed": view_nonce,
    "auditLog": lambda ledger, _: ledger.audit_log,
    "getAuditEntry": view_audit_entry,
    "eip712Domain": view_domain,
}
