use std::sync::Arc;

use super::super::parse_request;
use super::*;
use crate::config::Config;
use crate::protocol::ClientProtocol;
use crate::target::Target;

const BODY: &str = r#"{"model":"m","max_tokens":9000,"stream":true,"temperature":0.5,"stop_sequences":["a"],
    "system":[{"type":"text","text":"be brief","cache_control":{"type":"ephemeral"}},
        {"type":"text","text":"be kind"}],
    "messages":[
        {"role":"user","content":[{"type":"text","text":"look"},
            {"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"AAAA"}},
            {"type":"document","title":"a.pdf",
             "source":{"type":"base64","media_type":"application/pdf","data":"AAAA"}},
            {"type":"image","source":{"type":"url","url":"https://x/y.png"}}]},
        {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},
            {"type":"text","text":"so"},{"type":"tool_use","id":"t","name":"f","input":{"x":1}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"4","is_error":true},
            {"type":"text","text":"go on"}]}],
    "tools":[{"name":"f","description":"d","input_schema":{"type":"object","additionalProperties":false},"strict":true}],
    "tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},
    "output_config":{"format":{"type":"json_schema","schema":{"title":"n"}}},
    "metadata":{"user_id":"u"}}"#;

fn target(model: &str) -> Arc<Target> {
    let text = format!(
        "[providers.p]\nprotocol = \"anthropic\"\nbase_url = \"http://p/v1\"\n\
         api_key = {{ env = \"KEY\" }}\n[models.m]\ntargets = [\"p/{model}\"]"
    );
    let config = Config::parse(&text, |_| Some("sk".into())).unwrap();
    config.models["m"].targets[0].clone()
}

fn sent_to(model: &str, request: &ChatRequest, client: ClientProtocol) -> Result<Value, Failure> {
    let target = target(model);
    let ask = ProviderRequest {
        refused: Default::default(),
        target: &target,
        request,
        client,
        stream: true,
        max_output: Some(5000),
    };
    let call = http_request(&ask)?;
    Ok(call.json())
}

fn sent(request: &ChatRequest, client: ClientProtocol) -> Value {
    sent_to("claude-sonnet-4-5", request, client).unwrap()
}

fn user(text: &str) -> ChatRequest {
    ChatRequest { messages: vec![Message::text(Role::User, text)], ..ChatRequest::default() }
}

#[test]
fn a_call_says_who_asks_and_for_how_long_an_answer() {
    let target = target("claude-sonnet-4-5");
    let request = &user("hi");
    let client = ClientProtocol::OpenAi;
    let call = http_request(&ProviderRequest {
        refused: Default::default(),
        target: &target,
        request,
        client,
        stream: false,
        max_output: None,
    });
    let call = call.unwrap();
    assert_eq!(call.url, "http://p/v1/messages");
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json"),
        ("x-api-key", "sk"),
        ("anthropic-version", "2023-06-01"),
    ];
    assert_eq!(call.headers, headers.map(|(name, value)| (name.into(), value.to_owned())));
    let body = call.json();
    let messages = json!([{"role": "user", "content": "hi"}]);
    let expected = json!({"model": "claude-sonnet-4-5", "max_tokens": 4096, "stream": false,
        "messages": messages});
    assert_eq!(body, expected);
}

/// What its own protocol says reaches a provider as it was said, word by word.
#[test]
fn a_clients_own_body_travels() {
    let request = parse_request(BODY.as_bytes()).unwrap();
    let mut expected: Value = serde_json::from_str(BODY).unwrap();
    expected["model"] = "claude-sonnet-4-5".into();
    expected["max_tokens"] = 5000.into();
    assert_eq!(sent(&request, ClientProtocol::Anthropic), expected);

    let mut longer = request.clone();
    longer.messages.push(Message::text(Role::Assistant, "so"));
    let messages = expected["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": "so"}));
    assert_eq!(sent(&longer, ClientProtocol::Anthropic), expected);
}

/// A request that came in another protocol reads back as the same request.
#[test]
fn a_translated_request_says_the_same() {
    let mut request = parse_request(BODY.as_bytes()).unwrap();
    let body = sent(&request, ClientProtocol::Token).to_string();
    let mut again = parse_request(body.as_bytes()).unwrap();
    assert_eq!(again.max_output_tokens, Some(5000));
    again.max_output_tokens = request.max_output_tokens;
    (again.model, again.original) = (request.model.clone(), None);
    request.original = None;
    assert_eq!(again, request);
}

/// Each row: thoughts in a conversation that came from another provider, and what Anthropic reads.
#[test]
fn thoughts_that_anthropic_did_not_sign_are_taken_out() {
    let body = r#"{"max_tokens":9,"messages":[
        {"role":"assistant","content":[{"type":"thinking","thinking":"only","signature":""}]},
        {"role":"user","content":"hi"},
        {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":""},
            {"type":"text","text":"so","cache_control":{"type":"ephemeral"}}]},
        {"role":"assistant","content":[{"type":"thinking","thinking":"own","signature":"s"}]}]}"#;
    let request = parse_request(body.as_bytes()).unwrap();
    let expected = json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [
            {"type": "text", "text": "so", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "own", "signature": "s"}]},
    ]);
    assert_eq!(sent(&request, ClientProtocol::Anthropic)["messages"], expected);
}

