//! Every stage of the machine, each deadline, late input and the client's leaving, as tables.

use super::*;
use crate::access::Key;
use crate::config::Config;
use crate::failure::Reason;
use crate::protocol::parse_json;
use crate::seal::{MasterKey, MasterKeys};
use crate::store::{Row, provider_keys};

/// A token of RFC 7515, appendix A.3.
const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

const CONFIG: &str = r#"
[store]
url = "sqlite:a.db"
master_key = { env = "MASTER" }
previous_master_key = { env = "PREVIOUS" }

[providers.open]
protocol = "openai"
base_url = "http://open/v1"

[providers.own]
protocol = "openai"
base_url = "https://own.example/v1"
api_key = { user = true }

[providers.counts]
protocol = "anthropic"
base_url = "http://counts/v1"

[models]
m.targets = ["open/m"]
counted.targets = ["counts/m"]
mine.targets = ["own/m"]

[plans.metered]
tokens_per_minute = 600
"#;

const CHAT: (&str, &str) = ("POST", "/v1/chat/completions");
const BODY: &[u8] = br#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
const MINE: &[u8] = br#"{"model":"mine","messages":[{"role":"user","content":"hi"}]}"#;

const COUNTED: &[u8] = br#"{"model":"counted","messages":[{"role":"user","content":"hi"}]}"#;

/// Where a request can stand.
#[derive(Clone, Copy, Debug)]
enum Stage {
    LookingUpKey,
    FetchingKeySet,
    ReadingChat,
    ReadingKey,
    LoadingKeys,
    StoringKey,
    AskingQuota,
    Answering,
    Counting,
    Over,
}

const STAGES: [Stage; 10] = [
    Stage::LookingUpKey,
    Stage::FetchingKeySet,
    Stage::ReadingChat,
    Stage::ReadingKey,
    Stage::LoadingKeys,
    Stage::StoringKey,
    Stage::AskingQuota,
    Stage::Answering,
    Stage::Counting,
    Stage::Over,
];

/// A request, and what it wants done, in words.
struct Run {
    request: Request,
    outputs: String,
    /// The response's body.
    body: Vec<u8>,
    attempt: Option<AttemptId>,
}

impl Run {
    fn new(auth: &str, (method, path): (&str, &str), secret: &str) -> Self {
        let env = |name: &str| match name {
            "MASTER" => Some("1".repeat(64)),
            "PREVIOUS" => Some("0".repeat(64)),
            _ => None,
        };
        let config = Config::parse(&format!("{CONFIG}{auth}"), env).unwrap();
        Self::of(&Gateway::new(config), (method, path), secret)
    }

    fn of(gateway: &Gateway, (method, path): (&str, &str), secret: &str) -> Self {
        let bearer = format!("Bearer {secret}");
        let header = |name: &str| (name == "authorization").then(|| bearer.clone());
        let head = RequestHead { method, path, query: "", header: &header };
        let unix_now = Duration::from_secs(1_750_000_000);
        let arrival = Arrival { now: Instant::ZERO, unix_now, random: [7; RANDOM_BYTES] };
        let request = Request::new(gateway, &head, &arrival);
        let mut run = Self { request, outputs: String::new(), body: Vec::new(), attempt: None };
        run.drain();
        run
    }

    /// A request that stands at this stage.
    fn at(stage: Stage) -> Self {
        let ada = Key::new([1; 32]);
        match stage {
            Stage::LookingUpKey => Self::new("[auth]\n", CHAT, ada.reveal()),
            Stage::FetchingKeySet => {
                let jwt = "[auth.jwt]\njwks_url = \"https://id.example/keys\"\n";
                Self::new(jwt, CHAT, TOKEN)
            }
            Stage::ReadingChat => Self::new("", CHAT, ""),
            Stage::ReadingKey => Self::new("", ("PUT", "/v1/provider-keys/own"), ""),
            Stage::LoadingKeys => Self::at(Stage::ReadingChat).after(0, Input::Body(MINE)),
            Stage::StoringKey => Self::new("", ("GET", "/v1/provider-keys/own"), ""),
            Stage::AskingQuota => {
                let digest = ada.digest();
                let auth = format!(
                    "[auth]\nkeys = [{{ sha256 = \"{digest}\", user = \"ada\", plan = \"metered\" }}]\n"
                );
                Self::new(&auth, CHAT, ada.reveal()).after(0, Input::Body(BODY))
            }
            Stage::Answering => Self::at(Stage::ReadingChat).after(0, Input::Body(BODY)),
            Stage::Counting => Self::new("", ("POST", "/v1/messages/count_tokens"), "")
                .after(0, Input::Body(COUNTED)),
            Stage::Over => Self::new("", ("GET", "/healthz"), ""),
        }
    }

