//! `window(..)` in lists and groups, and the window table functions.

use super::expression::{Resolver, strip_places};
use super::scope::Entry;
use super::session::SESSION_WINDOW;
use super::typed::Typed;
use super::{Analyzer, Bound, refuse};
use crate::operator::window::WindowKind;
use crate::pipeline::expression::{Call, Expression};
use crate::pipeline::plan::{Attribute, Node, Plan, WindowPart};
use crate::pipeline::relation::WindowFunction;
use crate::pipeline::text::Spot;
use crate::time::interval::Interval;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use tidemill_core::{Error, Result, types};

/// A window call and the column it becomes.
pub(super) type Windows = Vec<(Call, Attribute)>;

/// What rows are windowed by.
pub(super) struct WindowTime {
    /// The instant, as a timestamp with zone.
    expr: Expr,
    /// The delay of the watermark on it.
    pub(super) watermark: Option<i64>,
    /// The type of its windows.
    pub(super) window_type: DataType,
}

impl WindowTime {
    /// The instant, of the type that the bounds of its windows have.
    pub(super) fn instant(&self) -> Typed {
        let of = match &self.window_type {
            DataType::Struct(fields) => fields[0].data_type().clone(),
            other => other.clone(),
        };
        let typed = Typed::new(self.expr.clone(), types::timestamp(), "");
        if of == typed.data_type { typed } else { typed.widened(&of) }
    }
}

