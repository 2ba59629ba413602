//! What is asked and answered.

use serde_json::{Value, json};

use super::asked::Asked;

/// One kind of answer, and what a request for it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Plain text.
    Text,
    /// Two tool calls in parallel, after some text.
    Tools,
    /// Text, after instructions, a tool's call and its result.
    Conversation,
    /// A thought, then text.
    Reasoning,
    /// Text that ends at the limit of tokens.
    Length,
    /// No text at all: reasoning used up the limit of tokens.
    Spent,
    /// JSON by a schema.
    Structured,
    /// An answer to an image that is sent along.
    ImageData,
    /// An answer to an image at a URL.
    ImageUrl,
    /// The model, or a filter before it, declines.
    Refusal,
    /// An error: in mid-answer where it is streamed, else in its place.
    Error,
    /// An error before the answer: too many requests.
    Limited,
}

impl Case {
    /// Every one there is.
    pub const ALL: [Self; 12] = [
        Self::Text,
        Self::Tools,
        Self::Conversation,
        Self::Reasoning,
        Self::Length,
        Self::Spent,
        Self::Structured,
        Self::ImageData,
        Self::ImageUrl,
        Self::Refusal,
        Self::Error,
        Self::Limited,
    ];

    /// Its name in paths and tests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Tools => "tools",
            Self::Conversation => "conversation",
            Self::Reasoning => "reasoning",
            Self::Length => "length",
            Self::Spent => "spent",
            Self::Structured => "structured",
            Self::ImageData => "image-data",
            Self::ImageUrl => "image-url",
            Self::Refusal => "refusal",
            Self::Error => "error",
            Self::Limited => "limited",
        }
    }

    /// The name of the files that say it.
    pub(super) const fn vector(self) -> &'static str {
        match self {
            Self::Conversation | Self::ImageData | Self::ImageUrl => Self::Text.name(),
            case => case.name(),
        }
    }

    /// What a client's protocol must have a form for to ask for it.
    pub(super) const fn needs(self) -> Option<&'static str> {
        match self {
            Self::Conversation => Some("tools"),
            Self::Structured => Some("schema"),
            Self::ImageData => Some("images"),
            Self::ImageUrl => Some("image-urls"),
            _ => None,
        }
    }

    /// Adds to the question what brings this answer. Who has no form for tools, or for a limit, may
    /// be answered so all the same.
    pub(super) fn ask(self, asked: Asked, forms: &[&str]) -> Asked {
        match self {
            Self::Tools if forms.contains(&"tools") => Asked { tools: tools(), ..asked },
            Self::Conversation => Asked {
                instructions: "Be brief.".into(),
                calls: vec![("get_time".into(), json!({"zone": "CET"}))],
                results: vec!["12:00".into()],
                tools: tools(),
                ..asked
            },
            Self::Length | Self::Spent if forms.contains(&"limit") => {
                Asked { limit: Some(7), ..asked }
            }
            Self::Structured => Asked { schema: Some(schema()), ..asked },
            Self::ImageData => Asked { images: vec![IMAGE_DATA.into()], ..asked },
            Self::ImageUrl => Asked { images: vec![IMAGE_URL.into()], ..asked },
            _ => asked,
        }
    }
}

/// The smallest PNG: one transparent dot.
const IMAGE_DATA: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlE\
                          QVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";
const IMAGE_URL: &str = "https://example.com/dot.png";

fn tools() -> Vec<(String, Value)> {
    [("get_weather", "city"), ("get_time", "zone")]
        .map(|(name, field)| (name.to_owned(), object(json!({field: {"type": "string"}}))))
        .into()
}

fn schema() -> Value {
    object(json!({"city": {"type": "string"}, "celsius": {"type": "integer"}}))
}

/// Closed and complete, as strict schemas must be.
fn object(properties: Value) -> Value {
    let required: Vec<_> =
        properties.as_object().into_iter().flatten().map(|(name, _)| name).collect();
    json!({
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": false,
    })
}
