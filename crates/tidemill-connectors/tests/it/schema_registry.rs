//! The file schema registry: versions and ids, compatibility as a table, Avro and columns.

use std::fs;
use tidemill_connectors::schema_registry::{
    AvroSchema, Compatibility, Draft, Parsed, Reference, Refused, SchemaRegistry, Why, arrow_to_avro, avro_to_arrow,
    ddl_to_avro, problems,
};
use tidemill_core::types::{parse_schema, schema_ddl};

/// A record `r` with these fields.
fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"r","fields":[{fields}]}}"#)
}

fn field(name: &str, of: &str) -> String {
    format!(r#"{{"name":"{name}","type":{of}}}"#)
}

fn defaulted(name: &str, of: &str, value: &str) -> String {
    format!(r#"{{"name":"{name}","type":{of},"default":{value}}}"#)
}

fn found(level: Compatibility, new: &str, old: &str) -> String {
    let parsed = |text: &str| Parsed::Avro(AvroSchema::parse(text).unwrap());
    let found = problems(level, &parsed(new), &parsed(old));
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[test]
fn backward_rules_of_records_fields_and_promotions() {
    let a = field("a", r#""int""#);
    let one = |of: &str| record(&field("a", of));
    let enumeration =
        |symbols: &str, rest: &str| one(&format!(r#"{{"type":"enum","name":"e","symbols":[{symbols}]{rest}}}"#));
    let decimal =
        |scale: u8| one(&format!(r#"{{"type":"bytes","logicalType":"decimal","precision":9,"scale":{scale}}}"#));
    let renamed = r#"{"name":"b","aliases":["a"],"type":"long"}"#;
    let table: &[(&str, String, String, &str)] = &[
        ("the same", record(&a), record(&a), ""),
        ("a new field with default", record(&format!("{a},{}", defaulted("b", r#""int""#, "0"))), record(&a), ""),
        (
            "a new field without",
            record(&format!("{a},{}", field("b", r#""int""#))),
            record(&a),
            "field 'b': data of the version before lacks it, and it has no default",
        ),
        ("a removed field", record(&a), record(&format!("{a},{}", field("b", r#""int""#))), ""),
        ("a renamed field with alias", record(renamed), record(&a), ""),
        ("int to long", one(r#""long""#), one(r#""int""#), ""),
        ("int to double", one(r#""double""#), one(r#""int""#), ""),
        ("long to float", one(r#""float""#), one(r#""long""#), ""),
        ("float to double", one(r#""double""#), one(r#""float""#), ""),
        ("string to bytes", one(r#""bytes""#), one(r#""string""#), ""),
        ("bytes to string", one(r#""string""#), one(r#""bytes""#), ""),
        (
            "long to int",
            one(r#""int""#),
            one(r#""long""#),
            "field 'a': data of the version before holds long, which cannot be read as int",
        ),
        ("int to string", one(r#""string""#), one(r#""int""#), "holds int, which cannot be read as string"),
        ("to nullable", one(r#"["null","long"]"#), one(r#""int""#), ""),
        ("from nullable", one(r#""int""#), one(r#"["null","int"]"#), "holds null, which cannot be read as int"),
        ("a wider union", one(r#"["null","int","string"]"#), one(r#"["null","int"]"#), ""),
        ("more symbols", enumeration(r#""x","y""#, ""), enumeration(r#""x""#, ""), ""),
        ("fewer symbols", enumeration(r#""x""#, ""), enumeration(r#""x","y""#, ""), "may hold y, which the enum lacks"),
        ("fewer with default", enumeration(r#""x""#, r#","default":"x""#), enumeration(r#""x","y""#, ""), ""),
        ("items of an array", one(r#"{"type":"array","items":"long"}"#), one(r#"{"type":"array","items":"int"}"#), ""),
        (
            "values of a map",
            one(r#"{"type":"map","values":"int"}"#),
            one(r#"{"type":"map","values":"long"}"#),
            "long, which cannot be read as int",
        ),
        ("another scale", decimal(3), decimal(2), "decimal(9,2), which cannot be read as decimal(9,3)"),
        (
            "another record",
            record(&a).replace("\"r\"", "\"s\""),
            record(&a),
            "the schema: data of the version before holds record r, which cannot be read as record s",
        ),
        (
            "a nested field",
            one(&record(&field("b", r#""int""#)).replace("\"r\"", "\"n\"")),
            one(&record("").replace("\"r\"", "\"n\"")),
            "field 'a.b': data of the version before lacks it",
        ),
    ];
    for (case, new, old, expected) in table {
        let problem = found(Compatibility::Backward, new, old);
        assert!(if expected.is_empty() { problem.is_empty() } else { problem.contains(expected) }, "{case}: {problem}");
    }
}

#[test]
fn the_levels_look_in_their_own_direction() {
    let small = record(&field("a", r#""int""#));
    let more = record(&format!("{},{}", field("a", r#""int""#), field("b", r#""int""#)));
    let table = [
        (Compatibility::Backward, &more, &small, false),
        (Compatibility::Backward, &small, &more, true),
        (Compatibility::Forward, &more, &small, true),
        (Compatibility::Forward, &small, &more, false),
        (Compatibility::Full, &more, &small, false),
        (Compatibility::Full, &small, &more, false),
        (Compatibility::Full, &small, &small, true),
        (Compatibility::None, &more, &small, true),
    ];
    for (level, new, old, is_compatible) in table {
        assert_eq!(found(level, new, old).is_empty(), is_compatible, "{level:?}");
    }
    let recursive = record(&field("next", r#"["null","r"]"#));
    assert_eq!(found(Compatibility::Full, &recursive, &recursive), "");
}

#[test]
fn versions_and_ids_count_up_and_survive_a_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let registry = SchemaRegistry::open(path).unwrap();
    let first = registry
        .register("orders-value", &Draft::ddl("orders-value", "id BIGINT NOT NULL, at TIMESTAMP").unwrap())
        .unwrap();
    assert_eq!((first.id, first.version), (1, 1));
    let other = registry.register("clicks", &Draft::avro(record(&field("a", r#""int""#)))).unwrap();
    assert_eq!((other.id, other.version), (2, 1));
    let second = registry.register(
        "orders-value",
        &Draft::ddl("orders-value", "id BIGINT NOT NULL, at TIMESTAMP, note STRING").unwrap(),
    );
    assert_eq!(second.as_ref().map(|second| (second.id, second.version)).unwrap(), (3, 2));

    let again = SchemaRegistry::open(&format!("file://{path}")).unwrap();
    assert_eq!(again.register("orders-value", &Draft::avro(&first.schema)).unwrap(), first, "known already");
    assert_eq!(again.latest("orders-value").unwrap(), second.ok());
    assert_eq!(again.by_id(2).unwrap(), Some(other));
    assert_eq!((again.by_id(9).unwrap(), again.latest("nothing").unwrap()), (None, None));
    assert_eq!(again.versions("orders-value").unwrap(), [1, 2]);
    assert_eq!(again.subjects().unwrap(), ["clicks", "orders-value"]);
    let error = again.version("order-value", 1).unwrap_err();
    assert!(error.report().contains("did you mean 'orders-value'?"), "{}", error.report());
}

#[test]
fn an_incompatible_version_is_refused_in_words_unless_the_subject_allows_it() {
    let folder = tempfile::tempdir().unwrap();
    let registry = SchemaRegistry::open(folder.path().to_str().unwrap()).unwrap();
    registry.register("s", &Draft::avro(record(&field("price", r#""double""#)))).unwrap();
    let worse = record(&format!("{},{}", field("price", r#""int""#), field("x", r#""int""#)));
    let error = registry.register("s", &Draft::avro(&worse)).unwrap_err();
    assert_eq!(
        error.error.to_string(),
        "the schema is not backward compatible with version 1 of subject 's': field 'price': data of the version \
         before holds double, which cannot be read as int; field 'x': data of the version before lacks it, and it \
         has no default"
    );
    assert_eq!(registry.versions("s").unwrap(), [1]);
    registry.set_compatibility(Some("s"), Compatibility::None).unwrap();
    assert_eq!(registry.compatibility("s").unwrap(), Compatibility::None);
    assert_eq!(registry.register("s", &Draft::avro(&worse)).unwrap().version, 2);
}

#[test]
fn a_crash_at_any_step_of_a_registration_is_mended_by_the_next() {
    let schema = record(&field("a", r#""int""#));
    // what was not written yet, by the step after which the process died
    let table: &[(&[&str], u32)] = &[(&["contents", "subjects/s/1.json"], 2), (&["subjects/s/1.json"], 1), (&[], 1)];
    for (lost, id) in table {
        let folder = tempfile::tempdir().unwrap();
        let registry = SchemaRegistry::open(folder.path().to_str().unwrap()).unwrap();
        registry.register("s", &Draft::avro(&schema)).unwrap();
        for path in *lost {
            let path = folder.path().join(path);
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        let again = registry.register("s", &Draft::avro(&schema)).unwrap();
        assert_eq!((again.id, again.version), (*id, 1), "{lost:?}");
        assert_eq!(registry.latest("s").unwrap(), Some(again.clone()));
        assert_eq!(registry.by_id(*id).unwrap(), Some(again));
    }
}

#[test]
fn a_registry_of_an_earlier_version_is_read_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let schema = record(&field("a", r#""int""#));
    for (path, text) in [
        ("subjects/s/1.avsc", schema.as_str()),
        ("subjects/s/config.json", r#"{"compatibility":"FULL"}"#),
        ("ids/1.json", r#"{"subject":"s","version":1}"#),
    ] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let registry = SchemaRegistry::open(folder.path().to_str().unwrap()).unwrap();
    let first = registry.register("s", &Draft::avro(schema.replace(',', " ,"))).unwrap();
    assert_eq!((first.id, first.version), (1, 1));
    assert_eq!(registry.by_id(1).unwrap(), Some(first));
    assert_eq!(registry.compatibility("s").unwrap(), Compatibility::Full);
    let more = record(&format!("{},{}", field("a", r#""int""#), defaulted("b", r#""int""#, "0")));
    let second = registry.register("s", &Draft::avro(more)).unwrap();
    assert_eq!((second.id, second.version), (2, 2));
    assert_eq!(registry.versions("s").unwrap(), [1, 2]);
}

#[test]
fn deleted_versions_are_gone_from_lists_and_later_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let registry = SchemaRegistry::open(folder.path().to_str().unwrap()).unwrap();
    let of = |name: &str| Draft::avro(record(&defaulted(name, r#""int""#, "0")));
    let (first, second) = (registry.register("s", &of("a")).unwrap(), registry.register("s", &of("b")).unwrap());
    let refused = |done: Result<(), Refused>| done.unwrap_err().why;
    assert_eq!(refused(registry.delete_version("s", 9, false)), Why::NoVersion);
    assert_eq!(refused(registry.delete_version("t", 1, false)), Why::NoSubject);
    assert_eq!(refused(registry.delete_version("s", 2, true)), Why::VersionNotDeleted);
    registry.delete_version("s", 2, false).unwrap();
    assert_eq!(refused(registry.delete_version("s", 2, false)), Why::VersionDeleted);
    assert_eq!((registry.versions("s").unwrap(), registry.all_versions("s", true).unwrap()), (vec![1], vec![1, 2]));
    assert_eq!(registry.by_id(second.id).unwrap(), Some(second.clone()), "its data can still be read");
    // registered again it is a version more, with the same id
    let again = registry.register("s", &of("b")).unwrap();
    assert_eq!((again.id, again.version), (second.id, 3));
    registry.delete_version("s", 2, true).unwrap();
    assert_eq!(registry.by_id(second.id).unwrap().map(|found| found.id), Some(second.id), "version 3 has it");
    assert_eq!(registry.delete_subject("s", true).unwrap_err().why, Why::SubjectNotDeleted);
    assert_eq!(registry.delete_subject("s", false).unwrap(), [1, 3]);
    assert_eq!(registry.subjects().unwrap(), Vec::<String>::new());
    assert_eq!(registry.delete_subject("s", false).unwrap_err().why, Why::SubjectDeleted);
    assert_eq!(registry.delete_subject("s", true).unwrap(), [1, 3]);
    assert_eq!((registry.by_id(first.id).unwrap(), registry.by_id(second.id).unwrap()), (None, None));
    let fresh = registry.register("s", &of("b")).unwrap();
    assert_eq!(fresh.id, 3, "an id is never given again");
}

#[test]
fn a_schema_names_others_which_stay_while_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let registry = SchemaRegistry::open(folder.path().to_str().unwrap()).unwrap();
    registry
        .register(
            "user",
            &Draft::avro(r#"{"type":"record","name":"User","namespace":"x","fields":[{"name":"id","type":"long"}]}"#),
        )
        .unwrap();
    let mut order = Draft::avro(record(&field("by", r#""x.User""#)));
    let error = registry.register("order", &order).unwrap_err();
    assert!(error.error.to_string().contains("there is no type 'x.User'"), "{}", error.error);
    let reference = |version| Reference { name: "x.User".into(), subject: "user".into(), version };
    order.references = vec![reference(7)];
    let error = registry.register("order", &order).unwrap_err();
    assert!(error.error.to_string().contains("names version 7 of 'user', which is not there"), "{}", error.error);
    order.references = vec![reference(1)];
    let registered = registry.register("order", &order).unwrap();
    assert_eq!(registry.referenced_by("user", 1).unwrap(), [registered.id]);
    assert_eq!(registry.delete_version("user", 1, false).unwrap_err().why, Why::Referenced);
    let text = registry.text(&registered.draft()).unwrap();
    assert_eq!(text.references[0].0, "x.User");
    // by its text a schema is registered with what it names
    let other = SchemaRegistry::open(folder.path().join("other").to_str().unwrap()).unwrap();
    let copied = other.register_text("order", &text).unwrap();
    assert_eq!(copied.references, [Reference { name: "x.User".into(), subject: "x.User".into(), version: 1 }]);
    registry.delete_subject("order", false).unwrap();
    registry.delete_version("user", 1, false).unwrap();
}

#[test]
fn transitive_levels_look_at_all_versions() {
    let (one, two) = (defaulted("a", r#""int""#, "0"), defaulted("b", r#""int""#, "0"));
    // the field comes back with another type: unlike the version before, the first one breaks
    let versions = [record(&format!("{one},{two}")), record(&one)];
    let worse = record(&format!("{one},{}", defaulted("b", r#""string""#, "\"\"")));
    for (level, is_taken) in [
        (Compatibility::Backward, true),
        (Compatibility::BackwardTransitive, false),
        (Compatibility::FullTransitive, false),
        (Compatibility::Full, true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let registry = SchemaRegistry::open(folder.path().to_str().unwrap()).unwrap();
        registry.set_compatibility(None, level).unwrap();
        versions.iter().for_each(|schema| drop(registry.register("s", &Draft::avro(schema)).unwrap()));
        let found = registry.problems("s", &Draft::avro(&worse)).unwrap();
        assert_eq!(found.is_empty(), is_taken, "{level:?}");
        match registry.register("s", &Draft::avro(&worse)) {
            Ok(_) => assert!(is_taken),
            Err(refused) => assert!(
                refused.error.to_string().contains("compatible with version 1 of subject 's': field 'b'"),
                "{}",
                refused.error
            ),
        }
    }
}

#[test]
fn two_registrars_at_once_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            scope.spawn(move || {
                let registry = SchemaRegistry::open(path).unwrap();
                for at in 0..5 {
                    let schema = record(&defaulted(&format!("f{writer}_{at}"), r#""int""#, "0"));
                    registry.register("s", &Draft::avro(&schema)).unwrap();
                }
            });
        }
    });
    let registry = SchemaRegistry::open(path).unwrap();
    assert_eq!(registry.versions("s").unwrap(), (1..=20).collect::<Vec<_>>());
    for id in 1..=20 {
        assert_eq!(registry.by_id(id).unwrap().map(|found| found.version), Some(id));
    }
}

#[test]
fn wrong_schemas_say_where_and_what() {
    let folder = tempfile::tempdir().unwrap();
    let registry = SchemaRegistry::open(folder.path().to_str().unwrap()).unwrap();
    let deep = (0..40).fold(r#""int""#.to_owned(), |inner, _| format!(r#"{{"type":"array","items":{inner}}}"#));
    let table: &[(&str, String, &str)] = &[
        ("no JSON", "{".into(), "not JSON"),
        ("a slip", record(&field("a", r#""strng""#)), "field 'a': there is no type 'strng'"),
        ("a name", record(&field("a b", r#""int""#)), "'a b' is not a name in avro"),
        ("twice", record(&format!("{0},{0}", field("a", r#""int""#))), "field 'a': declared twice"),
        ("no type", record(r#"{"name":"a"}"#), "field 'a': needs 'type'"),
        ("no items", record(&field("a", r#"{"type":"array"}"#)), "field 'a': needs 'items'"),
        (
            "a branch twice",
            record(&field("a", r#"["int","int"]"#)),
            "field 'a': a union with two branches of the same type",
        ),
        (
            "an enum's default",
            record(&field("a", r#"{"type":"enum","name":"e","symbols":["x"],"default":"y"}"#)),
            "the default 'y' of the enum",
        ),
        ("a union in a union", record(&field("a", r#"[["null","int"]]"#)), "a union directly in a union"),
        ("digits", record(&field("a", r#"{"type":"bytes","logicalType":"decimal","precision":50}"#)), "1 to 38 digits"),
        ("deep", record(&field("a", &deep)), "nested deeper than 32"),
    ];
    for (case, schema, expected) in table {
        let error = registry.register("s", &Draft::avro(schema)).unwrap_err().error;
        assert!(error.chain().contains(expected), "{case}: {}", error.report());
    }
    for subject in ["", "a\nb", &"ä".repeat(99)] {
        let refused = registry.register(subject, &Draft::ddl("s", "a INT").unwrap()).unwrap_err();
        assert!(refused.error.to_string().contains("is not a name for a subject"), "{}", refused.error);
    }
    // a path is a name like any other
    registry.register("../s/x.proto", &Draft::ddl("s", "a INT").unwrap()).unwrap();
    assert_eq!(registry.subjects().unwrap(), ["../s/x.proto"]);
    assert!(SchemaRegistry::open("s3://x/").unwrap_err().to_string().contains("at s3:// cannot be used"));
}

#[test]
fn columns_become_avro_and_come_back() {
    let ddl = "a BOOLEAN NOT NULL, b INT, c BIGINT, d FLOAT, e DOUBLE, f DECIMAL(12,2), g STRING, h BINARY, i DATE, \
               j TIMESTAMP, k TIMESTAMP_NTZ, l array<int>, m map<string,double>, n struct<x:int,y:struct<z:string>>";
    let schema = parse_schema(ddl).unwrap();
    let avro = AvroSchema::parse(&arrow_to_avro(&schema, "events").unwrap()).unwrap();
    assert_eq!(schema_ddl(&avro_to_arrow(&avro).unwrap()), schema_ddl(&schema));
    assert!(ddl_to_avro("`a b` INT", "r").unwrap_err().to_string().contains("column 'a b'"));
    assert!(ddl_to_avro("a map<int,int>", "r").unwrap_err().to_string().contains("a map without text keys"));
    assert!(ddl_to_avro("a INTERVAL DAY TO SECOND", "r").unwrap_err().to_string().contains("which avro has not"));
}

#[test]
fn avro_types_become_columns() {
    let table = [
        (r#"{"type":"enum","name":"e","symbols":["x"]}"#, "STRING NOT NULL"),
        (r#"{"type":"fixed","name":"f","size":4}"#, "BINARY NOT NULL"),
        (
            r#"{"type":"fixed","name":"f","size":4,"logicalType":"decimal","precision":8,"scale":2}"#,
            "DECIMAL(8,2) NOT NULL",
        ),
        (r#"{"type":"string","logicalType":"uuid"}"#, "STRING NOT NULL"),
        (r#"{"type":"long","logicalType":"timestamp-millis"}"#, "TIMESTAMP NOT NULL"),
        (r#"{"type":"long","logicalType":"local-timestamp-millis"}"#, "TIMESTAMP_NTZ NOT NULL"),
        (r#"{"type":"int","logicalType":"time-millis"}"#, "INT NOT NULL"),
        (r#"["string","null"]"#, "STRING"),
        (r#"["null"]"#, "VOID"),
        (r#"["int"]"#, "INT NOT NULL"),
        (r#"{"type":"array","items":["null","long"]}"#, "array<bigint> NOT NULL"),
    ];
    for (avro, expected) in table {
        let parsed = AvroSchema::parse(&record(&field("a", avro))).unwrap();
        assert_eq!(schema_ddl(&avro_to_arrow(&parsed).unwrap()), format!("a {expected}"), "{avro}");
    }
    let refused = [
        (record(&field("a", r#"["int","string"]"#)), "field 'a' is [int, string]; only unions of null and one type"),
        (record(&field("a", r#"["null","r"]"#)), "a record within itself"),
        (r#""int""#.to_owned(), "the avro schema is int, and columns need a record"),
    ];
    for (avro, expected) in refused {
        let error = avro_to_arrow(&AvroSchema::parse(&avro).unwrap()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
