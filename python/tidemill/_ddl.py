"""Reads types and schemas written as DDL: the same grammar as the engine's `types.rs`."""

from __future__ import annotations

import difflib
import re

from tidemill import types as t
from tidemill.errors import ParseException

DEPTH_MAX = 32
"""Deepest nesting a type may have."""

_SIMPLE: dict[str, type[t.DataType]] = {
    "boolean": t.BooleanType,
    "tinyint": t.ByteType,
    "byte": t.ByteType,
    "smallint": t.ShortType,
    "short": t.ShortType,
    "int": t.IntegerType,
    "integer": t.IntegerType,
    "bigint": t.LongType,
    "long": t.LongType,
    "float": t.FloatType,
    "real": t.FloatType,
    "double": t.DoubleType,
    "string": t.StringType,
    "binary": t.BinaryType,
    "date": t.DateType,
    "timestamp": t.TimestampType,
    "timestamp_ltz": t.TimestampType,
    "timestamp_ntz": t.TimestampNTZType,
    "void": t.NullType,
}
_NESTED = ("array", "char", "decimal", "interval", "map", "struct", "varchar")
_WORD = re.compile(r"\s*(\w+)", re.UNICODE)
_QUOTED = re.compile(r"\s*`((?:[^`]|``)*)`")
_COMMENT = re.compile(r"\s*'[^']*'")


def parse(ddl: str) -> t.DataType:
    """A type (``array<int>``) or a schema (``a INT, b STRING``).

    Raises:
        ParseException: neither.
    """
    try:
        reader = _Reader(ddl)
        return reader.whole(reader.data_type)
    except ParseException as as_type:
        try:
            return parse_schema(ddl)
        except ParseException as as_schema:
            # the reading that got further is the one that was meant
            raise (as_schema if _reached(as_schema) >= _reached(as_type) else as_type) from None


def parse_schema(ddl: str) -> t.StructType:
    """A schema (``a INT NOT NULL, b STRING``), or the fields of one ``struct<..>``.

    Raises:
        ParseException: the text is no schema.
    """
    if re.match(r"\s*struct\s*<", ddl, re.IGNORECASE):
        reader = _Reader(ddl)
        parsed = reader.whole(reader.data_type)
        if isinstance(parsed, t.StructType):
            return parsed
    if not ddl.strip():
        return t.StructType()
    reader = _Reader(ddl)
    return reader.whole(lambda: reader.fields(""))


def _reached(error: ParseException) -> int:
    return int(error.getMessageParameters().get("position", "0"))


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def whole(self, read):  # type: ignore[no-untyped-def]
        value = read()
        if self.text[self.at :].strip():
            raise self.error("unexpected text")
        return value

    def error(self, what: str, help_text: str = "") -> ParseException:
        seen = self.text[self.at :].strip()[:20]
        where = f"'{seen}'" if seen else "the end"
        message = f"cannot read the type or schema '{self.text.strip()}': {what} at {where}"
        return ParseException(message + help_text, "PARSE_SYNTAX_ERROR", {"position": str(self.at)})

    def peek(self) -> str:
        found = _WORD.match(self.text, self.at)
        return found.group(1) if found else ""

    def word(self) -> str:
        found = _WORD.match(self.text, self.at)
        if not found:
            return ""
        self.at = found.end()
        return found.group(1)

    def eat_word(self, wanted: str) -> bool:
        if self.peek().lower() != wanted:
            return False
        self.word()
        return True

    def eat(self, sign: str) -> bool:
        rest = self.text[self.at :].lstrip()
        if not rest.startswith(sign):
            return False
        self.at = len(self.text) - len(rest) + len(sign)
        return True

    def expect(self, sign: str) -> None:
        if not self.eat(sign):
            raise self.error(f"expected '{sign}'")

    def number(self) -> int:
        word = self.peek()
        if not word.isdecimal():
            raise self.error("expected a number")
        return int(self.word())

    def data_type(self) -> t.DataType:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise self.error(f"nested deeper than {DEPTH_MAX}")
        start = self.at
        word = self.word()
        simple = _SIMPLE.get(word.lower())
        parsed = simple() if simple else self.with_parts(word, start)
        self.depth -= 1
        return parsed

    def with_parts(self, word: str, start: int) -> t.DataType:
        match word.lower():
            case "decimal" | "dec" | "numeric":
                return self.decimal()
            case "varchar" | "char":
                self.expect("(")
                length = self.number()
                self.expect(")")
                return t.VarcharType(length) if word.lower() == "varchar" else t.CharType(length)
            case "interval":
                return self.interval()
            case "array":
                self.expect("<")
                element = self.data_type()
                self.expect(">")
                return t.ArrayType(element)
            case "map":
                self.expect("<")
                key = self.data_type()
                self.expect(",")
                value = self.data_type()
                self.expect(">")
                return t.MapType(key, value)
            case "struct":
                self.expect("<")
                return t.StructType() if self.eat(">") else self.fields(">")
            case _:
                self.at = start
                raise self.unknown(word)

    def unknown(self, word: str) -> ParseException:
        if not word:
            return self.error("expected a type")
        names = sorted([*_SIMPLE, *_NESTED])
        near = difflib.get_close_matches(word.lower(), names, 1)
        advice = f"did you mean '{near[0]}'?" if near else f"types: {', '.join(names)}"
        return self.error(f"there is no type called '{word}'", f"\n  = help: {advice}")

    def decimal(self) -> t.DataType:
        precision, scale = 10, 0
        if self.eat("("):
            precision = self.number()
            scale = self.number() if self.eat(",") else 0
            self.expect(")")
        if not 1 <= precision <= 38 or scale > precision:
            raise self.error("a decimal has 1 to 38 digits, and no more of them after the point")
        return t.DecimalType(precision, scale)

    def interval(self) -> t.DataType:
        unit = self.word().lower()
        if self.eat_word("to"):
            self.word()
        if unit in ("year", "month"):
            return t.YearMonthIntervalType()
        if unit in ("day", "hour", "minute", "second"):
            return t.DayTimeIntervalType()
        raise self.error("expected 'day to second' or 'year to month'")

    def fields(self, close: str) -> t.StructType:
        fields: list[t.StructField] = []
        while True:
            name = self.name()
            self.eat(":")
            data_type = self.data_type()
            fields.append(t.StructField(name, data_type, *self.modifiers()))
            if self.eat(","):
                continue
            if close:
                self.expect(close)
            return t.StructType(fields)

    def modifiers(self) -> tuple[bool, dict[str, str]]:
        """Whether NULL is allowed, and the comment as metadata."""
        nullable, metadata = True, {}
        while True:
            if self.eat_word("not"):
                if not self.eat_word("null"):
                    raise self.error("expected NULL after NOT")
                nullable = False
            elif self.eat_word("comment"):
                found = _COMMENT.match(self.text, self.at)
                if not found:
                    raise self.error("expected a comment in quotes")
                metadata["comment"] = found.group().strip()[1:-1]
                self.at = found.end()
            else:
                return nullable, metadata

    def name(self) -> str:
        quoted = _QUOTED.match(self.text, self.at)
        if quoted:
            self.at = quoted.end()
            return quoted.group(1).replace("``", "`")
        word = self.word()
        if not word:
            raise self.error("expected a column name")
        return word
