"""Dates and times. Patterns are those of Spark (``yyyy-MM-dd HH:mm:ss``); zones are the session's unless named."""

from __future__ import annotations

from tidemill.column import Column, ColumnOrName, call, lit, to_column
from tidemill.errors import wrong_type
from tidemill.functions._arguments import number, optional

__all__ = [
    "add_months",
    "convert_timezone",
    "cumulate_window",
    "curdate",
    "current_date",
    "current_timestamp",
    "current_timezone",
    "date_add",
    "date_diff",
    "date_format",
    "date_from_unix_date",
    "date_part",
    "date_sub",
    "date_trunc",
    "dateadd",
    "datediff",
    "datepart",
    "day",
    "dayname",
    "dayofmonth",
    "dayofweek",
    "dayofyear",
    "expect_duration",
    "extract",
    "from_unixtime",
    "from_utc_timestamp",
    "hour",
    "last_day",
    "localtimestamp",
    "make_date",
    "make_timestamp",
    "make_timestamp_ltz",
    "make_timestamp_ntz",
    "minute",
    "month",
    "monthname",
    "months_between",
    "next_day",
    "now",
    "quarter",
    "second",
    "session_window",
    "timestamp_add",
    "timestamp_diff",
    "timestamp_micros",
    "timestamp_millis",
    "timestamp_seconds",
    "to_date",
    "to_timestamp",
    "to_timestamp_ltz",
    "to_timestamp_ntz",
    "to_unix_timestamp",
    "to_utc_timestamp",
    "trunc",
    "try_to_timestamp",
    "unix_date",
    "unix_micros",
    "unix_millis",
    "unix_seconds",
    "unix_timestamp",
    "weekday",
    "weekofyear",
    "window",
    "window_time",
    "year",
]


def add_months(start: ColumnOrName, months: ColumnOrName | int) -> Column:
    """A date some months later."""
    return call("add_months", to_column(start), number(months))


def convert_timezone(sourceTz: ColumnOrName | None, targetTz: ColumnOrName, sourceTs: ColumnOrName) -> Column:
    """A wall clock of one zone as that of another."""
    source = [] if sourceTz is None else [to_column(sourceTz)]
    return call("convert_timezone", *source, to_column(targetTz), to_column(sourceTs))


def curdate() -> Column:
    """The day of the running epoch."""
    return call("current_date")


def current_date() -> Column:
    """The day of the running epoch."""
    return call("current_date")


def current_timestamp() -> Column:
    """The instant of the running epoch: the same for all its rows, and again after a restart."""
    return call("current_timestamp")


def current_timezone() -> Column:
    """The session's zone."""
    return call("current_timezone")


def date_add(start: ColumnOrName, days: ColumnOrName | int) -> Column:
    """A date some days later."""
    return call("date_add", to_column(start), number(days))


def date_diff(end: ColumnOrName, start: ColumnOrName) -> Column:
    """Days from `start` to `end`."""
    return call("datediff", to_column(end), to_column(start))


def date_format(date: ColumnOrName, format: Column | str) -> Column:
    """A time as text in a pattern."""
    return call("date_format", to_column(date), lit(format))


def date_from_unix_date(days: ColumnOrName) -> Column:
    """The date some days after 1970-01-01."""
    return call("date_from_unix_date", to_column(days))


def date_part(field: ColumnOrName, source: ColumnOrName) -> Column:
    """A part of a time, such as YEAR."""
    return call("date_part", to_column(field), to_column(source))


def date_sub(start: ColumnOrName, days: ColumnOrName | int) -> Column:
    """A date some days earlier."""
    return call("date_sub", to_column(start), number(days))


def date_trunc(format: Column | str, timestamp: ColumnOrName) -> Column:
    """A time cut to a unit, such as hour."""
    return call("date_trunc", lit(format), to_column(timestamp))


def dateadd(start: ColumnOrName, days: ColumnOrName | int) -> Column:
    """A date some days later: another name of `date_add`."""
    return call("date_add", to_column(start), number(days))


def datediff(end: ColumnOrName, start: ColumnOrName) -> Column:
    """Days from `start` to `end`."""
    return call("datediff", to_column(end), to_column(start))


def datepart(field: ColumnOrName, source: ColumnOrName) -> Column:
    """A part of a time, such as YEAR."""
    return call("date_part", to_column(field), to_column(source))


def day(col: ColumnOrName) -> Column:
    """The day of the month."""
    return call("day", to_column(col))


def dayname(col: ColumnOrName) -> Column:
    """The day of the week, as ``Mon``."""
    return call("dayname", to_column(col))


def dayofmonth(col: ColumnOrName) -> Column:
    """The day of the month."""
    return call("dayofmonth", to_column(col))


def dayofweek(col: ColumnOrName) -> Column:
    """The day of the week, Sunday being 1."""
    return call("dayofweek", to_column(col))


def dayofyear(col: ColumnOrName) -> Column:
    """The day of the year."""
    return call("dayofyear", to_column(col))


def expect_duration(name: str, value: object) -> str:
    """A length of time such as ``"5 minutes"``."""
    if not value or not hasattr(value, "encode"):
        raise wrong_type(name, "a time such as '5 minutes'", value)
    return str(value)


