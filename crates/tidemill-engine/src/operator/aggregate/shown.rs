//! Names of the columns aggregate calls become, as Spark gives them: `percentile(v, 0.5, 1)`,
//! `listagg(s, ,) WITHIN GROUP (ORDER BY s ASC NULLS FIRST)`.

use super::Direction;
use super::user::CALL;
use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::expression::Call;
use datafusion::common::ScalarValue;

/// The name of a call; `keys` are what `WITHIN GROUP` orders by.
pub fn name(call: &Call, name: &str, star: bool, arguments: &[Typed], keys: &[(Typed, Direction)]) -> String {
    let mut list: Vec<&str> = arguments.iter().map(|argument| argument.name.as_str()).collect();
    if name == CALL && arguments.len() >= 2 {
        return format!("{}({})", arguments[1].as_text().unwrap_or(name), list[2..].join(", "));
    }
    let shown = match name {
        "array_agg" => "collect_list",
        // a rewritten call forgets by which name it was called
        "string_agg" if !keys.is_empty() => "listagg",
        "first_value" if call.ignore_nulls.is_some() => "first",
        "last_value" if call.ignore_nulls.is_some() => "last",
        other => other,
    };
    match shown {
        // the second argument says IGNORE NULLS, or how exact the result is
        "first" | "last" | "first_value" | "last_value" | "any_value" | "approx_count_distinct" => list.truncate(1),
        "percentile" if list.len() == 2 => list.push("1"),
        "percentile_approx" | "approx_percentile" if list.len() == 2 => list.push("10000"),
        "listagg" | "string_agg" if list.len() == 1 => list.push("NULL"),
        "approx_top_k" => {
            let missing = &["5", "10000"][list.len().saturating_sub(1).min(2)..];
            list.extend(missing);
        }
        "mode" if list.len() == 2 => {
            return match arguments[1].as_literal() {
                Some(ScalarValue::Boolean(Some(true))) => format!("mode() WITHIN GROUP (ORDER BY {} DESC)", list[0]),
                _ => format!("mode({})", list[0]),
            };
        }
        _ => {}
    }
    let list = if star && !call.distinct { "1".to_owned() } else { list.join(", ") };
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    let nulls = match call.ignore_nulls {
        Some(false) if matches!(shown, "collect_list" | "collect_set") => " RESPECT NULLS",
        _ => "",
    };
    let call = format!("{shown}({distinct}{list}){nulls}");
    if keys.is_empty() {
        return call;
    }
    let keys: Vec<String> = keys.iter().map(|(key, direction)| sort_key(shown, &key.name, *direction)).collect();
    format!("{call} WITHIN GROUP (ORDER BY {})", keys.join(", "))
}

fn sort_key(function: &str, key: &str, direction: Direction) -> String {
    let way = |descending| if descending { " DESC" } else { "" };
    match function {
        "percentile_cont" | "percentile_disc" => format!("{key}{}", way(direction.descending)),
        // the smallest of the most frequent is the last in descending order
        "mode" => format!("{key}{}", way(!direction.descending)),
        _ => {
            let nulls = if direction.nulls_first { "FIRST" } else { "LAST" };
            format!("{key} {} NULLS {nulls}", if direction.descending { "DESC" } else { "ASC" })
        }
    }
}
