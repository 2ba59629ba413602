use super::*;
use crate::chat::{ChatRequest, Message, Part, Role, Sampling, Tool, ToolChoice};
use crate::config::Config;
use crate::protocol::{ClientProtocol, HttpRequest, ProviderRequest};
use crate::target::{Continuation, Provider, ProviderProtocol};
use std::sync::Arc;

fn config(provider: &str) -> Config {
    let text = format!(
        "[providers.p]\nprotocol = \"openai\"\napi_key = {{ env = \"K\" }}\n{provider}\n\
         [models.m]\ntargets = [\"p/there\"]"
    );
    Config::parse(&text, |_| Some("k".into())).unwrap()
}

fn provider(keys: &str) -> Arc<Provider> {
    config(keys).providers["p"].clone()
}

fn call(name: &str, request: &ChatRequest, client: ClientProtocol) -> HttpRequest {
    let keys = format!("base_url = \"http://p\"\ndialect = \"{name}\"");
    let target = config(&keys).models["m"].targets[0].clone();
    let ask = ProviderRequest {
        refused: Default::default(),
        target: &target,
        request,
        client,
        stream: true,
        max_output: Some(50),
    };
    ProviderProtocol::OpenAi.http_request(&ask).unwrap()
}

/// Says all in which dialects differ, and ends with the beginning of an answer.
fn request() -> ChatRequest {
    let thought = Part::Reasoning { text: "hm".into(), signature: None };
    let tool_call =
        Part::ToolCall { id: "call_1".into(), name: "f".into(), arguments: "{}".into() };
    let result = Part::ToolResult {
        id: "call_1".into(),
        parts: vec![Part::Text("4".into())],
        is_error: false,
    };
    let said = Part::Text("so".into());
    ChatRequest {
        messages: vec![
            Message::text(Role::Developer, "be brief"),
            Message::text(Role::User, "x"),
            Message { role: Role::Assistant, parts: vec![thought, said, tool_call] },
            Message { role: Role::Tool, parts: vec![result] },
            Message::text(Role::Assistant, "Once"),
        ],
        sampling: Sampling {
            top_k: Some(40),
            seed: Some(5),
            presence_penalty: Some(0.5),
            ..Sampling::default()
        },
        effort: Some(Effort::Minimal),
        tools: vec![Tool { name: "f".into(), description: None, parameters: None, strict: None }],
        tool_choice: Some(ToolChoice::Required),
        ..ChatRequest::default()
    }
}

/// Each row: a dialect, and what its own is in the call: a place in the body, and what is there.
#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn each_row_shows_in_the_call() {
    const LIMIT: &str = "/max_tokens";
    const NEW_LIMIT: &str = "/max_completion_tokens";
    const FIELD: &str = "/messages/2/reasoning_content";
    const NEW_FIELD: &str = "/messages/2/reasoning";
    const ROLE: &str = "/messages/0/role";
    const PREFIX: &str = "/messages/4/prefix";
    const EFFORT: &str = "/reasoning_effort";
    let none = || Value::Null;
    let rows: &[(&str, &[(&str, Value)])] = &[
        (
            "compatible",
            &[
                (LIMIT, json!(50)),
                ("/stream_options", json!({"include_usage": true})),
                (ROLE, json!("system")),
                (FIELD, json!("hm")),
                (EFFORT, json!("minimal")),
                (PREFIX, none()),
                ("/continue_final_message", none()),
                ("/top_k", none()),
                ("/seed", json!(5)),
                ("/tool_choice", json!("required")),
                ("/messages/2/tool_calls/0/id", json!("call_1")),
                ("/presence_penalty", json!(0.5)),
            ],
        ),
        (
            "openai",
            &[
                (NEW_LIMIT, json!(50)),
                (LIMIT, none()),
                (ROLE, json!("developer")),
                (FIELD, none()),
                ("/messages/2/content", json!("so")),
            ],
        ),
        ("azure", &[(NEW_LIMIT, json!(50)), (ROLE, json!("developer"))]),
        ("groq", &[(NEW_LIMIT, json!(50)), (NEW_FIELD, json!("hm")), (EFFORT, json!("low"))]),
        (
            "deepseek",
            &[
                (LIMIT, json!(50)),
                (FIELD, json!("hm")),
                (PREFIX, none()),
                ("/thinking", json!({"type": "enabled"})),
                (EFFORT, json!("low")),
            ],
        ),
        ("deepseek-beta", &[(PREFIX, json!(true)), ("/messages/2/prefix", none())]),
        (
            "openrouter",
            &[
                ("/stream_options", none()),
                ("/reasoning", json!({"effort": "minimal"})),
                (EFFORT, none()),
                (NEW_FIELD, json!("hm")),
                (PREFIX, none()),
                ("/top_k", json!(40)),
            ],
        ),
        (
            "mistral",
            &[
                (LIMIT, json!(50)),
                ("/stream_options", none()),
                ("/random_seed", json!(5)),
                ("/seed", none()),
                ("/tool_choice", json!("any")),
                (EFFORT, none()),
                (PREFIX, json!(true)),
                (
                    "/messages/2/content",
                    json!([
                        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                        {"type": "text", "text": "so"},
                    ]),
                ),
                ("/messages/2/tool_calls/0/id", json!(short_id("call_1"))),
                ("/messages/3/tool_call_id", json!(short_id("call_1"))),
            ],
        ),
        (
            "vllm",
            &[
                ("/continue_final_message", json!(true)),
                ("/add_generation_prompt", json!(false)),
                (NEW_FIELD, json!("hm")),
                ("/top_k", json!(40)),
            ],
        ),
        (
            "llama-server",
            &[
                ("/continue_final_message", json!(true)),
                ("/add_generation_prompt", json!(false)),
                (FIELD, json!("hm")),
                ("/top_k", json!(40)),
            ],
        ),
        (
            "together",
            &[
                (LIMIT, json!(50)),
                (NEW_FIELD, json!("hm")),
                (EFFORT, json!("low")),
                ("/top_k", json!(40)),
            ],
        ),
        ("fireworks", &[(LIMIT, json!(50)), (EFFORT, json!("low")), ("/top_k", json!(40))]),
        ("xai", &[(NEW_LIMIT, json!(50)), ("/presence_penalty", none()), (FIELD, none())]),
    ];
    let is_tested = |dialect: &Dialect| rows.iter().any(|(name, _)| *name == dialect.name);
    assert!(DIALECTS.iter().all(is_tested), "every dialect has a row here");
    let request = request();
    for (name, places) in rows {
        let body = call(name, &request, ClientProtocol::Token).json();
        for (place, expected) in *places {
            let there = body.pointer(place).unwrap_or(&Value::Null);
            assert_eq!(there, expected, "{name} {place}: {body}");
        }
    }
}

