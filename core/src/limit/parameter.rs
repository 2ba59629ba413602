//! Parameters that may be left out: an answer without them is still an answer to the request. Which of
//! them a provider refuses is known from the tables of its protocol, and learned from its rejections,
//! which name them in the words of `parameter/texts.tsv`, one text per line: the words, in which `{name}`
//! stands for a parameter, and where they were seen. Case and quotation marks count nothing.
//!
//! Never here is what decides what is answered, in which form or how long: messages, tools and their
//! choice, formats, stop sequences, the number of answers, limits.

const TEXTS: &str = include_str!("parameter/texts.tsv");

/// How much of a rejection is read, in bytes.
const READ_BYTES_MAX: usize = 16 * 1024;

/// A parameter that may be left out.
struct Parameter {
    /// What rejections call it, in lower case; the first one is what it is kept by.
    names: &'static [&'static str],
    /// Where it is in the bodies of the protocols: a field, or one of an object in it.
    paths: &'static [&'static str],
}

/// At most 32; the order may change, for they are kept by name.
static PARAMETERS: &[Parameter] = &[
    Parameter {
        names: &["temperature"],
        paths: &["temperature", "generationConfig.temperature", "options.temperature"],
    },
    Parameter {
        names: &["top_p", "topp"],
        paths: &["top_p", "generationConfig.topP", "options.top_p"],
    },
    Parameter {
        names: &["top_k", "topk"],
        paths: &["top_k", "generationConfig.topK", "options.top_k"],
    },
    Parameter { names: &["min_p"], paths: &["min_p"] },
    Parameter {
        names: &[
            "penalty",
            "frequency_penalty",
            "presence_penalty",
            "frequencypenalty",
            "presencepenalty",
        ],
        paths: &[
            "frequency_penalty",
            "presence_penalty",
            "generationConfig.frequencyPenalty",
            "generationConfig.presencePenalty",
            "options.frequency_penalty",
            "options.presence_penalty",
        ],
    },
    Parameter { names: &["repetition_penalty"], paths: &["repetition_penalty"] },
    Parameter {
        names: &["seed", "random_seed"],
        paths: &["seed", "random_seed", "generationConfig.seed", "options.seed"],
    },
    Parameter {
        names: &["parallel_tool_calls", "disable_parallel_tool_use"],
        paths: &["parallel_tool_calls", "tool_choice.disable_parallel_tool_use"],
    },
    Parameter {
        names: &[
            "reasoning_effort",
            "reasoning.effort",
            "reasoningeffort",
            "effort",
            "output_config.effort",
            "thinking",
            "thinking_config",
            "thinkingconfig",
            "thinking_level",
            "thinking level",
            "thinking_budget",
            "thinking budget",
            "think",
        ],
        paths: &[
            "reasoning_effort",
            "reasoning.effort",
            "reasoning.max_tokens",
            "thinking",
            "output_config.effort",
            "generationConfig.thinkingConfig",
            "think",
        ],
    },
    Parameter { names: &["reasoning"], paths: &["reasoning"] },
    Parameter { names: &["reasoning.summary"], paths: &["reasoning.summary"] },
    Parameter { names: &["verbosity", "text.verbosity"], paths: &["verbosity", "text.verbosity"] },
    Parameter { names: &["stream_options"], paths: &["stream_options"] },
    Parameter {
        names: &["logprobs", "top_logprobs", "responselogprobs"],
        paths: &[
            "logprobs",
            "top_logprobs",
            "generationConfig.responseLogprobs",
            "generationConfig.logprobs",
        ],
    },
    Parameter { names: &["service_tier"], paths: &["service_tier"] },
    Parameter { names: &["store"], paths: &["store"] },
    Parameter { names: &["metadata"], paths: &["metadata"] },
    Parameter { names: &["user"], paths: &["user"] },
    Parameter { names: &["safety_identifier"], paths: &["safety_identifier"] },
    Parameter { names: &["prompt_cache_key"], paths: &["prompt_cache_key"] },
    Parameter { names: &["prompt_cache_retention"], paths: &["prompt_cache_retention"] },
    Parameter { names: &["prediction"], paths: &["prediction"] },
    Parameter { names: &["include"], paths: &["include"] },
    Parameter { names: &["truncation"], paths: &["truncation"] },
    Parameter { names: &["context_management"], paths: &["context_management"] },
    Parameter { names: &["web_search"], paths: &["web_search_options", "plugins"] },
    Parameter { names: &["tool_choice"], paths: &["tool_choice", "toolConfig", "tool_config"] },
];

