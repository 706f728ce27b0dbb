//! `session_window(time, gap)`: what a row opens becomes a column, and a grouping by that column merges.

use super::typed::Typed;
use super::windows::{WindowTime, Windows};
use super::{Analyzer, Bound};
use crate::function::{CallContext, gap};
use crate::pipeline::analysis::expression::Resolver;
use crate::pipeline::analysis::scope::Entry;
use crate::pipeline::expression::Call;
use crate::pipeline::plan::{Attribute, Node, Plan};
use crate::pipeline::text::Spot;
use tidemill_core::{Error, Result};

/// The name of the column, and of the function.
pub(super) const SESSION_WINDOW: &str = "session_window";

impl Analyzer<'_> {
    /// The input with the session column of this call; `windows` may stand in its time.
    pub(super) fn session_window(
        &self,
        input: Bound,
        windows: &Windows,
        call: &Call,
        at: Spot,
    ) -> Result<(Bound, Attribute)> {
        let [time, gap] = call.arguments.as_slice() else {
            return Err(Error::invalid(format!("session_window takes 2 arguments, not {}", call.arguments.len()))
                .class("WRONG_NUM_ARGS.WITHOUT_SUGGESTION")
                .at_if_unplaced(self.text.place(at)));
        };
        let mut resolver = Resolver { windows, ..self.resolver(&input.scope) };
        let (time, gap) = (resolver.resolve(time)?, resolver.resolve(gap)?);
        let time = self.window_time(time, &input, at)?;
        self.with_session(input, time, gap, SESSION_WINDOW, at)
    }

    /// The input with a column `name` of what each row opens.
    pub(super) fn with_session(
        &self,
        input: Bound,
        time: WindowTime,
        gap: Typed,
        name: &str,
        at: Spot,
    ) -> Result<(Bound, Attribute)> {
        let context = CallContext { name: SESSION_WINDOW, session: self.session, text: self.text, at };
        let start = time.instant();
        let end = gap::after(&start, gap, &context)?;
        let attribute = Attribute { watermark: time.watermark, ..self.attribute(name, time.window_type) };
        let Bound { plan, mut scope, .. } = input;
        let (mut attributes, streaming) = (plan.attributes.clone(), plan.streaming);
        attributes.push(attribute.clone());
        scope.push(Entry { qualifier: None, attribute: attribute.clone(), hidden: true });
        let node = Node::Session { input: plan, start: start.expr, end };
        Ok((self.bound(Plan { node, attributes, streaming }, scope), attribute))
    }
}
