//! The judge, judged: each rule is broken once by hand.

use std::time::Duration;

use super::*;
use crate::answer::{Head, Read};
use crate::scenario::SECRETS;

const STREAM: &str = r#"
    why = "w"
    [[provider.a]]
    stream = ["Hi", { finish = "stop" }, { done = true }]
    [expect]
"#;

fn text(content: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{content}\"}}}}]}}\n\n")
}

/// When a script was played to its end; it does not matter.
const ENDED: Option<Duration> = Some(Duration::ZERO);

const FINISH: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const ERROR: &str = "data: {\"error\":{\"code\":\"stream_cut\",\"message\":\"m\"}}\n\n";

fn stream(body: &str) -> Seen {
    let headers = [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-cache, no-transform"),
        ("x-accel-buffering", "no"),
        ("x-stream-id", "1"),
    ];
    let headers = headers.map(|(name, value)| (name.into(), value.into())).to_vec();
    Seen {
        answer: Answer {
            head: Some(Head { status: 200, headers }),
            reads: vec![Read { at: Duration::from_millis(5), bytes: body.into() }],
            ..Answer::default()
        },
        calls: [("a".into(), vec![CallRecord { ended: ENDED, ..CallRecord::default() }])].into(),
    }
}

#[track_caller]
fn judge(scenario: &str, seen: &Seen, wrong: &str) {
    let scenario = Scenario::parse("n", scenario).unwrap();
    let judged = check(&scenario, std::slice::from_ref(seen)).err().unwrap_or_default();
    if wrong.is_empty() {
        assert_eq!(judged, "");
    } else {
        assert!(judged.contains(wrong), "{judged:?}");
    }
}

#[track_caller]
fn judge_stream(expect: &str, body: &str, wrong: &str) {
    judge(&format!("{STREAM}{expect}"), &stream(body), wrong);
}

#[test]
fn a_good_stream_passes() {
    let body = format!("{}{FINISH}{DONE}", text("Hi"));
    judge_stream("text = 'Hi'\nfinish = 'stop'\nno_usage = true", &body, "");
    judge_stream("text = 'Ho'", &body, "the text is");
    judge_stream("finish = 'length'", &body, "the finish reason is");
    judge_stream("usage = [1, 2]", &body, "the usage is");
    judge_stream("has = ['zzz']", &body, "not in the body");
    judge_stream("events = [{}, {}]", &body, "the number of events is 3");
    judge_stream("grows_over_ms = 5", &body, "the text came within");
}

#[test]
fn an_answer_ends_once() {
    let hi = text("Hi");
    judge_stream("", &format!("{hi}{FINISH}"), "expected the end Done");
    judge_stream("", &format!("{hi}{DONE}"), "the number of finish reasons is 0");
    judge_stream("", &format!("{hi}{FINISH}{FINISH}{DONE}"), "the number of finish reasons is 2");
    judge_stream("", &format!("{hi}{FINISH}{DONE}{DONE}"), "follows the last one");
    judge_stream("", &format!("{FINISH}{hi}{DONE}"), "text follows the finish");
    judge_stream("", &format!("{hi}{FINISH}data: [DONE]"), "ends within an event");
}

#[test]
fn a_failed_answer_says_so_last_and_nothing_else() {
    let hi = text("Hi");
    let expect = "end = 'error'\nerror = { code = 'stream_cut' }";
    judge_stream(expect, &format!("{hi}{ERROR}"), "");
    judge_stream(expect, &format!("{hi}{ERROR}{DONE}"), "follows the last one");
    judge_stream(expect, &format!("{hi}{FINISH}{ERROR}"), "the number of finish reasons is 1");
    judge_stream(expect, &hi, "expected the end Error");
    judge_stream("end = 'error'\nerror = { code = 'other' }", &format!("{hi}{ERROR}"), "code");
}

#[test]
fn a_stream_is_not_held_back_and_not_cut() {
    let body = format!("{}{FINISH}{DONE}", text("Hi"));
    let mut seen = stream(&body);
    seen.answer.ending = Ending::Broken("b".into());
    judge(STREAM, &seen, "the body ended Broken");
    for index in 0..4 {
        let mut seen = stream(&body);
        let (name, _) = seen.answer.head.as_mut().unwrap().headers.remove(index);
        judge(STREAM, &seen, &name);
    }
}

