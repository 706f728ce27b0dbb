"""Between DataFrames and the engine: a frame's plan and tables as the JSON the engine reads.

A frame's ``_tables`` holds a definition for every table it may read, by the name the plan uses. A definition is a dict:

    name     the name the engine and the checkpoint know it by; two of one name in a query get numbers
    columns  [[name, type in DDL, nullable], ..]; none when the source knows its columns
    options  {key: value}, ``connector`` among them
    static   True for a table that is read once, before the stream starts
    arrow    rows that are there already: anything with ``__arrow_c_stream__`` (then there are no columns and options)
    batch    where those rows come from, when `foreachBatch` gave them
    source   a data source of the user's program (`tidemill.datasource`), when ``connector`` is ``python``
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tidemill.errors import translated
from tidemill.udf import named

if TYPE_CHECKING:
    from tidemill.dataframe import DataFrame
    from tidemill.types import StructType

Definition = Mapping[str, Any]


def is_streaming(frame: DataFrame) -> bool:
    """True when a stream is read somewhere in the frame."""
    return any(not is_static(definition) for definition in used_tables(frame).values())


def is_static(definition: Definition) -> bool:
    """True for a table that is read once."""
    return bool(definition.get("static")) or definition.get("arrow") is not None


def schema_of(frame: DataFrame) -> StructType:
    """The frame's columns, as the engine's analysis finds them.

    Raises:
        AnalysisException: the frame is not valid.
    """
    from tidemill.types import StructType

    with translated():
        ddl = engine_of(frame).schema(*described(frame))
    return StructType.fromDDL(ddl) if ddl else StructType()


def explain(frame: DataFrame) -> str:
    """The plan as data flows, a line a step."""
    with translated():
        return engine_of(frame).explain(*described(frame))


def evaluate(frame: DataFrame) -> Any:
    """All rows of a frame without a stream: an object with ``__arrow_c_stream__``.

    Raises:
        SparkRuntimeException: an expression fails on a row.
    """
    with translated():
        return engine_of(frame).evaluate(*described(frame))


def engine_of(frame: DataFrame) -> Any:
    """The engine of the frame's session."""
    session = frame._session
    if session is None:
        from tidemill.session import Session

        session = Session.builder.getOrCreate()
    return session._engine


def described(frame: DataFrame) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """A pipeline that only has the frame's plan, the rows of its tables in memory, and the Python functions it calls."""
    relation, tables, given = with_stable_names(frame)
    relation, functions = with_functions(frame, relation)
    settings = frame._session._settings() if frame._session is not None else {}
    inserts = [{"table": "rows", "relation": relation}]
    return json.dumps({"name": "plan", "settings": settings, "tables": tables, "inserts": inserts}), given, functions


def with_functions(frame: DataFrame, relation: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The plan with its Python functions under names the engine can tell apart, and what they are; so are the data
    sources it reads, by the names of their tables."""
    relation, functions = named.described(relation, frame._session._functions if frame._session is not None else {})
    sources = {
        _source_name(stable): definition["source"]
        for _, stable, definition in _stable(frame)
        if definition.get("source") is not None
    }
    return relation, {**functions, **sources}


def _source_name(table: str) -> str:
    """By what the engine finds the data source of a table."""
    return f"{named.PREFIX}source.{table}"


def _stable(frame: DataFrame) -> list[tuple[str, str, Definition]]:
    """Every table the frame's plan names: its key, the name that does not depend on how often a session has read
    before, and what it is."""
    found: list[tuple[str, str, Definition]] = []
    for key, definition in used_tables(frame).items():
        found.append((key, unused(str(definition.get("name") or key), [stable for _, stable, _ in found]), definition))
    return found


def used_tables(frame: DataFrame) -> dict[str, Definition]:
    """The definitions of the tables the frame's plan names, in the order it names them."""
    known = {name.lower(): name for name in frame._tables}
    used: dict[str, Definition] = {}
    for node in _table_nodes(frame._relation):
        name = known.get(".".join(node["name"]).lower())
        if name is not None:
            used.setdefault(name, frame._tables[name])
    return used


def with_stable_names(frame: DataFrame) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """The plan over tables whose names do not depend on how often a session has read before; the tables as the
    engine reads them; the rows of those in memory."""
    names: dict[str, str] = {}
    tables: list[dict[str, Any]] = []
    given: dict[str, Any] = {}
    for key, stable, definition in _stable(frame):
        names[key] = stable
        if definition.get("arrow") is not None:
            given[stable] = definition["arrow"]
        else:
            tables.append(_engine_table(stable, definition))
    lower = {key.lower(): (key, stable) for key, stable in names.items()}
    return _renamed(frame._relation, lower), tables, given


def unused(name: str, taken: Any) -> str:
    """`name`, with a number if it is taken."""
    taken = {other.lower() for other in taken}
    number, candidate = 1, name
    while candidate.lower() in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def _engine_table(name: str, definition: Definition) -> dict[str, Any]:
    options = {key: str(value) for key, value in (definition.get("options") or {}).items()}
    options.setdefault("connector", "memory")
    if definition.get("static"):
        options["static"] = "true"
    if definition.get("source") is not None:
        options["source"] = _source_name(name)
    return {
        "name": name,
        "columns": [list(column) for column in definition.get("columns") or []],
        "watermark": definition.get("watermark"),
        "options": options,
    }


def _table_nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if value.get("node") == "table":
            yield value
            return
        for child in value.values():
            yield from _table_nodes(child)
    elif isinstance(value, (list, tuple)):
        for child in value:
            yield from _table_nodes(child)


def _renamed(value: Any, names: Mapping[str, tuple[str, str]]) -> Any:
    """The plan with other table names; columns that are qualified by the old ones still find them."""
    if isinstance(value, dict):
        if value.get("node") == "table":
            key, stable = names.get(".".join(value["name"]).lower(), (None, None))
            if key is None or key == stable:
                return value
            return {"node": "alias", "name": key, "input": {**value, "name": [stable]}}
        return {key: _renamed(child, names) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_renamed(child, names) for child in value]
    return value
