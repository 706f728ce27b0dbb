//! What a sink says of us, from the application ids it holds. Shared by the sinks that keep one entry
//! a writer.

use tidemill_core::sink::{Marker, Writer};
use tidemill_core::{Epoch, Incarnation};

/// The marker of `writer` among `entries` (application id and newest epoch). Of several foreign
/// incarnations the one with the most epochs is named.
pub(crate) fn find<'a>(writer: &Writer, entries: impl IntoIterator<Item = (&'a str, u64)>) -> Marker {
    let (own, prefix) = (writer.id(), writer.prefix());
    let mut foreign: Option<(u64, &str)> = None;
    for (id, epoch) in entries {
        if id == own {
            return Marker::At(Epoch(epoch));
        }
        if let Some(incarnation) = id.strip_prefix(&prefix) {
            foreign = foreign.max(Some((epoch, incarnation)));
        }
    }
    foreign.map_or(Marker::Absent, |(_, incarnation)| Marker::Foreign(Incarnation(incarnation.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_entry_wins_and_another_query_does_not_count() {
        let writer = Writer { query: "q".into(), sink: "s".into(), incarnation: Incarnation("new".into()) };
        let table: &[(&[(&str, u64)], Marker)] = &[
            (&[], Marker::Absent),
            (&[("tidemill/other/s/new", 4)], Marker::Absent),
            (&[("tidemill/q/s/old", 4), ("tidemill/q/s/older", 2)], Marker::Foreign(Incarnation("old".into()))),
            (&[("tidemill/q/s/old", 4), ("tidemill/q/s/new", 1)], Marker::At(Epoch(1))),
        ];
        for (entries, expected) in table {
            assert_eq!(&find(&writer, entries.iter().copied()), expected);
        }
    }
}
