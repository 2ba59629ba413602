//! An odd field costs only itself: every field of every recorded answer, with each value that it
//! should not have.
//!
//! A frame's own type is left out where nothing else in the frame identifies it.

mod requests;

use serde_json::{Value, json};

use crate::protocol::vectors::{NAMES, ROWS};
use crate::protocol::*;
use crate::sse::{Decoder, EVENT_BYTES_MAX_DEFAULT, Leftover};
use crate::target::ProviderProtocol;

/// What a field may hold instead; `None`: it is missing.
fn odd_values() -> Vec<Option<Value>> {
    let huge = serde_json::from_str("1e300").unwrap();
    let odd = [json!(7), json!("odd"), json!(true), json!([1]), json!({"odd": 1}), json!(null)];
    let odder = [json!(""), json!(1.5), json!(-3), huge, json!([]), json!({}), json!(u64::MAX)];
    odd.into_iter().chain(odder).map(Some).chain([None]).collect()
}

/// One way to each field and element of a value.
fn pointers(value: &Value, to: &str, found: &mut Vec<String>) {
    let members: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, it)| (name.clone(), it)).collect(),
        Value::Array(list) => {
            list.iter().enumerate().map(|(at, it)| (at.to_string(), it)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
    };
    for (name, member) in members {
        let pointer = format!("{to}/{name}");
        found.push(pointer.clone());
        pointers(member, &pointer, found);
    }
}

fn with(frame: &Value, pointer: &str, odd: Option<&Value>) -> Value {
    let mut changed = frame.clone();
    match odd {
        Some(odd) => *changed.pointer_mut(pointer).unwrap() = odd.clone(),
        None => {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            match changed.pointer_mut(parent).unwrap() {
                Value::Array(list) => drop(list.remove(name.parse().unwrap())),
                parent => drop(parent.as_object_mut().unwrap().remove(name)),
            }
        }
    }
    changed
}

/// What an answer consists of, in pieces that can be lost.
#[derive(Debug, PartialEq)]
struct Parts(Vec<(String, String)>);

impl Parts {
    fn of(answer: &Collected) -> Self {
        let mut parts: Vec<(&str, String)> = vec![
            ("text", answer.text.clone()),
            ("reasoning", answer.reasoning.clone()),
            ("finish", format!("{:?}", answer.finish)),
        ];
        for call in &answer.tool_calls {
            parts.push(("id", call.id.clone()));
            parts.push(("name", call.name.clone()));
            parts.push(("arguments", call.arguments.clone()));
        }
        let usage = answer.usage.unwrap_or_default();
        parts.push(("input", usage.input_tokens.to_string()));
        parts.push(("output", usage.output_tokens.to_string()));
        Self(parts.into_iter().map(|(kind, text)| (kind.to_owned(), text)).collect())
    }
}

fn frames(protocol: ProviderProtocol, mut stream: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::framed(protocol.framing(), EVENT_BYTES_MAX_DEFAULT);
    let mut frames = Vec::new();
    while let Some(event) = decoder.next(&mut stream).unwrap() {
        frames.push(event.data.to_vec());
    }
    if let Some(Leftover::Event(event) | Leftover::Cut(event)) = decoder.finish() {
        frames.push(event.data.to_vec());
    }
    frames.retain(|frame| !frame.is_empty());
    frames.iter().map(|frame| rewritten(frame)).collect()
}

/// The same JSON without blanks, as it is after a change.
fn rewritten(frame: &[u8]) -> Vec<u8> {
    let value = serde_json::from_slice::<Value>(frame);
    value.map_or(frame.to_vec(), |value| value.to_string().into_bytes())
}

/// Reads frames as a stream, or the one body as a complete answer.
fn read(protocol: ProviderProtocol, frames: &[Vec<u8>], whole: bool) -> Result<Collected, String> {
    let mut answer = Collected::default();
    let mut reader = StreamReader::new(protocol);
    for frame in frames {
        let mut sink = |event: Event<'_>| answer.add(&event);
        let read = match whole {
            true => protocol.read_complete(frame, &mut sink),
            false => reader.read(frame, &mut sink).map(drop),
        };
        read.map_err(|error| format!("{error:?}"))?;
    }
    Ok(answer)
}

