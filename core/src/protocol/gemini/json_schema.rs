//! Gemini's `Schema`, a subset of OpenAPI's, as JSON Schema.

use serde_json::{Map, Value, json};

use crate::json::object;

/// Bounds, which it may write as texts.
const COUNTS: [&str; 6] =
    ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"];

/// The same schema as JSON Schema; what is JSON Schema already stays as it is.
pub(super) fn json_schema(schema: Value) -> Value {
    let Value::Object(fields) = schema else { return schema };
    let is_nullable = fields.get("nullable") == Some(&Value::Bool(true));
    let mut written = Map::new();
    for (name, value) in fields {
        let value = match (name.as_str(), value) {
            // The order is of no meaning elsewhere.
            ("nullable" | "propertyOrdering" | "property_ordering", _) => continue,
            ("type", Value::String(kind)) => match kind.to_ascii_lowercase() {
                kind if is_nullable => json!([kind, "null"]),
                kind => kind.into(),
            },
            ("properties" | "$defs", Value::Object(properties)) => {
                object(properties.into_iter().map(|(name, it)| (name, json_schema(it)))).into()
            }
            ("anyOf" | "any_of", Value::Array(list)) => list.into_iter().map(json_schema).collect(),
            ("items" | "additionalProperties", value) => json_schema(value),
            (name, Value::String(text)) if COUNTS.contains(&name) => {
                text.parse::<u64>().map_or(Value::String(text), Value::from)
            }
            (_, value) => value,
        };
        let name = if name == "any_of" { "anyOf".into() } else { name };
        written.insert(name, value);
    }
    written.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_as_json_schema_names_them() {
        let schema = json!({
            "type": "OBJECT",
            "properties": {
                "type": {"type": "STRING", "nullable": true, "maxLength": "5"},
                "list": {"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": 1},
                "either": {"anyOf": [{"type": "NUMBER"}, {"type": "BOOLEAN"}]},
            },
            "propertyOrdering": ["type", "list"],
            "required": ["type"],
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "type": {"type": ["string", "null"], "maxLength": 5},
                "list": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
                "either": {"anyOf": [{"type": "number"}, {"type": "boolean"}]},
            },
            "required": ["type"],
        });
        assert_eq!(json_schema(schema), expected);
        assert_eq!(json_schema(expected.clone()), expected);
    }
}
