"""Front ends gone while the chain lives (Cloudflare, 2025-11): JSON-RPC alone is enough to leave.

No WebSocket, no ABI file, no `perp_` method for what a person needs: calldata by hand, signed by a
wallet library, over HTTP. See, close, withdraw; cancel while the chain is CANCEL_ONLY; prove one's
balance by a block that validators signed; and account for every atom by the chain's logs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgpack

from node.chain.block import header_hash
from node.chain.certificate import attestation_bytes
from node.chain.domains import Identity
from node.chain.genesis import Genesis, read_genesis
from node.crypto import ed25519_verify, keccak256
from node.devnet.accounts import ACCOUNTS_PATH, derive_keys
from node.devnet.client import connect
from node.encoding import rlp_decode
from node.units import Hash32, Height
from tools.plan_file import read_header
from tools.proof import ProofRefused, verify_proof
from tools.rehearsal import MARKET, NAMES, USDC, Holder, Rehearsal, order
from tools.telling import WAIT_S, Row, Table, describe_outcome
from tools.wallet import Wallet, read_words, topic_of

TOKEN = "0x0000000000000000000000000000000000001001"
EXCHANGE = "0x0000000000000000000000000000000000001002"
HOLDERS = (Holder("alice", -20_000, 200_000), Holder("bob", 20_000, 30_000))
WITHDRAWN_USDC = 1_000
CLOSES_MAX = 20
FILLED = "OrderFilled(uint32,address,address,uint64,uint64,int64,int64,int256,int256,bool)"
PAID = "FundingSettled(uint32,address,int256,int256)"
DEPOSITED = "Deposited(address,uint256)"
WITHDRAWN = "Withdrawn(address,uint256)"


class FrontendLoss(Rehearsal):
    """One drill."""

    async def tell(self) -> None:
        """Tell everything in order."""
        self.begin(self.make_genesis())
        async with connect(self.url, patience_s=WAIT_S) as client:
            found = await self.wait_mode(client, "OPEN")
            await self.take_positions(client, HOLDERS)
            bid = found["mark"]["ticks"] * 97 // 100
            bob = self.people["bob"]
            await self.mined(client, await bob.send(client, order(self.scale(1_000), bid)))
        self.say("every front end is gone: bob has a key, a URL, and HTTP")
        wallet = Wallet(self.url, derive_keys(ACCOUNTS_PATH, len(NAMES))[NAMES.index("bob")])
        await asyncio.to_thread(self._see, wallet)
        await asyncio.to_thread(self._close_half, wallet)
        await self.decide("set-mode", "chain", "cancel-only", reason="front ends are gone")
        await asyncio.to_thread(self._cancel, wallet)
        await asyncio.to_thread(self._prove, wallet)
        await self.decide("set-mode", "chain", "open", reason="markets are sound")
        await self.step("reopen")
        await asyncio.to_thread(self._leave, wallet)
        await asyncio.to_thread(self._account, wallet)
        await self.verify_everything()

    def _see(self, wallet: Wallet) -> None:
        """Read account, position and market by eth_call."""
        me = int(wallet.address, 16)
        balance, equity, initial, maintenance = wallet.call(EXCHANGE, "getAccount(address)", me)
        size = _position(wallet)
        mark = _market(wallet)[5]
        self.promise(
            "one's account is there to read",
            size == self.scale(20_000) and equity > initial > maintenance > 0 and mark > 0,
            f"{size} lots at {mark} ticks, equity {equity / USDC:.2f} USDC",
        )
        self.say(f"bob: balance {balance} atoms, equity {equity}, position {size} lots")

    def _close_half(self, wallet: Wallet) -> None:
        """Close half of the position, and withdraw."""
        before = _position(wallet)
        receipt = wallet.send(
            EXCHANGE, "placeMarketOrder(uint32,int64,bool)", MARKET, -before // 2, 1
        )
        after = _position(wallet)
        self.promise(
            "a raw transaction closes", _succeeded(receipt) and after < before, f"{after} lots left"
        )
        held = _tokens(wallet)
        receipt = wallet.send(EXCHANGE, "withdraw(uint256)", WITHDRAWN_USDC * USDC)
        gained = _tokens(wallet) - held
        self.promise(
            "while the chain is OPEN one withdraws",
            _succeeded(receipt) and gained == WITHDRAWN_USDC * USDC,
            f"{gained} atoms",
        )

    def _cancel(self, wallet: Wallet) -> None:
        """Cancel in CANCEL_ONLY; what adds risk or takes money out is refused there."""
        mark = _market(wallet)[5]
        placed = wallet.send(
            EXCHANGE, "placeOrder(uint32,int64,int64,uint8,bool)", MARKET, 100, mark, 0, 0
        )
        taken = wallet.send(EXCHANGE, "withdraw(uint256)", USDC)
        self.promise(
            "CANCEL_ONLY refuses orders and withdrawals",
            describe_outcome(placed) == describe_outcome(taken) == "NotAllowedInMode",
            f"{describe_outcome(placed)}, {describe_outcome(taken)}",
        )
        function = "cancelAllOrders(uint32)"
        (before,) = wallet.call(EXCHANGE, function, MARKET)
        receipt = wallet.send(EXCHANGE, function, MARKET)
        (after,) = wallet.call(EXCHANGE, function, MARKET)
        self.promise(
            "and lets one cancel", _succeeded(receipt) and before > after == 0, f"{before} open"
        )

    def _prove(self, wallet: Wallet) -> None:
        """Prove one's balance: record, state root, header, signatures of published keys."""
        genesis = read_genesis(self.data_dir / "genesis.json")
        certificate = wallet.ask("perp_getCertificate", "safe")
        number = hex(certificate["blockNumber"])
        block = wallet.ask("eth_getBlockByNumber", number, False)
        signed = header_hash(read_header(block))
        origin = wallet.ask("eth_getBlockByNumber", "0x0", False)["hash"]
        power = _signed_power(genesis, origin, certificate, signed)
        total = sum(each.power for each in genesis.validators)
        self.promise(
            "validators of the published set signed the header",
            3 * power > 2 * total,
            f"block {certificate['blockNumber']}, {power} of {total} power",
        )
        key = "0x01" + "00" * 4 + wallet.address[2:] + "00" * 7
        proof = wallet.ask("eth_getProof", EXCHANGE, [key], number)
        root = bytes.fromhex(block["stateRoot"][2:])
        record = _prove_record(root, proof, key)
        balance = int.from_bytes(msgpack.unpackb(record)[0], "big", signed=True)
        me = int(wallet.address, 16)
        told, *_ = wallet.call(EXCHANGE, "getAccount(address)", me, block=number)
        self.promise(
            "its state root proves one's balance", balance == told, f"{balance} atoms by the trie"
        )
        proof["storageProof"][0]["proof"][-1] = _flip(proof["storageProof"][0]["proof"][-1])
        try:
            _prove_record(root, proof, key)
            words = "accepted"
        except ProofRefused as refusal:
            words = str(refusal)
        self.promise("an altered proof proves nothing", "hashes to" in words, words[:60])

    def _leave(self, wallet: Wallet) -> None:
        """Close the rest, and withdraw everything."""
        for _ in range(CLOSES_MAX):  # the book may hold only some of it
            size = _position(wallet)
            if size == 0:
                break
            wallet.send(EXCHANGE, "placeMarketOrder(uint32,int64,bool)", MARKET, -size, 1)
            self.say(f"bob closes: {_position(wallet)} of {size} lots are left")
        me = int(wallet.address, 16)
        balance, equity, *_ = wallet.call(EXCHANGE, "getAccount(address)", me)
        wallet.send(EXCHANGE, "cancelEverything()")
        receipt = wallet.send(EXCHANGE, "withdraw(uint256)", balance)
        left, *_ = wallet.call(EXCHANGE, "getAccount(address)", me)
        self.promise(
            "one leaves with everything",
            _succeeded(receipt) and balance == equity > 0 == left,
            f"{balance / USDC:.6f} USDC",
        )

    def _account(self, wallet: Wallet) -> None:
        """Account for every atom by eth_getLogs."""
        k = _market(wallet)[3]
        rows = (
            _sum_logs(wallet, "deposited", DEPOSITED, 1, lambda words: words[0]),
            _sum_logs(wallet, "traded as taker", FILLED, 3, lambda words: -words[2] * words[3] * k),
            _sum_logs(wallet, "its fees", FILLED, 3, lambda words: -words[5]),
            _sum_logs(wallet, "traded as maker", FILLED, 2, lambda words: words[2] * words[3] * k),
            _sum_logs(wallet, "its fees", FILLED, 2, lambda words: -words[4]),
            _sum_logs(wallet, "funding", PAID, 2, lambda words: words[0]),
            _sum_logs(wallet, "withdrawn", WITHDRAWN, 1, lambda words: -words[0]),
        )
        table = Table("What bob's money did, by the chain's logs", ("amount",), rows)
        self.show_table(table)
        self.promise("every atom is accounted for", table.sums().amounts == (0,), "sum 0")


