"""Data types under PySpark's names, read from and written as DDL (``"user_id STRING, amount DECIMAL(10,2)"``).

| class | DDL | Python value |
|---|---|---|
| BooleanType | boolean | bool |
| ByteType, ShortType, IntegerType, LongType | tinyint, smallint, int, bigint | int |
| FloatType, DoubleType | float, double | float |
| DecimalType(p, s) | decimal(p,s) | decimal.Decimal |
| StringType | string | str |
| BinaryType | binary | bytes |
| DateType | date | datetime.date |
| TimestampType | timestamp | datetime.datetime, an instant |
| TimestampNTZType | timestamp_ntz | datetime.datetime without a zone |
| DayTimeIntervalType | interval day to second | datetime.timedelta |
| ArrayType, MapType, StructType | array<..>, map<..,..>, struct<..> | list, dict, Row |

Source of the names: Spark SQL reference, "Data Types".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from tidemill.errors import PySparkValueError, wrong_type
from tidemill.row import Row as Row


class DataType:
    """A type. Two types are equal when they are the same type with the same parts."""

    _name: ClassVar[str] = ""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @classmethod
    def typeName(cls) -> str:
        """The type's word, such as ``long``."""
        return cls.__name__.removesuffix("Type").lower()

    def simpleString(self) -> str:
        """The type as DDL in lower case, such as ``array<bigint>``."""
        return self._name

    def jsonValue(self) -> Any:
        """The type as Spark writes it in JSON."""
        return self.typeName()

    def json(self) -> str:
        """`jsonValue` as text."""
        return json.dumps(self.jsonValue(), separators=(",", ":"), sort_keys=True)

    @classmethod
    def fromDDL(cls, ddl: str) -> DataType:
        """The type or schema a DDL text means.

        Raises:
            ParseException: the text is no type.
        """
        from tidemill._ddl import parse

        return parse(ddl)


class AtomicType(DataType):
    """A type without parts."""


class NumericType(AtomicType):
    """A number."""


class IntegralType(NumericType):
    """A whole number."""


class FractionalType(NumericType):
    """A number with a fraction."""


class NullType(DataType):
    """The type of NULL alone."""

    _name = "void"

    @classmethod
    def typeName(cls) -> str:
        return "void"


class StringType(AtomicType):
    """Text in UTF-8."""

    _name = "string"


class CharType(AtomicType):
    """Text of exactly `length` characters; kept as text."""

    def __init__(self, length: int) -> None:
        self.length = length

    def simpleString(self) -> str:
        return f"char({self.length})"

    def jsonValue(self) -> str:
        return self.simpleString()

    def __repr__(self) -> str:
        return f"CharType({self.length})"


class VarcharType(AtomicType):
    """Text of at most `length` characters; kept as text."""

    def __init__(self, length: int) -> None:
        self.length = length

    def simpleString(self) -> str:
        return f"varchar({self.length})"

    def jsonValue(self) -> str:
        return self.simpleString()

    def __repr__(self) -> str:
        return f"VarcharType({self.length})"


class BinaryType(AtomicType):
    """Bytes."""

    _name = "binary"


class BooleanType(AtomicType):
    """True or false."""

    _name = "boolean"


class DateType(AtomicType):
    """A day."""

    _name = "date"


class TimestampType(AtomicType):
    """An instant, in microseconds."""

    _name = "timestamp"


class TimestampNTZType(AtomicType):
    """A wall clock without a zone, in microseconds."""

    _name = "timestamp_ntz"

    @classmethod
    def typeName(cls) -> str:
        return "timestamp_ntz"


class DayTimeIntervalType(AtomicType):
    """A length of time, in microseconds."""

    _name = "interval day to second"

    @classmethod
    def typeName(cls) -> str:
        return "interval day to second"


class YearMonthIntervalType(AtomicType):
    """A number of months."""

    _name = "interval year to month"

    @classmethod
    def typeName(cls) -> str:
        return "interval year to month"


class ByteType(IntegralType):
    """A whole number of 8 bits."""

    _name = "tinyint"


class ShortType(IntegralType):
    """A whole number of 16 bits."""

    _name = "smallint"


class IntegerType(IntegralType):
    """A whole number of 32 bits."""

    _name = "int"


class LongType(IntegralType):
    """A whole number of 64 bits."""

    _name = "bigint"


class FloatType(FractionalType):
    """A floating-point number of 32 bits."""

    _name = "float"


class DoubleType(FractionalType):
    """A floating-point number of 64 bits."""

    _name = "double"


