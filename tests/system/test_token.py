"""The collateral token (RULES M3, I9; EIP-20, EIP-2612, EIP-6093)."""

from typing import Any

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from node.errors import (
    ERC20InsufficientAllowance,
    ERC20InsufficientBalance,
    ERC20InvalidReceiver,
    ERC2612ExpiredSignature,
    ERC2612InvalidSigner,
    FaucetLimitExceeded,
    Refusal,
    TransferToSystemContract,
)
from node.perp.account import EXCHANGE, FEES, market_address
from node.system.contracts import CONTRACTS, TOKEN
from node.system.invariants import check_state
from node.system.token import NOBODY, UNLIMITED, Allowance, Approval, Transfer, get_allowance
from node.units import Address, MarketId, Quote
from tests.helpers.ledger import trader
from tests.helpers.system_ledger import (
    CHAIN_ID,
    FAUCET,
    DictSystemLedger,
    call,
    give_tokens,
    make_system_ledger,
)

OWNER, SPENDER, RECEIVER = trader(1), trader(2), trader(3)
OWNER_KEY = b"\x01" * 32
SIGNER = Address(bytes.fromhex(Account.from_key(OWNER_KEY).address[2:]))
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def token(ledger: DictSystemLedger, sender: Address, function: str, *arguments: Any) -> Any:
    return call(ledger, sender, "Token", function, *arguments)


def balance(ledger: DictSystemLedger, account: Address) -> int:
    (amount,) = token(ledger, OWNER, "balanceOf", account)
    assert isinstance(amount, int)
    return amount


def sign_permit(ledger: DictSystemLedger, **changes: int | str | bytes) -> tuple[int, bytes, bytes]:
    """Sign a permit for 50 atoms in eth-account, as a wallet would; change any of its fields."""
    (nonce,) = token(ledger, OWNER, "nonces", SIGNER)
    values: dict[str, Any] = {
        "chainId": CHAIN_ID,
        "verifyingContract": TOKEN,
        "owner": SIGNER,
        "spender": SPENDER,
        "value": 50,
        "nonce": nonce,
        "deadline": ledger.time_ms // 1_000,
    } | changes
    domain = {"name": "USDC", "version": "1"} | {
        name: values.pop(name) for name in ("chainId", "verifyingContract")
    }
    types = {
        "Permit": [
            {"name": "owner", "type": "address"},
            {"name": "spender", "type": "address"},
            {"name": "value", "type": "uint256"},
            {"name": "nonce", "type": "uint256"},
            {"name": "deadline", "type": "uint256"},
        ]
    }
    signed = Account.sign_typed_data(OWNER_KEY, domain, types, values)
    return signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")