def _sum_logs(
    wallet: Wallet, name: str, event: str, place: int, amount: Callable[[list[int]], int]
) -> Row:
    """Return a sum over all logs of an event that name the account at a place of their topics."""
    topics = ["0x" + keccak256(event.encode()).hex(), *[None] * (place - 1)]
    question = {
        "fromBlock": "0x0",
        "address": EXCHANGE,
        "topics": [*topics, topic_of(wallet.address)],
    }
    amounts = [amount(read_words(log["data"])) for log in wallet.ask("eth_getLogs", question)]
    return Row(f"{name}, {len(amounts)} logs", (sum(amounts),))


def _signed_power(genesis: Genesis, origin: str, certificate: Any, signed: Hash32) -> int:
    """Return the power of the published keys that signed a header's hash."""
    identity = Identity(
        Hash32(bytes.fromhex(origin[2:])),
        genesis.chain_id,
        certificate["forkId"],
        certificate["devEpoch"],
    )
    message = attestation_bytes(identity, Height(certificate["blockNumber"]), signed)
    signatures = {
        bytes.fromhex(each["publicKey"][2:]): bytes.fromhex(each["signature"][2:])
        for each in certificate["signatures"]
    }
    return sum(
        each.power
        for each in genesis.validators
        if each.public_key in signatures
        and ed25519_verify(each.public_key, signatures[each.public_key], message)
    )


