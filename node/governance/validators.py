"""The validators: who attests blocks, with how much power, and whose blocks they take.

A validator is named by its place in the list, so the order is part of the record. Without members
every block counts as certified at once (DESIGN section 6).
"""

from typing import NamedTuple

from node.errors import GenesisError
from node.units import PPM

MEMBERS_MAX = 100
POWER_MAX = 2**40
PUBLIC_KEY_SIZE = 32
SMALL_SET = 5
"""With fewer validators more than two thirds of their power restart the chain."""
LARGE_SET_PPM = 800_000
"""What restarts it with more of them, unless genesis names another part."""


class Validator(NamedTuple):
    """One validator."""

    public_key: bytes
    """Ed25519, 32 bytes."""
    power: int
    """What its signature weighs, at least 1."""


class ValidatorSet(NamedTuple):
    """Who orders and who attests; one record."""

    sequencer: bytes
    """The Ed25519 key that signs proposals; empty: blocks are not signed, and nobody attests."""
    members: tuple[Validator, ...]
    """Different; a certificate names them by their index here."""


class ValidatorsChanged(NamedTuple):
    """Others attest, from the next block on."""

    validators: tuple[Validator, ...]


NO_VALIDATORS = ValidatorSet(b"", ())


def total_power(validators: ValidatorSet) -> int:
    """Return the power of all members."""
    return sum(member.power for member in validators.members)


def is_quorum(validators: ValidatorSet, power: int) -> bool:
    """Tell whether `power` is more than two thirds of the total: it certifies."""
    return 3 * power > 2 * total_power(validators)


def is_restart_power(validators: ValidatorSet, power: int, *, least_ppm: int) -> bool:
    """Tell whether so much power may restart the chain after a fork (RECOVERY, Catch-up).

    `least_ppm` of the total, more than two thirds in any case; 0: more than two thirds below
    `SMALL_SET` members, else 80 %.
    """
    if not validators.members:
        return True
    is_small = len(validators.members) < SMALL_SET
    least = least_ppm or (0 if is_small else LARGE_SET_PPM)
    enough = PPM * power >= least * total_power(validators)
    return enough and is_quorum(validators, power)


def is_certificate_impossible(validators: ValidatorSet, disputing: int) -> bool:
    """Tell whether the power that does not dispute is too little to certify."""
    return not is_quorum(validators, total_power(validators) - disputing)


def find_validator(validators: ValidatorSet, public_key: bytes) -> int | None:
    """Return the index of the member with this key, None if there is none."""
    for index, member in enumerate(validators.members):
        if member.public_key == public_key:
            return index
    return None


def validate_validators(validators: ValidatorSet) -> None:
    """Raise GenesisError naming the field and its value unless the set can work."""
    sequencer, members = validators
    if len(members) > MEMBERS_MAX:
        raise GenesisError(f"validators: are {len(members)}, must be at most {MEMBERS_MAX}")
    if members and not sequencer:
        raise GenesisError(
            'sequencer: was "", validators take signed blocks only: name its public key'
        )
    if sequencer:
        _require_key("sequencer", sequencer)
    seen = {sequencer}
    for index, member in enumerate(members):
        where = f"validators[{index}]"
        _require_key(f"{where}.public_key", member.public_key)
        if member.public_key in seen:
            raise GenesisError(
                f"{where}.public_key: 0x{member.public_key.hex()} is named before, as another "
                "validator or the sequencer: every key stands once"
            )
        seen.add(member.public_key)
        if not 1 <= member.power <= POWER_MAX:
            raise GenesisError(f"{where}.power: was {member.power}, must be 1 to {POWER_MAX}")


def _require_key(where: str, key: bytes) -> None:
    if len(key) != PUBLIC_KEY_SIZE:
        raise GenesisError(f"{where}: was {len(key)} bytes, must be an Ed25519 key of 32 bytes")