#[derive(Default)]
struct Walk {
    fields: usize,
    values: usize,
    wrong: Vec<String>,
}

impl Walk {
    fn finish(self, of: &str) {
        println!("{of}: {} fields, {} values", self.fields, self.values);
        assert!(self.wrong.is_empty(), "{}:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }

    fn answer(&mut self, protocol: ProviderProtocol, frames: &[Vec<u8>], whole: bool) {
        let right = Parts::of(&read(protocol, frames, whole).unwrap());
        for (at, frame) in frames.iter().enumerate() {
            let Ok(value) = serde_json::from_slice::<Value>(frame) else { continue };
            let mut found = Vec::new();
            pointers(&value, "", &mut found);
            // Nothing else in an event of Responses distinguishes a text from arguments.
            found.retain(|at| whole || protocol != ProviderProtocol::Responses || at != "/type");
            for pointer in found {
                self.fields += 1;
                for odd in odd_values().iter().map(Option::as_ref) {
                    if is_meant(&pointer, odd) {
                        continue;
                    }
                    self.values += 1;
                    let mut changed = frames.to_vec();
                    changed[at] = with(&value, &pointer, odd).to_string().into_bytes();
                    let read = read(protocol, &changed, whole).map(|read| Parts::of(&read));
                    let lost = value.pointer(&pointer).unwrap();
                    let more = read.map(|read| lost_part(&right.0, &read.0, lost, &pointer));
                    if more != Ok(None) {
                        let what = format!("{protocol:?} whole={whole} {at} {pointer} = {odd:?}");
                        self.wrong.push(format!("{what}: {more:?}"));
                    }
                }
            }
        }
    }
}

/// Whether that value means something else in this field: an error, a type, another place.
fn is_meant(pointer: &str, odd: Option<&Value>) -> bool {
    let name = pointer.rsplit('/').next().unwrap();
    let filled = odd.is_some_and(|odd| match odd {
        Value::String(text) => !text.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => false,
    });
    let is_place = odd.is_some_and(|odd| odd.as_u64().is_some_and(|place| place < 10));
    match name {
        "error" | "type" | "finishReason" | "blockReason" | "done_reason" | "status" => filled,
        "index" | "output_index" => is_place,
        _ => false,
    }
}

/// A part that is lost though the odd field did not hold it. What was added to it is not lost.
fn lost_part(
    right: &[(String, String)],
    read: &[(String, String)],
    lost: &Value,
    pointer: &str,
) -> Option<String> {
    let held = lost.to_string().replace("\\\"", "\"");
    let name = pointer.rsplit('/').next().unwrap_or("").to_lowercase();
    let own = |(kind, text): &(String, String)| {
        let (text, held) = (text.to_lowercase(), held.to_lowercase());
        lost.is_object()
            || lost.is_array()
            || (!text.is_empty() && held.contains(text.as_str()))
            || (lost.as_str().is_some_and(|it| !it.is_empty() && text.contains(&it.to_lowercase())))
            || (kind == "finish" && (name.contains("reason") || name == "status"))
            || (matches!(kind.as_str(), "input" | "output") && lost.is_number())
            // These two have another form where they are read.
            || (name == "think" || name == "thinkingbudget" || name == "budget_tokens") && kind == "effort"
            // A file's name goes with the file.
            || (name == "file_data" && kind == "media name")
            || (name == "disable_parallel_tool_use" && kind == "parallel")
            || name == "thought"
    };
    let is_kept = |(kind, text): &(String, String)| {
        read.iter().any(|(other, read)| other == kind && read.contains(text.as_str()))
    };
    let lost = right.iter().find(|part| !is_kept(part) && !own(part));
    lost.map(|part| format!("{part:?} of {read:?}"))
}

#[test]
fn an_odd_field_costs_only_itself() {
    let mut walk = Walk::default();
    for vectors in ROWS {
        let answers = NAMES.iter().zip(vectors.files).filter(|(name, _)| **name != "error");
        for (_, (stream, whole)) in answers {
            walk.answer(vectors.protocol, &frames(vectors.protocol, stream), false);
            walk.answer(vectors.protocol, &[rewritten(whole)], true);
        }
    }
    walk.finish("answers");
}
