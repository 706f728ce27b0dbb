//! Scalar functions by their Spark names. A function is one entry in the file of its family; the
//! families are listed once, in [`FAMILIES`].
//!
//! What Spark has and this table has not is refused by name, never guessed.

pub mod arithmetic;
pub mod array;
mod avro;
pub mod cast;
pub mod conditional;
pub mod constant;
mod csv;
pub mod datetime;
pub mod datum;
mod encoding;
pub mod gap;
mod generator;
mod hash;
pub mod json;
mod known;
pub mod lambda;
pub mod library;
mod like;
pub mod lists;
pub mod map;
pub mod math;
pub mod native;
pub mod nested;
mod numeric;
mod only;
pub mod regex;
mod regexp;
pub mod row;
pub mod sketch;
mod string;
pub mod text;
mod update_fields;
mod uuid;

use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::analysis::{Session, coerce, refuse};
use crate::pipeline::text::{Spot, Text};
use arrow::datatypes::DataType;
use tidemill_core::nearest::nearest;
use tidemill_core::{Error, Result, types};

/// What a function needs to know of its call.
pub struct CallContext<'a> {
    /// The name it was called by, lower case.
    pub name: &'a str,
    /// The session.
    pub session: &'a Session,
    /// The user's text.
    pub text: &'a Text,
    /// Where the call stands.
    pub at: Spot,
}

impl CallContext<'_> {
    /// An argument of a wrong type.
    pub fn wrong_type(&self, expected: &str, found: &DataType) -> Error {
        refuse::type_mismatch(
            "UNEXPECTED_INPUT_TYPE",
            format!("{} takes {expected}, not {}", self.name, types::name(found).to_uppercase()),
            self.text,
            self.at,
        )
    }

    /// What Spark accepts here and this version does not.
    pub fn not_yet(&self, what: &str) -> Error {
        refuse::not_yet(what, self.text, self.at)
    }
}

/// A scalar function.
pub struct Entry {
    /// Its names, lower case.
    pub names: &'static [&'static str],
    /// Fewest and most arguments.
    pub arguments: (usize, usize),
    /// Types it.
    pub build: fn(&CallContext<'_>, Vec<Typed>) -> Result<Typed>,
}

/// For `arguments`: any number.
pub const MANY: usize = usize::MAX;

/// Every family of functions.
const FAMILIES: &[&[Entry]] = &[
    array::combine::ENTRIES,
    array::order::ENTRIES,
    array::search::ENTRIES,
    array::sequence::ENTRIES,
    array::shape::ENTRIES,
    map::ENTRIES,
    string::ENTRIES,
    json::ENTRIES,
    csv::ENTRIES,
    like::ENTRIES,
    regexp::ENTRIES,
    text::edit::ENTRIES,
    text::letters::ENTRIES,
    text::mask::ENTRIES,
    text::search::ENTRIES,
    hash::ENTRIES,
    encoding::charset::ENTRIES,
    encoding::numbers::ENTRIES,
    encoding::parse_url::ENTRIES,
    encoding::transfer::ENTRIES,
    numeric::format::ENTRIES,
    numeric::grouped::ENTRIES,
    numeric::printf::ENTRIES,
    uuid::ENTRIES,
    avro::ENTRIES,
    math::ENTRIES,
    math::bits::ENTRIES,
    math::doubles::ENTRIES,
    math::doubles::UNARY,
    math::random::ENTRIES,
    math::rounding::ENTRIES,
    math::tries::ENTRIES,
    conditional::ENTRIES,
    generator::ENTRIES,
    datetime::ENTRIES,
    datetime::dates::ENTRIES,
    datetime::make::ENTRIES,
    datetime::parts::ENTRIES,
    datetime::text::ENTRIES,
    datetime::truncate::ENTRIES,
    datetime::units::ENTRIES,
    datetime::unix::ENTRIES,
    datetime::zones::ENTRIES,
    nested::ENTRIES,
    sketch::ENTRIES,
    only::ENTRIES,
    update_fields::ENTRIES,
];

/// Types that are also functions: `int(x)` is `CAST(x AS int)`.
const CASTS: &[&str] = &[
    "boolean",
    "tinyint",
    "smallint",
    "int",
    "bigint",
    "float",
    "double",
    "decimal",
    "date",
    "timestamp",
    "string",
    "binary",
];

