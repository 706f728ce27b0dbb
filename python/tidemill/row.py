"""Rows as Python values: what `collect` gives."""

from __future__ import annotations

from typing import Any

from tidemill.errors import PySparkValueError


class Row(tuple):
    """A row: values by position, by name, and as attributes.

    >>> row = Row(name="a", n=1)
    >>> row.name, row["n"], row[1]
    ('a', 1, 1)
    """

    __fields__: tuple[str, ...]

    def __new__(cls, *values: Any, **named: Any) -> Row:
        if values and named:
            raise PySparkValueError("a Row takes values or named values, not both", "CANNOT_SET_TOGETHER")
        row = super().__new__(cls, tuple(named.values()) if named else values)
        if named:
            row.__fields__ = tuple(named)
        return row

    @classmethod
    def of(cls, names: tuple[str, ...] | list[str], values: tuple[Any, ...] | list[Any]) -> Row:
        """A row with these names and values."""
        row = super().__new__(cls, tuple(values))
        row.__fields__ = tuple(names)
        return row

    def asDict(self, recursive: bool = False) -> dict[str, Any]:
        """Names with their values; `recursive` does the same for rows inside."""
        values = [_plain(value) for value in self] if recursive else list(self)
        return dict(zip(self._names(), values, strict=True))

    def _names(self) -> tuple[str, ...]:
        return self.__dict__.get("__fields__", ())

    def __call__(self, *values: Any) -> Row:
        return Row.of(tuple(self), values)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            names = self._names()
            if key not in names:
                raise KeyError(f"no column named {key}; columns: {', '.join(names)}")
            return super().__getitem__(names.index(key))
        return super().__getitem__(key)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self._names():
            raise AttributeError(f"no column named {name}; columns: {', '.join(self._names())}")
        return super().__getitem__(self._names().index(name))

    def __contains__(self, item: Any) -> bool:
        return item in self._names() if self._names() else super().__contains__(item)

    def __reduce__(self) -> Any:
        return (Row.of, (self._names(), tuple(self))) if self._names() else (Row, tuple(self))

    def __repr__(self) -> str:
        if self._names():
            return f"Row({', '.join(f'{name}={value!r}' for name, value in zip(self._names(), self, strict=True))})"
        return f"<Row({', '.join(map(repr, self))})>"


def _plain(value: Any) -> Any:
    match value:
        case Row():
            return value.asDict(recursive=True)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return value