#[test]
fn a_key_goes_where_it_is_read() {
    let key = |name| call(name, &request(), ClientProtocol::Token).headers.pop().unwrap();
    assert_eq!(key("openai"), ("authorization".into(), "Bearer k".into()));
    assert_eq!(key("azure"), ("api-key".into(), "k".into()));
}

/// OpenRouter's way to say who calls.
#[test]
fn an_operators_own_headers_go_along() {
    let keys = "base_url = \"http://p\"\nheaders = { \"HTTP-Referer\" = \"https://x\" }";
    let target = config(keys).models["m"].targets[0].clone();
    let (request, client) = (request(), ClientProtocol::Token);
    let ask = ProviderRequest {
        refused: Default::default(),
        target: &target,
        request: &request,
        client,
        stream: true,
        max_output: None,
    };
    let call = ProviderProtocol::OpenAi.http_request(&ask).unwrap();
    assert_eq!(call.headers.last().unwrap(), &("http-referer".into(), "https://x".into()));
}

/// Each row: a base URL, and the dialect that is spoken there.
#[test]
fn a_dialect_is_known_by_where_it_is_spoken() {
    let rows = [
        ("https://api.openai.com/v1", "openai"),
        ("https://mine.openai.azure.com/openai/v1", "azure"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.deepseek.com", "deepseek"),
        ("https://api.deepseek.com/v1", "deepseek"),
        ("https://api.deepseek.com/beta", "deepseek-beta"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://api.mistral.ai:443/v1", "mistral"),
        ("https://api.together.xyz/v1", "together"),
        ("https://api.fireworks.ai/inference/v1", "fireworks"),
        ("https://api.x.ai/v1", "xai"),
        ("https://notapi.x.ai/v1", "compatible"),
        ("https://api.x.ai.example.com/v1", "compatible"),
        ("http://127.0.0.1:8000/v1", "compatible"),
    ];
    for (base_url, name) in rows {
        let provider = provider(&format!("base_url = \"{base_url}\""));
        assert_eq!(provider.dialect().name, name, "{base_url}");
    }
    assert_eq!(provider("base_url = \"http://p\"\ndialect = \"vllm\"").dialect().name, "vllm");
}

/// Who goes on with an answer that was begun is asked to by default.
#[test]
fn a_dialect_says_how_an_answer_is_continued() {
    for (name, continuation) in [
        ("openai", Continuation::Ask),
        ("compatible", Continuation::Ask),
        ("deepseek", Continuation::Ask),
        ("deepseek-beta", Continuation::Prefill),
        ("mistral", Continuation::Prefill),
        ("openrouter", Continuation::Prefill),
        ("vllm", Continuation::Prefill),
        ("llama-server", Continuation::Prefill),
    ] {
        let keys = format!("base_url = \"http://p\"\ndialect = \"{name}\"");
        assert_eq!(provider(&keys).continuation, continuation, "{name}");
        let asked = format!("{keys}\ncontinuation = \"stop\"");
        assert_eq!(provider(&asked).continuation, Continuation::Stop, "{name}");
    }
}

const CLIENTS: &str = r#"{"messages":[{"role":"user","content":"x","name":"ada"}],"stream":true,
    "max_tokens":99,"logprobs":true,"presence_penalty":0.5,"safe_prompt":true,"user":"u",
    "stream_options":{"include_usage":true}}"#;

/// The client's own body goes as it is, but for what is refused there.
#[test]
fn a_clients_own_body_loses_what_is_refused() {
    let mut request = ClientProtocol::OpenAi.parse_request(CLIENTS.as_bytes()).unwrap();
    let sent =
        |name: &str, request: &ChatRequest| call(name, request, ClientProtocol::OpenAi).json();
    let xai = sent("xai", &request);
    assert_eq!(xai["max_completion_tokens"], 50);
    assert_eq!((xai.get("max_tokens"), xai.get("presence_penalty")), (None, None));
    assert_eq!((&xai["user"], &xai["messages"][0]["name"]), (&json!("u"), &json!("ada")));
    assert_eq!(sent("openrouter", &request).get("stream_options"), None);
    assert_eq!(sent("compatible", &request)["max_tokens"], 50);

    request.messages.push(Message::text(Role::Assistant, "so"));
    assert_eq!(sent("vllm", &request)["continue_final_message"], true);
    assert_eq!(sent("deepseek-beta", &request)["messages"][1]["prefix"], true);
}

/// Each row: a dialect, a client's own effort, and what is sent in its place.
#[test]
fn a_clients_own_effort_is_what_the_dialect_has() {
    let rows = [
        ("compatible", "max", json!({"reasoning_effort": "max"})),
        ("fireworks", "minimal", json!({"reasoning_effort": "low"})),
        ("together", "none", json!({"reasoning": {"enabled": false}})),
        ("deepseek", "none", json!({"thinking": {"type": "disabled"}})),
        ("deepseek", "xhigh", json!({"thinking": {"type": "enabled"}, "reasoning_effort": "max"})),
        ("openrouter", "high", json!({"reasoning": {"effort": "high"}})),
    ];
    for (name, effort, expected) in rows {
        let written = format!(
            r#"{{"messages":[{{"role":"user","content":"x"}}],"reasoning_effort":"{effort}"}}"#
        );
        let request = ClientProtocol::OpenAi.parse_request(written.as_bytes()).unwrap();
        let sent = call(name, &request, ClientProtocol::OpenAi).json();
        for field in ["reasoning_effort", "reasoning", "thinking"] {
            assert_eq!(sent.get(field), expected.get(field), "{name} {effort}");
        }
    }
}

/// Groq and Mistral refuse whatever they do not know, deep in a message too: a name, or a thought in
/// the field where a client got it.
#[test]
fn where_all_else_is_refused_only_what_is_known_goes() {
    let mut request = ClientProtocol::OpenAi.parse_request(CLIENTS.as_bytes()).unwrap();
    assert_eq!(
        call("groq", &request, ClientProtocol::OpenAi).json(),
        json!({
            "model": "there", "stream": true, "max_completion_tokens": 50, "presence_penalty": 0.5,
            "stream_options": {"include_usage": true}, "user": "u",
            "messages": [{"role": "user", "content": "x"}],
        })
    );
    let thought = r#"{"tools":[{"type":"browser_search"}],"messages":[{"role":"user",
        "content":"x"},{"role":"assistant","content":"so","reasoning_content":"hm"},
        {"role":"user","content":"y"}]}"#;
    request = ClientProtocol::OpenAi.parse_request(thought.as_bytes()).unwrap();
    let groq = call("groq", &request, ClientProtocol::OpenAi).json();
    let said = json!({"role": "assistant", "content": "so", "reasoning": "hm"});
    assert_eq!(
        (&groq["messages"][1], &groq["tools"]),
        (&said, &json!([{"type": "browser_search"}]))
    );
    request = ClientProtocol::OpenAi.parse_request(CLIENTS.as_bytes()).unwrap();
    assert_eq!(
        call("mistral", &request, ClientProtocol::OpenAi).json(),
        json!({
            "model": "there", "stream": true, "max_tokens": 50, "presence_penalty": 0.5,
            "safe_prompt": true, "messages": [{"role": "user", "content": "x"}],
        })
    );
}

