"""The genesis document: strict JSON in, one checked record out (`genesis/README.md`).

Everything that all nodes of a chain must agree on from the start stands here, and its hash is the
parent of block 0: two chains with one document differ in nothing before block 1. A document is
read by the types of the record it becomes, so a field has one name, one meaning and one form:
integers are JSON integers, amounts of money (atoms or wei) decimal strings, because they may pass
2^53; addresses are 0x and 40 hex digits, keys 0x and 64. Unknown, missing and repeated fields are
refused.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from node.chain.document import (
    AMOUNT_MAX,
    check_names,
    check_type,
    decode_json,
    fail,
    fields_of,
    plain,
    plain_bytes,
    read_fields,
    read_value,
    require_range,
)
from node.chain.regular_file import read_regular
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.crypto import checksum_address, keccak256
from node.errors import GenesisError
from node.governance.council import Council, validate_council
from node.governance.validators import Validator, ValidatorSet, validate_validators
from node.perp.market import MARKET_ID_MAX
from node.perp.parameters import (
    MAGNITUDE_MAX,
    ChainParams,
    MarketParams,
    validate_chain_params,
    validate_market_params,
)
from node.units import Address, FundingIndex, Hash32, MarketId, Quote, TimeMs, Wei

FORMAT = 1
"""The format of the document that this version reads."""
BASE_FEE_MAX = Wei(10**9)
"""1 gwei: libraries' own tests offer no more."""
GAS_LIMIT_MIN = 10_000_000
RESERVED_MAX = 0xFFFF
"""Addresses up to this number belong to system contracts and markets."""
FUNDING_INDEX = "funding_index"
"""The one field of a market that may be left out."""
FUNDING_INDEX_MAX = 2**100
"""Either sign, 1e-9 atoms per lot: more than any price times any leverage."""


class GenesisMarket(NamedTuple):
    """A market that exists from the start."""

    id: MarketId
    params: MarketParams
    funding_index: FundingIndex = FundingIndex(0)
    """Where its funding index begins, 1e-9 atoms per lot: an old market's is far from 0."""


class GenesisAccount(NamedTuple):
    """What an account owns at the start."""

    address: Address
    native_wei: Wei
    tokens: Quote
    """Collateral outside of the exchange."""
    margin: Quote
    """Collateral deposited in the exchange, as if by M3."""


class Genesis(NamedTuple):
    """A checked genesis document."""

    format: int
    chain_id: int
    dev: bool
    """Whether development helpers, the faucet among them, exist on this chain."""
    time_ms: TimeMs
    """Block 0's time."""
    base_fee_wei: Wei
    gas_limit: int
    system_account: Address
    """The sender of system transactions; its key is published (DESIGN section 4)."""
    council: Council
    sequencer: bytes
    """The Ed25519 key that signs proposals; empty: blocks are not signed."""
    validators: tuple[Validator, ...]
    """In the document's order, which is their index; empty: every block is certified at once."""
    chain: ChainParams
    markets: tuple[GenesisMarket, ...]
    """Ascending by id."""
    accounts: tuple[GenesisAccount, ...]
    """Ascending by address."""
    vault_margin: Quote
    """The LiquidatorVault's first balance."""
    faucet_per_account: Quote
    """What the faucet gives an account in all, where `dev` is true."""


def read_genesis(path: Path) -> Genesis:
    """Read, decode and check a genesis file; GenesisError names file, field, value and remedy."""
    try:
        data = read_regular(path)
    except OSError as error:
        problem = f"can't be read ({error.strerror})"
        raise GenesisError(f"{path}: {problem}: name a genesis file") from None
    return parse_genesis(data, name=str(path))


def parse_genesis(data: bytes, *, name: str) -> Genesis:
    """Decode and check a genesis document; `name` stands for the file in an error."""
    try:
        document = decode_json(data)
        genesis = _genesis_of(document)
        validate_genesis(genesis)
    except GenesisError as error:
        raise GenesisError(f"{name}: {error.message}") from None
    return genesis


def document_of(genesis: Genesis) -> dict[str, Any]:
    """Return the JSON value that `parse_genesis` reads as this record."""
    chain = plain(genesis.chain)
    return {
        "format": genesis.format,
        "chain_id": genesis.chain_id,
        "dev": genesis.dev,
        "time_ms": genesis.time_ms,
        "base_fee_wei": str(genesis.base_fee_wei),
        "gas_limit": genesis.gas_limit,
        "system_account": checksum_address(genesis.system_account),
        "reporters": chain.pop("reporters"),
        "reporter_quorum": chain.pop("reporter_quorum"),
        "council": plain(genesis.council),
        "sequencer": plain_bytes(genesis.sequencer),
        "validators": [plain(validator) for validator in genesis.validators],
        "chain": chain,
        "markets": [_plain_market(market) for market in genesis.markets],
        "accounts": [plain(account) for account in genesis.accounts],
        "vault_margin": str(genesis.vault_margin),
        "faucet_per_account": str(genesis.faucet_per_account),
    }


def _plain_market(market: GenesisMarket) -> dict[str, Any]:
    """Return a market's object; a funding index of 0 is left out."""
    index = {FUNDING_INDEX: str(market.funding_index)} if market.funding_index else {}
    return {"id": market.id, **plain(market.params), **index}


def canonical_bytes(genesis: Genesis) -> bytes:
    """Return the document's one canonical form: JSON with sorted keys, ASCII, no spaces."""
    return json.dumps(document_of(genesis), sort_keys=True, separators=(",", ":")).encode()


