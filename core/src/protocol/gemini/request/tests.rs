use super::*;
use serde_json::json;

fn read_request(body: &Value) -> Result<ChatRequest, Failure> {
    parse_request(body.to_string().as_bytes())
}

fn hi(with: &Value) -> Value {
    let mut body = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    for (name, value) in with.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn text(role: Role, text: &str) -> Message {
    Message::text(role, text)
}

#[test]
fn a_conversation_is_read() {
    let body = json!({
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "contents": [
            {"role": "user", "parts": [
                {"text": "what is this?"},
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                {"fileData": {"mimeType": "audio/mp3", "fileUri": "https://x/y.mp3"}}]},
            {"role": "model", "parts": [
                {"text": "hm", "thought": true, "thoughtSignature": "proof"},
                {"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "proof"},
                {"functionCall": {"id": "own", "name": "g"}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "own", "name": "g", "response": {"output": "5"}}},
                {"functionResponse": {"name": "f", "response": {"error": "no"}}},
                {"text": "go on"}]},
            {"parts": [{"codeExecutionResult": {"outcome": "OUTCOME_OK"}}]},
        ],
    });
    let request = read_request(&body).unwrap();
    let medium = |kind, source, media_type: &str| {
        let media_type = Some(media_type.into());
        Part::Media(Media { media_type, ..Media::new(kind, source) })
    };
    let call = |id: &str, name: &str, arguments: &str| Part::ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: arguments.into(),
    };
    let result = |id: &str, text: &str, is_error| Part::ToolResult {
        id: id.into(),
        parts: vec![Part::Text(text.into())],
        is_error,
    };
    let message = |role, parts| Message { role, parts };
    let image = MediaSource::Data("AAAA".into());
    let sound = MediaSource::Url("https://x/y.mp3".into());
    let expected = [
        text(Role::System, "be brief"),
        message(
            Role::User,
            vec![
                Part::Text("what is this?".into()),
                medium(MediaKind::Image, image, "image/png"),
                medium(MediaKind::Audio, sound, "audio/mp3"),
            ],
        ),
        message(
            Role::Assistant,
            vec![
                Part::Reasoning { text: "hm".into(), signature: None },
                call("call_1_1", "f", r#"{"x":1}"#),
                call("own", "g", ""),
            ],
        ),
        message(Role::Tool, vec![result("own", "5", false), result("call_1_1", "no", true)]),
        text(Role::User, "go on"),
        message(Role::User, vec![Part::Other("codeExecutionResult".into())]),
    ];
    assert_eq!(request.messages, expected);
}

/// What the reference's examples with curl look like.
#[test]
fn names_and_lists_may_be_written_the_other_way() {
    let body = json!({
        "system_instruction": {"parts": {"text": "be brief"}},
        "contents": {"parts": [
            {"text": "hi"}, {"inline_data": {"mime_type": "image/jpeg", "data": "/9j/"}}]},
        "generation_config": {"max_output_tokens": 9, "top_k": 4.0, "stop_sequences": ["x"],
            "response_mime_type": "application/json"},
        "tools": {"function_declarations": [{"name": "f"}]},
        "tool_config": {"function_calling_config":
            {"mode": "any", "allowed_function_names": ["f"]}},
    });
    let request = read_request(&body).unwrap();
    assert_eq!(request.messages[0], text(Role::System, "be brief"));
    assert_eq!(request.messages[1].parts.len(), 2);
    assert_eq!((request.max_output_tokens, request.sampling.top_k), (Some(9), Some(4)));
    assert_eq!(request.stop, ["x"]);
    assert_eq!(request.format, Some(Format::Json));
    assert_eq!(request.tool_choice, Some(ToolChoice::Tool("f".into())));
}

#[test]
fn schemas_are_read_in_either_language() {
    let tools = json!([{"functionDeclarations": [
        {"name": "f", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}},
        {"name": "g", "parametersJsonSchema": {"type": "object"}},
    ]}, {"googleSearch": {}}]);
    let config = json!({"responseMimeType": "application/json",
        "responseSchema": {"title": "place", "type": "OBJECT"}});
    let request = read_request(&hi(&json!({"tools": tools, "generationConfig": config}))).unwrap();
    let parameters: Vec<_> = request.tools.iter().map(|tool| tool.parameters.clone()).collect();
    let object = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    assert_eq!(parameters, [Some(object), Some(json!({"type": "object"}))]);
    let Some(Format::Schema { name, schema, .. }) = request.format else { panic!("no schema") };
    assert_eq!((&*name, schema), ("place", json!({"title": "place", "type": "object"})));
}

/// Each row: how thinking is configured, and what that asks for.
#[test]
fn thinking_is_a_budget_or_a_level() {
    let rows = [
        (json!({"thinkingBudget": 0}), Some(Effort::None)),
        (json!({"thinkingBudget": 1024}), Some(Effort::Budget(1024))),
        (json!({"thinkingBudget": -1}), None),
        (json!({"thinkingLevel": "HIGH"}), Some(Effort::High)),
        (json!({"includeThoughts": true}), None),
    ];
    for (thinking, effort) in rows {
        let body = hi(&json!({"generationConfig": {"thinkingConfig": thinking}}));
        assert_eq!(read_request(&body).unwrap().effort, effort, "{thinking}");
    }
}

#[test]
fn only_allowed_tools_are_offered() {
    let tools = json!([{"functionDeclarations": [{"name": "f"}, {"name": "g"}, {"name": "h"}]}]);
    let offered = |config: Value| {
        let config = json!({"functionCallingConfig": config});
        let request = read_request(&hi(&json!({"tools": tools, "toolConfig": config}))).unwrap();
        (request.tools.len(), request.tool_choice)
    };
    assert_eq!(offered(json!({"mode": "NONE"})), (3, Some(ToolChoice::None)));
    assert_eq!(offered(json!({"mode": "ANY"})), (3, Some(ToolChoice::Required)));
    let two = json!({"mode": "ANY", "allowedFunctionNames": ["f", "g"]});
    assert_eq!(offered(two), (2, Some(ToolChoice::Required)));
    assert_eq!(offered(json!({})), (3, None));
}

/// Each row: a body, and the field that its error names.
#[test]
fn a_wrong_field_is_named() {
    let rows = [
        (json!({}), "contents"),
        (json!({"contents": []}), "contents"),
        (hi(&json!({"generationConfig": {"topK": "x"}})), "generationConfig.topK"),
    ];
    for (body, param) in rows {
        assert_eq!(read_request(&body).unwrap_err().param.as_deref(), Some(param), "{body}");
    }
}
