"""The devnet command's process: starts the children, tells what happens, ends them all.

Order: genesis, then every process at once (all wait for the sequencer by themselves), the banner
while it starts, `Listening on` once it answers, a line for each block. The sequencer's end is the
devnet's; a validator or an actor that ends is started again, later each time.
"""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from node.devnet.banner import decimal, render_banner
from node.devnet.child import Child, Role, start_child
from node.devnet.client import Client, connect
from node.devnet.condition import Condition, describe_change
from node.devnet.directory import DataDirectory, clear_directory, lock_directory, open_directory
from node.devnet.replay import PriceChoice, describe_prices
from node.devnet.template import Wishes
from node.errors import NodeUnreachable, OperatorError
from node.rpc.origin import is_loopback
from node.rpc.port import listen
from node.units import DurationMs

NODE_END_S = 20.0
"""A block's commit may be under way; killing is safe, but says less."""
ACTOR_END_S = 2.0
RESTART_FIRST_S = 0.5
RESTART_LAST_S = 30.0
INSTANT_PAUSE_S = 1
"""How long actors rest when their own transactions make the next block (`follow_heads`)."""
STABLE_S = 60.0
"""An actor that lived so long is started again at once, as if for the first time."""
STATUS_S = 1.0
"""How long no block may come before the node is asked how it is."""
ERROR_PREFIX = "perpnode: "
"""How the command line begins its one line about a failure (`node.cli.main`)."""
PEERS = 3
"""To how many validators before it in the set each links, beside the sequencer."""
CONNECT_S = 60.0
"""Replaying a large state at the start may take so long."""


class DevnetConfig(NamedTuple):
    """What the command line asks for."""

    data_dir: Path
    wishes: Wishes
    fresh: bool
    prices: PriceChoice
    host: str
    port: int
    """0: any free one."""
    host_names: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    block_time_ms: DurationMs
    instant: bool
    faults: bool = False
    snapshot_interval: int = 100
    """Blocks."""


def run_devnet(config: DevnetConfig) -> None:
    """Run a devnet until SIGINT or SIGTERM; raises OperatorError kinds."""
    port = _reserve_port(config.host, config.port)
    if config.fresh:
        clear_directory(config.data_dir)
    directory = open_directory(config.data_dir, config.wishes)
    with lock_directory(config.data_dir):
        ports = _choose_ports(config.host, port, len(directory.genesis.validators))
        asyncio.run(Supervisor(config._replace(port=port), directory, ports).run())


class Ports(NamedTuple):
    """Where the devnet's processes listen, beside the sequencer's own port."""

    peers: int
    """The sequencer's link for validators."""
    validators: tuple[int, ...]
    """Each validator's JSON-RPC."""
    validator_peers: tuple[int, ...]
    """Each validator's link for the others."""


def _choose_ports(host: str, port: int, validators: int) -> Ports:
    """Return the ports that follow the sequencer's; where one is taken, any free one."""
    with ExitStack() as taken:

        def reserve(wanted: int) -> int:
            try:
                server = taken.enter_context(listen(host, wanted))
            except (OperatorError, OverflowError):
                server = taken.enter_context(listen(host, 0))
            chosen: int = server.getsockname()[1]
            return chosen

        def reserve_row(first: int) -> tuple[int, ...]:
            return tuple(reserve(first + index) for index in range(validators))

        return Ports(reserve(port + 1), reserve_row(port + 2), reserve_row(port + 2 + validators))


def _reserve_port(host: str, port: int) -> int:
    """Return a port that is free now; PortInUse names who has it."""
    with listen(host, port) as server:
        chosen: int = server.getsockname()[1]
    return chosen