class DecimalType(FractionalType):
    """A number of `precision` digits (1 to 38), `scale` of them after the point."""

    def __init__(self, precision: int = 10, scale: int = 0) -> None:
        if not 1 <= precision <= 38 or not 0 <= scale <= precision:
            raise PySparkValueError(
                f"decimal({precision},{scale}): a decimal has 1 to 38 digits, and no more of them after the point"
            )
        self.precision = precision
        self.scale = scale

    def simpleString(self) -> str:
        return f"decimal({self.precision},{self.scale})"

    def jsonValue(self) -> str:
        return self.simpleString()

    def __repr__(self) -> str:
        return f"DecimalType({self.precision},{self.scale})"


class ArrayType(DataType):
    """A list of values of one type."""

    def __init__(self, elementType: DataType, containsNull: bool = True) -> None:
        _expect_type("elementType", elementType)
        self.elementType = elementType
        self.containsNull = containsNull

    def simpleString(self) -> str:
        return f"array<{self.elementType.simpleString()}>"

    def jsonValue(self) -> dict[str, Any]:
        return {"type": "array", "elementType": self.elementType.jsonValue(), "containsNull": self.containsNull}

    def __repr__(self) -> str:
        return f"ArrayType({self.elementType!r}, {self.containsNull})"


class MapType(DataType):
    """Keys of one type with values of another."""

    def __init__(self, keyType: DataType, valueType: DataType, valueContainsNull: bool = True) -> None:
        _expect_type("keyType", keyType)
        _expect_type("valueType", valueType)
        self.keyType = keyType
        self.valueType = valueType
        self.valueContainsNull = valueContainsNull

    def simpleString(self) -> str:
        return f"map<{self.keyType.simpleString()},{self.valueType.simpleString()}>"

    def jsonValue(self) -> dict[str, Any]:
        return {
            "type": "map",
            "keyType": self.keyType.jsonValue(),
            "valueType": self.valueType.jsonValue(),
            "valueContainsNull": self.valueContainsNull,
        }

    def __repr__(self) -> str:
        return f"MapType({self.keyType!r}, {self.valueType!r}, {self.valueContainsNull})"


class StructField(DataType):
    """A column or field: a name, a type, and whether it may be NULL."""

    def __init__(
        self, name: str, dataType: DataType, nullable: bool = True, metadata: dict[str, Any] | None = None
    ) -> None:
        if not isinstance(name, str):
            raise wrong_type("name", "a str", name)
        _expect_type("dataType", dataType)
        self.name = name
        self.dataType = dataType
        self.nullable = nullable
        self.metadata = metadata or {}

    def simpleString(self) -> str:
        return f"{self.name}:{self.dataType.simpleString()}"

    def jsonValue(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.dataType.jsonValue(),
            "nullable": self.nullable,
            "metadata": self.metadata,
        }

    @classmethod
    def fromJson(cls, value: dict[str, Any]) -> StructField:
        """The field Spark's JSON means."""
        return cls(value["name"], _from_json(value["type"]), value.get("nullable", True), value.get("metadata"))

    def __repr__(self) -> str:
        return f"StructField({self.name!r}, {self.dataType!r}, {self.nullable})"


class StructType(DataType):
    """Columns of a table or fields of a struct, in order.

    >>> StructType().add("user_id", StringType()).add("n", "bigint").toDDL()
    'user_id STRING,n BIGINT'
    """

    def __init__(self, fields: list[StructField] | None = None) -> None:
        self.fields = list(fields or [])
        for field in self.fields:
            if not isinstance(field, StructField):
                raise wrong_type("fields", "a list of StructField", field)

    def add(
        self,
        field: str | StructField,
        data_type: str | DataType | None = None,
        nullable: bool = True,
        metadata: dict[str, Any] | None = None,
    ) -> StructType:
        """Adds a field at the end and gives the same struct back."""
        if isinstance(field, StructField):
            self.fields.append(field)
            return self
        if data_type is None:
            raise PySparkValueError(f"the field `{field}` needs a type", "ARGUMENT_REQUIRED")
        if isinstance(data_type, str):
            data_type = DataType.fromDDL(data_type)
        self.fields.append(StructField(field, data_type, nullable, metadata))
        return self

    @property
    def names(self) -> list[str]:
        """Names of the fields."""
        return [field.name for field in self.fields]

    def fieldNames(self) -> list[str]:
        """Names of the fields."""
        return self.names

    def __iter__(self) -> Iterator[StructField]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, str):
            for field in self.fields:
                if field.name == key:
                    return field
            raise KeyError(f"no field named {key}; fields: {', '.join(self.names)}")
        return StructType(self.fields[key]) if isinstance(key, slice) else self.fields[key]

    def simpleString(self) -> str:
        return f"struct<{','.join(field.simpleString() for field in self.fields)}>"

    def toDDL(self) -> str:
        """The columns as DDL, as `fromDDL` reads them."""
        return ",".join(_field_ddl(field) for field in self.fields)

    @classmethod
    def fromDDL(cls, ddl: str) -> StructType:
        """The columns a DDL text means.

        Raises:
            ParseException: the text is no list of columns.
        """
        from tidemill._ddl import parse_schema

        return parse_schema(ddl)

    def jsonValue(self) -> dict[str, Any]:
        return {"type": "struct", "fields": [field.jsonValue() for field in self.fields]}

    @classmethod
    def fromJson(cls, value: dict[str, Any]) -> StructType:
        """The struct Spark's JSON means."""
        return cls([StructField.fromJson(field) for field in value["fields"]])

    def treeString(self) -> str:
        """The fields as a tree, as `printSchema` prints them."""
        lines = ["root"]
        _tree(self, " |-- ", lines)
        return "\n".join(lines) + "\n"

    def __repr__(self) -> str:
        return f"StructType([{', '.join(map(repr, self.fields))}])"


