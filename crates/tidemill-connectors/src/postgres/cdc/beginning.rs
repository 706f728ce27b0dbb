//! How a start goes on, decided from what is known: nothing is asked or changed here.
//!
//! A slot holds the log from its position on. Whoever makes a new one while the checkpoint counts on the old loses
//! what was between in silence, so that is refused, and so is every other sign that changes are gone.

use super::catalog::Slot;
use super::position::{Position, shown};
use tidemill_core::{Error, Kind, Result};

/// What is on disk of the copy of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CopyState {
    None,
    /// It was begun: the slot of the name is ours, and nothing was read of it.
    Begun,
    /// It is whole: position of its slot, server, size.
    Whole {
        lsn: u64,
        system: u64,
        bytes: u64,
    },
}

/// The server: which one, which of its histories, how far its log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) system: u64,
    pub(super) timeline: u64,
    pub(super) flushed: u64,
}

/// What is known.
#[derive(Debug, Clone)]
pub(super) struct Facts<'a> {
    pub(super) slot_name: &'a str,
    pub(super) database: &'a str,
    pub(super) slot: Option<Slot>,
    pub(super) identity: Identity,
    /// What the checkpoint holds.
    pub(super) held: Option<Position>,
    pub(super) copy: CopyState,
    pub(super) takes_snapshot: bool,
    /// Where the copy is, for messages.
    pub(super) directory: String,
}

/// How the start goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// From here; the copy is used when it is not read to its end.
    At(Position),
    /// With a new slot, once one that was left behind is dropped.
    New { drop_first: bool },
}

/// Decides.
///
/// # Errors
/// Changes are gone, or cannot be told from others.
pub(super) fn decide(facts: &Facts<'_>) -> Result<Beginning> {
    if let Some(held) = &facts.held {
        check(facts.slot_name, facts.database, facts.slot.as_ref(), &facts.identity, held)?;
        if held.snapshot < held.snapshot_end {
            match facts.copy {
                CopyState::Whole { bytes, system, .. } if bytes == held.snapshot_end && system == held.system => {}
                _ => {
                    let left = held.snapshot_end - held.snapshot;
                    let message = format!(
                        "the copy of the table in {} is gone, and {left} bytes of it were not read",
                        facts.directory
                    );
                    return Err(lost(message, facts.slot_name));
                }
            }
        }
        return Ok(Beginning::At(*held));
    }
    let new = Position { system: facts.identity.system, timeline: facts.identity.timeline, ..Position::default() };
    match (&facts.slot, facts.copy) {
        // killed between the copy and the first epoch
        (slot, CopyState::Whole { lsn, bytes, system }) => {
            let start = Position { lsn, snapshot_end: bytes, system, ..new };
            check(facts.slot_name, facts.database, slot.as_ref(), &facts.identity, &start).map_err(|error| {
                let help = format!("{} belongs to a query that is given up: remove it to begin anew", facts.directory);
                Error::new(error.kind(), error.to_string()).help(help)
            })?;
            Ok(Beginning::At(start))
        }
        (None, _) => Ok(Beginning::New { drop_first: false }),
        (Some(_), CopyState::Begun) => Ok(Beginning::New { drop_first: true }),
        (Some(slot), CopyState::None) if !facts.takes_snapshot => {
            let start = Position { lsn: slot.confirmed, ..new };
            check(facts.slot_name, facts.database, Some(slot), &facts.identity, &start)?;
            Ok(Beginning::At(start))
        }
        (Some(_), CopyState::None) => {
            let name = facts.slot_name;
            Err(Error::invalid(format!("slot '{name}' is there already, and the checkpoint is new: whose it is cannot be told"))
                .help(format!(
                    "if no query uses it any more, SELECT pg_drop_replication_slot('{name}'); else name another with option \
                     'slot'; or go on from where it stands, without the rows that are there, with snapshot = 'never'"
                )))
        }
    }
}

/// Checks that every change after `from` can still be read.
///
/// # Errors
/// It cannot.
pub(super) fn check(
    name: &str,
    database: &str,
    slot: Option<&Slot>,
    identity: &Identity,
    from: &Position,
) -> Result<()> {
    if identity.system != from.system {
        return Err(Error::invalid(format!(
            "the checkpoint is of another Postgres server: system identifier {}, not {}",
            from.system, identity.system
        ))
        .help("connect to the server of the checkpoint, or start with a new checkpoint and a new slot"));
    }
    let Some(slot) = slot else {
        return Err(lost(format!("slot '{name}' is gone, and with it the changes after {}", shown(from.lsn)), name));
    };
    if slot.plugin != "pgoutput" || slot.database != database {
        let (plugin, of) = (&slot.plugin, &slot.database);
        return Err(Error::invalid(format!("slot '{name}' has the plugin '{plugin}' and is of database '{of}'"))
            .help(format!("it must have the plugin 'pgoutput' and be of database '{database}': name another slot")));
    }
    if slot.wal_status == "lost" {
        let message = format!(
            "the server has removed log that slot '{name}' had kept (wal_status = lost): the changes after {} are gone",
            shown(from.lsn)
        );
        return Err(lost(message, name));
    }
    if slot.confirmed > from.lsn {
        let (slot, ours) = (shown(slot.confirmed), shown(from.lsn));
        let message =
            format!("slot '{name}' stands at {slot}, and the checkpoint at {ours}: the changes between are gone");
        return Err(lost(message, name));
    }
    if identity.flushed < from.lsn {
        let (end, ours) = (shown(identity.flushed), shown(from.lsn));
        let message = format!("the server's log ends at {end}, and the checkpoint is at {ours}: the server went back");
        return Err(lost(message, name));
    }
    Ok(())
}

