//! What the decoder knows of the objects it reads: the wanted fields of each, and a guess at the order
//! of the keys, learned from the records before. Most records of a stream have the same keys in the
//! same order, so one comparison finds the field of most keys.

use super::fault::Fault;
use super::scan::{Cursor, unescape};
use crate::format::column::map_entry;
use arrow::datatypes::{DataType, FieldRef, Fields};
use std::collections::HashMap;
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

/// Keys a guess remembers at most, and how long they are at most, in bytes.
const GUESSED_KEYS_MAX: usize = 1024;
const GUESSED_KEY_BYTES_MAX: usize = 256;

/// How a value nests, beside the column it is written to. Cloned for every chunk: guesses are not
/// shared between threads.
#[derive(Clone)]
pub(super) enum Shape {
    /// A value without fields.
    Leaf,
    Object(Object),
    List(FieldRef, Box<Shape>),
    Map(FieldRef, Box<Shape>),
}

/// The wanted fields of an object.
#[derive(Clone)]
pub(super) struct Object {
    pub fields: Fields,
    pub shapes: Vec<Shape>,
    index: Arc<Index>,
    guess: Vec<Guess>,
    next: usize,
    /// Number of the object being read, and when each field was last written.
    serial: u64,
    written: Vec<Written>,
}

/// Positions of fields by name.
struct Index {
    exact: HashMap<Vec<u8>, usize>,
    any_case: HashMap<String, usize>,
}

#[derive(Clone)]
struct Guess {
    /// The key in its quotes, as written.
    quoted: Box<[u8]>,
    wanted: Option<Wanted>,
}

/// A wanted field that a key names.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub field: usize,
    /// The key is the field's name to the letter.
    exact: bool,
}

#[derive(Clone, Copy, Default)]
struct Written {
    serial: u64,
    exact: bool,
}

/// What to do with the value of a wanted field.
pub(super) enum Place {
    /// Write it.
    New,
    /// Write it instead of an earlier one: of equal keys the last wins.
    Again,
    /// Pass over it: a key in the right case came before.
    Shadowed,
}

impl Shape {
    /// The shape of values of type `of`.
    ///
    /// # Errors
    /// A map whose keys are not strings, which JSON cannot hold.
    pub fn of(of: &DataType) -> Result<Shape> {
        Ok(match of {
            DataType::Struct(fields) => Shape::Object(Object::new(fields)?),
            DataType::List(item) => Shape::List(item.clone(), Box::new(Shape::of(item.data_type())?)),
            DataType::Map(entries, _) => {
                let (key, value) = map_entry(entries.data_type())?;
                if *key != DataType::Utf8 {
                    return Err(Error::invalid(format!(
                        "{} cannot be read: its keys are not strings",
                        types::name(of)
                    )));
                }
                let DataType::Struct(fields) = entries.data_type() else { return Ok(Shape::Leaf) };
                Shape::Map(fields[1].clone(), Box::new(Shape::of(value)?))
            }
            _ => Shape::Leaf,
        })
    }
}

impl Object {
    /// The object whose wanted fields are `fields`.
    ///
    /// # Errors
    /// As [`Shape::of`].
    pub fn new(fields: &Fields) -> Result<Object> {
        let shapes = fields.iter().map(|field| Shape::of(field.data_type())).collect::<Result<_>>()?;
        let mut index = Index { exact: HashMap::new(), any_case: HashMap::new() };
        for (at, field) in fields.iter().enumerate() {
            index.exact.entry(field.name().clone().into_bytes()).or_insert(at);
            index.any_case.entry(field.name().to_lowercase()).or_insert(at);
        }
        Ok(Object {
            fields: fields.clone(),
            shapes,
            index: Arc::new(index),
            guess: Vec::new(),
            next: 0,
            serial: 0,
            written: vec![Written::default(); fields.len()],
        })
    }

    /// A new object begins.
    #[inline]
    pub fn begin(&mut self) {
        self.next = 0;
        self.serial += 1;
    }

    /// Reads the key at the cursor and the colon behind it; tells which wanted field it names.
    #[inline]
    pub fn key(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<Wanted>, Fault> {
        // The key that came next last time, or the one after it: optional fields come and go.
        for ahead in 0..2 {
            if let Some(guess) = self.guess.get(self.next + ahead)
                && starts_with(&cursor.bytes[cursor.at..], &guess.quoted)
            {
                self.next += ahead + 1;
                cursor.at += guess.quoted.len();
                cursor.colon()?;
                return Ok(guess.wanted);
            }
        }
        self.look_up(cursor)
    }

    /// The slow way: finds the key by name, and guesses it for the next record.
    fn look_up(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<Wanted>, Fault> {
        let start = cursor.at;
        let key = cursor.key()?;
        if key.escaped {
            let mut name = Vec::new();
            unescape(key, start, &mut name)?;
            return Ok(self.index.find(&name));
        }
        let wanted = self.index.find(key.raw);
        if self.next < GUESSED_KEYS_MAX && key.raw.len() <= GUESSED_KEY_BYTES_MAX {
            let guess = Guess { quoted: cursor.bytes[start..start + key.raw.len() + 2].into(), wanted };
            match self.guess.get_mut(self.next) {
                Some(wrong) => *wrong = guess,
                None => self.guess.push(guess),
            }
            self.next += 1;
        }
        Ok(wanted)
    }

    /// What to do with the value of `wanted`, whose key has just been read.
    #[inline]
    pub fn place(&mut self, wanted: Wanted) -> Place {
        let written = &mut self.written[wanted.field];
        let place = match (written.serial == self.serial, written.exact && !wanted.exact) {
            (false, _) => Place::New,
            (true, false) => Place::Again,
            (true, true) => return Place::Shadowed,
        };
        *written = Written { serial: self.serial, exact: wanted.exact };
        place
    }

    /// True when the object has had no key for the field.
    pub fn lacks(&self, field: usize) -> bool {
        self.written[field].serial != self.serial
    }
}

/// True when `text` begins with `key`. Keys are short: two overlapping words compare most of them in
/// place, where a call to compare memory would cost more than it compares.
#[inline]
fn starts_with(text: &[u8], key: &[u8]) -> bool {
    let (Some(text), length) = (text.get(..key.len()), key.len()) else { return false };
    match (text.first_chunk::<8>(), key.first_chunk::<8>(), text.last_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(a), Some(b), Some(c), Some(d)) if length <= 16 => {
            (u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b)) | (u64::from_le_bytes(*c) ^ u64::from_le_bytes(*d)) == 0
        }
        _ => text == key,
    }
}

impl Index {
    fn find(&self, key: &[u8]) -> Option<Wanted> {
        if let Some(field) = self.exact.get(key) {
            return Some(Wanted { field: *field, exact: true });
        }
        let name = std::str::from_utf8(key).ok()?.to_lowercase();
        self.any_case.get(&name).map(|field| Wanted { field: *field, exact: false })
    }
}