    /// The same, after something happened.
    fn after(mut self, ms: u64, input: Input<'_>) -> Self {
        self.outputs.clear();
        self.request.handle(Instant::from_millis(ms), input);
        self.drain();
        self
    }

    fn drain(&mut self) {
        loop {
            let words = match self.request.poll() {
                Output::ReadBody { .. } => "read body".to_owned(),
                Output::Query(statements) => format!("query {}", table(&statements)),
                Output::Fetch { url, .. } => format!("fetch {url}"),
                Output::Quota { user, op } => format!("quota {user} {:?}", op.act),
                Output::Call(call) => {
                    self.attempt = Some(call.attempt);
                    format!("call {}", call.target)
                }
                Output::Cancel { .. } => "cancel".to_owned(),
                Output::Release { .. } => "release".to_owned(),
                Output::Head(head) => format!("head {}", head.status),
                Output::Body(bytes) => {
                    self.body.extend_from_slice(bytes);
                    "body".to_owned()
                }
                Output::Keep(statements) => format!("keep {}", table(&statements)),
                Output::Log(record) => format!("log {} {}", record.level.as_str(), record.message),
                Output::Done => "done".to_owned(),
                Output::Wait { until: Some((at, Timer::Answer(_))) } if at > Instant::ZERO => {
                    return;
                }
                Output::Wait { until: Some((at, timer)) } => {
                    self.outputs += &format!("{timer:?} {}", at.as_micros() / 1000);
                    return;
                }
                Output::Wait { until: None } => return,
            };
            self.outputs += &format!("{words}; ");
        }
    }

    #[track_caller]
    fn check(self, stage: impl std::fmt::Debug, expected: &str) -> Self {
        assert_eq!(self.outputs.trim(), expected, "{stage:?}");
        self
    }

