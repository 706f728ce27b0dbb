//! The lines in which two texts differ.

/// Most lines of a text that are compared one by one.
const LINES_MAX: usize = 4_000;

/// The lines of both, in order, with `  `, `- ` (only the first has it) or `+ ` in front; without what is far from a
/// difference.
pub(super) fn diff(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    if old.len() > LINES_MAX || new.len() > LINES_MAX {
        return vec![format!("  more than {LINES_MAX} lines are not compared one by one")];
    }
    // lengths of the longest common rests
    let width = new.len() + 1;
    let mut rests = vec![0_u32; (old.len() + 1) * width];
    for left in (0..old.len()).rev() {
        for right in (0..new.len()).rev() {
            rests[left * width + right] = match old[left] == new[right] {
                true => rests[(left + 1) * width + right + 1] + 1,
                false => rests[(left + 1) * width + right].max(rests[left * width + right + 1]),
            };
        }
    }
    let (mut left, mut right, mut all) = (0, 0, Vec::new());
    while left < old.len() || right < new.len() {
        let is_old = left < old.len()
            && (right >= new.len() || rests[(left + 1) * width + right] >= rests[left * width + right + 1]);
        if left < old.len() && right < new.len() && old[left] == new[right] {
            all.push((' ', old[left]));
            (left, right) = (left + 1, right + 1);
        } else if is_old {
            all.push(('-', old[left]));
            left += 1;
        } else {
            all.push(('+', new[right]));
            right += 1;
        }
    }
    near(&all)
}

/// Lines within three of a difference.
fn near(all: &[(char, &str)]) -> Vec<String> {
    const AROUND: usize = 3;
    let is_near = |at: usize| {
        let (from, to) = (at.saturating_sub(AROUND), (at + AROUND + 1).min(all.len()));
        all[from..to].iter().any(|(sign, _)| *sign != ' ')
    };
    let mut shown = Vec::new();
    let mut is_gap = false;
    for (at, (sign, line)) in all.iter().enumerate() {
        if is_near(at) {
            if is_gap && !shown.is_empty() {
                shown.push("  ..".to_owned());
            }
            is_gap = false;
            shown.push(format!("{sign} {line}"));
        } else {
            is_gap = true;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ_are_shown_with_what_is_around_them() {
        assert_eq!(diff("a\nb\nc", "a\nx\nc"), ["  a", "- b", "+ x", "  c"]);
        assert_eq!(diff("a", "a"), Vec::<String>::new());
        let many: String = (0..20).map(|line| format!("{line}\n")).collect();
        let shown = diff(&many, &many.replace("2\n3\n", "3\n").replace("\n18\n", "\n"));
        assert!(shown.contains(&"  ..".to_owned()) && shown.contains(&"- 18".to_owned()), "{shown:?}");
    }
}
