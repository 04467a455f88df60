import os
import socket
from pathlib import Path

import pytest

from node.errors import OperatorError, PortInUse
from node.rpc.port import find_owner, listen


def test_a_free_port_is_found() -> None:
    with listen("127.0.0.1", 0) as server:
        port = server.getsockname()[1]

        with socket.create_connection(("127.0.0.1", port)):
            assert port > 0


def test_a_port_in_use_is_refused_naming_its_owner() -> None:
    with listen("127.0.0.1", 0) as server:
        port = server.getsockname()[1]

        with pytest.raises(PortInUse) as refusal:
            listen("127.0.0.1", port)

    message = str(refusal.value)
    assert message.startswith(f"port {port} on 127.0.0.1 is in use by ")
    assert "\n" not in message
    if Path("/proc/net/tcp").exists():
        assert f"(process {os.getpid()})" in message


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(OperatorError, match=r"can't listen on 203\.0\.113\.9:0"):
        listen("203.0.113.9", 0)


def test_an_owner_that_the_system_does_not_tell_is_another_process(tmp_path: Path) -> None:
    assert find_owner(8545, proc=tmp_path) == "another process"


def test_the_owner_is_found_through_its_sockets(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    rows = [
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid inode",
        "   0: 0100007F:2161 00000000:0000 01 00000000:00000000 00:00000000 00000000 0 0 4242 1",
        "   1: 0100007F:2161 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4343 1",
    ]
    (tmp_path / "net" / "tcp").write_text("\n".join(rows))
    for process, inode in (("17", "4242"), ("18", "4343")):
        descriptors = tmp_path / process / "fd"
        descriptors.mkdir(parents=True)
        (descriptors / "3").symlink_to(f"socket:[{inode}]")
        (tmp_path / process / "cmdline").write_bytes(b"node\0--port\0" + process.encode() + b"\0")

    assert find_owner(0x2161, proc=tmp_path) == "node --port 18 (process 18)"
