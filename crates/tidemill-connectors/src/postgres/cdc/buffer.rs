//! Changes that have come and are not yet durable, in order of commits, and what of them an epoch takes. No I/O.

use super::message::{Message, Relation, Value, values};
use super::position::Position;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result};

/// What a row takes besides its values, about.
const ROW_BYTES: usize = 128;

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    Update,
    Delete,
    Truncate,
    /// It was there when the source began.
    Read,
}

impl Operation {
    /// The letter that Debezium has for it.
    pub(super) fn letter(self) -> &'static str {
        match self {
            Operation::Create => "c",
            Operation::Update => "u",
            Operation::Delete => "d",
            Operation::Truncate => "t",
            Operation::Read => "r",
        }
    }
}

/// The transaction of a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Transaction {
    /// Where its commit is in the log.
    pub(super) lsn: u64,
    /// When it was committed, in microseconds since 1970.
    pub(super) committed_at: i64,
    /// Its id; `None` for rows that were there before.
    pub(super) xid: Option<u32>,
}

/// A row that goes on: a change may make two.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) operation: Operation,
    pub(super) transaction: Arc<Transaction>,
    /// Its number within the transaction.
    pub(super) number: u64,
    pub(super) relation: Arc<Relation>,
    pub(super) old: Option<Bytes>,
    pub(super) new: Option<Bytes>,
}

impl Row {
    fn bytes(&self) -> usize {
        let size = |tuple: &Option<Bytes>| tuple.as_ref().map_or(0, Bytes::len);
        ROW_BYTES + size(&self.old) + size(&self.new)
    }
}

/// A transaction that is here whole: the number after its last row, and the position after it.
#[derive(Debug, Clone, Copy)]
struct End {
    rows: u64,
    lsn: u64,
}

/// A transaction whose end has not come yet.
#[derive(Debug)]
struct Open {
    transaction: Arc<Transaction>,
    /// Rows that have come.
    rows: u64,
}

/// The buffer.
#[derive(Debug)]
pub(super) struct Buffer {
    /// Number of the first row.
    first: u64,
    rows: VecDeque<Row>,
    ends: VecDeque<End>,
    open: Option<Open>,
    /// Everything up to here has come.
    seen: u64,
    /// Rows at the start of the next transaction that are known already, and where its commit is if that is known.
    skip: (u64, Option<u64>),
    relations: HashMap<u32, Arc<Relation>>,
    /// The table, and the columns of its primary key.
    table: u32,
    key: Vec<String>,
    bytes: usize,
    bytes_max: usize,
    /// Rows up to this number are let in whatever their size: they were planned.
    wanted: u64,
    /// What ends the stream after these rows.
    failure: Option<Error>,
    /// Up to where the server waits to hear that everything is durable.
    asked: Option<u64>,
}

impl Buffer {
    /// Rows of `table`, from `position` on.
    pub(super) fn new(position: &Position, table: u32, key: Vec<String>, bytes_max: usize) -> Self {
        Buffer {
            first: position.rows,
            rows: VecDeque::new(),
            ends: VecDeque::new(),
            open: None,
            seen: position.lsn,
            skip: (position.inside, None),
            relations: HashMap::new(),
            table,
            key,
            bytes: 0,
            bytes_max,
            wanted: 0,
            failure: None,
            asked: None,
        }
    }

    /// Number after the last row.
    pub(super) fn end(&self) -> u64 {
        self.first + self.rows.len() as u64
    }

