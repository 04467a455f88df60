"""Commands of the governance script that repay an incident: draft the action, pay the list.

    rollback compensate refunds.csv compensate.json --reason "the funding index was reset"
    rollback sign compensate.json --key member-1.json; …; rollback submit compensate.json
    rollback pay refunds.csv --key anybody.json

Whoever pays needs no leave, only native coin for gas: the proofs are made here, out of the file
that the council's root commits to. A payment that was interrupted goes on where the chain stands.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import typer

from node.chain.transaction import EIP_1559, UnsignedTransaction, sign_transaction
from node.config import wall_time_ms
from node.crypto import checksum_address
from node.devnet.client import Client
from node.devnet.keyfile import read_key_file
from node.devnet.keypair import Keypair
from node.errors import OperatorError, RequestRefused
from node.governance.action import Compensate
from node.governance.refund import (
    AMOUNT_MAX,
    Refund,
    build_proof,
    compute_root,
    make_refund_tree,
    parse_refunds,
)
from node.perp.account import SYSTEM_ADDRESS_MAX, VAULT
from node.system.contracts import CONTRACTS
from node.system.governance import SOURCE
from node.system.revert import describe_revert
from node.system.vault import REFUNDS_MAX
from node.units import Hash32, Wei
from tools.action_draft import EXPIRES_IN_S, Expiry, NewFile, write_action
from tools.action_file import print_fields, print_next, show_usdc
from tools.council import Council, run_with
from tools.options import DEFAULT_RPC, POLL_S, AsJson, Reason, Rpc

PAY_WITHIN_S = 30 * 86_400
INCLUDED_WITHIN_S = 60.0
"""How long a payment waits for its block before it is given up; it may still come."""
ASKED_AT_ONCE = 200
"""Accounts in one frame."""

ListFile = Annotated[Path, typer.Argument(help="refunds.csv: index,account,amount in atoms.")]


class Standing(NamedTuple):
    """A list as the chain has it."""

    number: int
    """The compensation."""
    is_open: bool
    paid: dict[int, int]
    """By index: the block that paid it."""


# --- commands -------------------------------------------------------------------------------------


def compensate(
    refunds_file: ListFile,
    file: NewFile,
    reason: Reason,
    cap: Annotated[
        int, typer.Option("--cap", help="Atoms that the total must not pass; default: the total.")
    ] = 0,
    pay_within: Annotated[
        int, typer.Option("--pay-within", help="Seconds from now in which refunds are paid.")
    ] = PAY_WITHIN_S,
    expires_in: Expiry = EXPIRES_IN_S,
    rpc: Rpc = DEFAULT_RPC,
) -> None:
    """Write the action that has the vault repay a refund list; show all that it pays."""
    refunds = load_refunds(refunds_file)
    total = sum(refund.amount for refund in refunds)
    if cap and cap < total:
        raise OperatorError(f"--cap {cap}: {refunds_file} sums to {total} atoms, more than that")
    if pay_within < expires_in:
        raise OperatorError(
            f"--pay-within {pay_within}: must not end before the action does, --expires-in "
            f"{expires_in}"
        )
    fields: dict[str, Any] = {
        "source": SOURCE,
        "root": "0x" + compute_root(refunds).hex(),
        "refunds": len(refunds),
        "total": total,
        "cap": cap or total,
        "payUntil": 0,
    }

    def check(council: Council) -> None:
        fields["payUntil"] = max(wall_time_ms(), council.time_ms) // 1_000 + pay_within
        if total > council.vault:
            raise OperatorError(
                f"{refunds_file} sums to {total} atoms, the LiquidatorVault is worth "
                f"{council.vault}: it can't pay"
            )
        _print_list(refunds)

    write_action(rpc, file, Compensate, fields, reason, expires_in, check)


def pay(
    refunds_file: ListFile,
    key: Annotated[Path, typer.Option("--key", help="A key file; its account pays the gas.")],
    rpc: Rpc = DEFAULT_RPC,
    as_json: AsJson = False,
) -> None:
    """Have every refund of a list paid that is not yet; exit status 0 if all are."""
    refunds, payer = load_refunds(refunds_file), read_key_file(key)

    async def run(client: Client) -> Standing:
        standing = await find_standing(client, refunds, refunds_file)
        while standing.is_open and len(standing.paid) < len(refunds):
            waiting = [refund for refund in refunds if refund.index not in standing.paid]
            await _pay_batch(client, payer, refunds, waiting[:REFUNDS_MAX], standing.number)
            before, standing = standing, await find_standing(client, refunds, refunds_file)
            if standing.paid == before.paid:
                raise OperatorError("the last payment paid nobody: run pay again")
            if not as_json:
                typer.echo(f"paid {len(standing.paid)} of {len(refunds)}")
        return standing

    standing = run_with(rpc, run)
    if as_json:
        typer.echo(json.dumps(_describe(refunds, standing), indent=2))
    else:
        _print_standing(refunds, standing)
    missing = len(refunds) - len(standing.paid)
    if missing:
        raise OperatorError(
            f"{missing} of {len(refunds)} refunds are not paid, and compensation "
            f"{standing.number} has ended: a list of them needs an action of its own"
        )
    if not as_json:
        print_next("nothing has to be done: all is paid")


# --- the file -------------------------------------------------------------------------------------


def load_refunds(path: Path) -> tuple[Refund, ...]:
    """Read a refund list that can be paid; OperatorError says what is wrong, and where."""
    try:
        text = path.read_bytes().decode("ascii")
    except OSError as error:
        raise OperatorError(f"{path}: can't be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise OperatorError(f"{path}: is no text of ASCII: it is no refund list") from None
    refunds = parse_refunds(text, str(path))
    for refund in refunds:
        if refund.account <= SYSTEM_ADDRESS_MAX:
            raise OperatorError(
                f"{path}, line {refund.index + 2}: {checksum_address(refund.account)} is a system "
                "account: nobody can be paid there"
            )
    total = sum(refund.amount for refund in refunds)
    if total > AMOUNT_MAX:
        raise OperatorError(f"{path}: sums to {total} atoms, more than {AMOUNT_MAX}")
    return refunds


# --- the chain ------------------------------------------------------------------------------------


async def find_standing(client: Client, refunds: Sequence[Refund], path: Path) -> Standing:
    """Ask which of a list's refunds are paid; OperatorError if no compensation has the list."""
    root = "0x" + compute_root(refunds).hex()
    found = [each for each in await client.request("perp_getCompensations") if each["root"] == root]
    if not found:
        raise OperatorError(
            f"no compensation has the list of {path}, root {root}: compensate, sign and submit it "
            "first"
        )
    number = found[0]["compensation"]
    paid = {}
    for first in range(0, len(refunds), ASKED_AT_ONCE):
        asked = refunds[first : first + ASKED_AT_ONCE]
        answers = await client.batch(
            [("perp_getRefund", (number, "0x" + refund.account.hex())) for refund in asked]
        )
        for refund, answer in zip(asked, answers, strict=True):
            if isinstance(answer, RequestRefused):
                raise answer
            if answer["isPaid"]:
                paid[refund.index] = answer["paidBlock"]
    return Standing(number, found[0]["isOpen"], paid)