#[test]
fn effort_is_told_in_each_ones_words() {
    let told = |name: &str, effort| Dialect::named(name).unwrap().effort(effort);
    let off = vec![("thinking", json!({"type": "disabled"}))];
    assert_eq!(told("deepseek", Effort::None), off);
    assert_eq!(told("openrouter", Effort::None), [("reasoning", json!({"enabled": false}))]);
    assert_eq!(told("together", Effort::None), [("reasoning", json!({"enabled": false}))]);
    assert_eq!(told("together", Effort::Minimal), [("reasoning_effort", json!("low"))]);
    let budget = vec![("reasoning", json!({"max_tokens": 9}))];
    assert_eq!(told("openrouter", Effort::Budget(9)), budget);
    assert_eq!(told("openai", Effort::Budget(9)), [("reasoning_effort", json!("low"))]);
}

#[test]
fn an_identifier_is_made_short_where_it_must_be() {
    let mistral = Dialect::named("mistral").unwrap();
    let id = mistral.call_id("call_PTLP8xhu3uwZk4l3nlnrrJha");
    assert_eq!(id.len(), SHORT_ID_BYTES);
    assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    assert_ne!(id, mistral.call_id("call_PTLP8xhu3uwZk4l3nlnrrJhb"));
    assert_eq!(mistral.call_id("D681PevKs"), "D681PevKs");
}

