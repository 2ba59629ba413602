//! What a provider is sent of a client's own body whose conversation was edited: all that was not
//! edited is there byte for byte, also what we do not model.

use super::*;
use crate::chat::{Message, Part, Role};
use crate::config::Config;
use crate::target::Upstream;

type Edit = fn(&mut ChatRequest);

const INSERT: Edit = |request| request.insert_before_last(said("I"));
const REPLACE: Edit = |request| {
    request.replace(request.messages.len() - 1, said("R"));
};
const APPEND: Edit = |request| {
    request.append(Message::text(Role::Assistant, "A"));
    request.append(said("B"));
};
const INSTRUCT: Edit = |request| request.insert(0, Message::text(Role::System, "S"));
const REINSTRUCT: Edit = |request| request.replace(0, Message::text(Role::System, "S"));

fn said(text: &str) -> Message {
    Message::text(Role::User, text)
}

/// What is sent of `body` after these edits, but for the fields that every call replaces.
fn sent(client: ClientProtocol, body: &str, edits: &[Edit]) -> String {
    let mut request = client.parse_request(body.as_bytes()).unwrap();
    edits.iter().for_each(|edit| edit(&mut request));
    let text = format!(
        "[providers.p]\nprotocol = \"{}\"\nbase_url = \"http://p\"\n[models.m]\n\
         targets = [\"p/m\"]",
        client.name()
    );
    let target = Config::parse(&text, |_| None).unwrap().models["m"].targets[0].clone();
    let Upstream::Http(protocol) = target.provider.upstream else { panic!("not called by HTTP") };
    let (stream, max_output) = (false, Some(9));
    let ask = ProviderRequest {
        refused: Default::default(),
        target: &target,
        request: &request,
        client,
        stream,
        max_output,
    };
    let call = protocol.http_request(&ask).unwrap();
    // What is read again is the edited conversation, with stretches of one role as one or several.
    let again = client.parse_request(&call.body).unwrap();
    assert_eq!(texts(&again), texts(&request));
    String::from_utf8(call.body).unwrap()
}

fn texts(request: &ChatRequest) -> Vec<&str> {
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    let mut texts: Vec<_> = parts
        .filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    // Instructions may be moved to a field of their own.
    texts.sort_unstable();
    texts
}

#[track_caller]
fn check(
    client: ClientProtocol,
    rows: &[(&[Edit], &str)],
    body: impl Fn(&str) -> String,
    written: &str,
) {
    for (edits, expected) in rows {
        let sent = sent(client, &body(written), edits);
        assert_eq!(sent, body(expected), "{client:?}");
    }
}

const TOOL: &str = r#"{"role":"tool","tool_call_id":"t","content":"4","x":[1.50, 2]}"#;

