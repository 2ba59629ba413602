use super::*;
use crate::answer::Output;
use crate::limit::refusal::Refusal;

fn status(method: &str, path: &str) -> Option<u16> {
    match Gateway::new(Config::embedded()).route(method, path) {
        Route::Chat(_) | Route::ProviderKey { .. } => None,
        Route::Reply(reply) | Route::Private(reply) => Some(reply.status),
    }
}

#[test]
fn every_path_is_known_by_its_method() {
    let rows = [
        ("POST", "/v1/chat/completions", None),
        ("POST", "/v1/responses", None),
        ("POST", "/chat/stream", None),
        ("POST", "/chat/execute/stream", None),
        ("POST", "/chat/execute", None),
        ("POST", "/api/chat", None),
        ("POST", "/api/chat/stream", None),
        ("POST", "/api/ai/chat/stream", None),
        ("POST", "/api/ai/chat", None),
        ("GET", "/v1/models", Some(200)),
        ("GET", "/healthz", Some(200)),
        ("GET", "/", Some(200)),
        ("HEAD", "/", Some(200)),
        ("GET", "/v1/chat/completions", Some(405)),
        ("HEAD", "/chat/stream", Some(405)),
        ("DELETE", "/", Some(405)),
        ("GET", "/nowhere", Some(404)),
        ("PUT", "/v1/provider-keys/openai", None),
        ("GET", "/v1/provider-keys/openai", None),
        ("DELETE", "/v1/provider-keys/openai", None),
        ("POST", "/v1/provider-keys/openai", Some(405)),
        ("GET", "/v1/provider-keys", Some(404)),
        ("POST", "/v1/models/", Some(404)),
    ];
    for (method, path, expected) in rows {
        assert_eq!(status(method, path), expected, "{method} {path}");
    }
}

#[test]
fn a_wrong_method_is_told_the_right_one() {
    let Route::Reply(reply) = Gateway::new(Config::embedded()).route("GET", "/chat/stream") else {
        panic!("no reply")
    };
    assert!(reply.headers.contains(&("allow", "POST".into())));
    assert!(String::from_utf8(reply.body).unwrap().contains("/chat/stream takes POST, not GET"));
}

#[test]
fn models_are_listed_with_the_default_first() {
    let text = "default_model = \"z\"\n[providers.p]\nprotocol = \"openai\"\nbase_url = \"http://p\"\n\
                [models.a]\ntargets = [\"p/a\"]\n[models.z]\ntargets = [\"p/z\"]";
    let gateway = Gateway::new(Config::parse(text, |_| None).unwrap());
    let Route::Private(reply) = gateway.route("GET", "/v1/models") else { panic!("no reply") };
    let list: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(list["data"][0]["id"], "z");
    assert_eq!(list["data"][1]["id"], "a");
    assert_eq!(list["data"][0]["owned_by"], "p");
    assert_eq!((&list["object"], &list["data"][0]["object"]), (&json!("list"), &json!("model")));
    // As Anthropic's SDKs read it.
    assert_eq!((&list["first_id"], &list["last_id"]), (&json!("z"), &json!("a")));
    assert_eq!((&list["has_more"], &list["data"][1]["type"]), (&json!(false), &json!("model")));
}

#[test]
fn a_models_limits_are_listed_with_their_sources() {
    let text = "[providers.openai]\nprotocol = \"openai\"\nbase_url = \"http://p\"\n\
                [models.m]\ntargets = [\"openai/gpt-5\", \"openai/new\"]";
    let gateway = Gateway::new(Config::parse(text, |_| None).unwrap());
    let refusal = Refusal { context_window: Some(8192), source: "vllm", ..Refusal::default() };
    gateway.learned().note("http://p", "new", &refusal, 1_700_000_000);
    let Route::Private(reply) = gateway.route("GET", "/v1/models") else { panic!("no reply") };
    let list: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    let both = "catalogue (both)";
    assert_eq!(
        list["data"][0]["limits"],
        serde_json::json!([
            {
                "target": "openai/gpt-5",
                "max_output_tokens": {"tokens": 128_000, "source": both},
                "context_window": {"tokens": 400_000, "source": both},
                "max_input_tokens": {"tokens": 272_000, "source": both},
            },
            {
                "target": "openai/new",
                "max_output_tokens": {"tokens": 4096, "source": "default"},
                "context_window": {
                    "tokens": 8192, "source": "learned (vllm)", "learned_at": 1_700_000_000,
                },
            },
        ])
    );
}

/// Each row: a provider, and what it is sent of a client's `anthropic-beta: a,b`.
#[test]
fn a_clients_headers_reach_a_provider_of_its_protocol() {
    let rows: [(&str, &[&str]); 3] = [
        ("protocol = \"anthropic\"", &["a,b"]),
        ("protocol = \"anthropic\"\nheaders = { anthropic-beta = \"c\" }", &["c"]),
        ("protocol = \"openai\"", &[]),
    ];
    let body = br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
    let client = Client::asked(ClientProtocol::Anthropic);
    let arrival = Arrival {
        caller: None,
        own_keys: Ok(Vec::new()),
        now: Instant::ZERO,
        unix_seconds: 0,
        random: 0,
        headers: client.headers(|name| (name == "anthropic-beta").then_some("a,b")),
    };
    for (provider, expected) in rows {
        let text = format!(
            "[providers.p]\nbase_url = \"http://p\"\n{provider}\n[models.m]\ntargets = [\"p/m\"]"
        );
        let gateway = Gateway::new(Config::parse(&text, |_| None).unwrap());
        let mut answer = gateway.answer(client, body, &arrival);
        let Output::Call(call) = answer.poll() else { panic!("no call") };
        let sent = call.http().unwrap().headers;
        let sent: Vec<_> = sent.iter().filter(|(name, _)| name == "anthropic-beta").collect();
        assert_eq!(sent.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), expected);
    }
}
