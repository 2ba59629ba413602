//! When a provider is to be called again, as its error states it: in a field, or in a sentence.

use std::time::Duration;

use serde_json::Value;

/// Words before the time in a provider's sentence, in lower case.
const BEFORE_THE_TIME: [&str; 3] = [
    // Gemini: "Please retry in 37.25s." (RooCodeInc/Roo-Code#2118).
    "retry in ",
    // Azure: "Please retry after 33 seconds." (openai/openai-node#1108).
    "retry after ",
    // OpenAI: "Please try again in 11.75s." (zed-industries/zed#31531), also `6m0s` and `20ms`.
    "try again in ",
];

/// The wait that an error object asks for; the field counts before its message.
pub(in crate::protocol) fn read(error: &Value, message: &str) -> Option<Duration> {
    in_details(error).or_else(|| in_sentence(message))
}

/// `google.rpc.RetryInfo`: its `retryDelay` is a `google.protobuf.Duration`, in JSON a text such as
/// `"2s"` or `"0.5s"`.
fn in_details(error: &Value) -> Option<Duration> {
    let mut details = error.get("details")?.as_array()?.iter();
    details.find_map(|detail| duration(detail.get("retryDelay")?.as_str()?))
}

fn in_sentence(message: &str) -> Option<Duration> {
    let message = message.to_ascii_lowercase();
    BEFORE_THE_TIME.iter().find_map(|words| {
        let (_, time) = message.split_once(words)?;
        duration(time)
    })
}

/// The time at the front of `text`: `37s`, `1.5s`, `20ms`, `6m0s`, `2 seconds`.
fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut sum) = (text, None);
    while let Some((part, after)) = part(rest) {
        sum = Some(sum.unwrap_or(Duration::ZERO).checked_add(part)?);
        rest = after;
    }
    sum
}

/// A number and its unit, and what follows.
fn part(text: &str) -> Option<(Duration, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at(digits);
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let (unit, rest) =
        rest.split_at(rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len()));
    let seconds = match unit {
        "ms" | "milliseconds" => 0.001,
        "s" | "sec" | "second" | "seconds" => 1.0,
        "m" | "min" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3600.0,
        _ => return None,
    };
    let wait = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
    Some((wait, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: an error, and the milliseconds that it asks to wait.
    #[test]
    fn every_form_of_a_wait() {
        let rows = [
            (
                r#"{"details":[{"@type":"x"},{"retryDelay":"2s"}],"message":"retry in 9s"}"#,
                Some(2000),
            ),
            (r#"{"details":[{"retryDelay":"0.5s"}]}"#, Some(500)),
            (r#"{"details":[{"retryDelay":5}],"message":"Please retry in 37.25s."}"#, Some(37_250)),
            (r#"{"message":"Rate limit reached. Please try again in 20ms. Visit x"}"#, Some(20)),
            (r#"{"message":"Please try again in 1.5s."}"#, Some(1500)),
            (r#"{"message":"Please try again in 6m1s."}"#, Some(361_000)),
            (r#"{"message":"Try again in 2 seconds"}"#, Some(2000)),
            (r#"{"message":"Please retry after 1 second."}"#, Some(1000)),
            (r#"{"message":"try again in a moment"}"#, None),
            (r#"{"message":"try again in 5 years"}"#, None),
            (r#"{"message":"try again in 5"}"#, None),
            (r#"{"message":"retry in 99999999999999999999999999h"}"#, None),
            (r#"{"details":{"retryDelay":"2s"}}"#, None),
            (r#"{}"#, None),
        ];
        for (error, expected) in rows {
            let error: Value = serde_json::from_str(error).unwrap();
            let message = error.get("message").and_then(Value::as_str).unwrap_or("");
            let wait = read(&error, message).map(|wait| wait.as_millis());
            assert_eq!(wait, expected, "{error}");
        }
    }
}