#[test]
fn turns_alternate_and_the_user_is_first() {
    let message = Message::text;
    let call = |id: &str| Part::ToolCall { id: id.into(), name: "f".into(), arguments: "".into() };
    let result = |id: &str| Part::ToolResult { id: id.into(), parts: vec![], is_error: false };
    let request = ChatRequest {
        messages: vec![
            message(Role::System, "one"),
            message(Role::Assistant, "hello"),
            message(Role::User, "do"),
            message(Role::Developer, "two"),
            Message { role: Role::Assistant, parts: vec![call("f.a:0"), call("b")] },
            message(Role::User, "wait"),
            Message { role: Role::Tool, parts: vec![result("f.a:0")] },
            Message { role: Role::Tool, parts: vec![result("b")] },
            message(Role::User, ""),
        ],
        ..ChatRequest::default()
    };
    let body = sent(&request, ClientProtocol::OpenAi);
    assert_eq!(
        body["system"],
        json!([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}])
    );
    let expected = json!([
        {"role": "user", "content": "."},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "do"},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "f_a_0", "name": "f", "input": {}},
            {"type": "tool_use", "id": "b", "name": "f", "input": {}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "f_a_0", "content": []},
            {"type": "tool_result", "tool_use_id": "b", "content": []},
            {"type": "text", "text": "wait"}]},
    ]);
    assert_eq!(body["messages"], expected);

    let only =
        ChatRequest { messages: vec![message(Role::System, "say hi")], ..ChatRequest::default() };
    let body = sent(&only, ClientProtocol::OpenAi);
    assert_eq!(body["messages"], json!([{"role": "user", "content": "say hi"}]));
    assert_eq!(body.get("system"), None);
}

#[test]
fn a_continuation_ends_where_the_answer_broke() {
    let mut request = user("hi");
    request.messages.push(Message::text(Role::Assistant, "Once \n"));
    let last = &sent(&request, ClientProtocol::OpenAi)["messages"][1];
    assert_eq!(*last, json!({"role": "assistant", "content": "Once"}));
    request.messages.push(Message::text(Role::User, "Go on."));
    let messages = &sent(&request, ClientProtocol::OpenAi)["messages"];
    assert_eq!(messages[1]["content"], "Once \n");

    let body = BODY.replace("\"metadata\":", "\"thinking\":{\"type\":\"adaptive\"},\"metadata\":");
    let mut request = parse_request(body.as_bytes()).unwrap();
    request.messages.push(Message::text(Role::Assistant, "Once "));
    let body = sent(&request, ClientProtocol::Anthropic);
    assert_eq!(body.get("thinking"), None);
    assert_eq!(body["messages"][3], json!({"role": "assistant", "content": "Once"}));
}

/// Each row: a model, an effort, and what of thinking, effort and temperature it is sent.
#[test]
fn thinking_is_asked_for_as_the_model_takes_it() {
    let budget = |tokens| json!({"type": "enabled", "budget_tokens": tokens});
    let adaptive = || json!({"type": "adaptive"});
    let (none, word) = (Value::Null, |word: &str| Value::from(word));
    let rows = [
        ("claude-sonnet-4-5", None, none.clone(), none.clone(), 1.0.into()),
        ("claude-sonnet-4-5", Some(Effort::None), none.clone(), none.clone(), 1.0.into()),
        ("claude-sonnet-4-5", Some(Effort::Low), budget(2048), none.clone(), none.clone()),
        ("claude-sonnet-4-5", Some(Effort::High), budget(2500), none.clone(), none.clone()),
        ("claude-sonnet-4-5", Some(Effort::Budget(4999)), budget(4999), none.clone(), none.clone()),
        ("claude-3-haiku-20240307", Some(Effort::High), none.clone(), none.clone(), 1.0.into()),
        ("claude-opus-4-6", Some(Effort::Medium), adaptive(), word("medium"), none.clone()),
        ("claude-opus-4-7", Some(Effort::Budget(30_000)), adaptive(), word("high"), none.clone()),
        ("claude-opus-4-7", None, none.clone(), none.clone(), none.clone()),
        ("kimi-k2", Some(Effort::Minimal), budget(1024), none.clone(), none.clone()),
    ];
    for (model, effort, thinking, word, temperature) in rows {
        let mut request = ChatRequest { effort, ..user("hi") };
        request.sampling.temperature = Some(1.7);
        let body = sent_to(model, &request, ClientProtocol::OpenAi).unwrap();
        assert_eq!(body["thinking"], thinking, "{model} {effort:?}");
        assert_eq!(body["output_config"]["effort"], word, "{model} {effort:?}");
        assert_eq!(body["temperature"], temperature, "{model} {effort:?}");
    }
}

