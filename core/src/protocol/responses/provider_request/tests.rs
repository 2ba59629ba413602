use super::super::parse_request;
use super::*;
use crate::config::Config;
use crate::failure::Reason;
use crate::protocol::ClientProtocol;
use crate::target::{ProviderProtocol, Target};
use std::sync::Arc;

const BODY: &str = r#"{"model":"m","instructions":"be brief","input":[
    {"role":"developer","content":"d"},
    {"role":"user","content":[
        {"type":"input_text","text":"what is this?"},
        {"type":"input_image","image_url":"data:image/png;base64,AAAA","detail":"low"},
        {"type":"input_image","image_url":"https://x/y.png","detail":"auto"},
        {"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,AAAA"},
        {"type":"input_file","file_url":"https://x/y.pdf"}]},
    {"role":"assistant","content":"let me see"},
    {"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},
    {"type":"function_call","call_id":"c2","name":"g","arguments":"{\"x\":1}"},
    {"type":"function_call_output","call_id":"c1","output":"4"},
    {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"5"},{"type":"input_text","text":"6"}]},
    {"role":"assistant","content":[{"type":"output_text","text":"a"},{"type":"refusal","refusal":"b"}]}],
    "stream":true,"stream_options":{"include_obfuscation":false},"max_output_tokens":99,
    "temperature":0.7,"top_p":0.9,"parallel_tool_calls":false,"metadata":{"k":"v"},"store":true,
    "tools":[{"type":"function","name":"f","description":"d","strict":true,
        "parameters":{"type":"object","additionalProperties":false}}],
    "tool_choice":{"type":"function","name":"f"},"reasoning":{"effort":"low"},"truncation":"auto",
    "text":{"format":{"type":"json_schema","name":"n","description":"d","strict":true,
        "schema":{"type":"object","additionalProperties":false}}}}"#;

fn target() -> Arc<Target> {
    let text = "[providers.p]\nprotocol = \"responses\"\nbase_url = \"http://p\"\n\
                [models.m]\ntargets = [\"p/there\"]";
    Config::parse(text, |_| None).unwrap().models["m"].targets[0].clone()
}

fn sent(request: &ChatRequest, client: ClientProtocol, stream: bool) -> Vec<u8> {
    let target = target();
    let ask = ProviderRequest {
        refused: Default::default(),
        target: &target,
        request,
        client,
        stream,
        max_output: Some(50),
    };
    let call = http_request(&ask).unwrap();
    assert_eq!(call.url, "http://p/responses");
    call.body
}

fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

/// What its own protocol says reaches a provider as it was said, word by word.
#[test]
fn a_clients_own_body_travels() {
    let request = parse_request(BODY.as_bytes()).unwrap();
    let mut expected = read(BODY.as_bytes());
    expected["model"] = "there".into();
    expected["max_output_tokens"] = 50.into();
    assert_eq!(read(&sent(&request, ClientProtocol::Responses, true)), expected);

    let mut longer = request.clone();
    longer.messages.push(Message::text(Role::Assistant, "so"));
    let so = json!({"type": "message", "role": "assistant", "content": "so"});
    expected["input"].as_array_mut().unwrap().push(so);
    expected["stream"] = false.into();
    expected.as_object_mut().unwrap().remove("stream_options");
    assert_eq!(read(&sent(&longer, ClientProtocol::Responses, false)), expected);
}

