//! Tools and their calls in forms that only this protocol has, and the functions that stand for them
//! elsewhere: in a namespace, with a text in place of arguments, a search for tools that the client
//! carries out, a shell.
//!
//! Codex resolves a call by namespace and name, where none is `functions`, and accepts its own forms
//! alone (`codex-rs/protocol/src/tool_name.rs` and `models.rs`). It sends tools also within the
//! conversation: as `additional_tools`, and as what a search found.

use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{WirePart, part};
use crate::chat::{Part, Role, Tool, ToolForm, ToolKind};
use crate::json;
use crate::protocol::custom_tools::{self, TextFormat};

/// The namespace of what has none.
const DEFAULT_NAMESPACE: &str = "functions";
const SEARCH: &str = "tool_search";
const SHELL: &str = "local_shell";

#[derive(Deserialize)]
pub(super) struct WireTool {
    pub(super) r#type: String,
    pub(super) name: Option<String>,
    description: Option<String>,
    parameters: Option<Value>,
    strict: Option<bool>,
    format: Option<TextFormat>,
    /// Who carries out a search for tools.
    execution: Option<String>,
    /// Those in a namespace.
    tools: Option<Vec<Self>>,
}

impl WireTool {
    /// Whether it must have a name.
    pub(super) fn is_named(&self) -> bool {
        matches!(self.r#type.as_str(), "function" | "custom")
    }
}

/// The functions that stand for a client's tools.
#[derive(Default)]
pub(super) struct Functions {
    pub(super) tools: Vec<Tool>,
    /// What the client has in another form.
    pub(super) forms: Vec<(String, ToolForm)>,
}

impl Functions {
    /// Adds a tool, and those in it. One of the provider's own is in the original alone; of several
    /// of a name the first counts.
    pub(super) fn add(&mut self, tool: WireTool, namespace: Option<&str>) {
        let by_client = tool.execution.as_deref() == Some("client");
        match tool.r#type.as_str() {
            "namespace" => {
                for inner in tool.tools.into_iter().flatten() {
                    self.add(inner, tool.name.as_deref());
                }
            }
            "function" => self.add_as(ToolKind::Function, tool, namespace),
            "custom" => self.add_as(ToolKind::Custom, tool, namespace),
            SEARCH if by_client => self.add_as(ToolKind::Search, tool, None),
            SHELL => self.add_as(ToolKind::Shell, tool, None),
            _ => {}
        }
    }

