"""What every actor of the devnet does: get its part on standard input, connect, sign, send, go on.

An actor process is a client like any other. Its first line of standard input is a JSON object with
everything it may know, private keys included, so that none stand on a command line; when standard
input ends, the supervisor is gone and so is the actor (`lifeline`).
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import structlog

from node.chain.transaction import EIP_1559, UnsignedTransaction, sign_transaction
from node.crypto import address_of
from node.devnet.client import Client, connect
from node.devnet.lifeline import end_with_parent
from node.errors import NodeUnreachable, PerpnodeError, RequestRefused
from node.system.contracts import CONTRACTS
from node.units import Address, Height, TimeMs, Wei

GAS_LIMIT = 200_000
"""More than any action of the schedule takes; only what is used is paid."""
PATIENCE_S = 60.0
"""How long a node may be away before it is worth a line in the log."""

log = structlog.get_logger()


class Action(NamedTuple):
    """A call of a system contract, as a transaction that is not signed yet."""

    to: Address
    data: bytes


class Head(NamedTuple):
    """The newest block, as far as actors look at it."""

    height: Height
    time_ms: TimeMs
    fork_id: int


def action(contract: Address, function: str, *arguments: Any) -> Action:
    """Return a call of a system contract's function by its ABI."""
    return Action(contract, CONTRACTS[contract].functions[function].encode_call(*arguments))


class Signer:
    """One key, and how its owner pays."""

    def __init__(self, private_key: bytes, *, chain_id: int, base_fee: Wei) -> None:
        self.address = address_of(private_key)
        self._private_key = private_key
        self._chain_id = chain_id
        self._max_fee = Wei(2 * base_fee)

    @property
    def name(self) -> str:
        """The address as JSON-RPC writes it."""
        return "0x" + self.address.hex()

    async def send(self, client: Client, actions: Sequence[Action]) -> int:
        """Sign and send actions in order; return how many the node took.

        The nonce is asked for each time: a node that was restarted has forgotten what it had not
        put into a block, and then the next nonce is a lower one. What is refused is logged and
        dropped, with all that follows it.
        """
        count = await client.request("eth_getTransactionCount", self.name, "pending")
        raws = [self._sign(each, int(count, 16) + i) for i, each in enumerate(actions)]
        results = await client.batch([("eth_sendRawTransaction", (raw,)) for raw in raws])
        refused = [result for result in results if isinstance(result, RequestRefused)]
        if refused:
            log.warning("refused", sender=self.name, reason=refused[0].message, count=len(refused))
        return len(results) - len(refused)

    def _sign(self, each: Action, nonce: int) -> str:
        unsigned = UnsignedTransaction(
            type=EIP_1559,
            chain_id=self._chain_id,
            nonce=nonce,
            max_priority_fee=Wei(0),
            max_fee=self._max_fee,
            gas_limit=GAS_LIMIT,
            to=each.to,
            value=Wei(0),
            data=each.data,
            access_list=(),
        )
        return "0x" + sign_transaction(unsigned, self._private_key).raw.hex()


async def follow_heads(client: Client, *, pause_s: float) -> AsyncIterator[Head]:
    """Yield the head there is, then the newest one, again and again; older ones are passed over.

    After each it rests for `pause_s`: under instant sealing an actor's own transactions make the
    next head, and answering at once would never end.
    """
    heads = await client.subscribe("newHeads")
    yielded = ""
    block = await client.request("perp_getBlock", "latest")
    while True:
        extension = block["extension"]
        if block["hash"] != yielded:  # its number and time may be lower: a development revert
            yielded = block["hash"]
            yield Head(Height(block["number"]), TimeMs(extension["timeMs"]), extension["forkId"])
            await asyncio.sleep(pause_s)
        header = await heads.latest()
        block = await client.request("perp_getBlock", header["number"])
        if block is None:  # a development revert took it out just now
            block = await client.request("perp_getBlock", "latest")


def run_actor(play: Callable[[Client, Any], Awaitable[None]]) -> None:
    """Read the part from standard input and play it until the supervisor is gone."""
    part = json.loads(sys.stdin.buffer.readline())
    end_with_parent()
    asyncio.run(_play(play, part))


async def _play(play: Callable[[Client, Any], Awaitable[None]], part: Any) -> None:
    while True:
        try:
            async with connect(part["url"], patience_s=PATIENCE_S) as client:
                await play(client, part)
        except NodeUnreachable as error:
            log.warning("waiting for the node", reason=str(error))
        except PerpnodeError as error:
            log.error("starting again", reason=str(error))
            await asyncio.sleep(1)
