//! What versions of JSON Schemas and Protobuf schemas keep: the rules as tables.

use std::sync::Arc;
use tidemill_connectors::schema_registry::schemas::{SchemaKind, SchemaText};
use tidemill_connectors::schema_registry::{Compatibility, Draft, Parsed, SchemaRegistry, problems};

fn text(kind: SchemaKind, text: &str) -> SchemaText {
    SchemaText { kind, text: text.to_owned(), references: Vec::new() }
}

fn found(kind: SchemaKind, level: Compatibility, new: &str, old: &str) -> String {
    let parsed = |schema: &str| Parsed::of(&text(kind, schema)).unwrap();
    let found = problems(level, &parsed(new), &parsed(old));
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

const A: &str = r#""a":{"type":"integer"}"#;
const B: &str = r#""b":{"type":"integer"}"#;

/// An object that takes no other properties.
fn closed(properties: &str, rest: &str) -> String {
    format!(r#"{{"type":"object","properties":{{{properties}}},"additionalProperties":false{rest}}}"#)
}

/// One that takes any others.
fn open(properties: &str, rest: &str) -> String {
    format!(r#"{{"type":"object","properties":{{{properties}}}{rest}}}"#)
}

/// One whose others are texts.
fn partly(properties: &str) -> String {
    format!(r#"{{"type":"object","properties":{{{properties}}},"additionalProperties":{{"type":"string"}}}}"#)
}

/// Of each change, the new schema and the old one, and what is said of them; nothing where readers get along.
fn check(table: &[(&str, String, String, &str)]) {
    for (case, new, old, expected) in table {
        let problem = found(SchemaKind::Json, Compatibility::Backward, new, old);
        assert!(if expected.is_empty() { problem.is_empty() } else { problem.contains(expected) }, "{case}: {problem}");
    }
}

const VALUES: &[(&str, &str, &str, &str)] = &[
    ("integer to number", r#"{"type":"number"}"#, r#"{"type":"integer"}"#, ""),
    (
        "number to integer",
        r#"{"type":"integer"}"#,
        r#"{"type":"number"}"#,
        "#/type: data of the version before may hold number, which cannot be read as integer",
    ),
    ("to several types", r#"{"type":["string","null"]}"#, r#"{"type":"string"}"#, ""),
    ("to fewer types", r#"{"type":"string"}"#, r#"{"type":["string","null"]}"#, "may hold null"),
    ("a longer text", r#"{"type":"string","maxLength":9}"#, r#"{"type":"string","maxLength":5}"#, ""),
    ("a shorter text", r#"{"type":"string","maxLength":5}"#, r#"{"type":"string","maxLength":9}"#, "#/maxLength"),
    ("a limit gone", r#"{"type":"integer"}"#, r#"{"type":"integer","maximum":5}"#, ""),
    (
        "a limit more",
        r#"{"type":"integer","maximum":5}"#,
        r#"{"type":"integer"}"#,
        "#/maximum: data of the version before has no such limit",
    ),
    (
        "an exclusive limit",
        r#"{"type":"integer","exclusiveMaximum":5}"#,
        r#"{"type":"integer","maximum":5}"#,
        "#/maximum",
    ),
    ("an inclusive limit", r#"{"type":"integer","maximum":5}"#, r#"{"type":"integer","exclusiveMaximum":5}"#, ""),
    ("a lower minimum", r#"{"type":"integer","minimum":1}"#, r#"{"type":"integer","minimum":2}"#, ""),
    ("multiples", r#"{"type":"integer","multipleOf":2}"#, r#"{"type":"integer","multipleOf":4}"#, ""),
    ("other multiples", r#"{"type":"integer","multipleOf":4}"#, r#"{"type":"integer","multipleOf":2}"#, "#/multipleOf"),
    ("another pattern", r#"{"type":"string","pattern":"^a"}"#, r#"{"type":"string","pattern":"^b"}"#, "#/pattern"),
    ("more values", r#"{"enum":["x","y"]}"#, r#"{"enum":["x"]}"#, ""),
    ("fewer values", r#"{"enum":["x"]}"#, r#"{"enum":["x","y"]}"#, "#/enum: data of the version before may hold \"y\""),
    ("items", r#"{"type":"array","items":{"type":"number"}}"#, r#"{"type":"array","items":{"type":"integer"}}"#, ""),
    (
        "other items",
        r#"{"type":"array","items":{"type":"integer"}}"#,
        r#"{"type":"array","items":{"type":"string"}}"#,
        "#/items/type",
    ),
    ("unique items", r#"{"type":"array","uniqueItems":true}"#, r#"{"type":"array"}"#, "#/uniqueItems"),
    ("a branch more", r#"{"oneOf":[{"type":"string"},{"type":"integer"}]}"#, r#"{"oneOf":[{"type":"string"}]}"#, ""),
    (
        "a branch less",
        r#"{"oneOf":[{"type":"string"},{"type":"null"}]}"#,
        r#"{"oneOf":[{"type":"string"},{"type":"integer"}]}"#,
        "#/oneOf: data of the version before may hold what branch 1 takes",
    ),
    ("into a choice", r#"{"anyOf":[{"type":"string"},{"type":"integer"}]}"#, r#"{"type":"integer"}"#, ""),
    ("out of a choice", r#"{"type":["string","integer"]}"#, r#"{"anyOf":[{"type":"string"},{"type":"integer"}]}"#, ""),
    (
        "a part less",
        r#"{"allOf":[{"maxLength":3}],"type":"string"}"#,
        r#"{"allOf":[{"maxLength":3},{"minLength":1}],"type":"string"}"#,
        "",
    ),
    (
        "a part more",
        r#"{"allOf":[{"maxLength":3},{"minLength":1}],"type":"string"}"#,
        r#"{"allOf":[{"maxLength":3}],"type":"string"}"#,
        "#/allOf/1/minLength",
    ),
    (
        "behind a $ref",
        r##"{"$ref":"#/definitions/x","definitions":{"x":{"type":"integer"}}}"##,
        r##"{"$ref":"#/definitions/x","definitions":{"x":{"type":"string"}}}"##,
        "may hold string",
    ),
    (
        "what is not compared",
        r#"{"if":{"type":"string"},"then":{"minLength":1}}"#,
        r#"{"if":{"type":"string"},"then":{"minLength":2}}"#,
        "'then' is not compared by this registry and must stay as it is",
    ),
];

#[test]
fn json_values_backward() {
    let table: Vec<_> =
        VALUES.iter().map(|(case, new, old, said)| (*case, new.to_string(), old.to_string(), *said)).collect();
    check(&table);
}

#[test]
fn json_properties_backward() {
    let (a, both) = (A, &format!("{A},{B}"));
    check(&[
        ("the same", open(a, ""), open(a, ""), ""),
        ("a property into a closed model", closed(both, ""), closed(a, ""), ""),
        (
            "a property into an open model",
            open(both, ""),
            open(a, ""),
            "#/properties/b: data of the version before may hold anything under this name",
        ),
        ("an open property into an open model", open(&format!(r#"{a},"b":{{}}"#), ""), open(a, ""), ""),
        (
            "a required one",
            closed(both, r#","required":["b"]"#),
            closed(a, ""),
            "#/required/b: data of the version before may lack it",
        ),
        (
            "a required one with default",
            closed(&format!(r#"{a},"b":{{"type":"integer","default":1}}"#), r#","required":["b"]"#),
            closed(a, ""),
            "",
        ),
        ("required no more", closed(a, ""), closed(a, r#","required":["a"]"#), ""),
        ("required now", closed(a, r#","required":["a"]"#), closed(a, ""), "#/required/a"),
        ("one less of an open model", open(a, ""), open(both, ""), ""),
        (
            "one less of a closed model",
            closed(a, ""),
            closed(both, ""),
            "#/properties/b: data of the version before may hold it",
        ),
        ("a false one less", closed(a, ""), closed(&format!(r#"{a},"b":false"#), ""), ""),
    ]);
}

#[test]
fn json_objects_of_every_kind_backward() {
    let (a, both) = (A, &format!("{A},{B}"));
    check(&[
        ("one less, covered", partly(a), partly(&format!(r#"{a},"b":{{"type":"string"}}"#)), ""),
        (
            "one less, not covered",
            partly(a),
            partly(both),
            "#/properties/b/type: data of the version before may hold integer",
        ),
        ("one more, covered", partly(&format!(r#"{a},"b":{{"type":"string"}}"#)), partly(a), ""),
        (
            "one more, not covered",
            partly(both),
            partly(a),
            "#/properties/b/type: data of the version before may hold string",
        ),
        ("opened", open(a, ""), closed(a, ""), ""),
        (
            "closed",
            closed(a, ""),
            open(a, ""),
            "#/additionalProperties: data of the version before may hold other properties",
        ),
        ("within itself", open(r##""next":{"$ref":"#"}"##, ""), open(r##""next":{"$ref":"#"}"##, ""), ""),
        (
            "what is not compared and stays",
            open(a, r#","dependencies":{"a":["b"]}"#),
            open(a, r#","dependencies":{"a":["b"]}"#),
            "",
        ),
        ("anything", "true".to_owned(), open(a, ""), ""),
        ("nothing", "false".to_owned(), open(a, ""), "may hold something where nothing is taken"),
    ]);
}

fn message(fields: &str) -> String {
    format!(
        "syntax = \"proto3\";\npackage x;\nmessage M {{\n{fields}\n}}\nmessage N {{ int32 n = 1; }}\nenum E {{ A = 0; }}\n"
    )
}

const FIELDS: &[(&str, &str, &str, &str)] = &[
    ("the same", "int32 a = 1;", "int32 a = 1;", ""),
    ("a field more", "int32 a = 1; string b = 2;", "int32 a = 1;", ""),
    ("a field less", "int32 a = 1;", "int32 a = 1; string b = 2;", ""),
    ("another name", "int32 z = 1;", "int32 a = 1;", ""),
    ("within a group", "uint64 a = 1;", "int32 a = 1;", ""),
    ("an enum", "E a = 1;", "int32 a = 1;", ""),
    ("bytes", "bytes a = 1;", "string a = 1;", ""),
    (
        "zigzag",
        "sint32 a = 1;",
        "int32 a = 1;",
        "message M, field 1: 'a': data of the version before holds int32, which cannot be read as sint32",
    ),
    ("to a text", "string a = 1;", "int32 a = 1;", "holds int32, which cannot be read as string"),
    ("fixed", "sfixed64 a = 1;", "fixed64 a = 1;", ""),
    ("fixed to float", "float a = 1;", "fixed32 a = 1;", "which cannot be read as float"),
    ("a message", "N a = 1;", "int32 a = 1;", "which cannot be read as .x.N"),
    ("texts", "repeated string a = 1;", "string a = 1;", ""),
    (
        "numbers",
        "repeated int32 a = 1;",
        "int32 a = 1;",
        "data of the version before is not repeated, here it is repeated",
    ),
    ("a map's values", "map<string, int64> a = 1;", "map<string, int32> a = 1;", ""),
    (
        "other values of a map",
        "map<string, string> a = 1;",
        "map<string, int32> a = 1;",
        "holds int32, which cannot be read as string",
    ),
    (
        "out of a oneof",
        "oneof o { int32 a = 1; } int32 b = 2;",
        "oneof o { int32 a = 1; int32 b = 2; }",
        "message M, field 2: is gone from oneof 'o'",
    ),
    (
        "into a oneof",
        "oneof o { int32 a = 1; int32 b = 2; }",
        "oneof o { int32 a = 1; } int32 b = 2;",
        "message M, field 2: moved into oneof 'o'",
    ),
    ("one into a new oneof", "oneof o { int32 a = 1; }", "int32 a = 1;", ""),
    (
        "two into a new oneof",
        "oneof o { int32 a = 1; int32 b = 2; }",
        "int32 a = 1; int32 b = 2;",
        "field 1: moved into oneof 'o'",
    ),
    ("a oneof more", "int32 a = 1; oneof o { int32 b = 2; int32 c = 3; }", "int32 a = 1;", ""),
    ("optional", "optional int32 a = 1;", "int32 a = 1;", ""),
    (
        "a reserved number",
        "int32 a = 1; int32 b = 2;",
        "int32 a = 1; reserved 2, 5 to 9;",
        "message M, field 2: 'b' uses a number or name that the version before has reserved",
    ),
    ("a reserved name", "int32 a = 1; int32 b = 3;", "int32 a = 1; reserved \"b\";", "field 3: 'b' uses"),
    ("removed and reserved", "int32 a = 1; reserved 2; reserved \"b\";", "int32 a = 1; int32 b = 2;", ""),
];

#[test]
fn protobuf_backward() {
    for (case, new, old, expected) in FIELDS {
        for level in [Compatibility::Backward, Compatibility::Full] {
            let problem = found(SchemaKind::Protobuf, level, &message(new), &message(old));
            let fits = if expected.is_empty() { problem.is_empty() } else { problem.contains(expected) };
            // what may not go one way may not go the other either, but for oneofs
            assert!(fits || (level == Compatibility::Full && case.contains("oneof")), "{case}: {problem}");
        }
    }
    let whole = |new: &str, old: &str| found(SchemaKind::Protobuf, Compatibility::Backward, new, old);
    let base = message("int32 a = 1;");
    assert!(whole(&base.replace("package x", "package y"), &base).contains("is of package 'x', not 'y'"));
    assert_eq!(
        whole(&base.replace("message N { int32 n = 1; }\n", ""), &base),
        "message N: data of the version before may hold it, and it is gone"
    );
    let required =
        |word: &str| format!("syntax = \"proto2\"; message M {{ optional int32 a = 1; {word} int32 b = 2; }}");
    assert!(whole(&required("required"), &required("optional")).contains("field 2: 'b': is required on one side only"));
    let nested = "syntax = \"proto3\"; message M { message I { int32 a = 1; } I i = 1; }";
    assert!(whole(&nested.replace("int32 a", "string a"), nested).starts_with("message M.I, field 1: 'a'"));
}

#[test]
fn what_is_imported_counts_too() {
    let user = |of: &str| {
        Arc::new(text(
            SchemaKind::Protobuf,
            &format!("syntax = \"proto3\"; package u; message User {{ {of} id = 1; }}"),
        ))
    };
    let order = |of: &str| {
        SchemaText {
        kind: SchemaKind::Protobuf,
        text: "syntax = \"proto3\"; import \"user.proto\"; import \"google/protobuf/timestamp.proto\"; message Order { u.User by = 1; google.protobuf.Timestamp at = 2; }".into(),
        references: vec![("user.proto".into(), user(of))],
    }
    };
    let (old, same, new) = (
        Parsed::of(&order("int32")).unwrap(),
        Parsed::of(&order("int64")).unwrap(),
        Parsed::of(&order("string")).unwrap(),
    );
    assert!(problems(Compatibility::Full, &same, &old).is_empty());
    let found = problems(Compatibility::Backward, &new, &old);
    assert_eq!(found[0].path, "message u.User, field 1");
    let alone = SchemaText { references: Vec::new(), ..order("int32") };
    let error = Parsed::of(&alone).unwrap_err();
    assert!(
        error.report().contains("user.proto") && error.report().contains("must be one of the schema's references"),
        "{}",
        error.report()
    );
}

#[test]
fn wrong_schemas_say_where() {
    let table = [
        (SchemaKind::Json, "{", "not JSON"),
        (SchemaKind::Json, r#"{"type":"strng"}"#, "#: \"strng\" is no type"),
        (SchemaKind::Json, r#"{"properties":{"a":{"type":3}}}"#, "#/properties/a: 3 is no type"),
        (SchemaKind::Json, r##"{"$ref":"#/definitions/x"}"##, "leads nowhere"),
        (SchemaKind::Json, r#"{"$ref":"http://elsewhere/x.json"}"#, "nothing is fetched"),
        (SchemaKind::Json, "3", "3 is no schema"),
        (SchemaKind::Protobuf, "syntax = \"proto3\"; message M { strng a = 1; }", "strng"),
        (SchemaKind::Protobuf, "syntax = \"proto3\"; message M { int32 a = 1; int32 b = 1; }", "1"),
        (SchemaKind::Protobuf, "nothing of the kind", "the schema is not valid"),
        (SchemaKind::Protobuf, "bm90aGluZw==", "holds no file descriptor"),
    ];
    for (kind, schema, expected) in table {
        let error = Parsed::of(&text(kind, schema)).unwrap_err();
        assert!(error.chain().contains(expected), "{schema}: {}", error.chain());
    }
}

#[test]
fn the_same_schema_written_otherwise_is_the_same_version() {
    let folder = tempfile::tempdir().unwrap();
    let registry = SchemaRegistry::open(folder.path().to_str().unwrap()).unwrap();
    let version = |draft: Draft| registry.register("s", &draft).unwrap().version;
    let first = message("int32 a = 1; // a number");
    assert_eq!(version(Draft::new(SchemaKind::Protobuf, first.clone())), 1);
    assert_eq!(version(Draft::new(SchemaKind::Protobuf, first.replace(" // a number", "\n"))), 1);
    assert_eq!(version(Draft::new(SchemaKind::Protobuf, message("int32 a = 1; int32 b = 2;"))), 2);
    let other = registry.register("s", &Draft::avro(r#""int""#)).unwrap_err();
    assert!(other.error.to_string().contains("is Protobuf, which cannot be read as Avro"), "{}", other.error);
    // the same text in another subject has the same id
    assert_eq!(registry.register("t", &Draft::new(SchemaKind::Protobuf, first)).unwrap().id, 1);
}