    fn add_as(&mut self, kind: ToolKind, tool: WireTool, namespace: Option<&str>) {
        let WireTool { r#type, name, description, parameters, strict, format, .. } = tool;
        let own = match kind {
            ToolKind::Function | ToolKind::Custom => name,
            ToolKind::Search | ToolKind::Shell => Some(r#type),
        };
        let Some(own) = own else { return };
        let name = function_name(namespace, &own);
        if self.tools.iter().any(|known| known.name == name) {
            return;
        }
        let function = match kind {
            ToolKind::Function | ToolKind::Search => {
                Tool { name: name.clone(), description, parameters, strict }
            }
            ToolKind::Custom => custom_tools::function(name.clone(), description, format),
            ToolKind::Shell => shell(),
        };
        self.tools.push(function);
        let namespace = namespace.filter(|_| name != own).map(str::to_owned);
        if kind != ToolKind::Function || namespace.is_some() {
            self.forms.push((name, ToolForm { kind, name: own, namespace }));
        }
    }

    /// Adds the tools that an item of the conversation brings.
    pub(super) fn add_loaded(&mut self, item: &str) {
        let brings = |kind: &str| item.contains(kind);
        if !brings("\"additional_tools\"") && !brings("\"tool_search_output\"") {
            return;
        }
        let Ok(item) = json::read::<Item>(item) else { return };
        if matches!(item.r#type.as_str(), "additional_tools" | "tool_search_output") {
            item.tools.into_iter().flatten().for_each(|tool| self.add(tool, None));
        }
    }
}

/// The name of the function that stands for a tool in a namespace.
pub(super) fn function_name(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        None | Some("" | DEFAULT_NAMESPACE) => name.to_owned(),
        Some(namespace) if namespace.ends_with("__") => format!("{namespace}{name}"),
        Some(namespace) => format!("{namespace}__{name}"),
    }
}

fn shell() -> Tool {
    let command = json!({"type": "array", "items": {"type": "string"}});
    let parameters = json!({
        "type": "object",
        "properties": {
            "command": command,
            "timeout_ms": {"type": "integer"},
            "working_directory": {"type": "string"},
        },
        "required": ["command"],
    });
    let description = "Runs a command on the user's machine and returns its output.".to_owned();
    let parameters = Some(parameters);
    Tool { name: SHELL.into(), description: Some(description), parameters, strict: None }
}

/// An item of a type that no other protocol has.
#[derive(Deserialize)]
struct Item {
    r#type: String,
    role: Option<String>,
    call_id: Option<String>,
    /// What a call is made with, by the types' names for it.
    arguments: Option<Value>,
    action: Option<Value>,
    operation: Option<Value>,
    input: Option<Value>,
    output: Option<Value>,
    tools: Option<Vec<WireTool>>,
    revised_prompt: Option<String>,
}

/// What such an item is elsewhere: a call that the client carries out and its output by their
/// `call_id`. Calls that the provider carries out itself have none: what came of them is in the
/// assistant's messages, as is what other items of the provider's own mean.
pub(super) fn item_parts(item: &str) -> Option<(Role, Vec<Part>)> {
    let item: Item = json::read(item).ok()?;
    let arguments = item.arguments.or(item.action).or(item.operation).or(item.input);
    let Item { r#type: kind, role, call_id, output, tools, revised_prompt, .. } = item;
    if let Some(id) = call_id {
        let parts = match (kind.as_str(), output) {
            ("tool_search_output", _) => vec![Part::Text(found(tools.unwrap_or_default()))],
            (_, Some(output)) => output_parts(output),
            (kind, None) => {
                let name = kind.strip_suffix("_call")?.to_owned();
                let arguments = arguments.map_or("{}".into(), as_text);
                return Some((Role::Assistant, vec![Part::ToolCall { id, name, arguments }]));
            }
        };
        return Some((Role::Tool, vec![Part::ToolResult { id, parts, is_error: false }]));
    }
    let is_own = role.is_none() || kind == "additional_tools";
    let shown = revised_prompt.map(|prompt| Part::Text(format!("[An image: {prompt}]")));
    (is_own && kind != "item_reference").then(|| (Role::Assistant, shown.into_iter().collect()))
}

/// The names of the tools that a search found, by which they are offered.
fn found(tools: Vec<WireTool>) -> String {
    let mut found = Functions::default();
    tools.into_iter().for_each(|tool| found.add(tool, None));
    let names: Vec<_> = found.tools.iter().map(|tool| tool.name.as_str()).collect();
    if names.is_empty() {
        "No tools found.".into()
    } else {
        format!("Found: {}.", names.join(", "))
    }
}

fn output_parts(output: Value) -> Vec<Part> {
    let parts = match &output {
        Value::Array(_) => Vec::<WirePart>::deserialize(&output).ok(),
        Value::Object(_) => WirePart::deserialize(&output).ok().map(|part| vec![part]),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    };
    let parts: Vec<_> = parts.into_iter().flatten().map(part).collect();
    let is_read = !parts.is_empty() && !parts.iter().any(|part| matches!(part, Part::Other(_)));
    if is_read { parts } else { vec![Part::Text(as_text(output))] }
}

fn as_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// A call as the client has it; `arguments` is what the model wrote.
pub(super) fn call(form: &ToolForm, call_id: &str, arguments: &str) -> Value {
    let read = || json::read::<Value>(arguments).ok().filter(Value::is_object);
    let mut item = match form.kind {
        ToolKind::Function => json!({"type": "function_call", "arguments": arguments}),
        ToolKind::Custom => {
            json!({"type": "custom_tool_call", "input": custom_tools::input(arguments)})
        }
        ToolKind::Search => {
            let arguments = read().unwrap_or_else(|| json!({"query": arguments}));
            return json!({"type": "tool_search_call", "call_id": call_id, "execution": "client",
                "arguments": arguments});
        }
        ToolKind::Shell => {
            let mut action = json!({"type": "exec", "command": [], "env": {}});
            for (name, value) in read().iter().filter_map(Value::as_object).flatten() {
                action[name] = value.clone();
            }
            return json!({"type": "local_shell_call", "call_id": call_id, "action": action});
        }
    };
    item["call_id"] = call_id.into();
    item["name"] = form.name.as_str().into();
    if let Some(namespace) = &form.namespace {
        item["namespace"] = namespace.as_str().into();
    }
    item
}

#[cfg(test)]
mod tests {
    use super::super::parse_request;
    use super::*;

    fn text(text: &str) -> Part {
        Part::Text(text.into())
    }

    fn called(id: &str, name: &str, arguments: &str) -> Part {
        let [id, name, arguments] = [id, name, arguments].map(str::to_owned);
        Part::ToolCall { id, name, arguments }
    }

    fn result(parts: Vec<Part>) -> Part {
        Part::ToolResult { id: "c".into(), parts, is_error: false }
    }

    /// Each row: a tool, the function that stands for it, and a call of that as the client has it.
    #[test]
    fn every_form_becomes_a_function_and_is_called_in_its_own() {
        let rows = [
            (
                r#"{"type":"namespace","name":"mcp__files","tools":[{"type":"function","name":"read"}]}"#,
                "mcp__files__read",
                json!({"type": "function_call", "name": "read", "namespace": "mcp__files",
                    "arguments": "{\"input\":\"x\"}"}),
            ),
            (
                r#"{"type":"namespace","name":"functions","tools":[{"type":"custom","name":"exec"}]}"#,
                "exec",
                json!({"type": "custom_tool_call", "name": "exec", "input": "x"}),
            ),
            (
                r#"{"type":"namespace","name":"a__","tools":[{"type":"custom","name":"exec"}]}"#,
                "a__exec",
                json!({"type": "custom_tool_call", "name": "exec", "namespace": "a__", "input": "x"}),
            ),
            (
                r#"{"type":"tool_search","execution":"client","parameters":{"type":"object"}}"#,
                "tool_search",
                json!({"type": "tool_search_call", "execution": "client", "arguments": {"input": "x"}}),
            ),
            (
                r#"{"type":"local_shell"}"#,
                "local_shell",
                json!({"type": "local_shell_call",
                    "action": {"type": "exec", "command": [], "env": {}, "input": "x"}}),
            ),
        ];
        for (tool, name, mut expected) in rows {
            for body in [
                format!(r#"{{"input":"x","tools":[{tool}]}}"#),
                format!(
                    r#"{{"input":[{{"type":"additional_tools","role":"developer","tools":[{tool}]}},
                        {{"role":"user","content":"x"}}]}}"#
                ),
            ] {
                let request = parse_request(body.as_bytes()).unwrap();
                assert_eq!(request.tools.len(), 1, "{tool}");
                assert_eq!(request.tools[0].name, name);
                let (_, form) = &request.tool_forms[0];
                expected["call_id"] = "c".into();
                assert_eq!(call(form, "c", r#"{"input":"x"}"#), expected);
            }
        }
    }

    #[test]
    fn tools_of_the_providers_own_stay_with_it() {
        let body = br#"{"input":"x","tools":[{"type":"web_search"},{"type":"tool_search"},
            {"type":"function","name":"f"},{"type":"namespace","name":"functions","tools":[
                {"type":"function","name":"f","description":"again"}]}]}"#;
        let request = parse_request(body).unwrap();
        assert_eq!(request.tools.len(), 1);
        assert_eq!((request.tools[0].description.as_deref(), request.tool_forms.len()), (None, 0));
    }

