"""Holds real answers against the schemas that the OpenRPC document publishes for them."""

from functools import cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator

from node.rpc.methods import METHODS
from node.rpc.openrpc import build_document

DOCUMENT = orjson.loads(orjson.dumps(build_document(METHODS)))
"""As a client gets it."""


@cache
def validator_of(method: str) -> Draft202012Validator:
    """Return what validates a method's answers."""
    (found,) = [each for each in DOCUMENT["methods"] if each["name"] == method]
    return _validator(found["result"]["schema"])


def _validator(schema: Any) -> Draft202012Validator:
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema | {"components": DOCUMENT["components"]})


def require_schema(method: str, result: Any) -> None:
    """Fail, naming the place, unless an answer is as published."""
    for error in validator_of(method).iter_errors(result):
        raise AssertionError(f"{method}, {error.json_path}: {error.message[:500]}")


@cache
def params_validators(method: str) -> list[Draft202012Validator]:
    """Return what validates each of a method's arguments."""
    (found,) = [each for each in DOCUMENT["methods"] if each["name"] == method]
    return [_validator(param["schema"]) for param in found["params"]]


def require_params(method: str, params: list[Any]) -> None:
    """Fail unless arguments that the node took are as published."""
    for index, (validator, value) in enumerate(
        zip(params_validators(method), params, strict=False)
    ):
        for error in validator.iter_errors(value):
            raise AssertionError(f"{method}, argument {index}: {error.message[:500]}")
