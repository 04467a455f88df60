"""`make bench`: signed limit orders through JSON-RPC into durable blocks, and where the CPU goes.

A fresh sequencer in its own process, as `perpnode run` starts it; 20,000 orders signed in advance;
batches of 200 over a few connections; blocks as they come. Then the very blocks are taken from its
database and executed once more in this process, stage by stage, which tells where the CPU went and
that the state root is the same. One machine, one run: compare only numbers of one run.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import track
from rich.table import Table

from node.chain.genesis import Genesis
from node.consensus.node_key import make_node_key
from node.governance.validators import Validator
from tools import bench_perp, bench_rpc
from tools.load import (
    Signed,
    load_genesis,
    plan_orders,
    send_body,
    sign_orders,
    sign_transfer,
    write_genesis,
)
from tools.served import (
    ROOT,
    WAIT_MAX_S,
    BenchError,
    HttpClient,
    children_of,
    console,
    find_anvil,
    free_port,
    reporting,
    server,
    usage_of,
)
from tools.stages import Stage, measure_stages


class Result(NamedTuple):
    """What one run measured."""

    node: str
    accounts: int
    validators: int
    """Processes beside the node that execute every block again, on the same processors."""
    transactions: int
    included_per_s: float
    """From the first byte sent to the block that holds the last."""
    submitted_per_s: float
    cpu_us: float
    """CPU of the server's processes per transaction, from the first byte sent to the last block."""
    front_us: float
    """Of it, that of the process which speaks HTTP, where it is one of its own."""
    rss_mb: float
    blocks: int
    block_max: int
    """Most transactions in a block."""
    reverted: int
    stages: Sequence[Stage]
    """Where the CPU went, in µs per transaction; empty for anvil."""


def deliver(
    transactions: Sequence[Signed],
    *,
    port: int,
    process_id: int,
    batch: int,
    connections: int,
    lanes: int,
) -> dict[str, Any]:
    """Send everything and wait until blocks hold it all; return the measured fields of Result.

    Transaction i belongs to lane i mod `lanes`; a lane stays on one connection, in order.
    """
    queues: list[list[Signed]] = [[] for _ in range(connections)]
    for index, signed in enumerate(transactions):
        queues[index % lanes % connections].append(signed)
    bodies = [
        [send_body(queue[at : at + batch]) for at in range(0, len(queue), batch)]
        for queue in queues
    ]
    answers: list[bytes] = []

    def send(queue: Sequence[bytes]) -> None:
        client = HttpClient(port)
        answers.extend(client.post(body) for body in queue)
        client.close()

    client = HttpClient(port)
    next_block = int(client.call("eth_blockNumber"), 16) + 1
    waiting = {"0x" + signed.hash.hex() for signed in transactions}
    sizes: list[int] = []
    threads = [threading.Thread(target=send, args=(queue,)) for queue in bodies]
    processes = [process_id, *children_of(process_id)]
    before, started = [usage_of(each).cpu_s for each in processes], time.perf_counter()
    for thread in threads:
        thread.start()
    submitted_s = 0.0
    while waiting:
        if not submitted_s and not any(thread.is_alive() for thread in threads):
            submitted_s = time.perf_counter() - started
            _check_answers(answers)
        if time.perf_counter() - started > WAIT_MAX_S:
            raise BenchError(f"{len(waiting)} transactions are in no block after {WAIT_MAX_S} s")
        while int(client.call("eth_blockNumber"), 16) >= next_block:
            block = client.call("eth_getBlockByNumber", hex(next_block), False)
            found = waiting.intersection(block["transactions"])
            waiting -= found
            sizes.append(len(found))
            next_block += 1
        time.sleep(0.05)
    ended = time.perf_counter()
    after = [usage_of(each) for each in processes]
    cpu_us = [
        (now.cpu_s - then) * 1e6 / len(transactions)
        for now, then in zip(after, before, strict=True)
    ]
    for thread in threads:
        thread.join()
    full = [size for size in sizes if size]
    reverted = 0
    for number in range(next_block - len(sizes), next_block):
        receipts = client.call("eth_getBlockReceipts", hex(number))
        reverted += sum(receipt["status"] == "0x0" for receipt in receipts)
    client.close()
    return {
        "transactions": len(transactions),
        "included_per_s": len(transactions) / (ended - started),
        "submitted_per_s": len(transactions) / (submitted_s or ended - started),
        "cpu_us": sum(cpu_us),
        "front_us": sum(cpu_us[1:]),
        "rss_mb": sum(each.rss_mb for each in after),
        "blocks": len(full),
        "block_max": max(full),
        "reverted": reverted,
    }


