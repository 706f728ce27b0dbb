//! The columns an expression may name, and how a name finds one of them.

use super::refuse;
use crate::pipeline::plan::Attribute;
use crate::pipeline::text::{Spot, Text};
use tidemill_core::Result;

/// A column in scope.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The table or alias before the dot.
    pub qualifier: Option<String>,
    /// The column.
    pub attribute: Attribute,
    /// True for a column that a name finds but `*` does not: the second key of a `USING` join.
    pub hidden: bool,
}

/// The columns in scope, in order.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    entries: Vec<Entry>,
    /// Parameters of the lambdas around, the innermost last.
    variables: Vec<Attribute>,
    case_sensitive: bool,
}

impl Scope {
    /// The columns of one relation under one qualifier.
    pub fn new(attributes: &[Attribute], qualifier: Option<&str>, case_sensitive: bool) -> Self {
        let entry = |attribute: &Attribute| Entry {
            qualifier: qualifier.map(str::to_owned),
            attribute: attribute.clone(),
            hidden: false,
        };
        Scope { entries: attributes.iter().map(entry).collect(), variables: vec![], case_sensitive }
    }

    /// The columns of two relations side by side.
    #[must_use]
    pub fn beside(mut self, right: Scope) -> Self {
        self.entries.extend(right.entries);
        self
    }

    /// With one column more.
    pub fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// The columns.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Parameters of the lambdas around, the innermost last.
    pub fn variables(&self) -> &[Attribute] {
        &self.variables
    }

    /// With the parameters of one more lambda.
    pub fn push_variables(&mut self, parameters: &[Attribute]) {
        self.variables.extend_from_slice(parameters);
    }

    /// The columns, to change them.
    pub fn entries_mut(&mut self) -> &mut Vec<Entry> {
        &mut self.entries
    }

    /// Every name, each once.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.entries.iter().map(|entry| entry.attribute.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// True when two names are the same under the session's rule.
    pub fn same(&self, left: &str, right: &str) -> bool {
        if self.case_sensitive {
            left == right
        } else {
            left.eq_ignore_ascii_case(right) || left.to_lowercase() == right.to_lowercase()
        }
    }

    /// The column `name` means, and the parts of the name that are left over: fields of a struct.
    /// Tries `table.column` before `column.field`, as Spark does.
    ///
    /// # Errors
    /// No such column, or several.
    pub fn find<'a>(&self, name: &'a [String], text: &Text, at: Spot) -> Result<(Attribute, &'a [String])> {
        let variable = name
            .first()
            .and_then(|first| self.variables.iter().rev().find(|variable| self.same(&variable.name, first)).cloned());
        if let Some(variable) = variable {
            return Ok((variable, &name[1..]));
        }
        for qualifier_parts in [1, 0] {
            if name.len() <= qualifier_parts {
                continue;
            }
            let found: Vec<&Entry> = self
                .entries
                .iter()
                .filter(|entry| self.same(&entry.attribute.name, &name[qualifier_parts]))
                .filter(|entry| {
                    qualifier_parts == 0
                        || entry.qualifier.as_ref().is_some_and(|qualifier| self.same(qualifier, &name[0]))
                })
                .collect();
            let visible: Vec<&&Entry> = found.iter().filter(|entry| !entry.hidden).collect();
            let candidates = if qualifier_parts == 0 && !visible.is_empty() {
                visible.into_iter().copied().collect()
            } else {
                found
            };
            let same_attribute = candidates.windows(2).all(|pair| pair[0].attribute.id == pair[1].attribute.id);
            match candidates.as_slice() {
                [] => {}
                [first, ..] if same_attribute => return Ok((first.attribute.clone(), &name[qualifier_parts + 1..])),
                several => {
                    let names: Vec<String> = several
                        .iter()
                        .map(|entry| match &entry.qualifier {
                            Some(qualifier) => format!("`{qualifier}`.`{}`", entry.attribute.name),
                            None => format!("`{}`", entry.attribute.name),
                        })
                        .collect();
                    return Err(refuse::ambiguous_column(&name.join("."), &names, text, at));
                }
            }
        }
        Err(refuse::unknown_column(&name.join("."), self, text, at))
    }
}
