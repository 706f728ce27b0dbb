//! Which keys of a store an operator has to look at in an epoch: those that came, and those that time asks for.

/// Keys that are worked on at once when nothing but time asks for them.
pub const KEYS_AT_ONCE: usize = 1 << 16;

/// Keys to look at, and the reminders that pointed to some of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Where the keys are in the store, in order, each once.
    pub places: Vec<Vec<u8>>,
    /// Reminders, which are done with when the keys have been looked at; in order.
    pub due: Vec<Vec<u8>>,
}

/// A reminder that is due.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// Where its key is in the store.
    pub place: Vec<u8>,
    /// The key of the reminder itself.
    pub reminder: Vec<u8>,
}

impl Wanted {
    /// These keys, in any order, and nothing due.
    pub fn keys(mut places: Vec<Vec<u8>>) -> Self {
        places.sort_unstable();
        places.dedup();
        Wanted { places, due: vec![] }
    }

    /// What is to be looked at, in portions. The first has every key that `arrived` and all that is due of it; what
    /// else is due follows, so many keys at once.
    pub fn portions(arrived: Vec<Vec<u8>>, due: Vec<Due>) -> Vec<Wanted> {
        let mut first = Wanted::keys(arrived);
        let (of_arrived, mut others): (Vec<Due>, Vec<Due>) =
            due.into_iter().partition(|due| first.places.binary_search(&due.place).is_ok());
        first.due = of_arrived.into_iter().map(|due| due.reminder).collect();
        others.sort_unstable();
        let (mut portions, mut portion, mut room) = (vec![], first, KEYS_AT_ONCE);
        for same_key in others.chunk_by(|one, next| one.place == next.place) {
            if room == 0 {
                portions.push(std::mem::take(&mut portion));
                room = KEYS_AT_ONCE;
            }
            room -= 1;
            portion.places.push(same_key[0].place.clone());
            portion.due.extend(same_key.iter().map(|due| due.reminder.clone()));
        }
        portions.push(portion);
        for portion in &mut portions {
            portion.places.sort_unstable();
            portion.due.sort_unstable();
        }
        portions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: usize) -> Vec<u8> {
        (number as u32).to_be_bytes().to_vec()
    }

    fn due(number: usize, reminder: &str) -> Due {
        Due { place: place(number), reminder: reminder.into() }
    }

    #[test]
    fn what_arrived_comes_first_with_all_that_is_due_of_it() {
        let portions =
            Wanted::portions(vec![place(7), place(3), place(7)], vec![due(3, "b"), due(9, "c"), due(3, "a")]);
        let places = vec![place(3), place(7), place(9)];
        assert_eq!(portions, [Wanted { places, due: vec!["a".into(), "b".into(), "c".into()] }]);
    }

    #[test]
    fn what_is_due_alone_comes_in_portions() {
        let all = (0..=KEYS_AT_ONCE).flat_map(|number| [due(number, "x"), due(number, "y")]).collect();
        let portions = Wanted::portions(vec![place(KEYS_AT_ONCE + 5)], all);
        let sizes: Vec<_> = portions.iter().map(|portion| (portion.places.len(), portion.due.len())).collect();
        assert_eq!(sizes, [(KEYS_AT_ONCE + 1, 2 * KEYS_AT_ONCE), (1, 2)]);
        assert!(portions[0].places.is_sorted());
    }
}
