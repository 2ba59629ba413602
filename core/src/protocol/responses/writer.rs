//! The answer to a client, written: items are opened and closed one after the other, calls stay open
//! to the end, since their fragments may take turns. The last event repeats the complete answer.

mod forwarded;
mod item;

use serde_json::{Value, json};

use self::forwarded::Forwarded;
use self::item::{Item, Kind, Part};
use crate::chat::{ChatRequest, Event, FinishReason, ToolCall, ToolForm, Usage};
use crate::failure::Failure;
use crate::history::Exchange;
use crate::protocol::body::Body;
use crate::protocol::responses::references;
use crate::protocol::writer::frame::{push_json_string, push_number};
use crate::protocol::writer::too_long;
use crate::protocol::{AnswerEnd, AnswerMeta, Collected, End, TextKind, openai};

/// Writes the events of one answer.
#[derive(Debug)]
pub(crate) struct Writer {
    opening: AnswerMeta,
    /// What the ids of our own making end with.
    name: String,
    /// What the response repeats of the request: JSON members, each with a comma before it.
    echo: String,
    /// The first event is out.
    begun: bool,
    /// The last event is out.
    ended: bool,
    /// The next event's `sequence_number`.
    number: u64,
    /// The next item's `output_index`.
    place: u32,
    items: Vec<Item>,
    usage: Option<Usage>,
    /// What was seen of the provider's own frames.
    forwarded: Option<Box<Forwarded>>,
}

impl Writer {
    pub(in crate::protocol) fn new(mut opening: AnswerMeta) -> Self {
        let name = opening.id.rsplit(['-', '_']).next().unwrap_or_default().to_owned();
        opening.id = format!("resp_{name}");
        Self {
            opening,
            name,
            echo: String::new(),
            begun: false,
            ended: false,
            number: 0,
            place: 0,
            items: Vec::new(),
            usage: None,
            forwarded: None,
        }
    }

    pub(in crate::protocol) fn event(&mut self, out: &mut Vec<u8>, event: &Event<'_>) {
        match event {
            Event::Start { id, model } => self.adopt(id, model),
            Event::Text(text) => self.text(out, TextKind::Answer, text),
            Event::Reasoning(text) => self.text(out, TextKind::Reasoning, text),
            Event::Refusal(text) => self.text(out, TextKind::Refusal, text),
            Event::ToolCall(call) => self.call(out, call),
            Event::Usage(usage) => self.usage = Some(*usage),
            // The finish reason is written at the end, with the usage.
            Event::Finish(_) | Event::Other(_) | Event::Prompt(_) | Event::Warning(_) => {}
        }
    }

    pub(in crate::protocol) fn end(&mut self, out: &mut Vec<u8>, closing: &AnswerEnd<'_>) {
        match closing.end {
            _ if self.ended => {}
            End::Finished(reason) => self.finish(out, *reason),
            End::Failed(failure) => {
                self.begin(out);
                let error = self.error(out, failure);
                self.send_failed(out, error);
            }
            End::Cancelled => {}
        }
    }

    /// The event that SDKs raise; returns the error in it.
    fn error(&mut self, out: &mut Vec<u8>, failure: &Failure) -> Value {
        let mut event = openai::error_value(failure, &too_long::RESPONSES);
        for name in ["code", "message", "param"] {
            event[name] = event["error"][name].clone();
        }
        self.send(out, "error", &event);
        event["error"].take()
    }

    /// The response's own end after that, the only one from which Codex takes the reason.
    fn send_failed(&mut self, out: &mut Vec<u8>, mut error: Value) {
        let error = json!({"code": error["code"].take(), "message": error["message"].take()});
        let response = json!({"response": {
            "id": self.opening.id,
            "object": "response",
            "created_at": self.opening.created,
            "status": "failed",
            "error": error,
            "model": self.opening.model,
            "output": [],
        }});
        self.ended = true;
        self.send(out, "response.failed", &response);
    }

