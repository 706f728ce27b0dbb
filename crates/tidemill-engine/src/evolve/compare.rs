//! The decision which state of a checkpoint is whose in the query as it is now. Pure: facts in, verdicts out.

use super::identity::{Call, Identity, Operator, unused};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use tidemill_core::{Error, Result};

/// What becomes of the state of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It goes on as it is.
    Kept,
    /// It goes on in another form.
    Migrated,
    /// There is none yet: the operator is new.
    New,
    /// It does not fit: the operator starts with none.
    Rebuilt,
    /// The operator is gone.
    Dropped,
}

impl Fate {
    /// The word people see.
    pub fn word(self) -> &'static str {
        match self {
            Fate::Kept => "kept",
            Fate::Migrated => "migrated",
            Fate::New => "new",
            Fate::Rebuilt => "rebuilt",
            Fate::Dropped => "dropped",
        }
    }
}

/// What becomes of one operator.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Its name in the checkpoint from now on; of one that is gone, the name it had.
    pub id: String,
    /// Whose state it has or had, when the checkpoint knows one.
    pub was: Option<String>,
    /// Its place among the operators as they are now; `None` for one that is gone.
    pub now: Option<usize>,
    /// What becomes of its state.
    pub fate: Fate,
    /// True when state is lost.
    pub loses: bool,
    /// Why, for people; empty when there is nothing to say.
    pub why: String,
}

/// What a checkpoint knows of an operator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The layout of its state.
    pub layout: String,
    /// What it computed; `None` in checkpoints of the first versions.
    pub identity: Option<Identity>,
}

/// The operators a checkpoint has, by name.
pub type KnownOperators = BTreeMap<String, Known>;

/// What else counts.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Names that state was kept under before and that stay unused.
    pub retired: BTreeSet<String>,
    /// Hints of the user: state of the first belongs to the operator that is now called the second.
    pub moved: Vec<(String, String)>,
    /// The name of the store that has the state; `None` for files.
    pub store: Option<String>,
}

/// Says for every operator, as it was and as it is, what becomes of its state.
///
/// # Errors
/// A hint that names an operator that is not there.
pub fn compare(known: &KnownOperators, now: &[Operator], facts: &Facts) -> Result<Vec<Verdict>> {
    let names = default_names(now);
    let hinted = hinted(known, &names, &facts.moved)?;
    let pairs = pairs(known, now, &names, &hinted);
    let mut taken: BTreeSet<String> = known.keys().chain(&facts.retired).cloned().collect();
    let mut verdicts = Vec::with_capacity(now.len());
    for (place, operator) in now.iter().enumerate() {
        let was = pairs[place].clone();
        let state = was.as_ref().map(|id| judge(&known[id], operator, hinted.contains_key(&place), facts));
        let (fate, loses, why) = state.unwrap_or((Fate::New, false, String::new()));
        let id = match &was {
            Some(id) if fate != Fate::Rebuilt => id.clone(),
            _ => unused(&names[place], |name| taken.contains(name)),
        };
        taken.insert(id.clone());
        verdicts.push(Verdict { id, was, now: Some(place), fate, loses, why });
    }
    let found: BTreeSet<&String> = pairs.iter().flatten().collect();
    for id in known.keys().filter(|id| !found.contains(id)) {
        let why = "no operator of the pipeline has this state any more".to_owned();
        verdicts.push(Verdict {
            id: id.clone(),
            was: Some(id.clone()),
            now: None,
            fate: Fate::Dropped,
            loses: true,
            why,
        });
    }
    Ok(verdicts)
}

/// What each operator is called when nothing is known of it.
fn default_names(now: &[Operator]) -> Vec<String> {
    let mut names: Vec<String> = vec![];
    for operator in now {
        let output = operator.identity.outputs.first().map_or("query", String::as_str);
        let name = format!("{output}/{}", operator.identity.kind);
        names.push(unused(&name, |name| names.iter().any(|known| known == name)));
    }
    names
}

/// The hints: whose state an operator, by place, is to have.
fn hinted(known: &KnownOperators, names: &[String], moved: &[(String, String)]) -> Result<BTreeMap<usize, String>> {
    let mut hinted = BTreeMap::new();
    for (from, to) in moved {
        if !known.contains_key(from) {
            // said once, a hint may stay in the file
            continue;
        }
        let Some(place) = names.iter().position(|name| name == to) else {
            return Err(Error::invalid(format!("state_moved: the pipeline has no stateful operator '{to}'"))
                .help(format!("its operators are {}", names.join(", "))));
        };
        hinted.insert(place, from.clone());
    }
    Ok(hinted)
}

