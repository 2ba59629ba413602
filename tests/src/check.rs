//! The one judge of every runner: what a scenario expects against what was seen.
//!
//! Some things need no saying in a scenario, because every answer must keep them:
//! - events are whole, UTF-8, and end exactly once: after a done marker or an error comes nothing,
//!   an error is never mixed with a finish, a finish comes once and no text after it;
//! - a stream carries the headers that keep proxies from holding it back, and is never just cut;
//! - an error status has a JSON body with a message;
//! - the provider's key is nowhere in what a client sees;
//! - no provider gets a call it has no script for, and none is left with a call that nobody reads.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::answer::{self, Answer, Ending, Event};
use crate::provider::CallRecord;
use crate::scenario::{End, ErrorFields, Exchange, Expect, Protocol, Saw, Scenario};
use crate::script::Call;

/// What was seen of one request, on both sides of the gateway.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What the client got.
    pub answer: Answer,
    /// What each provider was asked for it. Times count as the answer's do.
    pub calls: BTreeMap<String, Vec<CallRecord>>,
}

/// How much of a body is shown where something is wrong, in characters.
const SHOWN_CHARS_MAX: usize = 2000;

impl Seen {
    fn calls_to(&self, provider: &str) -> &[CallRecord] {
        self.calls.get(provider).map_or(&[], Vec::as_slice)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.answer.body();
        let shown: String = String::from_utf8_lossy(&body).chars().take(SHOWN_CHARS_MAX).collect();
        writeln!(f, "--- head ---\n{:?}", self.answer.head)?;
        writeln!(f, "--- body ({} bytes) ---\n{shown}", body.len())?;
        write!(f, "--- calls ---\n{:#?}", self.calls)
    }
}

/// Says everything that is not as it must be in what was `seen` of each request, one per line.
pub fn check(scenario: &Scenario, seen: &[Seen]) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (index, (exchange, seen)) in scenario.exchanges().zip(seen).enumerate() {
        let found = check_one(scenario, exchange, seen);
        let place = if index > 0 { format!("request {}: ", index + 1) } else { String::new() };
        wrong.extend(found.into_iter().map(|what| format!("{place}{what}")));
    }
    wrong.extend(check_calls_in_all(scenario, seen));
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// Says which lines a shell's log lacks.
pub fn check_log(scenario: &Scenario, lines: &[String]) -> Result<(), String> {
    let lines: Vec<Value> =
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let lacks = |line: &&Value| !lines.iter().any(|logged| has_logged(logged, line));
    match scenario.logged.iter().find(lacks) {
        Some(line) => Err(format!("no line of the log has {line}")),
        None => Ok(()),
    }
}

/// A key such as `attempts_has` has a part of the field's text.
fn has_logged(line: &Value, expected: &Value) -> bool {
    let mut fields = expected.as_object().into_iter().flatten();
    fields.all(|(key, expected)| match key.strip_suffix("_has") {
        Some(key) => {
            let texts = line[key].as_str().zip(expected.as_str());
            texts.is_some_and(|(text, part)| text.contains(part))
        }
        None => line.get(key).is_some_and(|value| contains(value, expected)),
    })
}

fn check_one(scenario: &Scenario, exchange: Exchange<'_>, seen: &Seen) -> Vec<String> {
    let Exchange { client, expect, .. } = exchange;
    let protocol = client.protocol();
    let mut check = Check { scenario, protocol, expect, seen, wrong: Vec::new() };
    check.answer(exchange.end());
    check.calls();
    check.wrong
}

/// Every script is for a call, unless a request sets the number of calls.
fn check_calls_in_all(scenario: &Scenario, seen: &[Seen]) -> Vec<String> {
    let said = |name| scenario.exchanges().any(|e| e.expect.calls.contains_key(name));
    let providers = scenario.provider.iter().filter(|(name, _)| !said(*name));
    let counts = providers.map(|(name, scripts)| {
        let unreachable = scripts.iter().any(Call::is_unreachable);
        let expected = if unreachable { 0 } else { scripts.len() };
        (name, seen.iter().map(|seen| seen.calls_to(name).len()).sum::<usize>(), expected)
    });
    let wrong = counts.filter(|(_, is, expected)| is != expected);
    wrong
        .map(|(name, is, expected)| {
            format!("the number of calls to {name} is {is}, expected {expected}")
        })
        .collect()
}

