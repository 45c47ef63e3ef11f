"""The OpenAPI document: valid, whole, and made of the dataclasses that the calls use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from calls import DOCUMENT, agrees, check, operation
from jsonschema import ValidationError
from openapi_spec_validator import validate

from dr_forwarder.api.bodies import MOST_CHANGES, AskedChanges
from dr_forwarder.api.calls import Call
from dr_forwarder.api.reading import Invalid, read, read_text
from dr_forwarder.api.routes import CALLS
from dr_forwarder.messages import jsonable
from dr_forwarder.table import HOST_MASK, Key, Server, Service

each_call = pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.method} {call.path}")


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object in it that has properties."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for each in schema.values():
            yield from objects(each)


def test_the_document_is_valid_openapi() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    validate(DOCUMENT)


def test_no_two_calls_are_the_same() -> None:
    assert len({(call.method, call.path) for call in CALLS}) == len(CALLS)
    names = [each["operationId"] for path in DOCUMENT["paths"].values() for each in path.values()]
    assert len(set(names)) == len(names) == len(CALLS)


@each_call
def test_every_body_has_an_example_that_is_understood(call: Call) -> None:
    assert (call.body is None) == (call.example.body is None)
    if call.body is not None:
        read(call.example.body, call.body)
        content = operation(call.method, call.path)["requestBody"]["content"]
        check(content["application/json"]["schema"], call.example.body)


@each_call
def test_every_path_with_parameters_has_an_example(call: Call) -> None:
    named = [word.strip("{}") for word in call.path.split("/") if word.startswith("{")]
    parameters = operation(call.method, call.path).get("parameters", [])
    assert [each["name"] for each in parameters if each["in"] == "path"] == named
    assert "{" not in call.example.path
    assert call.example.path or not named


WRONG: list[Any] = [
    pytest.param({"operation": "add_service", "service": {"key": {"address": "::1"}}}, id="field"),
    pytest.param({"operation": "drop"}, id="operation"),
    pytest.param({"operation": "clear", "also": 1}, id="another name"),
    pytest.param({}, id="nothing"),
    pytest.param(
        {
            "operation": "add_server",
            "service": {"key": {"protocol": "tcp", "address": "10.0.0.1", "port": 65536}},
        },
        id="port",
    ),
]


@pytest.mark.parametrize("change", WRONG)
def test_document_and_reading_refuse_the_same(change: object) -> None:
    body = {"changes": [change]}
    with pytest.raises(Invalid):
        read(body, AskedChanges)
    content = operation("POST", "/changes")["requestBody"]["content"]
    with pytest.raises(ValidationError):
        check(content["application/json"]["schema"], body)


def test_limits_defaults_and_descriptions_are_the_dataclasses() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["Key"]["required"] == ["protocol", "address"]
    assert schemas["Key"]["properties"]["port"] == {
        "type": "integer",
        "minimum": 0,
        "maximum": 65535,
        "default": 0,
    }
    assert schemas["AskedChanges"]["properties"]["changes"]["maxItems"] == MOST_CHANGES
    assert schemas["AskedServer"]["properties"]["weight"]["default"] == 1
    assert schemas["Server"]["description"].startswith("A real server of a service as configured")
    assert schemas["Stats"]["properties"]["ring_dropped"]["description"] == (
        "Frames the kernel had no room for; not among `frames`."
    )


def test_what_is_no_part_of_a_value_is_not_described() -> None:
    assert "lines" not in DOCUMENT["components"]["schemas"]["Config"]["properties"]
    assert not {"lines", "shared"} & set(DOCUMENT["components"]["schemas"]["Virtual"]["properties"])


def test_every_object_is_closed() -> None:
    for each in objects(DOCUMENT["components"]["schemas"]):
        assert each["additionalProperties"] is False, each


def test_data_of_the_table_is_as_described() -> None:
    service = Service(Key("tcp", HOST_MASK, 80))
    check({"$ref": "#/components/schemas/Service"}, jsonable(service))
    check({"$ref": "#/components/schemas/Server"}, jsonable(Server(HOST_MASK, 80)))
    wrong = replace(service, key=replace(service.key, port=1 << 16))
    with pytest.raises(ValidationError):
        check({"$ref": "#/components/schemas/Service"}, jsonable(wrong))


@pytest.mark.parametrize(
    ("example", "answer", "expected"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ([{"a": 1}], [{"a": 1}, {}], False),
        ([{"a": [1]}], [{"a": [2]}], False),
        ([], {}, False),
    ],
)
def test_an_example_may_only_leave_parts_of_objects_out(
    example: object, answer: object, expected: bool
) -> None:
    assert agrees(example, answer) is expected


def test_parameters_are_read_from_text() -> None:
    parameters = next(call.parameters for call in CALLS if call.path == "/daemons/{role}")
    assert parameters is not None
    assert jsonable(read_text({"role": "backup"}, parameters)) == {"role": "backup"}
    with pytest.raises(Invalid, match="role: must be one of master, backup"):
        read_text({"role": "7"}, parameters)
