//! "Did you mean": the known name nearest to a misspelled one.

/// The candidate nearest to `given`, ignoring case, if any is near enough to be a likely slip:
/// at most a third of its letters differ (Damerau-Levenshtein).
pub fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&given, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count().max(given.chars().count()) / 3).max(1))
        .min_by_key(|(distance, candidate)| (*distance, *candidate))
        .map(|(_, candidate)| candidate)
}

/// Up to `most` candidates, nearest first: what Spark lists in its suggestions.
pub fn ranked<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    let given = given.to_lowercase();
    let mut all: Vec<_> = candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&given, &candidate.to_lowercase()), candidate))
        .collect();
    all.sort_unstable();
    all.into_iter().take(most).map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_a_stranger_is_not() {
        let known = ["max_files_per_trigger", "path", "format"];
        assert_eq!(nearest("maxfiles_per_triger", known), Some("max_files_per_trigger"));
        assert_eq!(nearest("formt", known), Some("format"));
        assert_eq!(nearest("compression", known), None);
    }
}