/// Each row: a dialect, a model, and the roles it is sent of two instructions at the front and one
/// before the last question, in a client's own body and in a new one.
#[test]
fn instructions_are_where_a_model_takes_them() {
    const BODY: &str = r#"{"messages":[{"role":"system","content":"A"},
        {"role":"system","content":"B"},{"role":"user","content":"1"},
        {"role":"assistant","content":"x"},{"role":"system","content":"C"},
        {"role":"user","content":"2"}]}"#;
    let anywhere = "system system user assistant system user";
    let first = "system user assistant user";
    for (name, model, expected) in [
        ("openai", "gpt-5", anywhere),
        ("openrouter", "anthropic/claude-sonnet-5", anywhere),
        ("openrouter", "qwen/qwen3.6-27b", first),
        ("groq", "openai/gpt-oss-120b", anywhere),
        ("compatible", "any", first),
        ("vllm", "Qwen/Qwen3.6-27B", first),
        ("llama-server", "any", first),
        ("deepseek", "deepseek-reasoner", first),
        ("mistral", "mistral-large-latest", first),
        ("fireworks", "qwen3p8", first),
    ] {
        let keys = format!("base_url = \"http://p\"\ndialect = \"{name}\"");
        let mut target = (*config(&keys).models["m"].targets[0]).clone();
        target.model = model.into();
        for client in [ClientProtocol::OpenAi, ClientProtocol::Token] {
            let request = &ClientProtocol::OpenAi.parse_request(BODY.as_bytes()).unwrap();
            let ask = ProviderRequest {
                refused: Default::default(),
                target: &target,
                request,
                client,
                stream: true,
                max_output: None,
            };
            let sent = ProviderProtocol::OpenAi.http_request(&ask).unwrap().json();
            let messages = sent["messages"].as_array().unwrap();
            let roles: Vec<_> = messages.iter().map(|it| it["role"].as_str().unwrap()).collect();
            assert_eq!(roles.join(" "), expected, "{name} {model} {client:?}");
            if expected == first {
                assert_eq!(
                    (&messages[0]["content"], &messages[3]["content"]),
                    (&json!("A\n\nB"), &json!("C\n\n2"))
                );
            }
        }
    }
}

/// Mistral refuses a user's message after a result.
#[test]
fn results_are_answered_before_the_user_goes_on() {
    let request = ClientProtocol::OpenAi
        .parse_request(
            br#"{"messages":[{"role":"user","content":"1"},{"role":"assistant","tool_calls":[
            {"id":"D681PevKs","type":"function","function":{"name":"f","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"D681PevKs","content":"4"},
            {"role":"user","content":"2"}]}"#,
        )
        .unwrap();
    let roles = |name: &str| {
        let sent = call(name, &request, ClientProtocol::OpenAi).json();
        let messages = sent["messages"].as_array().unwrap();
        let roles: Vec<_> =
            messages.iter().map(|it| it["role"].as_str().unwrap().to_owned()).collect();
        roles.join(" ")
    };
    assert_eq!(roles("mistral"), "user assistant tool assistant user");
    assert_eq!(roles("compatible"), "user assistant tool user");
}
