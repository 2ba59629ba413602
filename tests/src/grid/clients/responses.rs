//! Responses, as OpenAI's reference has them: the deltas and the final response must agree.

use serde_json::{Value, json};

use super::{Calls, MESSAGE, Meaning, events, parse, parse_whole, text_of, tools, two};

pub(super) fn request(model: &str, stream: bool) -> Value {
    json!({
        "model": model, "stream": stream, "input": MESSAGE,
        "tools": [{"type": "function", "name": "get_weather", "parameters": tools()}],
    })
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
            "error" => meaning.fail(&event["message"]),
            _ => {}
        }
    }
    meaning.calls = calls.read()?;
    let Some(last) = last else { return Ok(meaning) };
    let same = (&last.text, &last.reasoning, &last.calls)
        == (&meaning.text, &meaning.reasoning, &meaning.calls);
    if !same {
        return Err(format!("the deltas said {meaning:?}\nthe end says {last:?}"));
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
        let texts = |field: &str| {
            let parts = item[field].as_array().into_iter().flatten();
            parts.map(|part| text_of(&part["text"])).collect::<String>()
        };
        match text_of(&item["type"]) {
            "message" => meaning.text += &texts("content"),
            "reasoning" => meaning.reasoning += &(texts("summary") + &texts("content")),
            "function_call" => {
                let arguments = parse(text_of(&item["arguments"]))?;
                meaning.calls.push((text_of(&item["name"]).into(), arguments));
            }
            _ => {}
        }
    }
    let finish = match text_of(&response["status"]) {
        "incomplete" if response["incomplete_details"]["reason"] == "max_output_tokens" => "length",
        "completed" if meaning.calls.is_empty() => "stop",
        "completed" => "tool_calls",
        other => other,
    };
    meaning.finish = Some(finish.into());
    meaning.usage = two(&response["usage"], "input_tokens", "output_tokens");
    Ok(meaning)
}
