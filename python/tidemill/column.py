"""Columns: expressions as the DataFrame API builds them, in the JSON form of the engine's plan.

Nothing is looked up here. A column that was taken from a frame (``df["a"]``, ``df.a``) remembers the frame; the frame
that uses it settles which of its inputs is meant (`tidemill._lineage`).
"""

from __future__ import annotations

import datetime
import decimal
import json
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from tidemill.errors import AnalysisException, PySparkValueError, translated, wrong_type
from tidemill.types import DataType, to_ddl

if TYPE_CHECKING:
    from tidemill.window import WindowSpec

Node: TypeAlias = dict[str, Any]
"""An expression or a relation of the plan. Never changed once made, so that parts may be shared."""

FRAME = "frame"
"""Key of a column node that holds the relation of the frame it was taken from; never part of a finished plan."""

_PART = r"(`(?:[^`]|``)+`|[^`.]+)"

INT_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1


class Column:
    """An expression over the columns of a frame.

    Operators (``+ - * / % **``, comparisons, ``& | ~``) and methods have PySpark's names and meanings.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    # --- arithmetic and comparison ---------------------------------------------------------------

    def __add__(self, other: Any) -> Column:
        return _binary("add", self, other)

    def __radd__(self, other: Any) -> Column:
        return _binary("add", other, self)

    def __sub__(self, other: Any) -> Column:
        return _binary("subtract", self, other)

    def __rsub__(self, other: Any) -> Column:
        return _binary("subtract", other, self)

    def __mul__(self, other: Any) -> Column:
        return _binary("multiply", self, other)

    def __rmul__(self, other: Any) -> Column:
        return _binary("multiply", other, self)

    def __truediv__(self, other: Any) -> Column:
        return _binary("divide", self, other)

    def __rtruediv__(self, other: Any) -> Column:
        return _binary("divide", other, self)

    def __mod__(self, other: Any) -> Column:
        return _binary("modulo", self, other)

    def __rmod__(self, other: Any) -> Column:
        return _binary("modulo", other, self)

    def __pow__(self, other: Any) -> Column:
        return call("power", self, lit(other))

    def __rpow__(self, other: Any) -> Column:
        return call("power", lit(other), self)

    def __neg__(self) -> Column:
        return call("-", self)

    def __eq__(self, other: object) -> Column:  # type: ignore[override]
        return _binary("equal", self, other)

    def __ne__(self, other: object) -> Column:  # type: ignore[override]
        return call("not", _binary("equal", self, other))

    def __lt__(self, other: Any) -> Column:
        return _binary("less", self, other)

    def __le__(self, other: Any) -> Column:
        return _binary("less_or_equal", self, other)

    def __gt__(self, other: Any) -> Column:
        return _binary("greater", self, other)

    def __ge__(self, other: Any) -> Column:
        return _binary("greater_or_equal", self, other)

    __hash__ = None  # type: ignore[assignment]

    def eqNullSafe(self, other: Any) -> Column:
        """Equality in which NULL equals NULL (``<=>``)."""
        return _binary("null_safe_equal", self, other)

    def between(self, lowerBound: Any, upperBound: Any) -> Column:
        """True from `lowerBound` to `upperBound`, both included."""
        return (self >= lowerBound) & (self <= upperBound)

    # --- logic and bits --------------------------------------------------------------------------

    def __and__(self, other: Any) -> Column:
        return _binary("and", self, other)

    def __rand__(self, other: Any) -> Column:
        return _binary("and", other, self)

    def __or__(self, other: Any) -> Column:
        return _binary("or", self, other)

    def __ror__(self, other: Any) -> Column:
        return _binary("or", other, self)

    def __invert__(self) -> Column:
        return call("not", self)

    def bitwiseAND(self, other: Any) -> Column:
        """The bits set in both."""
        return _binary("bit_and", self, other)

    def bitwiseOR(self, other: Any) -> Column:
        """The bits set in either."""
        return _binary("bit_or", self, other)

    def bitwiseXOR(self, other: Any) -> Column:
        """The bits set in one of the two."""
        return _binary("bit_xor", self, other)

    # --- NULL, lists, text -----------------------------------------------------------------------

    def isNull(self) -> Column:
        """True for NULL."""
        return call("isnull", self)

    def isNotNull(self) -> Column:
        """True for everything but NULL."""
        return call("isnotnull", self)

    def isNaN(self) -> Column:
        """True for a number that is not a number."""
        return call("isnan", self)

    def isin(self, *values: Any) -> Column:
        """True for one of the values, given one by one or as a list or set."""
        if len(values) == 1 and isinstance(values[0], (list, tuple, set, frozenset)):
            values = tuple(values[0])
        return Column({"node": "in_list", "input": self._node, "list": [lit(value)._node for value in values]})

    def like(self, other: str | Column) -> Column:
        """True for text of SQL's pattern, with ``%`` and ``_``."""
        return call("like", self, lit(other))

    def ilike(self, other: str | Column) -> Column:
        """`like` without regard to case."""
        return call("ilike", self, lit(other))

    def rlike(self, other: str | Column) -> Column:
        """True for text in which the regular expression is found."""
        return call("rlike", self, lit(other))

    def startswith(self, other: str | Column) -> Column:
        """True for text that starts with `other`."""
        return call("startswith", self, lit(other))

    def endswith(self, other: str | Column) -> Column:
        """True for text that ends with `other`."""
        return call("endswith", self, lit(other))

    def contains(self, other: Any) -> Column:
        """True for text that has `other` in it."""
        return call("contains", self, lit(other))

    def substr(self, startPos: int | Column, length: int | Column) -> Column:
        """`length` characters from `startPos`, which counts from 1."""
        return call("substr", self, lit(startPos), lit(length))

    # --- parts of structs, arrays and maps -------------------------------------------------------

    def getField(self, name: str) -> Column:
        """A field of a struct."""
        if not isinstance(name, str):
            raise wrong_type("name", "a str", name)
        return Column({"node": "field", "input": self._node, "field": name})

    def getItem(self, key: Any) -> Column:
        """The element of an array at `key` (from 0), the value of a map under `key`, or the field `key`."""
        if isinstance(key, str):
            return self.getField(key)
        return Column({"node": "index", "input": self._node, "index": lit(key)._node})

    def __getitem__(self, key: Any) -> Column:
        if isinstance(key, slice):
            if key.step is not None:
                raise PySparkValueError("a slice of a column has a start and a length, no step")
            return self.substr(key.start, key.stop)
        return self.getItem(key)

    def __getattr__(self, name: str) -> Column:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.getField(name)

    def __iter__(self) -> Any:
        raise wrong_type("column", "something that can be iterated over", self)

    def __contains__(self, item: Any) -> bool:
        raise PySparkValueError("`in` asks for True or False now; write column.contains(..) or column.isin(..)")

    def __bool__(self) -> bool:
        raise PySparkValueError(
            "a column is neither True nor False; write & for `and`, | for `or`, ~ for `not`, with parentheses",
            "CANNOT_CONVERT_COLUMN_INTO_BOOL",
        )

    def withField(self, fieldName: str, col: Column) -> Column:
        """The struct with one field added or replaced; ``"a.b"`` is the field ``b`` of its field ``a``."""
        if not isinstance(fieldName, str):
            raise wrong_type("fieldName", "a str", fieldName)
        first, *rest = name_parts(fieldName)
        value = self.getField(first).withField(_joined(rest), col) if rest else lit(col)
        return call("__with_field", self, lit(first), value)

    def dropFields(self, *fieldNames: str) -> Column:
        """The struct without these fields; ``"a.b"`` is the field ``b`` of its field ``a``."""
        result, names = self, []
        for fieldName in fieldNames:
            first, *rest = name_parts(fieldName)
            if rest:
                result = result.withField(f"`{first}`", result.getField(first).dropFields(_joined(rest)))
            else:
                names.append(first)
        return call("__drop_fields", result, *map(lit, names)) if names else result

    # --- names, types, choices -------------------------------------------------------------------

    def alias(self, *alias: str, **kwargs: Any) -> Column:
        """The column under another name; several names for a generator that gives several columns."""
        if not alias or not all(isinstance(name, str) for name in alias):
            raise wrong_type("alias", "names as str", alias[0] if alias else None)
        return Column({"node": "alias", "input": self._node, "names": list(alias)})

    name = alias

    def cast(self, dataType: str | DataType) -> Column:
        """The value as another type; a value that does not fit fails the query under ANSI rules."""
        return self._cast(dataType, try_cast=False)

    astype = cast

    def try_cast(self, dataType: str | DataType) -> Column:
        """The value as another type, NULL where it does not fit."""
        return self._cast(dataType, try_cast=True)

    def _cast(self, data_type: str | DataType, *, try_cast: bool) -> Column:
        if not isinstance(data_type, (str, DataType)):
            raise wrong_type("dataType", "a DataType or DDL", data_type)
        return Column({"node": "cast", "input": self._node, "data_type": to_ddl(data_type), "try_cast": try_cast})

    def when(self, condition: Column, value: Any) -> Column:
        """One more branch of an `F.when(..)`."""
        if not isinstance(condition, Column):
            raise wrong_type("condition", "a Column", condition)
        if not self._is_open_case():
            raise AnalysisException("when() goes on from F.when(..) and comes before otherwise(..)")
        branches = [*self._node["branches"], [condition._node, lit(value)._node]]
        return Column({**self._node, "branches": branches})

    def otherwise(self, value: Any) -> Column:
        """What holds when no branch of an `F.when(..)` does; NULL without it."""
        if not self._is_open_case():
            raise AnalysisException("otherwise() comes once, after F.when(..)")
        return Column({**self._node, "otherwise": lit(value)._node})

    def _is_open_case(self) -> bool:
        return self._node["node"] == "case" and self._node.get("otherwise") is None

    def over(self, window: WindowSpec) -> Column:
        """The function over a window of rows. Streams refuse it: their rows never end."""
        from tidemill.window import WindowSpec

        if not isinstance(window, WindowSpec):
            raise wrong_type("window", "a WindowSpec", window)
        return Column({"node": "over", "function": self._node, **window._parts()})

    # --- order -----------------------------------------------------------------------------------

    def asc(self) -> Column:
        """Ascending, NULLs first."""
        return SortColumn(self._node, descending=False)

    def asc_nulls_first(self) -> Column:
        """Ascending, NULLs first."""
        return SortColumn(self._node, descending=False, nulls_first=True)

    def asc_nulls_last(self) -> Column:
        """Ascending, NULLs last."""
        return SortColumn(self._node, descending=False, nulls_first=False)

    def desc(self) -> Column:
        """Descending, NULLs last."""
        return SortColumn(self._node, descending=True)

    def desc_nulls_first(self) -> Column:
        """Descending, NULLs first."""
        return SortColumn(self._node, descending=True, nulls_first=True)

    def desc_nulls_last(self) -> Column:
        """Descending, NULLs last."""
        return SortColumn(self._node, descending=True, nulls_first=False)

    def __repr__(self) -> str:
        from tidemill._words import sql_of

        return f"Column<'{sql_of(self._node)}'>"


