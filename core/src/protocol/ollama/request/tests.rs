use super::*;
use serde_json::json;

fn chat(body: &Value) -> Result<ChatRequest, Failure> {
    parse_chat(body.to_string().as_bytes())
}

fn generate(body: &Value) -> Result<ChatRequest, Failure> {
    parse_generate(body.to_string().as_bytes())
}

fn hi(with: &Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in with.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn conversation() -> Value {
    json!({
        "model": "m",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "what is this?", "images": ["iVBORw0KGgoAAA", "AAAA"]},
            {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [
                {"function": {"name": "f", "arguments": {"b": 1, "a": 2}}},
                {"id": "own", "function": {"name": "g", "arguments": "{\"x\":1}"}},
                {"function": {"name": "f"}}]},
            {"role": "tool", "content": "5", "tool_name": "g"},
            {"role": "tool", "content": "4", "name": "f"},
            {"role": "tool", "content": "6"},
            {"role": "tool", "content": "7", "tool_call_id": "elsewhere"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d",
            "parameters": {"type": "object"}}}],
        "keep_alive": "5m",
    })
}

#[test]
fn a_conversation_is_read() {
    let request = chat(&conversation()).unwrap();
    let image = |data: &str, media_type: Option<&str>| {
        Part::Media(Media {
            media_type: media_type.map(str::to_owned),
            ..Media::new(MediaKind::Image, MediaSource::Data(data.into()))
        })
    };
    let call = |id: &str, name: &str, arguments: &str| Part::ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: arguments.into(),
    };
    let result = |id: &str, text: &str| {
        let parts = vec![Part::Text(text.into())];
        let result = Part::ToolResult { id: id.into(), parts, is_error: false };
        Message { role: Role::Tool, parts: vec![result] }
    };
    let thought = Part::Reasoning { text: "hm".into(), signature: None };
    let expected = [
        Message::text(Role::System, "be brief"),
        Message {
            role: Role::User,
            parts: vec![
                Part::Text("what is this?".into()),
                image("iVBORw0KGgoAAA", Some("image/png")),
                image("AAAA", None),
            ],
        },
        Message {
            role: Role::Assistant,
            parts: vec![
                thought,
                call("call_2_0", "f", r#"{"b":1,"a":2}"#),
                call("own", "g", r#"{"x":1}"#),
                call("call_2_2", "f", ""),
            ],
        },
        result("own", "5"),
        result("call_2_0", "4"),
        result("call_2_2", "6"),
        result("elsewhere", "7"),
    ];
    assert_eq!(request.messages.len(), expected.len());
    for (read, expected) in request.messages.iter().zip(&expected) {
        match (&read.parts[..], &expected.parts[..]) {
            // serde_json sorts the fields of what it wrote here.
            ([_, Part::ToolCall { arguments, .. }, ..], [..]) => {
                assert_eq!(arguments, r#"{"a":2,"b":1}"#);
            }
            _ => assert_eq!(read, expected),
        }
    }
    assert!(request.stream && request.include_usage);
    assert_eq!(request.model.as_deref(), Some("m"));
    assert_eq!(request.tools[0].description.as_deref(), Some("d"));
    assert!(request.original.is_some());
}

#[test]
fn options_are_read_as_the_numbers_they_are() {
    let options = json!({
        "num_predict": 50.0, "temperature": 0, "top_p": 0.9, "top_k": 40, "seed": -7,
        "presence_penalty": 0.2, "frequency_penalty": 0.1, "stop": ["END"], "num_ctx": 8192,
    });
    let request = chat(&hi(&json!({"options": options, "stream": false}))).unwrap();
    assert_eq!(request.max_output_tokens, Some(50));
    let sampling = Sampling {
        temperature: Some(0.0),
        top_p: Some(0.9),
        top_k: Some(40),
        frequency_penalty: Some(0.1),
        presence_penalty: Some(0.2),
        seed: Some(-7),
    };
    assert_eq!((request.sampling, request.stop), (sampling, vec!["END".to_owned()]));
    assert!(!request.stream);
    for unlimited in [-1, -2, 0] {
        let request = chat(&hi(&json!({"options": {"num_predict": unlimited}}))).unwrap();
        assert_eq!(request.max_output_tokens, None, "{unlimited}");
    }
}

/// Each row: a field, and what it asks for.
#[test]
fn thinking_is_a_switch_or_a_level() {
    let rows = [
        (json!(true), Some(Effort::Medium)),
        (json!(false), Some(Effort::None)),
        (json!("high"), Some(Effort::High)),
        (json!("vivid"), None),
        (json!(null), None),
    ];
    for (think, effort) in rows {
        assert_eq!(chat(&hi(&json!({"think": think}))).unwrap().effort, effort, "{think}");
    }
}

#[test]
fn a_format_is_a_word_or_a_schema() {
    let read = |format: &Value| chat(&hi(&json!({"format": format}))).map(|read| read.format);
    let schema = json!({"title": "place", "type": "object"});
    let named = Format::Schema {
        name: "place".into(),
        description: None,
        schema: schema.clone(),
        strict: None,
    };
    assert_eq!(read(&schema).unwrap(), Some(named));
    assert_eq!(read(&json!("json")).unwrap(), Some(Format::Json));
    for none in [json!(""), json!(null)] {
        assert_eq!(read(&none).unwrap(), None);
    }
    for wrong in [json!("yaml"), json!(7)] {
        assert_eq!(read(&wrong).unwrap_err().param.as_deref(), Some("format"));
    }
}

#[test]
fn a_prompt_is_a_conversation_of_one_message() {
    let body = json!({
        "model": "m", "prompt": "what is this?", "system": "be brief", "images": ["/9j/AAAA"],
        "suffix": "", "raw": false, "context": [], "options": {"num_predict": 7},
    });
    let request = generate(&body).unwrap();
    assert_eq!(request.messages[0], Message::text(Role::System, "be brief"));
    let [Part::Media(image), Part::Text(text)] = &request.messages[1].parts[..] else {
        panic!("{:?}", request.messages)
    };
    assert_eq!(image.media_type.as_deref(), Some("image/jpeg"));
    assert_eq!((&**text, request.max_output_tokens), ("what is this?", Some(7)));
    assert!(request.stream && request.original.is_none());
}

/// Each row: a body of `/api/generate`, and the field that its error names.
#[test]
fn what_would_change_the_prompt_is_refused_by_name() {
    let rows = [
        (json!({"prompt": "a", "suffix": "b"}), "suffix"),
        (json!({"prompt": "a", "template": "b"}), "template"),
        (json!({"prompt": "a", "raw": true}), "raw"),
        (json!({"prompt": "a", "logprobs": true}), "logprobs"),
        (json!({"prompt": "a", "context": [1]}), "context"),
        (json!({"prompt": 7}), "prompt"),
        (json!({"prompt": "a", "options": {"top_k": "b"}}), "options.top_k"),
    ];
    for (body, param) in rows {
        assert_eq!(generate(&body).unwrap_err().param.as_deref(), Some(param), "{body}");
    }
    let wrong = json!({"model": "m", "messages": [{"role": "user", "content": 7}]});
    assert_eq!(chat(&wrong).unwrap_err().param.as_deref(), Some("messages[0].content"));
}

/// Each row: a body without content, and whether it wants the model out of memory.
#[test]
fn what_asks_for_nothing_has_no_messages() {
    let rows = [
        (json!({"model": "m"}), false),
        (json!({"messages": [], "prompt": ""}), false),
        (json!({"messages": null, "prompt": null, "system": "be brief"}), false),
        (json!({"keep_alive": "5m"}), false),
        (json!({"keep_alive": -1}), false),
        (json!({"keep_alive": null}), false),
        (json!({"keep_alive": 0}), true),
        (json!({"keep_alive": "0"}), true),
        (json!({"keep_alive": "0s"}), true),
    ];
    for (body, unloads) in rows {
        assert_eq!(chat(&body).unwrap().messages, [], "{body}");
        assert_eq!(generate(&body).unwrap().messages, [], "{body}");
        assert_eq!(is_unload(body.to_string().as_bytes()), unloads, "{body}");
    }
}

/// Each row: a body of `/api/chat`, and whether it is Ollama's.
#[test]
fn a_body_shows_who_sent_it() {
    let content = json!([{"role": "user", "content": "hi"}]);
    let parts = json!([{"role": "user", "parts": [{"type": "text", "text": "hi"}]}]);
    let rows = [
        (json!({"model": "m", "messages": content}), true),
        (json!({"model": "m"}), true),
        (json!({"model": "m", "messages": null}), true),
        (json!({"model": "m", "messages": parts}), false),
        (json!({"model": "m", "id": "c", "messages": content}), false),
        (json!({"messages": content}), false),
        (json!({"model": 7, "messages": content}), false),
        (json!([]), false),
    ];
    for (body, is_ollamas) in rows {
        assert_eq!(is_chat(body.to_string().as_bytes()), is_ollamas, "{body}");
    }
    assert!(!is_chat(b"{"));
}
