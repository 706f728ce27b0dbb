"""Schemas in a registry: register, compare, evolve, validate."""

import datetime
import json

import pytest
from tidemill import stream_schemas
from tidemill.errors import AnalysisException
from tidemill.stream_schemas import Reference, SchemaRegistry

EVENTS = "user_id STRING NOT NULL, duration DOUBLE, at TIMESTAMP"


@pytest.fixture
def registry(tmp_path):
    """A registry with one subject."""
    registry = SchemaRegistry(tmp_path / "registry")
    registry.register("user-events", EVENTS)
    return registry


def test_compatibility_says_level_and_places(registry):
    assert registry.check_compatibility("user-events", EVENTS + ", page STRING")
    found = registry.check_compatibility("user-events", "user_id STRING NOT NULL, duration BOOLEAN, at TIMESTAMP")
    assert not found and not found.is_compatible and found.level == "BACKWARD"
    assert found.differences == [
        "field 'duration': data of the version before holds double, which cannot be read as [null, boolean]"
    ]
    assert registry.check_compatibility("another", EVENTS)
    registry.set_compatibility("user-events", "full_transitive")
    assert registry.compatibility("user-events") == "FULL_TRANSITIVE"


def test_evolve_adds_drops_and_renames(registry):
    second = registry.evolve("user-events", add="country STRING, age INT")
    assert second.version == 2 and second.columns.names == ["user_id", "duration", "at", "country", "age"]
    assert registry.evolve("user-events") == second
    third = registry.evolve("user-events", drop=["age"], rename={"duration": "seconds"})
    assert third.columns.names == ["user_id", "seconds", "at", "country"]
    assert json.loads(third.avro)["fields"][1]["aliases"] == ["duration"]
    with pytest.raises(AnalysisException, match="has no field 'nothing'; fields: user_id, seconds"):
        registry.evolve("user-events", drop=["nothing"])
    with pytest.raises(AnalysisException, match="leave NOT NULL out"):
        registry.evolve("user-events", add="x INT NOT NULL")
    with pytest.raises(AnalysisException, match="there is no subject 'events' to evolve"):
        registry.evolve("events", add="x INT")
    registry.set_compatibility("user-events", "FORWARD")
    with pytest.raises(AnalysisException, match="field 'user_id': new data lacks it"):
        registry.evolve("user-events", drop=["user_id"])


def test_a_batch_is_validated_row_by_row(registry):
    rows = [
        {"user_id": "a", "duration": 1.5, "at": datetime.datetime(2026, 1, 31, tzinfo=datetime.timezone.utc)},
        {"user_id": None, "duration": 1.5},
        {"user_id": "b"},
        {"user_id": "c", "duration": "long"},
        {"duration": 2.0},
        {"user_id": "d", "more": 1},
    ]
    told = registry.validate_batch("user-events", rows)
    assert [row["user_id"] for row in told.valid] == ["a", "b", "d"]
    assert [one.index for one in told.rejected] == [1, 3, 4]
    assert all(one.row is rows[one.index] and one.reason for one in told.rejected)
    assert "duration" in told.rejected[1].reason and told.rejected[1].code == "WRONG_TYPE"
    assert told.pass_rate == 0.5 and not told and told.schema.version == 1
    assert registry.validate_batch("user-events", []) and registry.validate_batch("user-events", []).pass_rate == 1.0
    with pytest.raises(AnalysisException, match="there is no subject 'events'"):
        registry.validate_batch("events", rows)


def test_json_schema_and_protobuf(registry):
    person = {"type": "object", "properties": {"id": {"type": "integer"}}, "additionalProperties": False}
    first = registry.register("person", person, "JSON")
    assert (first.schema_type, json.loads(first.schema)) == ("JSON", person)
    text = {"type": "object", "properties": {"id": {"type": "string"}}, "additionalProperties": False}
    assert registry.check_compatibility("person", text, "JSON").differences == [
        "#/properties/id/type: data of the version before may hold integer, which cannot be read as string"
    ]
    user = registry.register("x/user.proto", 'syntax = "proto3"; package x; message User { int64 id = 1; }')
    assert user.schema_type == "PROTOBUF"
    order = 'syntax = "proto3"; import "x/user.proto"; message Order { x.User by = 1; }'
    with pytest.raises(AnalysisException, match="there is no import"):
        registry.register("order", order)
    named = (Reference("x/user.proto", "x/user.proto", 1),)
    assert registry.register("order", order, references=named).references == named
    with pytest.raises(AnalysisException, match="is PROTOBUF, not AVRO"):
        user.avro  # noqa: B018
    with pytest.raises(AnalysisException, match="only Avro gives a table its columns"):
        user.columns  # noqa: B018
    with pytest.raises(AnalysisException, match="line 2 of the .proto file"):
        registry.register("wrong", 'syntax = "proto3";\nmessage { }')


def test_functions_take_the_place_of_the_registry(tmp_path):
    place = tmp_path / "registry"
    first = stream_schemas.register(place, "s", EVENTS)
    assert stream_schemas.get(place, "s") == first and stream_schemas.get(place, "t") is None
    assert stream_schemas.check_compatibility(place, "s", EVENTS)
    assert stream_schemas.evolve(place, "s", add="page STRING").version == 2
    assert stream_schemas.validate_batch(place, "s", [{"user_id": "a"}])


def test_a_place_that_is_none_is_refused():
    with pytest.raises(AnalysisException, match="cannot be used"):
        SchemaRegistry("s3://bucket/registry")
    with pytest.raises(AnalysisException, match="written as user:password"):
        SchemaRegistry("http://127.0.0.1:1", user_info="nobody")