/// Whose state each operator may have: by hint, else by what it computes, else by its name.
fn pairs(
    known: &KnownOperators,
    now: &[Operator],
    names: &[String],
    hinted: &BTreeMap<usize, String>,
) -> Vec<Option<String>> {
    let mut pairs: Vec<Option<String>> = vec![None; now.len()];
    let mut free: BTreeSet<&String> = known.keys().collect();
    for (place, id) in hinted {
        if let Some(id) = free.take(id) {
            pairs[*place] = Some(id.clone());
        }
    }
    type Same<'a> = &'a dyn Fn(&str, &Known, usize) -> bool;
    let with = |known: &Known, test: &dyn Fn(&Identity) -> bool| known.identity.as_ref().is_some_and(test);
    let whole: Same<'_> = &|_, known, place| {
        known.layout == now[place].layout && with(known, &|identity| *identity == now[place].identity)
    };
    let computes: Same<'_> = &|_, known, place| {
        known.layout == now[place].layout
            && with(known, &|identity| {
                Identity { outputs: now[place].identity.outputs.clone(), ..identity.clone() } == now[place].identity
            })
    };
    let called: Same<'_> =
        &|id, known, place| id == names[place] && with(known, &|identity| identity.kind == now[place].identity.kind);
    let alike: Same<'_> = &|_, known, place| {
        let new = &now[place].identity;
        with(known, &|identity| {
            identity.kind == new.kind
                && identity.keys == new.keys
                && identity.outputs.iter().any(|output| new.outputs.contains(output))
        })
    };
    let numbered: Same<'_> =
        &|id, known, place| known.identity.is_none() && id == now[place].numbered && known.layout == now[place].layout;
    let laid_out: Same<'_> = &|_, known, place| known.identity.is_none() && known.layout == now[place].layout;
    let by_number: Same<'_> = &|id, known, place| known.identity.is_none() && id == now[place].numbered;
    for same in [whole, computes, alike, called, numbered, laid_out, by_number] {
        for (place, pair) in pairs.iter_mut().enumerate().filter(|(_, pair)| pair.is_none()) {
            let found = free.iter().find(|id| same(id, &known[**id], place)).copied();
            *pair = found.and_then(|id| free.take(id)).cloned();
        }
    }
    pairs
}

/// What becomes of state that may be an operator's.
fn judge(known: &Known, now: &Operator, is_hinted: bool, facts: &Facts) -> (Fate, bool, String) {
    let rebuilt = |why: String| (Fate::Rebuilt, true, why);
    let Some(was) = &known.identity else {
        return match known.layout == now.layout {
            true => (Fate::Kept, false, String::new()),
            false => rebuilt(format!("it was '{}' and is now '{}'", known.layout, now.layout)),
        };
    };
    if !is_hinted && was.keys != now.identity.keys {
        return rebuilt(format!(
            "it was by [{}] and is now by [{}]",
            was.keys.join(", "),
            now.identity.keys.join(", ")
        ));
    }
    if known.layout == now.layout && (was.calls == now.identity.calls || is_hinted) {
        let same = was.computes == now.identity.computes;
        return (Fate::Kept, false, if same { String::new() } else { "what it reads has changed".to_owned() });
    }
    let (added, gone) = differences(&was.calls, &now.identity.calls);
    let frame = |layout: &str, calls: &[Call]| {
        let functions: Vec<&str> = calls.iter().map(|call| call.function.as_str()).collect();
        layout.strip_suffix(&functions.join(", ")).map(str::to_owned)
    };
    let is_aggregate = now.identity.kind == "aggregate" && was.kind == "aggregate";
    if !is_aggregate || frame(&known.layout, &was.calls).as_ref() != Some(&now.frame) {
        return rebuilt(match known.layout == now.layout {
            true => format!("it kept {} and now keeps {}", listed(&gone), listed(&added)),
            false => format!("it was '{}' and is now '{}'", known.layout, now.layout),
        });
    }
    if let Some(store) = &facts.store {
        return rebuilt(format!("its functions have changed, and state in {store} keeps its form"));
    }
    let mut parts = vec![];
    if !added.is_empty() {
        parts.push(format!("{} added: counts from here on", listed(&added)));
    }
    if !gone.is_empty() {
        parts.push(format!("{} let go", listed(&gone)));
    }
    (Fate::Migrated, !gone.is_empty(), parts.join("; "))
}

/// What is new and what is gone.
fn differences(was: &[Call], now: &[Call]) -> (Vec<Call>, Vec<Call>) {
    let without = |all: &[Call], others: &[Call]| {
        let mut left = others.to_vec();
        let mut rest = vec![];
        for call in all {
            match left.iter().position(|other| other == call) {
                Some(place) => drop(left.swap_remove(place)),
                None => rest.push(call.clone()),
            }
        }
        rest
    };
    (without(now, was), without(was, now))
}

fn listed(calls: &[Call]) -> String {
    match calls {
        [] => "the same in another order".to_owned(),
        calls => calls.iter().map(Call::to_string).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests;
