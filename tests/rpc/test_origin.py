import pytest

from node.rpc.origin import EXPOSED, FOREIGN_ORIGIN, Policy

LOOPBACK = Policy("127.0.0.1")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8545", "127.0.0.1:8545", "127.9.9.9", "[::1]:8545", "[::1]"]
)
def test_this_machine_is_an_allowed_host(host: str) -> None:
    assert LOOPBACK.is_allowed_host(host)


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "rebound.example",
        "rebound.example:8545",
        "127.0.0.1.rebound.example",
        "localhost.rebound.example:8545",
        "rebound.example@localhost",
        "localhost/rebound.example",
        "10.0.0.7:8545",
        "localhost:port",
        "[::1",
    ],
)
def test_any_other_host_is_refused(host: str | None) -> None:
    assert not LOOPBACK.is_allowed_host(host)


def test_the_operator_may_name_further_hosts() -> None:
    policy = Policy("0.0.0.0", host_names=frozenset({"devnet.internal"}))

    assert policy.is_allowed_host("Devnet.Internal:8545")
    assert not policy.is_allowed_host("other.internal:8545")


def test_the_address_that_is_bound_is_an_allowed_host() -> None:
    assert Policy("192.168.1.5").is_allowed_host("192.168.1.5:8545")


@pytest.mark.parametrize(
    "origin", [None, "http://localhost:3000", "http://127.0.0.1", "https://[::1]:3000"]
)
def test_this_machines_origins_are_trusted(origin: str | None) -> None:
    assert LOOPBACK.find_refusal(origin) is None


@pytest.mark.parametrize(
    "origin",
    [
        "https://dapp.example",
        "null",
        "",
        "http://localhost.dapp.example",
        "http://localhost@dapp.example",
        "file://",
        "http://[",
    ],
)
def test_foreign_origins_are_not_trusted(origin: str) -> None:
    assert LOOPBACK.find_refusal(origin) == FOREIGN_ORIGIN


def test_the_operator_may_trust_further_origins() -> None:
    policy = Policy("127.0.0.1", origins=frozenset({"https://dapp.example"}))

    assert policy.find_refusal("https://Dapp.example") is None
    assert policy.find_refusal("https://other.example") == FOREIGN_ORIGIN
    assert (
        Policy("127.0.0.1", origins=frozenset({"*"})).find_refusal("https://other.example") is None
    )


@pytest.mark.parametrize("origin", [None, "http://localhost:3000"])
def test_beyond_loopback_nobody_is_trusted(origin: str | None) -> None:
    assert Policy("0.0.0.0").find_refusal(origin) == EXPOSED
