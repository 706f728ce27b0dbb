//! Rows that are the same.

use super::{Analyzer, Bound, refuse};
use crate::pipeline::expression::Expression;
use crate::pipeline::plan::{Node, Plan};
use crate::pipeline::relation::Grouping;
use crate::pipeline::text::Spot;
use tidemill_core::Result;

impl Analyzer<'_> {
    pub(super) fn deduplicate(&self, bound: Bound, columns: &[String], within_watermark: bool) -> Result<Bound> {
        let Bound { plan, scope, .. } = self.shown(bound);
        let mut keys = Vec::new();
        for name in columns {
            let parts = vec![name.clone()];
            let (attribute, _) = scope.find(&parts, self.text, Spot::default())?;
            keys.push(attribute.id);
        }
        if columns.is_empty() {
            keys = plan.attributes.iter().map(|attribute| attribute.id).collect();
        }
        for key in &keys {
            if plan.attribute(*key).is_some_and(|attribute| !super::coerce::is_groupable(&attribute.data_type)) {
                return Err(refuse::unsupported(
                    "a MAP column cannot be a key of dropDuplicates",
                    self.text,
                    Spot::default(),
                ));
            }
        }
        if within_watermark && plan.streaming && plan.attributes.iter().all(|attribute| attribute.watermark.is_none()) {
            return Err(refuse::unsupported(
                "dropDuplicatesWithinWatermark needs a watermark",
                self.text,
                Spot::default(),
            )
            .help("call withWatermark first"));
        }
        let (attributes, streaming) = (plan.attributes.clone(), plan.streaming);
        let node = Node::Deduplicate { input: plan, keys, within_watermark };
        Ok(self.bound(Plan { node, attributes, streaming }, scope))
    }

    pub(super) fn distinct(&self, bound: Bound) -> Result<Bound> {
        let names: Vec<Expression> = vec![Expression::Star { qualifier: vec![], except: vec![], at: Spot::default() }];
        let items = self.items(&bound, &names)?;
        self.aggregate_items(bound, items, &Grouping::Plain)
    }
}
