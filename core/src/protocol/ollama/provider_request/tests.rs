use super::*;
use crate::chat::Sampling;
use crate::config::Config;
use crate::protocol::ClientProtocol;
use crate::target::Target;
use std::sync::Arc;

fn target() -> Arc<Target> {
    let text = "[providers.p]\nprotocol = \"ollama\"\nbase_url = \"http://p\"\n\
                [models.m]\ntargets = [\"p/llama3.2:3b\"]";
    Config::parse(text, |_| None).unwrap().models["m"].targets[0].clone()
}

fn sent(request: &ChatRequest) -> Result<Value, Failure> {
    let target = target();
    let client = ClientProtocol::OpenAi;
    let ask = ProviderRequest {
        refused: Default::default(),
        target: &target,
        request,
        client,
        stream: true,
        max_output: Some(50),
    };
    let call = http_request(&ask)?;
    assert_eq!(call.url, "http://p/api/chat");
    Ok(call.json())
}

fn media(kind: MediaKind, source: MediaSource) -> Part {
    Part::Media(Media { kind, source, media_type: None, detail: None, name: None })
}

fn tool(name: &str, parameters: Option<Value>) -> Tool {
    Tool { name: name.into(), description: None, parameters, strict: Some(true) }
}

#[test]
fn all_that_can_be_told_is() {
    let call = |id: &str, name: &str, arguments: &str| Part::ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: arguments.into(),
    };
    let result = |id: &str, text: &str| Part::ToolResult {
        id: id.into(),
        parts: vec![Part::Text(text.into())],
        is_error: false,
    };
    let thought = Part::Reasoning { text: "hm".into(), signature: Some("proof".into()) };
    let request = ChatRequest {
        messages: vec![
            Message::text(Role::Developer, "be brief"),
            Message {
                role: Role::User,
                parts: vec![
                    Part::Text("what is ".into()),
                    media(MediaKind::Image, MediaSource::Data("AAAA".into())),
                    Part::Text("this?".into()),
                ],
            },
            Message {
                role: Role::Assistant,
                parts: vec![thought, call("a", "f", ""), call("b", "g", r#"{"x":1}"#)],
            },
            Message { role: Role::Tool, parts: vec![result("a", "4"), result("b", "5")] },
        ],
        sampling: Sampling {
            temperature: Some(0.5),
            top_p: Some(0.9),
            top_k: Some(40),
            frequency_penalty: Some(0.1),
            presence_penalty: Some(0.2),
            seed: Some(-7),
        },
        stop: vec!["END".into()],
        tools: vec![tool("f", None), tool("g", Some(json!({"type": "object"})))],
        format: Some(Format::Json),
        effort: Some(Effort::Budget(5000)),
        ..ChatRequest::default()
    };
    let parameters = json!({"type": "object", "properties": {}});
    assert_eq!(
        sent(&request).unwrap(),
        json!({
            "model": "llama3.2:3b",
            "stream": true,
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "what is this?", "images": ["AAAA"]},
                {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [
                    {"id": "a", "function": {"name": "f", "arguments": {}}},
                    {"id": "b", "function": {"name": "g", "arguments": {"x": 1}}},
                ]},
                {"role": "tool", "content": "4", "tool_call_id": "a", "tool_name": "f"},
                {"role": "tool", "content": "5", "tool_call_id": "b", "tool_name": "g"},
            ],
            "options": {
                "num_predict": 50, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": -7,
                "presence_penalty": 0.2, "frequency_penalty": 0.1, "stop": ["END"],
            },
            "tools": [
                {"type": "function", "function": {"name": "f", "parameters": parameters}},
                {"type": "function", "function": {"name": "g", "parameters": {"type": "object"}}},
            ],
            "format": "json",
            "think": true,
        })
    );
}

#[test]
fn a_tool_that_must_not_be_called_is_not_offered() {
    let offered = |choice| {
        let tools = vec![tool("f", None), tool("g", None)];
        let messages = vec![Message::text(Role::User, "x")];
        let request =
            ChatRequest { messages, tools, tool_choice: choice, ..ChatRequest::default() };
        sent(&request).unwrap()["tools"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(offered(None), 2);
    assert_eq!(offered(Some(ToolChoice::Required)), 2);
    assert_eq!(offered(Some(ToolChoice::Tool("g".into()))), 1);
    assert_eq!(offered(Some(ToolChoice::None)), 0);
}

#[test]
fn thinking_is_a_word_or_off() {
    for (model, effort, expected) in [
        ("gpt-oss:20b", Effort::None, json!(false)),
        ("gpt-oss:20b", Effort::Minimal, json!("low")),
        ("gpt-oss:20b", Effort::Max, json!("high")),
        ("qwen3:8b", Effort::None, json!(false)),
        ("qwen3:8b", Effort::High, json!(true)),
    ] {
        assert_eq!(think(effort, model), expected, "{model} {effort:?}");
    }
}

#[test]
fn what_cannot_be_told_is_not_dropped() {
    for (part, named) in [
        (media(MediaKind::Image, MediaSource::Url("https://x/y.png".into())), "image"),
        (media(MediaKind::Audio, MediaSource::Data("AAAA".into())), "audio"),
        (Part::Other("hologram".into()), "hologram"),
    ] {
        let messages = vec![Message { role: Role::User, parts: vec![part] }];
        let failure = sent(&ChatRequest { messages, ..ChatRequest::default() }).unwrap_err();
        assert!(failure.message().contains(named), "{failure}");
    }
}
