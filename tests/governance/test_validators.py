"""Who may attest, how much certifies, and which sets are refused."""

import pytest

from node.errors import GenesisError
from node.governance.validators import (
    NO_VALIDATORS,
    POWER_MAX,
    Validator,
    ValidatorSet,
    find_validator,
    is_certificate_impossible,
    is_quorum,
    is_restart_power,
    total_power,
    validate_validators,
)

SEQUENCER = b"\xaa" * 32


def validators(*powers: int) -> ValidatorSet:
    members = tuple(Validator(bytes([index + 1]) * 32, power) for index, power in enumerate(powers))
    return ValidatorSet(SEQUENCER, members)


@pytest.mark.parametrize(
    ("powers", "power", "certifies"),
    [
        ((1, 1, 1, 1), 2, False),
        ((1, 1, 1, 1), 3, True),
        # Of three, exactly two thirds is not more than two thirds.
        ((1, 1, 1), 2, False),
        ((1, 1, 1), 3, True),
        ((1,), 1, True),
        ((2, 1), 2, False),
        ((3, 1), 3, True),
        ((POWER_MAX, POWER_MAX, 1), POWER_MAX + POWER_MAX, True),
    ],
)
def test_more_than_two_thirds_certify(powers: tuple[int, ...], power: int, certifies: bool) -> None:
    assert is_quorum(validators(*powers), power) == certifies


@pytest.mark.parametrize(
    ("powers", "disputing", "impossible"),
    [
        ((1, 1, 1, 1), 1, False),
        ((1, 1, 1, 1), 2, True),
        ((1, 1, 1), 1, True),
        ((5, 1, 1), 2, False),
        ((5, 1, 1), 5, True),
    ],
)
def test_disputes_make_a_certificate_impossible(
    powers: tuple[int, ...], disputing: int, impossible: bool
) -> None:
    assert is_certificate_impossible(validators(*powers), disputing) == impossible


@pytest.mark.parametrize(
    ("powers", "power", "least_ppm", "passes"),
    [
        # Below five more than two thirds, from five on 80 %.
        ((1, 1, 1, 1), 2, 0, False),
        ((1, 1, 1, 1), 3, 0, True),
        ((1, 1, 1), 2, 0, False),
        ((1,) * 5, 3, 0, False),
        ((1,) * 5, 4, 0, True),
        ((10, 1, 1, 1, 1, 1), 11, 0, False),
        ((10, 1, 1, 1, 1, 1), 12, 0, True),
        ((), 0, 0, True),
        # What genesis names, whatever the number.
        ((1, 1, 1, 1), 3, 1_000_000, False),
        ((1, 1, 1, 1), 4, 1_000_000, True),
        ((1,) * 7, 4, 666_667, False),
        ((1,) * 7, 5, 666_667, True),
        # A part below two thirds could not be in genesis, and would not count.
        ((1, 1, 1, 1), 2, 500_000, False),
    ],
)
def test_so_much_power_restarts_the_chain(
    powers: tuple[int, ...], power: int, least_ppm: int, passes: bool
) -> None:
    assert is_restart_power(validators(*powers), power, least_ppm=least_ppm) is passes


def test_a_validator_is_its_place() -> None:
    found = validators(1, 2, 3)

    assert total_power(found) == 6
    assert find_validator(found, b"\2" * 32) == 1
    assert find_validator(found, SEQUENCER) is None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (ValidatorSet(b"", validators(1).members), 'sequencer: was "", validators take signed'),
        (ValidatorSet(b"\1" * 31, ()), "sequencer: was 31 bytes"),
        (ValidatorSet(SEQUENCER, (Validator(b"\1" * 33, 1),)), "validators[0].public_key: was 33"),
        (ValidatorSet(SEQUENCER, (Validator(SEQUENCER, 1),)), "is named before"),
        (
            ValidatorSet(SEQUENCER, (Validator(b"\1" * 32, 1),) * 2),
            "validators[1].public_key: 0x01",
        ),
        (validators(1, 0), "validators[1].power: was 0"),
        (validators(POWER_MAX + 1), "validators[0].power: was"),
        (validators(*[1] * 101), "validators: are 101, must be at most 100"),
    ],
)
def test_a_set_that_can_not_work_is_refused_by_name(wrong: ValidatorSet, words: str) -> None:
    with pytest.raises(GenesisError) as refusal:
        validate_validators(wrong)

    assert words in str(refusal.value)


@pytest.mark.parametrize(
    "right", [NO_VALIDATORS, ValidatorSet(SEQUENCER, ()), validators(1), validators(1, 2, 3)]
)
def test_a_set_that_can_work_is_taken(right: ValidatorSet) -> None:
    validate_validators(right)
