//! In what the providers that speak this protocol differ: a row each.
//!
//! Sources: the providers' own references, as docs/protocols/openai-dialects.md lists them. A row
//! describes what is written. Reading needs none: names differ, but no name means two things.

use serde_json::{Value, json};

use crate::chat::Effort;

/// How one provider differs.
#[derive(Debug)]
pub struct Dialect {
    /// Its name in configurations.
    pub name: &'static str,
    /// Where the provider is: the host or the end of it, and what its path begins with.
    at: &'static [&'static str],
    /// The header of the key; only of `authorization` it is a `Bearer`.
    pub(crate) key: &'static str,
    /// The field of the longest answer, in tokens; `None` where both are known: the client's own,
    /// else `max_tokens`.
    limit: Option<&'static str>,
    /// Whether usage must be asked for in a stream. Some that always send it reject the option.
    pub(crate) asks_usage: bool,
    /// The role of a developer's instruction.
    pub(crate) developer: &'static str,
    /// Where instructions may be.
    instructions: Instructions,
    /// Whether the assistant must speak between the results of tools and the user.
    pub(crate) answers_results: bool,
    /// How the effort is written.
    pub(crate) effort: EffortField,
    /// How earlier reasoning is written.
    pub(crate) thought: Thought,
    /// How the last message, the assistant's, is marked as the beginning of the answer.
    pub(crate) prefix: Prefix,
    /// Whether `top_k` is known.
    pub(crate) top_k: bool,
    /// The field of the seed.
    pub(crate) seed: &'static str,
    /// The name of the tool choice that requires some tool.
    pub(crate) required: &'static str,
    /// Whether a call's identifier must be nine letters and digits.
    pub(crate) short_ids: bool,
    /// Whether `prompt_cache_key` is known.
    pub(crate) cache_key: bool,
    /// Whether tools may be named `functions`, as they were at first.
    pub(crate) functions: bool,
    /// Whether a tool may have a text in place of arguments.
    pub(crate) custom_tools: bool,
    /// Whether tools may have any names.
    pub(crate) any_tool_name: bool,
    /// Fields that are refused.
    pub(crate) refused: &'static [&'static str],
    /// `Some` where every field that is not known is refused, so that no client's own body can be
    /// sent: its fields that are known there and have no word here.
    pub(crate) strict: Option<&'static [&'static str]>,
}

/// Where a model takes instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instructions {
    /// Anywhere in the conversation.
    Anywhere,
    /// In one message, the first.
    First,
}

/// Models whose templates have instructions in the first message only ("System message must be at the
/// beginning."), whoever serves them. Source: chat_template.jinja of Qwen3.5 and later on Hugging
/// Face, as reported in vllm-project/vllm#41114 and ollama/ollama#17774.
const INSTRUCTED_FIRST: &[&str] = &["qwen"];

/// How the effort is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EffortField {
    /// `reasoning_effort`, with OpenAI's levels.
    Word,
    /// `reasoning_effort`, whose least level is `low`.
    FromLow,
    /// `reasoning_effort`, whose least level is `low`; `reasoning` turns thinking off.
    FromLowOrOff,
    /// `thinking`, on or off, and `reasoning_effort`.
    Thinking,
    /// `reasoning`, an object with levels and budgets.
    Object,
    /// Not at all: the levels differ from model to model.
    Unsupported,
}

/// How earlier reasoning is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thought {
    /// In a field of the message.
    Field(&'static str),
    /// In a part of its content.
    Part,
    /// Not at all: the provider neither sends nor accepts reasoning.
    Unsupported,
}

/// How the last message is marked as the beginning of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// It cannot be.
    Unknown,
    /// By its place.
    Plain,
    /// By `prefix` in it.
    Marked,
    /// By `continue_final_message` beside the messages.
    Option,
}

/// For unknown providers: what most of them accept. Where open models are served, their templates
/// decide what may be where: Qwen's refuse a second system message, Gemma's and Mistral's also two
/// messages of the user in a row (suitenumerique/conversations#197, vllm-project/vllm#6862).
const COMPATIBLE: Dialect = Dialect {
    name: "compatible",
    at: &[],
    key: "authorization",
    limit: None,
    asks_usage: true,
    developer: "system",
    instructions: Instructions::First,
    answers_results: false,
    effort: EffortField::Word,
    thought: Thought::Field("reasoning_content"),
    prefix: Prefix::Unknown,
    top_k: false,
    seed: "seed",
    required: "required",
    short_ids: false,
    cache_key: false,
    functions: true,
    custom_tools: false,
    any_tool_name: false,
    refused: &[],
    strict: None,
};

