//! An item of an answer as it grows: a message, reasoning or a call.

use serde_json::{Value, json};

use crate::chat::{ToolForm, ToolKind};
use crate::protocol::TextKind;
use crate::protocol::custom_tools;
use crate::protocol::responses::tools;
use crate::protocol::writer::frame::{push_json_string, push_number};

#[derive(Debug)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) id: String,
    /// Its `output_index`.
    pub(super) place: u32,
    /// The texts it consists of; a call's only one is its arguments.
    pub(super) parts: Vec<Part>,
    /// As written in the answer; empty while it grows.
    pub(super) json: String,
}

#[derive(Debug)]
pub(super) enum Kind {
    Message,
    Reasoning,
    /// The number among the calls, and the client's names for it.
    Call {
        index: u32,
        id: String,
        form: ToolForm,
    },
    /// A provider's own, handed on as it came.
    Other,
}

#[derive(Debug)]
pub(super) struct Part {
    pub(super) kind: TextKind,
    pub(super) text: String,
    pub(super) open: bool,
}

/// The names that the protocol has for a kind of text.
pub(super) struct Words {
    pub(super) added: &'static str,
    pub(super) delta: &'static str,
    pub(super) delta_ends: &'static str,
    pub(super) done: &'static str,
    pub(super) part_done: &'static str,
    /// What the number of a part is called.
    pub(super) index: &'static str,
    part: &'static str,
    /// What its text is called.
    pub(super) text: &'static str,
}

impl TextKind {
    pub(super) const fn words(self) -> &'static Words {
        match self {
            Self::Answer => &Words {
                added: "response.content_part.added",
                delta: "response.output_text.delta",
                delta_ends: ",\"logprobs\":[]}\n\n",
                done: "response.output_text.done",
                part_done: "response.content_part.done",
                index: "content_index",
                part: "output_text",
                text: "text",
            },
            Self::Refusal => &Words {
                added: "response.content_part.added",
                delta: "response.refusal.delta",
                delta_ends: "}\n\n",
                done: "response.refusal.done",
                part_done: "response.content_part.done",
                index: "content_index",
                part: "refusal",
                text: "refusal",
            },
            Self::Reasoning => &Words {
                added: "response.reasoning_summary_part.added",
                delta: "response.reasoning_summary_text.delta",
                delta_ends: "}\n\n",
                done: "response.reasoning_summary_text.done",
                part_done: "response.reasoning_summary_part.done",
                index: "summary_index",
                part: "summary_text",
                text: "text",
            },
        }
    }
}

impl Kind {
    /// Whether such a text is a part of such an item.
    pub(super) fn takes(&self, text: TextKind) -> bool {
        match text {
            TextKind::Answer | TextKind::Refusal => matches!(self, Self::Message),
            TextKind::Reasoning => matches!(self, Self::Reasoning),
        }
    }

    fn prefix(&self) -> &'static str {
        match self {
            Self::Message | Self::Other => "msg",
            Self::Reasoning => "rs",
            Self::Call { form, .. } => match form.kind {
                ToolKind::Function => "fc",
                ToolKind::Custom => "ctc",
                ToolKind::Search => "tsc",
                ToolKind::Shell => "lsh",
            },
        }
    }
}

impl Part {
    pub(super) fn new(kind: TextKind) -> Self {
        Self { kind, text: String::new(), open: true }
    }

    pub(super) fn value(&self) -> Value {
        let words = self.kind.words();
        let mut value = json!({"type": words.part, words.text: self.text});
        if let TextKind::Answer = self.kind {
            value["annotations"] = json!([]);
            value["logprobs"] = json!([]);
        }
        value
    }
}

