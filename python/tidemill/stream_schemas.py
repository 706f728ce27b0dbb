"""Schemas with versions: in a registry that is a directory, or in a server with Confluent's API (Confluent, Karapace,
Apicurio, Redpanda, ``tidemill schema serve``).

A schema is Avro, JSON Schema or Protobuf; columns in DDL are kept as an Avro record. A new version must be compatible
with the versions before, by the subject's level: BACKWARD (the default: readers with the new schema read data of the one
before), FORWARD, FULL, each with _TRANSITIVE for all versions, or NONE.

>>> registry = SchemaRegistry("schemas")  # doctest: +SKIP
>>> registry.register("user-events", "user_id STRING NOT NULL, duration DOUBLE").version  # doctest: +SKIP
1
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tidemill import _tidemill
from tidemill.errors import AnalysisException, translated

if TYPE_CHECKING:
    from tidemill.types import StructType

KINDS = ("AVRO", "JSON", "PROTOBUF")


@dataclass(frozen=True)
class Reference:
    """A registered schema that another one names.

    Attributes:
        name: what the schema calls it: an import path (Protobuf), a full name (Avro), a URI (JSON Schema).
        subject: the subject it is registered under.
        version: its version there.
    """

    name: str
    subject: str
    version: int


@dataclass(frozen=True)
class Schema:
    """A registered schema.

    Attributes:
        id: its number among all schemas of the registry; what a message carries.
        subject: what it is a schema of.
        version: its number within the subject, from 1.
        schema_type: ``AVRO``, ``JSON`` or ``PROTOBUF``.
        schema: the schema as text: JSON, or a ``.proto`` file.
        references: the schemas that it names.
    """

    id: int
    subject: str
    version: int
    schema_type: str = field(repr=False)
    schema: str = field(repr=False)
    references: tuple[Reference, ...] = field(repr=False)
    _registry: Any = field(repr=False, compare=False)

    @property
    def avro(self) -> str:
        """The schema as Avro JSON.

        Raises:
            AnalysisException: it is no Avro.
        """
        if self.schema_type != "AVRO":
            raise AnalysisException(
                f"version {self.version} of subject '{self.subject}' is {self.schema_type}, not AVRO"
            )
        return self.schema

    @property
    def columns(self) -> StructType:
        """Its columns, for ``read_stream(topic, schema)``.

        Raises:
            AnalysisException: a schema that is no Avro, or no record.
        """
        from tidemill.types import StructType

        with translated():
            return StructType.fromDDL(self._registry.columns(self.subject, self.version))


@dataclass(frozen=True)
class Compatibility:
    """Whether a schema could be registered; true in a condition when it could.

    Attributes:
        level: the subject's level.
        differences: what it breaks, each with the path of its place; empty when it is compatible.
    """

    level: str
    differences: list[str]

    @property
    def is_compatible(self) -> bool:
        """True when nothing is broken."""
        return not self.differences

    def __bool__(self) -> bool:
        return self.is_compatible


@dataclass(frozen=True)
class Rejected:
    """A row that does not fit.

    Attributes:
        index: its number in the batch, from 0.
        row: the row itself.
        code: a short code: ``WRONG_TYPE``, ``MISSING_FIELD``, ``NULL_FIELD``, ``MALFORMED``.
        reason: what is wrong, with the field.
    """

    index: int
    row: Any
    code: str
    reason: str


@dataclass(frozen=True)
class Validation:
    """A batch that was compared with a schema; true in a condition when every row fits.

    Attributes:
        schema: the version that it was compared with.
        valid: the rows that fit, in order.
        rejected: the others, in order.
    """

    schema: Schema
    valid: list[Any]
    rejected: list[Rejected]

    @property
    def pass_rate(self) -> float:
        """The part of the rows that fit, from 0 to 1; 1 for no rows."""
        count = len(self.valid) + len(self.rejected)
        return len(self.valid) / count if count else 1.0

    def __bool__(self) -> bool:
        return not self.rejected


class SchemaRegistry:
    """A registry in a directory, made when it is not there; or a server with Confluent's API, asked when it is needed.

    Args:
        url: a path, a ``file://`` URL, or the ``http://`` or ``https://`` URL of a server; several URLs of one server
            with commas between.
        user_info: ``user:password`` for a server (Confluent's ``basic.auth.user.info``).
        token: a bearer token for a server, instead.
        ca: a file of certificates to trust instead of the system's, PEM.

    Raises:
        AnalysisException: another kind of URL. Every method that asks a server raises ``SparkRuntimeException`` when the
            server refuses access or does not answer for a minute.
    """

    def __init__(
        self,
        url: str | os.PathLike[str],
        *,
        user_info: str | None = None,
        token: str | None = None,
        ca: str | os.PathLike[str] | None = None,
    ) -> None:
        with translated():
            self._files = _tidemill.SchemaFiles(os.fspath(url), user_info, token, os.fspath(ca) if ca else None)

    def register(
        self, subject: str, schema: Any, schema_type: str | None = None, references: Iterable[Reference] = ()
    ) -> Schema:
        """Adds a version to a subject. A schema that a version has already is that version.

        Args:
            subject: such as ``user-events``, or ``orders-value`` for the values of a topic ``orders``.
            schema: DDL, a StructType, an Avro record as JSON or dict, a JSON Schema as JSON or dict, a ``.proto`` file
                as text, or a `Schema` of another registry.
            schema_type: ``AVRO``, ``JSON`` or ``PROTOBUF``. Without it text in braces, or a dict, is Avro, text that
                begins with ``syntax`` is Protobuf, and other text is DDL.
            references: registered schemas that this one names.

        Raises:
            AnalysisException: a schema that cannot be read, or that breaks the versions before: says each place and why.
        """
        with translated():
            return self._schema(self._files.register(subject, _given(schema, schema_type, references)))

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

    def check_compatibility(
        self, subject: str, schema: Any, schema_type: str | None = None, references: Iterable[Reference] = ()
    ) -> Compatibility:
        """Whether `register` would take a schema, and what it breaks if not. Nothing is registered.

        Raises:
            AnalysisException: a schema that cannot be read.
        """
        with translated():
            found = self._files.check(subject, _given(schema, schema_type, references))
            return Compatibility(self._files.compatibility(subject), found)

    def check(self, subject: str, schema: Any) -> list[str]:
        """The differences of `check_compatibility`; empty when the schema is compatible."""
        return self.check_compatibility(subject, schema).differences

    def is_compatible(self, subject: str, schema: Any) -> bool:
        """True when `register` would take the schema."""
        return not self.check(subject, schema)

    def evolve(
        self,
        subject: str,
        *,
        add: str | StructType | None = None,
        drop: Iterable[str] = (),
        rename: Mapping[str, str] | None = None,
    ) -> Schema:
        """Registers the newest version of a subject with changes, as its next version. For Avro records.

        Args:
            subject: a subject that has a version.
            add: columns to add, in DDL such as ``"country STRING"`` or as a StructType. They must be nullable: data
                that is there already has none of them, and reads as NULL.
            drop: names of fields to leave out. With BACKWARD any may go; with FORWARD and FULL only those with a default.
            rename: new names of fields by their old ones. The old name stays as an alias, by which readers with the new
                schema find the field in data that is there already.

        Returns:
            The new version; the newest one when nothing changes.

        Raises:
            AnalysisException: no such subject or field, a column that must not be NULL, or a change that the subject's
                level forbids: says each field and why.
        """
        newest = self.get(subject)
        if newest is None:
            raise AnalysisException(f"there is no subject '{subject}' to evolve; subjects: {', '.join(self.list())}")
        record = json.loads(newest.avro)
        if not isinstance(record, dict) or record.get("type") != "record":
            raise AnalysisException(f"subject '{subject}' is no Avro record, which alone can be evolved by its fields")
        record["fields"] = _evolved(subject, record["fields"], add, list(drop), dict(rename or {}))
        return self.register(subject, record, "AVRO", newest.references)

    def validate_batch(self, subject: str, rows: Iterable[Any], version: int | None = None) -> Validation:
        """Compares rows with a version of a subject, the newest when none is named. For Avro records.

        A row fits when every field that must not be NULL is there, and every value has its field's type; fields that
        the schema has not are passed over, as a table with this schema passes over them.

        Args:
            subject: a subject that has a version.
            rows: dicts, Rows, or anything with ``asDict()``; a pandas DataFrame or a pyarrow Table.
            version: which version.

        Raises:
            AnalysisException: no such subject or version, or a schema without columns.
        """
        schema = self.get(subject, version)
        if schema is None:
            raise AnalysisException(
                f"there is no subject '{subject}' to validate with; subjects: {', '.join(self.list())}"
            )
        rows = _rows(rows)
        with translated():
            found = self._files.validate(
                subject, schema.version, [json.dumps(_dict(row), default=_plain) for row in rows]
            )
        rejected = [Rejected(index, rows[index], code, reason) for index, code, reason in found]
        bad = {one.index for one in rejected}
        return Validation(schema, [row for index, row in enumerate(rows) if index not in bad], rejected)

    def compatibility(self, subject: str) -> str:
        """The subject's level: BACKWARD, FORWARD, FULL, one of these with _TRANSITIVE, or NONE."""
        with translated():
            return self._files.compatibility(subject)

    def set_compatibility(self, subject: str, level: str) -> None:
        """Sets the subject's level."""
        with translated():
            self._files.set_compatibility(subject, level)

    def _schema(self, found: tuple[int, str, int, str, str, list[tuple[str, str, int]]]) -> Schema:
        *parts, references = found
        return Schema(*parts, tuple(Reference(*one) for one in references), self._files)


def register(url: str | os.PathLike[str], subject: str, schema: Any, schema_type: str | None = None) -> Schema:
    """`SchemaRegistry.register` in the registry at `url`."""
    return SchemaRegistry(url).register(subject, schema, schema_type)


def get(url: str | os.PathLike[str], subject: str, version: int | None = None) -> Schema | None:
    """`SchemaRegistry.get` in the registry at `url`."""
    return SchemaRegistry(url).get(subject, version)


def check_compatibility(
    url: str | os.PathLike[str], subject: str, schema: Any, schema_type: str | None = None
) -> Compatibility:
    """`SchemaRegistry.check_compatibility` in the registry at `url`."""
    return SchemaRegistry(url).check_compatibility(subject, schema, schema_type)


def evolve(url: str | os.PathLike[str], subject: str, **changes: Any) -> Schema:
    """`SchemaRegistry.evolve` in the registry at `url`."""
    return SchemaRegistry(url).evolve(subject, **changes)


def validate_batch(
    url: str | os.PathLike[str], subject: str, rows: Iterable[Any], version: int | None = None
) -> Validation:
    """`SchemaRegistry.validate_batch` in the registry at `url`."""
    return SchemaRegistry(url).validate_batch(subject, rows, version)


register_schema = register
get_schema = get


def _given(
    schema: Any, schema_type: str | None, references: Iterable[Reference]
) -> tuple[str | None, str, list[tuple[str, str, int]]]:
    """A schema as its kind (None for DDL), text and references."""
    from tidemill.types import StructType

    names = [(one.name, one.subject, one.version) for one in references]
    match schema:
        case StructType():
            return None, schema.toDDL(), names
        case Schema():
            own = names or [(one.name, one.subject, one.version) for one in schema.references]
            return schema_type or schema.schema_type, schema.schema, own
        case dict():
            return schema_type or "AVRO", json.dumps(schema), names
    text = str(schema)
    start = text.lstrip()
    guessed = "AVRO" if start.startswith(("{", '"', "[")) else "PROTOBUF" if start.startswith("syntax") else None
    return schema_type or guessed, text, names


def _evolved(
    subject: str, fields: list[dict[str, Any]], add: Any, drop: list[str], rename: dict[str, str]
) -> list[dict[str, Any]]:
    """The fields of a record with changes."""
    from tidemill.types import StructType

    names = [one["name"] for one in fields]
    for name in [*drop, *rename]:
        if name not in names:
            raise AnalysisException(f"subject '{subject}' has no field '{name}'; fields: {', '.join(names)}")
    changed = []
    for one in fields:
        name = one["name"]
        if name in rename:
            aliases = [name, *(alias for alias in one.get("aliases", []) if alias != rename[name])]
            one = {**one, "name": rename[name], "aliases": aliases}
        if name not in drop:
            changed.append(one)
    if add is not None:
        ddl = add.toDDL() if isinstance(add, StructType) else add
        with translated():
            added = json.loads(_tidemill.schema_from_ddl(ddl, "added"))["fields"]
        for one in added:
            if "default" not in one:
                raise AnalysisException(
                    f"the new field '{one['name']}' of subject '{subject}' must not be NULL, but data that is there "
                    "already has no value for it: leave NOT NULL out"
                )
        changed.extend(added)
    return changed


def _rows(rows: Any) -> list[Any]:
    """Rows one by one, from a table too."""
    if hasattr(rows, "to_pylist"):
        return rows.to_pylist()
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        return rows.to_dict("records")
    return list(rows)


def _dict(row: Any) -> Any:
    return row.asDict(recursive=True) if hasattr(row, "asDict") else row


def _plain(value: Any) -> Any:
    """Values that JSON has not, as the format `json` writes them."""
    match value:
        case bytes():
            import base64

            return base64.b64encode(value).decode()
        case _ if hasattr(value, "isoformat"):
            return value.isoformat()
        case _ if hasattr(value, "item"):
            return value.item()
    return str(value)
