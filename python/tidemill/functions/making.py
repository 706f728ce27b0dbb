"""Intervals, and times that may not exist, made of their parts. A part that is absent is 0."""

from __future__ import annotations

from tidemill.column import Column, ColumnOrName, call, lit, to_column
from tidemill.errors import PySparkValueError
from tidemill.functions._arguments import optional

__all__ = [
    "make_dt_interval",
    "make_interval",
    "make_ym_interval",
    "try_make_interval",
    "try_make_timestamp",
    "try_make_timestamp_ltz",
    "try_make_timestamp_ntz",
    "try_to_date",
]


def _or_zero(*parts: ColumnOrName | None) -> list[Column]:
    return [lit(0) if part is None else to_column(part) for part in parts]


def _given(name: str, parts: tuple[ColumnOrName | None, ...]) -> list[Column]:
    if any(part is None for part in parts):
        raise PySparkValueError(f"{name}() needs years, months, days, hours, mins and secs", "CANNOT_BE_NONE")
    return [to_column(part) for part in parts if part is not None]


def make_dt_interval(
    days: ColumnOrName | None = None,
    hours: ColumnOrName | None = None,
    mins: ColumnOrName | None = None,
    secs: ColumnOrName | None = None,
) -> Column:
    """A length of time in days, hours, minutes and seconds."""
    return call("make_dt_interval", *_or_zero(days, hours, mins, secs))


def make_interval(
    years: ColumnOrName | None = None,
    months: ColumnOrName | None = None,
    weeks: ColumnOrName | None = None,
    days: ColumnOrName | None = None,
    hours: ColumnOrName | None = None,
    mins: ColumnOrName | None = None,
    secs: ColumnOrName | None = None,
) -> Column:
    """A length of time of the calendar: months and days are as long as they are."""
    return call("make_interval", *_or_zero(years, months, weeks, days, hours, mins, secs))


def make_ym_interval(years: ColumnOrName | None = None, months: ColumnOrName | None = None) -> Column:
    """A number of years and months."""
    return call("make_ym_interval", *_or_zero(years, months))


def try_make_interval(
    years: ColumnOrName | None = None,
    months: ColumnOrName | None = None,
    weeks: ColumnOrName | None = None,
    days: ColumnOrName | None = None,
    hours: ColumnOrName | None = None,
    mins: ColumnOrName | None = None,
    secs: ColumnOrName | None = None,
) -> Column:
    """`make_interval` that gives NULL when the interval overflows."""
    return call("try_make_interval", *_or_zero(years, months, weeks, days, hours, mins, secs))


def try_make_timestamp(
    years: ColumnOrName | None = None,
    months: ColumnOrName | None = None,
    days: ColumnOrName | None = None,
    hours: ColumnOrName | None = None,
    mins: ColumnOrName | None = None,
    secs: ColumnOrName | None = None,
    timezone: ColumnOrName | None = None,
) -> Column:
    """`make_timestamp` that gives NULL for a time that does not exist."""
    parts = _given("try_make_timestamp", (years, months, days, hours, mins, secs))
    return call("try_make_timestamp", *parts, optional(to_column, timezone))


def try_make_timestamp_ltz(
    years: ColumnOrName,
    months: ColumnOrName,
    days: ColumnOrName,
    hours: ColumnOrName,
    mins: ColumnOrName,
    secs: ColumnOrName,
    timezone: ColumnOrName | None = None,
) -> Column:
    """`make_timestamp_ltz` that gives NULL for a time that does not exist."""
    parts = _given("try_make_timestamp_ltz", (years, months, days, hours, mins, secs))
    return call("try_make_timestamp_ltz", *parts, optional(to_column, timezone))


def try_make_timestamp_ntz(
    years: ColumnOrName | None = None,
    months: ColumnOrName | None = None,
    days: ColumnOrName | None = None,
    hours: ColumnOrName | None = None,
    mins: ColumnOrName | None = None,
    secs: ColumnOrName | None = None,
) -> Column:
    """`make_timestamp_ntz` that gives NULL for a time that does not exist."""
    return call("try_make_timestamp_ntz", *_given("try_make_timestamp_ntz", (years, months, days, hours, mins, secs)))


def try_to_date(col: ColumnOrName, format: str | None = None) -> Column:
    """`to_date` that gives NULL for text that is no date."""
    return call("try_to_date", to_column(col), optional(lit, format))
