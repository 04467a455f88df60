"""A method's arguments by position, read and named when they are wrong, as geth words it."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from node.rpc.errors import InvalidParams
from node.rpc.schema import ANYTHING, Schema


class _Required:
    """Marks an argument that has no default."""


REQUIRED: Final = _Required()


class Param(NamedTuple):
    """One argument."""

    name: str
    read: Callable[[Any], Any]
    """Raises ValueError saying what is wrong."""
    default: Any = REQUIRED
    """What the method gets when the argument is absent or null; REQUIRED refuses."""
    schema: Schema = ANYTHING
    """What it looks like (OpenRPC); what `read` refuses beyond it, it says in words."""

    @property
    def is_required(self) -> bool:
        """Whether the argument must be there."""
        return self.default is REQUIRED


def read_params(params: Sequence[Param], values: Any) -> list[Any]:
    """Return the arguments as the method takes them; raise InvalidParams."""
    if not isinstance(values, list):
        raise InvalidParams("non-array args")
    if len(values) > len(params):
        raise InvalidParams(f"too many arguments, want at most {len(params)}")
    arguments = []
    for index, param in enumerate(params):
        value = values[index] if index < len(values) else None
        if value is None:
            if param.default is REQUIRED:
                raise InvalidParams(f"missing value for required argument {index}")
            arguments.append(param.default)
            continue
        try:
            arguments.append(param.read(value))
        except ValueError as error:
            raise InvalidParams(f"invalid argument {index}: {error}") from None
    return arguments


def parse_bool(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueError("cannot unmarshal non-boolean into a boolean")
    return value