/// Each row: how the client wrote its input, and how it reads when a message was added.
#[test]
fn a_message_is_added_to_every_form_of_input() {
    let so = json!({"type": "message", "role": "assistant", "content": "so"});
    let rows = [
        (r#"{"input":"a\nb"}"#, json!([{"role": "user", "content": "a\nb"}, so])),
        (r#"{"input":[ ],"prompt":{"id":"p"}}"#, json!([so])),
        (r#"{"prompt":{"id":"p"}}"#, json!([so])),
    ];
    for (body, expected) in rows {
        let mut request = parse_request(body.as_bytes()).unwrap();
        request.messages.push(Message::text(Role::Assistant, "so"));
        assert_eq!(
            read(&sent(&request, ClientProtocol::Responses, true))["input"],
            expected,
            "{body}"
        );
    }
}

/// A request that came in another protocol reads back as the same request.
#[test]
fn a_translated_request_says_the_same() {
    let mut request = parse_request(BODY.as_bytes()).unwrap();
    let body = sent(&request, ClientProtocol::Token, true);
    assert_eq!(read(&body)["store"], false, "nobody asked to have it kept");
    let mut again = parse_request(&body).unwrap();
    assert_eq!(again.max_output_tokens, Some(50));
    again.max_output_tokens = request.max_output_tokens;
    (again.model, again.original) = (request.model.clone(), None);
    request.original = None;
    assert_eq!(again, request);
}

/// A function is strict in this protocol unless it says otherwise.
#[test]
fn a_function_of_another_protocol_is_not_made_strict() {
    let tool = Tool { name: "f".into(), description: None, parameters: None, strict: None };
    let request = ChatRequest {
        messages: vec![Message::text(Role::System, "only this")],
        tools: vec![tool],
        ..ChatRequest::default()
    };
    let body = read(&sent(&request, ClientProtocol::Token, true));
    assert_eq!(body["tools"][0]["strict"], false);
    assert_eq!(body["input"][0]["role"], "system", "the input is never empty");
}

/// OpenAI refuses a thought that does not come with its own proof.
#[test]
fn a_thought_of_others_is_left_out() {
    let thought = Part::Reasoning { text: "hm".into(), signature: Some("S".into()) };
    let parts = vec![thought, Part::Text("a".into())];
    let messages = vec![Message { role: Role::Assistant, parts }];
    let request = ChatRequest { messages, ..ChatRequest::default() };
    let a = json!([{"type": "message", "role": "assistant", "content": "a"}]);
    assert_eq!(read(&sent(&request, ClientProtocol::Token, true))["input"], a);
}

/// What a provider keeps only that provider can refer to: the others are passed over.
#[test]
fn another_protocol_is_not_asked_without_the_conversation() {
    let body = r#"{"input":"and then?","previous_response_id":"resp_0"}"#;
    let request = parse_request(body.as_bytes()).unwrap();
    let body = read(&sent(&request, ClientProtocol::Responses, true));
    assert_eq!(body["previous_response_id"], "resp_0");
    let text = "[providers.p]\nprotocol = \"openai\"\nbase_url = \"http://p\"\n\
                [models.m]\ntargets = [\"p/there\"]";
    let target = Config::parse(text, |_| None).unwrap().models["m"].targets[0].clone();
    let client = ClientProtocol::Responses;
    let ask = ProviderRequest {
        refused: Default::default(),
        target: &target,
        request: &request,
        client,
        stream: true,
        max_output: None,
    };
    let failure = ProviderProtocol::OpenAi.http_request(&ask).unwrap_err();
    assert_eq!(failure.reason, Reason::Unsupported);
    assert!(failure.message().contains("previous_response_id"), "{failure}");
}

/// Each row: a part, and what the failure names.
#[test]
fn what_cannot_be_told_is_not_dropped() {
    let audio = Media::new(MediaKind::Audio, MediaSource::Data("AAAA".into()));
    let kept = Media::new(MediaKind::File, MediaSource::Id("file-1".into()));
    let rows = [
        (Role::User, Part::Other("hologram".into()), "hologram"),
        (Role::User, Part::Media(audio), "audio"),
        (Role::User, Part::Media(kept), "file"),
        (Role::User, Part::Refusal("no".into()), "refusal"),
    ];
    let target = target();
    let failure = |request: &ChatRequest| {
        let client = ClientProtocol::Token;
        let ask = ProviderRequest {
            refused: Default::default(),
            target: &target,
            request,
            client,
            stream: true,
            max_output: None,
        };
        http_request(&ask).unwrap_err()
    };
    for (role, part, named) in rows {
        let messages = vec![Message { role, parts: vec![part] }];
        let failure = failure(&ChatRequest { messages, ..ChatRequest::default() });
        assert!(failure.message().contains(named), "{failure}");
        assert_eq!(failure.reason, Reason::Unsupported);
    }
}
