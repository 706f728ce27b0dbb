//! Redis as a sink.

use super::changes::{Plan, Shape};
use super::epoch::{EpochWriter, Settings};
use super::options::{self, OPTIONS, duration};
use super::refused::refused;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::sync::Arc;
use tidemill_core::describe::{Description, Guarantee, Role};
use tidemill_core::retry::Vitals;
use tidemill_core::sink::{Marker, OutputMode, Refused, Sink, SinkConnector, SinkRequest};
use tidemill_core::{Epoch, Error, Options, Result};

static DESCRIPTION: Description = Description {
    name: "redis",
    role: Role::Sink,
    summary: "Hashes, JSON, values or streams in Redis 6 or newer; rows and the epoch's number in one script. One server: a crash \
              or failover that loses writes is noticed and written again. A cluster, where keys lie in many slots: \
              idempotent by key.",
    guarantee: Guarantee::ExactlyOnce,
    options: OPTIONS,
    example: "connector = 'redis', url = 'redis://localhost:6379', key = 'user:{user_id}', ttl = '1 hour'",
};

/// Opens Redis as a sink.
pub struct RedisSinkConnector;

#[async_trait]
impl SinkConnector for RedisSinkConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn guarantee(&self, options: &Options) -> Guarantee {
        // the keys of a cluster may lie in many slots, which fail one by one
        if options.boolean("cluster") { Guarantee::Idempotent } else { DESCRIPTION.guarantee }
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let (table, options) = (&request.table, &request.options);
        let plan = Plan::new(table, options, &request.schema)?;
        let target = options::target(table, options)?;
        let complete = request.mode == OutputMode::Complete;
        if complete && plan.shape == Shape::Stream {
            return Err(Error::invalid(format!("table '{table}': a stream only grows; it takes no complete results"))
                .help("use another shape, or output mode append or update"));
        }
        let tag = plan.constant_tag();
        if complete && target.is_cluster() && tag.is_none() {
            return Err(Error::invalid(format!(
                "table '{table}': a complete result is replaced in one step, for which its keys must lie in one slot"
            ))
            .help("give all keys one hash tag, such as key = '{{users}}:{user_id}', or use output mode update"));
        }
        // entries of a stream are numbered: what is in one script needs no order that a repeat would have to keep
        let part_changes = match plan.shape {
            Shape::Stream => u64::MAX,
            _ => options.integer("script_rows").unwrap_or(5_000).max(1),
        };
        let settings = Settings {
            table: table.clone(),
            tag: tag.filter(|_| target.is_cluster()),
            target,
            writer: request.writer.clone(),
            complete,
            part_changes: usize::try_from(part_changes).unwrap_or(usize::MAX),
            replicas: options.integer("replicas_ack").unwrap_or(0),
            replicas_timeout: duration(options, "replicas_timeout", 5),
            retry_timeout: duration(options, "retry_timeout", 60),
        };
        Ok(Box::new(RedisSink { plan, writer: EpochWriter::open(settings).await? }))
    }
}

struct RedisSink {
    plan: Plan,
    writer: EpochWriter,
}

#[async_trait]
impl Sink for RedisSink {
    fn vitals(&self) -> Option<Arc<Vitals>> {
        Some(self.writer.vitals())
    }

    async fn marker(&mut self) -> Result<Marker> {
        self.writer.marker().await
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        let changes = self.plan.changes(rows)?;
        self.writer.commit(epoch, changes).await
    }

    async fn refused(&mut self, _epoch: Epoch, rows: &[RecordBatch]) -> Result<Vec<Refused>> {
        refused(&self.plan, &mut self.writer, rows).await
    }
}
