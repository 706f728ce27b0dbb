//! Keeps the stream of changes flowing into the buffer: connects, checks the slot, reads, says how far is durable, and
//! begins again where it was when the connection is lost.

use super::super::errors::Failure;
use super::super::link::{Dialer, Link};
use super::beginning::{Identity, check, check_history};
use super::buffer::Buffer;
use super::catalog;
use super::message::{Message, Relation, parse};
use super::position::{Position, parse as parse_lsn, shown};
use super::rows::{Misfit, misfit};
use super::settings::Settings;
use super::wire::{Piece, Wire};
use crate::retry::Patience;
use arrow::datatypes::SchemaRef;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidemill_core::retry::Class;
use tidemill_core::{Clock, Error, Kind};
use tokio::sync::Notify;

/// Changes are told of at once, but answers that nobody waits for can wait so long.
const BEAT: Duration = Duration::from_millis(100);
/// How often the server hears from us: it ends connections that are silent for a minute.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// A server that says nothing for so long, when asked, is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What the task and the source share.
#[derive(Debug)]
pub(super) struct Shared {
    buffer: Mutex<Buffer>,
    /// Something has come.
    pub(super) arrived: Notify,
    /// There is room again, or something to say.
    pub(super) stir: Notify,
    /// What is before this is durable.
    pub(super) durable: AtomicU64,
    /// Somebody waits to hear how far the server has sent.
    pub(super) ping: AtomicBool,
    /// The history of the server that is read.
    pub(super) timeline: AtomicU64,
}

impl Shared {
    /// With a buffer; what is before `durable` is.
    pub(super) fn new(buffer: Buffer, durable: u64, timeline: u64) -> Self {
        Shared {
            buffer: Mutex::new(buffer),
            arrived: Notify::new(),
            stir: Notify::new(),
            durable: durable.into(),
            ping: false.into(),
            timeline: timeline.into(),
        }
    }

    /// The buffer. A thread that panicked within a method of it has left it as it was.
    pub(super) fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task.
pub(super) struct Stream {
    pub(super) settings: Arc<Settings>,
    pub(super) shared: Arc<Shared>,
    pub(super) dialer: Arc<Dialer>,
    /// What the query reads.
    pub(super) schema: SchemaRef,
    /// Which server, and which history of it.
    pub(super) origin: Position,
    /// The table as it was last.
    pub(super) relation: Relation,
    pub(super) patience: Patience,
    pub(super) clock: Arc<dyn Clock>,
}

impl Stream {
    /// Runs until the task is ended, or the stream cannot go on: then the buffer has the failure.
    pub(super) async fn run(mut self) {
        let mut retry = self.patience.begin();
        loop {
            let mut flowed = false;
            let failed = match self.session(&mut flowed).await {
                Ok(()) => return,
                Err(failed) => failed,
            };
            if flowed {
                retry = self.patience.begin();
            }
            if let Err(error) = retry.wait(failed).await {
                return self.give_up(error);
            }
        }
    }

    fn give_up(&self, error: Error) {
        self.shared.buffer().fail(error);
        self.shared.arrived.notify_one();
    }

    /// One connection. Ends well only after a failure was put into the buffer.
    async fn session(&mut self, flowed: &mut bool) -> Result<(), Failure> {
        let from = Position { lsn: self.shared.buffer().begin_again(), ..self.origin };
        let (mut wire, control) = match tokio::time::timeout(SILENCE_MAX, self.connect(&from)).await {
            Ok(connected) => connected.map_err(|failed| self.explained(failed))?,
            Err(_) => return Err(silent()),
        };
        self.pump(&mut wire, control, flowed).await.map_err(|failed| self.explained(failed))
    }

    /// Connects, checks that the slot holds every change after `from`, and begins the stream there.
    async fn connect(&mut self, from: &Position) -> Result<(Wire, Link), Failure> {
        let slot = &self.settings.slot;
        let mut wire = Wire::open(&self.settings.target, &format!("tidemill {slot}")).await?;
        let identity = identify(&mut wire).await?;
        let control = self.dialer.connect_beside().await?;
        let known = catalog::slot(&control.client, slot).await?;
        check(slot, &self.settings.target.database, known.as_ref(), &identity, from)?;
        if identity.timeline != from.timeline {
            check_history(slot, &history(&mut wire, identity.timeline).await?, from)?;
            self.origin.timeline = identity.timeline;
            self.shared.timeline.store(identity.timeline, Ordering::Release);
        }
        let publication = self.settings.publication.replace('"', "\"\"").replace('\'', "''");
        let start = format!(
            "START_REPLICATION SLOT \"{slot}\" LOGICAL {} (proto_version '1', publication_names '\"{publication}\"')",
            shown(from.lsn)
        );
        wire.start(&start).await?;
        tracing::debug!(slot, from = shown(from.lsn), "reading changes");
        Ok((wire, control))
    }

    /// Says what to do about refusals that have their own words here.
    fn explained(&self, failed: Failure) -> Failure {
        let (slot, publication) = (&self.settings.slot, &self.settings.publication);
        let help = match failed.code.as_deref() {
            Some("55006") => format!("slot '{slot}' is read by another process: one query a slot"),
            Some("42704") => format!(
                "publication '{publication}' must have been there when the changes were made: it was dropped or made later; read \
                 the table anew, with a new slot and a new checkpoint"
            ),
            _ => return failed,
        };
        Failure { error: Error::new(failed.error.kind(), failed.error.to_string()).help(help), ..failed }
    }

