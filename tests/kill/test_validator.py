"""The checks of the kill loop can fail: a row removed, doubled or changed is reported."""

import unittest
from collections import Counter
from datetime import timedelta

import events
from validator import compare, premature


class PlantedMistakes(unittest.TestCase):
    """Each planted mistake is named, and nothing else is."""

    def setUp(self) -> None:
        oracle = events.Oracle(timedelta(minutes=2))
        for number in range(60):
            oracle.add(events.portion(7, number))
        self.oracle = oracle
        self.rows = oracle.rows()
        self.assertGreater(len(self.rows), 100)

    def test_the_same_rows_are_right(self) -> None:
        self.assertEqual(compare(self.rows, Counter(self.rows.elements())), [])

    def test_a_row_that_was_removed_is_lost(self) -> None:
        seen = self.rows.copy()
        row = next(iter(seen))
        del seen[row]
        (found,) = compare(self.rows, seen)
        self.assertTrue(found.startswith("1 rows lost") and str(row) in found, found)

    def test_a_row_that_came_twice_is_doubled(self) -> None:
        seen = self.rows.copy()
        row = next(iter(seen))
        seen[row] += 1
        for found in (compare(self.rows, seen), premature(self.rows, seen)):
            self.assertEqual(len(found), 1)
            self.assertTrue(found[0].startswith("1 rows doubled") and str(row) in found[0], found)

    def test_a_row_that_was_changed_is_lost_and_another_was_never_due(self) -> None:
        seen = self.rows.copy()
        row = next(iter(seen))
        del seen[row]
        seen[(*row[:3], row[3] + 1, *row[4:])] += 1
        self.assertEqual([found.split(":")[0] for found in compare(self.rows, seen)], ["1 rows lost", "1 rows wrong"])

    def test_rows_that_are_still_to_come_are_not_yet_lost(self) -> None:
        some = Counter(dict(list(self.rows.items())[:50]))
        self.assertEqual(premature(self.rows, some), [])
        some[("a", "row")] += 1
        self.assertEqual(len(premature(self.rows, some)), 1)

    def test_a_dead_letter_that_came_twice_is_doubled(self) -> None:
        seen = self.oracle.bad.copy()
        seen[next(iter(seen))] += 1
        self.assertEqual(len(compare(self.oracle.bad, seen)), 1)


class TheEvents(unittest.TestCase):
    """What the oracle rests on."""

    def test_a_seed_gives_the_same_lines_again(self) -> None:
        self.assertEqual(events.portion(1, 40).lines, events.portion(1, 40).lines)
        self.assertNotEqual(events.portion(1, 40).lines, events.portion(2, 40).lines)

    def test_a_time_is_in_five_windows_of_which_it_opens_one(self) -> None:
        minute = 60_000
        self.assertEqual(events.window_starts(10 * minute), [at * minute for at in (6, 7, 8, 9, 10)])
        self.assertEqual(events.window_starts(10 * minute - 1), [at * minute for at in (5, 6, 7, 8, 9)])

    def test_late_and_malformed_lines_occur(self) -> None:
        oracle = events.Oracle(timedelta(minutes=2))
        for number in range(100):
            oracle.add(events.portion(3, number))
        self.assertGreater(oracle.late, 10)
        self.assertGreater(oracle.bad.total(), 50)

    def test_an_event_whose_lateness_depends_on_the_epochs_is_refused(self) -> None:
        oracle = events.Oracle(timedelta(seconds=1))
        with self.assertRaises(AssertionError):
            for number in range(100):
                oracle.add(events.portion(3, number))


if __name__ == "__main__":
    unittest.main()
