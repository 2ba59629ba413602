//! Completions of one prompt, as OpenAI's reference has them.

use serde_json::{Value, json};

use super::{Asked, Meaning, events, parse, parse_whole, text_of, two, with};

pub(super) fn request(model: &str, asked: &Asked) -> Value {
    let usage = asked.stream.then(|| json!({"include_usage": true}));
    with(
        json!({"model": model, "stream": asked.stream, "prompt": asked.text}),
        [("stream_options", usage.into()), ("max_tokens", asked.limit.into())],
    )
}

pub(super) fn read_stream(body: &[u8]) -> Result<Meaning, String> {
    let mut meaning = Meaning::default();
    for data in events(body)? {
        match data.as_str() {
            "[DONE]" => meaning.ends += 1,
            data => read(&mut meaning, &parse(data)?),
        }
    }
    Ok(meaning)
}

pub(super) fn read_whole(body: &[u8]) -> Result<Meaning, String> {
    let answer = parse_whole(body)?;
    let mut meaning = Meaning::default();
    read(&mut meaning, &answer);
    meaning.ends = 1;
    Ok(meaning)
}

fn read(meaning: &mut Meaning, chunk: &Value) {
    if !chunk["error"].is_null() {
        return meaning.fail(&chunk["error"]["message"]);
    }
    let choice = &chunk["choices"][0];
    meaning.text += text_of(&choice["text"]);
    if let Some(finish) = choice["finish_reason"].as_str() {
        let is_refusal = finish == "content_filter";
        meaning.finish = Some(if is_refusal { "refusal" } else { finish }.into());
    }
    if !chunk["usage"].is_null() {
        meaning.usage = two(&chunk["usage"], "prompt_tokens", "completion_tokens");
    }
}
