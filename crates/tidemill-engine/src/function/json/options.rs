//! The options of the JSON functions, by Spark's names.
//! Source: Spark documentation, "JSON Files", data source options.

use super::lexer::Rules;
use crate::function::{CallContext, constant};
use crate::pipeline::analysis::typed::Typed;
use crate::time::pattern::Pattern;
use chrono_tz::Tz;
use std::collections::BTreeMap;
use tidemill_core::{Error, Result};

/// Options as given, typed.
#[derive(Clone)]
pub struct Options {
    /// As they were written; two calls with the same are the same.
    pub shown: String,
    pub rules: Rules,
    pub fail_fast: bool,
    pub mode: String,
    pub corrupt_record: String,
    pub zone: Tz,
    pub timestamp: Option<Pattern>,
    pub timestamp_ntz: Option<Pattern>,
    pub date: Option<Pattern>,
    pub ignore_nulls: bool,
    pub pretty: bool,
    pub primitives_as_text: bool,
    pub prefers_decimal: bool,
    pub drop_null_fields: bool,
    pub infer_timestamp: bool,
}

impl Options {
    /// The options in `given`, or none.
    ///
    /// # Errors
    /// No map of text, a pattern or value that is not valid.
    pub fn of(given: Option<&Typed>, context: &CallContext<'_>) -> Result<Options> {
        let map = given.map(|given| constant::options(given, context)).transpose()?.unwrap_or_default();
        Options::read(&map, context.session.settings.time_zone())
            .map_err(|error| error.at_if_unplaced(context.text.place(context.at)))
    }

    fn read(map: &BTreeMap<String, String>, session: Tz) -> Result<Options> {
        let flag = |name: &str, otherwise: bool| match map.get(name) {
            None => Ok(otherwise),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(Error::invalid(format!("the option {name} is true or false, not '{text}'"))),
        };
        let pattern = |name: &str| map.get(name).map(|text| Pattern::compile(text)).transpose();
        let zone = match map.get("timezone") {
            None => session,
            Some(name) => name.parse().map_err(|_| {
                Error::invalid(format!("'{name}' is no time zone"))
                    .class("INVALID_TIMEZONE")
                    .help("write a name such as Europe/Paris or UTC")
            })?,
        };
        let mode = map.get("mode").map_or("PERMISSIVE".to_owned(), |mode| mode.to_uppercase());
        Ok(Options {
            shown: format!("{map:?} {session}"),
            rules: Rules {
                comments: flag("allowcomments", false)?,
                unquoted_names: flag("allowunquotedfieldnames", false)?,
                single_quotes: flag("allowsinglequotes", true)?,
                leading_zeros: flag("allownumericleadingzeros", false)?,
                any_escape: flag("allowbackslashescapinganycharacter", false)?,
                control_letters: flag("allowunquotedcontrolchars", false)?,
                not_numbers: flag("allownonnumericnumbers", true)?,
            },
            fail_fast: mode == "FAILFAST",
            mode,
            corrupt_record: map.get("columnnameofcorruptrecord").map_or("_corrupt_record", String::as_str).to_owned(),
            zone,
            timestamp: pattern("timestampformat")?,
            timestamp_ntz: pattern("timestampntzformat")?,
            date: pattern("dateformat")?,
            ignore_nulls: flag("ignorenullfields", true)?,
            pretty: flag("pretty", false)?,
            primitives_as_text: flag("primitivesasstring", false)?,
            prefers_decimal: flag("prefersdecimal", false)?,
            drop_null_fields: flag("dropfieldifallnull", false)?,
            infer_timestamp: flag("infertimestamp", false)?,
        })
    }
}
