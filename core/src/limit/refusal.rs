//! The limits stated in a provider's rejection.
//!
//! The texts are `refusal/texts.tsv`, one per line: whose it is, its words, where it was seen. In
//! the words, `{limit}`, `{window}` and the other names of `Number` stand for a number, `{}` for
//! any text of up to 200 bytes. Case, spaces and quotation marks count nothing, so that a text is
//! also found inside of another one's error. The first line that fits counts: a number less is
//! known of the last ones, which only report that the prompt is too long.

const TEXTS: &str = include_str!("refusal/texts.tsv");

/// How much of a refusal is read, in bytes.
const READ_BYTES_MAX: usize = 16 * 1024;
/// How long `{}` may be, in bytes.
const GAP_BYTES_MAX: usize = 200;

/// A refusal for too many tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatedLimits {
    /// The longest answer that may be asked for.
    pub max_output: Option<u32>,
    /// Tokens that prompt and answer share.
    pub context_window: Option<u32>,
    /// Tokens of the prompt alone, where that is capped apart.
    pub max_input: Option<u32>,
    /// Tokens of the prompt, by the provider's count.
    pub input: Option<u32>,
    /// Tokens that the prompt has at the least, where the provider stopped counting there.
    pub input_min: Option<u32>,
    /// Whose text it is.
    pub source: &'static str,
}

/// Reads a refusal of a request that asked for an answer of `asked` tokens; `None` if it is about
/// something else.
pub fn read(text: &str, asked: Option<u32>) -> Option<StatedLimits> {
    let text = plain(&text[..text.floor_char_boundary(READ_BYTES_MAX)]);
    rows().find_map(|row| {
        let numbers = find(&plain(row.words), &text)?;
        Some(numbers.refusal(asked, row.source))
    })
}

impl StatedLimits {
    /// Whether the prompt alone is too long, so that no shorter answer would help.
    pub fn is_overflow(&self) -> bool {
        let input = self.input.or(self.input_min);
        match (self.max_output, self.context_window) {
            (Some(_), _) => false,
            (None, Some(window)) => input.is_some_and(|input| input >= window),
            (None, None) => true,
        }
    }
}

struct Row {
    source: &'static str,
    words: &'static str,
}

fn rows() -> impl Iterator<Item = Row> {
    TEXTS.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        Some(Row { source: fields.next()?, words: fields.next()? })
    })
}

/// The text without what differs from one teller to the next.
fn plain(text: &str) -> String {
    let kept = |c: &char| !c.is_whitespace() && !matches!(c, '`' | '"' | '\'' | '\\');
    text.chars().filter(kept).map(|c| c.to_ascii_lowercase()).collect()
}

/// The numbers found in a text.
#[derive(Clone, Copy, Default)]
struct Numbers([Option<u32>; Number::NAMES.len()]);

/// What a number of a refusal counts, in tokens.
#[derive(Clone, Copy)]
enum Number {
    /// The longest answer.
    Limit,
    /// One more than the longest answer.
    Below,
    /// What prompt and answer share.
    Window,
    /// The longest prompt.
    MaxInput,
    /// The prompt.
    Input,
    /// The prompt, as far as it was counted.
    AtLeast,
    /// The answer that was asked for.
    Output,
    /// The prompt and that answer.
    Total,
}

impl Number {
    /// As they are named in the texts, in the order of the variants.
    const NAMES: [&str; 8] =
        ["limit", "below", "window", "max_input", "input", "at_least", "output", "total"];
}

impl Numbers {
    fn get(&self, number: Number) -> Option<u32> {
        self.0[number as usize]
    }

    fn refusal(&self, asked: Option<u32>, source: &'static str) -> StatedLimits {
        let below = self.get(Number::Below).map(|below| below.saturating_sub(1));
        let output = self.get(Number::Output).or(asked).unwrap_or(0);
        let rest = self.get(Number::Total).map(|total| total.saturating_sub(output));
        let positive = |tokens: &u32| *tokens > 0;
        StatedLimits {
            max_output: self.get(Number::Limit).or(below).filter(positive),
            context_window: self.get(Number::Window).filter(positive),
            max_input: self.get(Number::MaxInput).filter(positive),
            input: self.get(Number::Input).or(rest),
            input_min: self.get(Number::AtLeast),
            source,
        }
    }
}

/// The numbers of the first place in `text` that reads like `words`, which begin with letters.
fn find(words: &str, text: &str) -> Option<Numbers> {
    let (start, _) = words.split_once('{').unwrap_or((words, ""));
    let fits = |(at, _)| fit(&words[start.len()..], &text[at + start.len()..], Numbers::default());
    text.match_indices(start).find_map(fits)
}

/// The numbers of `text` if its beginning reads like `words`.
fn fit(words: &str, text: &str, numbers: Numbers) -> Option<Numbers> {
    let Some((letters, rest)) = words.split_once('{') else {
        return text.starts_with(words).then_some(numbers);
    };
    let text = text.strip_prefix(letters)?;
    let (name, rest) = rest.split_once('}')?;
    if name.is_empty() {
        let mut ends = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= GAP_BYTES_MAX);
        return ends.find_map(|at| fit(rest, &text[at..], numbers));
    }
    let place = Number::NAMES.iter().position(|known| *known == name)?;
    let (number, text) = number(text)?;
    let mut numbers = numbers;
    numbers.0[place] = Some(number);
    fit(rest, text, numbers)
}

/// The whole number that `text` begins with, also one written as 200,000, and what follows it.
fn number(text: &str) -> Option<(u32, &str)> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut end = 0;
    while digit(end) || (bytes.get(end) == Some(&b',') && is_group(end, &digit)) {
        end += 1;
    }
    let number = text[..end].replace(',', "").parse().ok()?;
    Some((number, &text[end..]))
}

/// Whether three digits, and no fourth, follow the comma at `at`.
fn is_group(at: usize, digit: &impl Fn(usize) -> bool) -> bool {
    at > 0 && (1..=3).all(|next| digit(at + next)) && !digit(at + 4)
}

#[cfg(test)]
mod tests;