class SortColumn(Column):
    """A column with the order it is sorted in."""

    def __init__(self, node: Node, *, descending: bool, nulls_first: bool | None = None) -> None:
        super().__init__(node)
        self._descending = descending
        self._nulls_first = nulls_first


ColumnOrName: TypeAlias = Column | str
"""A column, or the name of one: ``"a"``, ``"alias.a"``, ``"struct.field"``, ``"*"``."""


def col(name: str) -> Column:
    """The column of that name."""
    if not isinstance(name, str):
        raise wrong_type("col", "a str", name)
    parts = name_parts(name)
    if parts[-1] == "*" and not name.rstrip().endswith("`"):
        return Column({"node": "star", "qualifier": parts[:-1]})
    return Column({"node": "column", "name": parts})


def name_parts(name: str) -> list[str]:
    """The parts of a dotted name; dots inside backticks are part of the name."""
    whole = re.fullmatch(rf"{_PART}(?:\.{_PART})*", name)
    if not whole:
        raise AnalysisException(f"`{name}` is not the name of a column", "INVALID_ATTRIBUTE_NAME_SYNTAX")
    parts = re.findall(rf"{_PART}(?:\.|$)", name)
    return [part[1:-1].replace("``", "`") if part.startswith("`") else part for part in parts]


def _joined(parts: list[str]) -> str:
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts)