async def _pay_batch(
    client: Client,
    payer: Keypair,
    refunds: Sequence[Refund],
    wanted: Sequence[Refund],
    number: int,
) -> None:
    """Send one transaction and wait for its block; what somebody else paid meanwhile is well."""
    tree = make_refund_tree(refunds)
    proofs: list[tuple[Hash32, ...]] = [build_proof(tree, refund.index) for refund in wanted]
    data = CONTRACTS[VAULT].functions["payRefunds"].encode_call(number, wanted, proofs)
    sender, to = "0x" + payer.address.hex(), "0x" + VAULT.hex()
    call = {"from": sender, "to": to, "data": "0x" + data.hex()}
    try:
        gas = int(await client.request("eth_estimateGas", call), 16)
    except RequestRefused as refusal:
        reason = describe_revert(bytes.fromhex(refusal.data[2:])) if refusal.data else None
        if reason is not None and reason.startswith("RefundPaidAlready"):
            return  # somebody else was faster: ask again who is paid
        raise OperatorError(f"refunds can't be paid: {reason or refusal.message}") from None
    nonce, price, chain_id = [
        int(answer, 16)
        for answer in (
            await client.request("eth_getTransactionCount", sender, "pending"),
            await client.request("eth_gasPrice"),
            await client.request("eth_chainId"),
        )
    ]
    unsigned = UnsignedTransaction(
        type=EIP_1559,
        chain_id=chain_id,
        nonce=nonce,
        max_priority_fee=Wei(0),
        max_fee=Wei(2 * price),
        gas_limit=gas,
        to=VAULT,
        value=Wei(0),
        data=data,
    )
    raw = sign_transaction(unsigned, payer.private_key).raw
    tx_hash = await client.request("eth_sendRawTransaction", "0x" + raw.hex())
    give_up_at = time.monotonic() + INCLUDED_WITHIN_S
    while await client.request("eth_getTransactionReceipt", tx_hash) is None:
        if time.monotonic() > give_up_at:
            raise OperatorError(
                f"{tx_hash} is in no block after {INCLUDED_WITHIN_S:.0f} s: see status, and run "
                "pay again"
            )
        await asyncio.sleep(POLL_S)


# --- for people -----------------------------------------------------------------------------------


def _print_list(refunds: Sequence[Refund], told: Mapping[int, str] = MappingProxyType({})) -> None:
    """Print each refund, what is told of it by index, and the total, aligned."""
    total = show_usdc(sum(refund.amount for refund in refunds))
    for refund in refunds:
        amount = show_usdc(refund.amount).rjust(len(total))
        account = checksum_address(refund.account)
        line = f"  {refund.index:>5}  {account}  {amount}  {told.get(refund.index, '')}"
        typer.echo(line.rstrip())
    typer.echo(f"  total  {f'{len(refunds)} accounts'.ljust(42)}  {total}")


def _print_standing(refunds: Sequence[Refund], standing: Standing) -> None:
    told = {index: f"paid in block {height}" for index, height in standing.paid.items()}
    _print_list(refunds, {refund.index: "not paid" for refund in refunds} | told)
    paid, total = _sum_up(refunds, standing)
    print_fields(
        {
            "compensation": standing.number,
            "paid": show_usdc(paid),
            "not paid": show_usdc(total - paid),
            "sum": show_usdc(total),
        }
    )


def _sum_up(refunds: Sequence[Refund], standing: Standing) -> tuple[int, int]:
    """Return what was paid, and the total."""
    paid = sum(refund.amount for refund in refunds if refund.index in standing.paid)
    return paid, sum(refund.amount for refund in refunds)


def _describe(refunds: Sequence[Refund], standing: Standing) -> dict[str, Any]:
    paid, total = _sum_up(refunds, standing)
    return {
        "compensation": standing.number,
        "refunds": [
            {
                "index": refund.index,
                "account": checksum_address(refund.account),
                "amount": str(refund.amount),
                "paidBlock": standing.paid.get(refund.index),
            }
            for refund in refunds
        ],
        "paid": str(paid),
        "notPaid": str(total - paid),
        "total": str(total),
    }


REPAYMENT: dict[str, Callable[..., None]] = {"compensate": compensate, "pay": pay}
"""By the command's name."""
