"""The genesis document: what is read, what is refused and in which words, what its hash means."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from node.chain.document import fields_of
from node.chain.genesis import (
    Genesis,
    GenesisAccount,
    canonical_bytes,
    document_hash,
    document_of,
    parse_genesis,
    read_genesis,
    render_genesis,
)
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.crypto import checksum_address, keccak256
from node.errors import GenesisError
from node.governance.council import Council
from node.governance.validators import Validator
from node.perp.parameters import ChainParams, MarginBracket, MarketParams
from node.units import Quote

ROOT = Path(__file__).parents[2]
DEVNET = ROOT / "genesis" / "devnet.json"
MINIMAL = ROOT / "genesis" / "minimal.json"
OUTSIDER = "0x00000000000000000000000000000000000A11ce".lower()
KEY = "0x" + "5e" * 32


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(MINIMAL.read_bytes())
    return loaded


def parse(value: Any) -> Genesis:
    return parse_genesis(json.dumps(value).encode(), name="genesis.json")


def put(value: Any, path: str, new: Any) -> Any:
    """Return the document with one field, "markets.0.k" for one, replaced."""
    *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
    inner = value
    for step in way:
        inner = inner[step]
    inner[last] = new
    return value


@pytest.mark.parametrize("path", [DEVNET, MINIMAL])
def test_committed_documents_are_in_their_readable_form(path: Path) -> None:
    genesis = read_genesis(path)

    assert render_genesis(genesis) == path.read_text()


def test_devnet_has_the_two_markets_of_the_issue() -> None:
    genesis = read_genesis(DEVNET)

    assert [(m.id, m.params.symbol, m.params.k) for m in genesis.markets] == [
        (1, "BTC-USD", 10),  # 10^(6 - 4 - 1)
        (2, "ETH-USD", 10),  # 10^(6 - 3 - 2)
    ]
    assert (genesis.chain_id, genesis.dev, genesis.time_ms) == (20260119, True, 1768780800000)


def test_amounts_beyond_2_to_the_53_are_exact() -> None:
    genesis = parse(put(document(), "accounts.0.native_wei", "10000000000000000000001"))

    assert 10**22 + 1 in [account.native_wei for account in genesis.accounts]


def test_hash_is_keccak_of_canonical_json() -> None:
    genesis = read_genesis(MINIMAL)

    canonical = json.dumps(document_of(genesis), sort_keys=True, separators=(",", ":")).encode()

    assert canonical_bytes(genesis) == canonical
    assert document_hash(genesis) == keccak256(canonical)


def test_hash_does_not_depend_on_layout_order_or_letter_case() -> None:
    value = document()
    value["accounts"].reverse()
    value["reporters"].reverse()
    value["markets"].reverse()
    value["council"]["members"] = [member.lower() for member in value["council"]["members"]]

    genesis = parse_genesis(json.dumps(value, indent=7).encode(), name="genesis.json")

    assert document_hash(genesis) == document_hash(read_genesis(MINIMAL))


def test_hash_depends_on_every_field() -> None:
    genesis = read_genesis(MINIMAL)
    account = genesis.accounts[0]

    changed = genesis._replace(
        accounts=(account._replace(margin=Quote(account.margin + 1)), *genesis.accounts[1:])
    )

    assert document_hash(changed) != document_hash(genesis)


def test_reporters_and_council_are_sorted() -> None:
    value = document()
    value["reporters"].sort(key=str.lower, reverse=True)

    genesis = parse(value)

    assert list(genesis.chain.reporters) == sorted(genesis.chain.reporters)
    assert list(genesis.council.members) == sorted(genesis.council.members)


REFUSED: list[tuple[str, Any, str]] = [
    ("format", 2, "format was 2: must be 1"),
    ("format", "1", 'format was "1": must be an integer'),
    ("format", True, "format was true: must be an integer"),
    ("chain_id", 0, "chain_id was 0: must be from 1 to 9007199254740991"),
    ("chain_id", 2**53, "chain_id was 9007199254740992"),
    ("chain_id", None, "chain_id was null: must be an integer"),
    ("dev", 1, "dev was 1: must be true or false"),
    ("time_ms", 0, "time_ms was 0: must be from 1"),
    ("base_fee_wei", 7, "base_fee_wei was 7: must be an amount as a decimal string"),
    ("base_fee_wei", "1000000001", "base_fee_wei was 1000000001: must be from 0 to 1000000000"),
    ("gas_limit", 9_999_999, "gas_limit was 9999999: must be from 10000000"),
    ("system_account", OUTSIDER, "this version signs system transactions as"),
    ("system_account", "0x12", 'system_account was "0x12": an address is 0x and 40 hex digits'),
    ("reporters", [], "reporters is empty: name at least one address"),
    ("reporters", {}, "reporters was {}: must be a list"),
    ("reporters.0", 5, "reporters[0] was 5: must be an address"),
    ("reporters.0", "0x0000000000000000000000000000000000001005", "belongs to the system"),
    ("reporters.0", checksum_address(SYSTEM_ACCOUNT), "reporters names"),
    ("reporter_quorum", 0, "reporter_quorum"),
    ("reporter_quorum", 4, "reporter_quorum"),
    ("council.threshold", 1, "threshold"),
    ("council.threshold", 6, "threshold"),
    ("council.members", [], "council.members is empty"),
    ("council.extra", 1, 'council has the unknown field "extra"'),
    ("validators", [OUTSIDER], 'validators[0] was "0x'),
    ("validators", [{"public_key": KEY, "power": 1}], 'sequencer: was "", validators take signed'),
    ("validators", [{"public_key": "0x12", "power": 1}], 'sequencer: was ""'),
    ("sequencer", "0x123", 'sequencer was "0x123": write 0x and pairs of hex digits'),
    ("sequencer", "0x1234", "sequencer: was 2 bytes, must be an Ed25519 key of 32 bytes"),
    ("chain", [], "chain was []: must be an object"),
    ("chain.gap_ms_max", -1, "gap_ms_max"),
    ("chain.gap_ms_max", 1.5, "the document has the number 1.5: use integers"),
    ("chain.reopen_needs_book", "no", 'chain.reopen_needs_book was "no": must be true or false'),
    ("chain.reporters", [], 'chain has the unknown field "reporters"'),
    ("markets", [], "markets is empty: name at least one market"),
    ("markets.0", 3, "markets[0] was 3: must be an object"),
    ("markets.0.id", 0, "markets.id was 0: must be from 1"),
    ("markets.0.id", 2, "markets has the id 2 twice: name each once"),
    ("markets.0.symbol", "ETH-USD", "markets has the symbol ETH-USD twice"),
    ("markets.0.symbol", 5, "markets[0].symbol was 5: must be a string"),
    ("markets.0.k", 100, "k"),
    ("markets.0.maker_fee_ppm", -451, "maker_fee_ppm"),
    ("markets.0.brackets.0.notional_from", "1", "notional_from"),
    ("markets.0.brackets.0.notional_from", 0, "markets[0].brackets[0].notional_from was 0"),
    ("markets.0.colour", "red", 'markets[0] has the unknown field "colour"'),
    ("accounts.0.tokens", "-1", 'accounts[0].tokens was "-1": an amount has digits only'),
    ("accounts.0.tokens", "01", 'accounts[0].tokens was "01"'),
    ("accounts.0.tokens", "1e3", 'accounts[0].tokens was "1e3"'),
    ("accounts.0.tokens", "٣", "an amount has digits only"),
    ("accounts.0.tokens", "9" * 40, "an amount has digits only"),
    ("accounts.0.tokens", str(2**63), f"accounts[0].tokens was {2**63}"),
    ("accounts.0.margin", str(2**63 - 1), "the sum of all tokens and margin was"),
    ("accounts.0.native_wei", str(2**96), "accounts[0].native_wei was"),
    ("accounts.0.address", "0x0000000000000000000000000000000000002001", "belongs to the system"),
    ("accounts.0.address", "0x" + "0" * 40, "belongs to the system"),
    ("accounts.0.address", "0xF39fd6e51aad88F6F4ce6aB8827279cffFb92266", "EIP-55"),
    ("vault_margin", -1, "vault_margin was -1: must be an amount"),
    ("faucet_per_account", "x", "faucet_per_account was"),
    ("unknown", 1, 'the document has the unknown field "unknown"'),
]


@pytest.mark.parametrize(("path", "new", "words"), REFUSED)
def test_bad_field_is_refused_in_one_line_that_names_it(path: str, new: Any, words: str) -> None:
    with pytest.raises(GenesisError) as refusal:
        parse(put(document(), path, new))

    message = str(refusal.value)
    assert message.startswith("genesis.json: ")
    assert words in message
    assert "\n" not in message


def test_validators_keep_the_order_of_the_document() -> None:
    value = document() | {
        "sequencer": KEY,
        "validators": [{"public_key": "0x" + pair * 32, "power": 1} for pair in ("22", "11")],
    }

    genesis = parse(value)

    assert genesis.sequencer == b"\x5e" * 32
    assert genesis.validators == (Validator(b"\x22" * 32, 1), Validator(b"\x11" * 32, 1))
    assert document_of(genesis)["validators"] == value["validators"]


@pytest.mark.parametrize("field", sorted(document()))
def test_missing_field_is_refused_by_name(field: str) -> None:
    value = document()
    del value[field]

    with pytest.raises(GenesisError, match=f'the document lacks the field "{field}"'):
        parse(value)


def test_account_named_twice_is_refused() -> None:
    value = document()
    value["accounts"].append(value["accounts"][0])

    with pytest.raises(GenesisError, match=r"accounts has the address 0x[0-9a-fA-F]{40} twice"):
        parse(value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "line 1, column 1 is no JSON"),
        (b"[]", "the document was []: must be an object"),
        (b"null", "the document was null: must be an object"),
        (b'{"format": 1,}', "is no JSON"),
        (b'{"format": 1, "format": 1}', "format stands twice in one object"),
        (b'{"format": NaN}', "the document has the number NaN"),
        (b'{"format": 1e400}', "the document has the number 1e400"),
        (b"\xff\xfe", "is no UTF-8 at byte 0"),
        (b"\xef\xbb\xbf{}", "is no JSON"),
        (b'{"format": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
        (b"[" * 1_000_000, "nests more than 64 deep"),
        (b'{"a":' * 1_000_000, "nests more than 64 deep"),
        (b'{"a": "' + b"[" * 100 + b'"}', 'has the unknown field "a"'),
        (b'{"' + b"[" * 100, "is no JSON"),
    ],
)
def test_what_is_no_document_is_refused_in_one_line(data: bytes, words: str) -> None:
    with pytest.raises(GenesisError) as refusal:
        parse_genesis(data, name="genesis.json")

    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.json"

    with pytest.raises(GenesisError) as refusal:
        read_genesis(missing)

    assert str(refusal.value) == (
        f"{missing}: can't be read (No such file or directory): name a genesis file"
    )


def test_readme_describes_every_field_and_no_other() -> None:
    text = (ROOT / "genesis" / "README.md").read_text()

    described = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)

    chain = [name for name in fields_of(ChainParams) if "reporter" not in name]
    assert described == [
        *document(),
        *fields_of(Council),
        *fields_of(Validator),
        *chain,
        "id",
        *fields_of(MarketParams),
        "funding_index",
        *fields_of(MarginBracket),
        *fields_of(GenesisAccount),
    ]


def test_a_market_may_begin_with_an_old_ones_funding_index() -> None:
    index = "-123456789012345678901"
    old = document()
    old["markets"][0]["funding_index"] = index
    genesis = parse(old)

    assert genesis.markets[0].funding_index == int(index)
    assert document_of(genesis)["markets"][0]["funding_index"] == index
    assert document_hash(genesis) != document_hash(parse(document()))
    old["markets"][0]["funding_index"] = "0"
    assert document_hash(parse(old)) == document_hash(parse(document()))
    for bad in ("01", "1.5", 7, "-0", "9" * 39):
        old["markets"][0]["funding_index"] = bad
        with pytest.raises(GenesisError, match=r"markets\[0\]\.funding_index"):
            parse(old)