/// Checks that there is a function called `name`.
///
/// # Errors
/// There is none, or it is one of Spark's that is not there yet.
pub fn expect_known(name: &str, context: &CallContext<'_>) -> Result<()> {
    let ours = FAMILIES.iter().flat_map(|family| family.iter()).any(|entry| entry.names.contains(&name));
    let extra = context.session.functions.iter().any(|extra| extra.signature().name == name);
    if ours || extra || CASTS.contains(&name) { Ok(()) } else { Err(unknown(name, context)) }
}

/// Types the call of `name`.
///
/// # Errors
/// An unknown function (with the nearest), a wrong number or type of arguments, a function of Spark
/// that is not there yet.
pub fn build(name: &str, arguments: Vec<Typed>, context: &CallContext<'_>) -> Result<Typed> {
    let shown = arguments.iter().map(Typed::shown).collect::<Vec<_>>().join(", ");
    let extra = context.session.functions.iter().find(|extra| extra.signature().name == name);
    // a function of the user's program takes the place of one of ours, as in Spark
    if let Some(users) = extra.filter(|extra| extra.takes_anything()) {
        let shown = format!("{}({shown})", users.shown());
        return library::external(users, arguments, context).map(|typed| typed.named(shown));
    }
    if let Some(entry) = FAMILIES.iter().flat_map(|family| family.iter()).find(|entry| entry.names.contains(&name)) {
        let (least, most) = entry.arguments;
        if arguments.len() < least || arguments.len() > most {
            return Err(wrong_count(name, least, most, arguments.len(), context));
        }
        let typed = (entry.build)(context, arguments)?;
        return Ok(if typed.name.is_empty() { typed.named(format!("{name}({shown})")) } else { typed });
    }
    if CASTS.contains(&name) {
        let [argument] =
            <[Typed; 1]>::try_from(arguments).map_err(|given| wrong_count(name, 1, 1, given.len(), context))?;
        let shown = argument.name.clone();
        return Ok(cast_to(argument, &types::parse_type(name)?, false, context)?.named(shown));
    }
    if let Some(extra) = extra {
        return library::external(extra, arguments, context).map(|typed| typed.named(format!("{name}({shown})")));
    }
    Err(unknown(name, context))
}

/// The function of text that has the name of one of arrays: `concat`, `reverse`.
fn of_text(name: &str, context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let mut named = FAMILIES.iter().flat_map(|family| family.iter()).filter(|entry| entry.names.contains(&name));
    match named.next_back() {
        Some(entry) => (entry.build)(context, arguments),
        None => Err(unknown(name, context)),
    }
}

fn wrong_count(name: &str, least: usize, most: usize, given: usize, context: &CallContext<'_>) -> Error {
    let expected = match (least, most) {
        (least, most) if least == most => format!("{least}"),
        (least, MANY) => format!("{least} or more"),
        (least, most) => format!("{least} to {most}"),
    };
    Error::invalid(format!("{name} takes {expected} arguments, not {given}"))
        .class("WRONG_NUM_ARGS.WITHOUT_SUGGESTION")
        .at_if_unplaced(context.text.place(context.at))
}

fn unknown(name: &str, context: &CallContext<'_>) -> Error {
    if known::SPARK.contains(&name) {
        return context.not_yet(&format!("the function {name}"));
    }
    let ours = FAMILIES.iter().flat_map(|family| family.iter()).flat_map(|entry| entry.names.iter().copied());
    let aggregates = crate::operator::aggregate::names();
    let ours = ours.chain(lambda::names());
    let extra = context.session.functions.iter().filter(|extra| !extra.takes_anything());
    let extra = extra.map(|extra| &*extra.signature().name);
    let error = Error::invalid(format!("there is no function called `{name}`"))
        .class("UNRESOLVED_ROUTINE")
        .at_if_unplaced(context.text.place(context.at));
    let mut names: Vec<&str> = ours.chain(aggregates).collect();
    names.extend(extra);
    match nearest(name, names) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error,
    }
}

/// True for the functions that assign windows; the planner turns them into an operator.
pub fn is_window(name: &str) -> bool {
    matches!(name, "window" | "session_window" | "cumulate_window")
}

