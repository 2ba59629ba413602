//! Custom tools of a client of this protocol at a provider that has only functions: functions stand for
//! them in the client's own body, and their calls are the custom tools' again in the answer.

use serde_json::{Value, json};

use super::provider_request::tool;
use crate::chat::{ChatRequest, ToolCall, ToolKind};
use crate::protocol::writer::frame::{push_json_string, push_number};
use crate::protocol::{Body, custom_tools};

/// Puts functions in the place of custom tools, of their calls and of the choice of one.
pub(super) fn as_functions(body: &mut Body<'_>, request: &ChatRequest) {
    replace(body, "tools", |tools| each(tools, |tool| replace_tool(tool, request)));
    replace(body, "tool_choice", replace_choice);
    replace(body, "messages", |messages| {
        each(messages, |message| {
            message.get_mut("tool_calls").into_iter().for_each(|calls| each(calls, replace_call));
        });
    });
}

fn replace(body: &mut Body<'_>, field: &'static str, change: impl Fn(&mut Value)) {
    let text = body.get(field).filter(|text| text.contains("\"custom\""));
    if let Some(mut value) = text.and_then(|text| serde_json::from_str(text).ok()) {
        change(&mut value);
        body.set(field, &value);
    }
}

fn each(list: &mut Value, change: impl Fn(&mut Value)) {
    list.as_array_mut().into_iter().flatten().for_each(change);
}

fn replace_tool(value: &mut Value, request: &ChatRequest) {
    let function = custom(value, "name")
        .and_then(|name| request.tools.iter().find(|function| function.name == name));
    if let Some(function) = function {
        *value = tool(function);
    }
}

fn replace_choice(choice: &mut Value) {
    if let Some(name) = custom(choice, "name") {
        *choice = json!({"type": "function", "function": {"name": name}});
    }
}

fn replace_call(call: &mut Value) {
    let (Some(name), Some(input)) = (custom(call, "name"), custom(call, "input")) else { return };
    let function = json!({"name": name, "arguments": custom_tools::arguments(input)});
    *call = json!({"id": call["id"], "type": "function", "function": function});
}

/// A text of a custom tool, of the choice of one or of its call; `None` of others.
fn custom<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get("custom").filter(|_| value["type"] == "custom")?.get(name)?.as_str()
}

/// Calls of custom tools as they come: written when they are complete, for the text in their
/// arguments is known only then.
#[derive(Debug, Default)]
pub(super) struct CustomCalls(Vec<Held>);

#[derive(Debug)]
struct Held {
    index: u32,
    id: String,
    name: String,
    arguments: String,
}

impl CustomCalls {
    /// Whether the fragment is one of a custom tool's call, and is kept.
    pub(super) fn hold(&mut self, call: &ToolCall<'_>, request: &ChatRequest) -> bool {
        if request.tool_forms.is_empty() {
            return false;
        }
        if let Some(held) = self.0.iter_mut().find(|held| held.index == call.index) {
            held.arguments.push_str(&call.arguments);
            return true;
        }
        let name = call.name.as_deref().unwrap_or_default();
        let is_custom = is_custom(request, name);
        if is_custom {
            self.0.push(Held {
                index: call.index,
                id: call.id.as_deref().unwrap_or_default().to_owned(),
                name: name.to_owned(),
                arguments: call.arguments.clone().into_owned(),
            });
        }
        is_custom
    }

    /// The deltas of those that are complete.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Vec<u8>> + use<> {
        std::mem::take(&mut self.0).into_iter().map(|held| held.delta())
    }
}

impl Held {
    fn delta(&self) -> Vec<u8> {
        let mut delta = b"{\"tool_calls\":[{\"index\":".to_vec();
        push_number(&mut delta, self.index);
        delta.extend_from_slice(b",\"id\":");
        push_json_string(&mut delta, &self.id);
        delta.extend_from_slice(b",\"type\":\"custom\",\"custom\":{\"name\":");
        push_json_string(&mut delta, &self.name);
        delta.extend_from_slice(b",\"input\":");
        push_json_string(&mut delta, &custom_tools::input(&self.arguments));
        delta.extend_from_slice(b"}}]}");
        delta
    }
}

/// Whether the tool of this name is a custom one to the client.
pub(super) fn is_custom(request: &ChatRequest, name: &str) -> bool {
    let mut forms = request.tool_forms.iter();
    forms.any(|(function, form)| function == name && form.kind == ToolKind::Custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_stand_for_custom_tools_in_a_clients_own_body() {
        let written = br#"{"messages":[{"role":"user","content":"custom"},{"role":"assistant",
            "tool_calls":[{"id":"c","type":"custom","custom":{"name":"p","input":"x"}},
                {"id":"d","type":"function","function":{"name":"f","arguments":"{}"}}]}],
            "tools":[{"type":"custom","custom":{"name":"p"}},
                {"type":"function","function":{"name":"f"}}],
            "tool_choice":{"type":"custom","custom":{"name":"p"}}}"#;
        let request = super::super::parse_request(written).unwrap();
        let mut body = Body::read(written);
        as_functions(&mut body, &request);
        let sent: Value = serde_json::from_str(&body.text()).unwrap();
        let calls = &sent["messages"][1]["tool_calls"];
        assert_eq!(calls[0]["function"], json!({"name": "p", "arguments": "{\"input\":\"x\"}"}));
        assert_eq!((&calls[0]["id"], &calls[1]["function"]["name"]), (&json!("c"), &json!("f")));
        assert_eq!(sent["tools"][0]["function"]["parameters"]["required"], json!(["input"]));
        assert_eq!(sent["tools"][1], json!({"type": "function", "function": {"name": "f"}}));
        assert_eq!(sent["tool_choice"], json!({"type": "function", "function": {"name": "p"}}));
        assert!(!body.text().contains("\"custom\":"));
    }
}
