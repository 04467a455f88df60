"""What a page of another origin gets out of a node, from a real browser (DESIGN section 10).

Chromium resolves the page's name to this machine, so the page is as near to the node as a page can
be. Every method is called in the three ways that a page has; what signs, cheats, governs or damages
is refused in each, and the page can't read operators' pages either.
"""

import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from node.rpc.methods import METHODS
from node.rpc.origin import FOREIGN_ORIGIN
from tests.helpers.devnet import Devnet

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PAGE = Path(__file__).with_name("browser.html")
FOREIGN = "dapp.example"
WAYS = ("application/json", "text/plain", "WebSocket")
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--disable-dev-shm-usage",
]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@contextmanager
def site(task: dict[str, Any], heard: "queue.Queue[Any]") -> Iterator[int]:
    """Serve the page, and take what it posts."""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_task = self.path == "/task"
            body = json.dumps(task).encode() if is_task else PAGE.read_bytes()
            self.send_response(200)
            self.send_header("content-type", "application/json" if is_task else "text/html")
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            heard.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def visit(chain: Devnet, host: str, methods: Sequence[str], profile: Path) -> Any:
    """Open the page under a host name, and return what it heard of the node."""
    heard: queue.Queue[Any] = queue.Queue()
    task = {"node": f"127.0.0.1:{chain.port}", "methods": methods}
    with site(task, heard) as port:
        assert CHROMIUM is not None
        names = f"--host-resolver-rules=MAP {FOREIGN} 127.0.0.1"
        flags = [*QUIET, names, f"--user-data-dir={profile}", "--remote-debugging-port=0"]
        browser = subprocess.Popen(
            [CHROMIUM, *flags, f"http://{host}:{port}/"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return heard.get(timeout=60)
        finally:
            browser.kill()
            browser.wait()


@pytest.fixture(scope="module")
def offered(chain: Devnet) -> list[str]:
    names = [each["name"] for each in chain.rpc.call("rpc.discover")["methods"]]
    assert len(names) > 100
    return names


def test_a_foreign_page_can_read_and_send_and_do_no_harm(
    chain: Devnet, offered: list[str], tmp_path: Path
) -> None:
    heard = visit(chain, FOREIGN, offered, tmp_path)

    for way in WAYS:
        assert set(heard[way]) == set(offered)
        refused = {name for name, message in heard[way].items() if message == FOREIGN_ORIGIN}
        assert refused == {name for name in offered if METHODS[name].guarded}, way
        assert not [message for message in heard[way].values() if message.startswith("no answer")]
    assert (heard["/health"], heard["/metrics"]) == (None, None)


def test_a_page_of_this_machine_may_do_what_a_tool_may(chain: Devnet, tmp_path: Path) -> None:
    harmless = ["evm_snapshot", "anvil_nodeInfo", "eth_chainId"]
    assert METHODS["evm_snapshot"].guarded

    heard = visit(chain, "localhost", harmless, tmp_path)

    for way in WAYS:
        assert heard[way] == dict.fromkeys(harmless, "")