def _check_answers(answers: Sequence[bytes]) -> None:
    for answer in answers:
        for result in json.loads(answer):
            if "error" in result:
                raise BenchError(f"a transaction was refused: {result['error']}")


@contextmanager
def validators(document: Path, base: Path, number: int, peer_port: int) -> Iterator[None]:
    """Run so many validators while the block lasts; the keys are those in `base`."""
    with ExitStack() as stack:
        for index in range(number):
            port = free_port()
            command = [sys.executable, "-m", "node", "run", "--role", "validator"]
            command += ["--genesis", str(document), "--key", str(base / f"validator-{index}.json")]
            command += ["--data-dir", str(base / f"validator-{index}"), "--port", str(port)]
            command += ["--peer", f"wss://127.0.0.1:{peer_port}"]
            stack.enter_context(server(command, port, base / f"validator-{index}.log"))
        yield


def with_keys(genesis: Genesis, base: Path, number: int) -> Genesis:
    """Make the sequencer's and the validators' keys and return the genesis that names them."""
    sequencer = make_node_key(base / "sequencer.json")
    members = [make_node_key(base / f"validator-{index}.json") for index in range(number)]
    return genesis._replace(
        sequencer=sequencer.public_key,
        validators=tuple(Validator(member.public_key, 1) for member in members),
    )


def bench_perpnode(options: argparse.Namespace, accounts: int, attesting: int) -> Result:
    """Measure this node with so many accounts and validators."""
    genesis = load_genesis(options.genesis, accounts=accounts)
    plan = plan_orders(
        genesis, orders=options.orders, accounts=accounts, crossing_percent=options.crossing
    )
    signing = sign_orders(list(plan), genesis.chain_id, workers=os.cpu_count() or 1)
    label = f"signing {options.orders:,} orders of {accounts:,} accounts"
    orders = list(track(signing, label, options.orders, console=console, transient=True))
    with tempfile.TemporaryDirectory(prefix="perpnode-bench-") as directory:
        base, port, peer_port = Path(directory), free_port(), free_port()
        if attesting:
            genesis = with_keys(genesis, base, attesting)
        document = write_genesis(genesis, base / "genesis.json")
        command = [sys.executable, "-m", "node", "run", "--role", "sequencer"]
        command += ["--genesis", str(document), "--data-dir", str(base / "data")]
        command += ["--port", str(port), "--block-time", str(options.block_time)]
        if attesting:
            command += ["--key", str(base / "sequencer.json"), "--peer-port", str(peer_port)]
        with (
            server(command, port, base / "log") as process_id,
            validators(document, base, attesting, peer_port),
            reporting(genesis, port),
            console.status("sending"),
        ):
            measured = deliver(
                orders,
                port=port,
                process_id=process_id,
                batch=options.batch,
                connections=options.connections,
                lanes=accounts,
            )
        stages: Sequence[Stage] = ()
        if not options.no_profile and not attesting:
            with console.status("executing the same blocks once more, stage by stage"):
                stages = measure_stages(document, base / "data", base / "twin", orders=len(orders))
    return Result("perpnode", accounts, attesting, stages=stages, **measured)


