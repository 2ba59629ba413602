use super::*;
use crate::chat::Effort;
use crate::chat::{MediaKind, Sampling};
use crate::config::Config;
use crate::protocol::ClientProtocol;
use crate::target::Target;
use std::sync::Arc;

fn target(model: &str) -> Arc<Target> {
    let text = format!(
        "[providers.p]\nprotocol = \"gemini\"\nbase_url = \"http://p/v1beta\"\n\
         api_key = {{ env = \"KEY\" }}\n[models.m]\ntargets = [\"p/{model}\"]"
    );
    Config::parse(&text, |_| Some("k".into())).unwrap().models["m"].targets[0].clone()
}

fn call_to(model: &str, request: &ChatRequest, stream: bool) -> Result<HttpRequest, Failure> {
    let target = target(model);
    let client = ClientProtocol::OpenAi;
    http_request(&ProviderRequest {
        refused: Default::default(),
        target: &target,
        request,
        client,
        stream,
        max_output: Some(50),
    })
}

fn sent(model: &str, request: &ChatRequest) -> Result<Value, Failure> {
    Ok(call_to(model, request, true)?.json())
}

fn media(source: MediaSource, media_type: Option<&str>) -> Part {
    let media_type = media_type.map(Into::into);
    Part::Media(Media { kind: MediaKind::Image, source, media_type, detail: None, name: None })
}

fn tool_call(id: &str, name: &str, arguments: &str) -> Part {
    Part::ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }
}

fn result(id: &str, parts: Vec<Part>, is_error: bool) -> Part {
    Part::ToolResult { id: id.into(), parts, is_error }
}

