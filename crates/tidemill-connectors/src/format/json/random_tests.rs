//! JSON of all kinds, made at random: round trips, cuts, damage.

use super::tests::{decode, decode_at, encode, schema};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;
use tidemill_core::types::parse_schema;

const EVERYTHING: &str = "b BOOLEAN, i8 TINYINT, i16 SMALLINT, i32 INT, i64 BIGINT, f32 FLOAT, f64 DOUBLE, \
    d DECIMAL(20,4), s STRING, x BINARY, dt DATE, ts TIMESTAMP, tz TIMESTAMP_NTZ, iv INTERVAL DAY TO SECOND, \
    ym INTERVAL YEAR TO MONTH, a ARRAY<STRUCT<p: INT, q: STRING>>, m MAP<STRING, ARRAY<DOUBLE>>, \
    o STRUCT<u: STRUCT<v: BIGINT>, w: TIMESTAMP>";

/// A JSON value for a column of each type of [`EVERYTHING`], in its order, or null.
fn row() -> impl Strategy<Value = String> {
    let text = || "\\PC{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap());
    let time = || "(19|20)[0-9]{2}-0[1-9]-[12][0-8]T[01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?";
    let array = |item: BoxedStrategy<String>| {
        prop::collection::vec(item, 0..4).prop_map(|items| format!("[{}]", items.join(",")))
    };
    let double =
        || any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| format!("{value:e}"));
    let values: Vec<BoxedStrategy<String>> = vec![
        any::<bool>().prop_map(|value| value.to_string()).boxed(),
        any::<i8>().prop_map(|value| value.to_string()).boxed(),
        any::<i16>().prop_map(|value| value.to_string()).boxed(),
        any::<i32>().prop_map(|value| value.to_string()).boxed(),
        any::<i64>().prop_map(|value| value.to_string()).boxed(),
        any::<f32>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| value.to_string()).boxed(),
        double().boxed(),
        "-?[0-9]{1,16}\\.[0-9]{4}".prop_map(|value| format!("\"{value}\"")).boxed(),
        text().boxed(),
        prop::collection::vec(any::<u8>(), 0..9)
            .prop_map(|bytes| {
                format!("\"{}\"", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes))
            })
            .boxed(),
        "(0[0-9]|[12][0-9])[0-9]{2}-(0[1-9]|1[0-2])-[12][0-8]".prop_map(|value| format!("\"{value}\"")).boxed(),
        time().prop_map(|value| format!("\"{value}Z\"")).boxed(),
        time().prop_map(|value| format!("\"{value}\"")).boxed(),
        "-?[0-9]{1,5} [01][0-9]:[0-5][0-9]:[0-5][0-9]".prop_map(|value| format!("\"{value}\"")).boxed(),
        "-?[0-9]{1,4}-[0-9]".prop_map(|value| format!("\"{value}\"")).boxed(),
        array((any::<i32>(), text()).prop_map(|(p, q)| format!("{{\"q\":{q},\"p\":{p}}}")).boxed()).boxed(),
        (text(), array(double().boxed())).prop_map(|(key, value)| format!("{{{key}:{value}}}")).boxed(),
        (any::<i64>(), time()).prop_map(|(v, w)| format!("{{\"u\":{{\"v\":{v}}},\"w\":\"{w}Z\"}}")).boxed(),
    ];
    let names: Vec<String> =
        parse_schema(EVERYTHING).unwrap().fields().iter().map(|field| field.name().clone()).collect();
    let values: Vec<_> = values.into_iter().map(prop::option::of).collect();
    values.prop_map(move |values| {
        let fields =
            names.iter().zip(values).map(|(name, value)| format!("\"{name}\": {}", value.unwrap_or("null".into())));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
    })
}

