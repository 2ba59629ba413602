//! The part of JSON Schema to which a provider can hold an answer: of what it refuses, types in a list
//! and constants become what it has, and the rest is moved into the description, where the model reads
//! it.

use serde_json::{Map, Value, json};

use crate::json::object;

/// What a provider takes.
pub(in crate::protocol) struct Rules {
    /// Whether this keyword is refused with this value.
    pub(in crate::protocol) refuses: fn(&str, &Value) -> bool,
    /// Whether every object must be closed.
    pub(in crate::protocol) closes_objects: bool,
}

/// Keywords that say nothing about an answer.
const SILENT: &[&str] = &["$schema", "$comment"];

/// Keywords that are about values of one type.
const OF_TYPES: &[(&str, &[&str])] = &[
    (
        "object",
        &["properties", "required", "additionalProperties", "minProperties", "maxProperties"],
    ),
    ("array", &["items", "prefixItems", "minItems", "maxItems", "uniqueItems"]),
    ("string", &["minLength", "maxLength", "pattern", "format"]),
    ("number", &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]),
];

/// The schema in the part that is taken.
pub(in crate::protocol) fn subset(schema: &Value, rules: &Rules) -> Value {
    let Value::Object(members) = schema else { return schema.clone() };
    if let Some(Value::Array(types)) = members.get("type")
        && !members.contains_key("anyOf")
    {
        return subset(&one_of_types(members, types), rules);
    }
    let mut subset = Map::new();
    let mut refused = Vec::new();
    for (name, value) in members {
        match name.as_str() {
            name if SILENT.contains(&name) => {}
            "const" if (rules.refuses)(name, value) => {
                subset.insert("enum".into(), json!([value]));
            }
            name if (rules.refuses)(name, value) => refused.push(in_words(name, value)),
            "properties" | "$defs" | "definitions" | "allOf" => {
                subset.insert(name.clone(), each(value, rules));
            }
            "items" => {
                subset.insert(name.clone(), self::subset(value, rules));
            }
            "anyOf" | "oneOf" => {
                subset.insert("anyOf".into(), each(value, rules));
            }
            _ => {
                subset.insert(name.clone(), value.clone());
            }
        }
    }
    if rules.closes_objects && is_object(members) {
        subset.insert("additionalProperties".into(), false.into());
    }
    describe(&mut subset, &refused);
    Value::Object(subset)
}

/// A schema of several types as one of a schema each, with what is about that type.
fn one_of_types(members: &Map<String, Value>, types: &[Value]) -> Value {
    let mut each: Vec<_> =
        types.iter().filter_map(|name| of_type(members, name.as_str()?)).collect();
    let mut schema = if each.len() == 1 { each.remove(0) } else { json!({"anyOf": each}) };
    for name in ["title", "description", "$defs", "definitions"] {
        if let Some(value) = members.get(name) {
            schema[name] = value.clone();
        }
    }
    schema
}

/// `None` where no value of an `enum` is of this type.
fn of_type(members: &Map<String, Value>, name: &str) -> Option<Value> {
    let family = if name == "integer" { "number" } else { name };
    let mut schema = Map::from_iter([("type".to_owned(), Value::from(name))]);
    for (keyword, value) in members {
        let mut owners = OF_TYPES.iter().filter(|(_, of)| of.contains(&keyword.as_str()));
        let is_anothers = owners.next().is_some_and(|(owner, _)| *owner != family);
        match (keyword.as_str(), value) {
            ("type" | "title" | "description" | "$defs" | "definitions", _) => {}
            ("enum", Value::Array(values)) => {
                let values: Vec<_> = values.iter().filter(|it| is_of(it, family)).collect();
                if values.is_empty() {
                    return None;
                }
                if family != "null" {
                    schema.insert(keyword.clone(), json!(values));
                }
            }
            _ if is_anothers || family == "null" => {}
            _ => drop(schema.insert(keyword.clone(), value.clone())),
        }
    }
    Some(Value::Object(schema))
}

fn is_of(value: &Value, family: &str) -> bool {
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    name == family
}

/// Keywords as a model reads them; `{}` stands for the value.
const WORDS: &[(&str, &str)] = &[
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("exclusiveMinimum", "more than {}"),
    ("exclusiveMaximum", "less than {}"),
    ("multipleOf", "a multiple of {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("minProperties", "at least {} members"),
    ("maxProperties", "at most {} members"),
];

fn in_words(name: &str, value: &Value) -> String {
    match WORDS.iter().find(|(keyword, _)| *keyword == name) {
        Some((_, words)) => words.replace("{}", &value.to_string()),
        None => format!("{name}: {value}"),
    }
}

fn describe(schema: &mut Map<String, Value>, refused: &[String]) {
    if refused.is_empty() {
        return;
    }
    let described = schema.get("description").and_then(Value::as_str);
    let before = described.map(|text| format!("{text} ")).unwrap_or_default();
    schema.insert("description".into(), json!(format!("{before}({})", refused.join(", "))));
}

fn is_object(members: &Map<String, Value>) -> bool {
    match members.get("type") {
        Some(name) => name == "object",
        None => members.contains_key("properties"),
    }
}

fn each(schemas: &Value, rules: &Rules) -> Value {
    match schemas {
        Value::Object(named) => {
            object(named.iter().map(|(name, it)| (name.clone(), subset(it, rules)))).into()
        }
        Value::Array(schemas) => schemas.iter().map(|schema| subset(schema, rules)).collect(),
        other => other.clone(),
    }
}
