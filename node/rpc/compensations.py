"""What the council had the LiquidatorVault repay, and what of it an account has been paid (I8)."""

from node.errors import CompensationNotFound
from node.perp.compensation import Compensation
from node.rpc.blocks import BlockRef, get_block
from node.rpc.context import Context
from node.rpc.errors import InvalidParams
from node.rpc.hex import data
from node.rpc.quantities import render_money
from node.rpc.render import Json
from node.units import Address


async def get_compensations(context: Context, ref: BlockRef) -> Json:
    """Return every compensation: its list's root, how much is paid, left and returned."""
    block = await get_block(context.core, ref)
    found = await context.core.compensations(block)
    return [_render(number, each) for number, each in enumerate(found, start=1)]


async def get_refund(context: Context, number: int, account: Address, ref: BlockRef) -> Json:
    """Return what an account was paid of a compensation, and by which block."""
    block = await get_block(context.core, ref)
    try:
        paid = await context.core.paid_refund(number, account, block)
    except CompensationNotFound as refusal:
        raise InvalidParams(
            f"invalid argument 0: no compensation has the number {number}, there are "
            f"{refusal.count}"
        ) from None
    return {
        "compensation": number,
        "account": data(account),
        "isPaid": paid is not None,
        "index": None if paid is None else paid.index,
        "amount": None if paid is None else render_money(paid.amount),
        "paidBlock": None if paid is None else paid.height,
    }


def _render(number: int, each: Compensation) -> Json:
    return {
        "compensation": number,
        "root": data(each.root),
        "refunds": each.refunds,
        "paid": each.paid,
        "total": render_money(each.total),
        "left": render_money(each.left),
        "returned": render_money(each.returned),
        "payUntil": each.pay_until,
        "isOpen": not each.closed_height,
        "closedBlock": each.closed_height or None,
    }
