//! How rows get into archives, so that a reader of the path sees each row once and no half file:
//!
//! 1. the epoch's rows are written as parts, which no manifest names yet, and made durable;
//! 2. the manifest of the next number is made if it is free: marker, open windows with their parts, closed windows
//!    whose archives are due. This is the commit. A window whose time is over gets a manifest without new rows;
//! 3. the archives that are due are put together from their parts, each made under its name if it is free. What
//!    goes into them stands in the manifest, so that making one again gives the same bytes;
//! 4. a manifest says that none is due any more, and the parts are removed.
//!
//! After a crash the newest manifest says where it happened: the next start does 3 and 4, and removes parts that
//! no manifest names. Only a reader that takes an archive away between 3 and 4 and a crash in the same moment
//! would see it again.

use super::container;
use super::event::Events;
use super::name::ArchiveNames;
use super::place::Place;
use super::window::{Archive, Limits, Part, Windows};
use arrow::record_batch::RecordBatch;
use arrow_avro::compression::CompressionCodec;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Arc;
use tidemill_core::sink::{Marker, Writer};
use tidemill_core::{Clock, Epoch, Error, Kind, Result};

/// The form of manifests that we write and read.
const VERSION: u32 = 1;
/// So many manifests are kept: a process that was stopped for longer finds its number free again.
const MANIFESTS_KEPT: u64 = 1_000;
/// Most bytes of events in one part, which is held in memory.
const PART_BYTES_MAX: u64 = 16 << 20;
const MICROSECONDS: i64 = 1_000_000;

/// What the options say.
pub(super) struct Settings {
    pub table: String,
    pub writer: Writer,
    pub events: Events,
    pub names: ArchiveNames,
    pub limits: Limits,
    pub codec: Option<CompressionCodec>,
    pub clock: Arc<dyn Clock>,
}

/// All there is to know, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Manifest {
    version: u32,
    /// A word of chance: whoever reads the manifest knows whether it is the one that was written.
    nonce: String,
    writer: Writer,
    epoch: Epoch,
    windows: Windows,
}

/// A place that is captured to.
pub(super) struct Capture {
    settings: Settings,
    place: Place,
    /// Our own folder in it, hidden from readers.
    home: String,
    /// The newest manifest, with its number.
    newest: Option<(u64, Manifest)>,
    /// Why what is on disk is not known: something failed.
    failed: Option<String>,
}

impl Capture {
    /// Opens the place or makes it, and finishes what a crash has left half done.
    ///
    /// # Errors
    /// A place that cannot be written, a damaged manifest or part.
    pub fn open(place: Place, settings: Settings) -> Result<Self> {
        let writer = &settings.writer;
        let home = format!("_tidemill/capture/{}.{}", plain(&writer.query), plain(&writer.sink));
        let mut capture = Capture { settings, place, home, newest: None, failed: None };
        let folders = ["log", "parts", "staging"].map(|name| capture.own(name));
        capture.place.prepare(&folders.each_ref().map(String::as_str))?;
        for name in capture.listed("staging")? {
            capture.place.remove(&capture.own(&format!("staging/{name}")))?;
        }
        capture.load()?;
        capture.publish()?;
        capture.tidy()?;
        Ok(capture)
    }

    /// What the newest manifest says of our writer, read again.
    pub fn marker(&mut self) -> Result<Marker> {
        self.load()?;
        Ok(match &self.newest {
            None => Marker::Absent,
            Some((_, held)) if held.writer == self.settings.writer => Marker::At(held.epoch),
            Some((_, held)) => Marker::Foreign(held.writer.incarnation.clone()),
        })
    }

