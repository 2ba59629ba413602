//! Answers of five meanings as events, and what a client's protocol makes of them. For tests.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::chat::{ChatRequest, Event, FinishReason, ToolCall, Usage};
use crate::failure::{Failure, Reason};
use crate::protocol::{AnswerEnd, AnswerMeta, ClientProtocol, Collected, End, Times, Writer};

pub(in crate::protocol) fn text() -> Vec<Event<'static>> {
    let said = ["Hello, ", "wörld ", "😀!"].map(|text| Event::Text(text.into()));
    answer(said, FinishReason::Stop, Usage { cached_tokens: 4, ..COST })
}

pub(in crate::protocol) fn tools() -> Vec<Event<'static>> {
    let said = [
        Event::Text("Let me look.".into()),
        call(0, Some(("call_1", "get_weather")), r#"{"city":"#),
        call(0, None, r#""Paris"}"#),
        call(1, Some(("call_2", "get_time")), ""),
        call(1, None, r#"{"zone":"CET"}"#),
    ];
    answer(said, FinishReason::ToolCalls, COST)
}

pub(in crate::protocol) fn reasoning() -> Vec<Event<'static>> {
    let said = [Event::Reasoning("Let me think.".into()), Event::Text("42".into())];
    answer(said, FinishReason::Stop, Usage { reasoning_tokens: 3, ..COST })
}

pub(in crate::protocol) fn length() -> Vec<Event<'static>> {
    answer([Event::Text("Once upon".into())], FinishReason::Length, COST)
}

/// Ends without a finish: with the error "The engine is on fire.".
pub(in crate::protocol) fn error() -> Vec<Event<'static>> {
    vec![start(), Event::Text("Hel".into())]
}

/// The stream of these events, from its opening to its end.
pub(in crate::protocol) fn written(
    protocol: ClientProtocol,
    request: ChatRequest,
    events: &[Event<'_>],
) -> String {
    let mut writer = writer(protocol, request);
    let mut out = Vec::new();
    writer.open(&mut out);
    for event in events {
        writer.event(&mut out, event);
    }
    let finish = events.iter().find_map(|event| match event {
        Event::Finish(reason) => Some(*reason),
        _ => None,
    });
    let end = match finish {
        Some(reason) => End::Finished(reason),
        None => End::Failed(Failure::new(Reason::InBand, "The engine is on fire.")),
    };
    writer.end(&mut out, &AnswerEnd { end: &end, fallback: false, times: times() });
    String::from_utf8(out).unwrap()
}

/// The complete answer of these events.
pub(in crate::protocol) fn collected(
    protocol: ClientProtocol,
    request: ChatRequest,
    events: &[Event<'_>],
) -> String {
    let mut collected = Collected::default();
    events.iter().for_each(|event| collected.add(event));
    let mut out = Vec::new();
    writer(protocol, request).write_complete(&mut out, &collected, times());
    String::from_utf8(out).unwrap()
}

const COST: Usage = Usage {
    input_tokens: 12,
    output_tokens: 7,
    cached_tokens: 0,
    cache_write_tokens: 0,
    reasoning_tokens: 0,
    estimated: false,
};

fn answer<const N: usize>(
    said: [Event<'static>; N],
    finish: FinishReason,
    usage: Usage,
) -> Vec<Event<'static>> {
    let ends = [Event::Finish(finish), Event::Usage(usage)];
    [start()].into_iter().chain(said).chain(ends).collect()
}

fn start() -> Event<'static> {
    Event::Start { id: "provider-1".into(), model: "fake-1".into() }
}

fn call(
    index: u32,
    name: Option<(&'static str, &'static str)>,
    arguments: &'static str,
) -> Event<'static> {
    Event::ToolCall(ToolCall {
        index,
        id: name.map(|(id, _)| Cow::Borrowed(id)),
        name: name.map(|(_, name)| Cow::Borrowed(name)),
        arguments: arguments.into(),
    })
}

fn times() -> Times {
    Times { first_content: Some(Duration::from_millis(40)), end: Duration::from_millis(100) }
}

fn writer(protocol: ClientProtocol, request: ChatRequest) -> Writer {
    let opening = AnswerMeta {
        id: "answer-1".into(),
        created: 1_700_000_000,
        model: "m".into(),
        request: Arc::new(request),
    };
    Writer::new(protocol, opening)
}
