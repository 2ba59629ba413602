//! Custom tools: those whose argument is a text and not JSON, such as Codex's `apply_patch`. Only
//! OpenAI's models know them, so they are offered as functions with that text as their one argument,
//! and such a function's call is the custom tool's again where the client's protocol has it.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::chat::{Part, Tool};
use crate::json;

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
    Part::ToolCall { id, name, arguments: arguments(input) }
}

/// Its arguments.
pub(super) fn arguments(input: &str) -> String {
    json!({INPUT: input}).to_string()
}

/// The text that these arguments stand for. A model may name the argument otherwise, or write the text
/// alone.
pub(super) fn input(arguments: &str) -> String {
    let Ok(members) = json::read::<Map<String, Value>>(arguments) else {
        return arguments.to_owned();
    };
    let only = || members.values().next().filter(|_| members.len() == 1);
    match members.get(INPUT).or_else(only) {
        Some(Value::String(text)) => text.clone(),
        Some(_) | None if members.is_empty() => String::new(),
        Some(_) | None => arguments.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: the arguments that a model wrote, and the text they stand for.
    #[test]
    fn arguments_are_one_text() {
        let rows = [
            (r#"{"input":"*** Begin\nPatch"}"#, "*** Begin\nPatch"),
            (r#"{"input":"a","why":"b"}"#, "a"),
            (r#"{"patch":"a"}"#, "a"),
            (r#"{"input":5}"#, r#"{"input":5}"#),
            (r#"{"a":"b","c":"d"}"#, r#"{"a":"b","c":"d"}"#),
            ("{}", ""),
            ("*** Begin", "*** Begin"),
            (r#"{"input":"cut"#, r#"{"input":"cut"#),
        ];
        for (arguments, expected) in rows {
            assert_eq!(input(arguments), expected, "{arguments}");
        }
    }
}
