"""Schemas with versions: a registry in a directory, what a schema registry server is to production.

A schema is columns in DDL or an Avro record; both are kept as Avro. A new version must be compatible with the newest
one, by the subject's level: BACKWARD (the default: readers with the new schema read data of the one before), FORWARD,
FULL or NONE. Source of the rules: Avro specification, "Schema Resolution".

>>> registry = SchemaRegistry("schemas")  # doctest: +SKIP
>>> registry.register("user-events", "user_id STRING NOT NULL, duration DOUBLE").version  # doctest: +SKIP
1
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tidemill import _tidemill
from tidemill.errors import translated

if TYPE_CHECKING:
    from tidemill.types import StructType


@dataclass(frozen=True)
class Schema:
    """A registered schema.

    Attributes:
        id: its number among all schemas of the registry.
        subject: what it is a schema of.
        version: its number within the subject, from 1.
        avro: the schema as Avro JSON.
    """

    id: int
    subject: str
    version: int
    avro: str = field(repr=False)
    _registry: Any = field(repr=False, compare=False)

    @property
    def columns(self) -> StructType:
        """Its columns, for ``read_stream(topic, schema)``."""
        from tidemill.types import StructType

        with translated():
            return StructType.fromDDL(self._registry.columns(self.subject, self.version))


class SchemaRegistry:
    """A registry in a directory; made when it is not there.

    Args:
        url: a path or a ``file://`` URL.

    Raises:
        AnalysisException: another kind of URL.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        with translated():
            self._files = _tidemill.SchemaFiles(os.fspath(url))

    def register(self, subject: str, schema: Any) -> Schema:
        """Adds a version to a subject. A schema that a version has already is that version.

        Args:
            subject: such as ``user-events``.
            schema: DDL, a StructType, or an Avro record as JSON or dict.

        Raises:
            AnalysisException: a schema that cannot be read, or that breaks the newest version: says each field and why.
        """
        text, is_avro = _written(schema)
        with translated():
            return self._schema(self._files.register(subject, text, is_avro))

    def get(self, subject: str, version: int | None = None) -> Schema | None:
        """A version of a subject, the newest when none is named; None when there is no such subject.

        Raises:
            AnalysisException: a version that is not there.
        """
        with translated():
            found = self._files.get(subject, version)
        return self._schema(found) if found is not None else None

    def get_by_id(self, id: int) -> Schema | None:  # noqa: A002
        """The schema with this id; None when there is none."""
        with translated():
            found = self._files.by_id(id)
        return self._schema(found) if found is not None else None

    def list(self) -> list[str]:
        """The subjects, by name."""
        with translated():
            return self._files.subjects()

    def versions(self, subject: str) -> list[int]:
        """The versions of a subject, ascending; empty when there is no such subject."""
        with translated():
            return self._files.versions(subject)

    def check(self, subject: str, schema: Any) -> list[str]:
        """What a schema would break of the subject's newest version, in words; empty when it is compatible."""
        text, is_avro = _written(schema)
        with translated():
            return self._files.check(subject, text, is_avro)

    def is_compatible(self, subject: str, schema: Any) -> bool:
        """True when `register` would take the schema."""
        return not self.check(subject, schema)

    def compatibility(self, subject: str) -> str:
        """The subject's level: BACKWARD, FORWARD, FULL or NONE."""
        with translated():
            return self._files.compatibility(subject)

    def set_compatibility(self, subject: str, level: str) -> None:
        """Sets the subject's level."""
        with translated():
            self._files.set_compatibility(subject, level)

    def _schema(self, found: tuple[int, str, int, str]) -> Schema:
        return Schema(*found, self._files)


def register_schema(url: str | os.PathLike[str], subject: str, schema: Any) -> Schema:
    """`SchemaRegistry.register` in the registry at `url`."""
    return SchemaRegistry(url).register(subject, schema)


def get_schema(url: str | os.PathLike[str], subject: str, version: int | None = None) -> Schema | None:
    """`SchemaRegistry.get` in the registry at `url`."""
    return SchemaRegistry(url).get(subject, version)


def _written(schema: Any) -> tuple[str, bool]:
    """A schema as text, and whether it is Avro."""
    from tidemill.types import StructType

    match schema:
        case StructType():
            return schema.toDDL(), False
        case Schema():
            return schema.avro, True
        case dict():
            return json.dumps(schema), True
        case _:
            return str(schema), str(schema).lstrip().startswith("{")