def extract(field: ColumnOrName, source: ColumnOrName) -> Column:
    """A part of a time, such as YEAR."""
    return call("extract", to_column(field), to_column(source))


def from_unixtime(timestamp: ColumnOrName, format: Column | str | None = None) -> Column:
    """Seconds since 1970 as text in a pattern."""
    return call("from_unixtime", to_column(timestamp), optional(lit, format))


def from_utc_timestamp(timestamp: ColumnOrName, tz: Column | str) -> Column:
    """The wall clock of a zone at an instant."""
    return call("from_utc_timestamp", to_column(timestamp), lit(tz))


def hour(col: ColumnOrName) -> Column:
    """The hour, 0 to 23."""
    return call("hour", to_column(col))


def last_day(date: ColumnOrName) -> Column:
    """The last day of the month."""
    return call("last_day", to_column(date))


def localtimestamp() -> Column:
    """The session's wall clock in the running epoch."""
    return call("localtimestamp")


def make_date(year: ColumnOrName, month: ColumnOrName, day: ColumnOrName) -> Column:
    """A date from its parts."""
    return call("make_date", to_column(year), to_column(month), to_column(day))


def make_timestamp(
    years: ColumnOrName,
    months: ColumnOrName,
    days: ColumnOrName,
    hours: ColumnOrName,
    mins: ColumnOrName,
    secs: ColumnOrName,
    timezone: ColumnOrName | None = None,
) -> Column:
    """An instant from its parts."""
    return call(
        "make_timestamp",
        to_column(years),
        to_column(months),
        to_column(days),
        to_column(hours),
        to_column(mins),
        to_column(secs),
        optional(to_column, timezone),
    )


def make_timestamp_ltz(
    years: ColumnOrName,
    months: ColumnOrName,
    days: ColumnOrName,
    hours: ColumnOrName,
    mins: ColumnOrName,
    secs: ColumnOrName,
    timezone: ColumnOrName | None = None,
) -> Column:
    """An instant from its parts."""
    return call(
        "make_timestamp_ltz",
        to_column(years),
        to_column(months),
        to_column(days),
        to_column(hours),
        to_column(mins),
        to_column(secs),
        optional(to_column, timezone),
    )


def make_timestamp_ntz(
    years: ColumnOrName,
    months: ColumnOrName,
    days: ColumnOrName,
    hours: ColumnOrName,
    mins: ColumnOrName,
    secs: ColumnOrName,
) -> Column:
    """A wall clock from its parts."""
    return call(
        "make_timestamp_ntz",
        to_column(years),
        to_column(months),
        to_column(days),
        to_column(hours),
        to_column(mins),
        to_column(secs),
    )


def minute(col: ColumnOrName) -> Column:
    """The minute, 0 to 59."""
    return call("minute", to_column(col))


def month(col: ColumnOrName) -> Column:
    """The month, 1 to 12."""
    return call("month", to_column(col))


def monthname(col: ColumnOrName) -> Column:
    """The month, as ``Jan``."""
    return call("monthname", to_column(col))


def months_between(date1: ColumnOrName, date2: ColumnOrName, roundOff: bool | Column = True) -> Column:
    """Months from `date2` to `date1`, with a fraction."""
    return call("months_between", to_column(date1), to_column(date2), lit(roundOff))


def next_day(date: ColumnOrName, dayOfWeek: Column | str) -> Column:
    """The next day of the week, such as Mon."""
    return call("next_day", to_column(date), lit(dayOfWeek))


def now() -> Column:
    """The instant of the running epoch."""
    return call("current_timestamp")


def quarter(col: ColumnOrName) -> Column:
    """The quarter, 1 to 4."""
    return call("quarter", to_column(col))


def second(col: ColumnOrName) -> Column:
    """The second, 0 to 59."""
    return call("second", to_column(col))


def session_window(timeColumn: ColumnOrName, gapDuration: Column | str) -> Column:
    """Windows that last as long as events follow one another within a gap: the struct column ``session_window``.

    Args:
        timeColumn: the event time; a timestamp.
        gapDuration: the longest gap, such as ``"5 minutes"``, or a column of such texts.
    """
    return call("session_window", to_column(timeColumn), lit(gapDuration))


def timestamp_add(unit: Column | str, quantity: ColumnOrName, ts: ColumnOrName) -> Column:
    """A time some units later."""
    return call("timestampadd", lit(unit), to_column(quantity), to_column(ts))


def timestamp_diff(unit: Column | str, start: ColumnOrName, end: ColumnOrName) -> Column:
    """Whole units from `start` to `end`."""
    return call("timestampdiff", lit(unit), to_column(start), to_column(end))


def timestamp_micros(col: ColumnOrName) -> Column:
    """The instant some microseconds after 1970."""
    return call("timestamp_micros", to_column(col))


def timestamp_millis(col: ColumnOrName) -> Column:
    """The instant some milliseconds after 1970."""
    return call("timestamp_millis", to_column(col))


def timestamp_seconds(col: ColumnOrName) -> Column:
    """The instant some seconds after 1970."""
    return call("timestamp_seconds", to_column(col))


