//! How many tokens a text has, without a tokenizer: providers have their own, and none is at hand
//! where a request must be on its way within microseconds.
//!
//! Bytes are counted by what they are, in one pass that the compiler makes vectors of, and each
//! kind has a weight of its own: a token of English has four letters, a digit is often one token,
//! and what is one letter in Hindi is three tokens to a tokenizer that never learned it.
//!
//! The weights were fitted to seven tokenizers (o200k, cl100k, Llama 3, Claude 2, Gemma, Qwen 2.5,
//! DeepSeek V3) on prose in forty languages, on code and on noise; `tests/bench/tokens.mjs` gathers
//! the samples, and `cargo run -p streamgate-tests --bin token-estimates` holds this against them.
//!
//! Of 2,870 samples the upper estimate is below what some tokenizer counts in 0.8 %, the lower one
//! above in 0.1 %. The upper one by the most that any counts, in the middle and in the hundredth
//! sample: all 1.42, 2.44; English 1.6, 2.1; German 1.4, 1.7; Russian 2.3, 2.7; Greek 1.0, 1.1;
//! Arabic
//! 1.2, 1.4; Hindi 2.4, 2.5; Tamil 1.5, 1.6; Chinese 1.6, 1.9; Japanese 1.5, 1.6; Korean 1.1, 1.4; Rust
//! 1.3, 1.5; JSON 1.2, 1.4; digits 1.2, 1.3. The likely one is 0.96 of the median in the middle. A
//! vocabulary of 32,000, as Llama 2 and the first Mistral had, spells more scripts byte by byte than
//! this allows for; random letters are likely to be twice the estimate.

use serde_json::Value;

use super::Length;
use crate::chat::{ChatRequest, Format, Message, Part, Tool};

/// What the frame around a message, a call or a tool is, in tokens.
const FRAME: Length = Length { low: 3, likely: 4, high: 8 };
/// A placeholder for an image, a sound or a file.
const MEDIUM: Length = Length { low: 0, likely: 800, high: 1600 };
/// The fixed part of a text's longest estimate: short texts vary more.
const TEXT_HIGH: u32 = 4;

/// The weights of one kind of byte, in hundredths of a token.
struct Weights {
    low: u32,
    likely: u32,
    high: u32,
}

const fn weights(low: u32, likely: u32, high: u32) -> Weights {
    Weights { low, likely, high }
}

/// By the kinds of [`Counts`].
const WEIGHTS: [Weights; KINDS] = [
    weights(60, 31, 10),
    weights(6, 16, 34),
    weights(10, 14, 63),
    weights(33, 54, 120),
    weights(45, 59, 55),
    weights(46, 115, 275),
    weights(0, 190, 267),
    weights(22, 45, 133),
    weights(44, 122, 320),
    weights(0, 38, 147),
    weights(35, 75, 150),
    weights(99, 220, 347),
];

const KINDS: usize = 12;
/// How many kinds there are in ASCII; the others are first bytes of longer characters.
const ASCII_KINDS: usize = 6;
/// How many bytes are counted at once: a byte holds the sums, and a vector of 16 divides it.
const CHUNK_BYTES: usize = 240;

/// A longer text is sampled: this many pieces of this many bytes.
const PIECES: usize = 64;
const PIECE_BYTES: usize = 2048;

/// How long `text` is.
pub fn of_text(text: &str) -> Length {
    if text.is_empty() {
        return Length::default();
    }
    let mut counts = [0; KINDS];
    count(text.as_bytes(), &mut counts);
    weighed(counts)
}

/// How long an answer's `text` is. It may have megabytes, and a call that is to be stopped waits for
/// this: of a long one only pieces are counted, from all over it.
pub fn of_answer(text: &str) -> Length {
    if text.len() <= PIECES * PIECE_BYTES {
        return of_text(text);
    }
    let bytes = text.as_bytes();
    let (mut counts, mut counted) = ([0; KINDS], 0);
    for part in bytes.chunks(bytes.len().div_ceil(PIECES)) {
        let piece = &part[..part.len().min(PIECE_BYTES)];
        count(piece, &mut counts);
        counted += piece.len() as u64;
    }
    let all = |count| u32::try_from(u64::from(count) * bytes.len() as u64 / counted);
    weighed(counts.map(|count| all(count).unwrap_or(u32::MAX)))
}