impl Item {
    pub(super) fn new(kind: Kind, name: &str, place: u32) -> Self {
        let id = format!("{}_{name}_{place}", kind.prefix());
        Self { kind, id, place, parts: Vec::new(), json: String::new() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.json.is_empty()
    }

    /// Whether it is a message or reasoning that grows.
    pub(super) fn is_open_text(&self) -> bool {
        self.is_open() && !matches!(self.kind, Kind::Call { .. })
    }

    /// Whether it is the call of this number.
    pub(super) fn is_call(&self, number: u32) -> bool {
        matches!(self.kind, Kind::Call { index, .. } if index == number)
    }

    /// Whether it is a call whose arguments go out as they come: those of other tools than functions
    /// are known when all of them are.
    pub(super) fn is_streamed(&self) -> bool {
        matches!(&self.kind, Kind::Call { form, .. } if form.kind == ToolKind::Function)
    }

    /// The last part, if it grows and is one of a message or of reasoning.
    pub(super) fn open_part(&self) -> Option<&Part> {
        let is_call = matches!(self.kind, Kind::Call { .. });
        self.parts.last().filter(|part| part.open && !is_call)
    }

    /// The number of the last part.
    pub(super) fn last(&self) -> usize {
        self.parts.len().saturating_sub(1)
    }

    pub(super) fn add(&mut self, text: &str) {
        if let Some(part) = self.parts.last_mut() {
            part.text.push_str(text);
        }
    }

    /// The name of a call that had none yet.
    pub(super) fn add_name(&mut self, said: &str) {
        if let Kind::Call { form, .. } = &mut self.kind
            && form.name.is_empty()
        {
            form.name.push_str(said);
        }
    }

    pub(super) fn close_part(&mut self) {
        if let Some(part) = self.parts.last_mut() {
            part.open = false;
        }
    }

    pub(super) fn close(&mut self, status: &str) {
        self.json = self.value(status).to_string();
        self.parts = Vec::new();
    }

    /// The item in its current state.
    pub(super) fn value(&self, status: &str) -> Value {
        let parts: Vec<_> = self.parts.iter().map(Part::value).collect();
        match &self.kind {
            Kind::Call { id, form, .. } => {
                let mut call = tools::call(form, id, self.arguments());
                call["id"] = self.id.as_str().into();
                call["status"] = status.into();
                call
            }
            Kind::Reasoning => json!({"id": self.id, "type": "reasoning", "summary": parts}),
            Kind::Message | Kind::Other => json!({
                "id": self.id,
                "type": "message",
                "status": status,
                "role": "assistant",
                "content": parts,
            }),
        }
    }

    /// These fields of an event, and which item it is about.
    pub(super) fn at(&self, mut fields: Value) -> Value {
        fields["item_id"] = self.id.as_str().into();
        fields["output_index"] = self.place.into();
        fields
    }

    /// Which item an event is about.
    pub(super) fn push_place(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"item_id\":");
        push_json_string(out, &self.id);
        out.extend_from_slice(b",\"output_index\":");
        push_number(out, self.place);
    }

    /// Which item an event is about, and which part of it by the name that its number has.
    pub(super) fn push_part(&self, out: &mut Vec<u8>, index: &str) {
        self.push_place(out);
        out.extend_from_slice(b",\"");
        out.extend_from_slice(index.as_bytes());
        out.extend_from_slice(b"\":");
        push_number(out, self.last());
    }

    /// The events with a call's complete arguments.
    pub(super) fn done(&self) -> Vec<(&'static str, Value)> {
        let Kind::Call { form, .. } = &self.kind else { return Vec::new() };
        let arguments = self.arguments();
        match form.kind {
            ToolKind::Function => {
                let fields = self.at(json!({"name": form.name, "arguments": arguments}));
                vec![("response.function_call_arguments.done", fields)]
            }
            ToolKind::Custom => {
                let input = custom_tools::input(arguments);
                vec![
                    ("response.custom_tool_call_input.delta", self.at(json!({"delta": input}))),
                    ("response.custom_tool_call_input.done", self.at(json!({"input": input}))),
                ]
            }
            ToolKind::Search | ToolKind::Shell => Vec::new(),
        }
    }

    fn arguments(&self) -> &str {
        self.parts.first().map_or("", |part| &part.text)
    }
}
