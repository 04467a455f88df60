"""What members sign: our digest is every wallet's, and nobody is counted who did not sign it."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from node.crypto import keccak256
from node.errors import (
    ActionExpired,
    ActionExpiredAtHeight,
    DuplicateSignature,
    EncodingError,
    MalformedSignature,
    NotEnoughSignatures,
    UnknownSigner,
    WrongForkId,
)
from node.governance.action import (
    CLASSES,
    FIELDS,
    KINDS,
    STRUCT_FIELDS,
    STRUCTS,
    VERIFYING_CONTRACT,
    Action,
    Bracket,
    Domain,
    Field,
    Fork,
    Halt,
    Kind,
    NewMarket,
    Resume,
    compute_digest,
    decode_action,
    encode_action,
    get_signers,
    make_action,
    recover_signer,
    require_current,
)
from node.governance.typed_data import render_typed_data
from node.perp.parameters import MarginBracket, MarketParams
from node.system.contracts import GOVERNANCE, contract
from node.units import Hash32, Height, TimeMs
from tests.conformance.trade import HERE as CONFORMANCE
from tests.conformance.trade import NODE_MODULES
from tests.helpers.council import COUNCIL, MEMBERS, OUTSIDER, make, sign_action, signature_of
from tests.system.published import camel_case, values_of

DOMAIN = Domain(20260119, keccak256(b"genesis"))
ELSEWHERE = Domain(20260119, keccak256(b"another devnet"))


@st.composite
def actions(draw: st.DrawFn) -> Action:
    """Return any action, each field anything that its type holds."""
    action_class = draw(st.sampled_from(list(FIELDS)))
    return make_action(
        action_class, [draw(values_of(abi_type(f.type))) for f in FIELDS[action_class]]
    )


def abi_type(name: str) -> str:
    """Return a field's type with its structs spelled out, as the ABI has it."""
    if name.endswith("[]"):
        return abi_type(name[:-2]) + "[]"
    if name in STRUCTS:
        return "(" + ",".join(abi_type(field.type) for field in STRUCT_FIELDS[name]) + ")"
    return name


@given(actions())
def test_the_digest_is_the_one_that_eth_account_signs(action: Action) -> None:
    document = json.loads(json.dumps(render_typed_data(action, DOMAIN)))
    signed = Account.sign_message(encode_typed_data(full_message=document), MEMBERS[0].key)

    digest = compute_digest(action, DOMAIN)

    assert digest == signed.message_hash
    assert recover_signer(digest, bytes(signed.signature)) == MEMBERS[0].address


def test_viem_and_ethers_sign_the_same_digest_of_every_kind() -> None:
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / "viem").is_dir():
        pytest.skip("viem is not here: `npm ci` in tests/conformance installs it")
    samples = [make_sample(kind) for kind in Kind]
    documents = [render_typed_data(action, DOMAIN) for action in samples]
    key = "0x" + MEMBERS[0].key.hex()
    done = subprocess.run(
        [node, "typed_data.mjs", json.dumps({"key": key, "documents": documents})],
        cwd=CONFORMANCE,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]

    answers: list[dict[str, Any]] = json.loads(done.stdout)

    for action, answer in zip(samples, answers, strict=True):
        digest = compute_digest(action, DOMAIN)
        assert answer["digests"] == ["0x" + digest.hex()] * 2
        for signature in answer["signatures"]:
            assert recover_signer(digest, bytes.fromhex(signature[2:])) == MEMBERS[0].address


def make_sample(kind: Kind) -> Action:
    """Return an action of a kind with small, different values, negative where that is possible."""
    values: dict[str, Any] = {
        "bool": True,
        "uint8": 2,
        "uint32": 7,
        "uint64": 2**53 + 11,
        "int64": -5,
        "bytes32": keccak256(b"nonce"),
        "address": MEMBERS[1].address,
        "string": "prices were wrong \u2013 all of them",
    }

    def sample(name: str) -> Any:
        if name.endswith("[]"):
            return [sample(name[:-2])] * 2
        if name in STRUCTS:
            return [sample(field.type) for field in STRUCT_FIELDS[name]]
        return values[name]

    return make_action(CLASSES[kind], [sample(field.type) for field in FIELDS[CLASSES[kind]]])


def test_structs_are_those_of_the_contract() -> None:
    abi = {entry["name"]: entry for entry in contract("Governance").abi}
    assert VERIFYING_CONTRACT == GOVERNANCE
    assert list(KINDS.values()) == list(Kind)

    for action_class, fields in FIELDS.items():
        names = [camel_case(name) for name in action_class._fields]
        assert [field.name for field in fields] == names
        if action_class is Fork:
            continue
        function = abi[action_class.__name__[0].lower() + action_class.__name__[1:]]
        _require_same(function["inputs"][0]["components"], fields)


def _require_same(components: list[dict[str, Any]], fields: Sequence[Field]) -> None:
    """Compare an ABI's struct with ours, and the structs within it."""
    for component, field in zip(components, fields, strict=True):
        assert component["name"] == field.name
        name = field.type.removesuffix("[]")
        if name not in STRUCTS:
            assert component["type"] == field.type
            continue
        assert component["type"] == field.type.replace(name, "tuple")
        assert component["internalType"] == f"struct IGovernance.{field.type}"
        names = [camel_case(each) for each in STRUCTS[name].made._fields]  # type: ignore[attr-defined]
        assert [each.name for each in STRUCT_FIELDS[name]] == names
        _require_same(component["components"], STRUCT_FIELDS[name])


def test_a_new_market_has_every_parameter_that_genesis_gives_one() -> None:
    assert NewMarket._fields == MarketParams._fields
    assert Bracket._fields == MarginBracket._fields


