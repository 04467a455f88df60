"""A node's log: a line an event, to standard error, for people or for machines.

What libraries say through `logging` (uvicorn, asyncio, websockets) has the same form: one other
line would stop whoever reads JSON. uvicorn's warnings are left out: they are about what somebody
sent, who was told so, and who else could fill a disk with them.
"""

import logging
import sys

import structlog

from node.config import LogFormat


def configure_log(log_format: LogFormat) -> None:
    """Log to standard error, a line an event; tracebacks without locals, which may be keys."""
    stamped: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False)
        if log_format == LogFormat.TEXT
        else structlog.processors.TimeStamper(fmt="iso"),
    ]
    rendered = _RENDERERS[log_format]
    structlog.configure(
        processors=[*stamped, *rendered], logger_factory=structlog.PrintLoggerFactory(sys.stderr)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=stamped,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    logging.captureWarnings(True)


_RENDERERS: dict[LogFormat, list[structlog.typing.Processor]] = {
    LogFormat.TEXT: [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ],
    LogFormat.JSON: [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
}
