//! How far the watermark lets a join forget rows: the state bounds of its two sides.
//!
//! From `rt <= lt + 5 minutes` follows that a left row cannot meet new right rows any more when the
//! watermark has passed `lt + 5 minutes`. Spark computes in milliseconds and so do we.
//! Source of the rules: SEMANTICS section 6 (Spark's `StreamingJoinHelper`).

/// The bounds of both sides.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JoinBounds {
    /// When left rows go.
    pub left: SideBound,
    /// When right rows go.
    pub right: SideBound,
}

/// When the rows of one side go.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum SideBound {
    /// Never.
    #[default]
    Never,
    /// When the watermark reaches the event time that is among the keys.
    Watermark,
    /// When the watermark reaches all of these.
    Range(Vec<RangeBound>),
}

/// What one comparison of the two event times says: rows up to the watermark, shifted, are not needed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RangeBound {
    /// How often the watermark counts: once, or not at all in a comparison with constants only.
    pub watermarks: f64,
    /// What is added to it, in microseconds.
    pub shift: f64,
    /// True for `<`: equality is not needed either.
    pub strict: bool,
}

impl RangeBound {
    fn millis(&self, watermark: i64) -> i64 {
        // in this order and in floating point, as Spark does
        let micros = self.watermarks * (watermark as f64 * 1000.0) + self.shift;
        (micros / 1000.0) as i64 - i64::from(!self.strict)
    }
}

impl SideBound {
    /// Rows with an event time up to this one go, in milliseconds; `None` for never.
    fn millis(&self, watermark: i64) -> Option<i64> {
        match self {
            SideBound::Never => None,
            SideBound::Watermark => Some(watermark),
            SideBound::Range(ranges) => ranges.iter().map(|range| range.millis(watermark)).min(),
        }
    }

    /// The same in microseconds, of a watermark in microseconds.
    pub fn at(&self, watermark: i64) -> Option<i64> {
        self.millis(watermark.div_euclid(1000)).map(|millis| millis.saturating_mul(1000))
    }

    /// The least watermark at which a row of this expiry goes, both in microseconds; `None` for never.
    pub fn reaches(&self, expiry: i64) -> Option<i64> {
        let wanted = expiry.div_euclid(1000) + i64::from(expiry.rem_euclid(1000) > 0);
        let goes = |watermark: i64| self.millis(watermark).is_some_and(|bound| bound >= wanted);
        let guess = match self {
            SideBound::Never => return None,
            SideBound::Watermark => wanted,
            SideBound::Range(ranges) => {
                let of_range = |range: &RangeBound| {
                    if range.watermarks > 0.0 { ((wanted as f64) - range.shift / 1000.0) as i64 } else { wanted }
                };
                ranges.iter().map(of_range).max().unwrap_or(wanted)
            }
        };
        // the guess is off by what is cut off; a bound that does not rise never gets there
        let found = (-2..=4).map(|off| guess.saturating_add(off)).find(|watermark| goes(*watermark))?;
        Some(found.saturating_mul(1000))
    }

    /// True when rows go at some time.
    pub fn is_bounded(&self) -> bool {
        *self != SideBound::Never
    }
}

impl JoinBounds {
    /// The watermark that rows of the join keep to: what either side may still bring out is not older.
    pub fn handed_on(&self, watermark: i64) -> i64 {
        [self.left.at(watermark), self.right.at(watermark)].into_iter().flatten().fold(watermark, i64::min)
    }

    /// True when rows of some side go at some time.
    pub fn is_bounded(&self) -> bool {
        self.left.is_bounded() || self.right.is_bounded()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(shift: f64, strict: bool) -> SideBound {
        SideBound::Range(vec![RangeBound { watermarks: 1.0, shift, strict }])
    }

    #[test]
    fn equality_keeps_a_row_one_millisecond_longer() {
        // rt <= lt + 5 minutes, and the same with <
        assert_eq!(range(-300e6, false).at(1_000_000_000), Some(699_999_000));
        assert_eq!(range(-300e6, true).at(1_000_000_000), Some(700_000_000));
    }

    #[test]
    fn parts_of_a_millisecond_are_cut_off() {
        assert_eq!(range(-300e6 - 500.0, true).at(1_000_000_000), Some(699_999_000));
        assert_eq!(range(-1_500.0, false).at(1_000), Some(-1_000), "towards zero, as Spark");
    }

    #[test]
    fn a_row_goes_at_the_watermark_it_is_said_to_go_at() {
        let both = SideBound::Range(vec![
            RangeBound { watermarks: 1.0, shift: -300e6, strict: true },
            RangeBound { watermarks: 1.0, shift: 60e6 - 1_500.0, strict: false },
        ]);
        for bound in
            [range(-300e6, false), range(-1_500.0, true), range(7e6 + 300.0, false), SideBound::Watermark, both]
        {
            for expiry in [1_704_067_200_000_000, 1_704_067_200_000_001, 1_704_067_200_123_456, 0, 999, -5_000_001] {
                let watermark = bound.reaches(expiry).unwrap();
                assert!(bound.at(watermark).unwrap() >= expiry, "{bound:?} {expiry}");
                assert!(bound.at(watermark - 1000).unwrap() < expiry, "{bound:?} {expiry}");
            }
        }
        assert_eq!(SideBound::Never.reaches(5), None);
    }

    #[test]
    fn the_least_bound_counts_and_is_handed_on() {
        let left = SideBound::Range(vec![
            RangeBound { watermarks: 1.0, shift: -300e6, strict: true },
            RangeBound { watermarks: 1.0, shift: -60e6, strict: true },
        ]);
        let bounds = JoinBounds { left, right: SideBound::Watermark };
        assert_eq!(bounds.left.at(1_000_000_000), Some(700_000_000));
        assert_eq!(bounds.handed_on(1_000_000_000), 700_000_000);
        assert_eq!(JoinBounds::default().handed_on(5), 5);
    }
}