    pub(in crate::protocol) fn write_complete(&self, out: &mut Vec<u8>, answer: &Collected) {
        let finish = answer.finish.unwrap_or(FinishReason::Stop);
        let items: Vec<_> = self.items(answer, finish).map(|(_, json)| json).collect();
        let echo = echo(&self.opening.request);
        let over = Some((finish, answer.usage));
        out.extend_from_slice(self.response(over, &echo, items.iter()).as_bytes());
    }

    /// What later requests may refer to: an answer that was written here, and is not the provider's
    /// own to keep.
    pub(in crate::protocol) fn exchange(&self, answer: &Collected) -> Option<Exchange> {
        if self.forwarded.is_some() {
            return None;
        }
        let input = references::conversation(&self.opening.request)?;
        let output = match self.opening.request.stream {
            true => self.items.iter().map(|item| references::item(&item.id, &item.json)).collect(),
            false => {
                let items = self.items(answer, FinishReason::Stop);
                items.map(|(id, json)| references::item(&id, &json)).collect()
            }
        };
        Some(Exchange { id: self.opening.id.clone(), input, output })
    }

    /// The items of a complete answer: their ids and their JSON.
    fn items(
        &self,
        answer: &Collected,
        finish: FinishReason,
    ) -> impl Iterator<Item = (String, String)> {
        let items = collected(answer, &self.opening.request).into_iter().zip(0..);
        items.map(move |((kind, parts), place)| {
            let item = Item { parts, ..Item::new(kind, &self.name, place) };
            let json = item.value(item_status(finish)).to_string();
            (item.id, json)
        })
    }

    /// The provider's names, as long as none is out. A name of another protocol's is not one of a
    /// response.
    fn adopt(&mut self, id: &str, model: &str) {
        if !self.begun {
            if id.starts_with("resp_") {
                self.opening.id = id.to_owned();
            }
            self.opening.model = model.to_owned();
        }
    }

    fn text(&mut self, out: &mut Vec<u8>, kind: TextKind, text: &str) {
        self.begin(out);
        let at = self.open_part(out, kind);
        let words = kind.words();
        self.head(out, words.delta);
        let item = &mut self.items[at];
        item.push_part(out, words.index);
        out.extend_from_slice(b",\"delta\":");
        push_json_string(out, text);
        out.extend_from_slice(words.delta_ends.as_bytes());
        item.add(text);
    }

    fn call(&mut self, out: &mut Vec<u8>, call: &ToolCall<'_>) {
        self.begin(out);
        self.close_texts(out);
        let at = self.items.iter().rposition(|item| item.is_call(call.index));
        let at = at.unwrap_or_else(|| self.open_call(out, call));
        let item = &mut self.items[at];
        item.add_name(call.name.as_deref().unwrap_or(""));
        item.add(&call.arguments);
        if !call.arguments.is_empty() && item.is_streamed() {
            self.head(out, "response.function_call_arguments.delta");
            self.items[at].push_place(out);
            out.extend_from_slice(b",\"delta\":");
            push_json_string(out, &call.arguments);
            out.extend_from_slice(b"}\n\n");
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>, reason: FinishReason) {
        self.begin(out);
        for at in 0..self.items.len() {
            self.close(out, at, item_status(reason));
        }
        let kind = match reason {
            FinishReason::Stop | FinishReason::ToolCalls => "response.completed",
            FinishReason::Length | FinishReason::ContentFilter => "response.incomplete",
        };
        self.ended = true;
        self.send_response(out, kind, Some((reason, self.usage)));
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            self.send_response(out, "response.created", None);
            self.send_response(out, "response.in_progress", None);
        }
    }

    // --- items ----------------------------------------------------------------------------------

    /// The item whose last part takes such a text.
    fn open_part(&mut self, out: &mut Vec<u8>, kind: TextKind) -> usize {
        let takes = |item: &Item| item.kind.takes(kind);
        let at = match self.items.iter().rposition(Item::is_open_text) {
            Some(at) if takes(&self.items[at]) => at,
            _ => {
                self.close_texts(out);
                let new = match kind {
                    TextKind::Answer | TextKind::Refusal => Kind::Message,
                    TextKind::Reasoning => Kind::Reasoning,
                };
                self.open(out, new)
            }
        };
        if self.items[at].open_part().is_none_or(|part| part.kind != kind) {
            self.close_part(out, at);
            self.items[at].parts.push(Part::new(kind));
            self.send_part(out, at, kind.words().added);
        }
        at
    }

