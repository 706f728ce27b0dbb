//! The decision as a table: what was, what is, what becomes of it.

use super::*;

fn call(function: &str, of: &str) -> Call {
    Call { function: function.into(), of: of.into() }
}

/// An operator of a table, by keys, with functions.
fn operator(output: &str, keys: &[&str], calls: &[(&str, &str)]) -> Operator {
    let calls: Vec<Call> = calls.iter().map(|(function, of)| call(function, of)).collect();
    let functions: Vec<&str> = calls.iter().map(|call| call.function.as_str()).collect();
    let frame = format!("aggregate by {} keys: ", keys.len());
    Operator {
        part: 0,
        step: 0,
        numbered: "append-aggregate-0".into(),
        layout: format!("{frame}{}", functions.join(", ")),
        frame,
        identity: Identity {
            kind: "aggregate".into(),
            outputs: vec![output.into()],
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            computes: format!("{keys:?} {calls:?}"),
            calls,
        },
    }
}

fn known(operators: &[(&str, &Operator)]) -> KnownOperators {
    let each = operators.iter().map(|(id, operator)| {
        ((*id).to_owned(), Known { layout: operator.layout.clone(), identity: Some(operator.identity.clone()) })
    });
    each.collect()
}

/// Name, whose state, fate, loss.
fn decided(was: &KnownOperators, now: &[Operator], facts: &Facts) -> Vec<(String, Option<String>, Fate, bool)> {
    let verdicts = compare(was, now, facts).unwrap().into_iter();
    verdicts.map(|verdict| (verdict.id, verdict.was, verdict.fate, verdict.loses)).collect()
}

fn row(id: &str, was: Option<&str>, fate: Fate, loses: bool) -> (String, Option<String>, Fate, bool) {
    (id.to_owned(), was.map(str::to_owned), fate, loses)
}

#[test]
fn an_operator_put_before_another_takes_nothing_from_it() {
    let words = operator("counts", &["word"], &[("count", "")]);
    let users = operator("counts", &["user"], &[("count", "")]);
    let was = known(&[("counts/aggregate", &words)]);
    assert_eq!(
        decided(&was, &[users, words], &Facts::default()),
        [
            row("counts/aggregate-2", None, Fate::New, false),
            row("counts/aggregate", Some("counts/aggregate"), Fate::Kept, false)
        ]
    );
}

#[test]
fn other_keys_of_the_same_type_are_another_state() {
    let was = known(&[("counts/aggregate", &operator("counts", &["word"], &[("count", "")]))]);
    let now = [operator("counts", &["user"], &[("count", "")])];
    let rebuilt = row("counts/aggregate-2", Some("counts/aggregate"), Fate::Rebuilt, true);
    assert_eq!(decided(&was, &now, &Facts::default()), [rebuilt]);
    let moved = vec![("counts/aggregate".to_owned(), "counts/aggregate".to_owned())];
    let kept = row("counts/aggregate", Some("counts/aggregate"), Fate::Kept, false);
    assert_eq!(decided(&was, &now, &Facts { moved, ..Facts::default() }), [kept], "the user says it is the same");
}

#[test]
fn a_function_may_come_and_go() {
    let one = operator("counts", &["word"], &[("sum", "n")]);
    let two = operator("counts", &["word"], &[("max", "n"), ("sum", "n")]);
    let id = "counts/aggregate";
    let added = decided(&known(&[(id, &one)]), std::slice::from_ref(&two), &Facts::default());
    assert_eq!(added, [row(id, Some(id), Fate::Migrated, false)]);
    let gone = decided(&known(&[(id, &two)]), std::slice::from_ref(&one), &Facts::default());
    assert_eq!(gone, [row(id, Some(id), Fate::Migrated, true)]);
    let stored = Facts { store: Some("rocksdb".into()), ..Facts::default() };
    assert_eq!(
        decided(&known(&[(id, &one)]), &[two], &stored),
        [row("counts/aggregate-2", Some(id), Fate::Rebuilt, true)]
    );
}

#[test]
fn what_is_gone_is_lost_and_its_name_stays_unused() {
    let words = operator("counts", &["word"], &[("count", "")]);
    let was = known(&[("counts/aggregate", &words)]);
    assert_eq!(
        decided(&was, &[], &Facts::default()),
        [row("counts/aggregate", Some("counts/aggregate"), Fate::Dropped, true)]
    );
    let facts = Facts { retired: BTreeSet::from(["counts/aggregate".to_owned()]), ..Facts::default() };
    assert_eq!(decided(&KnownOperators::new(), &[words], &facts), [row("counts/aggregate-2", None, Fate::New, false)]);
}

#[test]
fn a_renamed_table_keeps_the_state_of_what_it_shows() {
    let was = known(&[("counts/aggregate", &operator("counts", &["word"], &[("count", "")]))]);
    let now = [operator("tally", &["word"], &[("count", "")])];
    assert_eq!(
        decided(&was, &now, &Facts::default()),
        [row("counts/aggregate", Some("counts/aggregate"), Fate::Kept, false)]
    );
}

#[test]
fn checkpoints_of_the_first_versions_are_read_by_number_and_layout() {
    let now = operator("counts", &["word"], &[("count", "")]);
    let was = Known { layout: now.layout.clone(), identity: None };
    let was = KnownOperators::from([("append-aggregate-0".to_owned(), was)]);
    assert_eq!(
        decided(&was, &[now], &Facts::default()),
        [row("append-aggregate-0", Some("append-aggregate-0"), Fate::Kept, false)]
    );
}

#[test]
fn a_hint_that_fits_nothing_is_refused() {
    let words = operator("counts", &["word"], &[("count", "")]);
    let moved = vec![("counts/aggregate".to_owned(), "nobody/aggregate".to_owned())];
    let refused = compare(&known(&[("counts/aggregate", &words)]), &[words], &Facts { moved, ..Facts::default() });
    assert!(refused.unwrap_err().report().contains("its operators are counts/aggregate"));
}
