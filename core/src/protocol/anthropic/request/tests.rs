use super::*;

fn read(body: &str) -> ChatRequest {
    parse_request(body.as_bytes()).unwrap()
}

#[test]
fn a_request_is_read() {
    let request = read(
        r#"{"model":"m","max_tokens":99,"stream":true,"temperature":0.5,"top_p":0.9,"top_k":40,
        "stop_sequences":["a","b"],"metadata":{"user_id":"u"},
        "system":[{"type":"text","text":"be brief","cache_control":{"type":"ephemeral"}}],
        "thinking":{"type":"enabled","budget_tokens":2000},
        "output_config":{"format":{"type":"json_schema","schema":{"title":"n"}}},
        "tools":[{"name":"f","description":"d","input_schema":{"type":"object"},"strict":true},
            {"type":"web_search_20250305","name":"web_search","max_uses":5}],
        "tool_choice":{"type":"any","disable_parallel_tool_use":true},
        "messages":[{"role":"user","content":"hi"}]}"#,
    );
    assert_eq!(
        ChatRequest { original: None, ..request.clone() },
        ChatRequest {
            model: Some("m".into()),
            messages: vec![
                Message::text(Role::System, "be brief"),
                Message::text(Role::User, "hi"),
            ],
            stream: true,
            include_usage: true,
            max_output_tokens: Some(99),
            sampling: Sampling {
                temperature: Some(0.5),
                top_p: Some(0.9),
                top_k: Some(40),
                ..Sampling::default()
            },
            stop: vec!["a".into(), "b".into()],
            tools: vec![Tool {
                name: "f".into(),
                description: Some("d".into()),
                parameters: Some(serde_json::json!({"type": "object"})),
                strict: Some(true),
            }],
            tool_choice: Some(ToolChoice::Required),
            parallel_tool_calls: Some(false),
            format: Some(Format::Schema {
                name: "n".into(),
                description: None,
                schema: serde_json::json!({"title": "n"}),
                strict: Some(true),
            }),
            effort: Some(Effort::Budget(2000)),
            ..ChatRequest::default()
        }
    );
    assert_eq!(request.messages.len(), 2);
    assert_eq!(request.original.unwrap().pieces(&request.messages), None);
}

#[test]
fn the_blocks_of_messages_are_read() {
    let request = read(
        r#"{"max_tokens":1,"messages":[
        {"role":"user","content":[{"type":"text","text":"look"},
            {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},
            {"type":"image","source":{"type":"url","url":"https://x/y.png"}},
            {"type":"document","title":"a.pdf","source":{"type":"file","file_id":"f"}},
            {"type":"document","source":{"type":"text","media_type":"text/plain","data":"plain"}},
            {"type":"search_result","source":"https://x","title":"t","content":[]}]},
        {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},
            {"type":"thinking","thinking":"other's","signature":""},
            {"type":"redacted_thinking","data":"x"},
            {"type":"tool_use","id":"t","name":"f","input":{"b": 1.50, "a": 2}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"4"},
            {"type":"tool_result","tool_use_id":"u","is_error":true,
             "content":[{"type":"text","text":"no"}]},
            {"type":"text","text":"go on"}]},
        {"role":"assistant","content":[]}]}"#,
    );
    let medium = |kind, source, media_type: Option<&str>, name: Option<&str>| {
        let (media_type, name) = (media_type.map(Into::into), name.map(Into::into));
        Part::Media(Media { kind, source, media_type, detail: None, name })
    };
    let result = |id: &str, text: &str, is_error| Part::ToolResult {
        id: id.into(),
        parts: vec![Part::Text(text.into())],
        is_error,
    };
    let thought = |text: &str, signature: Option<&str>| Part::Reasoning {
        text: text.into(),
        signature: signature.map(Into::into),
    };
    let (image, file) = (MediaKind::Image, MediaKind::File);
    let expected = [
        Message {
            role: Role::User,
            parts: vec![
                Part::Text("look".into()),
                medium(image, MediaSource::Data("AAAA".into()), Some("image/png"), None),
                medium(image, MediaSource::Url("https://x/y.png".into()), None, None),
                medium(file, MediaSource::Id("f".into()), None, Some("a.pdf")),
                Part::Text("plain".into()),
                Part::Text("t\nhttps://x".into()),
            ],
        },
        Message {
            role: Role::Assistant,
            parts: vec![
                thought("hm", Some("s")),
                thought("other's", None),
                Part::ToolCall {
                    id: "t".into(),
                    name: "f".into(),
                    arguments: r#"{"b": 1.50, "a": 2}"#.into(),
                },
            ],
        },
        Message { role: Role::Tool, parts: vec![result("t", "4", false), result("u", "no", true)] },
        Message::text(Role::User, "go on"),
        Message { role: Role::Assistant, parts: vec![] },
    ];
    assert_eq!(request.messages, expected);
}