class Supervisor:
    """One run of the devnet."""

    def __init__(self, config: DevnetConfig, directory: DataDirectory, ports: Ports) -> None:
        self._config = config
        self._directory = directory
        self._ports = ports
        reachable = "127.0.0.1" if config.host in ("0.0.0.0", "::", "localhost") else config.host
        self._address = f"[{reachable}]" if ":" in reachable else reachable
        self._url = f"http://{self._address}:{config.port}"
        self._stop = asyncio.Event()
        self._children: dict[str, Child] = {}
        """Those that are started again."""
        self._told = 0
        self._condition = Condition()

    async def run(self) -> None:
        """Start everything, and end everything whatever happens."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        self._directory.log_path.mkdir(exist_ok=True)
        self._directory.keep_council_keys()
        sequencer = await self._start(self._sequencer_role())
        tasks: set[asyncio.Task[Any]] = {
            asyncio.create_task(self._stop.wait()),
            asyncio.create_task(self._fail_with(sequencer)),
            asyncio.create_task(self._tell()),
            *(asyncio.create_task(self._keep_alive(role)) for role in self._roles()),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(child.end() for child in self._children.values()))
            await sequencer.end()

    # --- children ---------------------------------------------------------------------------------

    async def _start(self, role: Role) -> Child:
        return await start_child(role, self._directory.log_path / f"{role.name}.log")

    async def _fail_with(self, sequencer: Child) -> None:
        """Wait for the sequencer's end and raise what it said."""
        status = await sequencer.wait()
        words = _quote(sequencer, status)
        if words.startswith(ERROR_PREFIX):
            raise OperatorError(words.removeprefix(ERROR_PREFIX))
        raise OperatorError(
            f"the sequencer ended {_how(status)}{': ' if words else ''}{words}: "
            f"see {sequencer.log}; the same command resumes the chain"
        )

    async def _keep_alive(self, role: Role) -> None:
        """Start a validator or an actor again whenever it ends."""
        pause_s = RESTART_FIRST_S
        loop = asyncio.get_running_loop()
        while True:
            started_s = loop.time()
            child = self._children[role.name] = await self._start(role)
            status = await child.wait()
            words = _quote(child, status)
            if loop.time() - started_s > STABLE_S:
                pause_s = RESTART_FIRST_S
            _say(
                f"{role.name.replace('-', ' ')} ended {_how(status)}"
                f"{': ' if words else ''}{words}, restarted"
                + ("" if pause_s == RESTART_FIRST_S else f" in {pause_s:g} s")
            )
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RESTART_LAST_S)

    def _sequencer_role(self) -> Role:
        config, directory = self._config, self._directory
        arguments = self._run_arguments("sequencer", directory.path, config.port)
        if directory.genesis.sequencer:
            arguments += ["--key", str(directory.sequencer_key_path)]
            arguments += ["--peer-port", str(self._ports.peers)]
        if config.instant:
            arguments.append("--instant")
        else:
            arguments += ["--block-time", decimal(config.block_time_ms, 3)]
        if config.faults:
            arguments.append("--faults")
        if directory.genesis.dev:
            arguments += ["--accounts-file", str(directory.keep_account_keys())]
        return Role("sequencer", arguments, None, NODE_END_S)

    def _validator_role(self, index: int, port: int) -> Role:
        directory = self._directory
        arguments = self._run_arguments("validator", directory.validator_path(index), port)
        arguments += ["--key", str(directory.validator_key_path(index))]
        links = self._ports.validator_peers
        arguments += ["--peer-port", str(links[index])]
        for port_of_peer in (self._ports.peers, *links[max(0, index - PEERS) : index]):
            arguments += ["--peer", f"wss://{self._address}:{port_of_peer}"]
        return Role(f"validator-{index}", arguments, None, NODE_END_S)

    def _run_arguments(self, role: str, data_dir: Path, port: int) -> list[str]:
        config = self._config
        arguments = ["-m", "node", "run", "--role", role, "--end-with-parent"]
        arguments += ["--genesis", str(self._directory.genesis_path)]
        arguments += ["--data-dir", str(data_dir)]
        arguments += ["--host", config.host, "--port", str(port)]
        arguments += ["--snapshot-interval", str(config.snapshot_interval)]
        for name in config.host_names:
            arguments += ["--host-name", name]
        for origin in config.allowed_origins:
            arguments += ["--allow-origin", origin]
        return arguments

    def _roles(self) -> list[Role]:
        """Return who is started again when it ends: validators, reporters, traders."""
        validators = enumerate(self._ports.validators)
        return [
            *(self._validator_role(index, port) for index, port in validators),
            *self._actor_roles(),
        ]

    def _actor_roles(self) -> list[Role]:
        people = self._directory.people
        genesis = self._directory.genesis
        common: dict[str, Any] = {
            "url": self._url,
            "chain_id": genesis.chain_id,
            "base_fee_wei": genesis.base_fee_wei,
            "pause_s": INSTANT_PAUSE_S if self._config.instant else 0,
        }
        roles = []
        if people.reporters:
            part = common | {
                "keys": [keypair.private_key.hex() for keypair in people.reporters],
                "markets": [
                    {
                        "id": market.id,
                        "symbol": market.params.symbol,
                        "tick_decimals": market.params.tick_decimals,
                    }
                    for market in genesis.markets
                ],
                "prices": self._config.prices,
                "prices_path": str(self._directory.prices_path),
            }
            roles.append(Role("reporters", ["-m", "node.devnet.reporters"], part, ACTOR_END_S))
        if people.bots:
            part = common | {"keys": [keypair.private_key.hex() for keypair in people.bots]}
            roles.append(Role("traders", ["-m", "node.devnet.traders"], part, ACTOR_END_S))
        return roles

    # --- telling ----------------------------------------------------------------------------------

    async def _tell(self) -> None:
        """Print the banner, say when the node listens, then a line for each block or trouble."""
        prices = describe_prices(self._config.prices)
        banner = render_banner(
            self._directory,
            version=version("perpnode"),
            url=self._url,
            prices=prices,
            validators=[f"http://{self._address}:{port}" for port in self._ports.validators],
            is_exposed=not is_loopback(self._config.host),
        )
        _say(banner)
        is_listening = False
        while True:
            try:
                async with connect(self._url, patience_s=CONNECT_S) as client:
                    if not is_listening:
                        _say(f"Listening on {self._address}:{self._config.port}")
                        is_listening = True
                    await self._tell_blocks(client)
            except NodeUnreachable:
                # The sequencer's end is told by `_fail_with`; a cut connection heals by itself.
                await asyncio.sleep(RESTART_FIRST_S)

    async def _tell_blocks(self, client: Client) -> None:
        heads = await client.subscribe("newHeads")
        await self._tell_block(
            client, await client.request("eth_getBlockByNumber", "latest", False)
        )
        while True:
            try:
                # No wait_for: Python 3.11's forgets to be cancelled when a head comes just then.
                async with asyncio.timeout(STATUS_S):
                    header = await anext(heads)
            except TimeoutError:
                (status,) = await client.batch([("perp_status", ())])
                self._tell_condition(status)
            else:
                await self._tell_block(client, header)

    def _tell_condition(self, status: Any) -> None:
        """Print what has changed since the last look; a refused request tells nothing."""
        if not isinstance(status, dict):
            return
        before, self._condition = self._condition, Condition.of(status)
        if line := describe_change(before, self._condition):
            _say(line)

    async def _tell_block(self, client: Client, header: Mapping[str, Any]) -> None:
        """Print a block's line, unless it is genesis or was told before."""
        height = int(header["number"], 16)
        if height < self._told:
            _say(f"reverted to block {height}  {header['hash'][:10]}…{header['hash'][-4:]}")
            self._told = height
        if height <= self._told:
            return
        number = header["number"]
        count, markets, status = await client.batch(
            [
                ("eth_getBlockTransactionCountByNumber", (number,)),
                ("perp_getMarkets", (number,)),
                ("perp_status", ()),
            ]
        )
        if isinstance(count, str) and isinstance(markets, list) and isinstance(status, dict):
            self._told = height
            certified = status["safe"] if self._ports.validators else None
            _say(render_block_line(header, int(count, 16), markets, certified))
        self._tell_condition(status)