def _prove_record(root: bytes, proof: Any, key: str) -> bytes:
    """Return the record under a key, by the nodes of eth_getProof alone; raise ProofRefused."""
    leaf = verify_proof(root, bytes.fromhex(EXCHANGE[2:]), _decode(proof["accountProof"]))
    _, _, storage_root, _ = rlp_decode(leaf)
    nodes = _decode(proof["storageProof"][0]["proof"])
    value = rlp_decode(verify_proof(bytes(storage_root), bytes.fromhex(key[2:]), nodes))
    assert isinstance(value, bytes), "a record is a string"
    return value


def _decode(nodes: list[str]) -> list[bytes]:
    return [bytes.fromhex(each[2:]) for each in nodes]


def _flip(node: str) -> str:
    """Return a node with its last bit altered."""
    return node[:-1] + f"{int(node[-1], 16) ^ 1:x}"


def _market(wallet: Wallet) -> list[int]:
    """Return getMarket's words after the tuple's offset: symbol, decimals, k, mode, mark, ..."""
    return wallet.call(EXCHANGE, "getMarket(uint32)", MARKET)[1:]


def _position(wallet: Wallet) -> int:
    me = int(wallet.address, 16)
    return wallet.call(EXCHANGE, "getPosition(address,uint32)", me, MARKET)[0]


def _tokens(wallet: Wallet) -> int:
    return wallet.call(TOKEN, "balanceOf(address)", int(wallet.address, 16))[0]


def _succeeded(receipt: dict[str, Any]) -> bool:
    return bool(receipt["status"] == "0x1")