    fn open_call(&mut self, out: &mut Vec<u8>, call: &ToolCall<'_>) -> usize {
        let id = match call.id.as_deref() {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ => format!("call_{}_{}", self.name, self.place),
        };
        let name = call.name.as_deref().unwrap_or("").to_owned();
        let form = form(&self.opening.request, name);
        let at = self.open(out, Kind::Call { index: call.index, id, form });
        self.items[at].parts.push(Part::new(TextKind::Answer));
        at
    }

    fn open(&mut self, out: &mut Vec<u8>, kind: Kind) -> usize {
        let item = Item::new(kind, &self.name, self.place);
        let fields = json!({"output_index": self.place, "item": item.value("in_progress")});
        self.send(out, "response.output_item.added", &fields);
        self.place += 1;
        self.items.push(item);
        self.items.len() - 1
    }

    /// Closes the message or the reasoning that is open.
    fn close_texts(&mut self, out: &mut Vec<u8>) {
        if let Some(at) = self.items.iter().rposition(Item::is_open_text) {
            self.close(out, at, "completed");
        }
    }

    fn close(&mut self, out: &mut Vec<u8>, at: usize, status: &str) {
        if !self.items[at].is_open() {
            return;
        }
        self.close_part(out, at);
        for (event, fields) in self.items[at].done() {
            self.send(out, event, &fields);
        }
        self.head(out, "response.output_item.done");
        let item = &mut self.items[at];
        item.close(status);
        out.extend_from_slice(format!("\"output_index\":{},\"item\":", item.place).as_bytes());
        out.extend_from_slice(item.json.as_bytes());
        out.extend_from_slice(b"}\n\n");
    }

    fn close_part(&mut self, out: &mut Vec<u8>, at: usize) {
        let item = &self.items[at];
        let Some(part) = item.open_part() else { return };
        let words = part.kind.words();
        let mut fields = item.at(json!({ words.text: part.text }));
        fields[words.index] = item.last().into();
        if part.kind == TextKind::Answer {
            fields["logprobs"] = json!([]);
        }
        self.send(out, words.done, &fields);
        self.send_part(out, at, words.part_done);
        self.items[at].close_part();
    }

    // --- events ---------------------------------------------------------------------------------

    fn send_part(&mut self, out: &mut Vec<u8>, at: usize, event: &str) {
        let item = &self.items[at];
        let Some(part) = item.open_part() else { return };
        let mut fields = item.at(json!({"part": part.value()}));
        fields[part.kind.words().index] = item.last().into();
        self.send(out, event, &fields);
    }

    /// An event about the complete response: it is `over` with a finish, or continues.
    fn send_response(
        &mut self,
        out: &mut Vec<u8>,
        event: &str,
        over: Option<(FinishReason, Option<Usage>)>,
    ) {
        if self.echo.is_empty() {
            self.echo = echo(&self.opening.request);
        }
        self.head(out, event);
        out.extend_from_slice(b"\"response\":");
        let items = self.items.iter().map(|item| &item.json).filter(|_| over.is_some());
        let response = self.response(over, &self.echo, items);
        // What the client or a provider wrote may have line ends between its values: here one would
        // end the event's line.
        out.extend(response.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')));
        out.extend_from_slice(b"}\n\n");
    }

    fn send(&mut self, out: &mut Vec<u8>, event: &str, fields: &Value) {
        self.head(out, event);
        let fields = fields.to_string();
        out.extend_from_slice(fields.strip_prefix('{').expect("an object").as_bytes());
        out.extend_from_slice(b"\n\n");
    }

    /// The event's name, its type and its number, up to its next field.
    fn head(&mut self, out: &mut Vec<u8>, event: &str) {
        for piece in ["event: ", event, "\ndata: {\"type\":\"", event, "\",\"sequence_number\":"] {
            out.extend_from_slice(piece.as_bytes());
        }
        push_number(out, self.number);
        out.push(b',');
        self.number += 1;
    }

    fn response<'i>(
        &self,
        over: Option<(FinishReason, Option<Usage>)>,
        echo: &str,
        items: impl Iterator<Item = &'i String>,
    ) -> String {
        let (status, why) = match over {
            None => ("in_progress", None),
            Some((FinishReason::Stop | FinishReason::ToolCalls, _)) => ("completed", None),
            Some((FinishReason::Length, _)) => ("incomplete", Some("max_output_tokens")),
            Some((FinishReason::ContentFilter, _)) => ("incomplete", Some("content_filter")),
        };
        let usage = over.and_then(|(_, usage)| usage);
        let head = json!({
            "id": self.opening.id,
            "object": "response",
            "created_at": self.opening.created,
            "status": status,
            "error": null,
            "incomplete_details": why.map(|reason| json!({"reason": reason})),
            "model": self.opening.model,
            "usage": usage.as_ref().map(usage_value),
        });
        let items: Vec<_> = items.map(String::as_str).collect();
        let head = head.to_string();
        let head = head.strip_suffix('}').expect("an object");
        format!("{head}{echo},\"output\":[{}]}}", items.join(","))
    }
}

