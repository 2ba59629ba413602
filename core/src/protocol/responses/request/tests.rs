use super::*;

fn parse(body: &str) -> ChatRequest {
    parse_request(body.as_bytes()).unwrap()
}

/// Each row: a body, what the error must say, and the field it names.
#[test]
fn a_wrong_field_is_named() {
    let rows: &[(&str, &str, Option<&str>)] = &[
        ("{", "not valid JSON", None),
        ("[]", "expected", None),
        ("{}", "a text, or a list", Some("input")),
        (r#"{"input":[]}"#, "at least one", Some("input")),
        (r#"{"input":7}"#, "a string or a list", Some("input")),
        (r#"{"input":["hi"]}"#, "expected", Some("input[0]")),
        (r#"{"input":[{"role":"robot","content":""}]}"#, "robot", Some("input[0].role")),
        (r#"{"input":[{"role":"user"}]}"#, "content", Some("input[0]")),
        (
            r#"{"input":[{"role":"user","content":5}]}"#,
            "a string or a list",
            Some("input[0].content"),
        ),
        (
            r#"{"input":[{"role":"user","content":"a"},{"role":"user","content":[{"text":"x"}]}]}"#,
            "type",
            Some("input[1].content[0]"),
        ),
        (r#"{"input":[{"type":"function_call","name":"f"}]}"#, "call_id", Some("input[0]")),
        (
            r#"{"input":[{"type":"function_call_output","call_id":"c"}]}"#,
            "output",
            Some("input[0]"),
        ),
        (r#"{"input":"x","instructions":[]}"#, "string", Some("instructions")),
        (r#"{"input":"x","max_output_tokens":0}"#, "nonzero", Some("max_output_tokens")),
        (r#"{"input":"x","max_output_tokens":"9"}"#, "string", Some("max_output_tokens")),
        (r#"{"input":"x","temperature":3}"#, "0 to 2", Some("temperature")),
        (r#"{"input":"x","top_p":-0.1}"#, "0 to 1", Some("top_p")),
        (r#"{"input":"x","stream":"yes"}"#, "boolean", Some("stream")),
        (r#"{"input":"x","background":true}"#, "expected false", Some("background")),
        (r#"{"input":"x","tool_choice":7}"#, "`auto`", Some("tool_choice")),
        (r#"{"input":"x","tools":[{"type":"function"}]}"#, "name", Some("tools[0].name")),
        (r#"{"input":"x","model":7}"#, "string", Some("model")),
    ];
    for (body, named, param) in rows {
        let failure = parse_request(body.as_bytes()).unwrap_err();
        assert_eq!(failure.status(), 400, "{body}");
        assert!(failure.message().contains(named), "{body}: {failure}");
        assert_eq!(failure.param.as_deref(), *param, "{body}: {failure}");
    }
}

#[test]
fn the_instructions_come_first() {
    let request = parse(r#"{"model":"m","instructions":"be brief","input":"hi","stream":true}"#);
    let expected = [Message::text(Role::System, "be brief"), Message::text(Role::User, "hi")];
    assert_eq!(request.messages, expected);
    assert!(request.stream && request.include_usage);
    assert_eq!(request.messages.len(), 2);
    assert_eq!(request.original.unwrap().pieces(&request.messages), None);
}

#[test]
fn items_are_a_conversation() {
    let request = parse(
        r#"{"input":[
        {"role":"developer","content":"d"},
        {"type":"message","role":"user","content":[
            {"type":"input_text","text":"what is this?"},
            {"type":"input_image","image_url":"data:image/png;base64,AAAA","detail":"low"},
            {"type":"input_file","file_id":"file-1","filename":"a.pdf"},
            {"type":"input_hologram"}]},
        {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"E"},
        {"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[
            {"type":"output_text","text":"let me see","annotations":[]}]},
        {"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{}"},
        {"type":"function_call","call_id":"c2","name":"g","arguments":"{}"},
        {"type":"function_call_output","call_id":"c1","output":"4"},
        {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"5"}]},
        {"type":"reasoning","id":"rs_2","summary":[],"encrypted_content":"E"},
        {"type":"web_search_call","id":"ws_1","status":"completed","action":{}},
        {"type":"image_generation_call","result":"AAAA"},
        {"id":"msg_0"}]}"#,
    );
    let call = |id: &str, name: &str| Part::ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: "{}".into(),
    };
    let result = |id: &str, text: &str| Part::ToolResult {
        id: id.into(),
        parts: vec![Part::Text(text.into())],
        is_error: false,
    };
    let image = Media {
        media_type: Some("image/png".into()),
        detail: Some("low".into()),
        ..Media::new(MediaKind::Image, MediaSource::Data("AAAA".into()))
    };
    let file = Media {
        name: Some("a.pdf".into()),
        ..Media::new(MediaKind::File, MediaSource::Id("file-1".into()))
    };
    let message = |role, parts| Message { role, parts };
    let expected = [
        Message::text(Role::Developer, "d"),
        message(
            Role::User,
            vec![
                Part::Text("what is this?".into()),
                Part::Media(image),
                Part::Media(file),
                Part::Other("input_hologram".into()),
            ],
        ),
        message(
            Role::Assistant,
            vec![
                Part::Reasoning { text: "hm".into(), signature: None },
                Part::Text("let me see".into()),
                call("c1", "f"),
                call("c2", "g"),
            ],
        ),
        message(Role::Tool, vec![result("c1", "4"), result("c2", "5")]),
        message(Role::Assistant, vec![Part::Other("item_reference".into())]),
    ];
    assert_eq!(request.messages, expected);
}

/// What is kept at a provider cannot be told to another: it stands in the conversation.
#[test]
fn a_conversation_kept_elsewhere_is_not_forgotten() {
    for field in ["previous_response_id", "conversation", "prompt"] {
        let request = parse(&format!(r#"{{"{field}":"x","input":[]}}"#));
        assert_eq!(request.messages[0].parts, [Part::Other(field.into())]);
        assert_eq!(request.messages.len(), 1);
        assert_eq!(parse(&format!(r#"{{"{field}":null,"input":"x"}}"#)).messages.len(), 1);
    }
}

#[test]
fn who_refers_to_what_is_unknown_reads_what_to_do() {
    for name in ["previous_response_id", "item_reference"] {
        let failure = crate::protocol::unsupported(&Part::Other(name.into()), "openai");
        assert!(failure.message().contains("Send the whole conversation in `input`"), "{failure}");
        assert_eq!((failure.param.as_deref(), failure.status()), (Some(name), 400));
    }
}

#[test]
fn the_rest_has_its_words() {
    let request = parse(
        r#"{"input":"x","max_output_tokens":9,"temperature":0.5,"top_p":0.9,"parallel_tool_calls":false,
        "tools":[{"type":"function","name":"f","description":"d","parameters":{},"strict":true},
            {"type":"web_search"},{"type":"custom","name":"c"}],
        "tool_choice":{"type":"function","name":"f"},"reasoning":{"effort":"low","summary":"auto"},
        "text":{"verbosity":"low","format":{"type":"json_schema","name":"n","schema":{},"strict":true}}}"#,
    );
    assert_eq!(request.max_output_tokens, Some(9));
    assert_eq!((request.sampling.temperature, request.sampling.top_p), (Some(0.5), Some(0.9)));
    let names: Vec<_> = request.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["f", "c"]);
    assert_eq!(request.tool_choice, Some(ToolChoice::Tool("f".into())));
    assert_eq!(request.parallel_tool_calls, Some(false));
    assert_eq!(request.effort, Some(crate::chat::Effort::Low));
    assert!(matches!(request.format, Some(Format::Schema { name, .. }) if name == "n"));
    let hosted = parse(
        r#"{"input":"x","tool_choice":{"type":"web_search"},"text":{"format":{"type":"text"}}}"#,
    );
    assert_eq!((hosted.tool_choice, hosted.format), (None, None));
}

/// A text is the only argument of a custom tool; for other models it is a function's.
#[test]
fn custom_tools_are_functions_of_one_text() {
    let request = parse(
        r#"{"tools":[{"type":"custom","name":"apply_patch","description":"Patches.",
            "format":{"type":"grammar","syntax":"lark","definition":"start: /.+/"}},
            {"type":"custom","name":"say","format":{"type":"text"}}],
        "tool_choice":{"type":"custom","name":"say"},
        "input":[{"type":"additional_tools","role":"developer","tools":[]},
            {"role":"user","content":"hi"},
            {"type":"custom_tool_call","id":"ctc_1","call_id":"c1","name":"apply_patch","input":"a \"b\""},
            {"type":"custom_tool_call_output","call_id":"c1","output":"ok"}]}"#,
    );
    let [patch, say] = request.tools.as_slice() else { panic!("{:?}", request.tools) };
    let description = patch.description.as_deref().unwrap();
    assert!(description.starts_with("Patches.\n") && description.ends_with("start: /.+/"));
    assert_eq!(say.description, None);
    let forms: Vec<_> = request.tool_forms.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(forms, ["apply_patch", "say"]);
    assert_eq!(patch.parameters.as_ref().unwrap()["properties"]["input"]["type"], "string");
    assert_eq!(request.tool_choice, Some(ToolChoice::Tool("say".into())));
    let roles: Vec<_> = request.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool]);
    let arguments = r#"{"input":"a \"b\""}"#.to_owned();
    let (id, name) = ("c1".into(), "apply_patch".into());
    assert_eq!(request.messages[1].parts, [Part::ToolCall { id, name, arguments }]);
}