    /// Everything up to here has come.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// True when no more should come for now.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max && self.end() >= self.wanted
    }

    /// Lets rows in up to this number.
    pub(super) fn want(&mut self, rows: u64) {
        self.wanted = self.wanted.max(rows);
    }

    /// Where the stream begins again after a lost connection; what comes twice from there is passed over.
    pub(super) fn begin_again(&mut self) -> u64 {
        if let Some(open) = self.open.take() {
            self.skip = (open.rows.max(self.skip.0), Some(open.transaction.lsn));
        }
        self.relations.clear();
        self.seen
    }

    /// True when the buffer holds a description of `relation` that is the same.
    pub(super) fn knows(&self, relation: &Relation) -> bool {
        self.relations.get(&relation.id).is_some_and(|known| **known == *relation)
    }

    /// Takes a message in.
    ///
    /// # Errors
    /// The stream is not what it must be.
    pub(super) fn take(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Begin { commit, committed_at, xid } => {
                if let (_, Some(known)) = self.skip
                    && known != commit
                {
                    return Err(Error::new(
                        Kind::Data,
                        "the server sends another transaction than the one that was begun before the connection was lost",
                    )
                    .help("the slot was moved by somebody else: start with a new checkpoint and a new slot"));
                }
                let committed_at = committed_at + super::POSTGRES_EPOCH_MICROS;
                // they come in the order of their commits
                self.seen = self.seen.max(commit);
                let transaction = Arc::new(Transaction { lsn: commit, committed_at, xid: Some(xid) });
                self.open = Some(Open { transaction, rows: 0 });
            }
            Message::Commit { end } => {
                let has_rows = self.open.take().is_some_and(|open| open.rows > 0);
                self.skip = (0, None);
                self.seen = self.seen.max(end);
                if has_rows {
                    self.ends.push_back(End { rows: self.end(), lsn: end });
                }
            }
            Message::Relation(relation) => {
                self.relations.insert(relation.id, Arc::new(relation));
            }
            Message::Insert { relation, new } => self.change(relation, Operation::Create, None, Some(new))?,
            Message::Update { relation, old, new } => match self.other_key(relation, old.as_deref(), &new) {
                true => {
                    // as Debezium does: whoever keeps rows by key has to let the old one go
                    self.change(relation, Operation::Delete, old, None)?;
                    self.change(relation, Operation::Create, None, Some(new))?;
                }
                false => self.change(relation, Operation::Update, old, Some(new))?,
            },
            Message::Delete { relation, old } => self.change(relation, Operation::Delete, Some(old), None)?,
            Message::Truncate { relations } => {
                if relations.contains(&self.table) {
                    self.change(self.table, Operation::Truncate, None, None)?;
                }
            }
            Message::Other => {}
        }
        Ok(())
    }

    /// Notes how far the server has sent, and whether it waits for us.
    pub(super) fn alive(&mut self, end: u64, wants_reply: bool) {
        if self.open.is_none() {
            self.seen = self.seen.max(end);
        }
        if wants_reply {
            self.asked = Some(end);
        }
    }

    /// Up to where the server waits to hear that everything is durable; asked once.
    pub(super) fn take_asked(&mut self) -> Option<u64> {
        self.asked.take()
    }

    /// Ends the stream after what is here.
    pub(super) fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    /// The failure, for whoever has taken everything before it.
    pub(super) fn failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    fn change(&mut self, relation: u32, operation: Operation, old: Option<Bytes>, new: Option<Bytes>) -> Result<()> {
        if relation != self.table {
            return Ok(());
        }
        let missing = || Error::new(Kind::Data, "the server sent a change before its transaction or its table");
        let known = self.relations.get(&relation).ok_or_else(missing)?.clone();
        let open = self.open.as_mut().ok_or_else(missing)?;
        let number = open.rows;
        open.rows += 1;
        if number < self.skip.0 {
            return Ok(());
        }
        let row = Row { operation, transaction: open.transaction.clone(), number, relation: known, old, new };
        self.bytes += row.bytes();
        self.rows.push_back(row);
        Ok(())
    }

    /// True when an update gives the row another key.
    fn other_key(&self, relation: u32, old: Option<&[u8]>, new: &[u8]) -> bool {
        let (Some(relation), Some(old)) = (self.relations.get(&relation), old) else { return false };
        let is_key = |column: &super::message::RelationColumn| match relation.is_full {
            true => self.key.contains(&column.name),
            false => column.is_key,
        };
        let pairs = relation.columns.iter().zip(values(old).zip(values(new)));
        pairs
            .filter(|(column, _)| is_key(column))
            .any(|(_, (old, new))| new != Value::Unchanged && old != Value::Unchanged && old != new)
    }

    /// Rows by their numbers; `None` while they are not all here, or no longer.
    pub(super) fn rows(&self, numbers: Range<u64>) -> Option<Vec<Row>> {
        let is_here = self.first <= numbers.start && numbers.end <= self.end();
        let at = |number: u64| (number - self.first) as usize;
        is_here.then(|| self.rows.range(at(numbers.start)..at(numbers.end)).cloned().collect())
    }

    /// True when rows before `number` have been let go.
    pub(super) fn is_before(&self, number: u64) -> bool {
        number < self.first
    }

    /// Lets rows before `number` go.
    pub(super) fn forget(&mut self, number: u64) {
        while self.first < number
            && let Some(row) = self.rows.pop_front()
        {
            self.bytes -= row.bytes();
            self.first += 1;
        }
        while self.ends.front().is_some_and(|end| end.rows < number) {
            self.ends.pop_front();
        }
    }

    /// How far an epoch of about `bytes_max` reads from `from` on: whole transactions as long as one fits, else a piece of
    /// one. Nothing of transactions that end after `until`. `from` itself when there is nothing to read yet.
    pub(super) fn next(&self, from: &Position, until: Option<u64>, bytes_max: u64) -> Position {
        // a transaction of which every row was read before its end came is behind us
        let behind = self.ends.iter().rev().find(|end| end.rows == from.rows && end.lsn > from.lsn);
        let base = behind.map_or(*from, |end| Position { lsn: end.lsn, inside: 0, ..*from });
        let (mut fit, mut bytes) = (from.rows, 0);
        while fit < self.end() {
            bytes += self.rows[(fit - self.first) as usize].bytes() as u64;
            if bytes > bytes_max && fit > from.rows {
                break;
            }
            fit += 1;
        }
        let within = |lsn: u64| until.is_none_or(|until| lsn <= until);
        let whole = |end: &&End| end.rows > from.rows && end.rows <= fit && within(end.lsn);
        if let Some(end) = self.ends.iter().rev().find(whole) {
            let mut to = Position { lsn: end.lsn, inside: 0, rows: end.rows, ..base };
            if end.rows == self.end() && self.open.is_none() {
                to.lsn = to.lsn.max(until.unwrap_or(u64::MAX).min(self.seen));
            }
            return to;
        }
        let first = self.ends.iter().find(|end| end.rows > from.rows);
        let is_due = match (first, &self.open) {
            (Some(end), _) => within(end.lsn),
            (None, Some(open)) => (fit < self.end() || self.is_full()) && within(open.transaction.lsn + 1),
            (None, None) => false,
        };
        match is_due && fit > from.rows {
            true => Position { inside: base.inside + (fit - from.rows), rows: fit, ..base },
            false => *from,
        }
    }

    /// How far the log is read when no row is left: everything up to there has come and holds nothing of the table.
    pub(super) fn idle(&self, from: &Position, until: Option<u64>) -> u64 {
        let is_idle = self.open.is_none() && from.rows >= self.end() && self.failure.is_none();
        if is_idle { self.seen.min(until.unwrap_or(u64::MAX)).max(from.lsn) } else { from.lsn }
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::RelationColumn;
    use super::super::message::tests::row;
    use super::*;

    const TABLE: u32 = 7;

    fn table(is_full: bool) -> Relation {
        let column = |name: &str, is_key| RelationColumn { name: name.into(), is_key, oid: 25, modifier: -1 };
        let columns = vec![column("id", true), column("note", is_full)];
        Relation { id: TABLE, schema: "public".into(), name: "t".into(), is_full, columns }
    }

    fn buffer_from(from: &Position) -> Buffer {
        let mut buffer = Buffer::new(from, TABLE, vec!["id".into()], 1 << 20);
        buffer.take(Message::Relation(table(false))).unwrap();
        buffer
    }

    fn begin(buffer: &mut Buffer, commit: u64) {
        buffer.take(Message::Begin { commit, committed_at: 0, xid: 1 }).unwrap();
    }

    fn insert(buffer: &mut Buffer, id: &str) {
        buffer.take(Message::Insert { relation: TABLE, new: row(&[id, "x"]) }).unwrap();
    }

    /// A transaction of `ids` whose commit is at `commit`.
    fn transaction(buffer: &mut Buffer, commit: u64, ids: &[&str]) {
        begin(buffer, commit);
        ids.iter().for_each(|id| insert(buffer, id));
        buffer.take(Message::Commit { end: commit + 10 }).unwrap();
    }

    fn start() -> Position {
        Position { lsn: 5, ..Position::default() }
    }

    #[test]
    fn epochs_end_with_transactions_as_long_as_one_fits() {
        let mut buffer = buffer_from(&start());
        transaction(&mut buffer, 100, &["1", "2"]);
        transaction(&mut buffer, 200, &["3"]);
        begin(&mut buffer, 300);
        insert(&mut buffer, "4");
        let all = buffer.next(&start(), None, u64::MAX);
        assert_eq!((all.lsn, all.inside, all.rows), (210, 0, 3), "the open one waits");
        let two = buffer.next(&start(), None, 2 * 145);
        assert_eq!((two.lsn, two.inside, two.rows), (110, 0, 2));
        let bounded = buffer.next(&start(), Some(209), u64::MAX);
        assert_eq!((bounded.lsn, bounded.rows), (110, 2), "nothing that ends after the bound");
        assert_eq!(buffer.next(&all, None, u64::MAX), all);
    }

    #[test]
    fn a_transaction_larger_than_an_epoch_is_read_in_pieces() {
        let mut buffer = buffer_from(&start());
        transaction(&mut buffer, 100, &["1", "2", "3"]);
        let piece = buffer.next(&start(), None, 1);
        assert_eq!((piece.lsn, piece.inside, piece.rows), (5, 1, 1));
        let more = buffer.next(&piece, None, 1);
        assert_eq!((more.lsn, more.inside, more.rows), (5, 2, 2));
        let last = buffer.next(&more, None, 1);
        assert_eq!((last.lsn, last.inside, last.rows), (110, 0, 3));
        // a start from the middle of it counts on
        let mut again = buffer_from(&more);
        transaction(&mut again, 100, &["1", "2", "3"]);
        assert_eq!((again.first, again.end(), again.next(&more, None, 1)), (2, 3, last));
    }

    #[test]
    fn pieces_of_the_next_transaction_are_counted_from_its_own_start() {
        let mut buffer = Buffer::new(&start(), TABLE, vec![], 200);
        buffer.take(Message::Relation(table(false))).unwrap();
        begin(&mut buffer, 100);
        insert(&mut buffer, "1");
        insert(&mut buffer, "2");
        let all = buffer.next(&start(), None, u64::MAX);
        assert_eq!((all.lsn, all.inside), (5, 2), "the buffer is full, and the end has not come");
        buffer.forget(all.rows);
        buffer.take(Message::Commit { end: 110 }).unwrap();
        assert_eq!(buffer.next(&all, None, 1), all);
        transaction(&mut buffer, 200, &["3", "4"]);
        let piece = buffer.next(&all, None, 1);
        assert_eq!((piece.lsn, piece.inside, piece.rows), (110, 1, 3));
    }

    #[test]
    fn a_lost_connection_leaves_no_row_out_and_doubles_none() {
        let mut buffer = buffer_from(&start());
        transaction(&mut buffer, 100, &["1"]);
        begin(&mut buffer, 200);
        insert(&mut buffer, "2");
        assert_eq!(buffer.begin_again(), 200, "where the commit is");
        buffer.take(Message::Relation(table(false))).unwrap();
        transaction(&mut buffer, 200, &["2", "3"]);
        let rows = buffer.rows(0..3).unwrap();
        assert_eq!(
            rows.iter().map(|row| row.new.clone().unwrap()).collect::<Vec<_>>(),
            [row(&["1", "x"]), row(&["2", "x"]), row(&["3", "x"])]
        );
        assert_eq!(rows.iter().map(|row| row.number).collect::<Vec<_>>(), [0, 0, 1]);
        begin(&mut buffer, 300);
        insert(&mut buffer, "4");
        buffer.begin_again();
        assert!(buffer.take(Message::Begin { commit: 400, committed_at: 0, xid: 9 }).is_err(), "another one");
    }

    #[test]
    fn an_update_of_the_key_lets_the_old_row_go() {
        let mut buffer = buffer_from(&start());
        begin(&mut buffer, 100);
        let update =
            |old: &[&str], new: &[&str]| Message::Update { relation: TABLE, old: Some(row(old)), new: row(new) };
        buffer.take(update(&["1", "~"], &["2", "x"])).unwrap();
        buffer.take(update(&["2", "~"], &["2", "y"])).unwrap();
        buffer.take(Message::Relation(table(true))).unwrap();
        buffer.take(update(&["2", "y"], &["2", "z"])).unwrap();
        buffer.take(Message::Truncate { relations: vec![9, TABLE] }).unwrap();
        let operations: Vec<_> = buffer.rows(0..5).unwrap().iter().map(|row| row.operation.letter()).collect();
        assert_eq!(operations, ["d", "c", "u", "u", "t"]);
    }

    #[test]
    fn an_idle_table_moves_on_with_the_log() {
        let mut buffer = buffer_from(&start());
        buffer.alive(50, false);
        assert_eq!((buffer.idle(&start(), None), buffer.idle(&start(), Some(20))), (50, 20));
        begin(&mut buffer, 60);
        buffer.alive(70, true);
        assert_eq!((buffer.seen(), buffer.take_asked()), (60, Some(70)), "not within a transaction");
        assert_eq!(buffer.idle(&start(), None), 5);
    }

    #[test]
    fn rows_are_kept_until_they_are_let_go_and_bound_memory() {
        let mut buffer = Buffer::new(&start(), TABLE, vec![], 200);
        buffer.take(Message::Relation(table(false))).unwrap();
        transaction(&mut buffer, 100, &["1"]);
        assert!(!buffer.is_full());
        transaction(&mut buffer, 200, &["2"]);
        assert!(buffer.is_full());
        buffer.want(3);
        assert!(!buffer.is_full(), "what was planned must come");
        transaction(&mut buffer, 300, &["3"]);
        buffer.forget(2);
        assert!(buffer.rows(1..3).is_none() && buffer.is_before(1) && buffer.rows(2..3).is_some() && !buffer.is_full());
    }
}
