//! Responses, as OpenAI's reference has them: the deltas and the final response must agree.

use serde_json::{Value, json};

use super::{Asked, Calls, Meaning, call_id, events, parse, parse_whole, text_of, two, with};

pub(super) fn request(model: &str, asked: &Asked) -> Value {
    let mut content = vec![json!({"type": "input_text", "text": asked.text})];
    let image = |url| json!({"type": "input_image", "detail": "auto", "image_url": url});
    content.extend(asked.images.iter().map(image));
    let tool = |(name, schema): &(String, Value)| json!({"type": "function", "name": name, "parameters": schema, "strict": true});
    let format = |schema| {
        let format =
            json!({"type": "json_schema", "name": "place", "schema": schema, "strict": true});
        json!({"format": format})
    };
    let call = |(place, (name, arguments)): (usize, &(String, Value))| {
        let arguments = arguments.to_string();
        json!({"type": "function_call", "call_id": call_id(place), "name": name, "arguments": arguments})
    };
    let result = |(place, result)| json!({"type": "function_call_output", "call_id": call_id(place), "output": result});
    let mut input = vec![json!({"role": "user", "content": content})];
    input.extend(asked.calls.iter().enumerate().map(call));
    input.extend(asked.results.iter().enumerate().map(result));
    with(
        json!({"model": model, "stream": asked.stream, "input": input}),
        [
            ("instructions", asked.instructions.as_str().into()),
            ("text", asked.schema.as_ref().map(format).into()),
            ("tools", asked.tools.iter().map(tool).collect()),
            ("max_output_tokens", asked.limit.into()),
        ],
    )
}

pub(super) fn read_stream(body: &[u8]) -> Result<Meaning, String> {
    let mut meaning = Meaning::default();
    let mut calls = Calls::default();
    let mut places = Vec::new();
    let mut last = None;
    for (number, data) in events(body)?.iter().enumerate() {
        let event = parse(data)?;
        if event["sequence_number"] != number {
            return Err(format!("expected sequence number {number}: {data}"));
        }
        match text_of(&event["type"]) {
            "response.output_text.delta" => meaning.text += text_of(&event["delta"]),
            "response.refusal.delta" => meaning.refusal += text_of(&event["delta"]),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                meaning.reasoning += text_of(&event["delta"]);
            }
            "response.output_item.added" if event["item"]["type"] == "function_call" => {
                places.push(event["output_index"].clone());
                calls.at(places.len() - 1).0 = text_of(&event["item"]["name"]).into();
            }
            "response.function_call_arguments.delta" => {
                let place = places.iter().position(|place| *place == event["output_index"]);
                calls.at(place.ok_or("arguments of no call")?).1 += text_of(&event["delta"]);
            }
            "response.completed" | "response.incomplete" => {
                meaning.ends += 1;
                last = Some(read_response(&event["response"])?);
            }
            "response.failed" => meaning.fail(&event["response"]["error"]["message"]),
            // For SDKs; the response ends with its own event, which is what Codex reads.
            "error" if event["message"] == event["error"]["message"] => {}
            "error" => return Err(format!("two messages: {data}")),
            _ => {}
        }
    }
    meaning.calls = calls.read()?;
    let Some(last) = last else { return Ok(meaning) };
    let parts = |meaning: &Meaning| {
        let Meaning { text, reasoning, refusal, calls, .. } = meaning.clone();
        (text, reasoning, refusal, calls)
    };
    let same = parts(&last) == parts(&meaning);
    if !same {
        return Err(format!("the deltas mean {meaning:?}\nthe end means {last:?}"));
    }
    Ok(Meaning { ends: meaning.ends, ..last })
}

pub(super) fn read_whole(body: &[u8]) -> Result<Meaning, String> {
    let answer = parse_whole(body)?;
    if !answer["error"].is_null() {
        let mut meaning = Meaning::default();
        meaning.fail(&answer["error"]["message"]);
        return Ok(meaning);
    }
    Ok(Meaning { ends: 1, ..read_response(&answer)? })
}

fn read_response(response: &Value) -> Result<Meaning, String> {
    let mut meaning = Meaning::default();
    for item in response["output"].as_array().into_iter().flatten() {
        let all = |list: &str, field: &str| {
            let parts = item[list].as_array().into_iter().flatten();
            parts.map(|part| text_of(&part[field])).collect::<String>()
        };
        match text_of(&item["type"]) {
            "message" => {
                meaning.text += &all("content", "text");
                meaning.refusal += &all("content", "refusal");
            }
            "reasoning" => {
                meaning.reasoning += &(all("summary", "text") + &all("content", "text"));
            }
            "function_call" => {
                let arguments = parse(text_of(&item["arguments"]))?;
                meaning.calls.push((text_of(&item["name"]).into(), arguments));
            }
            _ => {}
        }
    }
    let finish = match text_of(&response["status"]) {
        "completed" | "incomplete" if !meaning.refusal.is_empty() => "refusal",
        "incomplete" if response["incomplete_details"]["reason"] == "max_output_tokens" => "length",
        "completed" if meaning.calls.is_empty() => "stop",
        "completed" => "tool_calls",
        other => other,
    };
    meaning.finish = Some(finish.into());
    meaning.usage = two(&response["usage"], "input_tokens", "output_tokens");
    Ok(meaning)
}
