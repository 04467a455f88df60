"""The LiquidatorVault contract: its functions by name; what it does, the rules do (L2, L6)."""

from node.perp.account import VAULT, get_account
from node.perp.margin import get_equity
from node.system.handler import Handlers

HANDLERS: Handlers = {
    "equity": lambda ledger, _: (get_equity(ledger, VAULT),),
    "balance": lambda ledger, _: (get_account(ledger, VAULT).balance,),
}
