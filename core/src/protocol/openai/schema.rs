//! The schemas that OpenAI's strict mode takes. Source: "Structured model outputs", "Supported schemas",
//! developers.openai.com/api/docs/guides/structured-outputs.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Keywords that are refused.
const REFUSED: &[&str] = &[
    "allOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
];

/// The schema with every object closed; `None` where strict mode refuses it, as it does where a
/// property may be missing: then it is sent without the mode, which the answer can follow all the same.
fn strict(schema: &Value) -> Option<Value> {
    let is_object = schema.get("type").is_some_and(|name| name == "object");
    if is_object { closed(schema) } else { None }
}

/// A schema and whether the answer is held to it, as they can be asked for.
pub(in crate::protocol) fn held(
    schema: &Value,
    strict: Option<bool>,
) -> (Cow<'_, Value>, Option<bool>) {
    match strict {
        Some(true) => match self::strict(schema) {
            Some(closed) => (Cow::Owned(closed), Some(true)),
            None => (Cow::Borrowed(schema), Some(false)),
        },
        Some(false) | None => (Cow::Borrowed(schema), strict),
    }
}

fn closed(schema: &Value) -> Option<Value> {
    let Value::Object(members) = schema else { return Some(schema.clone()) };
    if REFUSED.iter().any(|name| members.contains_key(*name)) {
        return None;
    }
    let mut closed_one = members.clone();
    for (name, value) in &mut closed_one {
        match name.as_str() {
            "properties" | "$defs" | "definitions" => *value = each(value)?,
            "items" => *value = closed(value)?,
            "anyOf" => *value = each(value)?,
            _ => {}
        }
    }
    let is_object = members.get("type").is_some_and(|name| is_or_has(name, "object"));
    if is_object || members.contains_key("properties") {
        if !requires_all(schema)
            || members.get("additionalProperties").is_some_and(|it| it != false)
        {
            return None;
        }
        closed_one.insert("additionalProperties".into(), false.into());
    }
    Some(Value::Object(closed_one))
}

fn is_or_has(name: &Value, expected: &str) -> bool {
    name == expected || name.as_array().is_some_and(|names| names.iter().any(|it| it == expected))
}

fn requires_all(schema: &Value) -> bool {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return true };
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &String| required.is_some_and(|it| it.iter().any(|one| one == name));
    properties.keys().all(is_required)
}

fn each(schemas: &Value) -> Option<Value> {
    match schemas {
        Value::Object(named) => {
            let mut each = Map::new();
            for (name, schema) in named {
                each.insert(name.clone(), closed(schema)?);
            }
            Some(each.into())
        }
        Value::Array(schemas) => schemas.iter().map(closed).collect(),
        other => Some(other.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Each row: a schema, and what strict mode is sent of it.
    #[test]
    fn strict_mode_is_sent_what_it_takes() {
        let inner = json!({"type": "object", "properties": {}});
        let shut = json!({"type": "object", "properties": {}, "additionalProperties": false});
        let rows = [
            (
                json!({"type": "object"}),
                Some(json!({"type": "object", "additionalProperties": false})),
            ),
            (
                json!({"type": "object", "properties": {"a": inner}, "required": ["a"]}),
                Some(json!({"type": "object", "properties": {"a": shut}, "required": ["a"],
                "additionalProperties": false})),
            ),
            (json!({"type": "object", "properties": {"a": {}}}), None),
            (json!({"type": "object", "additionalProperties": {"type": "string"}}), None),
            (
                json!({"type": "object", "properties": {"a": {"oneOf": []}}, "required": ["a"]}),
                None,
            ),
            (json!({"anyOf": []}), None),
            (
                json!({"type": "object", "$defs": {"P": inner}}),
                Some(
                    json!({"type": "object", "$defs": {"P": shut}, "additionalProperties": false}),
                ),
            ),
        ];
        for (schema, expected) in rows {
            assert_eq!(strict(&schema), expected, "{schema}");
        }
    }
}
