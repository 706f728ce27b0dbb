//! Messages of the plugin pgoutput, version 1 of its protocol. Plain functions over bytes.
//! Source: PostgreSQL 15, "Logical Replication Message Formats".

use bytes::{Buf, Bytes};
use tidemill_core::{Error, Kind, Result};

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// A transaction begins: where its commit is in the log, when it was committed (microseconds since 2000), its id.
    Begin {
        commit: u64,
        committed_at: i64,
        xid: u32,
    },
    /// It ends: the position after it.
    Commit {
        end: u64,
    },
    /// What the table looks like from here on.
    Relation(Relation),
    Insert {
        relation: u32,
        new: Bytes,
    },
    Update {
        relation: u32,
        old: Option<Bytes>,
        new: Bytes,
    },
    Delete {
        relation: u32,
        old: Bytes,
    },
    Truncate {
        relations: Vec<u32>,
    },
    /// Types, origins, messages of programs.
    Other,
}

/// A table as the stream describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) id: u32,
    pub(super) schema: String,
    pub(super) name: String,
    /// True when old rows come whole (REPLICA IDENTITY FULL).
    pub(super) is_full: bool,
    pub(super) columns: Vec<RelationColumn>,
}

/// A column of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RelationColumn {
    pub(super) name: String,
    /// True for a part of the key (of every column when old rows come whole).
    pub(super) is_key: bool,
    /// Object id of its type.
    pub(super) oid: u32,
    /// What the type was made with: digits of a numeric.
    pub(super) modifier: i32,
}

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    /// A large value that the update did not touch: it was not sent.
    Unchanged,
    Text(&'a [u8]),
}

/// Reads one message.
///
/// # Errors
/// A message that is cut off or of a kind that version 1 does not have.
pub(super) fn parse(mut body: Bytes) -> Result<Message> {
    message(&mut body).ok_or_else(|| Error::new(Kind::Data, "a message of pgoutput cannot be read"))
}

fn message(body: &mut Bytes) -> Option<Message> {
    Some(match body.try_get_u8().ok()? {
        b'B' => {
            let (commit, committed_at) = (body.try_get_u64().ok()?, body.try_get_i64().ok()?);
            Message::Begin { commit, committed_at, xid: body.try_get_u32().ok()? }
        }
        b'C' => {
            // flags, position of the commit itself
            let _ = (body.try_get_u8().ok()?, body.try_get_u64().ok()?);
            Message::Commit { end: body.try_get_u64().ok()? }
        }
        b'R' => Message::Relation(relation(body)?),
        b'I' => {
            let relation = body.try_get_u32().ok()?;
            (body.try_get_u8().ok()? == b'N').then_some(())?;
            Message::Insert { relation, new: tuple(body)? }
        }
        b'U' => {
            let (relation, mut kind, mut old) = (body.try_get_u32().ok()?, body.try_get_u8().ok()?, None);
            if matches!(kind, b'K' | b'O') {
                old = Some(tuple(body)?);
                kind = body.try_get_u8().ok()?;
            }
            (kind == b'N').then_some(())?;
            Message::Update { relation, old, new: tuple(body)? }
        }
        b'D' => {
            let relation = body.try_get_u32().ok()?;
            matches!(body.try_get_u8().ok()?, b'K' | b'O').then_some(())?;
            Message::Delete { relation, old: tuple(body)? }
        }
        b'T' => {
            let count = body.try_get_u32().ok()?;
            let _flags = body.try_get_u8().ok()?;
            let relations = (0..count).map(|_| body.try_get_u32().ok()).collect::<Option<_>>()?;
            Message::Truncate { relations }
        }
        b'Y' | b'O' | b'M' => Message::Other,
        _ => return None,
    })
}

fn relation(body: &mut Bytes) -> Option<Relation> {
    let (id, schema, name) = (body.try_get_u32().ok()?, text(body)?, text(body)?);
    let is_full = body.try_get_u8().ok()? == b'f';
    let count = body.try_get_u16().ok()?;
    let column = |_| {
        let is_key = body.try_get_u8().ok()? & 1 == 1;
        let name = text(body)?;
        Some(RelationColumn { name, is_key, oid: body.try_get_u32().ok()?, modifier: body.try_get_i32().ok()? })
    };
    let columns = (0..count).map(column).collect::<Option<_>>()?;
    Some(Relation { id, schema, name, is_full, columns })
}

/// A text that ends with a zero byte.
fn text(body: &mut Bytes) -> Option<String> {
    let end = body.iter().position(|byte| *byte == 0)?;
    let text = String::from_utf8(body.split_to(end).to_vec()).ok()?;
    body.advance(1);
    Some(text)
}