#[test]
fn the_call_goes_to_the_models_method() {
    let request =
        ChatRequest { messages: vec![Message::text(Role::User, "x")], ..ChatRequest::default() };
    let call = call_to("gemini-2.5-flash", &request, true).unwrap();
    assert_eq!(call.url, "http://p/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
    assert!(call.headers.contains(&("x-goog-api-key".into(), "k".into())), "{:?}", call.headers);
    let call = call_to("tunedModels/mine", &request, false).unwrap();
    assert_eq!(call.url, "http://p/v1beta/tunedModels/mine:generateContent");
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn all_that_can_be_told_is() {
    let request = ChatRequest {
        messages: vec![
            Message::text(Role::System, "be brief"),
            Message {
                role: Role::User,
                parts: vec![
                    Part::Text("what is this?".into()),
                    media(MediaSource::Data("AAAA".into()), Some("image/png")),
                    media(MediaSource::Url("https://x/y.JPG?size=1".into()), None),
                    media(MediaSource::Id("https://g/v1beta/files/f".into()), Some("image/webp")),
                ],
            },
            Message {
                role: Role::Assistant,
                parts: vec![
                    Part::Reasoning { text: "hm".into(), signature: Some("foreign".into()) },
                    Part::Text(String::new()),
                    tool_call("a", "f", ""),
                    tool_call("b", "g", r#"{"x":1}"#),
                ],
            },
            Message {
                role: Role::Tool,
                parts: vec![
                    result("a", vec![Part::Text("4".into())], false),
                    result(
                        "b",
                        vec![media(MediaSource::Data("BBBB".into()), Some("image/png"))],
                        true,
                    ),
                ],
            },
            Message::text(Role::User, "go on"),
            Message::text(Role::Developer, "in French"),
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
        tools: vec![Tool {
            name: "f".into(),
            description: Some("d".into()),
            parameters: Some(json!({"type": "object"})),
            strict: Some(true),
        }],
        tool_choice: Some(ToolChoice::Tool("f".into())),
        format: Some(Format::Schema {
            name: "n".into(),
            description: None,
            schema: json!({"type": "object"}),
            strict: None,
        }),
        effort: Some(Effort::Medium),
        ..ChatRequest::default()
    };
    let config = json!({
        "maxOutputTokens": 50, "temperature": 0.5, "topP": 0.9, "topK": 40, "seed": -7,
        "presencePenalty": 0.2, "frequencyPenalty": 0.1, "stopSequences": ["END"],
        "responseMimeType": "application/json", "responseJsonSchema": {"type": "object"},
        "thinkingConfig": {"thinkingBudget": 8192, "includeThoughts": true},
    });
    assert_eq!(
        sent("gemini-2.5-flash", &request).unwrap(),
        json!({
            "systemInstruction": {"parts": [{"text": "be brief"}, {"text": "in French"}]},
            "contents": [
                {"role": "user", "parts": [
                    {"text": "what is this?"},
                    {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                    {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://x/y.JPG?size=1"}},
                    {"fileData": {"mimeType": "image/webp", "fileUri": "https://g/v1beta/files/f"}},
                ]},
                {"role": "model", "parts": [
                    {"text": "hm", "thought": true},
                    {"functionCall": {"id": "a", "name": "f", "args": {}}},
                    {"functionCall": {"id": "b", "name": "g", "args": {"x": 1}}},
                ]},
                {"role": "user", "parts": [
                    {"functionResponse": {"id": "a", "name": "f", "response": {"output": "4"}}},
                    {"functionResponse": {"id": "b", "name": "g", "response": {"error": ""}, "parts": [
                        {"inlineData": {"mimeType": "image/png", "data": "BBBB"}},
                    ]}},
                    {"text": "go on"},
                ]},
            ],
            "generationConfig": config,
            "tools": [{"functionDeclarations": [
                {"name": "f", "description": "d", "parametersJsonSchema": {"type": "object"}},
            ]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        })
    );
}

/// Gemini 3 refuses calls without a signature; earlier ones would refuse what stands for it.
#[test]
fn only_gemini_3_is_given_a_signature() {
    let calls = vec![tool_call("a", "f", "{}"), tool_call("b", "g", "{}")];
    let messages =
        vec![Message::text(Role::User, "x"), Message { role: Role::Assistant, parts: calls }];
    let request = ChatRequest { messages, ..ChatRequest::default() };
    for (model, signed) in [
        ("gemini-2.5-pro", false),
        ("models/gemini-1.5-flash", false),
        ("gemma-3-27b-it", false),
        ("gemini-3-pro-preview", true),
        ("gemini-flash-latest", true),
    ] {
        let body = sent(model, &request).unwrap();
        let parts = &body["contents"][1]["parts"];
        assert_eq!(parts[0].get("thoughtSignature").is_some(), signed, "{model}");
        assert!(parts[1].get("thoughtSignature").is_none(), "{model}");
    }
}

#[test]
fn effort_is_a_budget_or_a_word() {
    let rows = [
        ("gemini-2.5-pro", Effort::None, json!({"thinkingBudget": 128, "includeThoughts": false})),
        ("gemini-2.5-flash", Effort::None, json!({"thinkingBudget": 0, "includeThoughts": false})),
        (
            "models/gemini-2.5-flash-lite",
            Effort::Budget(9),
            json!({"thinkingBudget": 512, "includeThoughts": true}),
        ),
        (
            "gemini-2.5-flash",
            Effort::Budget(30_000),
            json!({"thinkingBudget": 24576, "includeThoughts": true}),
        ),
        ("gemini-2.5-pro", Effort::Low, json!({"thinkingBudget": 1024, "includeThoughts": true})),
        ("gemini-2.5-pro", Effort::High, json!({"thinkingBudget": 24576, "includeThoughts": true})),
        ("gemini-3-pro", Effort::None, json!({"thinkingLevel": "low"})),
        ("gemini-3-pro", Effort::Minimal, json!({"thinkingLevel": "low", "includeThoughts": true})),
        ("gemini-3-pro", Effort::High, json!({"thinkingLevel": "high", "includeThoughts": true})),
        (
            "gemini-3-pro",
            Effort::Budget(9),
            json!({"thinkingLevel": "low", "includeThoughts": true}),
        ),
    ];
    for (model, effort, config) in rows {
        assert_eq!(thinking(effort, model), Some(config), "{model} {effort:?}");
    }
    for model in ["gemini-2.0-flash", "gemini-1.5-pro", "gemma-3-27b-it"] {
        assert_eq!(thinking(Effort::High, model), None, "{model}");
    }
}

#[test]
fn a_seed_has_32_bits() {
    assert_eq!(seed_of_32_bits(-7), -7);
    assert_eq!(seed_of_32_bits(i64::MAX), i64::MAX % i64::from(i32::MAX));
}

#[test]
fn what_cannot_be_told_is_not_dropped() {
    let user = |part| vec![Message { role: Role::User, parts: vec![part] }];
    let unknown = result("nobody", vec![Part::Text("4".into())], false);
    let rows = [
        (user(media(MediaSource::Url("https://x/image".into()), None)), "image"),
        (user(media(MediaSource::Data("AAAA".into()), None)), "image"),
        (user(media(MediaSource::Id("file-1".into()), Some("image/png"))), "image"),
        (user(Part::Other("hologram".into())), "hologram"),
        (vec![Message { role: Role::Tool, parts: vec![unknown] }], "tool result"),
    ];
    for (messages, named) in rows {
        let request = ChatRequest { messages, ..ChatRequest::default() };
        let failure = sent("gemini-2.5-pro", &request).unwrap_err();
        assert!(failure.message().contains(named), "{failure}");
    }
}