/// What Claude Code sends beside texts and calls, as other providers are sent it.
#[test]
fn what_only_anthropic_has_keeps_the_conversation_going() {
    let request = read(
        r#"{"max_tokens":1,"system":[
            {"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.177.01c; cch=36ee5;"},
            {"type":"text","text":"Be brief."}],
        "context_management":{"edits":[]},
        "tools":[{"name":"ToolSearch","input_schema":{}},
            {"name":"Later","input_schema":{},"defer_loading":true},
            {"type":"web_search_20250305","name":"web_search","max_uses":8},
            {"type":"tool_search_tool_regex_20251119","name":"tool_search_tool_regex"}],
        "messages":[
        {"role":"user","content":[{"type":"compaction","content":"Before: hi."}]},
        {"role":"assistant","content":[{"type":"text","text":"Searching."},
            {"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"x"}},
            {"type":"web_search_tool_result","tool_use_id":"s","content":[]},
            {"type":"tool_use","id":"t","name":"ToolSearch","input":{}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"t",
            "content":[{"type":"tool_reference","tool_name":"Later"}]}]}]}"#,
    );
    let names: Vec<_> = request.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["ToolSearch", "Later"]);
    let text = |text: &str| Part::Text(text.into());
    let (id, name, arguments) = ("t".into(), "ToolSearch".into(), "{}".into());
    let result = Part::ToolResult {
        id: "t".into(),
        parts: vec![text("The tool Later is available.")],
        is_error: false,
    };
    let expected = [
        Message::text(Role::System, "Be brief."),
        Message::text(Role::User, "Before: hi."),
        Message {
            role: Role::Assistant,
            parts: vec![text("Searching."), Part::ToolCall { id, name, arguments }],
        },
        Message { role: Role::Tool, parts: vec![result] },
    ];
    assert_eq!(request.messages, expected);
}

/// Each row: how much the model is asked to think, and what that is.
#[test]
fn thinking_is_an_effort() {
    let rows = [
        (r#""stop_sequences":[]"#, None),
        (r#""thinking":{"type":"disabled"}"#, Some(Effort::None)),
        (r#""thinking":{"type":"adaptive"}"#, None),
        (r#""thinking":{"type":"adaptive"},"output_config":{"effort":"max"}"#, Some(Effort::Max)),
        (r#""output_config":{"effort":"low"}"#, Some(Effort::Low)),
        (
            r#""thinking":{"type":"enabled","budget_tokens":1024},"output_config":{"effort":"low"}"#,
            Some(Effort::Budget(1024)),
        ),
    ];
    for (fields, effort) in rows {
        let body =
            format!(r#"{{"max_tokens":9,"messages":[{{"role":"user","content":"x"}}],{fields}}}"#);
        assert_eq!(read(&body).effort, effort, "{fields}");
    }
}

/// Each row: a body, and what the error must name.
#[test]
fn a_wrong_field_is_named() {
    let rows: &[(&str, &str, Option<&str>)] = &[
        ("{", "not valid JSON", None),
        ("[]", "expected", None),
        (r#"{"max_tokens":1}"#, "messages", None),
        (r#"{"max_tokens":1,"messages":[]}"#, "at least one", Some("messages")),
        (r#"{"messages":[{"role":"user","content":"x"}]}"#, "in tokens", Some("max_tokens")),
        (
            r#"{"max_tokens":0,"messages":[{"role":"user","content":"x"}]}"#,
            "nonzero",
            Some("max_tokens"),
        ),
        (
            r#"{"max_tokens":1,"messages":[{"role":"robot","content":"x"}]}"#,
            "robot",
            Some("messages[0].role"),
        ),
        (r#"{"max_tokens":1,"messages":[{"role":"user"}]}"#, "content", Some("messages[0]")),
        (
            r#"{"max_tokens":1,"messages":[{"role":"user","content":5}]}"#,
            "a string or a list",
            Some("messages[0].content"),
        ),
        (
            r#"{"max_tokens":1,"messages":[{"role":"user","content":[{"text":"x"}]}]}"#,
            "missing field `type`",
            Some("messages[0].content[0]"),
        ),
        (
            r#"{"max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","text":5}]}]}"#,
            "messages[0].content[0].text: invalid type: integer",
            Some("messages[0].content[0].text"),
        ),
        (
            r#"{"max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result",
                "tool_use_id":"t","content":[{"type":"image","source":{"type":"url"}}]}]}]}"#,
            "a string",
            Some("messages[0].content[0].content[0].source.url"),
        ),
        (
            r#"{"max_tokens":1,"system":[{"type":"text"}],"messages":[{"role":"user","content":"x"}]}"#,
            "missing field `text`",
            Some("system[0]"),
        ),
        (
            r#"{"max_tokens":1,"temperature":1.5,"messages":[{"role":"user","content":"x"}]}"#,
            "0 to 1",
            Some("temperature"),
        ),
        (
            r#"{"max_tokens":1,"tool_choice":{"type":"tool"},"messages":[{"role":"user","content":"x"}]}"#,
            "the tool's name",
            Some("tool_choice.name"),
        ),
    ];
    for (body, named, param) in rows {
        let failure = parse_request(body.as_bytes()).unwrap_err();
        assert_eq!(failure.status(), 400, "{body}");
        assert!(failure.message().contains(named), "{body}: {failure}");
        assert_eq!(failure.param.as_deref(), *param, "{body}: {failure}");
    }
}
