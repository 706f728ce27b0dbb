//! Numbers and names of types and schemas. Source: PostgreSQL 15, pg_type.dat and pg_namespace.dat.

/// A type of the catalogue.
pub(super) struct TypeEntry {
    pub(super) oid: u32,
    pub(super) array: u32,
    /// The name in pg_type.
    pub(super) name: &'static str,
    /// The name that `format_type` gives.
    pub(super) words: &'static str,
    pub(super) size: i64,
    pub(super) category: &'static str,
}

const fn entry(
    oid: u32,
    array: u32,
    name: &'static str,
    words: &'static str,
    size: i64,
    category: &'static str,
) -> TypeEntry {
    TypeEntry { oid, array, name, words, size, category }
}

/// The types that results and the catalogue have.
pub(super) const TYPES: &[TypeEntry] = &[
    entry(16, 1000, "bool", "boolean", 1, "B"),
    entry(17, 1001, "bytea", "bytea", -1, "U"),
    entry(18, 1002, "char", "\"char\"", 1, "Z"),
    entry(19, 1003, "name", "name", 64, "S"),
    entry(20, 1016, "int8", "bigint", 8, "N"),
    entry(21, 1005, "int2", "smallint", 2, "N"),
    entry(23, 1007, "int4", "integer", 4, "N"),
    entry(24, 1008, "regproc", "regproc", 4, "N"),
    entry(25, 1009, "text", "text", -1, "S"),
    entry(26, 1028, "oid", "oid", 4, "N"),
    entry(114, 199, "json", "json", -1, "U"),
    entry(700, 1021, "float4", "real", 4, "N"),
    entry(701, 1022, "float8", "double precision", 8, "N"),
    entry(1042, 1014, "bpchar", "character", -1, "S"),
    entry(1043, 1015, "varchar", "character varying", -1, "S"),
    entry(1082, 1182, "date", "date", 4, "D"),
    entry(1083, 1183, "time", "time without time zone", 8, "D"),
    entry(1114, 1115, "timestamp", "timestamp without time zone", 8, "D"),
    entry(1184, 1185, "timestamptz", "timestamp with time zone", 8, "D"),
    entry(1186, 1187, "interval", "interval", 16, "T"),
    entry(1700, 1231, "numeric", "numeric", -1, "N"),
    entry(2205, 2210, "regclass", "regclass", 4, "N"),
    entry(2950, 2951, "uuid", "uuid", 16, "U"),
    entry(3802, 3807, "jsonb", "jsonb", -1, "U"),
];

/// Schemas with their numbers.
pub(super) const SCHEMAS: &[(u32, &str)] =
    &[(11, "pg_catalog"), (2200, "public"), (13_000, "information_schema"), (13_001, "tidemill")];
/// Number of the one role.
pub(super) const OWNER: u32 = 10;
/// Number of the one database.
pub(super) const DATABASE: u32 = 5;

/// What `format_type` says of a type with a modifier, such as `numeric(10,2)`.
pub(in crate::live) fn format_type(oid: i64, modifier: Option<i64>) -> Option<String> {
    let known = |entry: &&TypeEntry| i64::from(entry.oid) == oid || i64::from(entry.array) == oid;
    let entry = TYPES.iter().find(known)?;
    let mut words = entry.words.to_owned();
    if let (1700, Some(packed)) = (entry.oid, modifier.filter(|modifier| *modifier >= 4)) {
        words = format!("{words}({},{})", (packed - 4) >> 16, (packed - 4) & 0xffff);
    }
    Some(if i64::from(entry.array) == oid { format!("{words}[]") } else { words })
}

/// The number of the type that is called `name`, in either way.
pub(in crate::live) fn type_number(name: &str) -> Option<u32> {
    let name = name.trim().trim_start_matches("pg_catalog.");
    let (name, is_array) = name.strip_suffix("[]").map_or((name, false), |item| (item, true));
    let entry = TYPES.iter().find(|entry| entry.name == name || entry.words == name)?;
    Some(if is_array { entry.array } else { entry.oid })
}

/// The name of a schema.
pub(in crate::live) fn schema_name(oid: i64) -> Option<&'static str> {
    SCHEMAS.iter().find(|(number, _)| i64::from(*number) == oid).map(|(_, name)| *name)
}

/// The number of a schema.
pub(in crate::live) fn schema_number(name: &str) -> Option<u32> {
    SCHEMAS.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
}
