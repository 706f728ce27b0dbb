//! Snapshots between a working copy and the store. In the store a snapshot counts once its manifest is there, which
//! is written last and removed first; no file is removed that the manifest of a kept one names.

use super::log::SUFFIX;
use super::patience::Patience;
use crate::checkpoint::durable;
use crate::checkpoint::snapshot::{self, Manifest};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tidemill_core::{Error, Result};
use tidemill_objects::Objects;
use tidemill_objects::sequence::Sequence;

const FOLDER: &str = "snapshots";
const MANIFEST: &str = "manifest.json";
const SHARED: &str = "shared";

/// The snapshots in the store by name, oldest first, each with the names of its files.
async fn listed(objects: &Objects) -> Result<(BTreeMap<String, BTreeSet<String>>, BTreeSet<String>)> {
    let (mut snapshots, mut shared) = (BTreeMap::<String, BTreeSet<String>>::new(), BTreeSet::new());
    for name in objects.below(FOLDER).list("").await? {
        match name.split_once('/') {
            Some((SHARED, file)) => drop(shared.insert(file.to_owned())),
            Some((snapshot, file)) => drop(snapshots.entry(snapshot.to_owned()).or_default().insert(file.to_owned())),
            None => {}
        }
    }
    Ok((snapshots, shared))
}

/// Makes the working copy hold the snapshots of the store and no others. Gives the number of the object from which
/// on the journal is needed.
///
/// # Errors
/// The store does not answer, the disk fails, or a file is missing in the store.
pub async fn bring(objects: &Objects, directory: &Path) -> Result<u64> {
    let (listed, _) = listed(objects).await?;
    let kept: Vec<&String> =
        listed.iter().filter(|(_, files)| files.contains(MANIFEST)).map(|(name, _)| name).collect();
    let here = directory.join(FOLDER);
    durable::create_directory(&here.join(SHARED))?;
    for path in snapshot::list(&here)? {
        let is_kept = path.file_name().is_some_and(|name| kept.iter().any(|kept| **kept == *name.to_string_lossy()));
        if !is_kept {
            std::fs::remove_dir_all(&path)
                .map_err(|error| Error::io(format!("cannot remove {}", path.display()), error))?;
        }
    }
    let (remote, mut from) = (objects.below(FOLDER), 0);
    for name in kept {
        from = bring_one(&remote, &here, name).await?.unwrap_or(from);
    }
    Ok(from)
}

/// Brings one snapshot, unless it is damaged: then the one before is used, as in a directory. Gives the number of the
/// object from which on the journal was kept when it was made.
async fn bring_one(remote: &Objects, here: &Path, name: &str) -> Result<Option<u64>> {
    let path = here.join(name);
    let passed_over = |why: &str| tracing::warn!(snapshot = name, place = remote.place(), why, "snapshot passed over");
    let text = remote.read(&format!("{name}/{MANIFEST}")).await?.unwrap_or_default();
    let Ok(manifest) = snapshot::parse_manifest(&text, name) else {
        passed_over("its manifest is damaged or gone");
        return Ok(None);
    };
    durable::create_directory(&path)?;
    for file in files(&manifest) {
        let (from, to) = match file.shared {
            Some(shared) => (format!("{SHARED}/{shared}"), here.join(SHARED).join(shared)),
            None => (format!("{name}/{}", file.name), path.join(file.name)),
        };
        if snapshot::matches(&to, file.bytes, file.crc32) {
            continue;
        }
        let temporary = here.join(format!(".{}", file.name.replace('/', "_")));
        if remote.bring_file(&from, &temporary).await?.is_none() {
            passed_over("a file of it is gone");
            return Ok(manifest.journal_from);
        }
        std::fs::rename(&temporary, &to).map_err(|error| Error::io(format!("cannot write {}", to.display()), error))?;
    }
    durable::replace(&path.join(MANIFEST), &text)?;
    Ok(manifest.journal_from)
}

struct File<'a> {
    name: &'a str,
    shared: Option<&'a str>,
    bytes: u64,
    crc32: u32,
}

fn files(manifest: &Manifest) -> impl Iterator<Item = File<'_>> {
    let own = manifest.files.values();
    let own = own.map(|file| File { name: &file.name, shared: None, bytes: file.bytes, crc32: file.crc32 });
    let of_store = manifest.store.iter().flat_map(|store| &store.files);
    own.chain(of_store.map(|file| File {
        name: &file.name,
        shared: file.shared.as_deref(),
        bytes: file.bytes,
        crc32: file.crc32,
    }))
}

/// Writes the snapshot of the working copy that is in `snapshot` into the store.
///
/// # Errors
/// The store does not answer, or refuses; the files cannot be read.
pub async fn publish(objects: &Objects, directory: &Path, snapshot: &Path, patience: &Patience) -> Result<()> {
    let (remote, here) = (objects.below(FOLDER), directory.join(FOLDER));
    let name = name_of(snapshot);
    let manifest = snapshot::read_manifest(snapshot)?;
    let (_, there) = patience.wait("list the snapshots", || listed(objects)).await?;
    for file in files(&manifest) {
        let (to, from) = match file.shared {
            Some(shared) if there.contains(shared) => continue,
            Some(shared) => (format!("{SHARED}/{shared}"), here.join(SHARED).join(shared)),
            None => (format!("{name}/{}", file.name), snapshot.join(file.name)),
        };
        patience.wait("write a snapshot", || remote.put_file(&to, &from)).await?;
    }
    let (to, from) = (format!("{name}/{MANIFEST}"), snapshot.join(MANIFEST));
    patience.wait("write a snapshot", || remote.put_file(&to, &from)).await
}

/// Removes what is not needed once `newest` is there: snapshots that the working copy no longer has, those without a
/// manifest, shared files that no kept one has, and the journal before.
///
/// # Errors
/// The store does not answer: some may be gone.
pub async fn forget(objects: &Objects, newest: &Path) -> Result<()> {
    let remote = objects.below(FOLDER);
    let (listed, shared) = listed(objects).await?;
    let here = newest.parent().unwrap_or(newest);
    let (mut kept, mut needed) = (BTreeSet::new(), BTreeSet::new());
    for path in snapshot::list(here)?.into_iter().filter(|path| snapshot::is_whole(path)) {
        match snapshot::read_manifest(&path) {
            Ok(manifest) => needed.extend(shared_by(&manifest)),
            // what it names is not known: nothing that is shared may go
            Err(_) => needed.extend(shared.iter().cloned()),
        }
        kept.insert(name_of(&path));
    }
    let old = || listed.iter().filter(|(name, _)| !kept.contains(*name));
    remote.remove_all(old().map(|(name, _)| format!("{name}/{MANIFEST}")).collect()).await?;
    let gone = old().flat_map(|(name, files)| files.iter().map(move |file| format!("{name}/{file}")));
    let gone = gone.filter(|name| !name.ends_with(MANIFEST));
    let unshared = shared.difference(&needed).map(|file| format!("{SHARED}/{file}"));
    remote.remove_all(gone.chain(unshared).collect()).await?;
    match snapshot::read_manifest(newest)?.journal_from {
        Some(from) => Sequence::remove_before(&objects.below("journal"), SUFFIX, from).await,
        None => Ok(()),
    }
}

fn shared_by(manifest: &Manifest) -> impl Iterator<Item = String> {
    files(manifest).filter_map(|file| file.shared.map(str::to_owned))
}

fn name_of(snapshot: &Path) -> String {
    snapshot.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