/// Cuts a row off the front of `body`, as it is.
fn tuple(body: &mut Bytes) -> Option<Bytes> {
    let all = body.clone();
    let columns = body.try_get_u16().ok()?;
    for _ in 0..columns {
        match body.try_get_u8().ok()? {
            b'n' | b'u' => {}
            b't' => {
                let length = body.try_get_u32().ok()? as usize;
                (body.len() >= length).then(|| body.advance(length))?;
            }
            _ => return None,
        }
    }
    Some(all.slice(..all.len() - body.len()))
}

/// The values of a row that [`parse`] has cut off or [`Row`](super::buffer::Row) holds; ends early if it is cut off.
pub(super) fn values(tuple: &[u8]) -> impl Iterator<Item = Value<'_>> {
    let mut rest = tuple.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let kind = rest.try_get_u8().ok()?;
        Some(match kind {
            b'n' => Value::Null,
            b'u' => Value::Unchanged,
            _ => {
                let length = rest.try_get_u32().ok()? as usize;
                let value = rest.get(..length)?;
                rest.advance(length);
                Value::Text(value)
            }
        })
    })
}

/// Writes a row as the plugin does: the count of columns first, then each value with its kind.
pub(super) fn write_tuple<'a>(values: impl ExactSizeIterator<Item = Option<&'a [u8]>>, out: &mut Vec<u8>) {
    // a table has at most 1600 columns
    out.extend((values.len() as u16).to_be_bytes());
    for value in values {
        match value {
            None => out.push(b'n'),
            Some(value) => {
                out.push(b't');
                out.extend((value.len() as u32).to_be_bytes());
                out.extend(value);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A row; `~` is NULL, `^` a value that was not sent.
    pub(in super::super) fn row(texts: &[&str]) -> Bytes {
        let mut out = (texts.len() as u16).to_be_bytes().to_vec();
        for text in texts {
            match *text {
                "~" => out.push(b'n'),
                "^" => out.push(b'u'),
                text => {
                    out.push(b't');
                    out.extend((text.len() as u32).to_be_bytes());
                    out.extend(text.as_bytes());
                }
            }
        }
        out.into()
    }

    fn joined(parts: &[&[u8]]) -> Bytes {
        parts.concat().into()
    }

    #[test]
    fn rows_are_cut_out_of_changes() {
        let relation = 7_u32.to_be_bytes();
        let (old, new) = (row(&["1", "~"]), row(&["2", "^"]));
        let update = joined(&[b"U", &relation, b"K", &old, b"N", &new]);
        assert_eq!(parse(update).unwrap(), Message::Update { relation: 7, old: Some(old.clone()), new: new.clone() });
        let insert = joined(&[b"I", &relation, b"N", &new]);
        assert_eq!(parse(insert).unwrap(), Message::Insert { relation: 7, new: new.clone() });
        let delete = joined(&[b"D", &relation, b"O", &old]);
        assert_eq!(parse(delete).unwrap(), Message::Delete { relation: 7, old });
        assert_eq!(values(&new).collect::<Vec<_>>(), [Value::Text(b"2"), Value::Unchanged]);
    }

    #[test]
    fn transactions_and_tables_are_read() {
        let begin = joined(&[b"B", &9_u64.to_be_bytes(), &5_i64.to_be_bytes(), &3_u32.to_be_bytes()]);
        assert_eq!(parse(begin).unwrap(), Message::Begin { commit: 9, committed_at: 5, xid: 3 });
        let commit = joined(&[b"C\0", &9_u64.to_be_bytes(), &12_u64.to_be_bytes(), &5_i64.to_be_bytes()]);
        assert_eq!(parse(commit).unwrap(), Message::Commit { end: 12 });
        let column = [b"\x01id\0".as_slice(), &23_u32.to_be_bytes(), &(-1_i32).to_be_bytes()].concat();
        let relation = joined(&[b"R", &7_u32.to_be_bytes(), b"public\0orders\0d\0\x01", &column]);
        let Message::Relation(relation) = parse(relation).unwrap() else { panic!("no relation") };
        assert_eq!((relation.name.as_str(), relation.is_full, relation.columns[0].oid), ("orders", false, 23));
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(bytes.clone().into());
            let _ = values(&bytes).count();
        }

        #[test]
        fn written_rows_are_read_again(texts in proptest::collection::vec(proptest::option::of(".{0,9}"), 0..9)) {
            let mut out = Vec::new();
            write_tuple(texts.iter().map(|text| text.as_ref().map(String::as_bytes)), &mut out);
            let read: Vec<_> = values(&out).collect();
            let wanted = texts.iter().map(|text| text.as_ref().map_or(Value::Null, |text| Value::Text(text.as_bytes())));
            prop_assert_eq!(read, wanted.collect::<Vec<_>>());
        }
    }
}