def document_hash(genesis: Genesis) -> Hash32:
    """Return the keccak256 of the canonical form: block 0's parent hash."""
    return keccak256(canonical_bytes(genesis))


def render_genesis(genesis: Genesis) -> str:
    """Return the document for people to read: indented, in the order of `genesis/README.md`."""
    return json.dumps(document_of(genesis), indent=2) + "\n"


# --- checks that no single field can make -------------------------------------------------------


def validate_genesis(genesis: Genesis) -> None:
    """Refuse a document whose fields contradict each other or the rules."""
    require_range("format", genesis.format, FORMAT, FORMAT)
    require_range("chain_id", genesis.chain_id, 1, MAGNITUDE_MAX)
    require_range("time_ms", genesis.time_ms, 1, MAGNITUDE_MAX)
    require_range("base_fee_wei", genesis.base_fee_wei, 0, BASE_FEE_MAX)
    require_range("gas_limit", genesis.gas_limit, GAS_LIMIT_MIN, MAGNITUDE_MAX)
    if genesis.system_account != SYSTEM_ACCOUNT:
        fail(
            "system_account",
            f"was {checksum_address(genesis.system_account)}",
            f"this version signs system transactions as {checksum_address(SYSTEM_ACCOUNT)}",
        )
    validate_validators(ValidatorSet(genesis.sequencer, genesis.validators))
    _require_people("council.members", genesis.council.members)
    validate_council(genesis.council)
    _require_people("reporters", genesis.chain.reporters)
    validate_chain_params(genesis.chain)
    _validate_markets(genesis.markets)
    _validate_accounts(genesis)


def _validate_markets(markets: Sequence[GenesisMarket]) -> None:
    if not markets:
        fail("markets", "is empty", "name at least one market")
    _require_distinct("markets", "id", [market.id for market in markets])
    _require_distinct("markets", "symbol", [market.params.symbol for market in markets])
    for market in markets:
        require_range("markets.id", market.id, 1, MARKET_ID_MAX)
        validate_market_params(market.params)


def _validate_accounts(genesis: Genesis) -> None:
    addresses = [account.address for account in genesis.accounts]
    _require_distinct("accounts", "address", addresses)
    for address in addresses:
        _require_person("accounts.address", address)
    money = sum(account.tokens + account.margin for account in genesis.accounts)
    require_range("the sum of all tokens and margin", money + genesis.vault_margin, 0, AMOUNT_MAX)


def _require_people(where: str, addresses: Sequence[Address]) -> None:
    if not addresses:
        fail(where, "is empty", "name at least one address")
    for address in addresses:
        _require_person(where, address)
    _require_distinct(where, "address", addresses)


def _require_person(where: str, address: Address) -> None:
    if int.from_bytes(address, "big") <= RESERVED_MAX or address == SYSTEM_ACCOUNT:
        fail(where, f"names {checksum_address(address)}", "that address belongs to the system")


def _require_distinct(where: str, what: str, values: Sequence[object]) -> None:
    seen: set[object] = set()
    for value in values:
        if value in seen:
            shown = checksum_address(Address(value)) if isinstance(value, bytes) else value
            fail(where, f"has the {what} {shown} twice", "name each once")
        seen.add(value)


# --- where the document is not spelled as the record ----------------------------------------------

_CHAIN = {name: kind for name, kind in fields_of(ChainParams).items() if "reporter" not in name}
_REPORTERS = {name: kind for name, kind in fields_of(ChainParams).items() if "reporter" in name}
_MARKET = {"id": MarketId} | fields_of(MarketParams)
_DOCUMENT = {
    name: kind
    for name, kind in (fields_of(Genesis) | _REPORTERS).items()
    if name not in ("chain", "markets")
}


def _genesis_of(document: Any) -> Genesis:
    check_names(document, [*_DOCUMENT, "chain", "markets"], "")
    values = {name: read_value(document[name], kind, name) for name, kind in _DOCUMENT.items()}
    return Genesis(
        chain=ChainParams(
            reporters=tuple(sorted(values.pop("reporters"))),
            reporter_quorum=values.pop("reporter_quorum"),
            **read_fields(document["chain"], _CHAIN, "chain"),
        ),
        markets=tuple(sorted(_read_markets(document["markets"]))),
        council=_sorted_council(values.pop("council")),
        accounts=tuple(sorted(values.pop("accounts"))),
        **values,
    )


def _sorted_council(council: Council) -> Council:
    return council._replace(members=tuple(sorted(council.members)))


def _read_markets(value: Any) -> list[GenesisMarket]:
    markets = []
    for index, item in enumerate(check_type(value, list, "markets", "a list of objects")):
        where = f"markets[{index}]"
        named = dict(check_type(item, dict, where, "an object"))
        begins = _read_index(named.pop(FUNDING_INDEX, "0"), f"{where}.{FUNDING_INDEX}")
        fields = read_fields(named, _MARKET, where)
        markets.append(GenesisMarket(fields.pop("id"), MarketParams(**fields), begins))
    return markets


def _read_index(value: Any, where: str) -> FundingIndex:
    text = check_type(value, str, where, "a decimal string")
    if not re.fullmatch(r"0|-?[1-9][0-9]{0,37}", text):
        fail(where, f"was {text[:60]!r}", "an index has digits only, and no leading zero")
    require_range(where, int(text), -FUNDING_INDEX_MAX, FUNDING_INDEX_MAX)
    return FundingIndex(int(text))
