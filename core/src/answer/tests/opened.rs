//! Answers that say something before any provider does, and tell which ways were lost.

use super::*;

const BODY: &str = r#"{"model":"m","session_id":"s1","message":"hi"}"#;

fn logged(client: Client, fallback: &str, script: &[Step<'_>]) -> Vec<String> {
    let config = format!("default_model = \"m\"\n{CONFIG}\n[fallback]\nretries = 0\n{fallback}\n");
    let secret = |name: &str| (name == "KEY_B").then(|| "b-key".to_owned());
    let gateway = Gateway::new(Config::parse(&config, secret).unwrap());
    let mut bench = Bench::at(&gateway, client, BODY);
    script.iter().for_each(|step| bench.step(step));
    bench.log
}

fn said(client: Client, fallback: &str, script: &[Step<'_>]) -> String {
    let log = logged(client, fallback, script);
    log.iter().filter_map(|line| line.strip_prefix("body ")).collect()
}

const STREAMING: Client = Client::streaming(ClientProtocol::Session);
const INFO: &str =
    "data: {\"session_id\":\"s1\",\"status\":\"processing\",\"type\":\"session_info\"}|";
const TOKEN: &str = "data: {\"type\":\"token\",\"content\":\"Hi\"}|";
const DONE_EVENTS: &str =
    "data: {\"message\":\"Streaming complete\",\"type\":\"done\"}|data: {\"type\":\"stream_end\"}|";

fn warning(text: &str) -> String {
    format!("data: {{\"message\":\"{text}\",\"type\":\"warning\"}}|")
}

#[test]
fn the_head_goes_with_the_first_event_at_once() {
    let log = logged(STREAMING, "", &[]);
    assert_eq!(
        log,
        [
            "call 0 a/gpt-4-turbo stream",
            "head 200 text/event-stream",
            &format!("body {INFO}"),
            "wait FirstByte 15000",
        ]
    );
    let notebook = logged(Client::streaming(ClientProtocol::Notebook), "", &[]);
    assert_eq!(notebook[1], "head 200 text/event-stream");
    assert_eq!(
        notebook[2],
        "body data: {\"content\":\"hi\",\"timestamp\":null,\"type\":\"user_message\"}|"
    );
}

#[test]
fn a_request_that_is_wrong_is_still_a_status() {
    let gateway = Gateway::new(Config::parse(CONFIG, |_| None).unwrap());
    let bench = Bench::at(&gateway, STREAMING, "{}");
    assert_eq!(bench.log[0], "head 400 application/json");
}

#[test]
fn a_failure_is_told_in_band_and_nothing_follows() {
    let script = [HeadOf(0, 400, "application/json"), Over(0)];
    assert_eq!(
        said(STREAMING, "", &script),
        [INFO, "data: {\"message\":\"a/gpt-4-turbo answered 400.\",\"type\":\"error\"}|"].concat()
    );
}

#[test]
fn each_lost_rung_is_a_warning() {
    let script = [
        HeadOf(0, 200, SSE),
        Bytes(0, DONE),
        Lost(1, crate::failure::Reason::Lost),
        HeadOf(2, 200, SSE),
        Bytes(2, HI),
        Bytes(2, STOP),
        Bytes(2, DONE),
    ];
    let expected = [
        INFO,
        &warning(
            "Retrying with a/gpt-4-turbo without streaming: The model returned an empty answer.",
        ),
        &warning("Retrying with b/unknown: The connection to the provider was lost."),
        TOKEN,
        DONE_EVENTS,
    ];
    assert_eq!(said(STREAMING, "", &script), expected.concat());
}

#[test]
fn a_recovered_break_is_a_warning_where_it_was() {
    let script = [
        HeadOf(0, 200, SSE),
        Bytes(0, HI),
        Lost(0, crate::failure::Reason::Lost),
        HeadOf(1, 200, SSE),
        Bytes(1, "data: {\"choices\":[{\"delta\":{\"content\":\" there\"}}]}\n\n"),
        Bytes(1, STOP),
        Bytes(1, DONE),
    ];
    let expected = [
        INFO,
        TOKEN,
        &warning("Continuing with b/unknown: The connection to the provider was lost."),
        "data: {\"type\":\"token\",\"content\":\" there\"}|",
        DONE_EVENTS,
    ];
    assert_eq!(said(STREAMING, "", &script), expected.concat());
}

#[test]
fn the_closing_message_is_marked_by_a_warning() {
    let lost = |attempt| Lost(attempt, crate::failure::Reason::Connect);
    let out = said(STREAMING, "", &[lost(0), lost(1)]);
    let last = warning("No model is left to ask: The provider could not be reached.");
    let (before, after) = out.split_once(&last).unwrap();
    assert!(
        before.ends_with(&warning("Retrying with b/unknown: The provider could not be reached."))
    );
    assert!(after.contains("Sorry, no model can answer right now."), "{after}");
    assert!(after.ends_with(DONE_EVENTS), "{after}");
}

#[test]
fn a_whole_answer_lists_its_warnings() {
    let script = [
        Lost(0, crate::failure::Reason::Connect),
        HeadOf(1, 200, "application/json"),
        Bytes(1, r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}"#),
        Over(1),
    ];
    assert_eq!(
        said(Client::non_streaming(ClientProtocol::Session), "", &script),
        r#"{"message":"Hi","session_id":"s1","warnings":["Retrying with b/unknown: The provider could not be reached."]}"#
    );
}

#[test]
fn a_rival_that_fails_is_told() {
    let script = [After(500), Lost(1, crate::failure::Reason::Connect)];
    assert_eq!(
        said(STREAMING, "hedge_after = 0.5", &script),
        [INFO, &warning("Another model is still answering: The provider could not be reached.")]
            .concat()
    );
}

/// A warning is nothing to send to a client that could not tell it from the answer.
#[test]
fn who_has_no_form_for_warnings_gets_none() {
    let lost = Lost(0, crate::failure::Reason::Connect);
    for client in
        [Client::streaming(ClientProtocol::Token), Client::streaming(ClientProtocol::Content)]
    {
        let log = logged(client, "", std::slice::from_ref(&lost));
        assert!(!log.iter().any(|line| line.starts_with("head")), "{log:?}");
    }
    let notebook = said(Client::streaming(ClientProtocol::Notebook), "", &[lost]);
    assert!(!notebook.contains("warning"), "{notebook}");
}
