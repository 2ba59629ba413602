use std::collections::HashSet;
use std::sync::Arc;

use super::*;
use crate::access::Plan;
use crate::chat::{FinishReason, Usage};
use crate::config::Config;
use crate::failure::Reason;
use crate::limit::Term;
use crate::limit::parameter::Parameters;
use crate::relay::{AttemptRecord, CallLimits};
use crate::target::Target;

const CONFIG: &str = r#"
[providers.a]
protocol = "openai"
base_url = "http://a/v1"

[models.m]
targets = ["a/first", "a/second"]
"#;

fn caller() -> Caller {
    let plan = Plan {
        name: "pro".into(),
        max_output_tokens: std::num::NonZeroU32::new(8000),
        ..Plan::default()
    };
    Caller { user: "ada".parse().unwrap(), plan: Some(Arc::new(plan)) }
}

fn attempt(target: &Arc<Target>, limits: Option<CallLimits>, end: End) -> AttemptRecord {
    let took = Duration::from_millis(20);
    let left_out = Parameters::default();
    AttemptRecord { target: target.clone(), limits, left_out, stream: true, began: took, took, end }
}

fn limits(model: u32) -> CallLimits {
    let terms = Terms { requested: Some(9000), model: Some(model), ..Terms::default() };
    CallLimits { terms, limit: Some(Limit { max_output: model, term: Term::Model }) }
}

/// The first target failed, the second answered.
fn settlement() -> Settlement {
    let mut config = Config::parse(CONFIG, |_| None).unwrap();
    let targets = config.models.remove("m").unwrap().targets;
    Settlement {
        exchange: None,
        caller: Some(caller()),
        end: End::Finished(FinishReason::Stop),
        attempts: vec![
            attempt(&targets[0], Some(limits(2000)), End::Failed(Reason::Connect.into())),
            attempt(&targets[1], Some(limits(4096)), End::Finished(FinishReason::Stop)),
        ],
        served_by: Some(targets[1].clone()),
        fallback: false,
        usage: Usage { input_tokens: 3, output_tokens: 2, ..Usage::default() },
        chunks: 12,
        skipped: 0,
        first_content: Some(Duration::from_millis(3)),
        took: Duration::from_millis(40),
        learned: Vec::new(),
    }
}

#[track_caller]
fn check(settlement: &Settlement, session: Option<&str>, model: &str, expected: &str) {
    let answered = Answered {
        stream_id: "chatcmpl-1".to_owned(),
        session: session.map(str::to_owned),
        client: ClientProtocol::Token,
        model: model.to_owned(),
        streaming: true,
    };
    let line = answer(&answered, settlement).to_json(None);
    assert_eq!(String::from_utf8(line).unwrap(), expected.replace('\n', ""));
}

#[test]
fn an_answers_line_has_all_that_is_known_of_it() {
    check(
        &settlement(),
        Some("s1"),
        "m",
        r#"{"level":"INFO","message":"answer","stream_id":"chatcmpl-1",
"user_id":"ada","plan":"pro","plan_max_tokens":8000,"session_id":"s1",
"client":"token","model":"m","streaming":true,
"model_max_tokens":4096,"requested_max_tokens":9000,"max_tokens":4096,"term":"model",
"success":true,"end":"stop","model_used":"a/second","fallback_used":true,
"chunk_count":12,"input_tokens":3,"output_tokens":2,"usage_estimated":false,
"first_content_ms":3,"processing_time_ms":40,
"attempts":"a/first stream connect_failed 20 ms; a/second stream finished 20 ms"}"#,
    );
}

#[test]
fn what_is_not_known_is_left_out() {
    let settlement = Settlement {
        caller: None,
        end: End::Failed(Reason::InvalidRequest.into()),
        attempts: Vec::new(),
        served_by: None,
        usage: Usage::default(),
        chunks: 0,
        first_content: None,
        ..settlement()
    };
    check(
        &settlement,
        None,
        "",
        r#"{"level":"WARN","message":"answer","stream_id":"chatcmpl-1",
"client":"token","streaming":true,
"success":false,"end":"invalid_request","detail":"The request is invalid.",
"fallback_used":false,
"chunk_count":0,"input_tokens":0,"output_tokens":0,"usage_estimated":false,
"processing_time_ms":40}"#,
    );
}

#[test]
fn the_bounds_are_those_of_the_target_that_served_else_of_the_last_called() {
    let mut settlement = settlement();
    let limit = |settlement: &Settlement| Some(settlement.bounds()?.1?.max_output);
    settlement.served_by = Some(settlement.attempts[0].target.clone());
    assert_eq!(limit(&settlement), Some(2000));
    settlement.served_by = None;
    assert_eq!(limit(&settlement), Some(4096));
    settlement.attempts[1].limits = None;
    assert_eq!(limit(&settlement), Some(2000), "a target that was not called has no bounds");
}

#[test]
fn a_timestamp_is_first() {
    let line = Record::new(Level::Debug, "x").with(Field::Count, 1u32).to_json(Some("T"));
    assert_eq!(line, br#"{"timestamp":"T","level":"DEBUG","message":"x","count":1}"#);
}

#[test]
fn field_names_are_unique_and_meanings_are_sentences() {
    let names: HashSet<_> = FIELDS.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), FIELDS.len());
    for (name, meaning) in FIELDS {
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        assert!(meaning.ends_with('.'), "{name}: {meaning}");
    }
    assert_eq!(Field::Count.name(), "count");
}

#[test]
fn an_attempt_has_what_was_left_out() {
    let mut settlement = settlement();
    settlement.attempts[1].left_out = Parameters::named("seed,store");
    let written = settlement.attempts[1].to_string();
    assert_eq!(written, "a/second stream finished 20 ms without seed,store");
}