    async fn pump(&mut self, wire: &mut Wire, control: Link, flowed: &mut bool) -> Result<(), Failure> {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut reported, mut told, mut heard) = (self.clock.elapsed(), 0, self.clock.elapsed());
        let mut owes_reply = true;
        loop {
            let is_full = self.shared.buffer().is_full();
            tokio::select! {
                piece = wire.piece(), if !is_full => {
                    heard = self.clock.elapsed();
                    *flowed = true;
                    match piece? {
                        Piece::Data(data) => {
                            let message = parse(data)?;
                            if !self.take(message, &control).await? {
                                return Ok(());
                            }
                        }
                        Piece::Alive { end, wants_reply } => {
                            self.shared.buffer().alive(end, wants_reply);
                            owes_reply |= wants_reply;
                        }
                    }
                    self.shared.arrived.notify_one();
                    continue;
                }
                () = self.shared.stir.notified() => {}
                _ = beat.tick() => {}
            }
            let now = self.clock.elapsed();
            if is_full {
                heard = now;
            }
            let silence = now.saturating_sub(heard);
            if silence > SILENCE_MAX {
                return Err(silent());
            }
            let durable = self.shared.durable.load(Ordering::Acquire);
            let pings = self.shared.ping.swap(false, Ordering::AcqRel);
            let is_due = now.saturating_sub(reported) >= REPORT_INTERVAL;
            if owes_reply || pings || is_due || durable > told {
                let seen = self.shared.buffer().seen();
                wire.report(seen, durable, self.clock.now_micros(), pings || silence >= REPORT_INTERVAL).await?;
                (reported, told, owes_reply) = (now, durable, false);
            }
        }
    }

    /// Takes a message into the buffer; false when the stream ends there for good.
    async fn take(&mut self, message: Message, control: &Link) -> Result<bool, Failure> {
        let message = match message {
            Message::Relation(mut relation) if relation.id == self.relation.id => {
                catalog::resolve_domains(&control.client, &mut relation).await?;
                let is_known = self.shared.buffer().knows(&relation);
                if !is_known && let Err(error) = self.changed(&relation, control).await? {
                    self.give_up(error);
                    return Ok(false);
                }
                Message::Relation(relation)
            }
            other => other,
        };
        self.shared.buffer().take(message)?;
        Ok(true)
    }

    /// Reports what has become of the table, and says whether the query can go on.
    async fn changed(&mut self, now: &Relation, control: &Link) -> Result<Result<(), Error>, Failure> {
        let before = std::mem::replace(&mut self.relation, now.clone());
        let names = |of: &Relation, without: &Relation| -> Vec<String> {
            let is_new = |name: &String| without.columns.iter().all(|column| column.name != *name);
            of.columns.iter().map(|column| column.name.clone()).filter(is_new).collect()
        };
        let (added, gone) = (names(now, &before), names(&before, now));
        let of = |name: &String| before.columns.iter().find(|column| column.name == *name).map(|column| column.oid);
        let retyped = now.columns.iter().filter(|column| of(&column.name).is_some_and(|oid| oid != column.oid));
        let retyped: Vec<&str> = retyped.map(|column| column.name.as_str()).collect();
        if !added.is_empty() || !gone.is_empty() || !retyped.is_empty() {
            let table = format!("{}.{}", now.schema, now.name);
            tracing::warn!(table, ?added, ?gone, ?retyped, "the table has other columns from here on");
        }
        let Some(misfit) = misfit(&self.schema, now) else { return Ok(Ok(())) };
        let table = format!("{}.{}", now.schema, now.name);
        let (message, help) = match &misfit {
            Misfit::Missing(name) => {
                // changes from before a column was added do not have it
                if catalog::has_column(&control.client, now.id, name).await? {
                    return Ok(Ok(()));
                }
                (format!("table {table} has no column '{name}' any more"), "take it out of the query")
            }
            Misfit::Type(name, of) => (
                format!("column '{name}' of table {table} has another type from here on, which {of} cannot hold"),
                "declare the column with its new type, or as STRING",
            ),
        };
        if self.settings.schema_change_is_null {
            tracing::warn!("{message}: its values are NULL where they do not fit");
            return Ok(Ok(()));
        }
        let error = Error::new(Kind::Data, format!("{message}; every change before that was read"));
        Ok(Err(error.help(format!("{help}, or set schema_change = 'ignore'; the checkpoint goes on from here"))))
    }
}

fn silent() -> Failure {
    Failure::new(Class::Transient, Error::new(Kind::Again, "the server has not answered for a minute"))
}

/// Which server this is, which of its histories, and how far its log goes.
pub(super) async fn identify(wire: &mut Wire) -> Result<Identity, Failure> {
    let rows = wire.query("IDENTIFY_SYSTEM").await?;
    let text = |at: usize| rows.first().and_then(|row| row.get(at)?.as_deref());
    let number = |at: usize| text(at).and_then(|text| text.parse().ok());
    match (number(0), number(1), text(2).and_then(parse_lsn)) {
        (Some(system), Some(timeline), Some(flushed)) => Ok(Identity { system, timeline, flushed }),
        _ => Err(Error::bug("the server's answer to IDENTIFY_SYSTEM cannot be read").into()),
    }
}

/// The history file of a timeline.
pub(super) async fn history(wire: &mut Wire, timeline: u64) -> Result<String, Failure> {
    let rows = wire.query(&format!("TIMELINE_HISTORY {timeline}")).await?;
    Ok(rows.into_iter().next().and_then(|row| row.into_iter().nth(1)?).unwrap_or_default())
}