/// Its reasoning models refuse `max_tokens`.
const OPENAI: Dialect = Dialect {
    name: "openai",
    at: &["api.openai.com"],
    limit: Some("max_completion_tokens"),
    developer: "developer",
    cache_key: true,
    custom_tools: true,
    instructions: Instructions::Anywhere,
    thought: Thought::Unsupported,
    ..COMPATIBLE
};

/// "The system message of deepseek-reasoner must be put on the beginning of the message sequence":
/// aandrew-me/tgpt#357.
const DEEPSEEK: Dialect = Dialect {
    name: "deepseek",
    at: &["api.deepseek.com"],
    limit: Some("max_tokens"),
    effort: EffortField::Thinking,
    functions: false,
    ..COMPATIBLE
};

/// Every row. Of several at one host the first counts.
pub static DIALECTS: &[Dialect] = &[
    COMPATIBLE,
    OPENAI,
    Dialect {
        name: "azure",
        at: &["openai.azure.com", "services.ai.azure.com"],
        key: "api-key",
        ..OPENAI
    },
    Dialect {
        name: "groq",
        at: &["api.groq.com"],
        limit: Some("max_completion_tokens"),
        instructions: Instructions::Anywhere,
        effort: EffortField::FromLow,
        thought: Thought::Field("reasoning"),
        // Tools too: some are its own.
        strict: Some(&[
            "n",
            "user",
            "tools",
            "service_tier",
            "reasoning_effort",
            "reasoning_format",
            "include_reasoning",
            "documents",
            "citation_options",
            "search_settings",
            "compound_custom",
            "disable_tool_validation",
        ]),
        functions: false,
        ..COMPATIBLE
    },
    Dialect {
        name: "deepseek-beta",
        at: &["api.deepseek.com/beta"],
        prefix: Prefix::Marked,
        ..DEEPSEEK
    },
    DEEPSEEK,
    Dialect {
        name: "openrouter",
        at: &["openrouter.ai"],
        asks_usage: false,
        instructions: Instructions::Anywhere,
        effort: EffortField::Object,
        thought: Thought::Field("reasoning"),
        prefix: Prefix::Plain,
        top_k: true,
        functions: false,
        ..COMPATIBLE
    },
    // "Unexpected role 'system' after role 'assistant'" (swarmauri/swarmauri-sdk#162), "Unexpected role
    // 'user' after role 'tool'" (zed-industries/zed#37021).
    Dialect {
        name: "mistral",
        at: &["api.mistral.ai"],
        limit: Some("max_tokens"),
        asks_usage: false,
        answers_results: true,
        effort: EffortField::Unsupported,
        thought: Thought::Part,
        prefix: Prefix::Marked,
        seed: "random_seed",
        required: "any",
        short_ids: true,
        strict: Some(&[
            "n",
            "safe_prompt",
            "prompt_mode",
            "reasoning_effort",
            "prediction",
            "metadata",
            "document_image_limit",
            "document_page_limit",
        ]),
        functions: false,
        ..COMPATIBLE
    },
    Dialect {
        name: "vllm",
        thought: Thought::Field("reasoning"),
        prefix: Prefix::Option,
        top_k: true,
        functions: false,
        any_tool_name: true,
        ..COMPATIBLE
    },
    Dialect {
        name: "llama-server",
        prefix: Prefix::Option,
        top_k: true,
        functions: false,
        any_tool_name: true,
        ..COMPATIBLE
    },
    Dialect {
        name: "together",
        at: &["api.together.xyz", "api.together.ai"],
        limit: Some("max_tokens"),
        effort: EffortField::FromLowOrOff,
        thought: Thought::Field("reasoning"),
        top_k: true,
        functions: false,
        ..COMPATIBLE
    },
    Dialect {
        name: "fireworks",
        at: &["api.fireworks.ai"],
        limit: Some("max_tokens"),
        effort: EffortField::FromLow,
        top_k: true,
        functions: false,
        ..COMPATIBLE
    },
    // Its reasoning models refuse penalties.
    Dialect {
        name: "xai",
        at: &["api.x.ai"],
        limit: Some("max_completion_tokens"),
        instructions: Instructions::Anywhere,
        effort: EffortField::FromLow,
        thought: Thought::Unsupported,
        refused: &["presence_penalty", "frequency_penalty"],
        functions: false,
        ..COMPATIBLE
    },
];