#[test]
fn of_chat_completions() {
    let first = r#"{ "role":"user", "content":[{"type":"hologram","n":1e3}], "x": {"b":1,"a":2}}"#;
    let last = r#"{"role":"user","content":"q","name":"ada"}"#;
    let user = |text: &str| format!(r#"{{"content":"{text}","role":"user"}}"#);
    let (i, r, b) = (user("I"), user("R"), user("B"));
    let a = r#"{"content":"A","role":"assistant"}"#;
    let s = r#"{"content":"S","role":"system"}"#;
    let rows: &[(&[Edit], String)] = &[
        (&[], format!("[{first}, \n{TOOL},{last}]")),
        (&[INSERT], format!("[{first}, \n{TOOL},{i},{last}]")),
        (&[REPLACE], format!("[{first}, \n{TOOL},{r}]")),
        (&[APPEND], format!("[{first}, \n{TOOL},{last},{a},{b}]")),
        (&[INSTRUCT, INSERT], format!("[{s},{first}, \n{TOOL},{i},{last}]")),
        (&[REPLACE, INSERT, INSERT, APPEND], format!("[{first}, \n{TOOL},{i},{i},{r},{a},{b}]")),
        (&[REINSTRUCT], format!("[{s},{TOOL},{last}]")),
    ];
    let rows: Vec<_> = rows.iter().map(|(edits, list)| (*edits, list.as_str())).collect();
    let body = |messages: &str| {
        format!(
            r#"{{"model":"m","unknown":{{"z":1.0,"a":[ ]}},"messages":{messages},"stream":false,"max_tokens":9}}"#
        )
    };
    check(ClientProtocol::OpenAi, &rows, body, rows[0].1);
}

#[test]
fn of_responses() {
    let thought = r#"{"type":"reasoning","id":"r","summary":[],"encrypted_content":"Zm9v"}"#;
    let call = r#"{"type":"function_call","call_id":"t","name":"f","arguments":"{}","x":1.0}"#;
    let result = r#"{"type":"function_call_output","call_id":"t","output":"4"}"#;
    let last = r#"{"role":"user","content":[{"type":"input_text","text":"q","x":null}]}"#;
    let user = |text: &str| format!(r#"{{"content":"{text}","role":"user","type":"message"}}"#);
    let (i, r, b) = (user("I"), user("R"), user("B"));
    let a = r#"{"content":"A","role":"assistant","type":"message"}"#;
    let s = r#"{"content":"S","role":"system","type":"message"}"#;
    let made = format!("{thought}, {call},{result}");
    let rows: &[(&[Edit], String)] = &[
        (&[], format!("[{made},{last}]")),
        (&[INSERT], format!("[{made},{i},{last}]")),
        (&[REPLACE], format!("[{made},{r}]")),
        (&[APPEND], format!("[{made},{last},{a},{b}]")),
        (&[INSTRUCT, REPLACE, INSERT], format!("[{s},{made},{i},{r}]")),
        (
            &[|request| request.insert(2, said("I"))],
            format!("[{thought}, {call},{i},{result},{last}]"),
        ),
    ];
    let rows: Vec<_> = rows.iter().map(|(edits, list)| (*edits, list.as_str())).collect();
    let body = |input: &str| {
        format!(
            r#"{{"model":"m","unknown":[1.0],"instructions":"be\u0020kind","input":{input},"stream":false,"max_output_tokens":9}}"#
        )
    };
    check(ClientProtocol::Responses, &rows, body, rows[0].1);
    let written = sent(ClientProtocol::Responses, &body(r#""q\u0021""#), &[REINSTRUCT, INSERT]);
    let expected = body(&format!(r#"[{s},{i},{{"role":"user","content":"q\u0021"}}]"#));
    assert_eq!(written, expected.replace(r#""instructions":"be\u0020kind","#, ""));
}

#[test]
fn of_messages() {
    let call = r#"{"role":"assistant","content":[{"type":"redacted_thinking","data":"Zm9v"},{"type":"tool_use","id":"t","name":"f","input":{"x":1.50}}]}"#;
    let result = r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"4"}],"x":1}"#;
    let last = r#"{"role":"user","content":[{"type":"text","text":"q","cache_control":{"type":"ephemeral"}}]}"#;
    let user = |text: &str| format!(r#"{{"content":"{text}","role":"user"}}"#);
    let (i, r, b) = (user("I"), user("R"), user("B"));
    let a = r#"{"content":"A","role":"assistant"}"#;
    let s = r#"{"text":"S","type":"text"}"#;
    let system = r#"{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}"#;
    let made = format!("{call}, {result}");
    type Row<'a> = (&'a [Edit], String, String);
    let rows: &[Row<'_>] = &[
        (&[], format!("[ {system}]"), format!("[{made},{last}]")),
        (&[INSERT], format!("[ {system}]"), format!("[{made},{i},{last}]")),
        (&[REPLACE], format!("[ {system}]"), format!("[{made},{r}]")),
        (&[APPEND], format!("[ {system}]"), format!("[{made},{last},{a},{b}]")),
        (&[INSTRUCT, INSERT], format!("[{s},{system}]"), format!("[{made},{i},{last}]")),
        (&[REINSTRUCT, APPEND], format!("[{s}]"), format!("[{made},{last},{a},{b}]")),
    ];
    let body = |system: &str, messages: &str| {
        format!(
            r#"{{"model":"m","max_tokens":9,"unknown":{{"z":1.0}},"system":{system},"messages":{messages},"stream":false}}"#
        )
    };
    let written = body(&rows[0].1, &rows[0].2);
    for (edits, system, messages) in rows {
        assert_eq!(sent(ClientProtocol::Anthropic, &written, edits), body(system, messages));
    }
    let plain = body(r#""s\u0021""#, &format!("[{last}]"));
    let block = format!(r#"[{s},{{"type":"text","text":"s\u0021"}}]"#);
    assert_eq!(
        sent(ClientProtocol::Anthropic, &plain, &[INSTRUCT]),
        body(&block, &format!("[{last}]"))
    );
}

/// Of a result and a text in one element neither is torn from its call.
#[test]
fn an_element_of_messages_stays_whole() {
    let both = r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"4"},{"type":"text","text":"q","x":1}]}"#;
    let body = |messages: &str| {
        format!(r#"{{"model":"m","max_tokens":9,"messages":{messages},"stream":false}}"#)
    };
    let i = r#"{"content":"I","role":"user"}"#;
    assert_eq!(
        sent(ClientProtocol::Anthropic, &body(&format!("[{both}]")), &[INSERT]),
        body(&format!("[{both},{i}]"))
    );
    let replaced = r#"{"content":[{"content":"4","tool_use_id":"t","type":"tool_result"},{"text":"R","type":"text"}],"role":"user"}"#;
    assert_eq!(
        sent(ClientProtocol::Anthropic, &body(&format!("[{both}]")), &[REPLACE]),
        body(&format!("[{replaced}]"))
    );
}

/// Each row: a client's protocol, a model, fields of its body, and those that are sent.
#[test]
fn what_a_model_does_not_take_is_left_out_of_a_clients_own_body() {
    let chat = ClientProtocol::OpenAi;
    let rows = [
        (
            chat,
            "gpt-5",
            r#""temperature":0.2,"top_p":1,"reasoning_effort":"none""#,
            r#""reasoning_effort":"minimal""#,
        ),
        (chat, "gpt-4.1", r#""temperature":0.2,"reasoning_effort":"low""#, r#""temperature":0.2"#),
        (chat, "gpt-5.4", r#""reasoning_effort":"xhigh""#, r#""reasoning_effort":"xhigh""#),
        (
            chat,
            "qwen3",
            r#""temperature":0.20,"reasoning_effort":"xhigh""#,
            r#""temperature":0.20,"reasoning_effort":"xhigh""#,
        ),
        (
            chat,
            "qwen3",
            r#""seed":null,"tools":[],"tool_choice":"auto","parallel_tool_calls":false"#,
            "",
        ),
        (
            ClientProtocol::Responses,
            "gpt-4.1",
            r#""reasoning":{"effort":"low","summary":"auto"},"top_p":1.0"#,
            r#""reasoning":{"summary":"auto"},"top_p":1.0"#,
        ),
        (
            ClientProtocol::Responses,
            "gpt-5",
            r#""reasoning":{"effort":"none"},"top_p":1.0,"tool_choice":"auto""#,
            r#""reasoning":{"effort":"minimal"}"#,
        ),
        (
            ClientProtocol::Anthropic,
            "claude-sonnet-4-5",
            r#""temperature":null,"tool_choice":{"type":"auto"}"#,
            "",
        ),
    ];
    for (client, model, fields, expected) in rows {
        let said = r#"[{"role":"user","content":"q"}]"#;
        let list = if client == ClientProtocol::Responses { "input" } else { "messages" };
        let body = format!(r#"{{"max_tokens":9,{fields},"{list}":{said}}}"#);
        let request = client.parse_request(body.as_bytes()).unwrap();
        let text = format!(
            "[providers.p]\nprotocol = \"{}\"\nbase_url = \"http://p\"\n[models.m]\n\
             targets = [\"p/{model}\"]",
            client.name()
        );
        let target = Config::parse(&text, |_| None).unwrap().models["m"].targets[0].clone();
        let Upstream::Http(protocol) = target.provider.upstream else { panic!("not called") };
        let ask = ProviderRequest {
            target: &target,
            request: &request,
            client,
            stream: false,
            max_output: Some(9),
            refused: Parameters::default(),
        };
        let sent = String::from_utf8(protocol.http_request(&ask).unwrap().body).unwrap();
        let separator = if expected.is_empty() { "" } else { "," };
        assert!(sent.contains(&format!("{expected}{separator}\"{list}\":{said}")), "{sent}");
        for gone in ["null", "tool_choice", "parallel", "\"tools\""] {
            assert!(!sent.contains(gone), "{sent}");
        }
    }
}

/// Each row: a base URL, and the client's header for Anthropic's betas as it is sent there.
#[test]
fn betas_go_to_who_has_them() {
    for (base_url, expected) in [
        ("http://p/v1", Some("context-management-2025-06-27")),
        ("https://api.deepseek.com/anthropic/v1", None),
    ] {
        let body = br#"{"max_tokens":9,"context_management":{"edits":[]},
            "messages":[{"role":"user","content":"q"}]}"#;
        let mut request = ClientProtocol::Anthropic.parse_request(body).unwrap();
        let header = ("anthropic-beta", "context-management-2025-06-27".to_owned());
        request.original.as_mut().unwrap().headers.push(header);
        let text = format!(
            "[providers.p]\nprotocol = \"anthropic\"\nbase_url = \"{base_url}\"\n[models.m]\n\
             targets = [\"p/m\"]"
        );
        let target = Config::parse(&text, |_| None).unwrap().models["m"].targets[0].clone();
        let ask = ProviderRequest {
            target: &target,
            request: &request,
            client: ClientProtocol::Anthropic,
            stream: false,
            max_output: Some(9),
            refused: Parameters::default(),
        };
        let call = ProviderProtocol::Anthropic.http_request(&ask).unwrap();
        let sent = call.headers.iter().find(|(name, _)| name == "anthropic-beta");
        assert_eq!(sent.map(|(_, value)| value.as_str()), expected, "{base_url}");
        let body = String::from_utf8(call.body).unwrap();
        assert_eq!(body.contains("context_management"), expected.is_some(), "{base_url}");
    }
}
