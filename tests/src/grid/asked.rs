//! What a provider is asked, in no protocol's words.

use serde_json::Value;

/// What a client wants, and what a provider understood.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// The model by the provider's name.
    pub(crate) model: String,
    pub(crate) stream: bool,
    /// The system's text.
    pub(crate) instructions: String,
    /// The user's text.
    pub(crate) text: String,
    /// The tools that were called then, with their arguments.
    pub(crate) calls: Vec<(String, Value)>,
    /// What they gave.
    pub(crate) results: Vec<String>,
    /// Each tool's name and the schema of its arguments.
    pub(crate) tools: Vec<(String, Value)>,
    /// What the answer's JSON must follow.
    pub(crate) schema: Option<Value>,
    /// The URL of each image; a `data:` one where it was sent along.
    pub(crate) images: Vec<String>,
    /// The longest answer, in tokens.
    pub(crate) limit: Option<u64>,
}

impl Asked {
    /// The media type and the base64 of an image that is sent along.
    pub(super) fn inline(image: &str) -> Option<(&str, &str)> {
        image.strip_prefix("data:")?.split_once(";base64,")
    }
}