/// The tokens that bytes of these kinds come to.
fn weighed(counts: [u32; KINDS]) -> Length {
    let mut sums = [0u64; 3];
    for (count, weights) in counts.into_iter().zip(&WEIGHTS) {
        for (sum, weight) in sums.iter_mut().zip([weights.low, weights.likely, weights.high]) {
            *sum += u64::from(count) * u64::from(weight);
        }
    }
    let tokens = |sum: u64| u32::try_from(sum / 100).unwrap_or(u32::MAX);
    let [low, likely, high] = sums.map(tokens);
    Length { low, likely: likely.max(1), high: high.saturating_add(TEXT_HIGH) }
}

/// The length of a request: its messages, the tools and the form of the answer.
pub fn of_request(request: &ChatRequest) -> Length {
    let messages = request.messages.iter().map(of_message);
    let form = match &request.format {
        Some(Format::Schema { schema, .. }) => of_value(schema),
        Some(Format::Json) | None => Length::default(),
    };
    messages.chain(request.tools.iter().map(of_tool)).fold(form, Length::plus)
}

fn of_message(message: &Message) -> Length {
    message.parts.iter().map(of_part).fold(FRAME, Length::plus)
}

fn of_part(part: &Part) -> Length {
    match part {
        Part::Text(text) | Part::Refusal(text) | Part::Reasoning { text, .. } => of_text(text),
        Part::ToolCall { id: _, name, arguments } => {
            FRAME.plus(of_text(name)).plus(of_text(arguments))
        }
        Part::ToolResult { parts, .. } => parts.iter().map(of_part).fold(FRAME, Length::plus),
        Part::Media(_) | Part::Other(_) => MEDIUM,
    }
}

fn of_tool(tool: &Tool) -> Length {
    let texts = [Some(tool.name.as_str()), tool.description.as_deref()];
    let parameters = tool.parameters.as_ref().map(of_value);
    texts.into_iter().flatten().map(of_text).chain(parameters).fold(FRAME, Length::plus)
}

/// A JSON value, such as a schema: its texts, and a token or two for each mark around them.
fn of_value(value: &Value) -> Length {
    const MARK: Length = Length { low: 1, likely: 2, high: 3 };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => MARK,
        Value::String(text) => MARK.plus(of_text(text)),
        Value::Array(values) => values.iter().map(of_value).fold(MARK, Length::plus),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| of_text(name).plus(of_value(value)))
            .fold(MARK, Length::plus),
    }
}

/// Adds up the bytes by kind: of ASCII the words, letters, capitals, digits, marks and breaks; of
/// the rest the first bytes of Latin letters, of Greek to Arabic, of India's scripts, of what lies
/// between, of CJK and Hangul, and of emoji.
fn count(bytes: &[u8], counts: &mut [u32; KINDS]) {
    let mut after_letter = false;
    for chunk in bytes.chunks(CHUNK_BYTES) {
        count_ascii(chunk, after_letter, counts);
        if !chunk.is_ascii() {
            count_others(chunk, counts);
        }
        after_letter = chunk.last().is_some_and(|byte| is_letter(*byte));
    }
}

fn count_ascii(chunk: &[u8], after_letter: bool, counts: &mut [u32; KINDS]) {
    let begins = chunk.first().is_some_and(|byte| is_letter(*byte)) && !after_letter;
    let words = chunk
        .iter()
        .zip(chunk.iter().skip(1))
        .fold(0u8, |sum, (before, byte)| sum + u8::from(is_letter(*byte) & !is_letter(*before)));
    let letters = tally(chunk, is_letter);
    let digits = tally(chunk, |byte| byte.is_ascii_digit());
    let breaks = tally(chunk, |byte| byte < b' ');
    let blanks = tally(chunk, |byte| byte == b' ');
    let others = tally(chunk, |byte| byte > b'~');
    counts[0] += u32::from(begins) + u32::from(words);
    counts[1] += letters;
    counts[2] += tally(chunk, |byte| byte.is_ascii_uppercase());
    counts[3] += digits;
    counts[4] += chunk.len() as u32 - letters - digits - breaks - blanks - others;
    counts[5] += breaks;
}

/// One range, where `is_ascii_alphabetic` has two.
fn is_letter(byte: u8) -> bool {
    (byte | 0x20).is_ascii_lowercase()
}

/// Each kind's first byte is where the one before ends.
fn count_others(chunk: &[u8], counts: &mut [u32; KINDS]) {
    let firsts = [0xc2, 0xca, 0xe0, 0xe1, 0xe3, 0xee];
    let from = firsts.map(|first| tally(chunk, |byte| byte >= first));
    for (kind, count) in counts[ASCII_KINDS..].iter_mut().enumerate() {
        *count += from[kind] - from.get(kind + 1).unwrap_or(&0);
    }
}

