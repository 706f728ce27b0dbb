//! Schemas by id, the ones used last, within a bound.

use crate::schema_registry::schemas::SchemaText;
use std::collections::HashMap;
use std::sync::Arc;

/// Keeps up to a number of schemas; the one that was not used for longest goes.
#[derive(Debug)]
pub(super) struct Cache {
    schemas_max: usize,
    /// Counts uses.
    turn: u64,
    schemas: HashMap<u32, (u64, Arc<SchemaText>)>,
}

impl Cache {
    /// An empty one.
    pub(super) fn new(schemas_max: usize) -> Cache {
        Cache { schemas_max: schemas_max.max(1), turn: 0, schemas: HashMap::new() }
    }

    /// A schema, used now.
    pub(super) fn get(&mut self, id: u32) -> Option<Arc<SchemaText>> {
        self.turn += 1;
        let (used, schema) = self.schemas.get_mut(&id)?;
        *used = self.turn;
        Some(schema.clone())
    }

    /// Keeps a schema.
    pub(super) fn put(&mut self, id: u32, schema: Arc<SchemaText>) {
        self.turn += 1;
        if self.schemas.len() >= self.schemas_max && !self.schemas.contains_key(&id) {
            let oldest = self.schemas.iter().min_by_key(|(_, (used, _))| *used).map(|(id, _)| *id);
            oldest.and_then(|oldest| self.schemas.remove(&oldest));
        }
        self.schemas.insert(id, (self.turn, schema));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema_registry::schemas::SchemaKind;

    #[test]
    fn the_schema_that_was_not_used_for_longest_goes() {
        let schema = || Arc::new(SchemaText { kind: SchemaKind::Avro, text: String::new(), references: Vec::new() });
        let mut cache = Cache::new(2);
        cache.put(1, schema());
        cache.put(2, schema());
        assert!(cache.get(1).is_some());
        cache.put(3, schema());
        assert_eq!([1, 2, 3].map(|id| cache.get(id).is_some()), [true, false, true]);
    }
}
