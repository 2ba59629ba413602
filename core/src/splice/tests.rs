use super::*;

/// The seam over `continuation`, cut into pieces of so many characters.
fn join(delivered: &str, continuation: &str, piece_chars: usize) -> String {
    let mut splice = Splice::new(delivered);
    let mut joined = delivered.to_owned();
    let chars: Vec<char> = continuation.chars().collect();
    for piece in chars.chunks(piece_chars) {
        let piece: String = piece.iter().collect();
        joined.push_str(splice.push(&piece));
    }
    joined.push_str(splice.finish());
    joined
}

fn check(delivered: &str, continuation: &str, expected: &str) {
    for piece in [1, 2, 3, 7, 1000] {
        assert_eq!(
            join(delivered, continuation, piece),
            expected,
            "{delivered:?} + {continuation:?} by {piece}"
        );
    }
}

/// Each row: delivered, continuation, joined, and why.
#[test]
fn nothing_twice_and_nothing_missing() {
    let rows = [
        ("The quick brown fox", " jumps over", "The quick brown fox jumps over", "repeats nothing"),
        (
            "The quick brown fox",
            "brown fox jumps",
            "The quick brown fox jumps",
            "repeats the last words",
        ),
        (
            "The quick brown fox",
            "The quick brown fox jumps",
            "The quick brown fox jumps",
            "repeats everything",
        ),
        (
            "The quick brown fox",
            "The quick brown fox",
            "The quick brown fox",
            "repeats everything and ends",
        ),
        ("Hi", "Hi there", "Hi there", "all that was delivered counts, however short"),
        ("ha ha", "ha ha ha!", "ha ha ha!", "the longest overlap"),
        ("It is a", "a cat", "It is aa cat", "one letter decides nothing"),
        (
            "Grüße aus Köln 😀😀",
            "aus Köln 😀😀 und Bonn",
            "Grüße aus Köln 😀😀 und Bonn",
            "characters of several bytes",
        ),
        (
            "to be or not to be or",
            "to be or not to be",
            "to be or not to be or not to be",
            "a phrase that repeats within",
        ),
        ("abcabcabcabc", "abcabcabcabcx", "abcabcabcabcx", "a match begins at several places"),
        (
            "The quick brown fox",
            "brown foz",
            "The quick brown foxbrown foz",
            "a match that breaks off gives all back",
        ),
        ("", "anything", "anything", "nothing delivered"),
        ("something", "", "something", "nothing continued"),
    ];
    for (delivered, continuation, expected, why) in rows {
        assert_eq!(join(delivered, continuation, 1), expected, "{why}");
        check(delivered, continuation, expected);
    }
}

/// Every cut of a text and every repetition long enough to count, with pieces of every size: the
/// text comes out whole. Where the text repeats itself the longest overlap may be a longer one; then
/// the rule, not the text, is what must hold.
#[test]
fn any_cut_and_any_overlap() {
    let texts = [
        "Backpressure lets a slow reader tell a fast writer to wait, and it wait—s.",
        "Ein Satz, дwа, 三つ, 😀😀😀 and then: Ein Satz, дwа, 三つ, and more 😀.",
    ];
    for text in texts {
        let bounds: Vec<usize> = (0..=text.len()).filter(|&at| text.is_char_boundary(at)).collect();
        for &cut in &bounds {
            for &from in bounds.iter().filter(|&&from| from <= cut) {
                let (delivered, continuation) = (&text[..cut], &text[from..]);
                if longest_overlap(delivered, continuation) != cut - from
                    || !counts(delivered, cut - from)
                {
                    continue;
                }
                for piece in [1, 5, 1000] {
                    assert_eq!(
                        join(delivered, continuation, piece),
                        text,
                        "cut {cut}, from {from}"
                    );
                }
            }
        }
    }
}

fn counts(delivered: &str, overlap: usize) -> bool {
    let chars = delivered[delivered.len() - overlap..].chars().count();
    overlap == 0 || overlap == delivered.len() || chars >= OVERLAP_CHARS_MIN
}

fn longest_overlap(delivered: &str, continuation: &str) -> usize {
    (0..=delivered.len().min(continuation.len()))
        .rev()
        .find(|&n| delivered.as_bytes().ends_with(&continuation.as_bytes()[..n]))
        .unwrap_or(0)
}

/// All short strings over a small alphabet, against the rule said in one line.
#[test]
fn exhaustive_small() {
    let words = |length: u32| {
        (0..3usize.pow(length)).map(move |mut number| {
            let mut word = String::new();
            for _ in 0..length {
                word.push(['a', 'b', 'é'][number % 3]);
                number /= 3;
            }
            word
        })
    };
    for delivered in (0..=4).flat_map(words) {
        for continuation in (0..=5).flat_map(words) {
            let overlap = longest_overlap(&delivered, &continuation);
            let overlap = if counts(&delivered, overlap) { overlap } else { 0 };
            let expected = format!("{delivered}{}", &continuation[overlap..]);
            for piece in [1, 2, 9] {
                assert_eq!(
                    join(&delivered, &continuation, piece),
                    expected,
                    "{delivered:?} {continuation:?}"
                );
            }
        }
    }
}

#[test]
fn a_differing_continuation_is_not_held_back() {
    let mut splice = Splice::new("The quick brown fox");
    assert_eq!(splice.push("?"), "?");
    assert_eq!(splice.push("The quick"), "The quick");
}

#[test]
fn no_more_than_the_tail_is_ever_held() {
    let delivered = "x".repeat(3 * TAIL_BYTES_MAX);
    let mut splice = Splice::new(&delivered);
    let given = splice.push(&"x".repeat(2 * TAIL_BYTES_MAX)).len();
    assert_eq!(given, TAIL_BYTES_MAX);
    assert_eq!(splice.push("x"), "x");
}