/// What a protocol may have no field for, but must not be left out because it was refused.
const KEPT: &[&str] = &["tool_choice", "web_search"];

/// Some of the parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters(u32);

impl Parameters {
    /// The one that a rejection names as what it is about.
    pub fn refused_in(text: &str) -> Option<Self> {
        let text = plain(&text[..text.floor_char_boundary(READ_BYTES_MAX)]);
        let rows = TEXTS.lines().filter_map(|line| line.split_once('\t'));
        rows.filter_map(|(words, _)| words.split_once("{name}"))
            .find_map(|(before, after)| find(&text, &plain(before), &plain(after)))
    }

    /// Those of these names, with commas between them.
    pub fn named(names: &str) -> Self {
        let known = |name: &str| PARAMETERS.iter().position(|it| it.names[0] == name);
        names.split(',').filter_map(known).map(Self::one).fold(Self::default(), Self::and)
    }

    /// Their names, with commas between them.
    pub fn names(self) -> String {
        let names: Vec<_> = self.iter().map(|parameter| parameter.names[0]).collect();
        names.join(",")
    }

    /// Every one there is.
    pub(crate) fn all() -> Self {
        (0..PARAMETERS.len()).map(Self::one).fold(Self::default(), Self::and)
    }

    /// Those of whose paths this is true.
    #[must_use]
    pub(crate) fn filter(self, fits: impl Fn(&[&'static str]) -> bool) -> Self {
        let places = (0..PARAMETERS.len()).filter(|place| fits(PARAMETERS[*place].paths));
        Self(self.0 & places.map(Self::one).fold(Self::default(), Self::and).0)
    }

    /// Those that are not among the others.
    #[must_use]
    pub(crate) fn filter_out(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Where they are in bodies.
    pub(crate) fn paths(self) -> impl Iterator<Item = &'static str> {
        self.iter().flat_map(|parameter| parameter.paths).copied()
    }

    /// Both these and those.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the others are among these.
    pub fn contain(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn one(place: usize) -> Self {
        Self(1 << place)
    }

    fn iter(self) -> impl Iterator<Item = &'static Parameter> {
        let is_in = move |(place, _): &(usize, _)| self.contain(Self::one(*place));
        PARAMETERS.iter().enumerate().filter(is_in).map(|(_, parameter)| parameter)
    }
}

/// The parameter between these words; of names that fit, the longest.
fn find(text: &str, before: &str, after: &str) -> Option<Parameters> {
    let fits = |name: &&&str| {
        text.match_indices(**name).any(|(at, _)| {
            let (head, tail) = (&text[..at], &text[at + name.len()..]);
            head.ends_with(before)
                && tail.starts_with(after)
                && !(before.is_empty() && head.ends_with(is_of_a_name))
                && !(after.is_empty() && goes_on(tail))
        })
    };
    let is_kept = |parameter: &Parameter| KEPT.contains(&parameter.names[0]);
    let named = PARAMETERS.iter().enumerate().filter(|(_, parameter)| !is_kept(parameter));
    let found = named.filter_map(|(place, parameter)| {
        let longest = parameter.names.iter().filter(fits).map(|name| name.len()).max()?;
        Some((longest, place))
    });
    found.max().map(|(_, place)| Parameters::one(place))
}

/// Whether the name before this is longer: a dot may also end a sentence.
fn goes_on(tail: &str) -> bool {
    tail.starts_with(is_of_a_name)
        || tail.strip_prefix('.').is_some_and(|it| it.starts_with(is_of_a_name))
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The text without what differs from one teller to the next: case, quotation marks, and spaces that
/// only set off a mark.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !matches!(c, '`' | '"' | '\'' | '\\')) {
        let c = if c.is_whitespace() { ' ' } else { c.to_ascii_lowercase() };
        if c == ' ' && plain.ends_with(|last| last == ' ' || is_mark(last)) {
            continue;
        }
        if is_mark(c) && plain.ends_with(' ') {
            plain.pop();
        }
        plain.push(c);
    }
    plain
}

fn is_mark(c: char) -> bool {
    matches!(c, ',' | ':' | '[' | ']')
}

#[cfg(test)]
mod tests;