def render_block_line(
    header: Mapping[str, Any],
    transactions: int,
    markets: Sequence[Mapping[str, Any]],
    certified: int | None = None,
) -> str:
    """Return the line that tells of a block: height, hash, transactions, gas, marks and modes.

    `certified` is up to where validators have signed; None where there are none.
    """
    marks = "  ".join(
        f"{market['symbol']} {market['mark']['decimal'] if market['mark'] else '-'}"
        + ("" if market["mode"] == "OPEN" else f" {market['mode']}")
        for market in markets
    )
    gas = int(header["gasUsed"], 16)
    return (
        f"block {int(header['number'], 16):>6}  {header['hash'][:10]}…{header['hash'][-4:]}  "
        f"{transactions:>3} txs  {gas:>10,} gas  {marks}"
        + ("" if certified is None else f"  certified {certified}")
    )


def _quote(child: Child, status: int) -> str:
    """Return what a child said last about its end; a signal leaves it no time to say why."""
    return child.last_words() if status >= 0 else ""


def _how(status: int) -> str:
    """Return in words how a process ended."""
    if status >= 0:
        return f"with exit status {status}"
    with suppress(ValueError):
        return f"by {signal.Signals(-status).name}"
    return f"by signal {-status}"


def _say(text: str) -> None:
    print(text, flush=True)