#[test]
fn thinking_is_not_asked_for_where_it_would_be_refused() {
    let thinks =
        |request: &ChatRequest| sent(request, ClientProtocol::OpenAi).get("thinking").is_some();
    let asked = ChatRequest { effort: Some(Effort::Low), ..user("hi") };
    assert!(thinks(&asked));
    let forced = ChatRequest { tool_choice: Some(ToolChoice::Required), ..asked.clone() };
    assert!(!thinks(&forced));
    let mut turn = asked.clone();
    let call = Part::ToolCall { id: "t".into(), name: "f".into(), arguments: "{}".into() };
    turn.messages.push(Message { role: Role::Assistant, parts: vec![call] });
    assert!(!thinks(&turn));
    let signed = Part::Reasoning { text: "hm".into(), signature: Some("s".into()) };
    turn.messages[1].parts.insert(0, signed);
    assert!(thinks(&turn));
    turn.messages[1].parts.remove(0);
    turn.messages.push(Message::text(Role::User, "next"));
    assert!(thinks(&turn));
}

#[test]
fn a_budget_leaves_room_for_the_answer() {
    let body = |tokens: u32| {
        format!(
            r#"{{"max_tokens":9000,"thinking":{{"type":"enabled","budget_tokens":{tokens},"display":"omitted"}},
            "messages":[{{"role":"user","content":"x"}}]}}"#
        )
    };
    let thinking = |tokens, max_output| {
        let request = parse_request(body(tokens).as_bytes()).unwrap();
        let target = target("claude-sonnet-4-5");
        let (client, max_output) = (ClientProtocol::Anthropic, Some(max_output));
        let ask = ProviderRequest {
            refused: Default::default(),
            target: &target,
            request: &request,
            client,
            stream: true,
            max_output,
        };
        let body = http_request(&ask).unwrap().json();
        body["thinking"].clone()
    };
    let as_asked = json!({"type": "enabled", "budget_tokens": 4000, "display": "omitted"});
    assert_eq!(thinking(4000, 5000), as_asked);
    assert_eq!(thinking(4000, 4000), json!({"type": "enabled", "budget_tokens": 2000}));
    assert_eq!(thinking(4000, 2000), Value::Null);
}

#[test]
fn tools_are_chosen_as_asked() {
    let tool = Tool { name: "f".into(), description: None, parameters: None, strict: None };
    let asked = ChatRequest { tools: vec![tool], ..user("hi") };
    let choice = |tool_choice, parallel_tool_calls| {
        let request = ChatRequest { tool_choice, parallel_tool_calls, ..asked.clone() };
        sent(&request, ClientProtocol::OpenAi)["tool_choice"].take()
    };
    assert_eq!(choice(None, None), Value::Null);
    assert_eq!(
        choice(None, Some(false)),
        json!({"type": "auto", "disable_parallel_tool_use": true})
    );
    assert_eq!(choice(Some(ToolChoice::None), Some(false)), json!({"type": "none"}));
    assert_eq!(choice(Some(ToolChoice::Required), Some(true)), json!({"type": "any"}));
    let body = sent(&asked, ClientProtocol::OpenAi);
    let schema = json!({"type": "object", "properties": {}});
    assert_eq!(body["tools"], json!([{"name": "f", "input_schema": schema}]));
}

/// Each row: a part that the protocol has no form for.
#[test]
fn what_cannot_be_told_is_not_dropped() {
    let medium = |kind, source, media_type: &str| {
        let media_type = Some(media_type.to_owned());
        Part::Media(Media { kind, source, media_type, detail: None, name: None })
    };
    let data = || MediaSource::Data("AAAA".into());
    let rows = [
        (Part::Other("hologram".into()), "hologram"),
        (medium(MediaKind::Audio, data(), "audio/wav"), "audio"),
        (medium(MediaKind::File, data(), "text/csv"), "file"),
        (medium(MediaKind::Image, MediaSource::Id("f".into()), "image/png"), "image"),
    ];
    for (part, named) in rows {
        let mut request = user("hi");
        request.messages[0].parts.push(part);
        let failure = sent_to("m", &request, ClientProtocol::OpenAi).unwrap_err();
        assert!(failure.message().contains(named), "{failure}");
    }
}

/// Each row: what stands beside a thought that nobody signed, and was not read with the rest.
#[test]
fn what_was_not_read_before_may_be_wrong() {
    let body = br#"{"max_tokens":9,"messages":[{"role":"user","content":"x","unread":1e999},
        {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":""},
        {"type":"text","text":"so"}]}]}"#;
    let request = parse_request(body).unwrap();
    let sent = sent_to("claude-sonnet-4-5", &request, ClientProtocol::Anthropic);
    assert_eq!(sent.err().and_then(|failure| failure.param).as_deref(), Some("messages"));
}
