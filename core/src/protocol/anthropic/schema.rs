//! The part of JSON Schema to which Anthropic can hold an answer. Source: "Structured outputs",
//! platform.claude.com/docs/en/build-with-claude/structured-outputs, and what Anthropic's own SDKs do
//! with the rest: it is moved into the description, where the model reads it.

use serde_json::{Map, Value, json};

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

/// The schema in that part, every object closed.
pub(super) fn subset(schema: &Value) -> Value {
    let Value::Object(members) = schema else { return schema.clone() };
    let mut subset = Map::new();
    let mut refused = Vec::new();
    for (name, value) in members {
        match name.as_str() {
            name if is_refused(name, value) => refused.push(format!("{name}: {value}")),
            "properties" | "$defs" | "definitions" => {
                subset.insert(name.clone(), each(value));
            }
            "items" => {
                subset.insert(name.clone(), self::subset(value));
            }
            "anyOf" | "oneOf" => {
                subset.insert("anyOf".into(), each(value));
            }
            "allOf" => {
                subset.insert(name.clone(), each(value));
            }
            _ => {
                subset.insert(name.clone(), value.clone());
            }
        }
    }
    if is_object(members) {
        subset.insert("additionalProperties".into(), false.into());
    }
    if !refused.is_empty() {
        let described = subset.get("description").and_then(Value::as_str);
        let before = described.map(|text| format!("{text} ")).unwrap_or_default();
        subset.insert("description".into(), json!(format!("{before}({})", refused.join(", "))));
    }
    Value::Object(subset)
}

/// Of the least number of items 0 and 1 are taken.
fn is_refused(name: &str, value: &Value) -> bool {
    REFUSED.contains(&name) || (name == "minItems" && value.as_u64().is_none_or(|least| least > 1))
}

fn is_object(members: &Map<String, Value>) -> bool {
    match members.get("type") {
        Some(Value::Array(types)) => types.iter().any(|name| name == "object"),
        Some(name) => name == "object",
        None => members.contains_key("properties"),
    }
}

fn each(schemas: &Value) -> Value {
    match schemas {
        Value::Object(named) => {
            named.iter().map(|(name, schema)| (name.clone(), subset(schema))).collect()
        }
        Value::Array(schemas) => schemas.iter().map(subset).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: a schema, and what Anthropic is sent of it.
    #[test]
    fn objects_are_closed_and_constraints_described() {
        let rows = [
            (json!({}), json!({})),
            (json!({"type": "object"}), json!({"type": "object", "additionalProperties": false})),
            (
                json!({"type": ["object", "null"], "additionalProperties": {"type": "string"}}),
                json!({"type": ["object", "null"], "additionalProperties": false}),
            ),
            (
                json!({"type": "integer", "minimum": 0, "description": "Years."}),
                json!({"type": "integer", "description": "Years. (minimum: 0)"}),
            ),
            (
                json!({"type": "array", "minItems": 1, "items": {"type": "string", "maxLength": 9}}),
                json!({"type": "array", "minItems": 1,
                    "items": {"type": "string", "description": "(maxLength: 9)"}}),
            ),
            (
                // Names of properties are no constraints.
                json!({"properties": {"minimum": {"oneOf": [{"type": "object"}, {"minItems": 2}]}},
                    "$defs": {"P": {"properties": {}}}}),
                json!({
                    "properties": {"minimum": {"anyOf": [
                        {"type": "object", "additionalProperties": false},
                        {"description": "(minItems: 2)"}]}},
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
