//! Compares rows with expected rows: as multisets unless their order matters, doubles exactly unless
//! a tolerance is given; -0.0 equals 0.0.

use super::format::Compare;
use serde_json::Value;

/// What differs; `None` when nothing does. `columns` are the names of the columns.
pub fn difference(
    actual: &[Vec<Value>],
    expected: &[Vec<Value>],
    ordered: bool,
    how: &Compare,
    columns: &[String],
) -> Option<String> {
    let skipped: Vec<usize> = columns
        .iter()
        .enumerate()
        .filter(|(_, name)| how.unstable_columns.contains(name))
        .map(|(position, _)| position)
        .collect();
    let same = |left: &Vec<Value>, right: &Vec<Value>| {
        left.len() == right.len()
            && left.iter().zip(right).enumerate().all(|(position, (left, right))| {
                skipped.contains(&position) || values_equal(left, right, how.double_rel_tol)
            })
    };
    if ordered {
        let equal =
            actual.len() == expected.len() && actual.iter().zip(expected).all(|(left, right)| same(left, right));
        return (!equal).then(|| format!("expected in this order:\n{}\nbut got:\n{}", lines(expected), lines(actual)));
    }
    let mut missing: Vec<&Vec<Value>> = expected.iter().collect();
    let mut unexpected = Vec::new();
    for row in actual {
        match missing.iter().position(|wanted| same(row, wanted)) {
            Some(found) => drop(missing.swap_remove(found)),
            None => unexpected.push(row),
        }
    }
    if missing.is_empty() && unexpected.is_empty() {
        return None;
    }
    let mut text = String::new();
    for row in missing {
        text += &format!("\n  - {}", Value::Array(row.clone()));
    }
    for row in unexpected {
        text += &format!("\n  + {}", Value::Array(row.clone()));
    }
    Some(format!("rows missing (-) and unexpected (+):{text}"))
}

fn lines(rows: &[Vec<Value>]) -> String {
    rows.iter().map(|row| format!("  {}", Value::Array(row.clone()))).collect::<Vec<_>>().join("\n")
}

fn values_equal(left: &Value, right: &Value, tolerance: f64) -> bool {
    match (left, right) {
        (Value::Number(one), Value::Number(other)) => match (one.as_i64(), other.as_i64()) {
            (Some(one), Some(other)) => one == other,
            _ => {
                let (one, other) = (one.as_f64().unwrap_or(f64::NAN), other.as_f64().unwrap_or(f64::NAN));
                one == other || (one - other).abs() <= tolerance * one.abs().max(other.abs())
            }
        },
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| values_equal(one, other, tolerance))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, one)| other.get(name).is_some_and(|other| values_equal(one, other, tolerance)))
        }
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(value: Value) -> Vec<Vec<Value>> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn rows_are_multisets() {
        let how = Compare::default();
        let twice = rows(json!([[1], [1], [2]]));
        assert!(difference(&rows(json!([[2], [1], [1]])), &twice, false, &how, &[]).is_none());
        assert!(difference(&rows(json!([[2], [1]])), &twice, false, &how, &[]).unwrap().contains("- [1]"));
        assert!(difference(&rows(json!([[2], [1], [1]])), &twice, true, &how, &[]).is_some());
    }

    #[test]
    fn doubles_are_exact_unless_a_tolerance_is_given() {
        let (one, other) = (rows(json!([[0.1]])), rows(json!([[0.100_000_000_000_1]])));
        assert!(difference(&one, &other, false, &Compare::default(), &[]).is_some());
        let how = Compare { double_rel_tol: 1e-9, unstable_columns: vec![] };
        assert!(difference(&one, &other, false, &how, &[]).is_none());
        assert!(difference(&rows(json!([[-0.0]])), &rows(json!([[0.0]])), false, &Compare::default(), &[]).is_none());
    }
}
