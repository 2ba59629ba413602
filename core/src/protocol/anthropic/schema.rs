//! The part of JSON Schema to which Anthropic can hold an answer. Source: "Structured outputs",
//! platform.claude.com/docs/en/build-with-claude/structured-outputs, and what Anthropic's own SDKs do
//! with the rest: it is moved into the description, where the model reads it.

use serde_json::Value;

use crate::protocol::provider::schema::{self, Rules};

/// Constraints that are refused.
const REFUSED: &[&str] = &[
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
];

const RULES: Rules = Rules { refuses: is_refused, closes_objects: true };

/// The schema in that part, every object closed.
pub(super) fn subset(schema: &Value) -> Value {
    schema::subset(schema, &RULES)
}

/// Of the least number of items 0 and 1 are taken.
fn is_refused(name: &str, value: &Value) -> bool {
    REFUSED.contains(&name) || (name == "minItems" && value.as_u64().is_none_or(|least| least > 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Each row: a schema, and what Anthropic is sent of it.
    #[test]
    fn objects_are_closed_and_constraints_described() {
        let rows = [
            (json!({}), json!({})),
            (json!({"type": "object"}), json!({"type": "object", "additionalProperties": false})),
            (
                json!({"type": ["object", "null"], "additionalProperties": {"type": "string"}}),
                json!({"anyOf": [{"type": "object", "additionalProperties": false},
                    {"type": "null"}]}),
            ),
            (
                json!({"type": ["string", "integer"], "enum": ["a", 1], "maxLength": 9,
                    "description": "Which."}),
                json!({"anyOf": [
                    {"type": "string", "enum": ["a"], "description": "(at most 9 characters)"},
                    {"type": "integer", "enum": [1]}], "description": "Which."}),
            ),
            (
                json!({"type": ["string", "null"], "enum": ["a"]}),
                json!({"type": "string", "enum": ["a"]}),
            ),
            (
                json!({"type": "integer", "minimum": 0, "description": "Years."}),
                json!({"type": "integer", "description": "Years. (at least 0)"}),
            ),
            (
                json!({"type": "array", "minItems": 1, "items": {"type": "string", "maxLength": 9}}),
                json!({"type": "array", "minItems": 1,
                    "items": {"type": "string", "description": "(at most 9 characters)"}}),
            ),
            (
                // Names of properties are no constraints.
                json!({"properties": {"minimum": {"oneOf": [{"type": "object"}, {"minItems": 2}]}},
                    "$defs": {"P": {"properties": {}}}}),
                json!({
                    "properties": {"minimum": {"anyOf": [
                        {"type": "object", "additionalProperties": false},
                        {"description": "(at least 2 items)"}]}},
                    "$defs": {"P": {"properties": {}, "additionalProperties": false}},
                    "additionalProperties": false,
                }),
            ),
        ];
        for (schema, expected) in rows {
            assert_eq!(subset(&schema), expected, "{schema}");
        }
    }
}