def lit(value: Any) -> Column:
    """A value as a column; a column stays what it is.

    Takes None, bool, int, float, Decimal, str, bytes, date, datetime (without a zone: in the session's), timedelta,
    lists, and dicts, which become maps.
    """
    match value:
        case Column():
            return value
        case list() | tuple():
            return call("array", *(lit(item) for item in value))
        case dict():
            return call("map", *(lit(part) for entry in value.items() for part in entry))
        case _:
            data_type, text = _literal(value)
            return Column({"node": "literal", "data_type": data_type, "text": text})


def _literal(value: Any) -> tuple[str, str | None]:
    match value:
        case None:
            return "void", None
        case bool():
            return "boolean", "true" if value else "false"
        case int():
            if -INT_MAX - 1 <= value <= INT_MAX:
                return "int", str(value)
            if -LONG_MAX - 1 <= value <= LONG_MAX:
                return "bigint", str(value)
            return _decimal(decimal.Decimal(value))
        case float():
            return "double", repr(value)
        case str():
            return "string", value
        case decimal.Decimal():
            return _decimal(value)
        case bytes() | bytearray():
            return "binary", bytes(value).hex()
        case datetime.datetime():
            return "timestamp", value.isoformat(sep=" ")
        case datetime.date():
            return "date", value.isoformat()
        case datetime.timedelta():
            micros = value // datetime.timedelta(microseconds=1)
            return "interval", f"{micros} microseconds"
    if hasattr(value, "item") and callable(value.item):
        # numbers of numpy and its kin
        return _literal(value.item())
    raise wrong_type("value", "a value with a Spark type, such as an int, str or datetime", value)