/// True for the functions that make rows; the planner turns them into an operator.
pub fn is_generator(name: &str) -> bool {
    matches!(
        name,
        "explode"
            | "explode_outer"
            | "posexplode"
            | "posexplode_outer"
            | "inline"
            | "inline_outer"
            | "json_tuple"
            | "stack"
    )
}

/// An explicit cast.
///
/// # Errors
/// Types between which there is no cast.
pub fn cast_to(typed: Typed, to: &DataType, try_cast: bool, context: &CallContext<'_>) -> Result<Typed> {
    let mode = match (try_cast, context.session.settings.ansi()) {
        (true, _) => cast::Mode::Try,
        (false, true) => cast::Mode::Ansi,
        (false, false) => cast::Mode::Legacy,
    };
    cast::cast(typed, to, mode, context.session.settings.time_zone()).map_err(|(from, to)| {
        let has_interval = [&from, &to].iter().any(|of| matches!(of, DataType::Duration(_) | DataType::Interval(_)));
        let (from, to) = (types::name(&from).to_uppercase(), types::name(&to).to_uppercase());
        if has_interval {
            return context.not_yet(&format!("a cast from {from} to {to}"));
        }
        refuse::type_mismatch(
            "CAST_WITHOUT_SUGGESTION",
            format!("there is no cast from {from} to {to}"),
            context.text,
            context.at,
        )
    })
}

/// A cast the user did not write: the name of the expression stays.
pub fn implicit_cast(typed: Typed, to: &DataType, context: &CallContext<'_>) -> Result<Typed> {
    let name = typed.name.clone();
    cast_to(typed, to, false, context).map(|typed| typed.named(name))
}

/// True for types that differ in the names of struct fields at most.
pub fn same_type(left: &DataType, right: &DataType) -> bool {
    match (left, right) {
        (DataType::List(left), DataType::List(right)) => same_type(left.data_type(), right.data_type()),
        (DataType::Map(left, _), DataType::Map(right, _)) => same_type(left.data_type(), right.data_type()),
        (DataType::Struct(left), DataType::Struct(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| same_type(left.data_type(), right.data_type()))
        }
        _ => left == right,
    }
}

/// An argument that must be text; numbers, dates and the like are printed.
pub fn as_text(typed: Typed, context: &CallContext<'_>) -> Result<Typed> {
    match typed.data_type {
        DataType::Utf8 => Ok(typed),
        DataType::List(_) | DataType::Struct(_) | DataType::Map(..) => {
            Err(context.wrong_type("STRING", &typed.data_type))
        }
        _ => implicit_cast(typed, &DataType::Utf8, context),
    }
}

/// An argument that must be an int.
pub fn as_int(typed: Typed, context: &CallContext<'_>) -> Result<Typed> {
    match &typed.data_type {
        DataType::Int32 => Ok(typed),
        of if coerce::is_integer(of) || matches!(of, DataType::Null | DataType::Utf8) => {
            implicit_cast(typed, &DataType::Int32, context)
        }
        other => Err(context.wrong_type("INT", other)),
    }
}

/// An argument that must be a double.
pub fn as_double(typed: Typed, context: &CallContext<'_>) -> Result<Typed> {
    match &typed.data_type {
        DataType::Float64 => Ok(typed),
        of if coerce::is_numeric(of) || matches!(of, DataType::Null | DataType::Utf8) => {
            implicit_cast(typed, &DataType::Float64, context)
        }
        other => Err(context.wrong_type("DOUBLE", other)),
    }
}

/// An argument that must be a timestamp.
pub fn as_timestamp(typed: Typed, context: &CallContext<'_>) -> Result<Typed> {
    match &typed.data_type {
        DataType::Timestamp(_, Some(_)) => Ok(typed),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Utf8 | DataType::Null => {
            implicit_cast(typed, &types::timestamp(), context)
        }
        other => Err(context.wrong_type("TIMESTAMP", other)),
    }
}

/// A constant text argument.
pub fn constant_text(typed: &Typed, what: &str, context: &CallContext<'_>) -> Result<String> {
    typed.as_text().map(str::to_owned).ok_or_else(|| {
        Error::invalid(format!("{} of {} must be a text literal", what, context.name))
            .class("DATATYPE_MISMATCH.NON_FOLDABLE_INPUT")
            .at_if_unplaced(context.text.place(context.at))
    })
}
