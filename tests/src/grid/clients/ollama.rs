//! Ollama's chat and its completions, as docs/api.md of ollama/ollama has them.

use serde_json::{Value, json};

use super::{Asked, Meaning, parse, parse_whole, text_of, two, with};

pub(super) fn request(model: &str, asked: &Asked) -> Value {
    let call = |(name, arguments): &(String, Value)| json!({"function": {"name": name, "arguments": arguments}});
    let calls: Vec<_> = asked.calls.iter().map(call).collect();
    let called = (!calls.is_empty())
        .then(|| json!({"role": "assistant", "content": "", "tool_calls": calls}));
    let results =
        asked.calls.iter().zip(&asked.results).map(
            |((name, _), result)| json!({"role": "tool", "tool_name": name, "content": result}),
        );
    let system = Some(&asked.instructions).filter(|text| !text.is_empty());
    let system = system.map(|text| json!({"role": "system", "content": text}));
    let last = json!({"role": "user", "content": asked.text});
    let last = with(last, [("images", images(asked).into())]);
    let messages: Vec<_> = system.into_iter().chain([last]).chain(called).chain(results).collect();
    let tool = |(name, schema): &(String, Value)| json!({"type": "function", "function": {"name": name, "parameters": schema}});
    with(
        settings(model, asked),
        [("messages", messages.into()), ("tools", asked.tools.iter().map(tool).collect())],
    )
}

pub(super) fn ask_generate(model: &str, asked: &Asked) -> Value {
    let prompt = asked.text.as_str().into();
    with(settings(model, asked), [("prompt", prompt), ("images", images(asked).into())])
}

/// A client that does not say whether it wants a stream gets one.
fn settings(model: &str, asked: &Asked) -> Value {
    let options = asked.limit.map(|limit| json!({"num_predict": limit}));
    with(
        json!({"model": model}),
        [
            ("stream", if asked.stream { Value::Null } else { false.into() }),
            ("format", asked.schema.clone().unwrap_or_default()),
            ("options", options.unwrap_or_default()),
        ],
    )
}

fn images(asked: &Asked) -> Vec<&str> {
    asked.images.iter().filter_map(|image| Some(Asked::inline(image)?.1)).collect()
}

pub(super) fn read_stream(body: &[u8]) -> Result<Meaning, String> {
    lines(body, |line| &line["message"])
}

pub(super) fn read_generate(body: &[u8]) -> Result<Meaning, String> {
    lines(body, |line| line)
}

pub(super) fn read_whole(body: &[u8]) -> Result<Meaning, String> {
    let mut meaning = Meaning::default();
    read(&mut meaning, &parse_whole(body)?, |line| &line["message"]);
    Ok(meaning)
}

pub(super) fn whole_generate(body: &[u8]) -> Result<Meaning, String> {
    let mut meaning = Meaning::default();
    read(&mut meaning, &parse_whole(body)?, |line| line);
    Ok(meaning)
}

fn lines(body: &[u8], message: fn(&Value) -> &Value) -> Result<Meaning, String> {
    let text = str::from_utf8(body).map_err(|error| error.to_string())?;
    if !text.ends_with('\n') {
        return Err("the stream ends within a line".into());
    }
    let mut meaning = Meaning::default();
    for line in text.lines() {
        read(&mut meaning, &parse(line)?, message);
    }
    Ok(meaning)
}

fn read(meaning: &mut Meaning, line: &Value, message: fn(&Value) -> &Value) {
    if !line["error"].is_null() {
        return meaning.fail(&line["error"]);
    }
    let message = message(line);
    meaning.text += text_of(&message["content"]);
    meaning.text += text_of(&message["response"]);
    meaning.reasoning += text_of(&message["thinking"]);
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        let function = &call["function"];
        meaning.calls.push((text_of(&function["name"]).into(), function["arguments"].clone()));
    }
    if line["done"] == true {
        meaning.ends += 1;
        meaning.finish = Some(why(text_of(&line["done_reason"]), !meaning.calls.is_empty()));
        meaning.usage = two(line, "prompt_eval_count", "eval_count");
    }
}

/// Who makes calls stops like any other here.
fn why(reason: &str, calls: bool) -> String {
    match reason {
        "stop" if calls => "tool_calls".into(),
        "content_filter" => "refusal".into(),
        other => other.into(),
    }
}
