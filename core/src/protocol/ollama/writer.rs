//! The answer to a client, written: a line for each piece of it, and one that is `done`.
//!
//! Calls are whole in this protocol: they are written once the answer is complete.

use std::time::Duration;

use memchr::memmem;
use serde_json::{Value, json};

use crate::chat::{Event, FinishReason};
use crate::failure::Failure;
use crate::json;
use crate::protocol::writer::frame::push_json_string;
use crate::protocol::{AnswerEnd, AnswerMeta, Collected, End, Times};
use crate::time::rfc3339;

/// The body of an error answer, `{"error": "..."}`, with the failure's code beside it. A provider's own
/// answer about a request that is wrong by itself goes back as it came, if it has this form.
pub(in crate::protocol) fn error_body(failure: &Failure) -> Vec<u8> {
    let original = failure.original.as_ref().filter(|_| failure.goes_back());
    match original.filter(|original| is_error(&original.body)) {
        Some(original) => original.body.clone(),
        None => {
            let error = json!({"error": failure.message(), "code": failure.reason.code()});
            error.to_string().into_bytes()
        }
    }
}

fn is_error(body: &[u8]) -> bool {
    json::read_bytes::<Value>(body).is_ok_and(|value| value["error"].is_string())
}

/// Which of the two answers is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Form {
    /// A `message`.
    Chat,
    /// A `response`, which makes no calls.
    Generate,
}

#[derive(Debug)]
pub(crate) struct Writer {
    form: Form,
    opening: AnswerMeta,
    /// `{"model": ..., "created_at": ...,`; empty until the first line.
    head: Vec<u8>,
    /// What is written at the end: calls and the usage, and nothing else.
    last: Collected,
    /// The model declined, with a text.
    declined: bool,
    /// A provider's own last line was handed on.
    ended: bool,
}

impl Writer {
    pub(in crate::protocol) fn new(form: Form, opening: AnswerMeta) -> Self {
        Self {
            form,
            opening,
            head: Vec::new(),
            last: Collected::default(),
            declined: false,
            ended: false,
        }
    }

    /// The provider's own lines were forwarded.
    pub(in crate::protocol) fn forwarded(&mut self, lines: &[u8]) {
        // Few lines have the word: only those are read.
        if memmem::find(lines, b"true").is_some() {
            let is_done =
                |line| json::read_bytes::<Value>(line).is_ok_and(|line| line["done"] == true);
            self.ended |= lines.split(|byte| *byte == b'\n').any(is_done);
        }
    }

