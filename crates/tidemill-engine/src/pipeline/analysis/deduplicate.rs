//! Rows that are the same.

use super::typed::Typed;
use super::{Analyzer, Bound, refuse};
use crate::function::nested;
use crate::pipeline::expression::Expression;
use crate::pipeline::plan::{Attribute, Node, Plan};
use crate::pipeline::relation::Grouping;
use crate::pipeline::text::Spot;
use arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use std::sync::Arc;
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
        let shown = plan.attributes.clone();
        let plan = if within_watermark { self.with_entries(plan, &mut keys) } else { plan };
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
        let more = attributes.len() > shown.len();
        let plan = Plan { node: Node::Deduplicate { input: plan, keys, within_watermark }, attributes, streaming };
        if !more {
            return Ok(self.bound(plan, scope));
        }
        let list = shown.iter().map(Attribute::reference).collect();
        let node = Node::Project { input: Arc::new(plan), list };
        Ok(self.bound(Plan { node, attributes: shown, streaming }, scope))
    }

    /// The plan with a column more for every key that is a map: its entries, which are the key instead. Spark
    /// takes maps as they are written for `dropDuplicatesWithinWatermark`, and for nothing else.
    fn with_entries(&self, plan: Arc<Plan>, keys: &mut [u32]) -> Arc<Plan> {
        let mut list: Vec<Expr> = plan.attributes.iter().map(Attribute::reference).collect();
        let mut attributes = plan.attributes.clone();
        for key in keys.iter_mut() {
            let map = plan.attribute(*key).filter(|attribute| matches!(attribute.data_type, DataType::Map(..)));
            if let Some(map) = map {
                let entries = nested::entries(Typed::new(map.reference(), map.data_type.clone(), map.name.clone()));
                let attribute = self.attribute(entries.name, entries.data_type);
                list.push(entries.expr);
                *key = attribute.id;
                attributes.push(attribute);
            }
        }
        if list.len() == plan.attributes.len() {
            return plan;
        }
        let streaming = plan.streaming;
        Arc::new(Plan { node: Node::Project { input: plan, list }, attributes, streaming })
    }

    pub(super) fn distinct(&self, bound: Bound) -> Result<Bound> {
        let names: Vec<Expression> = vec![Expression::Star { qualifier: vec![], except: vec![], at: Spot::default() }];
        let items = self.items(&bound, &names)?;
        self.aggregate_items(bound, items, &Grouping::Plain)
    }
}
