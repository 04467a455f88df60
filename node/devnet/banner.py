"""What the devnet prints: in anvil's order and spirit, because scripts and habits rely on it."""

from collections.abc import Sequence

from node.chain.genesis import Genesis
from node.crypto import checksum_address
from node.devnet.accounts import ACCOUNTS_PATH, MNEMONIC
from node.devnet.directory import DataDirectory
from node.devnet.keypair import Keypair
from node.units import Address, Quote, Wei, mul_div_floor

WEI_DECIMALS = 18
COLLATERAL_DECIMALS = 6
GOVERN = ".venv/bin/python -m tools.rollback --help"
EXPOSED = (
    "WARNING: listening beyond loopback: guarded methods are off, "
    "and the keys above are known to everybody"
)


def decimal(amount: int, decimals: int) -> str:
    """Return an integer of 10^-decimals units as a decimal number, exactly."""
    sign = "-" if amount < 0 else ""
    whole, fraction = divmod(abs(amount), 10**decimals)
    return f"{sign}{whole}.{fraction:0{decimals}}" if decimals else f"{sign}{whole}"


def render_banner(
    directory: DataDirectory,
    *,
    version: str,
    url: str,
    prices: str,
    validators: Sequence[str] = (),
    is_exposed: bool = False,
) -> str:
    """Return all that an engineer needs to connect and trade; `validators` are their URLs.

    `is_exposed` tells that the devnet listens beyond loopback.
    """
    genesis = directory.genesis
    accounts = directory.people.accounts
    markets = ", ".join(f"{market.params.symbol} ({market.id})" for market in genesis.markets)
    state = "made" if directory.is_new else "resumed"
    return "\n".join(
        [
            f"perpnode {version}",
            "",
            *_section("Available Accounts", [*_balances(genesis, accounts), *_caveat(directory)]),
            *_section("Private Keys", _keys(accounts)),
            *_section(
                "Wallet",
                [
                    f"{'Mnemonic:':<18}{MNEMONIC}",
                    f"{'Derivation path:':<18}{ACCOUNTS_PATH}",
                    "These keys are known to everybody: never send them anything of value.",
                ],
            ),
            *_section("Chain ID", [str(genesis.chain_id)]),
            *_section("Base Fee", [str(genesis.base_fee_wei)]),
            *_section("Gas Limit", [str(genesis.gas_limit)]),
            *_section("Genesis Timestamp", [str(mul_div_floor(genesis.time_ms, 1, 1_000))]),
            *_section("Genesis Number", ["0"]),
            *_section("Markets", [markets]),
            *_section("Prices", [prices]),
            *_section("Actors", [_actors(directory)]),
            *_section("Validators", _validators(genesis, validators)),
            *_section("Council", _council(directory)),
            *_section("Data", [f"{directory.path} ({state})"]),
            *_section(
                "RPC and WebSocket",
                [url, url.replace("http", "ws", 1), *([EXPOSED] if is_exposed else [])],
            ),
        ]
    )


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [title, "==================", "", *lines, "", ""]


def _balances(genesis: Genesis, accounts: Sequence[Keypair]) -> list[str]:
    owned: dict[Address, tuple[Wei, Quote]] = {
        account.address: (account.native_wei, account.tokens) for account in genesis.accounts
    }
    return [
        f"({index}) {checksum_address(keypair.address)} "
        f"({decimal(native, WEI_DECIMALS)} ETH) ({decimal(tokens, COLLATERAL_DECIMALS)} USDC)"
        for index, keypair in enumerate(accounts)
        for native, tokens in [owned[keypair.address]]
    ] or ["none"]


def _validators(genesis: Genesis, urls: Sequence[str]) -> list[str]:
    return [
        f"({index}) 0x{member.public_key.hex()} {url}"
        for index, (member, url) in enumerate(zip(genesis.validators, urls, strict=False))
    ] or ["none: every block counts as certified at once"]


def _council(directory: DataDirectory) -> list[str]:
    council = directory.genesis.council
    return [
        f"{council.threshold} of {len(council.members)} sign: {GOVERN}",
        *(
            f"({index}) {checksum_address(keypair.address)} {directory.council_key_path(index)}"
            for index, keypair in enumerate(directory.people.council)
        ),
    ]


def _caveat(directory: DataDirectory) -> list[str]:
    """Return what keeps a resumed chain's list of balances from being a lie."""
    return [] if directory.is_new else ["Balances are those of genesis; the chain has moved on."]


def _keys(accounts: Sequence[Keypair]) -> list[str]:
    return [
        f"({index}) 0x{keypair.private_key.hex()}" for index, keypair in enumerate(accounts)
    ] or ["none"]


def _actors(directory: DataDirectory) -> str:
    reporters, bots = len(directory.people.reporters), len(directory.people.bots)
    return f"{reporters} price reporters, {bots} traders"