/// How many bytes are so: summed up in a byte, which makes a vector's lanes of it.
fn tally(chunk: &[u8], is: impl Fn(u8) -> bool) -> u32 {
    chunk.iter().fold(0u8, |sum, byte| sum + u8::from(is(*byte))).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Role;

    fn counts(text: &str) -> [u32; KINDS] {
        let mut counts = [0; KINDS];
        count(text.as_bytes(), &mut counts);
        counts
    }

    #[test]
    fn every_byte_is_counted_by_its_kind() {
        assert_eq!(counts("It is 10,5 am.\n"), [3, 6, 1, 3, 2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(counts("é ж अ ế 中한 🙂"), [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 1]);
    }

    /// As the definitions have it, byte by byte.
    #[test]
    fn every_byte_is_counted_as_by_its_definition() {
        let kinds: [fn(u8) -> bool; KINDS - 1] = [
            |byte| byte.is_ascii_alphabetic(),
            |byte| byte.is_ascii_uppercase(),
            |byte| byte.is_ascii_digit(),
            |byte| byte.is_ascii_punctuation(),
            |byte| byte < b' ',
            |byte| matches!(byte, 0xc2..=0xc9),
            |byte| matches!(byte, 0xca..=0xdf),
            |byte| byte == 0xe0,
            |byte| matches!(byte, 0xe1..=0xe2),
            |byte| matches!(byte, 0xe3..=0xed),
            |byte| byte >= 0xee,
        ];
        for byte in 0..=u8::MAX {
            let mut counted = [0; KINDS];
            count(&[byte], &mut counted);
            let expected = kinds.map(|is| u32::from(is(byte)));
            assert_eq!(counted[1..], expected, "{byte:#x}");
            assert_eq!(counted[0], expected[0], "{byte:#x}");
        }
    }

    #[test]
    fn a_word_over_a_chunks_end_is_one_word() {
        for cut in 230..250 {
            let text = format!("{}word {}", " ".repeat(cut), "x".repeat(600));
            assert_eq!(counts(&text)[..2], [2, 604], "{cut}");
        }
    }

    /// Each row: a text, and its tokens by o200k, cl100k and Llama 3.
    #[test]
    fn the_estimate_holds_what_tokenizers_count() {
        let rows = [
            ("Hello, how are you?", [6, 6, 6]),
            ("The quick brown fox jumps over the lazy dog.", [10, 10, 10]),
            ("fn main() { println!(\"{}\", 1 + 2); }", [13, 13, 13]),
            ("你好，世界", [3, 6, 4]),
            ("Привет, как дела?", [6, 8, 7]),
        ];
        for (text, tokens) in rows {
            let length = of_text(text);
            for count in tokens {
                assert!((length.low..=length.high).contains(&count), "{text}: {length:?} {count}");
            }
        }
    }

    #[test]
    fn all_that_the_model_reads_is_counted() {
        let mut request = ChatRequest::default();
        assert_eq!(of_request(&request), Length::default());
        request.messages.push(Message::text(Role::User, "hi"));
        let text = of_request(&request);
        assert!(text.low >= 3 && text.high < 20, "{text:?}");
        request.messages[0].parts.push(Part::Other("image".into()));
        let pictured = of_request(&request);
        assert_eq!(pictured, text.plus(MEDIUM));
        request.tools.push(Tool {
            name: "weather".into(),
            description: Some("Says how the weather is at a place.".into()),
            parameters: Some(serde_json::json!({"type": "object"})),
            strict: None,
        });
        assert!(of_request(&request).likely > pictured.likely + 10);
    }

    #[test]
    fn a_long_answer_is_estimated_by_its_pieces() {
        let text = "It is 10,5 am. fn main() {}\n你好，世界 Привет 🙂 ";
        assert_eq!(of_answer(text), of_text(text));
        let long = text.repeat(40_000);
        let [sampled, counted] = [of_answer(&long), of_text(&long)];
        for (sampled, counted) in [
            (sampled.low, counted.low),
            (sampled.likely, counted.likely),
            (sampled.high, counted.high),
        ] {
            assert!(sampled.abs_diff(counted) < counted / 50, "{sampled} {counted}");
        }
    }

    #[test]
    fn nothing_overflows() {
        let length = Length { low: u32::MAX, likely: u32::MAX, high: u32::MAX };
        assert_eq!(length.plus(length), length);
    }
}
