//! The rule by which a continuation joins what was delivered, in its simplest form.

/// The shortest overlap that is taken for a repetition, in characters.
const OVERLAP_CHARS_MIN: usize = 8;

/// What of `continuation` is new after `delivered`: all of it but the longest overlap, if that is
/// long enough or all that was delivered. Of an unfinished continuation that may still be
/// repeating, nothing is.
pub fn join<'t>(delivered: &str, continuation: &'t str, finished: bool) -> &'t str {
    let begins = |at: &usize| delivered[*at..].starts_with(continuation);
    let mut ends = (0..delivered.len()).filter(|at| delivered.is_char_boundary(*at));
    let may_repeat = |at: usize| begins(&at) && delivered.len() - at > continuation.len();
    if !finished && ends.any(may_repeat) {
        return "";
    }
    let overlap = (0..=delivered.len().min(continuation.len()))
        .rev()
        .filter(|length| continuation.is_char_boundary(*length))
        .find(|length| delivered.ends_with(&continuation[..*length]))
        .unwrap_or(0);
    let counts =
        overlap == delivered.len() || continuation[..overlap].chars().count() >= OVERLAP_CHARS_MIN;
    &continuation[if counts { overlap } else { 0 }..]
}
