//! An answer collected for a client that does not stream.

use serde_json::{Value, json};

use crate::chat::{Event, FinishReason, ToolCall, Usage};
use crate::json;

/// The events of one answer, joined.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collected {
    /// The answer's text.
    pub(crate) text: String,
    /// The model's reasoning.
    pub(crate) reasoning: String,
    /// The text in which it declined.
    pub(crate) refusal: String,
    /// Its tool calls, by index.
    pub(crate) tool_calls: Vec<CollectedCall>,
    /// Why it stopped.
    pub(crate) finish: Option<FinishReason>,
    /// What it cost.
    pub(crate) usage: Option<Usage>,
    /// Which other ways than the first had to be taken.
    pub(crate) warnings: Vec<String>,
}

/// One tool call, its fragments joined.
#[derive(Clone, Debug, Default)]
pub(crate) struct CollectedCall {
    /// Its identifier.
    pub(crate) id: String,
    /// The tool's name.
    pub(crate) name: String,
    /// The arguments as JSON text.
    pub(crate) arguments: String,
}

impl Collected {
    /// Adds one event.
    pub(crate) fn add(&mut self, event: &Event<'_>) {
        match event {
            Event::Start { .. } | Event::Other(_) | Event::Prompt(_) => {}
            Event::Text(text) => self.text.push_str(text),
            Event::Reasoning(text) => self.reasoning.push_str(text),
            Event::Refusal(text) => self.refusal.push_str(text),
            Event::ToolCall(call) => {
                // Bounded by the answer's own bytes: an index names at most the next call.
                let index = (call.index as usize).min(self.tool_calls.len());
                if index == self.tool_calls.len() {
                    self.tool_calls.push(CollectedCall::default());
                }
                self.tool_calls[index].add(call);
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Finish(reason) => self.finish = Some(*reason),
            Event::Warning(text) => self.warnings.push(text.clone().into_owned()),
        }
    }
}

impl CollectedCall {
    /// What it is made with, where that is an object by the protocol: what is none is put into one.
    pub(crate) fn input(&self) -> Value {
        match json::read(&self.arguments) {
            Ok(Value::Object(input)) => Value::Object(input),
            _ if self.arguments.trim().is_empty() => json!({}),
            _ => json!({"arguments": self.arguments}),
        }
    }

    /// Adds one fragment.
    pub(crate) fn add(&mut self, fragment: &ToolCall<'_>) {
        self.id.push_str(fragment.id.as_deref().unwrap_or(""));
        self.name.push_str(fragment.name.as_deref().unwrap_or(""));
        self.arguments.push_str(&fragment.arguments);
    }
}
