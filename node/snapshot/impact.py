"""What a fork undoes, told before anybody signs: counts, accounts, money, and that it all sums.

Read off the branch that is left, and off a draft of the fork block. Amounts are decimal strings of
atoms (1 USDC = 1,000,000), so that no reader rounds them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from node.chain import keys
from node.chain.block import Block
from node.chain.blockchain import Blockchain
from node.chain.ledger import StateLedger
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.chain.transition import decode_transition
from node.crypto import checksum_address
from node.perp.account import (
    BRIDGE,
    DEFICIT,
    FEES,
    RECEIVABLE,
    REFUNDS,
    VAULT,
    market_address,
)
from node.perp.compensation import get_compensations
from node.perp.events import OrderCancelled, OrderFilled, OrderReduced, PositionLiquidated
from node.perp.funding import compute_pending, get_funding
from node.perp.margin import get_equity
from node.perp.parameters import ChainParams, MarketParams
from node.snapshot.export import read_single
from node.system.contracts import contract
from node.units import PPB, Address, Height, div_floor, notional


class Undone(NamedTuple):
    """What the blocks after a snapshot did."""

    blocks: int
    transactions: int
    senders: list[Address]
    trades: int
    traded: int
    """Notional, in atoms."""
    liquidations: dict[Address, int]
    """Liquidation fills by account."""
    liquidation_payments: dict[Address, int]
    """What each paid to the vault (negative: the vault paid), in atoms."""
    deposits: dict[Address, int]
    withdrawals: dict[Address, int]


def compute_totals(blockchain: Blockchain, snapshot: Block, fork: StateLedger) -> dict[str, Any]:
    """Return a plan's totals: the head's branch against a draft of the fork block."""
    undone = compute_undone(blockchain, snapshot, fork)
    now = blockchain.ledger_after(blockchain.head.block)
    return {
        "unit": "atoms of collateral, 1 USDC = 1000000",
        "undone": {
            "blocks": undone.blocks,
            "transactions": undone.transactions,
            "accounts": len(undone.senders),
            "trades": undone.trades,
            "traded_notional": str(undone.traded),
            "deposits": _by_account(undone.deposits),
            "withdrawals_on_this_chain": _by_account(undone.withdrawals),
        },
        "liquidations_reversed": [
            {
                "account": checksum_address(account),
                "fills": count,
                "paid_to_vault": str(undone.liquidation_payments[account]),
            }
            for account, count in sorted(undone.liquidations.items())
        ],
        "left_the_chain": {"total": "0", "accounts": []},
        "orders": _describe_orders(fork),
        "governance_undone": _describe_governance(blockchain, snapshot),
        "equity": compute_equities(now, fork),
    }


def compute_undone(blockchain: Blockchain, snapshot: Block, fork: StateLedger) -> Undone:
    """Read what the head's branch did after the snapshot's block."""
    undone = Undone(0, 0, [], 0, 0, defaultdict(int), defaultdict(int), {}, {})
    senders: set[Address] = set()
    blocks = transactions = trades = traded = 0
    for block in _blocks_after(blockchain, snapshot):
        people = [tx for tx in block.transactions if tx.sender != SYSTEM_ACCOUNT]
        blocks += 1
        transactions += len(people)
        senders.update(tx.sender for tx in people)
        for event in map(decode_transition, block.transitions):
            if isinstance(event, OrderFilled):
                trades += 1
                k = fork.market_params(event.market).k
                traded += abs(notional(event.size, event.price, k))
            elif isinstance(event, PositionLiquidated):
                undone.liquidations[event.account] += 1
                undone.liquidation_payments[event.account] += event.vault_payment
        _add_transfers(blockchain, block, "Deposited", undone.deposits)
        _add_transfers(blockchain, block, "Withdrawn", undone.withdrawals)
    return undone._replace(
        blocks=blocks,
        transactions=transactions,
        senders=sorted(senders),
        trades=trades,
        traded=traded,
    )


def compute_equities(now: StateLedger, fork: StateLedger) -> dict[str, Any]:
    """Return each account's equity now and after the fork, with totals that sum to zero.

    People's equity and the system accounts', less the pending funding that the pools hold and that
    positions count once more, are all the money there is: nothing.
    """
    market_ids = sorted({*now.market_ids, *fork.market_ids})
    pools = map(market_address, market_ids)
    system = [VAULT, BRIDGE, FEES, DEFICIT, RECEIVABLE, REFUNDS, *pools]
    everybody = {address for address, _ in now.all_accounts()}
    everybody |= {address for address, _ in fork.all_accounts()}
    people = sorted(everybody - set(system))
    before = {address: get_equity(now, address) for address in people}
    after = {address: get_equity(fork, address) for address in people}
    rows = [
        {
            "account": checksum_address(address),
            "before": str(before[address]),
            "after": str(after[address]),
            "change": str(after[address] - before[address]),
        }
        for address in people
        if before[address] != after[address]
    ]
    gains = sum(max(after[address] - before[address], 0) for address in people)
    return {
        "accounts": rows,
        "totals": {
            "before": _sum_up(sum(before.values()), now, system),
            "after": _sum_up(sum(after.values()), fork, system),
        },
        "alternative": {
            "what": "no rewind: pay every account what the fork would give it",
            "cost": str(gains),
        },
    }


def _sum_up(people: int, ledger: StateLedger, system: list[Address]) -> dict[str, str]:
    """Add up all money: the pools hold what people's pending funding promises them (F4, I3)."""
    own = sum(get_equity(ledger, address) for address in system)
    pending = sum(
        div_floor(compute_pending(get_funding(ledger, market), position), PPB)
        for (_, market), position in ledger.all_positions()
    )
    return {
        "people": str(people),
        "system": str(own),
        "pending_funding": str(pending),
        "sum": str(people + own - pending),
    }


