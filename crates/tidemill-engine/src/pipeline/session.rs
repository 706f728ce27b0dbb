//! Which columns of a plan are sessions: the column a session operator adds, under whatever names it has
//! later. Spark marks such columns (`SessionWindow.marker`) and a grouping by one merges sessions.

use super::plan::{Node, Plan, attribute_id};
use datafusion::logical_expr::Expr;

/// True for a column that is what rows open for a session, or a session made of them.
pub fn is_session(plan: &Plan, id: u32) -> bool {
    match &plan.node {
        Node::Session { input, .. } => {
            plan.attributes.last().is_some_and(|session| session.id == id) || is_session(input, id)
        }
        Node::Project { input, list } => {
            let position = plan.attributes.iter().position(|attribute| attribute.id == id);
            match position.map(|position| &list[position]) {
                Some(Expr::Column(column)) => attribute_id(&column.name).is_some_and(|below| is_session(input, below)),
                _ => false,
            }
        }
        Node::Union { inputs, columns } => {
            let position = plan.attributes.iter().position(|attribute| attribute.id == id);
            let below = position.zip(inputs.first()).zip(columns.first());
            below.is_some_and(|((position, input), columns)| is_session(input, columns[position]))
        }
        _ => plan.inputs().into_iter().any(|input| input.attribute(id).is_some() && is_session(input, id)),
    }
}

/// Which of the keys of a grouping over `input` is a session, if one is.
pub fn session_key(input: &Plan, keys: &[u32]) -> Option<usize> {
    keys.iter().position(|key| is_session(input, *key))
}
