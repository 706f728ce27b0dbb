//! What stands in the relations that are not always empty.

use super::names::{DATABASE as DATABASE_NUMBER, OWNER, SCHEMAS, TYPES, TypeEntry};
use super::{CATALOG_OIDS, Cell, DATABASE, PUBLIC, Pinned, Row, World, relations::RELATIONS};
use crate::live::settings::SETTINGS;
use crate::live::types::Shown;
use pgwire::api::portal::Format;

/// Number of the function by which arrays are told apart.
const ARRAY_RECV: u32 = 2400;
/// Number of the access method of tables.
const HEAP: u32 = 2;

pub(super) fn pg_class(world: &World) -> Vec<Row> {
    let live = world.tables.iter().map(|pinned| {
        let Pinned { table, snapshot, columns } = pinned.as_ref();
        vec![
            ("oid", table.oid.into()),
            ("relname", table.name.clone().into()),
            ("reltuples", (snapshot.rows as i64).into()),
            ("relnatts", (columns.len() as i64).into()),
        ]
    });
    let own = RELATIONS.iter().zip(CATALOG_OIDS..).map(|(relation, oid)| -> Row {
        let schema = SCHEMAS.iter().find(|(_, name)| *name == relation.schema).map_or(11, |(oid, _)| *oid);
        vec![
            ("oid", oid.into()),
            ("relname", relation.name.into()),
            ("relnamespace", schema.into()),
            ("relkind", "v".into()),
        ]
    });
    live.chain(own).collect()
}

pub(super) fn pg_attribute(world: &World) -> Vec<Row> {
    each_column(world, |pinned, at, column| {
        let info = column.info(at, &Format::UnifiedText);
        vec![
            ("attrelid", pinned.table.oid.into()),
            ("attname", column.name.clone().into()),
            ("atttypid", info.datatype().oid().into()),
            ("attlen", i64::from(info.type_size()).into()),
            ("attnum", (at as i64 + 1).into()),
            ("atttypmod", i64::from(info.type_modifier()).into()),
            ("attndims", i64::from(info.datatype().name().starts_with('_')).into()),
        ]
    })
}

fn each_column(world: &World, row: impl Fn(&Pinned, usize, &Shown) -> Row) -> Vec<Row> {
    let mut rows = vec![];
    for pinned in &world.tables {
        rows.extend(pinned.columns.iter().enumerate().map(|(at, column)| row(pinned, at, column)));
    }
    rows
}

pub(super) fn pg_namespace(_: &World) -> Vec<Row> {
    SCHEMAS.iter().map(|(oid, name)| vec![("oid", (*oid).into()), ("nspname", (*name).into())]).collect()
}

pub(super) fn pg_type(_: &World) -> Vec<Row> {
    let scalar = |entry: &TypeEntry| -> Row {
        vec![
            ("oid", entry.oid.into()),
            ("typname", entry.name.into()),
            ("typlen", entry.size.into()),
            ("typcategory", entry.category.into()),
            ("typarray", entry.array.into()),
        ]
    };
    let array = |entry: &TypeEntry| -> Row {
        vec![
            ("oid", entry.array.into()),
            ("typname", format!("_{}", entry.name).into()),
            ("typlen", Cell::Number(-1)),
            ("typcategory", "A".into()),
            ("typelem", entry.oid.into()),
            ("typreceive", ARRAY_RECV.into()),
        ]
    };
    TYPES.iter().flat_map(|entry| [scalar(entry), array(entry)]).collect()
}

pub(super) fn pg_database(_: &World) -> Vec<Row> {
    vec![vec![("oid", DATABASE_NUMBER.into()), ("datname", DATABASE.into())]]
}

pub(super) fn pg_roles(world: &World) -> Vec<Row> {
    vec![vec![("oid", OWNER.into()), ("rolname", world.user.clone().into())]]
}

pub(super) fn pg_am(_: &World) -> Vec<Row> {
    vec![vec![("oid", HEAP.into()), ("amname", "heap".into())]]
}

pub(super) fn pg_proc(_: &World) -> Vec<Row> {
    vec![vec![("oid", ARRAY_RECV.into()), ("proname", "array_recv".into())]]
}

pub(super) fn pg_settings(_: &World) -> Vec<Row> {
    SETTINGS.iter().map(|(name, value)| vec![("name", (*name).into()), ("setting", (*value).into())]).collect()
}

pub(super) fn pg_tables(world: &World) -> Vec<Row> {
    let row = |pinned: &std::sync::Arc<Pinned>| -> Row {
        vec![
            ("schemaname", PUBLIC.into()),
            ("tablename", pinned.table.name.clone().into()),
            ("tableowner", world.user.clone().into()),
        ]
    };
    world.tables.iter().map(row).collect()
}

pub(super) fn information_tables(world: &World) -> Vec<Row> {
    let live = world.tables.iter().map(|pinned| -> Row {
        vec![
            ("table_schema", PUBLIC.into()),
            ("table_name", pinned.table.name.clone().into()),
            ("table_type", "BASE TABLE".into()),
        ]
    });
    let own = RELATIONS.iter().map(|relation| -> Row {
        vec![
            ("table_schema", relation.schema.into()),
            ("table_name", relation.name.into()),
            ("table_type", "VIEW".into()),
        ]
    });
    live.chain(own).collect()
}

pub(super) fn information_columns(world: &World) -> Vec<Row> {
    each_column(world, |pinned, at, column| {
        let info = column.info(at, &Format::UnifiedText);
        let oid = info.datatype().oid();
        let is_array = info.datatype().name().starts_with('_');
        let words = if is_array { Some("ARRAY".to_owned()) } else { super::names::format_type(oid.into(), None) };
        let mut row: Row = vec![
            ("table_schema", PUBLIC.into()),
            ("table_name", pinned.table.name.clone().into()),
            ("column_name", column.name.clone().into()),
            ("ordinal_position", (at as i64 + 1).into()),
            ("data_type", words.unwrap_or_else(|| "text".into()).into()),
            ("udt_name", info.datatype().name().to_owned().into()),
        ];
        if let packed @ 4.. = i64::from(info.type_modifier()) {
            row.push(("numeric_precision", ((packed - 4) >> 16).into()));
            row.push(("numeric_scale", ((packed - 4) & 0xffff).into()));
            row.push(("numeric_precision_radix", Cell::Number(10)));
        }
        row
    })
}

pub(super) fn information_schemata(_: &World) -> Vec<Row> {
    SCHEMAS.iter().map(|(_, name)| vec![("schema_name", (*name).into())]).collect()
}

pub(super) fn live_tables(world: &World) -> Vec<Row> {
    let row = |pinned: &std::sync::Arc<Pinned>| -> Row {
        let Pinned { table, snapshot, .. } = pinned.as_ref();
        let mut row: Row = vec![
            ("table_name", table.name.clone().into()),
            ("output_mode", table.mode.word().into()),
            ("rows", (snapshot.rows as i64).into()),
            ("bytes", (snapshot.bytes() as i64).into()),
        ];
        if let Some(epoch) = snapshot.epoch {
            row.push(("epoch", epoch.0.cast_signed().into()));
        }
        row
    };
    world.tables.iter().map(row).collect()
}
