"""JSON-RPC errors, and how what the node raises becomes one.

    RpcError
    ├── ParseError            -32700
    ├── InvalidRequest        -32600
    ├── MethodNotFound        -32601  geth's text
    ├── NotificationsUnsupported -32601  eth_subscribe over HTTP
    ├── InvalidParams         -32602  `invalid argument 0: …`
    ├── ServerError           -32000  every plain refusal; the texts are geth's
    ├── ResponseTooLarge      -32003
    ├── ExecutionReverted          3  `data` is the ABI error
    └── InternalError         -32603  a bug of ours: libraries retry on it, so nothing else uses it

Codes -32005 and -32603 and HTTP statuses 4xx and 5xx make viem and MetaMask retry: never use them
for a refusal.
"""

from typing import Any, ClassVar

import orjson

from node.errors import (
    ActionImpossible,
    EncodingError,
    InvalidTransaction,
    MissingState,
    OperationRefused,
    Refusal,
)
from node.rpc.hex import data as render_data


class RpcError(Exception):
    """What a JSON-RPC answer's `error` member says."""

    code: ClassVar[int]

    def __init__(self, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data

    def render(self) -> dict[str, Any]:
        """Return the `error` member."""
        if self.data is None:
            return {"code": self.code, "message": self.message}
        return {"code": self.code, "message": self.message, "data": self.data}


class ParseError(RpcError):
    """The body is no JSON."""

    code = -32700


class InvalidRequest(RpcError):
    """The JSON is no JSON-RPC request, or is too large."""

    code = -32600


class MethodNotFound(RpcError):
    """The table has no such method."""

    code = -32601

    def __init__(self, method: str) -> None:
        super().__init__(f"the method {method[:100]} does not exist/is not available")


class NotificationsUnsupported(RpcError):
    """Over HTTP nobody can be notified."""

    code = -32601

    def __init__(self) -> None:
        super().__init__("notifications not supported")


class InvalidParams(RpcError):
    """The arguments are not what the method takes."""

    code = -32602


class ServerError(RpcError):
    """The node refuses."""

    code = -32000


class ResponseTooLarge(RpcError):
    """A batch's answers outgrow the limit."""

    code = -32003


class ExecutionReverted(RpcError):
    """A call reverts; says the ABI error's name and values, and encloses it."""

    code = 3

    def __init__(self, reason: str | None, output: bytes) -> None:
        message = "execution reverted" + (f": {reason}" if reason else "")
        super().__init__(message, render_data(output))


class InternalError(RpcError):
    """A bug of ours."""

    code = -32603

    def __init__(self) -> None:
        super().__init__("internal error")


def to_rpc_error(error: Exception) -> RpcError | None:
    """Return the answer to what the node raised on purpose, None if it is a bug."""
    if isinstance(error, RpcError):
        return error
    if isinstance(error, OperationRefused):
        return InvalidParams(str(error))
    if isinstance(error, ActionImpossible):
        return ServerError(str(error))
    if isinstance(error, InvalidTransaction | MissingState | EncodingError | Refusal):
        return ServerError(str(error))
    return None


def render_error(error: RpcError, call_id: bytes = b"null") -> bytes:
    """Return an error answer."""
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (call_id, orjson.dumps(error.render()))


def render_refusal(refusal: InvalidTransaction) -> bytes:
    """Return the `error` member for a transaction that is not taken."""
    return orjson.dumps(ServerError(str(refusal)).render())
