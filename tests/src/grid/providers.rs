//! Providers of every protocol: how each understands what it is asked. Written anew and not with the
//! core's writers, which would share their mistakes.

use serde_json::Value;

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
    pub(super) read: fn(&Request) -> Asked,
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
    pub(super) fn can_be_told(&self, case: Case) -> bool {
        !(self.protocol == "ollama" && case == Case::ImageUrl)
    }

    /// What clients are told where it gives no answer: it cannot be asked, or says why not.
    pub(super) fn words_instead(&self, case: Case) -> Option<&'static str> {
        match (self.protocol, case) {
            (_, case) if !self.can_be_told(case) => Some("cannot be told in the protocol `ollama`"),
            ("gemini", Case::Refusal) => Some("PROHIBITED_CONTENT"),
            _ => None,
        }
    }
}

fn read_openai(request: &Request) -> Asked {
    let body = body(request);
    let mut asked = begun(&body);
    for part in content(&body["messages"]) {
        match part["type"].as_str() {
            Some("image_url") => asked.images.push(text(&part["image_url"]["url"])),
            _ => asked.text += &text(&part["text"]),
        }
    }
    asked.tools = tools(&body, |tool| (&tool["function"]["name"], &tool["function"]["parameters"]));
    asked.schema = given(&body["response_format"]["json_schema"]["schema"]);
    asked
}

fn read_responses(request: &Request) -> Asked {
    let body = body(request);
    let mut asked = begun(&body);
    asked.text = body["input"].as_str().unwrap_or_default().to_owned();
    for part in content(&body["input"]) {
        match part["type"].as_str() {
            Some("input_image") => asked.images.push(text(&part["image_url"])),
            _ => asked.text += &text(&part["text"]),
        }
    }
    asked.tools = tools(&body, |tool| (&tool["name"], &tool["parameters"]));
    asked.schema = given(&body["text"]["format"]["schema"]);
    asked
}

fn read_anthropic(request: &Request) -> Asked {
    let body = body(request);
    let mut asked = begun(&body);
    for part in content(&body["messages"]) {
        let source = &part["source"];
        match source["type"].as_str() {
            Some("base64") => asked.images.push(inline(&source["media_type"], &source["data"])),
            Some("url") => asked.images.push(text(&source["url"])),
            _ => asked.text += &text(&part["text"]),
        }
    }
    asked.tools = tools(&body, |tool| (&tool["name"], &tool["input_schema"]));
    asked.schema = given(&body["output_config"]["format"]["schema"]);
    asked
}

/// The path says which model, and whether it streams.
fn read_gemini(request: &Request) -> Asked {
    let body = body(request);
    let (_, called) = request.path.rsplit_once('/').unwrap_or_default();
    let (model, method) = called.split_once(':').unwrap_or_default();
    let stream = method == "streamGenerateContent?alt=sse";
    let mut asked = Asked { model: model.into(), stream, ..Asked::default() };
    for part in list(&body["contents"]).flat_map(|content| list(&content["parts"])) {
        let (data, file) = (&part["inlineData"], &part["fileData"]);
        match (data.is_object(), file.is_object()) {
            (true, _) => asked.images.push(inline(&data["mimeType"], &data["data"])),
            (_, true) => asked.images.push(text(&file["fileUri"])),
            _ => asked.text += &text(&part["text"]),
        }
    }
    let declared = body["tools"][0].clone();
    asked.tools = list(&declared["functionDeclarations"])
        .map(|tool| (text(&tool["name"]), tool["parametersJsonSchema"].clone()))
        .collect();
    let generation = &body["generationConfig"];
    let is_json = generation["responseMimeType"] == "application/json";
    asked.schema = given(&generation["responseJsonSchema"]).filter(|_| is_json);
    asked
}

/// An image is base64 and nothing else here: it must be the PNG.
fn read_ollama(request: &Request) -> Asked {
    let body = body(request);
    let mut asked = begun(&body);
    for message in list(&body["messages"]) {
        asked.text += &text(&message["content"]);
        let images = list(&message["images"]);
        asked.images.extend(images.map(|data| inline(&"image/png".into(), data)));
    }
    asked.tools = tools(&body, |tool| (&tool["function"]["name"], &tool["function"]["parameters"]));
    asked.schema = given(&body["format"]);
    asked
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

/// What most of them tell alike.
fn begun(body: &Value) -> Asked {
    Asked { model: text(&body["model"]), stream: body["stream"] == true, ..Asked::default() }
}

/// The parts of all messages; a text that stands for a list of one is one.
fn content(messages: &Value) -> impl Iterator<Item = Value> {
    list(messages).flat_map(|message| match &message["content"] {
        Value::String(text) => vec![serde_json::json!({"text": text})],
        parts => list(parts).cloned().collect(),
    })
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
