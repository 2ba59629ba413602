//! The four applications' own events, as their front ends read them.

use serde_json::{Value, json};

use super::{Asked, Meaning, events, parse, parse_whole, text_of};

pub(super) fn ask_token(model: &str, asked: &Asked) -> Value {
    json!({"message": asked.text, "model": model})
}

pub(super) fn ask_notebook(model: &str, asked: &Asked) -> Value {
    json!({"session_id": "s", "message": asked.text, "context": {}, "model_override": model})
}

pub(super) fn ask_content(model: &str, asked: &Asked) -> Value {
    json!({"message": asked.text, "conversationId": "c", "model": model})
}

pub(super) fn ask_session(model: &str, asked: &Asked) -> Value {
    json!({"session_id": "s", "message": asked.text, "context_limit": 10, "model": model})
}

pub(super) fn read_token(body: &[u8]) -> Result<Meaning, String> {
    let mut meaning = Meaning::default();
    for data in events(body)? {
        let event = parse(&data)?;
        meaning.text += text_of(&event["token"]);
        meaning.ends += u32::from(event["done"] == true);
        if !event["error"].is_null() {
            meaning.fail(&event["error"]["message"]);
        }
    }
    Ok(meaning)
}

pub(super) fn read_content(body: &[u8]) -> Result<Meaning, String> {
    let mut meaning = Meaning::default();
    for data in events(body)? {
        let event = parse(&data)?;
        meaning.text += text_of(&event["content"]);
        if event["done"] == true {
            meaning.ends += u32::from(event["conversationId"] == "c");
        }
        if !event["error"].is_null() {
            meaning.fail(&event["error"]);
        }
    }
    Ok(meaning)
}

pub(super) fn read_notebook(body: &[u8]) -> Result<Meaning, String> {
    let mut meaning = Meaning::default();
    for (place, data) in events(body)?.iter().enumerate() {
        let event = parse(data)?;
        match text_of(&event["type"]) {
            "user_message" if place == 0 && text_of(&event["content"]).starts_with("Hi") => {}
            "token" => meaning.text += text_of(&event["content"]),
            "ai_message_complete" if event["content"] == meaning.text => {}
            "complete" => meaning.ends += 1,
            "error" => meaning.fail(&event["message"]),
            other => return Err(format!("`{other}` does not belong here: {data}")),
        }
    }
    Ok(meaning)
}

pub(super) fn read_session(body: &[u8]) -> Result<Meaning, String> {
    let mut meaning = Meaning::default();
    let mut is_done = false;
    for (place, data) in events(body)?.iter().enumerate() {
        let event = parse(data)?;
        match text_of(&event["type"]) {
            "session_info" if place == 0 && event["session_id"] == "s" => {}
            "token" => meaning.text += text_of(&event["content"]),
            "done" => is_done = true,
            "stream_end" => meaning.ends += u32::from(is_done),
            "error" => meaning.fail(&event["message"]),
            "warning" => {}
            other => return Err(format!("`{other}` does not belong here: {data}")),
        }
    }
    Ok(meaning)
}

pub(super) fn whole_notebook(body: &[u8]) -> Result<Meaning, String> {
    whole(body, |answer| text_of(&answer["messages"][1]["content"]).to_owned())
}

pub(super) fn whole_session(body: &[u8]) -> Result<Meaning, String> {
    whole(body, |answer| text_of(&answer["message"]).to_owned())
}

/// A refusal: the applications take the first text that looks like a message.
pub(super) fn refused(body: &[u8]) -> Result<Meaning, String> {
    whole(body, |_| String::new())
}

fn whole(body: &[u8], text: fn(&Value) -> String) -> Result<Meaning, String> {
    let answer = parse_whole(body)?;
    let mut meaning = Meaning::default();
    if answer["type"] == "error" || !answer["error"].is_null() {
        let messages = [&answer["error"]["message"], &answer["error"], &answer["message"]];
        let message = messages.into_iter().find(|message| message.is_string());
        meaning.fail(message.unwrap_or(&Value::Null));
        return Ok(meaning);
    }
    Ok(Meaning { text: text(&answer), ends: 1, ..meaning })
}
