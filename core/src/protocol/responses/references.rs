//! References to what was answered here before: put in their place when a request comes, and noted
//! when its answer is over. What is not known here is left to the provider, if it is one of this
//! protocol.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::ChatRequest;
use crate::history::{History, Item};
use crate::json;
use crate::protocol::Body;

const PREVIOUS: &str = "previous_response_id";
const REFERENCE: &str = "item_reference";

/// The body with what it refers to in place of its references; `None` where nothing is known of
/// them.
pub(in crate::protocol) fn resolve(
    body: &[u8],
    history: &History,
    user: &str,
    now: u64,
) -> Option<Vec<u8>> {
    let has = |name: &str| memchr::memmem::find(body, name.as_bytes()).is_some();
    if !has(PREVIOUS) && !has(REFERENCE) {
        return None;
    }
    let mut body = Body::try_read(body)?;
    let previous = body.get(PREVIOUS).and_then(text);
    let before = previous.and_then(|id| history.conversation(user, &id, now));
    let mut is_changed = before.is_some();
    let find = |id: &str| history.item(user, id, now);
    let items = input(body.get("input"), &find, &mut is_changed)?;
    if !is_changed {
        return None;
    }
    if before.is_some() {
        body.remove(PREVIOUS);
    }
    let parts = before.into_iter().chain([items]).filter(|items| !items.is_empty());
    let input = parts.collect::<Vec<_>>().join(",");
    body.set_text("input", format!("[{input}]"));
    Some(body.text().into_bytes())
}

/// The items of an input with those that are known in place of references to them; `None` where it
/// is no input.
fn input(
    written: Option<&str>,
    find: &dyn Fn(&str) -> Option<Option<String>>,
    is_changed: &mut bool,
) -> Option<String> {
    let Some(written) = written.filter(|written| *written != "null") else {
        return Some(String::new());
    };
    if written.starts_with('"') {
        return Some(format!("{{\"role\":\"user\",\"content\":{written}}}"));
    }
    let elements: Vec<&RawValue> = json::read(written).ok()?;
    let mut items = Vec::with_capacity(elements.len());
    for element in elements {
        match referred(element.get()).and_then(|id| find(&id)) {
            Some(known) => {
                *is_changed = true;
                items.extend(known);
            }
            None => items.push(element.get().to_owned()),
        }
    }
    Some(items.join(","))
}

/// What an item refers to, if it is a reference.
fn referred(item: &str) -> Option<String> {
    if !item.contains(REFERENCE) {
        return None;
    }
    let item: Value = json::read(item).ok()?;
    (item["type"] == REFERENCE).then(|| item["id"].as_str().map(str::to_owned))?
}

fn text(json: &str) -> Option<String> {
    json::read(json).ok()
}

/// The conversation of a request whose answer may be referred to: the client did not say otherwise,
/// and all of it is here.
pub(super) fn conversation(request: &ChatRequest) -> Option<String> {
    let body = Body::read(&request.original.as_ref()?.body);
    let is_elsewhere = |name| body.get(name).is_some_and(|value| value != "null");
    if body.get("store") == Some("false")
        || [PREVIOUS, "conversation"].into_iter().any(is_elsewhere)
    {
        return None;
    }
    input(body.get("input"), &|_| None, &mut false)
}

/// An item as it is sent again: without its names and what was only reported.
pub(super) fn item(id: &str, json: &str) -> Item {
    let mut item: Value = json::read(json).unwrap_or_default();
    // Unencrypted reasoning no provider of this protocol reads.
    let is_read = item["type"] != "reasoning";
    if let Some(members) = item.as_object_mut() {
        members.retain(|name, _| !matches!(name.as_str(), "id" | "status"));
    }
    for part in item["content"].as_array_mut().into_iter().flatten() {
        if let Some(members) = part.as_object_mut() {
            members.remove("logprobs");
        }
    }
    Item { id: id.to_owned(), json: is_read.then(|| item.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Exchange;

    fn history() -> History {
        let message = item(
            "msg_1",
            r#"{"id":"msg_1","type":"message","role":"assistant",
            "status":"completed","content":[{"type":"output_text","text":"Hi","logprobs":[]}]}"#,
        );
        let reasoning = item("rs_1", r#"{"id":"rs_1","type":"reasoning","summary":[]}"#);
        let history = History::default();
        let input = r#"{"role":"user","content":"Hello"}"#.to_owned();
        let exchange = Exchange { id: "resp_1".into(), input, output: vec![reasoning, message] };
        history.keep(&"ada".into(), exchange, 0);
        history
    }

    /// Each row: a body, and what becomes of it.
    #[test]
    fn what_was_answered_here_takes_the_place_of_references() {
        const USER: &str = r#"{"role":"user","content":"Hello"}"#;
        const SAID: &str = r#"{"content":[{"text":"Hi","type":"output_text"}],"role":"assistant","type":"message"}"#;
        let rows = [
            (
                r#"{"previous_response_id":"resp_1","input":"And?","model":"m"}"#,
                Some(format!(
                    r#"{{"input":[{USER},{SAID},{{"role":"user","content":"And?"}}],"model":"m"}}"#
                )),
            ),
            (
                r#"{"previous_response_id":"resp_1","input":[{"x": 1}]}"#,
                Some(format!(r#"{{"input":[{USER},{SAID},{{"x": 1}}]}}"#)),
            ),
            (
                r#"{"input":[{"role":"user","content":"Hello"},{"type":"item_reference","id":"rs_1"},
                    {"type":"item_reference","id":"msg_1"}]}"#,
                Some(format!(r#"{{"input":[{USER},{SAID}]}}"#)),
            ),
            (r#"{"previous_response_id":"resp_2","input":"And?"}"#, None),
            (r#"{"input":[{"type":"item_reference","id":"msg_2"}]}"#, None),
            (r#"{"input":"what is an item_reference?"}"#, None),
            ("item_reference", None),
        ];
        for (body, expected) in rows {
            let resolved = resolve(body.as_bytes(), &history(), "ada", 1);
            let resolved = resolved.map(|body| String::from_utf8(body).unwrap());
            assert_eq!(resolved, expected, "{body}");
            assert_eq!(resolve(body.as_bytes(), &history(), "bob", 1), None, "{body}");
        }
    }
}
