"""The log: every line has one form, whoever wrote it."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from node.config import LogFormat
from node.log import configure_log


@pytest.fixture
def _log_as_it_was() -> Iterator[None]:
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn.error")
    before = (root.handlers[:], root.level, uvicorn.level)
    root.handlers = []
    yield
    root.handlers, root.level, uvicorn.level = before
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.mark.usefixtures("_log_as_it_was")
def test_a_line_of_the_log_is_for_people_or_for_machines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for log_format in LogFormat:
        configure_log(log_format)
        try:
            raise ValueError("was 0")
        except ValueError as error:
            structlog.get_logger().error("block disputed", height=7, exc_info=error)
    text, _, lines = capsys.readouterr().err.rpartition("\n{")

    assert "block disputed" in text
    assert "height=7" in text
    line = json.loads("{" + lines)
    assert (line["event"], line["level"], line["height"]) == ("block disputed", "error", 7)
    assert line["timestamp"].endswith("Z")
    assert "ValueError: was 0" in line["exception"]


@pytest.mark.usefixtures("_log_as_it_was")
def test_what_libraries_log_is_a_line_of_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log(LogFormat.JSON)

    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved: %s", "task")
    logging.getLogger("websockets.server").info("connection open")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")

    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["event"], told["level"]) == ("Task exception was never retrieved: task", "error")
    assert told["timestamp"].endswith("Z")
    assert "ValueError: two" in told["exception"]
