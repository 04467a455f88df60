"""From a genesis template and a few flags to the one genesis document of a data directory.

The document is written once. A later start finds it and takes from it what the flags leave open;
a flag that contradicts it is refused by name, because the chain in the directory is its own.
"""

from pathlib import Path
from typing import NamedTuple

from node.chain.genesis import Genesis, GenesisAccount, read_genesis, validate_genesis
from node.devnet.accounts import (
    ACCOUNTS_PATH,
    BOTS_PATH,
    COUNCIL_PATH,
    REPORTERS_PATH,
    derive_keys,
    derive_leading_keys,
)
from node.devnet.keypair import Keypair
from node.errors import OperatorError
from node.units import Quote, Wei

TEMPLATE = Path(__file__).parents[2] / "genesis" / "devnet.json"
"""Beside the package, in a checkout as in an installation."""
NATIVE_WEI = Wei(10_000 * 10**18)
"""10,000 coins for each account, reporter and bot, as anvil gives."""
TOKENS = Quote(1_000_000 * 10**6)
"""1,000,000 USDC for each account and bot."""


VALIDATORS_DEFAULT = 4
"""Of three, "more than two thirds" forgives nobody."""
VALIDATORS_MAX = 16
"""Each is a process of its own."""


class People(NamedTuple):
    """Those whose keys the devnet holds, by role."""

    accounts: tuple[Keypair, ...]
    reporters: tuple[Keypair, ...]
    bots: tuple[Keypair, ...]
    council: tuple[Keypair, ...]


class Wishes(NamedTuple):
    """What the command line says about genesis; None where it says nothing."""

    template: Path | None
    accounts: int | None
    reporters: int | None
    bots: int | None
    dev: bool | None
    validators: int | None = None


def quorum_of(reporters: int) -> int:
    """Return the quorum for so many reporters: 2 of 3, 4 of 5 (RULES P1)."""
    return reporters - reporters // 3


def make_genesis(template: Genesis, wishes: Wishes) -> tuple[Genesis, People]:
    """Return the template with the accounts, reporters and bots wished for, and their keys.

    What no wish speaks of stays as the template has it. With 0 reporters the template's stay in
    genesis as well, but the devnet runs none. Validators are not here: their keys are made with the
    data directory.
    """
    if template.sequencer or template.validators:
        raise OperatorError(
            "the genesis document names a sequencer or validators, whose keys a devnet does not "
            'have: leave "sequencer" and "validators" empty, and choose by --validators'
        )
    old = find_people(template)
    people = People(
        _wished(ACCOUNTS_PATH, wishes.accounts, old.accounts),
        _wished(REPORTERS_PATH, wishes.reporters or None, old.reporters),
        _wished(BOTS_PATH, wishes.bots, old.bots),
        old.council,
    )
    chain = template.chain
    if wishes.reporters:
        chain = chain._replace(
            reporters=tuple(sorted(keypair.address for keypair in people.reporters)),
            reporter_quorum=quorum_of(len(people.reporters)),
        )
    genesis = template._replace(
        dev=template.dev if wishes.dev is None else wishes.dev,
        chain=chain,
        accounts=_fund(template, leaving=old, coming=people),
    )
    validate_genesis(genesis)
    return genesis, _running(people, wishes)


def find_people(genesis: Genesis) -> People:
    """Return the development keys whose addresses a genesis names, by role."""
    owners = {account.address for account in genesis.accounts}
    return People(
        derive_leading_keys(ACCOUNTS_PATH, owners),
        derive_leading_keys(REPORTERS_PATH, set(genesis.chain.reporters)),
        derive_leading_keys(BOTS_PATH, owners),
        derive_leading_keys(COUNCIL_PATH, set(genesis.council.members)),
    )


def recover_people(genesis: Genesis, wishes: Wishes, *, where: Path) -> People:
    """Return the people of a data directory's genesis; refuse a flag that contradicts it."""
    found = find_people(genesis)
    _require_agreement(where, "--accounts", wishes.accounts, len(found.accounts))
    _require_agreement(where, "--bots", wishes.bots, len(found.bots))
    if wishes.reporters != 0:
        _require_agreement(where, "--reporters", wishes.reporters, len(found.reporters))
    _require_agreement(where, "--validators", wishes.validators, len(genesis.validators))
    if wishes.dev is False and genesis.dev:
        raise _contradiction(where, "--no-dev", "dev: true")
    if wishes.template is not None:
        asked, _ = make_genesis(read_genesis(wishes.template), wishes)
        ours = asked._replace(sequencer=genesis.sequencer, validators=genesis.validators)
        if ours != genesis:
            raise _contradiction(where, f"--genesis {wishes.template}", "another document")
    return _running(found, wishes)


def _running(people: People, wishes: Wishes) -> People:
    return people._replace(reporters=()) if wishes.reporters == 0 else people


def _wished(path: str, wish: int | None, old: tuple[Keypair, ...]) -> tuple[Keypair, ...]:
    return old if wish is None else derive_keys(path, wish)


def _fund(template: Genesis, *, leaving: People, coming: People) -> tuple[GenesisAccount, ...]:
    """Return the template's accounts, without those who leave, with those who come."""
    present = {account.address: account for account in template.accounts}
    funded = dict(present)
    for keypair in (*leaving.accounts, *leaving.reporters, *leaving.bots):
        funded.pop(keypair.address, None)
    for keypair in coming.reporters:
        new = GenesisAccount(keypair.address, NATIVE_WEI, Quote(0), Quote(0))
        funded[keypair.address] = present.get(keypair.address, new)
    for keypair in (*coming.accounts, *coming.bots):
        new = GenesisAccount(keypair.address, NATIVE_WEI, TOKENS, Quote(0))
        funded[keypair.address] = present.get(keypair.address, new)
    return tuple(sorted(funded.values()))


def _require_agreement(where: Path, flag: str, wish: int | None, found: int) -> None:
    if wish is not None and wish != found:
        raise _contradiction(where, f"{flag} {wish}", f"{flag} {found}")


def _contradiction(where: Path, flag: str, found: str) -> OperatorError:
    return OperatorError(
        f"{flag} contradicts {where}, which was made with {found}: "
        "leave the flag out, choose another --data-dir, or start anew with --fresh"
    )