def to_date(col: ColumnOrName, format: Column | str | None = None) -> Column:
    """Text, in a pattern or ISO, as a date."""
    return call("to_date", to_column(col), optional(lit, format))


def to_timestamp(col: ColumnOrName, format: Column | str | None = None) -> Column:
    """Text, in a pattern or ISO, as an instant."""
    return call("to_timestamp", to_column(col), optional(lit, format))


def to_timestamp_ltz(timestamp: ColumnOrName, format: ColumnOrName | None = None) -> Column:
    """Text, in a pattern or ISO, as an instant."""
    return call("to_timestamp_ltz", to_column(timestamp), optional(to_column, format))


def to_timestamp_ntz(timestamp: ColumnOrName, format: ColumnOrName | None = None) -> Column:
    """Text, in a pattern or ISO, as a wall clock."""
    return call("to_timestamp_ntz", to_column(timestamp), optional(to_column, format))


def to_unix_timestamp(timestamp: ColumnOrName, format: ColumnOrName | None = None) -> Column:
    """Text, in a pattern or ISO, as seconds since 1970."""
    return call("to_unix_timestamp", to_column(timestamp), optional(to_column, format))


def to_utc_timestamp(timestamp: ColumnOrName, tz: Column | str) -> Column:
    """The instant of a wall clock in a zone."""
    return call("to_utc_timestamp", to_column(timestamp), lit(tz))


def trunc(date: ColumnOrName, format: Column | str) -> Column:
    """A date cut to a unit, such as month."""
    return call("trunc", to_column(date), lit(format))


def try_to_timestamp(col: ColumnOrName, format: ColumnOrName | None = None) -> Column:
    """Text as an instant, NULL where it cannot be read."""
    return call("try_to_timestamp", to_column(col), optional(to_column, format))


def unix_date(col: ColumnOrName) -> Column:
    """Days since 1970-01-01."""
    return call("unix_date", to_column(col))


def unix_micros(col: ColumnOrName) -> Column:
    """Microseconds since 1970."""
    return call("unix_micros", to_column(col))


def unix_millis(col: ColumnOrName) -> Column:
    """Milliseconds since 1970."""
    return call("unix_millis", to_column(col))


def unix_seconds(col: ColumnOrName) -> Column:
    """Whole seconds since 1970."""
    return call("unix_seconds", to_column(col))


def unix_timestamp(timestamp: ColumnOrName | None = None, format: Column | str | None = None) -> Column:
    """Text, in a pattern or ISO, or a time as seconds since 1970; the running epoch's instant without arguments."""
    return call("unix_timestamp", optional(to_column, timestamp), optional(lit, format))


def weekday(col: ColumnOrName) -> Column:
    """The day of the week, Monday being 0."""
    return call("weekday", to_column(col))


def weekofyear(col: ColumnOrName) -> Column:
    """The week of the year after ISO 8601."""
    return call("weekofyear", to_column(col))


def cumulate_window(
    timeColumn: ColumnOrName, windowDuration: str, stepDuration: str, startTime: str | None = None
) -> Column:
    """Windows that grow: the struct column ``window``. Spark has none; SQL's ``CUMULATE`` gives the same.

    Within each stretch of ``windowDuration`` a window starts at its beginning and ends after every
    ``stepDuration``: totals of the day so far, every hour.

    Args:
        timeColumn: the event time; a timestamp.
        windowDuration: length of the longest window, such as ``"1 day"``; a whole number of steps.
        stepDuration: how much longer each window is than the one before.
        startTime: how long after 1970-01-01 00:00 UTC a window starts.
    """
    sizes = [expect_duration("windowDuration", windowDuration), expect_duration("stepDuration", stepDuration)]
    if startTime is not None:
        sizes.append(expect_duration("startTime", startTime))
    return call("cumulate_window", to_column(timeColumn), *[lit(size) for size in sizes])


def window(
    timeColumn: ColumnOrName,
    windowDuration: str,
    slideDuration: str | None = None,
    startTime: str | None = None,
) -> Column:
    """Windows of event time: the struct column ``window`` with the timestamps ``start`` (included) and ``end`` (not).

    Args:
        timeColumn: the event time; a timestamp.
        windowDuration: length of a window, such as ``"5 minutes"``. Months have no fixed length and are refused.
        slideDuration: how often a window starts; without it one starts where another ends.
        startTime: how long after 1970-01-01 00:00 UTC a window starts.

    Source: Spark, "Window Operations on Event Time".
    """
    sizes = [lit(expect_duration("windowDuration", windowDuration))]
    if slideDuration is not None or startTime is not None:
        sizes.append(lit(expect_duration("slideDuration", slideDuration or windowDuration)))
    if startTime is not None:
        sizes.append(lit(expect_duration("startTime", startTime)))
    return call("window", to_column(timeColumn), *sizes)


def window_time(windowColumn: ColumnOrName) -> Column:
    """The event time of a window: its end less one microsecond."""
    return call("window_time", to_column(windowColumn))


def year(col: ColumnOrName) -> Column:
    """The year."""
    return call("year", to_column(col))
