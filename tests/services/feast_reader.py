#!/usr/bin/env python3
"""Reads features with Feast itself, or writes some as Feast does; run by the Python that has Feast.

    feast_reader.py REQUEST     a file of JSON: folder, store or repo, entities, features, rows[, write]

Prints what `get_online_features` gives, as JSON: bytes as hexadecimal, times in ISO form.
"""

import json
import sys
import warnings
from datetime import datetime, timedelta
from pathlib import Path

warnings.simplefilter("ignore")

from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, types  # noqa: E402

PROJECT = "shop"
VIEW = "stats"


def feast_type(name: str):
    """A Feast type by its name: `Int64`, `Array(String)`, `Map`."""
    inner = name.removeprefix("Array(").removesuffix(")")
    plain = getattr(types, inner)
    return types.Array(plain) if inner != name else plain


def shown(value):
    """A value as JSON has it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def opened(asked: dict) -> FeatureStore:
    """A feature store with one view over the online store that was asked for."""
    folder = Path(asked["folder"])
    if repo := asked.get("repo"):
        return viewed(FeatureStore(repo_path=repo), asked)
    config = RepoConfig(
        project=PROJECT,
        provider="local",
        registry=str(folder / "registry.db"),
        online_store=asked["store"],
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )
    return viewed(FeatureStore(config=config), asked)


def viewed(store: FeatureStore, asked: dict) -> FeatureStore:
    """The store with the view of the request."""
    entities = [Entity(name=name, join_keys=[name]) for name in asked["entities"]]
    fields = {**asked["entities"], **asked["features"]}
    view = FeatureView(
        name=VIEW,
        entities=entities,
        ttl=timedelta(days=36500),
        schema=[Field(name=name, dtype=feast_type(of)) for name, of in fields.items()],
        source=FileSource(path=str(Path(asked["folder"]) / "none.parquet"), timestamp_field="at"),
    )
    store.apply([*entities, view])
    return store


def main(request: str) -> int:
    """Answers one request."""
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    store = opened(asked)
    if rows := asked.get("write"):
        import pandas

        frame = pandas.DataFrame(rows)
        frame["at"] = pandas.to_datetime(frame["at"], utc=True)
        store.write_to_online_store(VIEW, frame)
    names = [f"{VIEW}:{name}" for name in asked["features"]]
    answer = store.get_online_features(features=names, entity_rows=asked["rows"]).to_dict()
    print(json.dumps(answer, default=shown))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