def _decimal(value: decimal.Decimal) -> tuple[str, str]:
    if not value.is_finite():
        raise PySparkValueError(f"{value} is not a value of a decimal column", "VALUE_OUT_OF_BOUNDS")
    text = format(value, "f")
    digits = text.lstrip("-").replace(".", "").lstrip("0")
    scale = len(text.partition(".")[2])
    precision = max(len(digits), scale, 1)
    if precision > 38:
        raise PySparkValueError(f"{value} has {precision} digits; a decimal has at most 38", "VALUE_OUT_OF_BOUNDS")
    return f"decimal({precision},{scale})", text


def expr(str: str) -> Column:
    """The column an SQL expression means, such as ``expr("v * 2 AS w")``.

    Raises:
        ParseException: the text is no expression.
    """
    from tidemill import _tidemill

    text: Any = str
    if not hasattr(text, "encode"):
        raise wrong_type("str", "SQL as a str", text)
    with translated():
        return Column(json.loads(_tidemill.parse_expression(text)))


def call(function: str, *arguments: Column | None, distinct: bool = False) -> Column:
    """A function's call. Arguments that are None at the end are left out."""
    given = list(arguments)
    while given and given[-1] is None:
        given.pop()
    nodes = [lit(None)._node if argument is None else argument._node for argument in given]
    node: Node = {"node": "call", "name": function, "arguments": nodes}
    if distinct:
        node["distinct"] = True
    return Column(node)


def to_column(value: ColumnOrName) -> Column:
    """A column given as itself or by name."""
    if isinstance(value, Column):
        return value
    if isinstance(value, str):
        return col(value)
    raise wrong_type("col", "a Column or the name of one", value)


def to_columns(values: Iterable[Any]) -> list[Column]:
    """Columns given one by one or as one list."""
    given = list(values)
    if len(given) == 1 and isinstance(given[0], (list, tuple, set)):
        given = list(given[0])
    return [to_column(value) for value in given]


def sort_key(value: ColumnOrName) -> Node:
    """A key of an order: a column with or without its direction."""
    column = to_column(value)
    key: Node = {"by": column._node}
    if isinstance(column, SortColumn):
        key["descending"] = column._descending
        if column._nulls_first is not None:
            key["nulls_first"] = column._nulls_first
    return key


def rewritten(node: Any, change: Callable[[Node], Node | None]) -> Any:
    """The expression with every node for which `change` gives one replaced by that one."""
    if isinstance(node, dict):
        changed = change(node)
        if changed is not None:
            return changed
        return {key: rewritten(value, change) if key != FRAME else value for key, value in node.items()}
    if isinstance(node, list):
        return [rewritten(item, change) for item in node]
    return node


def _binary(operator: str, left: Any, right: Any) -> Column:
    return Column({"node": "binary", "operator": operator, "left": lit(left)._node, "right": lit(right)._node})