    /// Makes the rows of `epoch` durable, and publishes the archives of windows that are full or over.
    ///
    /// # Errors
    /// After an error no more epochs are taken.
    pub fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        self.guarded(|capture| {
            let micros = capture.settings.clock.now_micros();
            let (now, limits) = (micros.div_euclid(MICROSECONDS), capture.settings.limits);
            let mut windows = capture.windows();
            windows.close_elapsed(&limits, now);
            let mut parts = 0;
            for batch in rows {
                for mut lot in capture.settings.events.lots(batch)? {
                    while lot.count() > 0 {
                        let count = lot.filling(windows.room(&lot.partition, &limits).min(PART_BYTES_MAX));
                        let known = windows.partitions.get(&lot.partition).cloned().unwrap_or_default();
                        let events = capture.settings.events.events(&lot, count, &known, micros)?;
                        let (body_bytes, bytes) = lot.bytes(count);
                        let name = format!("{epoch}-{parts}-{}.part", capture.mark());
                        let file = container::part(&events, capture.settings.codec)?;
                        capture.place.write(&capture.own(&format!("parts/{name}")), file)?;
                        windows.add(
                            &lot.partition,
                            Part { name, events: count as u64, bytes },
                            body_bytes,
                            &limits,
                            now,
                        );
                        parts += 1;
                        lot = lot.after(count);
                    }
                }
            }
            if parts > 0 {
                capture.place.sync(&capture.own("parts"))?;
            }
            let writer = capture.settings.writer.clone();
            capture.save(writer, epoch, windows)?;
            capture.publish()
        })
    }

    /// Publishes the archives of windows whose time is over.
    ///
    /// # Errors
    /// As [`Capture::commit`].
    pub fn tend(&mut self) -> Result<()> {
        let (now, limits) = (self.settings.clock.now_micros().div_euclid(MICROSECONDS), self.settings.limits);
        self.close(|windows| windows.close_elapsed(&limits, now))
    }

    /// Publishes all there is: the query has ended.
    ///
    /// # Errors
    /// As [`Capture::commit`].
    pub fn finish(&mut self) -> Result<()> {
        let (now, limits) = (self.settings.clock.now_micros().div_euclid(MICROSECONDS), self.settings.limits);
        self.close(|windows| windows.close_filled(&limits, now))
    }

    fn close(&mut self, closes: impl FnOnce(&mut Windows) -> bool) -> Result<()> {
        let mut windows = self.windows();
        if !closes(&mut windows) {
            return Ok(());
        }
        self.guarded(|capture| {
            let Some((_, held)) = &capture.newest else { return Ok(()) };
            let (writer, epoch) = (held.writer.clone(), held.epoch);
            capture.save(writer, epoch, windows)?;
            capture.publish()
        })
    }

    /// Does `work` unless something has failed before; what fails now stays failed.
    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if let Some(why) = &self.failed {
            let table = &self.settings.table;
            return Err(Error::new(Kind::Io, format!("sink '{table}' takes nothing after what has failed: {why}"))
                .help("start again, which finds out what was kept"));
        }
        let done = work(self);
        if let Err(error) = &done {
            self.failed = Some(error.chain());
        }
        done
    }

    fn windows(&self) -> Windows {
        self.newest.as_ref().map(|(_, held)| held.windows.clone()).unwrap_or_default()
    }

    /// Step 2.
    fn save(&mut self, writer: Writer, epoch: Epoch, windows: Windows) -> Result<()> {
        let number = self.newest.as_ref().map_or(0, |(number, _)| number + 1);
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let manifest = Manifest { version: VERSION, nonce, writer, epoch, windows };
        let text = serde_json::to_vec(&manifest)
            .map_err(|error| Error::bug("a manifest cannot be written as JSON").caused_by(error))?;
        let (name, staged) = (self.manifest_name(number), self.own(&format!("staging/{number}-{}", self.mark())));
        if !self.place.create(&name, &staged, std::iter::once(Ok(text)))? {
            let query = &self.settings.writer.query;
            let place = self.place.shown(&self.home);
            return Err(Error::new(Kind::Fenced, format!("another process writes query '{query}' to '{place}'"))
                .help("two processes run the same query: stop one of them"));
        }
        self.newest = Some((number, manifest));
        if let Some(old) = number.checked_sub(MANIFESTS_KEPT) {
            self.place.remove(&self.manifest_name(old))?;
        }
        Ok(())
    }

    /// Steps 3 and 4.
    fn publish(&mut self) -> Result<()> {
        let Some((_, held)) = &self.newest else { return Ok(()) };
        if held.windows.due.is_empty() {
            return Ok(());
        }
        let (writer, epoch, mut windows) = (held.writer.clone(), held.epoch, held.windows.clone());
        let due = std::mem::take(&mut windows.due);
        due.iter().try_for_each(|archive| self.make(archive))?;
        self.save(writer, epoch, windows)?;
        for part in due.iter().flat_map(|archive| &archive.parts) {
            self.place.remove(&self.own(&format!("parts/{}", part.name)))?;
        }
        Ok(())
    }

    fn make(&self, archive: &Archive) -> Result<()> {
        let (codec, sync) = (self.settings.codec, archive.sync.as_bytes());
        let blocks = archive.parts.iter().map(|part| {
            let name = self.own(&format!("parts/{}", part.name));
            let shown = self.place.shown(&name);
            match self.place.read(&name)? {
                Some(file) => container::blocks(&shown, &file, sync),
                None => Err(Error::invalid(format!("'{shown}' is missing: {} events are lost", part.events))
                    .help("restore it from a backup, or let the sink write to another directory")),
            }
        });
        let pieces = std::iter::once(Ok(container::header(codec, sync))).chain(blocks);
        let name = self.settings.names.of(&archive.partition, archive.named);
        let staged = self.own(&format!("staging/{}.archive", archive.sync.simple()));
        if self.place.create(&name, &staged, pieces)? {
            return Ok(());
        }
        Err(Error::invalid(format!("'{}' is there already, and another query has written it", self.place.shown(&name)))
            .help("give each query a namespace or event hub of its own; move the file away to let this one go on"))
    }

    /// Reads the newest manifest.
    fn load(&mut self) -> Result<()> {
        let number = |name: &String| name.strip_suffix(".json")?.parse::<u64>().ok();
        let Some(number) = self.listed("log")?.iter().filter_map(number).max() else { return Ok(()) };
        if self.newest.as_ref().is_some_and(|(held, _)| *held >= number) {
            return Ok(());
        }
        let name = self.manifest_name(number);
        let damaged = |why: String| {
            Error::invalid(format!("the manifest '{}' cannot be read: {why}", self.place.shown(&name)))
                .help("restore it from a backup, or let the sink write to another directory")
        };
        let text = self.place.read(&name)?.ok_or_else(|| damaged("it has just been removed".into()))?;
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if manifest.version != VERSION {
            return Err(damaged(format!("its version is {}, and this program knows {VERSION}", manifest.version)));
        }
        self.newest = Some((number, manifest));
        Ok(())
    }

    /// Removes parts that no manifest names, and old manifests.
    fn tidy(&self) -> Result<()> {
        let Some((number, held)) = &self.newest else {
            return self
                .listed("parts")?
                .iter()
                .try_for_each(|name| self.place.remove(&self.own(&format!("parts/{name}"))));
        };
        let needed: HashSet<&str> = held.windows.parts().collect();
        for name in self.listed("parts")?.iter().filter(|name| !needed.contains(name.as_str())) {
            self.place.remove(&self.own(&format!("parts/{name}")))?;
        }
        let oldest = self.manifest_name(number.saturating_sub(MANIFESTS_KEPT));
        for name in self.listed("log")?.iter().map(|name| self.own(&format!("log/{name}"))) {
            if name < oldest {
                self.place.remove(&name)?;
            }
        }
        Ok(())
    }

    fn listed(&self, folder: &str) -> Result<Vec<String>> {
        self.place.list(&self.own(folder))
    }

    fn manifest_name(&self, number: u64) -> String {
        self.own(&format!("log/{number:020}.json"))
    }

    fn own(&self, name: &str) -> String {
        format!("{}/{name}", self.home)
    }

    /// What marks files as ours: the beginning of our incarnation.
    fn mark(&self) -> &str {
        let incarnation = &self.settings.writer.incarnation.0;
        incarnation.get(..8).unwrap_or(incarnation)
    }
}

/// The name as part of a path: what cannot stand there as `%` and two digits a byte.
fn plain(name: &str) -> String {
    let byte = |byte: u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'-' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(byte).collect()
}