/// What a response repeats of the request, or the default. Nothing is stored.
fn echo(request: &ChatRequest) -> String {
    const FIELDS: [(&str, &str); 13] = [
        ("instructions", "null"),
        ("max_output_tokens", "null"),
        ("metadata", "{}"),
        ("parallel_tool_calls", "true"),
        ("previous_response_id", "null"),
        ("reasoning", r#"{"effort":null,"summary":null}"#),
        ("temperature", "null"),
        ("text", r#"{"format":{"type":"text"}}"#),
        ("tool_choice", r#""auto""#),
        ("tools", "[]"),
        ("top_p", "null"),
        ("truncation", r#""disabled""#),
        ("user", "null"),
    ];
    let mut body = request.original.as_ref().map(|original| Body::read(&original.body));
    let mut echo = String::from(",\"store\":false");
    for (name, default) in FIELDS {
        let asked = body.as_mut().and_then(|body| body.remove(name));
        let asked = asked.as_deref().filter(|asked| *asked != "null").unwrap_or(default);
        for piece in [",\"", name, "\":", asked] {
            echo.push_str(piece);
        }
    }
    echo
}

/// The client's own form of a function.
fn form(request: &ChatRequest, name: String) -> ToolForm {
    let form = request.tool_forms.iter().find(|(function, _)| *function == name);
    form.map_or_else(|| ToolForm::function(name), |(_, form)| form.clone())
}

/// The items of a complete answer, with the texts of their parts.
fn collected(answer: &Collected, request: &ChatRequest) -> Vec<(Kind, Vec<Part>)> {
    let part = |kind, text: &String| Part { text: text.clone(), ..Part::new(kind) };
    let said = |kind, text: &String| (!text.is_empty()).then(|| part(kind, text));
    let thought = said(TextKind::Reasoning, &answer.reasoning);
    let mut items: Vec<_> =
        thought.into_iter().map(|thought| (Kind::Reasoning, vec![thought])).collect();
    let texts = [said(TextKind::Answer, &answer.text), said(TextKind::Refusal, &answer.refusal)];
    let texts: Vec<_> = texts.into_iter().flatten().collect();
    if !texts.is_empty() || answer.tool_calls.is_empty() {
        items.push((Kind::Message, texts));
    }
    items.extend(answer.tool_calls.iter().zip(0..).map(|(call, index)| {
        let (id, name) = (call.id.clone(), call.name.clone());
        let kind = Kind::Call { index, id, form: form(request, name) };
        (kind, vec![part(TextKind::Answer, &call.arguments)])
    }));
    items
}

const fn item_status(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::ToolCalls => "completed",
        FinishReason::Length | FinishReason::ContentFilter => "incomplete",
    }
}

fn usage_value(usage: &Usage) -> Value {
    let mut value = json!({
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens(),
    });
    if usage.estimated {
        value["estimated"] = true.into();
    }
    value
}

#[cfg(test)]
mod tests;
