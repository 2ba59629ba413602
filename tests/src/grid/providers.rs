//! Providers of every protocol: how each understands what it is asked. Written anew and not with the
//! core's writers, which would share their mistakes.

use serde_json::{Value, json};

use super::Case;
use super::asked::Asked;
use crate::provider::wire::Request;

/// A provider's protocol.
#[derive(Debug)]
pub struct Provider {
    /// Its name in configurations, and the folder of its vectors.
    pub protocol: &'static str,
    /// The media type of its streams.
    pub(super) stream_type: &'static str,
    /// How it understands a request.
    pub(crate) read: fn(&Request) -> Asked,
}

const SSE: &str = "text/event-stream";

/// Every protocol a provider can speak.
pub static PROVIDERS: &[Provider] = &[
    Provider { protocol: "openai", stream_type: SSE, read: read_openai },
    Provider { protocol: "responses", stream_type: SSE, read: read_responses },
    Provider { protocol: "anthropic", stream_type: SSE, read: read_anthropic },
    Provider { protocol: "gemini", stream_type: SSE, read: read_gemini },
    Provider { protocol: "ollama", stream_type: "application/x-ndjson", read: read_ollama },
];

impl Provider {
    /// Whether its protocol has no words for such an answer.
    pub(super) fn lacks(&self, case: Case) -> bool {
        self.protocol == "ollama" && case == Case::Refusal
    }

    /// Whether its protocol has a form for such a question.
    pub(super) fn can_carry(&self, case: Case) -> bool {
        !(self.protocol == "ollama" && case == Case::ImageUrl)
    }

    /// The error that clients get where it gives no answer: it cannot be called, or refuses.
    pub(super) fn words_instead(&self, case: Case) -> Option<&'static str> {
        match (self.protocol, case) {
            (_, case) if !self.can_carry(case) => Some("does not support image parts"),
            ("gemini", Case::Refusal) => Some("PROHIBITED_CONTENT"),
            _ => None,
        }
    }
}

fn read_openai(request: &Request) -> Asked {
    let body = body(request);
    let mut asked = begun(&body);
    for message in list(&body["messages"]) {
        let parts = parts(&message["content"]);
        match message["role"].as_str() {
            Some("system") => asked.instructions += &texts(&parts),
            Some("tool") => asked.results.push(texts(&parts)),
            _ => asked.text += &texts(&parts),
        }
        let images = parts.iter().map(|part| &part["image_url"]["url"]);
        asked.images.extend(images.filter_map(Value::as_str).map(str::to_owned));
        let calls = list(&message["tool_calls"]).map(|call| &call["function"]);
        asked
            .calls
            .extend(calls.map(|called| (text(&called["name"]), json_in(&called["arguments"]))));
    }
    asked.tools = tools(&body, |tool| (&tool["function"]["name"], &tool["function"]["parameters"]));
    asked.schema = given(&body["response_format"]["json_schema"]["schema"]);
    asked.limit = body["max_completion_tokens"].as_u64().or(body["max_tokens"].as_u64());
    asked
}

fn read_responses(request: &Request) -> Asked {
    let body = body(request);
    let mut asked = begun(&body);
    asked.instructions = text(&body["instructions"]);
    asked.text = text(&body["input"]);
    for item in list(&body["input"]) {
        match item["type"].as_str() {
            Some("function_call") => {
                asked.calls.push((text(&item["name"]), json_in(&item["arguments"])));
            }
            Some("function_call_output") => asked.results.push(texts(&parts(&item["output"]))),
            _ => {
                let parts = parts(&item["content"]);
                asked.text += &texts(&parts);
                let images = parts.iter().filter_map(|part| part["image_url"].as_str());
                asked.images.extend(images.map(str::to_owned));
            }
        }
    }
    asked.tools = tools(&body, |tool| (&tool["name"], &tool["parameters"]));
    asked.schema = given(&body["text"]["format"]["schema"]);
    asked.limit = body["max_output_tokens"].as_u64();
    asked
}