struct Check<'a> {
    scenario: &'a Scenario,
    protocol: Protocol,
    expect: &'a Expect,
    seen: &'a Seen,
    wrong: Vec<String>,
}

impl Check<'_> {
    fn fail(&mut self, what: impl Into<String>) {
        self.wrong.push(what.into());
    }

    fn require(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.fail(what());
        }
    }

    fn same<T: PartialEq + fmt::Debug + ?Sized>(&mut self, what: &str, is: &T, expected: &T) {
        self.require(is == expected, || format!("{what} is {is:?}, expected {expected:?}"));
    }

    // The client's side.

    fn answer(&mut self, end: End) {
        self.head(end);
        let events = match end {
            _ if self.seen.answer.head.is_none() => return,
            End::Left if self.seen.answer.reads.is_empty() => return,
            End::Text => Ok(Vec::new()),
            End::Whole | End::Refused => {
                answer::whole(&self.seen.answer, self.protocol).map(|event| vec![event])
            }
            End::Done | End::Error | End::Left => answer::events(&self.seen.answer, self.protocol),
        };
        match events {
            Ok(events) => {
                self.order(end, &events);
                self.content(&events);
                self.times(&events);
            }
            Err(why) => self.fail(why),
        }
        self.body_text();
        self.framing(end);
    }

    fn head(&mut self, end: End) {
        let Some(head) = &self.seen.answer.head else {
            return self.require(end == End::Left, || {
                format!("there is no response: {:?}", self.seen.answer.ending)
            });
        };
        self.same("the status", &head.status, &self.expect.status.unwrap_or(200));
        for (name, value) in &self.expect.headers {
            self.same(&format!("the header {name}"), &head.header(name), &Some(value.as_str()));
        }
        if matches!(end, End::Done | End::Error) {
            self.stream_headers();
        }
    }

    fn stream_headers(&mut self) {
        let Some(head) = &self.seen.answer.head else { return };
        let media_type = match self.protocol {
            Protocol::Ollama => "application/x-ndjson",
            Protocol::GeminiArray => "application/json",
            _ => "text/event-stream",
        };
        for (name, value) in [
            ("content-type", media_type),
            ("cache-control", "no-cache, no-transform"),
            ("x-accel-buffering", "no"),
        ] {
            self.same(&format!("the header {name}"), &head.header(name), &Some(value));
        }
        self.same("the header content-encoding", &head.header("content-encoding"), &None);
        self.require(head.header("x-stream-id").is_some_and(|id| !id.is_empty()), || {
            "there is no header x-stream-id".into()
        });
    }

    fn framing(&mut self, end: End) {
        match (&self.seen.answer.ending, end) {
            (Ending::Left, End::Left) | (Ending::Complete, _) => {}
            (ending, _) => self.fail(format!("the body ended {ending:?}")),
        }
    }

    /// Whether each event may stand where it stands, and the last one has the outcome.
    fn order(&mut self, end: End, events: &[Event]) {
        for (index, pair) in events.windows(2).enumerate() {
            if pair[0].done || pair[0].error.is_some() {
                self.fail(format!("event {} follows the last one: {}", index + 2, pair[1].data));
            }
        }
        if end == End::Text {
            return;
        }
        self.finishes(end, events);
        let Some(last) = events.last() else {
            return self.require(end == End::Left, || "the answer has no event".into());
        };
        let ends_right = match end {
            End::Done => last.done,
            End::Error => last.error.is_some(),
            End::Refused => last.error.as_ref().is_some_and(|e| e["message"].as_str() > Some("")),
            End::Whole | End::Text => last.error.is_none(),
            End::Left => !last.done && last.error.is_none(),
        };
        self.require(ends_right, || {
            format!("expected the end {end:?}, the last event is {}", last.data)
        });
    }

    fn finishes(&mut self, end: End, events: &[Event]) {
        let finishes = events.iter().filter(|event| event.finish.is_some()).count();
        let expected = match (end, self.protocol) {
            (End::Done, Protocol::UiMessage)
            | (
                End::Done | End::Whole,
                Protocol::Chat
                | Protocol::Ollama
                | Protocol::Gemini
                | Protocol::GeminiArray
                | Protocol::Completions,
            ) => 1,
            _ => 0,
        };
        self.same("the number of finish reasons", &finishes, &expected);
        let after = events.iter().skip_while(|event| event.finish.is_none()).skip(1);
        let late: Vec<_> = after.filter_map(|event| event.text.as_ref()).collect();
        self.require(late.is_empty(), || format!("text follows the finish: {late:?}"));
    }

    fn content(&mut self, events: &[Event]) {
        let expect = self.expect;
        let text: String = events.iter().filter_map(|event| event.text.as_deref()).collect();
        self.require(!text.contains('\u{FFFD}'), || format!("a character is lost in {text:?}"));
        if let Some(expected) = &expect.text {
            self.same("the text", text.as_str(), expected.as_str());
        }
        if let Some(part) = &expect.text_has {
            self.require(text.contains(part), || format!("{part:?} is not in the text {text:?}"));
        }
        if let Some(bytes) = expect.text_bytes {
            self.same("the text's length", &text.len(), &bytes);
        }
        if expect.finish.is_some() {
            let finish = events.iter().find_map(|event| event.finish.clone());
            self.same("the finish reason", &finish, &expect.finish);
        }
        self.usage(events);
        self.expected_events(events);
        if let Some(expected) = &expect.error {
            let error = events.iter().find_map(|event| event.error.as_ref());
            self.error(error.unwrap_or(&Value::Null), expected);
        }
    }

    fn usage(&mut self, events: &[Event]) {
        let told: Vec<_> = events.iter().filter_map(|event| event.usage).collect();
        if let Some(expected) = self.expect.usage {
            self.same("the usage", told.as_slice(), &[expected]);
        }
        if self.expect.no_usage {
            self.same("the usage", told.as_slice(), &[]);
        }
    }

    fn expected_events(&mut self, events: &[Event]) {
        let Some(expected) = &self.expect.events else { return };
        self.same("the number of events", &events.len(), &expected.len());
        for (index, (event, expected)) in events.iter().zip(expected).enumerate() {
            self.require(contains(&event.data, expected), || {
                format!("event {} is {}, expected {expected}", index + 1, event.data)
            });
        }
    }

    fn error(&mut self, error: &Value, expected: &ErrorFields) {
        for (name, field) in
            [("code", &expected.code), ("type", &expected.kind), ("param", &expected.param)]
        {
            if field.is_some() {
                self.same(&format!("the error's {name}"), &error[name].as_str(), &field.as_deref());
            }
        }
        if let Some(part) = &expected.message_has {
            self.require(error["message"].as_str().is_some_and(|text| text.contains(part)), || {
                format!("{part:?} is not in the message of {error}")
            });
        }
    }

    fn body_text(&mut self) {
        let body = String::from_utf8_lossy(&self.seen.answer.body()).into_owned();
        let heads = self.seen.answer.head.iter().flat_map(|head| &head.headers);
        let told: Vec<_> = heads.map(|(_, value)| value.as_str()).chain([body.as_str()]).collect();
        for secret in self.scenario.secrets() {
            let tells = told.iter().any(|text| text.contains(&secret));
            self.require(!tells, || "a secret is in the response".into());
        }
        for part in &self.expect.has {
            self.require(body.contains(part), || format!("{part:?} is not in the body"));
        }
        for part in &self.expect.lacks {
            self.require(!body.contains(part), || format!("{part:?} is in the body"));
        }
    }

    fn times(&mut self, events: &[Event]) {
        let expect = self.expect;
        let first = events.iter().find(|event| event.has_text()).map(|event| event.at);
        let last = events.iter().rfind(|event| event.has_text()).map(|event| event.at);
        if let Some(ms) = expect.grows_over_ms {
            let grew = last.unwrap_or_default() - first.unwrap_or_default();
            self.require(grew >= millis(ms), || format!("the text came within {grew:?}"));
        }
        if let Some(ms) = expect.first_text_within_ms {
            self.require(first.is_some_and(|at| at <= millis(ms)), || {
                format!("the first text came after {first:?}")
            });
        }
        if let Some(ms) = expect.within_ms {
            let ended = self.seen.answer.ended;
            self.require(ended <= millis(ms), || format!("the end came after {ended:?}"));
        }
    }

    // The providers' side.

    fn calls(&mut self) {
        for provider in self.scenario.provider.keys() {
            let calls = self.seen.calls_to(provider);
            if let Some(expected) = self.expect.calls.get(provider) {
                self.same(&format!("the number of calls to {provider}"), &calls.len(), expected);
            }
            for (index, call) in calls.iter().enumerate() {
                self.call(&format!("call {} to {provider}", index + 1), call);
            }
            self.saw(provider, calls);
            if let Some(bytes_max) = self.expect.slowed.get(provider) {
                self.slowed(provider, calls, *bytes_max);
            }
        }
    }

    fn slowed(&mut self, provider: &str, calls: &[CallRecord], bytes_max: usize) {
        let held = calls.iter().filter_map(|call| call.held_bytes).min();
        self.require(held.is_some_and(|bytes| bytes <= bytes_max), || match held {
            Some(bytes) => format!("{provider} could send {bytes} bytes before it had to wait"),
            None => format!("{provider} could send all it had"),
        });
    }

    fn call(&mut self, place: &str, call: &CallRecord) {
        self.require(!call.unscripted, || format!("{place} has no script"));
        self.require(call.ended.or(call.closed).is_some(), || format!("{place} was left open"));
        let Some(ms) = self.expect.upstream_closed_within_ms else { return };
        let left = self.seen.answer.ended;
        let in_time = call.closed.is_some_and(|closed| closed <= left + millis(ms));
        self.require(call.ended.is_some() || in_time, || {
            format!("{place} was closed at {:?}, the client left at {left:?}", call.closed)
        });
    }

    fn saw(&mut self, provider: &str, calls: &[CallRecord]) {
        let Some(expected) = self.expect.saw.get(provider) else { return };
        self.same(&format!("the calls described for {provider}"), &expected.len(), &calls.len());
        for (index, (call, saw)) in calls.iter().zip(expected).enumerate() {
            self.request(&format!("call {} to {provider}", index + 1), call, saw);
        }
    }

    fn request(&mut self, place: &str, call: &CallRecord, saw: &Saw) {
        if let Some(ms) = saw.after_ms {
            self.require(call.came >= millis(ms), || format!("{place} came after {:?}", call.came));
        }
        if let Some(path) = &saw.path {
            self.same(&format!("the path of {place}"), &call.path, path);
        }
        for (name, value) in &saw.headers {
            let header = call.headers.get(name).map(String::as_str);
            self.same(&format!("the header {name} of {place}"), &header, &Some(value.as_str()));
        }
        if let Some(body) = &saw.body {
            self.require(contains(&call.body, body), || {
                format!("the body of {place} is {}, expected {body}", call.body)
            });
        }
        for field in &saw.lacks {
            self.require(call.body.get(field).is_none(), || {
                format!("the body of {place} has the field {field}: {}", call.body)
            });
        }
    }
}

/// Whether a value has all that is expected: an object may have more fields.
fn contains(value: &Value, expected: &Value) -> bool {
    match (value, expected) {
        (Value::Object(value), Value::Object(expected)) => expected
            .iter()
            .all(|(key, expected)| value.get(key).is_some_and(|value| contains(value, expected))),
        (Value::Array(value), Value::Array(expected)) => {
            value.len() == expected.len()
                && value.iter().zip(expected).all(|(value, expected)| contains(value, expected))
        }
        (value, expected) => value == expected,
    }
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[cfg(test)]
mod tests;