/// Checks that a server that has taken over did so after `from`. Lines of a history file: timeline, the position at
/// which it ended, why.
///
/// # Errors
/// It did before.
pub(super) fn check_history(name: &str, history: &str, from: &Position) -> Result<()> {
    let ended = history.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let timeline: u64 = words.next()?.parse().ok()?;
        (timeline == from.timeline).then(|| super::position::parse(words.next()?))?
    });
    match ended {
        Some(end) if end >= from.lsn => Ok(()),
        _ => {
            let ours = shown(from.lsn);
            let message = format!(
                "another server has taken over, before {ours} on timeline {}: what was read up to there is not what it holds",
                from.timeline
            );
            Err(lost(message, name))
        }
    }
}

fn lost(message: String, slot: &str) -> Error {
    Error::new(Kind::Data, message).help(format!(
        "read the table anew: drop slot '{slot}' if it is there, and start with a new checkpoint; max_slot_wal_keep_size and \
         whoever may drop slots decide whether it happens again"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(confirmed: u64) -> Slot {
        Slot { plugin: "pgoutput".into(), database: "shop".into(), wal_status: "reserved".into(), confirmed }
    }

    fn facts(held: Option<u64>, slot: Option<Slot>, copy: CopyState) -> Facts<'static> {
        let held = held.map(|lsn| Position { lsn, system: 1, timeline: 1, ..Position::default() });
        let identity = Identity { system: 1, timeline: 1, flushed: 1000 };
        let directory = "snapshots/s".to_owned();
        Facts { slot_name: "s", database: "shop", slot, identity, held, copy, takes_snapshot: true, directory }
    }

    fn refused(facts: &Facts<'_>) -> (Kind, String) {
        let error = decide(facts).unwrap_err();
        (error.kind(), error.report())
    }

    #[test]
    fn a_checkpoint_goes_on_only_where_every_change_is_still_there() {
        let good = facts(Some(50), Some(slot(50)), CopyState::None);
        assert_eq!(decide(&good).unwrap(), Beginning::At(good.held.unwrap()));
        let gone = refused(&facts(Some(50), None, CopyState::None));
        assert!(gone.0 == Kind::Data && gone.1.contains("slot 's' is gone"), "{}", gone.1);
        let lost = Slot { wal_status: "lost".into(), ..slot(50) };
        assert!(refused(&facts(Some(50), Some(lost), CopyState::None)).1.contains("wal_status = lost"));
        assert!(refused(&facts(Some(50), Some(slot(60)), CopyState::None)).1.contains("the changes between are gone"));
        assert!(refused(&facts(Some(5000), Some(slot(60)), CopyState::None)).1.contains("went back"));
        let other = Slot { plugin: "wal2json".into(), ..slot(50) };
        assert_eq!(refused(&facts(Some(50), Some(other), CopyState::None)).0, Kind::Invalid);
        let mut server = facts(Some(50), Some(slot(50)), CopyState::None);
        server.identity.system = 2;
        assert!(refused(&server).1.contains("another Postgres server"));
        let mut unread = facts(Some(50), Some(slot(50)), CopyState::None);
        unread.held = unread.held.map(|held| Position { snapshot: 3, snapshot_end: 9, ..held });
        assert!(refused(&unread).1.contains("6 bytes"));
    }

    #[test]
    fn a_new_query_makes_its_slot_and_takes_over_no_other() {
        assert_eq!(decide(&facts(None, None, CopyState::None)).unwrap(), Beginning::New { drop_first: false });
        assert_eq!(decide(&facts(None, Some(slot(9)), CopyState::Begun)).unwrap(), Beginning::New { drop_first: true });
        assert!(refused(&facts(None, Some(slot(9)), CopyState::None)).1.contains("whose it is cannot be told"));
        let mut never = facts(None, Some(slot(9)), CopyState::None);
        never.takes_snapshot = false;
        let Beginning::At(start) = decide(&never).unwrap() else { panic!("a new slot") };
        assert_eq!((start.lsn, start.system, start.snapshot_end), (9, 1, 0));
    }

    #[test]
    fn a_copy_that_was_finished_is_used_with_its_slot_alone() {
        let whole = CopyState::Whole { lsn: 9, system: 1, bytes: 77 };
        let Beginning::At(start) = decide(&facts(None, Some(slot(9)), whole)).unwrap() else { panic!("a new slot") };
        assert_eq!((start.lsn, start.snapshot_end), (9, 77));
        assert!(refused(&facts(None, None, whole)).1.contains("snapshots/s belongs to a query that is given up"));
        assert_eq!(refused(&facts(None, Some(slot(20)), whole)).0, Kind::Data, "somebody has read on");
    }

    #[test]
    fn a_server_that_took_over_later_than_we_read_goes_on() {
        let from = Position { lsn: 0x1000, timeline: 1, ..Position::default() };
        assert!(check_history("s", "1\t0/2000\tno recovery target specified\n", &from).is_ok());
        assert!(check_history("s", "1\t0/FFF\tno recovery target specified\n", &from).is_err());
        assert!(check_history("s", "", &from).is_err());
    }
}
