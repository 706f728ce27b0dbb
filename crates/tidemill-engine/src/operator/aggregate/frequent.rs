//! The most frequent of many items, in a hash map that never grows beyond a bound: when it is full, the
//! median count is taken from every count and items that had no more go. D. Anderson and others, "A
//! High-Performance Algorithm for Identifying Frequent Items in Data Streams" (IMC 2017), as Apache
//! DataSketches has it and Spark uses it; the order of equally frequent items is that of the map.

use super::sketches::Sketch;

/// Smallest map.
const LEAST: usize = 8;
/// Counts looked at for a median.
const SAMPLE: usize = 1024;
/// Shift from one item to the next when the map is read, as a share of its size.
const STRIDE: f64 = 0.618_033_988_749_894_9;

/// An item as it is added: its bytes, and Java's hash code of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The row format's bytes.
    pub bytes: Box<[u8]>,
    /// `hashCode`.
    pub code: i32,
}

/// The map, and how many NULLs came.
#[derive(Debug, Clone)]
pub struct Frequent {
    most: usize,
    places: Vec<Option<(Item, i64)>>,
    used: usize,
    /// What has been taken from the counts so far.
    taken: i64,
    nulls: i64,
}

impl Frequent {
    /// No items; at most so many are tracked.
    pub fn new(tracked: usize) -> Self {
        let most = (tracked as f64 / 0.75).ceil() as usize;
        Frequent::sized(most.next_power_of_two().max(LEAST), LEAST)
    }

    fn sized(most: usize, size: usize) -> Self {
        Frequent { most, places: vec![None; size], used: 0, taken: 0, nulls: 0 }
    }

    /// A map with these items, put in one after the other.
    pub fn of(tracked: usize, items: Vec<(Item, i64)>, taken: i64, nulls: i64) -> Self {
        let mut map = Frequent::new(tracked);
        let mut size = LEAST;
        while items.len() > size * 3 / 4 {
            size *= 2;
        }
        map.refill(size, items);
        map.taken += taken;
        map.nulls = nulls;
        map
    }

    /// The items and their counts, by place.
    pub fn placed(&self) -> impl Iterator<Item = &(Item, i64)> {
        self.places.iter().flatten()
    }

    /// The same as it is after it was written and read.
    fn reread(&self) -> Self {
        let mut map = Frequent::sized(self.most, self.places.len());
        self.placed().cloned().for_each(|(item, count)| map.raise(item, count));
        map
    }

    /// The same as it is after it was added to an empty map.
    fn rebuilt(&self) -> Self {
        let mut map = Frequent::sized(self.most, LEAST);
        self.items().cloned().for_each(|(item, count)| map.raise(item, count));
        map.taken += self.taken;
        map.nulls = self.nulls;
        map
    }

    /// The items and their counts, as they stand in the map.
    pub fn items(&self) -> impl Iterator<Item = &(Item, i64)> {
        let (size, start) = (self.places.len(), 0usize);
        let stride = (size as f64 * STRIDE) as usize | 1;
        (0..size).filter_map(move |step| self.places[(start + step * stride) & (size - 1)].as_ref())
    }

    /// What has been taken from every count.
    pub fn taken(&self) -> i64 {
        self.taken
    }

    /// How many NULLs came.
    pub fn nulls(&self) -> i64 {
        self.nulls
    }

    /// The most frequent items and about how often they came; `None` is NULL. Items that came less often
    /// than the counts may be wrong are left out.
    pub fn top(&self, count: usize) -> Vec<(Option<&Item>, i64)> {
        let sure = self.items().filter(|(_, count)| *count >= self.taken);
        let mut all: Vec<_> = sure.map(|(item, count)| (Some(item), count + self.taken)).collect();
        if self.nulls > 0 {
            all.push((None, self.nulls));
        }
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        all.truncate(count);
        all
    }

    fn raise(&mut self, item: Item, count: i64) {
        let mut place = spread(item.code) as usize & (self.places.len() - 1);
        while let Some((known, have)) = &mut self.places[place] {
            if *known == item {
                *have += count;
                return;
            }
            place = (place + 1) & (self.places.len() - 1);
        }
        self.places[place] = Some((item, count));
        self.used += 1;
        if self.used > self.places.len() * 3 / 4 {
            if self.places.len() < self.most { self.grow() } else { self.purge() }
        }
    }

    fn refill(&mut self, size: usize, items: Vec<(Item, i64)>) {
        self.places = vec![None; size];
        self.used = 0;
        items.into_iter().for_each(|(item, count)| self.raise(item, count));
    }

    fn grow(&mut self) {
        let size = self.places.len() * 2;
        let items = std::mem::take(&mut self.places).into_iter().flatten().collect();
        self.refill(size, items);
    }

    fn purge(&mut self) {
        let mut sample: Vec<i64> = self.places.iter().flatten().map(|(_, count)| *count).take(SAMPLE).collect();
        let middle = sample.len() / 2;
        let (_, median, _) = sample.select_nth_unstable(middle);
        let (median, size) = (*median, self.places.len());
        let items = std::mem::take(&mut self.places).into_iter().flatten();
        let items = items.map(|(item, count)| (item, count - median)).filter(|(_, count)| *count > 0).collect();
        self.taken += median;
        self.refill(size, items);
    }
}

/// The finalizer of MurmurHash3, over the code as a long.
fn spread(code: i32) -> u64 {
    let mut key = i64::from(code) as u64;
    key ^= key >> 33;
    key = key.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    key ^= key >> 33;
    key = key.wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    key ^ key >> 33
}

impl Sketch for Frequent {
    type Value<'a> = Option<Item>;

    fn add(&mut self, value: Option<Item>) {
        match value {
            Some(item) => self.raise(item, 1),
            None => self.nulls += 1,
        }
    }

    fn finish(&mut self) {
        *self = self.rebuilt();
    }

    fn merge(&mut self, other: &Self) {
        *self = self.rebuilt();
        other.reread().items().cloned().for_each(|(item, count)| self.raise(item, count));
        self.taken += other.taken;
        self.nulls += other.nulls;
    }

    fn size(&self) -> usize {
        self.places.capacity() * size_of::<Option<(Item, i64)>>()
            + self.places.iter().flatten().map(|(item, _)| item.bytes.len()).sum::<usize>()
    }
}
