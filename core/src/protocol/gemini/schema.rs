//! The part of JSON Schema to which Gemini can hold an answer. Source: `responseJsonSchema` in
//! "GenerationConfig", ai.google.dev/api/generate-content.

use serde_json::Value;

use crate::protocol::provider::schema::{self, Rules};

/// Keywords that are taken.
const TAKEN: &[&str] = &[
    "$id",
    "$defs",
    "$ref",
    "$anchor",
    "type",
    "format",
    "title",
    "description",
    "enum",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "anyOf",
    "oneOf",
    "properties",
    "additionalProperties",
    "required",
    "propertyOrdering",
    // Not in the list, but what they hold must not be lost.
    "definitions",
    "allOf",
];

const RULES: Rules = Rules { refuses: |name, _| !TAKEN.contains(&name), closes_objects: false };

/// The schema in that part.
pub(super) fn subset(schema: &Value) -> Value {
    schema::subset(schema, &RULES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Each row: a schema, and what Gemini is sent of it.
    #[test]
    fn what_is_refused_is_described() {
        let rows = [
            (
                json!({"$schema": "x", "type": "object", "properties": {"a": {"const": 1}}}),
                json!({"type": "object", "properties": {"a": {"enum": [1]}}}),
            ),
            (
                json!({"type": "string", "pattern": "^a", "minLength": 2}),
                json!({"type": "string", "description": "(at least 2 characters, pattern: \"^a\")"}),
            ),
            (
                json!({"type": ["integer", "null"], "minimum": 0, "description": "Years."}),
                json!({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}],
                "description": "Years."}),
            ),
            (
                json!({"$ref": "#/$defs/P", "$defs": {"P": {"default": 1}}}),
                json!({"$ref": "#/$defs/P", "$defs": {"P": {"description": "(default: 1)"}}}),
            ),
        ];
        for (schema, expected) in rows {
            assert_eq!(subset(&schema), expected, "{schema}");
        }
    }
}