fn read_anthropic(request: &Request) -> Asked {
    let body = body(request);
    let mut asked = begun(&body);
    asked.instructions = texts(&parts(&body["system"]));
    let blocks = list(&body["messages"]).flat_map(|message| parts(&message["content"]));
    for block in blocks {
        let source = &block["source"];
        match (block["type"].as_str(), source["type"].as_str()) {
            (Some("tool_use"), _) => {
                asked.calls.push((text(&block["name"]), block["input"].clone()));
            }
            (Some("tool_result"), _) => asked.results.push(texts(&parts(&block["content"]))),
            (_, Some("base64")) => {
                asked.images.push(inline(&source["media_type"], &source["data"]));
            }
            (_, Some("url")) => asked.images.push(text(&source["url"])),
            _ => asked.text += &text(&block["text"]),
        }
    }
    asked.tools = tools(&body, |tool| (&tool["name"], &tool["input_schema"]));
    asked.schema = given(&body["output_config"]["format"]["schema"]);
    asked.limit = body["max_tokens"].as_u64();
    asked
}

/// The path has the model, and whether it streams.
fn read_gemini(request: &Request) -> Asked {
    let body = body(request);
    let (_, called) = request.path.rsplit_once('/').unwrap_or_default();
    let (model, method) = called.split_once(':').unwrap_or_default();
    let stream = method == "streamGenerateContent?alt=sse";
    let mut asked = Asked { model: model.into(), stream, ..Asked::default() };
    asked.instructions = texts(&parts(&body["systemInstruction"]["parts"]));
    for part in list(&body["contents"]).flat_map(|content| list(&content["parts"])) {
        let fields = ["text", "inlineData", "fileData", "functionCall", "functionResponse"];
        for field in fields {
            let value = &part[field];
            match field {
                _ if value.is_null() => {}
                "text" => asked.text += &text(value),
                "inlineData" => asked.images.push(inline(&value["mimeType"], &value["data"])),
                "fileData" => asked.images.push(text(&value["fileUri"])),
                "functionCall" => asked.calls.push((text(&value["name"]), value["args"].clone())),
                _ => asked.results.push(text(&value["response"]["output"])),
            }
        }
    }
    asked.tools = list(&body["tools"][0]["functionDeclarations"])
        .map(|tool| (text(&tool["name"]), tool["parametersJsonSchema"].clone()))
        .collect();
    let generation = &body["generationConfig"];
    let is_json = generation["responseMimeType"] == "application/json";
    asked.schema = given(&generation["responseJsonSchema"]).filter(|_| is_json);
    asked.limit = generation["maxOutputTokens"].as_u64();
    asked
}

/// An image is base64 and nothing else here: it must be the PNG.
fn read_ollama(request: &Request) -> Asked {
    let body = body(request);
    let mut asked = begun(&body);
    for message in list(&body["messages"]) {
        let content = text(&message["content"]);
        match message["role"].as_str() {
            Some("system") => asked.instructions += &content,
            Some("tool") => asked.results.push(content),
            _ => asked.text += &content,
        }
        let images = list(&message["images"]);
        asked.images.extend(images.map(|data| inline(&"image/png".into(), data)));
        let calls = list(&message["tool_calls"]).map(|call| &call["function"]);
        asked.calls.extend(calls.map(|call| (text(&call["name"]), call["arguments"].clone())));
    }
    asked.tools = tools(&body, |tool| (&tool["function"]["name"], &tool["function"]["parameters"]));
    asked.schema = given(&body["format"]);
    asked.limit = body["options"]["num_predict"].as_u64();
    asked
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

/// What most of them tell alike.
fn begun(body: &Value) -> Asked {
    Asked { model: text(&body["model"]), stream: body["stream"] == true, ..Asked::default() }
}

/// A list of parts; a text stands for a list of one.
fn parts(content: &Value) -> Vec<Value> {
    match content {
        Value::String(text) => vec![json!({"text": text})],
        parts => list(parts).cloned().collect(),
    }
}

fn texts(parts: &[Value]) -> String {
    parts.iter().map(|part| text(&part["text"])).collect()
}

/// The value that is written in a text.
fn json_in(text: &Value) -> Value {
    text.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn tools(body: &Value, read: fn(&Value) -> (&Value, &Value)) -> Vec<(String, Value)> {
    let read = |tool| {
        let (name, schema) = read(tool);
        (text(name), schema.clone())
    };
    list(&body["tools"]).map(read).collect()
}

fn inline(media_type: &Value, data: &Value) -> String {
    format!("data:{};base64,{}", text(media_type), text(data))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn given(value: &Value) -> Option<Value> {
    (!value.is_null()).then(|| value.clone())
}