    /// The code of the error that the body is.
    fn code(&self) -> String {
        let body: serde_json::Value = parse_json(&self.body).unwrap();
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

fn table(statements: &[Statement]) -> &'static str {
    let tables = ["api_keys", "provider_keys", "learned_limits"];
    let sql = statements.last().map_or("", |statement| statement.sql);
    tables.into_iter().find(|table| sql.contains(table)).unwrap_or("nothing")
}

#[test]
fn every_stage_awaits_one_thing_and_has_a_deadline() {
    for (stage, expected) in [
        (Stage::LookingUpKey, "query api_keys; Store 5000"),
        (Stage::FetchingKeySet, "fetch https://id.example/keys; KeySet 5000"),
        (Stage::ReadingChat, "read body; Body 30000"),
        (Stage::ReadingKey, "read body; Body 30000"),
        (Stage::LoadingKeys, "query provider_keys; Store 5000"),
        (Stage::StoringKey, "query provider_keys; Store 5000"),
        (Stage::AskingQuota, "quota ada Begin(5); Quota 2000"),
        (Stage::Answering, "call open/m;"),
        (Stage::Counting, "call counts/m; Count 10000"),
        (Stage::Over, "head 200; body; done;"),
    ] {
        Run::at(stage).check(stage, expected);
    }
}

#[test]
fn a_deadline_ends_its_stage_and_what_comes_later_is_ignored() {
    for (stage, due, expected, code) in [
        (
            Stage::LookingUpKey,
            5000,
            "log ERROR keys cannot be looked up; head 503; body; log WARN answer; done;",
            "auth_unavailable",
        ),
        (
            Stage::FetchingKeySet,
            5000,
            "log WARN no new keys for tokens; head 503; body; log WARN answer; done;",
            "auth_unavailable",
        ),
        (Stage::ReadingChat, 30_000, "head 408; body; log WARN answer; done;", "request_timeout"),
        (Stage::ReadingKey, 30_000, "head 408; body; done;", "request_timeout"),
        (Stage::LoadingKeys, 5000, "head 503; body; log WARN answer; done;", "store_unavailable"),
        (Stage::StoringKey, 5000, "head 503; body; done;", "store_unavailable"),
    ] {
        let waiting = Run::at(stage).after(due - 1, Input::Tick);
        assert!(waiting.outputs.ends_with(&format!(" {due}")), "{stage:?}: {}", waiting.outputs);
        let mut run = waiting.after(due, Input::Tick).check(stage, expected);
        assert_eq!(run.code(), code, "{stage:?}");
        for input in late() {
            run = run.after(due + 1, input).check(stage, "");
        }
    }
}

#[test]
fn a_count_that_does_not_come_is_estimated() {
    let late = Run::at(Stage::Counting).after(10_000, Input::Tick);
    let attempt = late.attempt.unwrap();
    let late = late.check("late", "cancel; head 200; body; done;");
    assert!(String::from_utf8_lossy(&late.body).contains(r#""estimated":true"#));
    late.after(10_001, Input::End { attempt }).check("after that", "");
}

/// An answer that cannot be counted is given all the same; the quota's answer then changes nothing.
#[test]
fn a_quota_that_cannot_be_asked_stops_nobody() {
    let begins = "log WARN quota not asked; call open/m;";
    Run::at(Stage::AskingQuota)
        .after(0, Input::Quota(Err("unreachable".into())))
        .check("unreachable", begins);
    let denied = || Input::Quota(Ok(Err(denial())));
    Run::at(Stage::AskingQuota)
        .after(2000, Input::Tick)
        .check("late", begins)
        .after(2001, denied())
        .check("denied late", "");
    let expected = "head 429; body; log WARN answer; done;";
    Run::at(Stage::AskingQuota).after(0, denied()).check("denied", expected);
}

fn denial() -> Denial {
    serde_json::from_str(r#"{"quota": "Tokens", "retry_after_us": 1000000}"#).unwrap()
}

/// What may come of what a request asked for before.
fn late() -> Vec<Input<'static>> {
    vec![
        Input::Rows(Ok(vec![vec![]])),
        Input::Fetched(Ok(b"{}")),
        Input::Fetched(Err("unreachable")),
        Input::Body(BODY),
        Input::BodyFailed(BodyFailure::TooLarge),
        Input::Quota(Ok(Ok(()))),
        Input::Pause,
        Input::Resume,
        Input::Tick,
    ]
}

#[test]
fn the_client_can_leave_at_any_time() {
    for stage in STAGES {
        let expected = match stage {
            Stage::Over => "",
            Stage::AskingQuota => "quota ada End(-5); log INFO answer; done;",
            Stage::Answering => "cancel; log INFO answer; done;",
            Stage::Counting => "cancel; done;",
            Stage::LookingUpKey
            | Stage::FetchingKeySet
            | Stage::ReadingChat
            | Stage::ReadingKey
            | Stage::LoadingKeys
            | Stage::StoringKey => "done;",
        };
        let mut run = Run::at(stage).after(1, Input::Hangup).check(stage, expected);
        for input in late().into_iter().chain([Input::Hangup]) {
            run = run.after(2, input).check(stage, "");
        }
    }
}

#[test]
fn what_a_stage_did_not_ask_for_is_ignored() {
    for stage in STAGES {
        let due = Run::at(stage).outputs;
        let due = due.rsplit("; ").next().unwrap_or_default().trim();
        let due = if due.ends_with(';') { "" } else { due };
        for input in late() {
            let awaited = match (stage, &input) {
                (Stage::LookingUpKey | Stage::LoadingKeys | Stage::StoringKey, input) => {
                    matches!(input, Input::Rows(_))
                }
                (Stage::FetchingKeySet, input) => matches!(input, Input::Fetched(_)),
                (Stage::ReadingChat | Stage::ReadingKey, input) => {
                    matches!(input, Input::Body(_) | Input::BodyFailed(_))
                }
                (Stage::AskingQuota, input) => matches!(input, Input::Quota(_)),
                (Stage::Answering | Stage::Counting | Stage::Over, _) => false,
            };
            if !awaited {
                let name = format!("{stage:?} {input:?}");
                Run::at(stage).after(1, input).check(name, due);
            }
        }
    }
}

#[test]
fn a_body_that_cannot_be_read_is_refused_in_the_clients_protocol() {
    for (failure, status, code) in [
        (BodyFailure::TooLarge, 413, "body_too_large"),
        (BodyFailure::Broken("reset".into()), 400, "invalid_request"),
    ] {
        let answered = format!("head {status}; body; log WARN answer; done;");
        let chat = Run::at(Stage::ReadingChat).after(1, Input::BodyFailed(failure.clone()));
        assert_eq!(chat.check("chat", &answered).code(), code);
        let key = Run::at(Stage::ReadingKey).after(1, Input::BodyFailed(failure));
        assert_eq!(key.check("key", &format!("head {status}; body; done;")).code(), code);
    }
    let anthropic = Run::new("", ("POST", "/v1/messages"), "").after(1, Input::Body(b"["));
    let body: serde_json::Value = parse_json(&anthropic.body).unwrap();
    assert_eq!(
        (&body["type"], body["error"]["type"].as_str()),
        (&"error".into(), Some("invalid_request_error"))
    );
}

#[test]
fn a_store_that_fails_is_named_and_nothing_else_is_used_in_place_of_a_users_key() {
    for (reason, status, code) in [
        (Reason::StoreMissing, 501, "store_not_configured"),
        (Reason::StoreUnavailable, 503, "store_unavailable"),
        (Reason::StoreFailed, 500, "store_failed"),
    ] {
        let failed = || Input::Rows(Err(reason.into()));
        let run = Run::at(Stage::StoringKey).after(1, failed());
        assert_eq!(run.check(reason, &format!("head {status}; body; done;")).code(), code);
        let run = Run::at(Stage::LoadingKeys).after(1, failed());
        let expected = format!("head {status}; body; log WARN answer; done;");
        assert_eq!(run.check(reason, &expected).code(), code);
        let run = Run::at(Stage::LookingUpKey).after(1, failed());
        assert_eq!(run.code(), "auth_unavailable");
    }
}

#[test]
fn a_key_set_that_does_not_come_lets_nobody_in() {
    for body in [Err("unreachable"), Ok(b"<html>".as_slice())] {
        let run = Run::at(Stage::FetchingKeySet).after(1, Input::Fetched(body));
        let expected = "log WARN no new keys for tokens; head 503; body; log WARN answer; done;";
        assert_eq!(run.check("chat", expected).code(), "auth_unavailable");
    }
}

#[test]
fn nobody_unknown_reads_the_models_or_has_a_body_read() {
    for (at, expected) in [
        (CHAT, "head 401; body; log WARN answer; done;"),
        (("GET", "/v1/models"), "head 401; body; done;"),
        (("PUT", "/v1/provider-keys/own"), "head 401; body; done;"),
        (("GET", "/v1/provider-keys/own"), "head 401; body; done;"),
        (("GET", "/healthz"), "head 200; body; done;"),
    ] {
        Run::new("[auth]\n", at, "unknown").check(at, expected);
    }
}

/// The length is that of the body that a `GET` gets; there is none itself.
#[test]
fn a_head_request_gets_a_head() {
    for path in ["/", "/healthz", "/v1/models"] {
        let got = Run::new("", ("GET", path), "").body;
        let gateway = Gateway::new(Config::parse(CONFIG, |_| Some("0".repeat(64))).unwrap());
        let head = RequestHead { method: "HEAD", path, query: "", header: &|_| None };
        let arrival =
            Arrival { now: Instant::ZERO, unix_now: Duration::ZERO, random: [0; RANDOM_BYTES] };
        let mut request = Request::new(&gateway, &head, &arrival);
        let Output::Head(head) = request.poll() else { panic!("no head") };
        let length = head.headers.iter().find(|(name, _)| *name == "content-length").unwrap();
        assert_eq!(length.1, got.len().to_string(), "{path}");
        assert!(matches!(request.poll(), Output::Done), "{path}");
    }
}

#[test]
fn a_key_is_set_with_a_nonce_of_its_own() {
    let body = br#"{"key": "sk-0123456789"}"#;
    let sealed = |random: u8| {
        let gateway = Gateway::new(Config::parse(CONFIG, |_| Some("0".repeat(64))).unwrap());
        let head = RequestHead {
            method: "PUT",
            path: "/v1/provider-keys/own",
            query: "",
            header: &|_| None,
        };
        let random = [random; RANDOM_BYTES];
        let arrival = Arrival { now: Instant::ZERO, unix_now: Duration::ZERO, random };
        let mut request = Request::new(&gateway, &head, &arrival);
        assert!(matches!(request.poll(), Output::ReadBody { .. }));
        request.handle(Instant::ZERO, Input::Body(body));
        let Output::Query(statements) = request.poll() else { panic!("no query") };
        provider_keys::read(&Row(statements[0].parameters.clone())).unwrap().sealed
    };
    assert_ne!(sealed(1), sealed(2));
}

#[test]
fn keys_of_the_previous_master_key_are_kept_anew() {
    let master = MasterKeys::new(MasterKey::parse(&"0".repeat(64)).unwrap(), None);
    let sealed = master.seal("sk-user", &["local", "own", ""], [3; 24]);
    let key = provider_keys::ProviderKey {
        user: "local".into(),
        provider: "own".into(),
        sealed: sealed.text,
        key_id: sealed.key_id,
        base_url: String::new(),
        created: 1,
        updated: 1,
    };
    let rows = vec![vec![Row(provider_keys::upsert(&key).parameters)]];
    Run::at(Stage::LoadingKeys)
        .after(1, Input::Rows(Ok(rows)))
        .check("chat", "keep provider_keys; call own/m;");
}

#[test]
fn what_a_provider_says_of_its_limit_is_kept() {
    let run = Run::at(Stage::Answering);
    let attempt = run.attempt.unwrap();
    let head = relay::Head { status: 400, content_type: "application/json", ..Default::default() };
    let bytes = br#"{"error":{"message":"max_tokens is too large: 8000. This model supports at most 409 completion tokens"}}"#;
    let run = run.after(1, Input::Head { attempt, head });
    let run = run.after(2, Input::Bytes { attempt, bytes }).after(3, Input::End { attempt });
    let run = run.check("asked again", "call open/m;");
    let attempt = run.attempt.unwrap();
    let head = relay::Head { status: 401, content_type: "application/json", ..Default::default() };
    let run = run.after(4, Input::Head { attempt, head }).after(5, Input::End { attempt });
    run.check("kept", "head 502; body; keep learned_limits; log WARN answer; done;");
}

/// What a call still brings after its answer is over, and what another brings.
#[test]
fn calls_that_are_over_are_not_heard() {
    let run = Run::at(Stage::Answering);
    let attempt = run.attempt.unwrap();
    let mut run = run.after(1, Input::Hangup);
    for attempt in [attempt, AttemptId::for_test(9)] {
        run = run.after(2, Input::Bytes { attempt, bytes: b"data: x\n\n" }).check("bytes", "");
        run = run.after(2, Input::End { attempt }).check("end", "");
        let failure = Reason::Lost.into();
        run = run.after(2, Input::Lost { attempt, failure }).check("lost", "");
    }
}