/// A line: mostly a good row, sometimes not.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => row(),
        1 => (row(), any::<prop::sample::Index>()).prop_map(|(row, at)| {
            let cut = (0..=at.index(row.len())).rev().find(|at| row.is_char_boundary(*at)).unwrap_or(0);
            row[..cut].replace('\n', " ")
        }),
        1 => Just("{\"i32\": \"x\", \"a\": [{\"p\": 1}]}".to_owned()),
        1 => Just(String::new()),
    ]
}

proptest! {
    #[test]
    fn what_is_written_reads_back(rows in prop::collection::vec(row(), 1..5), with_nulls: bool) {
        let first = decode(EVERYTHING, &rows.join("\n"));
        prop_assert_eq!(&first.rejects, &[]);
        let text = encode(&first.rows, &[("ignore_null_fields", if with_nulls { "false" } else { "true" })]);
        let second = decode(EVERYTHING, &text);
        prop_assert_eq!(&second.rejects, &[]);
        prop_assert_eq!(&first.rows, &second.rows, "{}", text);
    }

    #[test]
    fn any_split_at_line_ends_gives_equal_rows(lines in prop::collection::vec(line(), 0..12), cuts in prop::collection::vec(any::<bool>(), 12)) {
        let whole = decode(EVERYTHING, &lines.iter().map(|line| line.clone() + "\n").collect::<String>());
        let (mut batches, mut rejects) = (vec![], vec![]);
        let (mut piece, mut start, mut at) = (String::new(), 0, 0);
        for (line, cut) in lines.iter().zip(&cuts) {
            piece += line;
            piece.push('\n');
            at += line.len() as u64 + 1;
            if *cut || at as usize == lines.iter().map(|line| line.len() + 1).sum::<usize>() {
                let decoded = decode_at(schema(EVERYTHING), &[], std::mem::take(&mut piece), start);
                batches.push(decoded.rows);
                rejects.extend(decoded.rejects);
                start = at;
            }
        }
        let rows = arrow::compute::concat_batches(&schema(EVERYTHING), &batches).unwrap();
        prop_assert_eq!(rows, whole.rows);
        prop_assert_eq!(rejects, whole.rejects);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_never_vanish(bytes in "[{}\\[\\]\",:0-9a-z\\\\\n\\-\u{e9} ]{0,80}") {
        let decoded = decode("a INT, b STRUCT<c: STRING>, d ARRAY<INT>, e MAP<STRING, STRING>", &bytes);
        let lines = bytes.split('\n').filter(|line| !line.trim_matches([' ', '\t', '\r']).is_empty()).count();
        prop_assert_eq!(decoded.rows.num_rows() + decoded.rejects.len(), lines);
    }

    #[test]
    fn a_record_is_malformed_where_serde_json_says_so(
        value in json_value(),
        at: prop::sample::Index,
        with in prop::option::of("[{}\\[\\]\",:0e.\\- ]")
    ) {
        let mut text: Vec<char> = format!("{{\"z\":{value}}}").chars().collect();
        let at = at.index(text.len());
        text.splice(at..=at, with.iter().flat_map(|with| with.chars()));
        let text: String = text.into_iter().collect();
        let theirs = serde_json::from_str::<serde_json::Value>(&text).map_err(|error| error.to_string());
        prop_assume!(!matches!(&theirs, Err(why) if why.contains("out of range")));
        let ours = decode("z STRING", &text);
        prop_assert_eq!(ours.rows.num_rows() == 1, theirs.is_ok_and(|value| value.is_object()), "{}", text);
    }

    #[test]
    fn valid_json_is_never_malformed(value in json_value()) {
        let decoded = decode("a STRING", &format!("{{\"z\":{value},\"a\":{value}}}"));
        prop_assert_eq!(&decoded.rejects, &[]);
        let expected = match &value {
            serde_json::Value::Null => String::new(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        prop_assert_eq!(array_value_to_string(decoded.rows.column(0), 0).unwrap(), expected);
    }
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec(("\\PC{0,8}", inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}