def permit(ledger: DictSystemLedger, signature: tuple[int, bytes, bytes], **changes: int) -> None:
    values = {"value": 50, "deadline": ledger.time_ms // 1_000} | changes
    arguments = (SIGNER, SPENDER, values["value"], values["deadline"], *signature)
    token(ledger, RECEIVER, "permit", *arguments)


# --- EIP-20 ---------------------------------------------------------------------------------------


def test_it_describes_itself_as_usdc() -> None:
    ledger = make_system_ledger()

    assert token(ledger, OWNER, "name") == ("USDC",)
    assert token(ledger, OWNER, "symbol") == ("USDC",)
    assert token(ledger, OWNER, "decimals") == (6,)


def test_a_transfer_moves_tokens_and_says_so() -> None:
    ledger = make_system_ledger()
    give_tokens(ledger, OWNER, 100)
    ledger.events.clear()

    assert token(ledger, OWNER, "transfer", RECEIVER, 30) == (True,)

    assert (balance(ledger, OWNER), balance(ledger, RECEIVER)) == (70, 30)
    assert ledger.events == [Transfer(OWNER, RECEIVER, Quote(30))]


def test_a_transfer_of_everything_leaves_no_record() -> None:
    ledger = make_system_ledger()
    give_tokens(ledger, OWNER, 100)

    token(ledger, OWNER, "transfer", RECEIVER, 100)

    assert ledger.token_balances.get(OWNER) is None


def test_a_transfer_to_oneself_changes_nothing() -> None:
    ledger = make_system_ledger()
    give_tokens(ledger, OWNER, 100)

    token(ledger, OWNER, "transfer", OWNER, 100)

    assert balance(ledger, OWNER) == 100


def test_a_transfer_of_nothing_is_a_transfer() -> None:
    ledger = make_system_ledger()

    token(ledger, OWNER, "transfer", RECEIVER, 0)

    assert ledger.events == [Transfer(OWNER, RECEIVER, Quote(0))]
    assert ledger.token_balances.rows == {}


@pytest.mark.parametrize("amount", [101, UNLIMITED])
def test_nobody_sends_more_than_there_is(amount: int) -> None:
    ledger = make_system_ledger()
    give_tokens(ledger, OWNER, 100)

    with pytest.raises(ERC20InsufficientBalance) as refused:
        token(ledger, OWNER, "transfer", RECEIVER, amount)

    assert refused.value.balance == 100
    assert refused.value.needed == amount


def test_nobody_receives_at_the_zero_address() -> None:
    ledger = make_system_ledger()
    give_tokens(ledger, OWNER, 100)

    with pytest.raises(ERC20InvalidReceiver):
        token(ledger, OWNER, "transfer", NOBODY, 1)


@pytest.mark.parametrize("system", [*CONTRACTS, FEES, market_address(MarketId(1))], ids=bytes.hex)
def test_tokens_are_not_stranded_at_a_system_address(system: Address) -> None:
    ledger = make_system_ledger()
    give_tokens(ledger, OWNER, 100)
    token(ledger, OWNER, "approve", SPENDER, 100)

    with pytest.raises(TransferToSystemContract):
        token(ledger, OWNER, "transfer", system, 1)
    with pytest.raises(TransferToSystemContract):
        token(ledger, SPENDER, "transferFrom", OWNER, system, 1)


def test_an_ordinary_low_address_may_receive() -> None:
    ledger = make_system_ledger()
    give_tokens(ledger, OWNER, 100)
    burn = Address(bytes(18) + b"\xde\xad")

    token(ledger, OWNER, "transfer", burn, 1)

    assert balance(ledger, burn) == 1


def test_a_spender_moves_what_it_was_allowed() -> None:
    ledger = make_system_ledger()
    give_tokens(ledger, OWNER, 100)
    token(ledger, OWNER, "approve", SPENDER, 60)
    assert ledger.events[-1] == Approval(OWNER, SPENDER, 60)

    assert token(ledger, SPENDER, "transferFrom", OWNER, RECEIVER, 40) == (True,)

    assert (balance(ledger, OWNER), balance(ledger, RECEIVER)) == (60, 40)
    assert token(ledger, OWNER, "allowance", OWNER, SPENDER) == (20,)
    with pytest.raises(ERC20InsufficientAllowance) as refused:
        token(ledger, SPENDER, "transferFrom", OWNER, RECEIVER, 21)
    assert (refused.value.allowance, refused.value.needed) == (20, 21)


def test_an_owner_needs_an_allowance_to_be_its_own_spender() -> None:
    ledger = make_system_ledger()
    give_tokens(ledger, OWNER, 100)

    with pytest.raises(ERC20InsufficientAllowance):
        token(ledger, OWNER, "transferFrom", OWNER, RECEIVER, 1)


def test_an_unlimited_allowance_never_falls() -> None:
    ledger = make_system_ledger()
    give_tokens(ledger, OWNER, 100)
    token(ledger, OWNER, "approve", SPENDER, UNLIMITED)

    token(ledger, SPENDER, "transferFrom", OWNER, RECEIVER, 40)

    assert token(ledger, OWNER, "allowance", OWNER, SPENDER) == (UNLIMITED,)


def test_an_allowance_used_up_leaves_no_record() -> None:
    ledger = make_system_ledger()
    give_tokens(ledger, OWNER, 100)
    token(ledger, OWNER, "approve", SPENDER, 40)

    token(ledger, SPENDER, "transferFrom", OWNER, RECEIVER, 40)

    assert ledger.allowances.rows == {}


def test_a_record_that_names_another_spender_allows_nothing() -> None:
    ledger = make_system_ledger()
    give_tokens(ledger, OWNER, 100)
    # As if the keys of two spenders had the same digest.
    ledger.allowances.set((OWNER, SPENDER), Allowance(RECEIVER, 100))

    with pytest.raises(ERC20InsufficientAllowance):
        token(ledger, SPENDER, "transferFrom", OWNER, RECEIVER, 1)
    token(ledger, OWNER, "approve", SPENDER, 0)

    assert ledger.allowances.get((OWNER, SPENDER)) == Allowance(RECEIVER, 100)
    assert get_allowance(ledger, owner=OWNER, spender=SPENDER) == 0


# --- faucet ---------------------------------------------------------------------------------------


def test_the_faucet_mints_up_to_its_cap_for_each_account() -> None:
    ledger = make_system_ledger()

    token(ledger, OWNER, "faucet", FAUCET - 1)
    token(ledger, SPENDER, "faucet", FAUCET)

    assert ledger.events[0] == Transfer(NOBODY, OWNER, Quote(FAUCET - 1))
    assert token(ledger, OWNER, "totalSupply") == (2 * FAUCET - 1,)
    assert token(ledger, OWNER, "faucetAvailable", OWNER) == (1,)
    with pytest.raises(FaucetLimitExceeded) as refused:
        token(ledger, OWNER, "faucet", 2)
    assert (refused.value.amount, refused.value.available) == (2, 1)


def test_spending_does_not_renew_the_faucet() -> None:
    ledger = make_system_ledger()
    token(ledger, OWNER, "faucet", FAUCET)
    token(ledger, OWNER, "transfer", RECEIVER, FAUCET)

    with pytest.raises(FaucetLimitExceeded):
        token(ledger, OWNER, "faucet", 1)


def test_there_is_no_faucet_where_its_cap_is_zero() -> None:
    ledger = make_system_ledger()
    ledger.set_token(ledger.token._replace(faucet_per_account=Quote(0)))

    assert token(ledger, OWNER, "faucetAvailable", OWNER) == (0,)
    with pytest.raises(FaucetLimitExceeded):
        token(ledger, OWNER, "faucet", 1)


# --- EIP-2612 -------------------------------------------------------------------------------------


def test_a_permit_signed_in_eth_account_sets_the_allowance() -> None:
    ledger = make_system_ledger()

    permit(ledger, sign_permit(ledger))

    assert token(ledger, OWNER, "allowance", SIGNER, SPENDER) == (50,)
    assert token(ledger, OWNER, "nonces", SIGNER) == (1,)
    assert ledger.events == [Approval(SIGNER, SPENDER, 50)]


def test_a_permit_counts_once() -> None:
    ledger = make_system_ledger()
    signature = sign_permit(ledger)
    permit(ledger, signature)

    with pytest.raises(ERC2612InvalidSigner):
        permit(ledger, signature)


@pytest.mark.parametrize(
    "signed",
    [
        {"chainId": CHAIN_ID + 1},
        {"verifyingContract": EXCHANGE},
        {"spender": RECEIVER},
        {"value": 51},
        {"nonce": 1},
        {"deadline": 2**255},
    ],
    ids=lambda signed: next(iter(signed)),
)
def test_a_permit_for_anything_else_is_refused(signed: dict[str, Any]) -> None:
    ledger = make_system_ledger()

    with pytest.raises(ERC2612InvalidSigner) as refused:
        permit(ledger, sign_permit(ledger, **signed))

    assert refused.value.owner == SIGNER
    assert token(ledger, OWNER, "nonces", SIGNER) == (0,)


def test_a_permit_holds_through_the_second_of_its_deadline() -> None:
    ledger = make_system_ledger()
    deadline = ledger.time_ms // 1_000 - 1
    signature = sign_permit(ledger, deadline=deadline)

    with pytest.raises(ERC2612ExpiredSignature):
        permit(ledger, signature, deadline=deadline)


@pytest.mark.parametrize("v", [0, 1, 26, 29, 255])
def test_a_permit_with_another_v_is_nobodys(v: int) -> None:
    ledger = make_system_ledger()
    _, r, s = sign_permit(ledger)

    with pytest.raises(ERC2612InvalidSigner) as refused:
        permit(ledger, (v, r, s))

    assert refused.value.signer == NOBODY


def test_a_malleated_permit_is_nobodys() -> None:
    ledger = make_system_ledger()
    v, r, s = sign_permit(ledger)
    high = CURVE_ORDER - int.from_bytes(s, "big")

    with pytest.raises(ERC2612InvalidSigner) as refused:
        permit(ledger, (55 - v, r, high.to_bytes(32, "big")))

    assert refused.value.signer == NOBODY


def test_a_permit_can_not_be_made_for_the_zero_address() -> None:
    ledger = make_system_ledger()

    with pytest.raises(ERC2612InvalidSigner):
        token(ledger, OWNER, "permit", NOBODY, SPENDER, 50, 2**64, 27, bytes(32), bytes(32))


def test_a_fork_raises_the_permit_nonce_and_voids_what_was_signed() -> None:
    ledger = make_system_ledger()
    permit(ledger, sign_permit(ledger))
    signature = sign_permit(ledger)
    ledger.set_status(ledger.status._replace(fork_id=2))

    assert token(ledger, OWNER, "nonces", SIGNER) == (2 * 2**32,)
    with pytest.raises(ERC2612InvalidSigner):
        permit(ledger, signature)
    permit(ledger, sign_permit(ledger))
    assert token(ledger, OWNER, "nonces", SIGNER) == (2 * 2**32 + 1,)


def test_the_domain_separator_is_eip_712s() -> None:
    from eth_account.messages import encode_typed_data

    ledger = make_system_ledger()
    domain = {
        "name": "USDC",
        "version": "1",
        "chainId": CHAIN_ID,
        "verifyingContract": TOKEN,
    }

    message = encode_typed_data(domain, {"X": [{"name": "x", "type": "bool"}]}, {"x": True})

    assert token(ledger, OWNER, "DOMAIN_SEPARATOR") == (message.header,)


# --- properties -----------------------------------------------------------------------------------

ACCOUNTS = st.sampled_from([trader(1), trader(2), trader(3), EXCHANGE, NOBODY])
AMOUNTS = st.integers(0, 2 * FAUCET) | st.just(UNLIMITED)
ACTIONS = st.one_of(
    st.tuples(st.just("faucet"), AMOUNTS),
    st.tuples(st.just("transfer"), ACCOUNTS, AMOUNTS),
    st.tuples(st.just("approve"), ACCOUNTS, AMOUNTS),
    st.tuples(st.just("transferFrom"), ACCOUNTS, ACCOUNTS, AMOUNTS),
)


@given(st.lists(st.tuples(st.sampled_from([trader(1), trader(2)]), ACTIONS), max_size=20))
def test_all_balances_are_the_supply_whatever_happens(
    actions: list[tuple[Address, tuple[Any, ...]]],
) -> None:
    ledger = make_system_ledger()

    for sender, (function, *arguments) in actions:
        before, checkpoint = ledger.dump(), ledger.checkpoint()
        try:
            token(ledger, sender, function, *arguments)
        except Refusal:
            ledger.revert(checkpoint)
            assert ledger.dump() == before

    check_state(ledger, ledger.token_balances.rows.items())
    assert ledger.token.total <= 2 * FAUCET
