//! Payloads to columns: finds the schema each is written with, and reads it by the plan for that schema. Records of many
//! writers may stand beside each other.

use super::container;
use super::plan::Plan;
use super::read::Reading;
use super::settings::{AvroFraming, Settings, fingerprint};
use crate::format::column::Column;
use crate::format::fault::Fault;
use crate::format::framing::{confluent, single_object};
use crate::format::registered::{Known, Registered};
use crate::format::reject::{MALFORMED, UNKNOWN_SCHEMA};
use crate::format::rows::Rows;
use crate::format::whole::Wanted;
use crate::schema_registry::AvroSchema;
use crate::schema_registry::schemas::{SchemaKind, SchemaText};
use arrow::datatypes::{Fields, SchemaRef};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidemill_core::format::{Decoded, Decoder};
use tidemill_core::source::{Body, Chunk, Records};
use tidemill_core::{Error, Options, Result};

/// Decodes payloads, and container files, to the columns of a schema.
pub(crate) struct MessageDecoder {
    wanted: Wanted,
    values: ValueDecoder,
}

/// Decodes single payloads into columns.
pub(super) struct ValueDecoder {
    fields: Fields,
    settings: Settings,
    registered: Option<Registered<Plan>>,
    /// The plans of the schemas that were given, with their fingerprints.
    given: Vec<(u64, Arc<Known<Plan>>)>,
}

/// The plan of the payload before: most have the same.
#[derive(Default)]
pub(super) struct Last(Option<(u64, Arc<Known<Plan>>)>);

impl MessageDecoder {
    /// # Errors
    /// A column whose type has no values, a schema that has no columns.
    pub(super) fn new(schema: SchemaRef, settings: Settings, registered: Option<Registered<Plan>>) -> Result<Self> {
        let values = ValueDecoder::new(schema.fields(), settings, registered)?;
        Ok(MessageDecoder { wanted: Wanted { schema }, values })
    }

    /// The same by the options of a table.
    ///
    /// # Errors
    /// As [`MessageDecoder::new`]; options that say nothing together, no registry where one is needed.
    pub fn of_payloads(schema: SchemaRef, options: &Options) -> Result<Self> {
        let settings = Settings::of(options)?;
        let registered = match settings.framing {
            AvroFraming::Confluent => Some(Registered::of_table("avro", options)?),
            _ => None,
        };
        MessageDecoder::new(schema, settings, registered)
    }
}

impl ValueDecoder {
    /// # Errors
    /// A column whose type has no values, a schema that has no columns.
    pub fn new(fields: &Fields, settings: Settings, registered: Option<Registered<Plan>>) -> Result<Self> {
        for field in fields {
            Column::new(field.data_type(), 0)?;
        }
        let reader = settings.reader().map(|given| given.schema.clone());
        let given = settings.given.iter().map(|given| {
            let plan = Plan::new(&given.schema, reader.as_deref(), fields)?;
            let fingerprint = match settings.framing {
                AvroFraming::SingleObject => fingerprint(&given.text)?,
                _ => 0,
            };
            Ok((fingerprint, Arc::new(Known::Plan(plan))))
        });
        let given = given.collect::<Result<_>>()?;
        Ok(ValueDecoder { fields: fields.clone(), given, settings, registered })
    }

    /// Looks up the schemas of these payloads.
    ///
    /// # Errors
    /// The registry does not answer.
    pub async fn prepare(&self, chunks: &[Chunk]) -> Result<()> {
        let Some(registered) = &self.registered else { return Ok(()) };
        let mut ids = BTreeSet::new();
        for chunk in chunks {
            if let Body::Records(records) = &chunk.body {
                let payloads = (0..records.len()).filter_map(|at| records.value(at));
                ids.extend(payloads.filter_map(|payload| confluent(payload).ok()).map(|(id, _)| id));
            }
        }
        let reader = self.settings.reader().map(|given| given.schema.clone());
        registered.learn(ids, |found| Plan::new(&parse(found)?, reader.as_deref(), &self.fields)).await
    }