_ATOMIC: dict[str, type[DataType]] = {
    "void": NullType,
    "string": StringType,
    "binary": BinaryType,
    "boolean": BooleanType,
    "date": DateType,
    "timestamp": TimestampType,
    "timestamp_ntz": TimestampNTZType,
    "interval day to second": DayTimeIntervalType,
    "interval year to month": YearMonthIntervalType,
    "byte": ByteType,
    "short": ShortType,
    "integer": IntegerType,
    "long": LongType,
    "float": FloatType,
    "double": DoubleType,
}


def to_ddl(data_type: str | DataType) -> str:
    """A type given as an object or as DDL, as DDL."""
    if isinstance(data_type, str):
        return data_type
    _expect_type("dataType", data_type)
    return _type_ddl(data_type)


def _type_ddl(data_type: DataType) -> str:
    match data_type:
        case ArrayType():
            return f"array<{_type_ddl(data_type.elementType)}>"
        case MapType():
            return f"map<{_type_ddl(data_type.keyType)},{_type_ddl(data_type.valueType)}>"
        case StructType():
            fields = (
                f"{_quoted(field.name)}:{_type_ddl(field.dataType)}{'' if field.nullable else ' not null'}"
                for field in data_type.fields
            )
            return f"struct<{','.join(fields)}>"
        case _:
            return data_type.simpleString()


def _field_ddl(field: StructField) -> str:
    ddl = _type_ddl(field.dataType)
    parts = [_quoted(field.name), ddl.upper() if _is_flat(field.dataType) else ddl]
    if not field.nullable:
        parts.append("NOT NULL")
    if field.metadata.get("comment"):
        parts.append(f"COMMENT '{field.metadata['comment']}'")
    return " ".join(parts)


def _is_flat(data_type: DataType) -> bool:
    return not isinstance(data_type, (StructType, ArrayType, MapType))


def _quoted(name: str) -> str:
    plain = name.isidentifier() and name.isascii()
    return name if plain else "`" + name.replace("`", "``") + "`"


def _expect_type(argument: str, given: object) -> None:
    if not isinstance(given, DataType):
        raise wrong_type(argument, "a DataType such as StringType()", given)


def _from_json(value: Any) -> DataType:
    if isinstance(value, str):
        known = _ATOMIC.get(value)
        return known() if known else DataType.fromDDL(value)
    match value.get("type"):
        case "array":
            return ArrayType(_from_json(value["elementType"]), value["containsNull"])
        case "map":
            return MapType(_from_json(value["keyType"]), _from_json(value["valueType"]), value["valueContainsNull"])
        case _:
            return StructType.fromJson(value)


def _tree(struct: StructType, prefix: str, lines: list[str]) -> None:
    for field in struct.fields:
        lines.append(f"{prefix}{field.name}: {_word(field.dataType)} (nullable = {str(field.nullable).lower()})")
        _tree_of(field.dataType, " |   " + prefix, lines)


def _tree_of(data_type: DataType, prefix: str, lines: list[str]) -> None:
    match data_type:
        case StructType():
            _tree(data_type, prefix, lines)
        case ArrayType(elementType=element):
            null = str(data_type.containsNull).lower()
            lines.append(f"{prefix}element: {_word(element)} (containsNull = {null})")
            _tree_of(element, " |   " + prefix, lines)
        case MapType():
            null = str(data_type.valueContainsNull).lower()
            lines.append(f"{prefix}key: {_word(data_type.keyType)}")
            lines.append(f"{prefix}value: {_word(data_type.valueType)} (valueContainsNull = {null})")
            _tree_of(data_type.valueType, " |   " + prefix, lines)
        case _:
            return


def _word(data_type: DataType) -> str:
    return data_type.simpleString() if isinstance(data_type, DecimalType) else data_type.typeName()