def bench_anvil(options: argparse.Namespace, binary: str) -> Result:
    """Measure anvil with transfers of 100 accounts, on the same machine in the same run."""
    from node.devnet.accounts import ACCOUNTS_PATH, derive_keys  # loads eth-account, 0.6 s

    accounts, chain_id, port = 100, 31337, free_port()
    keys = [pair.private_key for pair in derive_keys(ACCOUNTS_PATH, accounts)]
    target = derive_keys(ACCOUNTS_PATH, 1)[0].address
    transfers = [
        sign_transfer(keys[index % accounts], index // accounts, chain_id, target)
        for index in track(
            range(options.orders), "signing transfers", console=console, transient=True
        )
    ]
    command = [binary, "--port", str(port), "--accounts", str(accounts), "--silent"]
    command += ["--block-time", str(options.block_time), "--gas-limit", str(10**9)]
    with tempfile.TemporaryDirectory(prefix="perpnode-bench-") as directory:
        log = Path(directory) / "log"
        with server(command, port, log) as process_id, console.status("sending to anvil"):
            measured = deliver(
                transfers,
                port=port,
                process_id=process_id,
                batch=options.batch,
                connections=options.connections,
                lanes=accounts,
            )
    return Result("anvil (transfers)", accounts, 0, stages=(), **measured)


def show(results: Sequence[Result]) -> None:
    """Print the results as tables."""
    out = Console() if sys.stdout.isatty() else Console(width=120)
    table = Table(title="signed transactions through JSON-RPC into blocks")
    for column in ("node", "accounts", "val.", "txs"):
        table.add_column(column, justify="left" if column == "node" else "right")
    for column in ("included/s", "submitted/s", "CPU µs each", "of it front", "RSS MB"):
        table.add_column(column, justify="right")
    for column in ("blocks", "largest", "reverted"):
        table.add_column(column, justify="right")
    for each in results:
        numbers = [each.included_per_s, each.submitted_per_s, each.cpu_us, each.front_us]
        numbers.append(each.rss_mb)
        counts = [each.blocks, each.block_max, each.reverted]
        table.add_row(
            each.node,
            f"{each.accounts:,}",
            f"{each.validators}",
            f"{each.transactions:,}",
            *(f"{number:,.0f}" for number in numbers),
            *(f"{count:,}" for count in counts),
        )
    out.print(table)
    staged = [each for each in results if each.stages]
    if not staged:
        return
    where = Table(title="where the CPU goes, µs per order (the same blocks, executed once more)")
    where.add_column("stage")
    for each in staged:
        where.add_column(f"{each.accounts:,} accounts", justify="right")
    for row in zip(*(each.stages for each in staged), strict=True):
        where.add_row(row[0].name, *(f"{stage.us:.1f}" for stage in row))
    where.add_row(
        "JSON, HTTP, threads, collecting garbage: the rest",
        *(f"{each.cpu_us - sum(stage.us for stage in each.stages):.1f}" for each in staged),
        end_section=True,
    )
    out.print(where)


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument(
        "--accounts", type=int, action="append", help="once per run; 100 and 10,000 by default"
    )
    parser.add_argument(
        "--validators",
        type=int,
        action="append",
        help="once per run; 0, and 1 and 4 with the first number of accounts, by default",
    )
    parser.add_argument("--crossing", type=int, default=0, help="percent of orders that match")
    parser.add_argument("--batch", type=int, default=200, help="transactions per request")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--block-time", type=float, default=1, help="seconds")
    parser.add_argument("--genesis", type=Path, default=ROOT / "genesis" / "devnet.json")
    parser.add_argument("--no-profile", action="store_true", help="leave out the table of stages")
    parser.add_argument(
        "--anvil", nargs="?", const="", metavar="PATH", help="measure anvil in the same run"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser.parse_args(arguments)


def main() -> int:
    """Run the benchmark; `perp` or `rpc` as the first argument runs another one."""
    others = {"perp": bench_perp.main, "rpc": bench_rpc.main}
    if len(sys.argv) > 1 and sys.argv[1] in others:
        return others[sys.argv[1]](sys.argv[2:])
    options = parse_options()
    try:
        results = [bench_perpnode(options, *run) for run in _runs(options)]
        if options.anvil is not None:
            results.append(bench_anvil(options, find_anvil(options.anvil)))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps([_plain(result) for result in results], indent=2))
    else:
        show(results)
    return 0


def _runs(options: argparse.Namespace) -> list[tuple[int, int]]:
    """Return (accounts, validators) of each run."""
    accounts = options.accounts or [100, 10_000]
    if options.validators is not None:
        return [(each, number) for number in options.validators for each in accounts]
    return [*((each, 0) for each in accounts), (accounts[0], 1), (accounts[0], 4)]


def _plain(result: Result) -> dict[str, Any]:
    return result._asdict() | {"stages": {stage.name: stage.us for stage in result.stages}}


if __name__ == "__main__":
    sys.exit(main())