impl Dialect {
    /// The row of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        DIALECTS.iter().find(|dialect| dialect.name == name)
    }

    /// The row of the provider at this base URL; the first one where none is.
    pub fn at(base_url: &str) -> &'static Self {
        let place = base_url.split_once("://").map_or(base_url, |(_, place)| place);
        DIALECTS.iter().find(|dialect| dialect.is_at(place)).unwrap_or(&DIALECTS[0])
    }

    /// Where this model takes instructions.
    pub(crate) fn instructions(&self, model: &str) -> Instructions {
        let model = model.to_ascii_lowercase();
        let by_model = INSTRUCTED_FIRST.iter().any(|name| model.contains(name));
        if by_model { Instructions::First } else { self.instructions }
    }

    /// Whether its provider continues an answer that was begun.
    pub fn continues(&self) -> bool {
        self.prefix != Prefix::Unknown
    }

    fn is_at(&self, place: &str) -> bool {
        let (host, path) = place.split_once('/').unwrap_or((place, ""));
        let host = host.split(':').next().unwrap_or(host);
        self.at.iter().any(|at| {
            let (end, begin) = at.split_once('/').unwrap_or((at, ""));
            let before = host.strip_suffix(end);
            before.is_some_and(|b| b.is_empty() || b.ends_with('.')) && path.starts_with(begin)
        })
    }

    /// The field of the longest answer; `is_new`: the client wrote `max_completion_tokens`.
    pub(crate) fn limit(&self, is_new: bool) -> &'static str {
        let by_client = if is_new { "max_completion_tokens" } else { "max_tokens" };
        self.limit.unwrap_or(by_client)
    }

    /// The fields of the effort.
    pub(crate) fn effort(&self, effort: Effort) -> Vec<(&'static str, Value)> {
        let from_low = if effort == Effort::Minimal { Effort::Low } else { effort.up_to_high() };
        let field = |effort: Effort| ("reasoning_effort", effort.as_str().into());
        match self.effort {
            EffortField::Word => vec![field(effort)],
            EffortField::FromLowOrOff if effort == Effort::None => {
                vec![("reasoning", effort_object(effort))]
            }
            EffortField::FromLow | EffortField::FromLowOrOff => vec![field(from_low)],
            EffortField::Thinking if effort == Effort::None => {
                vec![("thinking", json!({"type": "disabled"}))]
            }
            EffortField::Thinking => {
                let has_more = matches!(effort, Effort::XHigh | Effort::Max);
                let level = if has_more { Effort::Max } else { from_low };
                vec![("thinking", json!({"type": "enabled"})), field(level)]
            }
            EffortField::Object => vec![("reasoning", effort_object(effort))],
            EffortField::Unsupported => Vec::new(),
        }
    }

    /// A call's identifier as it may be here; equal ones stay equal.
    pub(crate) fn call_id(&self, id: &str) -> String {
        let is_short = id.len() == SHORT_ID_BYTES && id.bytes().all(|b| b.is_ascii_alphanumeric());
        if self.short_ids && !is_short { short_id(id) } else { id.to_owned() }
    }
}

fn effort_object(effort: Effort) -> Value {
    match effort {
        Effort::None => json!({"enabled": false}),
        Effort::Budget(tokens) => json!({"max_tokens": tokens}),
        // OpenRouter has one level above.
        Effort::Max => json!({"effort": Effort::XHigh.as_str()}),
        Effort::Minimal | Effort::Low | Effort::Medium | Effort::High | Effort::XHigh => {
            json!({"effort": effort.as_str()})
        }
    }
}

const SHORT_ID_BYTES: usize = 9;

/// The identifier's FNV-1a hash (64 bits) in letters and digits.
fn short_id(id: &str) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let digits = std::iter::successors(Some(hash), |rest| Some(rest / 62));
    digits.take(SHORT_ID_BYTES).map(|rest| char::from(LETTERS[(rest % 62) as usize])).collect()
}

#[cfg(test)]
mod tests;
