//! A body that is not what was requested: a stream in place of one response, several responses, or
//! one with something after it.

use serde_json::value::RawValue;

use crate::json;

use super::reported::Reported;
use crate::protocol::{ReadError, Sink, Step, StreamReader};
use crate::sse::{Decoder, Event, Framing, Leftover};
use crate::target::ProviderProtocol;

/// Reads complete responses, each by itself or in a list, and then the events of a stream.
/// [`Step::Done`]: the answer is complete, for there was one response, or the stream's end mark.
pub(crate) fn read(
    protocol: ProviderProtocol,
    body: &[u8],
    sink: &mut Sink<'_>,
) -> Result<Step, ReadError> {
    let mut rest = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body).trim_ascii_start();
    let mut responses = 0;
    while let Some((value, after)) = json_value(rest) {
        for response in listed(value) {
            protocol.read_complete(response.get().as_bytes(), sink)?;
            responses += 1;
        }
        rest = after.trim_ascii_start();
    }
    match read_events(protocol, rest, sink)? {
        Step::More if responses == 1 => Ok(Step::Done),
        step => Ok(step),
    }
}

/// The JSON at the front of `bytes`, and what follows it.
fn json_value(bytes: &[u8]) -> Option<(&RawValue, &[u8])> {
    if !bytes.starts_with(b"{") && !bytes.starts_with(b"[") {
        return None;
    }
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter();
    let value = values.next()?.ok()?;
    Some((value, &bytes[values.byte_offset()..]))
}

fn listed(value: &RawValue) -> Vec<&RawValue> {
    json::read(value.get()).unwrap_or_else(|_| vec![value])
}

fn read_events(
    protocol: ProviderProtocol,
    mut bytes: &[u8],
    sink: &mut Sink<'_>,
) -> Result<Step, ReadError> {
    let mut decoder = Decoder::framed(Framing::Events, bytes.len());
    let mut reader = StreamReader::new(protocol);
    while let Ok(Some(event)) = decoder.next(&mut bytes) {
        if read_event(&event, &mut reader, sink)? == Step::Done {
            return Ok(Step::Done);
        }
    }
    match decoder.finish() {
        Some(Leftover::Event(event) | Leftover::Cut(event)) => {
            read_event(&event, &mut reader, sink)
        }
        None => Ok(Step::More),
    }
}

/// An event that cannot be read costs only itself.
fn read_event(
    event: &Event<'_>,
    reader: &mut StreamReader,
    sink: &mut Sink<'_>,
) -> Result<Step, ReadError> {
    if event.is_error()
        && let Some(error) = Reported::read_event(event.data)
    {
        return Err(ReadError::Provider(error.failure()));
    }
    match reader.read(event.data, sink) {
        Err(ReadError::Malformed(_)) => Ok(Step::More),
        read => read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Reason;
    use crate::protocol::Collected;

    const WHOLE: &str = r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}"#;
    const DELTA: &str = r#"{"choices":[{"delta":{"content":"Hi"}}]}"#;

    /// Each row: a body, the text in it, and whether that is all.
    #[test]
    fn reads_what_can_be_read() {
        let rows = [
            (format!("{WHOLE}\n\ndata: [DONE]\n\n"), "Hi", Step::Done),
            (format!("\u{FEFF}\n {WHOLE}\ndata: [DONE]"), "Hi", Step::Done),
            (format!("[{WHOLE}]"), "Hi", Step::Done),
            (format!("data: {DELTA}\n\ndata: {DELTA}\n\ndata: [DONE]\n\n"), "HiHi", Step::Done),
            (format!("data: {DELTA}\n\ndata: {{\n\ndata: {DELTA}"), "HiHi", Step::More),
            (format!("{DELTA}\n{DELTA}\n"), "HiHi", Step::More),
            ("Hi".into(), "", Step::More),
            (String::new(), "", Step::More),
        ];
        for (body, text, step) in rows {
            let mut answer = Collected::default();
            let read = read(ProviderProtocol::OpenAi, body.as_bytes(), &mut |event| {
                answer.add(&event);
            });
            assert_eq!((read, &*answer.text), (Ok(step), text), "{body}");
        }
    }

    /// Each row: a body that is an error, its reason and its message.
    #[test]
    fn an_error_is_found_in_every_form() {
        let rows = [
            (r#"[{"error":{"code":503,"message":"busy"}}]"#, Reason::Overloaded, "busy"),
            (
                "error: {\"code\":429,\"message\":\"slow\"}\n\ndata: [DONE]\n\n",
                Reason::RateLimited,
                "slow",
            ),
            (
                "event: error\ndata: {\"code\":500,\"message\":\"boom\"}\n\n",
                Reason::ServerError,
                "boom",
            ),
            ("event: error\ndata: out of memory\n\n", Reason::InBand, "out of memory"),
            ("{\"error\":\"boom\"}\n\ndata: [DONE]\n\n", Reason::InBand, "boom"),
            ("data: {\"x\":1}\n\n{\"error\":\"boom\"}", Reason::InBand, "boom"),
        ];
        for (body, reason, message) in rows {
            match read(ProviderProtocol::OpenAi, body.as_bytes(), &mut |_| {}) {
                Err(ReadError::Provider(failure)) => {
                    assert_eq!((failure.reason, &*failure.detail), (reason, message), "{body}");
                }
                other => panic!("{body}: {other:?}"),
            }
        }
    }
}
