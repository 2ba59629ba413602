//! Custom tools: those whose argument is a text and not JSON, such as Codex's `apply_patch`. Only
//! OpenAI's models know them, so they are offered as functions with that text as their one argument.

use serde::Deserialize;
use serde_json::json;

use crate::chat::{Part, Tool};

/// The name of the one argument.
const INPUT: &str = "input";

/// What the text of a custom tool must look like.
#[derive(Deserialize)]
pub(super) struct TextFormat {
    /// The grammar's rules; plain text has none. Chat Completions has them one level deeper.
    definition: Option<String>,
    grammar: Option<Grammar>,
}

#[derive(Deserialize)]
struct Grammar {
    definition: Option<String>,
}

/// The function that stands for a custom tool. A model that cannot be held to the grammar reads it.
pub(super) fn function(
    name: String,
    description: Option<String>,
    format: Option<TextFormat>,
) -> Tool {
    let grammar = format.and_then(|it| it.definition.or_else(|| it.grammar?.definition));
    let grammar = grammar.map(|rules| format!("The input follows this grammar:\n{rules}"));
    let texts: Vec<_> = description.into_iter().chain(grammar).collect();
    let parameters = json!({
        "type": "object",
        "properties": {INPUT: {"type": "string"}},
        "required": [INPUT],
        "additionalProperties": false,
    });
    Tool {
        name,
        description: (!texts.is_empty()).then(|| texts.join("\n\n")),
        parameters: Some(parameters),
        strict: None,
    }
}

/// The call of the function that stands for a custom tool.
pub(super) fn call(id: String, name: String, input: &str) -> Part {
    Part::ToolCall { id, name, arguments: json!({INPUT: input}).to_string() }
}