def _describe_orders(fork: StateLedger) -> dict[str, Any]:
    cancelled = [event for event in _events(fork) if isinstance(event, OrderCancelled)]
    reduced = [event for event in _events(fork) if isinstance(event, OrderReduced)]
    return {
        "cancelled": len(cancelled),
        "kept": sum(len(fork.book(market).triggers) for market in fork.market_ids),
        "kept_smaller": len(reduced),
        "accounts_with_cancelled": len({event.account for event in cancelled}),
    }


def _events(ledger: StateLedger) -> Iterator[object]:
    return iter([*ledger.taken, *ledger.events])


def _describe_governance(blockchain: Blockchain, snapshot: Block) -> list[str]:
    """Return in words which decisions of the council the fork undoes: a removed key is back."""
    then, now = blockchain.states.at(snapshot.header.state_root), blockchain.head.state
    lines = []
    if (council := read_single(then, keys.COUNCIL)) != read_single(now, keys.COUNCIL):
        members = ", ".join(checksum_address(member) for member in council.members)
        lines.append(f"the council is again {council.threshold} of {members}")
    if (validators := read_single(then, keys.VALIDATORS)) != read_single(now, keys.VALIDATORS):
        members = ", ".join("0x" + each.public_key.hex() for each in validators.members)
        lines.append(f"the validators are again {members}")
    before, after = (
        blockchain.ledger_after(snapshot),
        blockchain.ledger_after(blockchain.head.block),
    )
    lines += _describe_parameters("the chain", before.params, after.params)
    for market in after.market_ids:
        name = f"market {market}, {after.market_params(market).symbol},"
        if market not in before.market_ids:
            lines.append(f"{name} is not listed any more")
            continue
        lines += _describe_parameters(
            name, before.market_params(market), after.market_params(market)
        )
        if after.closures.get(market) != before.closures.get(market):
            lines.append(f"{name} is not settled any more")
    return lines + _describe_compensations(before, after)


def _describe_compensations(then: StateLedger, now: StateLedger) -> list[str]:
    """Return what of repayments is undone: a list may be used again, a refund paid again."""
    lines = []
    before = get_compensations(then)
    for number, after in enumerate(get_compensations(now), start=1):
        if number > len(before):
            lines.append(
                f"compensation {number}, list 0x{after.root.hex()}, {after.total} atoms, is not "
                f"given any more: {after.paid} refunds paid are undone, the list is free again"
            )
        elif after != before[number - 1]:
            undone = after.paid - before[number - 1].paid
            lines.append(
                f"compensation {number} is as it was: {undone} refunds paid are undone, "
                f"{before[number - 1].left} atoms are left again"
            )
    return lines


def _describe_parameters(
    name: str, then: ChainParams | MarketParams, now: ChainParams | MarketParams
) -> list[str]:
    return [
        f"{name} has {field} again {_show_parameter(was)}, not {_show_parameter(value)}"
        for field, was, value in zip(then._fields, then, now, strict=True)
        if was != value
    ]


def _show_parameter(value: object) -> str:
    if isinstance(value, bytes):
        return checksum_address(Address(value))
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_show_parameter, value)) + "]"
    return str(value)


def _blocks_after(blockchain: Blockchain, snapshot: Block) -> Iterator[Block]:
    for height in range(snapshot.header.number + 1, blockchain.head.block.header.number + 1):
        block = blockchain.block_at(Height(height))
        assert block is not None, "the canonical chain has no holes above a snapshot"
        yield block


def _add_transfers(
    blockchain: Blockchain, block: Block, event: str, amounts: dict[Address, int]
) -> None:
    declared = contract("Exchange")
    wanted = [[declared.events[event].topic]]
    for found in blockchain.match_logs(block, [declared.address], wanted):
        account = Address(found.log.topics[1][12:])
        amounts[account] = amounts.get(account, 0) + int.from_bytes(found.log.data[:32], "big")


def _by_account(amounts: dict[Address, int]) -> dict[str, Any]:
    return {
        "total": str(sum(amounts.values())),
        "accounts": [
            {"account": checksum_address(account), "amount": str(amount)}
            for account, amount in sorted(amounts.items())
        ],
    }
