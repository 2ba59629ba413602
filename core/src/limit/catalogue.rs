//! What is known of models: their context windows and longest answers.
//!
//! The facts are `catalogue.tsv`, one model of one provider a line, sorted by model and provider:
//! model, provider, context window, separate input cap, longest answer (tokens; 0 is unknown), and
//! the source: `models.dev` (MIT, 2026-07-02), `litellm` (MIT, 2026-08-01) or `both`. Where the two
//! disagree the smaller number stands. It is searched as text, so that starting costs nothing.

use std::cmp::Ordering;

const FACTS: &str = include_str!("catalogue.tsv");

/// What is known of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Tokens that prompt and answer share.
    pub context_window: Option<u32>,
    /// Tokens of the prompt alone, where that is capped apart.
    pub max_input: Option<u32>,
    /// Tokens of the longest answer.
    pub max_output: Option<u32>,
    /// Where the numbers are from, such as `models.dev`.
    pub source: &'static str,
}

/// What is known of `model` at `provider`; where that provider is unknown or does not have it, the
/// smallest numbers among those who do.
pub fn find(provider: &str, model: &str) -> Option<Facts> {
    let mut rows = rows_of(model).peekable();
    rows.peek()?;
    rows.clone()
        .find(|row| row.provider == provider)
        .map(|row| row.facts)
        .or_else(|| rows.map(|row| row.facts).reduce(smallest))
}

#[derive(Clone, Copy)]
struct Row {
    model: &'static str,
    provider: &'static str,
    facts: Facts,
}

fn rows_of(model: &str) -> impl Iterator<Item = Row> + Clone {
    FACTS[first_line_from(model)..]
        .lines()
        .filter_map(row)
        .take_while(move |row| row.model == model)
}

/// Where the first line starts whose model is not before `model`.
fn first_line_from(model: &str) -> usize {
    let (mut low, mut high) = (0, FACTS.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let start =
            FACTS.as_bytes()[..middle].iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let line = FACTS[start..].lines().next().unwrap_or("");
        let name = line.split('\t').next().unwrap_or("");
        match name.as_bytes().cmp(model.as_bytes()) {
            Ordering::Less => low = start + line.len() + 1,
            Ordering::Equal | Ordering::Greater => high = start,
        }
    }
    low
}

fn row(line: &'static str) -> Option<Row> {
    let mut fields = line.split('\t');
    let (model, provider) = (fields.next()?, fields.next()?);
    let mut tokens = || fields.next()?.parse::<u32>().ok();
    let (context, input, output) = (tokens()?, tokens()?, tokens()?);
    let known = |tokens: u32| (tokens > 0).then_some(tokens);
    let facts = Facts {
        context_window: known(context),
        max_input: known(input),
        max_output: known(output),
        source: fields.next()?,
    };
    Some(Row { model, provider, facts })
}

fn smallest(a: Facts, b: Facts) -> Facts {
    let least = |a: Option<u32>, b: Option<u32>| match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    };
    Facts {
        context_window: least(a.context_window, b.context_window),
        max_input: least(a.max_input, b.max_input),
        max_output: least(a.max_output, b.max_output),
        source: a.source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_row_and_is_found() {
        for line in FACTS.lines() {
            let row = row(line).unwrap_or_else(|| panic!("no row: {line}"));
            assert_eq!(find(row.provider, row.model), Some(row.facts), "{line}");
        }
    }

    #[test]
    fn lines_are_sorted_and_unique() {
        let keys: Vec<_> =
            FACTS.lines().filter_map(row).map(|row| (row.model, row.provider)).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn an_unknown_model_is_not_found_wherever_it_would_stand() {
        for name in ["", "!", "gpt-4-turb", "gpt-4-turbo ", "zzz", "\u{10ffff}", "a\tb"] {
            assert_eq!(find("openai", name), None, "{name:?}");
        }
    }

    #[test]
    fn an_unknown_provider_gets_the_smallest_numbers() {
        let facts = find("my-own", "gpt-4-turbo").unwrap();
        assert_eq!(facts.max_output, Some(4096));
    }
}