    pub(in crate::protocol) fn event(&mut self, out: &mut Vec<u8>, event: &Event<'_>) {
        match event {
            Event::Start { model, .. } if self.head.is_empty() => {
                self.opening.model = model.to_string();
            }
            Event::Text(text) => self.said(out, text),
            Event::Refusal(text) => {
                self.declined = true;
                self.said(out, text);
            }
            Event::Reasoning(text) => match self.form {
                Form::Chat => {
                    let head = r#""message":{"role":"assistant","content":"","thinking":"#;
                    self.text(out, head, text, "}");
                }
                Form::Generate => self.text(out, r#""response":"","thinking":"#, text, ""),
            },
            Event::ToolCall(_) | Event::Usage(_) => self.last.add(event),
            Event::Start { .. }
            | Event::Other(_)
            | Event::Prompt(_)
            | Event::Finish(_)
            | Event::Warning(_) => {}
        }
    }

    pub(in crate::protocol) fn end(&mut self, out: &mut Vec<u8>, closing: &AnswerEnd<'_>) {
        let last = match closing.end {
            End::Finished(_) if self.ended => return,
            End::Finished(reason) => {
                let calls = std::mem::take(&mut self.last.tool_calls);
                if !calls.is_empty() && self.form == Form::Chat {
                    let calls = Collected { tool_calls: calls, ..Collected::default() };
                    self.line(out, &self.value(&calls));
                }
                self.done(&self.last, done_reason(*reason, self.declined), closing.times)
            }
            End::Failed(failure) => json!({"error": failure.message()}),
            End::Cancelled => return,
        };
        self.line(out, &last);
    }

    pub(in crate::protocol) fn write_complete(
        &self,
        out: &mut Vec<u8>,
        answer: &Collected,
        times: Times,
    ) {
        let declined = !answer.refusal.is_empty();
        let reason = done_reason(answer.finish.unwrap_or(FinishReason::Stop), declined);
        out.extend_from_slice(self.done(answer, reason, times).to_string().as_bytes());
    }

    fn said(&mut self, out: &mut Vec<u8>, text: &str) {
        match self.form {
            Form::Chat => {
                self.text(out, r#""message":{"role":"assistant","content":"#, text, "}");
            }
            Form::Generate => self.text(out, r#""response":"#, text, ""),
        }
    }

    /// A line with a text: what comes with every token, and so is built without a `Value`.
    fn text(&mut self, out: &mut Vec<u8>, field: &str, text: &str, close: &str) {
        if text.is_empty() {
            return;
        }
        if self.head.is_empty() {
            self.head.extend_from_slice(b"{\"model\":");
            push_json_string(&mut self.head, &self.opening.model);
            self.head.extend_from_slice(b",\"created_at\":");
            push_json_string(&mut self.head, &rfc3339(self.opening.created));
            self.head.push(b',');
        }
        out.extend_from_slice(&self.head);
        out.extend_from_slice(field.as_bytes());
        push_json_string(out, text);
        out.extend_from_slice(close.as_bytes());
        out.extend_from_slice(b",\"done\":false}\n");
    }

    fn line(&self, out: &mut Vec<u8>, line: &Value) {
        out.extend_from_slice(line.to_string().as_bytes());
        out.push(b'\n');
    }

    /// An answer, or a part of it.
    fn value(&self, answer: &Collected) -> Value {
        let mut line = json!({
            "model": self.opening.model,
            "created_at": rfc3339(self.opening.created),
            "done": false,
        });
        let text = format!("{}{}", answer.text, answer.refusal);
        let message = match self.form {
            Form::Chat => {
                line["message"] = json!({"role": "assistant", "content": text});
                &mut line["message"]
            }
            Form::Generate => {
                line["response"] = text.into();
                &mut line
            }
        };
        if !answer.reasoning.is_empty() {
            message["thinking"] = answer.reasoning.as_str().into();
        }
        if self.form == Form::Chat && !answer.tool_calls.is_empty() {
            let calls = answer.tool_calls.iter().enumerate().map(|(index, call)| {
                let function =
                    json!({"index": index, "name": call.name, "arguments": call.input()});
                json!({"id": call.id, "function": function})
            });
            message["tool_calls"] = calls.collect();
        }
        line
    }

    /// What ends it: the rest of the answer, why it ended and what it cost. Nothing is known of the
    /// time a provider took to load a model.
    fn done(&self, answer: &Collected, reason: &str, times: Times) -> Value {
        let mut line = self.value(answer);
        let usage = answer.usage.unwrap_or_default();
        let prompt = times.first_content.unwrap_or(times.end);
        line["done"] = true.into();
        line["done_reason"] = reason.into();
        line["total_duration"] = nanoseconds(times.end);
        line["load_duration"] = 0.into();
        line["prompt_eval_count"] = usage.input_tokens.into();
        line["prompt_eval_duration"] = nanoseconds(prompt);
        line["eval_count"] = usage.output_tokens.into();
        line["eval_duration"] = nanoseconds(times.end.saturating_sub(prompt));
        if usage.estimated {
            line["estimated"] = true.into();
        }
        line
    }
}

/// An answer that made calls stopped like any other here.
fn done_reason(reason: FinishReason, declined: bool) -> &'static str {
    match reason {
        _ if declined => FinishReason::ContentFilter.as_str(),
        FinishReason::Stop | FinishReason::ToolCalls => "stop",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => reason.as_str(),
    }
}

/// The answer to a request for none: the model is loaded, or it is not any more.
pub(in crate::protocol) fn loaded(form: Form, model: &str, created: u64, reason: &str) -> Value {
    let mut line = json!({
        "model": model,
        "created_at": rfc3339(created),
        "done": true,
        "done_reason": reason,
    });
    match form {
        Form::Chat => line["message"] = json!({"role": "assistant", "content": ""}),
        Form::Generate => line["response"] = "".into(),
    }
    line
}

fn nanoseconds(time: Duration) -> Value {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).into()
}

#[cfg(test)]
mod tests;
