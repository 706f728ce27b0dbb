"""Types, and schemas as DDL."""

from __future__ import annotations

import json
import pickle

import pytest
from tidemill import types as T
from tidemill.errors import ParseException, PySparkValueError

DDL = (
    "user_id STRING NOT NULL,`a b` DECIMAL(10,2) COMMENT 'money',tags array<string>,"
    "nested struct<x:int,y:array<map<string,timestamp_ntz>>>,took INTERVAL DAY TO SECOND"
)


def test_a_schema_reads_back_as_itself():
    schema = T.StructType.fromDDL(DDL)
    assert schema.toDDL() == DDL
    assert T.StructType.fromDDL(schema.toDDL()) == schema
    assert T.StructType.fromJson(json.loads(schema.json())) == schema


@pytest.mark.parametrize(
    ("ddl", "data_type"),
    [
        ("bigint", T.LongType()),
        ("long", T.LongType()),
        ("decimal", T.DecimalType(10, 0)),
        ("DECIMAL(12, 2)", T.DecimalType(12, 2)),
        ("array<int>", T.ArrayType(T.IntegerType())),
        ("struct<a: int, b: string>", T.StructType().add("a", "int").add("b", T.StringType())),
        ("a INT, b STRING", T.StructType().add("a", "int").add("b", T.StringType())),
        ("timestamp_ltz", T.TimestampType()),
    ],
)
def test_types_by_name(ddl, data_type):
    assert T.DataType.fromDDL(ddl) == data_type


@pytest.mark.parametrize(
    ("ddl", "says"),
    [
        ("a strng", "did you mean 'string'?"),
        ("a int b int", "unexpected text"),
        ("a decimal(39,0)", "1 to 38 digits"),
        ("a array<int", "expected '>'"),
        ("a int, b", "expected a type at the end"),
        ("a int not", "expected NULL after NOT"),
    ],
)
def test_what_cannot_be_read_says_why(ddl, says):
    with pytest.raises(ParseException) as raised:
        T.StructType.fromDDL(ddl)
    assert says in str(raised.value)
    assert raised.value.getErrorClass() == "PARSE_SYNTAX_ERROR"


def test_names_of_types():
    assert T.LongType().simpleString() == "bigint"
    assert T.LongType.typeName() == "long"
    assert T.StructType.fromDDL("a INT, b ARRAY<STRING>").simpleString() == "struct<a:int,b:array<string>>"
    with pytest.raises(PySparkValueError, match="1 to 38 digits"):
        T.DecimalType(5, 6)


def test_a_schema_as_a_tree():
    tree = T.StructType.fromDDL("a INT, b STRUCT<c: ARRAY<STRING>>").treeString().splitlines()
    assert tree == [
        "root",
        " |-- a: integer (nullable = true)",
        " |-- b: struct (nullable = true)",
        " |    |-- c: array (nullable = true)",
        " |    |    |-- element: string (containsNull = true)",
    ]


def test_fields_by_name_and_position():
    schema = T.StructType.fromDDL("a INT, b STRING")
    assert schema["b"].dataType == T.StringType()
    assert schema[0].name == "a"
    assert len(schema) == 2
    with pytest.raises(KeyError, match="no field named c"):
        schema["c"]


def test_rows():
    row = T.Row(name="a", n=T.Row(x=1))
    assert (row.name, row["name"], row[0]) == ("a", "a", "a")
    assert row.asDict(recursive=True) == {"name": "a", "n": {"x": 1}}
    assert repr(row) == "Row(name='a', n=Row(x=1))"
    assert pickle.loads(pickle.dumps(row)) == row
    assert pickle.loads(pickle.dumps(row)).n.x == 1
    with pytest.raises(AttributeError, match="no column named nope"):
        row.nope  # noqa: B018
