"""What the terminal says when the chain stops, lags, opens again, or loses a validator."""

import pytest

from node.devnet.condition import Condition, describe_change

OPEN = Condition(peers=("validator 0", "validator 1"))
STOPPED = OPEN._replace(
    phase="stopped", reason="block 28, market 1, Funding.index: was 0, recomputed 258024445"
)


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (OPEN, OPEN, ""),
        (
            OPEN,
            STOPPED,
            "stopped: block 28, market 1, Funding.index: was 0, recomputed 258024445",
        ),
        (STOPPED, OPEN, "open again"),
        (OPEN, OPEN._replace(phase="lagging", reason="no\n quorum"), "lagging: no quorum"),
        (STOPPED, STOPPED._replace(reason="other"), "stopped: other"),
        (OPEN, OPEN._replace(peers=("validator 1",)), "lost: validator 0"),
        (Condition(), OPEN, "linked: validator 0, validator 1"),
        (OPEN, STOPPED._replace(reason="x", disputes=2), "stopped: x; disputes: 2"),
    ],
)
def test_change_is_one_line(before: Condition, after: Condition, line: str) -> None:
    assert describe_change(before, after) == line


def test_condition_is_what_perp_status_says() -> None:
    status = {"phase": "open", "reason": "", "peers": ["validator 0"], "disputes": 1, "safe": 3}

    assert Condition.of(status) == Condition("open", "", ("validator 0",), 1)