#[test]
fn secrets_and_broken_characters_are_seen() {
    let body = format!("{}{FINISH}{DONE}", text(SECRETS[0].1));
    judge_stream("", &body, "a secret");
    judge_stream("", &format!("{}{FINISH}{DONE}", text("\u{FFFD}")), "a character is lost");
}

#[test]
fn calls_are_counted_closed_and_looked_into() {
    let body = format!("{}{FINISH}{DONE}", text("Hi"));
    let record = |record: CallRecord| {
        let mut seen = stream(&body);
        seen.calls.insert("a".into(), vec![record]);
        seen
    };
    judge(STREAM, &record(CallRecord::default()), "was left open");
    let unscripted = CallRecord { ended: ENDED, unscripted: true, ..CallRecord::default() };
    judge(STREAM, &record(unscripted), "has no script");
    judge(&format!("{STREAM}calls.a = 2"), &stream(&body), "the number of calls to a is 1");
    judge(&format!("{STREAM}saw.a = [{{ body = {{ n = 1 }} }}]"), &stream(&body), "the body of");
}

#[test]
fn calls_count_for_their_own_request_or_for_all_together() {
    let seen = stream(&format!("{}{FINISH}{DONE}", text("Hi")));
    let judge_two = |more: &str| {
        let scenario = Scenario::parse("n", &format!("{STREAM}{more}")).unwrap();
        check(&scenario, &[seen.clone(), seen.clone()]).err().unwrap_or_default()
    };
    assert!(judge_two("[[then]]").contains("the number of calls to a is 2, expected 1"));
    assert_eq!(judge_two("[[then]]\nexpect.calls.a = 1"), "");
    let wrong = judge_two("[[then]]\nexpect.calls.a = 0\nexpect.text = 'Hi'");
    assert_eq!(wrong, "request 2: the number of calls to a is 1, expected 0");
}

#[test]
fn the_upstream_is_closed_soon_after_the_client_left() {
    let scenario = r#"
        why = "w"
        [client.leave]
        ms = 5
        [[provider.a]]
        silent = true
        [expect]
        upstream_closed_within_ms = 100
    "#;
    for (closed_ms, wrong) in [(50, ""), (150, "was closed at")] {
        let closed = Some(Duration::from_millis(closed_ms));
        let seen = Seen {
            answer: Answer { ending: Ending::Left, ..Answer::default() },
            calls: [("a".into(), vec![CallRecord { closed, ..CallRecord::default() }])].into(),
        };
        judge(scenario, &seen, wrong);
    }
}

#[test]
fn a_provider_is_slowed_before_it_has_sent_too_much() {
    let body = format!("{}{FINISH}{DONE}", text("Hi"));
    let mut seen = stream(&body);
    let judge_slowed = |seen: &Seen, wrong| {
        judge(&format!("{STREAM}slowed.a = 100\nsaw.a = [{{ after_ms = 5 }}]"), seen, wrong);
    };
    judge_slowed(&seen, "a could send all it had");
    for (held, came_ms, wrong) in
        [(100, 5, ""), (101, 5, "could send 101 bytes"), (100, 4, "came after 4ms")]
    {
        let came = Duration::from_millis(came_ms);
        let record =
            CallRecord { ended: ENDED, held_bytes: Some(held), came, ..CallRecord::default() };
        seen.calls.insert("a".into(), vec![record]);
        judge_slowed(&seen, wrong);
    }
}

#[test]
fn containing_is_exact_but_for_more_fields() {
    let value = serde_json::json!({ "a": [{ "b": 1, "c": 2 }], "d": 3 });
    assert!(contains(&value, &serde_json::json!({ "a": [{ "b": 1 }] })));
    assert!(!contains(&value, &serde_json::json!({ "a": [] })));
    assert!(!contains(&value, &serde_json::json!({ "e": 1 })));
}
