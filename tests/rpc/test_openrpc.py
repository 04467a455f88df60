"""The OpenRPC document: whole, well-formed, and true of the table it is made of."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from node.rpc.methods import METHODS
from node.rpc.parameters import read_params
from tests.helpers.schemas import DOCUMENT, params_validators, require_schema, validator_of
from tests.rpc.chain import Chain

META_SCHEMA = Path(__file__).parents[1] / "conformance/node_modules/@open-rpc/meta-schema"
PRINT_META_SCHEMA = f"console.log(JSON.stringify(require({str(META_SCHEMA)!r}).openrpcDocument))"
WRITES = {"gov_submitAction", "perp_submitForkPlan"}
"""What makes sense only with what somebody signed just now: without an example."""


def test_the_document_is_served(chain: Chain) -> None:
    served = chain.ask("rpc.discover")

    offered = {name for name, method in METHODS.items() if not method.needs_faults}
    assert {each["name"] for each in served["methods"]} == offered
    assert served["components"] == DOCUMENT["components"]


@pytest.mark.skipif(
    not META_SCHEMA.exists() or shutil.which("node") is None,
    reason="needs Node.js and npm packages: make test installs them",
)
def test_the_document_is_valid_openrpc() -> None:
    printed = subprocess.run(
        ["node", "-e", PRINT_META_SCHEMA], check=True, capture_output=True, timeout=60
    ).stdout
    # It refers to a copy of JSON Schema's own rules on the web.
    rules = Resource.from_contents(Draft7Validator.META_SCHEMA)
    registry = Registry().with_resource("https://meta.json-schema.tools", rules)
    validator = Draft7Validator(json.loads(printed), registry=registry)

    assert [error.json_path for error in validator.iter_errors(DOCUMENT)] == []
    for wrong in ({"params": None}, {"result": {"name": "result", "schema": {"type": 1}}}):
        methods = [DOCUMENT["methods"][0] | wrong]
        assert not validator.is_valid(DOCUMENT | {"methods": methods})


@pytest.mark.parametrize("name", METHODS)
def test_schemas_are_well_formed(name: str) -> None:
    for validator in [validator_of(name), *params_validators(name)]:
        validator.check_schema(validator.schema)


def test_every_reference_has_its_schema_and_every_schema_a_reference() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    used = _references(DOCUMENT["methods"]) | _references(schemas)

    assert used == {f"#/components/schemas/{each}" for each in schemas}


def _method(name: str) -> Any:
    return next(each for each in DOCUMENT["methods"] if each["name"] == name)


def _references(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_references, value))
    if not isinstance(value, dict):
        return set()
    own = {value["$ref"]} if "$ref" in value else set()
    return own.union(*map(_references, value.values()))


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_what_it_takes_answers_and_is_for(name: str) -> None:
    described = _method(name)

    assert described["summary"] not in ("", name)
    assert described["result"]["schema"], "no schema of the answer"
    assert all(param["schema"] for param in described["params"]), "no schema of an argument"


@pytest.mark.parametrize(
    "name", [each for each in METHODS if each.startswith(("perp_", "gov_", "node_"))]
)
def test_examples_are_arguments_that_the_method_takes(name: str) -> None:
    method = METHODS[name]
    if method.example is None:
        assert name in WRITES
        return

    read_params(method.params, list(method.example))

    for validator, value in zip(params_validators(name), method.example, strict=False):
        validator.validate(json.loads(json.dumps(value)))


def test_two_names_of_one_function_are_described_alike() -> None:
    # So an alias that no test asks answers as its other name does, which `Chain.ask` checks.
    by_function: dict[Any, Any] = {}
    for name, method in METHODS.items():
        if not name.startswith(("eth_get", "debug_")):  # by number and by hash differ
            first = by_function.setdefault(method.answer, method)
            assert (first.params, first.result) == (method.params, method.result), name


def test_an_answer_with_a_member_too_many_or_too_few_is_noticed(traded: Chain) -> None:
    market = traded.ask("perp_getMarket", 1)

    with pytest.raises(AssertionError, match="unheard"):
        require_schema("perp_getMarket", market | {"unheard": 1})
    del market["mark"]
    with pytest.raises(AssertionError, match="mark"):
        require_schema("perp_getMarket", market)