    /// Reads one payload.
    pub fn read(&self, payload: &[u8], last: &mut Last, columns: &mut [Column]) -> Result<(), Fault> {
        let (key, body) = match self.settings.framing {
            AvroFraming::None => (0, payload),
            AvroFraming::SingleObject => single_object(payload)?,
            AvroFraming::Confluent => {
                let (id, body) = confluent(payload)?;
                (u64::from(id), body)
            }
        };
        let plan = match &last.0 {
            Some((of, plan)) if *of == key => plan.clone(),
            _ => self.plan(key)?,
        };
        last.0 = Some((key, plan.clone()));
        match &*plan {
            Known::Plan(plan) => {
                Reading { plan, bad_fields_are_null: self.settings.bad_fields_are_null }.record(body, columns)
            }
            Known::Useless(why) => {
                Err(Fault::new(UNKNOWN_SCHEMA, format!("schema {key} of the registry cannot be used: {why}")))
            }
        }
    }

    fn plan(&self, key: u64) -> Result<Arc<Known<Plan>>, Fault> {
        match &self.registered {
            Some(registered) => {
                let known = u32::try_from(key).ok().and_then(|id| registered.get(id));
                known.ok_or_else(|| Fault::new(UNKNOWN_SCHEMA, format!("the registry has no schema {key}")))
            }
            None => {
                let known = self.given.iter().find(|(fingerprint, _)| *fingerprint == key);
                known.map(|(_, plan)| plan.clone()).ok_or_else(|| {
                    Fault::new(UNKNOWN_SCHEMA, format!("no schema that was given has the fingerprint {key:016X}"))
                })
            }
        }
    }

    /// True when payloads can be read at all: there is a schema, or a registry of them.
    pub fn has_schemas(&self) -> bool {
        !self.given.is_empty() || self.registered.is_some()
    }
}

/// A schema as a registry holds it.
fn parse(found: &SchemaText) -> Result<AvroSchema> {
    if found.kind != SchemaKind::Avro {
        return Err(Error::invalid(format!("it is {:?}, not Avro", found.kind)));
    }
    let mut before = Vec::new();
    referred(found, &mut before);
    AvroSchema::parse_with(&found.text, &before)
}

/// The schemas that one refers to, each after those it refers to itself.
fn referred<'a>(schema: &'a SchemaText, before: &mut Vec<&'a str>) {
    for (_, other) in &schema.references {
        if !before.contains(&other.text.as_str()) {
            referred(other, before);
            before.push(&other.text);
        }
    }
}

#[async_trait]
impl Decoder for MessageDecoder {
    async fn prepare(&self, chunks: &[Chunk]) -> Result<()> {
        self.values.prepare(chunks).await
    }

    fn decode(&self, chunk: &Chunk) -> Result<Decoded> {
        match &chunk.body {
            Body::Records(payloads) => self.payloads(&chunk.split, payloads),
            Body::Stream { bytes, at: 0 } => container::decode(&self.wanted, &chunk.split, bytes.clone()),
            _ => Err(Error::invalid(format!("format 'avro' reads whole files, and '{}' is none", chunk.split))),
        }
    }
}

impl MessageDecoder {
    fn payloads(&self, split: &str, payloads: &Records) -> Result<Decoded> {
        if !self.values.has_schemas() {
            return Err(Error::invalid("payloads in Avro need their schema, and none is given")
                .help("give avro_schema or avro_schema_file, or avro_framing = 'confluent' with a schema_registry"));
        }
        let mut rows = Rows::new(self.wanted.schema.clone(), split, &payloads.data, payloads.len())?;
        let mut last = Last::default();
        for (index, offset) in payloads.offsets.iter().enumerate() {
            let Some(payload) = payloads.value(index) else {
                rows.reject(*offset, b"", MALFORMED, "the payload is null (a tombstone)".into());
                continue;
            };
            match self.values.read(payload, &mut last, &mut rows.columns) {
                Ok(()) => rows.keep(),
                Err(fault) => rows.reject(*offset, payload, fault.code(), fault.reason()),
            }
        }
        rows.finish()
    }
}