@given(actions())
def test_an_action_has_one_record_form(action: Action) -> None:
    data = encode_action(action)

    assert decode_action(KINDS[type(action)], data) == action
    with pytest.raises(EncodingError):
        decode_action(KINDS[type(action)], data + b"\x00")


def test_another_field_chain_or_genesis_is_another_digest() -> None:
    halt = make(Halt, height=5)
    digests = {
        compute_digest(halt, DOMAIN),
        compute_digest(halt._replace(height=6), DOMAIN),
        compute_digest(halt._replace(reason="other"), DOMAIN),
        compute_digest(halt, DOMAIN._replace(chain_id=1)),
        compute_digest(halt, ELSEWHERE),
    }

    assert len(digests) == 5


# --- signatures -----------------------------------------------------------------------------------

HALT = make(Halt, height=0)
DIGEST = compute_digest(HALT, DOMAIN)


def test_the_threshold_of_members_is_enough_in_any_order_and_more_is_no_harm() -> None:
    three = sign_action(HALT, DOMAIN)
    expected = tuple(sorted(member.address for member in MEMBERS[:3]))

    assert get_signers(DIGEST, three, COUNCIL) == expected
    assert get_signers(DIGEST, three[::-1], COUNCIL) == expected
    assert len(get_signers(DIGEST, sign_action(HALT, DOMAIN, MEMBERS), COUNCIL)) == 5


def test_wallets_that_count_v_from_0_are_understood() -> None:
    signatures = [each[:64] + bytes([each[64] - 27]) for each in sign_action(HALT, DOMAIN)]

    assert len(get_signers(DIGEST, signatures, COUNCIL)) == 3


def test_too_few_are_refused() -> None:
    with pytest.raises(NotEnoughSignatures) as caught:
        get_signers(DIGEST, sign_action(HALT, DOMAIN, MEMBERS[:2]), COUNCIL)

    assert (caught.value.signatures, caught.value.threshold) == (2, 3)


def test_a_member_twice_is_refused_even_beside_enough_others() -> None:
    for members in ([0, 1, 1], [0, 1, 2, 0]):
        with pytest.raises(DuplicateSignature) as caught:
            get_signers(DIGEST, sign_action(HALT, DOMAIN, [MEMBERS[i] for i in members]), COUNCIL)
        assert caught.value.signer == MEMBERS[members[-1]].address


def test_an_outsider_is_refused_even_beside_enough_others() -> None:
    with pytest.raises(UnknownSigner) as caught:
        get_signers(DIGEST, sign_action(HALT, DOMAIN, [*MEMBERS, OUTSIDER]), COUNCIL)

    assert caught.value.signer == OUTSIDER.address


def test_a_signature_for_another_chain_or_of_other_words_is_somebody_elses() -> None:
    good = sign_action(HALT, DOMAIN)

    for bad in (
        sign_action(HALT, ELSEWHERE, MEMBERS[3:4]),
        sign_action(HALT, DOMAIN._replace(chain_id=1), MEMBERS[3:4]),
        sign_action(HALT._replace(height=9), DOMAIN, MEMBERS[3:4]),
    ):
        with pytest.raises(UnknownSigner):
            get_signers(DIGEST, [*good, *bad], COUNCIL)


@pytest.mark.parametrize("change", ["short", "long", "v", "zero", "high s"])
def test_a_malformed_signature_is_named_by_its_index(change: str) -> None:
    good = sign_action(HALT, DOMAIN)
    last = good[2]
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high_s = (order - int.from_bytes(last[32:64], "big")).to_bytes(32, "big")
    bad = {
        "short": last[:64],
        "long": last + b"\x00",
        "v": last[:64] + b"\x02",
        "zero": bytes(65),
        "high s": last[:32] + high_s + bytes([55 - last[64]]),
    }[change]

    with pytest.raises(MalformedSignature) as caught:
        get_signers(DIGEST, [*good[:2], bad], COUNCIL)

    assert caught.value.index == 2


@given(st.lists(st.binary(min_size=60, max_size=70), max_size=4))
def test_junk_is_never_counted(signatures: list[bytes]) -> None:
    with pytest.raises((MalformedSignature, UnknownSigner, NotEnoughSignatures)):
        get_signers(DIGEST, signatures, COUNCIL)


# --- terms ----------------------------------------------------------------------------------------


def test_an_action_is_good_up_to_its_last_second_and_its_last_block() -> None:
    action = make(Halt, height=0, fork_id=2, expires_at=1_000, expires_at_height=50)

    def require(fork_id: int = 2, time_ms: int = 1_000_999, height: int = 50) -> None:
        require_current(action, fork_id=fork_id, time_ms=TimeMs(time_ms), height=Height(height))

    require()
    with pytest.raises(WrongForkId):
        require(fork_id=1)
    with pytest.raises(WrongForkId):
        require(fork_id=3)
    with pytest.raises(ActionExpired):
        require(time_ms=1_001_000)
    with pytest.raises(ActionExpiredAtHeight):
        require(height=51)


@pytest.mark.parametrize("action_class", [Resume, Fork])
def test_a_resume_and_a_fork_expire_by_time_alone(action_class: type[Any]) -> None:
    fields = {"plan_hash": Hash32(bytes(32))} if action_class is Fork else {}
    action = make(action_class, **fields, expires_at=1_000)

    require_current(action, fork_id=0, time_ms=TimeMs(1_000_000), height=Height(2**60))
    with pytest.raises(ActionExpired):
        require_current(action, fork_id=0, time_ms=TimeMs(1_001_000), height=Height(0))


def test_signing_a_digest_is_what_a_wallet_does() -> None:
    signature = signature_of(DIGEST, MEMBERS[0])

    assert (
        Account._recover_hash(DIGEST, signature=signature)
        == Account.from_key(MEMBERS[0].key).address
    )