impl Analyzer<'_> {
    /// Puts a window operator below for the window call in these expressions.
    pub(super) fn add_windows(&self, input: Bound, expressions: &[&Expression]) -> Result<(Bound, Windows)> {
        let mut calls: Vec<(Call, Spot)> = Vec::new();
        expressions.iter().for_each(|expression| collect(expression, &mut calls));
        match calls.as_slice() {
            [] => Ok((input, vec![])),
            [(call, at)] if call.name != SESSION_WINDOW => {
                let (input, inner) = self.inner_window(input, call)?;
                let built = self.window_of(&input, &inner, call, *at);
                let (time, kind) = built.map_err(|error| as_spark_names_it(error, expressions))?;
                let attribute =
                    Attribute { watermark: time.watermark, ..self.attribute("window", time.window_type.clone()) };
                let bound = self.windowed(input, time.expr, kind, attribute.clone());
                Ok((bound, vec![(call.clone(), attribute)]))
            }
            [(call, at)] => {
                let (input, inner) = self.inner_window(input, call)?;
                let built = self.session_window(input, &inner, call, *at);
                let (bound, attribute) = built.map_err(|error| as_spark_names_it(error, expressions))?;
                Ok((bound, vec![(call.clone(), attribute)]))
            }
            [_, (_, at), ..] => Err(Error::invalid("only one time window may stand in a query")
                .class("_LEGACY_ERROR_TEMP_1039")
                .at_if_unplaced(self.text.place(*at))
                .help("group by the second window in a query over the first")),
        }
    }

    fn windowed(&self, input: Bound, time: Expr, kind: WindowKind, attribute: Attribute) -> Bound {
        let Bound { plan, mut scope, .. } = input;
        let (mut attributes, streaming) = (plan.attributes.clone(), plan.streaming);
        attributes.push(attribute.clone());
        scope.push(Entry { qualifier: None, attribute, hidden: true });
        self.bound(Plan { node: Node::Window { input: plan, time, kind }, attributes, streaming }, scope)
    }

    /// The window in the time of a window: it goes below, and nothing but that time names it.
    fn inner_window(&self, input: Bound, call: &Call) -> Result<(Bound, Windows)> {
        let Some(time) = call.arguments.first() else { return Ok((input, vec![])) };
        let (mut bound, windows) = self.add_windows(input, &[time])?;
        let made = |entry: &Entry| windows.iter().any(|(_, attribute)| attribute.id == entry.attribute.id);
        bound.scope.entries_mut().retain(|entry| !made(entry));
        Ok((bound, windows))
    }

    /// The time and the kind of `window(time, length [, slide [, offset]])` and of
    /// `cumulate_window(time, length, step [, offset])`.
    fn window_of(&self, input: &Bound, windows: &Windows, call: &Call, at: Spot) -> Result<(WindowTime, WindowKind)> {
        let grows = call.name == "cumulate_window";
        let (time, sizes) = match call.arguments.as_slice() {
            [time, sizes @ ..] if (1 + usize::from(grows)..=3).contains(&sizes.len()) => (time, sizes),
            other => {
                let least = 2 + usize::from(grows);
                return Err(Error::invalid(format!("{} takes {least} to 4 arguments, not {}", call.name, other.len()))
                    .class("WRONG_NUM_ARGS.WITHOUT_SUGGESTION")
                    .at_if_unplaced(self.text.place(at)));
            }
        };
        let typed = Resolver { windows, ..self.resolver(&input.scope) }.resolve(time)?;
        let mut micros = Vec::new();
        for size in sizes {
            micros.push(match size {
                // as in Spark, a number is microseconds
                Expression::Literal { data_type, text: Some(text), .. }
                    if data_type == "int" || data_type == "bigint" =>
                {
                    text.parse().map_err(|_| self.no_size(size.spot()))?
                }
                Expression::Literal { text: Some(text), .. } => self.size(text, size.spot())?,
                other => return Err(self.no_size(other.spot())),
            });
        }
        let slide = micros.get(1).copied().unwrap_or(micros[0]);
        let offset = micros.get(2).copied().unwrap_or(0);
        let kind = match grows {
            true => self.growing_kind(micros[0], slide, offset, at)?,
            false => self.window_kind(micros[0], slide, offset, at)?,
        };
        Ok((self.window_time(typed, input, at)?, kind))
    }

    fn no_size(&self, at: Spot) -> Error {
        Error::invalid("a size of a window is a literal such as '5 minutes'")
            .class("_LEGACY_ERROR_TEMP_1207")
            .at_if_unplaced(self.text.place(at))
    }

    fn size(&self, text: &str, at: Spot) -> Result<i64> {
        let interval = Interval::parse(text).ok_or_else(|| {
            Error::invalid(format!("'{text}' is not a time such as '5 minutes'"))
                .class("CANNOT_PARSE_INTERVAL")
                .at_if_unplaced(self.text.place(at))
        })?;
        interval.fixed_micros().ok_or_else(|| {
            Error::invalid(format!("a window of '{text}' has no fixed length: months are of different lengths"))
                .class("_LEGACY_ERROR_TEMP_3231")
                .at_if_unplaced(self.text.place(at))
                .help("write days, such as '30 days'")
        })
    }

    fn window_kind(&self, length: i64, slide: i64, offset: i64, at: Spot) -> Result<WindowKind> {
        let wrong = |class: &str, message: String| {
            Err(refuse::type_mismatch(class, message, self.text, at)
                .help("sizes: 0 < slide <= length, offset shorter than the slide"))
        };
        if length <= 0 {
            return wrong(
                "VALUE_OUT_OF_RANGE",
                format!("the length of a window is more than 0, not {length} microseconds"),
            );
        }
        if slide <= 0 {
            return wrong(
                "VALUE_OUT_OF_RANGE",
                format!("the slide of a window is more than 0, not {slide} microseconds"),
            );
        }
        if slide > length {
            return wrong("PARAMETER_CONSTRAINT_VIOLATION", "the slide of a window is longer than the window".into());
        }
        if offset.abs() >= slide {
            return wrong(
                "PARAMETER_CONSTRAINT_VIOLATION",
                "the start offset of a window is not shorter than its slide".into(),
            );
        }
        Ok(WindowKind::new(length, slide, offset))
    }

    fn growing_kind(&self, length: i64, step: i64, offset: i64, at: Spot) -> Result<WindowKind> {
        let wrong = |class: &str, message: &str| {
            Err(refuse::type_mismatch(class, message, self.text, at)
                .help("sizes: 0 < step <= size, the size a whole number of steps, the offset shorter than the size"))
        };
        if length <= 0 || step <= 0 {
            return wrong("VALUE_OUT_OF_RANGE", "the size and the step of a growing window are more than 0");
        }
        if length % step != 0 {
            return wrong(
                "PARAMETER_CONSTRAINT_VIOLATION",
                "the size of a growing window is not a whole number of steps",
            );
        }
        if offset.abs() >= length {
            return wrong("PARAMETER_CONSTRAINT_VIOLATION", "the start offset is not shorter than the window");
        }
        Ok(WindowKind::growing(length, step, offset))
    }

    /// The instant a row is windowed by: a timestamp, or the time of a window.
    pub(super) fn window_time(&self, typed: Typed, input: &Bound, at: Spot) -> Result<WindowTime> {
        let watermark = match &typed.expr {
            Expr::Column(column) => crate::pipeline::plan::attribute_id(&column.name)
                .and_then(|id| input.plan.attribute(id))
                .and_then(|attribute| attribute.watermark),
            Expr::ScalarFunction(call) if call.func.name() == "window_time" => match call.args.first() {
                Some(Expr::Column(column)) => crate::pipeline::plan::attribute_id(&column.name)
                    .and_then(|id| input.plan.attribute(id))
                    .and_then(|attribute| attribute.watermark),
                _ => None,
            },
            _ => None,
        };
        let context = crate::function::CallContext { name: "window", session: self.session, text: self.text, at };
        let typed = match typed.data_type {
            ref window if types::is_window(window) => crate::function::build("window_time", vec![typed], &context)?,
            _ => typed,
        };
        let zoned = WindowTime { expr: typed.expr.clone(), watermark, window_type: types::window() };
        match typed.data_type {
            DataType::Timestamp(_, Some(_)) => Ok(zoned),
            DataType::Timestamp(_, None) => Ok(WindowTime {
                expr: typed.widened(&types::timestamp()).expr,
                watermark,
                window_type: types::window_over(types::timestamp_ntz()),
            }),
            DataType::Date32 | DataType::Utf8 => {
                let expr = crate::function::implicit_cast(typed, &types::timestamp(), &context)?.expr;
                Ok(WindowTime { expr, watermark: None, ..zoned })
            }
            ref other => Err(context.wrong_type("a TIMESTAMP", other)),
        }
    }

    /// `TUMBLE(table, column, size [, offset])` and its kin.
    pub(super) fn window_table(
        &self,
        input: Bound,
        function: WindowFunction,
        column: &str,
        sizes: &[String],
        at: Spot,
    ) -> Result<Bound> {
        let name = Expression::Column { name: column.split('.').map(str::to_owned).collect(), at };
        let typed = self.resolver(&input.scope).resolve(&name)?;
        let time = self.window_time(typed, &input, at)?;
        let visible: Vec<Entry> = input.scope.entries().iter().filter(|entry| !entry.hidden).cloned().collect();
        let (bound, window) = match (function, sizes) {
            (WindowFunction::Session, [gap]) => {
                let gap = Typed::literal(ScalarValue::Utf8(Some(gap.clone())), gap.clone());
                self.with_session(input, time, gap, "window", at)?
            }
            _ => {
                let kind = self.table_kind(function, sizes, at)?;
                let window =
                    Attribute { watermark: time.watermark, ..self.attribute("window", time.window_type.clone()) };
                (self.windowed(input, time.expr, kind, window.clone()), window)
            }
        };
        let context = crate::function::CallContext { name: "window", session: self.session, text: self.text, at };
        let of = Typed::new(window.reference(), window.data_type.clone(), "window");
        let part = |name: &str| crate::function::nested::field(of.clone(), name, &bound.scope, &context);
        let mut list: Vec<Typed> = visible.iter().map(super::relation::typed_entry).collect();
        let first_new = list.len();
        list.push(part("start")?.named("window_start"));
        list.push(part("end")?.named("window_end"));
        list.push(crate::function::build("window_time", vec![of.clone()], &context)?.named("window_time"));
        list.push(of);
        let mut projected = self.project(bound, list)?;
        self.mark_parts(&mut projected, first_new)?;
        let qualifiers = visible.into_iter().map(|entry| entry.qualifier);
        for (entry, qualifier) in projected.scope.entries_mut().iter_mut().zip(qualifiers) {
            entry.qualifier = qualifier;
        }
        if let Some(last) = projected.scope.entries_mut().last_mut() {
            last.hidden = true;
        }
        Ok(projected)
    }

    fn table_kind(&self, function: WindowFunction, sizes: &[String], at: Spot) -> Result<WindowKind> {
        let sizes = sizes.iter().map(|size| self.size(size, at)).collect::<Result<Vec<_>>>()?;
        match (function, sizes.as_slice()) {
            (WindowFunction::Tumble, [length]) => self.window_kind(*length, *length, 0, at),
            (WindowFunction::Tumble, [length, offset]) => self.window_kind(*length, *length, *offset, at),
            (WindowFunction::Hop, [slide, length]) => self.window_kind(*length, *slide, 0, at),
            (WindowFunction::Hop, [slide, length, offset]) => self.window_kind(*length, *slide, *offset, at),
            (WindowFunction::Cumulate, [step, length]) => self.growing_kind(*length, *step, 0, at),
            (WindowFunction::Cumulate, [step, length, offset]) => self.growing_kind(*length, *step, *offset, at),
            (function, other) => {
                let form = match function {
                    WindowFunction::Tumble => "TUMBLE(table, column, size [, offset])",
                    WindowFunction::Hop => "HOP(table, column, slide, size [, offset])",
                    WindowFunction::Cumulate => "CUMULATE(table, column, step, size [, offset])",
                    WindowFunction::Session => "SESSION(table, column, gap)",
                };
                Err(Error::invalid(format!("{} sizes are given; the form is {form}", other.len()))
                    .class("WRONG_NUM_ARGS.WITHOUT_SUGGESTION")
                    .at_if_unplaced(self.text.place(at)))
            }
        }
    }

    /// Notes that the new columns are the start and end of the window column beside them.
    fn mark_parts(&self, projected: &mut Bound, first_new: usize) -> Result<()> {
        let mut attributes = projected.plan.attributes.clone();
        let window =
            attributes.last().map(|attribute| attribute.id).ok_or_else(|| Error::bug("a window is missing"))?;
        attributes[first_new].window_part = Some((window, WindowPart::Start));
        attributes[first_new + 1].window_part = Some((window, WindowPart::End));
        let Node::Project { input, list } = &projected.plan.node else {
            return Err(Error::bug("a projection is missing"));
        };
        let node = Node::Project { input: input.clone(), list: list.clone() };
        for (entry, attribute) in projected.scope.entries_mut().iter_mut().zip(&attributes) {
            entry.attribute = attribute.clone();
        }
        projected.plan = std::sync::Arc::new(Plan { node, attributes, streaming: projected.plan.streaming });
        Ok(())
    }
}

/// In SQL that also names the column `window`, Spark says that it cannot find that column: a window
/// that is not valid makes none. The class is Spark's, the words stay ours.
fn as_spark_names_it(error: Error, expressions: &[&Expression]) -> Error {
    let names_window = |expression: &&Expression| matches!(expression, Expression::Column { name, at } if !at.is_nowhere() && ["window", "session_window"].iter().any(|window| name[0].eq_ignore_ascii_case(window)));
    if expressions.iter().any(names_window)
        && error.error_class().is_some_and(|class| class.starts_with("DATATYPE_MISMATCH"))
    {
        error.class("UNRESOLVED_COLUMN.WITH_SUGGESTION")
    } else {
        error
    }
}

/// Every window call of an expression, each once.
fn collect(expression: &Expression, calls: &mut Vec<(Call, Spot)>) {
    if let Expression::Call(call) = expression
        && crate::function::is_window(&call.name.to_lowercase())
    {
        let plain = strip_places(call);
        if !calls.iter().any(|(known, _)| *known == plain) {
            calls.push((plain, call.at));
        }
        return;
    }
    expression.children().into_iter().for_each(|child| collect(child, calls));
}