    /// Each row: an item, and what it is elsewhere.
    #[test]
    fn items_of_every_type_keep_the_conversation_going() {
        let own = || Some((Role::Assistant, Vec::new()));
        let rows = [
            (r#"{"type":"compaction","encrypted_content":"x"}"#, own()),
            (r#"{"type":"web_search_call","id":"ws","status":"completed"}"#, own()),
            (r#"{"type":"of_next_year","id":"x","data":1}"#, own()),
            (r#"{"type":"additional_tools","role":"developer","tools":[]}"#, own()),
            (r#"{"type":"image_generation_call","revised_prompt":"A cat","result":"AAAA"}"#, {
                Some((Role::Assistant, vec![text("[An image: A cat]")]))
            }),
            (
                r#"{"type":"local_shell_call","call_id":"c","action":{"type":"exec","command":["ls"]}}"#,
                Some((
                    Role::Assistant,
                    vec![called("c", "local_shell", r#"{"command":["ls"],"type":"exec"}"#)],
                )),
            ),
            (r#"{"type":"tool_search_call","call_id":"c","arguments":{"query":"x"}}"#, {
                Some((Role::Assistant, vec![called("c", "tool_search", r#"{"query":"x"}"#)]))
            }),
            (
                r#"{"type":"tool_search_output","call_id":"c","tools":[{"type":"namespace","name":"n",
                    "tools":[{"type":"function","name":"f"}]}]}"#,
                Some((Role::Tool, vec![result(vec![text("Found: n__f.")])])),
            ),
            (r#"{"type":"shell_call_output","call_id":"c","output":[{"stdout":"a"}]}"#, {
                Some((Role::Tool, vec![result(vec![text(r#"[{"stdout":"a"}]"#)])]))
            }),
            (r#"{"type":"of_next_year_call_output","call_id":"c","output":"ok"}"#, {
                Some((Role::Tool, vec![result(vec![text("ok")])]))
            }),
            (r#"{"type":"item_reference","id":"msg_1"}"#, None),
            (r#"{"type":"of_next_year","role":"user","content":"x"}"#, None),
        ];
        for (item, expected) in rows {
            assert_eq!(item_parts(item), expected, "{item}");
        }
    }

    #[test]
    fn a_screenshot_is_an_image() {
        let item = r#"{"type":"computer_call_output","call_id":"c",
            "output":{"type":"computer_screenshot","image_url":"data:image/png;base64,AAAA"}}"#;
        let (_, parts) = item_parts(item).unwrap();
        let [Part::ToolResult { parts, .. }] = parts.as_slice() else { panic!("{parts:?}") };
        assert!(matches!(parts.as_slice(), [Part::Media(_)]), "{parts:?}");
    }
}
