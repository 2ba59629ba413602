//! Bytes to begin with: what providers and clients say, whole for a fuzzer, broken for a run without
//! one.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use streamgate_core::protocol::ClientProtocol;

use super::super::choices::Random;
use super::heard::request;
use super::{CLIENTS, PROVIDERS};

/// What a fuzzer would soon find out: pieces of what the readers look for.
const WORDS: [&str; 40] = [
    "data: ",
    "data:",
    "\n\n",
    "\n",
    "\r\n",
    "\r",
    ": x",
    "id: 1",
    "event: error",
    "[DONE]",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\"choices\"",
    "\"delta\"",
    "\"content\"",
    "\"error\"",
    "\"usage\"",
    "\"finish_reason\"",
    "\"messages\"",
    "\"message\"",
    "\"tool_calls\"",
    "\"type\"",
    "\"index\"",
    "\"text\"",
    "\"id\"",
    "\"name\"",
    "\"role\"",
    "\"input\"",
    "null",
    "true",
    "0",
    "4294967296",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\u{1F600}",
];

/// The most changes made to a seed.
const CHANGES_MAX: u32 = 6;

/// Requests that say more than a text, beside the plain one of each protocol.
const REQUESTS: [(ClientProtocol, &str); 6] = [
    (
        ClientProtocol::OpenAi,
        r#"{"model":"m","max_completion_tokens":9,"stop":["x"],"messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"t"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]},{"role":"assistant","reasoning_content":"r","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"4"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"tool_choice":"auto","response_format":{"type":"json_object"}}"#,
    ),
    (
        ClientProtocol::Responses,
        r#"{"model":"m","instructions":"s","input":[{"role":"user","content":[{"type":"input_text","text":"t"},{"type":"input_image","image_url":"https://x/y.png"}]},{"type":"reasoning","summary":[{"type":"summary_text","text":"r"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"4"}],"tools":[{"type":"function","name":"f","parameters":{"type":"object"}}],"text":{"format":{"type":"json_object"}}}"#,
    ),
    (
        ClientProtocol::Anthropic,
        r#"{"model":"m","max_tokens":9000,"system":[{"type":"text","text":"s"}],"thinking":{"type":"enabled","budget_tokens":2000},"messages":[{"role":"user","content":[{"type":"text","text":"t"},{"type":"image","source":{"type":"url","url":"https://x/y.png"}}]},{"role":"assistant","content":[{"type":"thinking","thinking":"r","signature":"g"},{"type":"tool_use","id":"c","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c","content":"4"}]}],"tools":[{"name":"f","input_schema":{"type":"object"}}],"stop_sequences":["x"]}"#,
    ),
    (
        ClientProtocol::UiMessage,
        r#"{"model":"m","messages":[{"role":"user","parts":[{"type":"text","text":"t"},{"type":"file","mediaType":"image/png","url":"data:image/png;base64,AAAA"}]},{"role":"assistant","parts":[{"type":"reasoning","text":"r"},{"type":"tool-f","toolCallId":"c","state":"output-available","input":{},"output":4},{"type":"text","text":"u"}]},{"role":"user","parts":[{"type":"text","text":"v"}]}]}"#,
    ),
    (
        ClientProtocol::Ollama,
        r#"{"model":"m","think":true,"format":"json","options":{"num_predict":9,"stop":["x"],"top_k":4},"messages":[{"role":"system","content":"s"},{"role":"user","content":"t","images":["iVBORw0KGgo="]},{"role":"assistant","content":"","thinking":"r","tool_calls":[{"id":"c","function":{"name":"f","arguments":{}}}]},{"role":"tool","tool_call_id":"c","tool_name":"f","content":"4"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]}"#,
    ),
    (
        ClientProtocol::Gemini,
        r#"{"model":"m","systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"t"},{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]},{"role":"model","parts":[{"text":"r","thought":true},{"functionCall":{"id":"c","name":"f","args":{}}}]},{"role":"user","parts":[{"functionResponse":{"id":"c","name":"f","response":{"output":"4"}}}]}],"tools":[{"functionDeclarations":[{"name":"f","parameters":{"type":"OBJECT"}}]}],"generationConfig":{"maxOutputTokens":9,"stopSequences":["x"],"responseMimeType":"application/json","thinkingConfig":{"thinkingBudget":1024}}}"#,
    ),
];

/// Good input of this target; none where any bytes are choices.
pub fn of(target: &str) -> &'static [Vec<u8>] {
    static STREAMS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| vectors("stream", 1));
    static PAIRS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| vectors("stream", CLIENTS.len()));
    static WHOLE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| vectors("whole", 1));
    static REQUESTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(requests);
    match target {
        "sse" | "provider_stream" => &STREAMS,
        "provider_whole" => &WHOLE,
        "client_request" => &REQUESTS,
        "relay_bytes" => &PAIRS,
        _ => &[],
    }
}

/// Bytes for a run of this target without a fuzzer: a seed with a few changes, or words of the
/// readers among any others.
pub fn draw(target: &str, random: &mut Random) -> Vec<u8> {
    let seeds = of(target);
    if seeds.is_empty() || random.below(3) == 0 {
        return words(random);
    }
    let mut bytes = pick(seeds, random).clone();
    for _ in 0..random.below(CHANGES_MAX + 1) {
        let (from, to) = range(&bytes, random);
        let change = match random.below(4) {
            0 => Vec::new(),
            1 => word(random),
            2 => {
                let other = pick(seeds, random);
                let (from, to) = range(other, random);
                other[from..to].to_vec()
            }
            _ => bytes[from..to].repeat(2),
        };
        bytes.splice(from..to, change);
    }
    bytes
}

fn words(random: &mut Random) -> Vec<u8> {
    let first = random.below(256) as u8;
    let mut bytes = vec![first];
    for _ in 0..random.below(100) {
        bytes.extend(word(random));
    }
    bytes
}

fn word(random: &mut Random) -> Vec<u8> {
    match random.below(3) {
        0 => vec![random.below(256) as u8],
        _ => WORDS[random.below(WORDS.len() as u32) as usize].into(),
    }
}

fn pick<'a>(seeds: &'a [Vec<u8>], random: &mut Random) -> &'a Vec<u8> {
    &seeds[random.below(seeds.len() as u32) as usize]
}

/// A place in the bytes and a short way on, seldom a long one.
fn range(bytes: &[u8], random: &mut Random) -> (usize, usize) {
    let from = random.below(bytes.len() as u32 + 1) as usize;
    let length = if random.below(4) == 0 { bytes.len() as u32 } else { 16 };
    (from, (from + random.below(length + 1) as usize).min(bytes.len()))
}

/// What each provider sends, by the byte that chooses it and so many clients.
fn vectors(extension: &str, clients: usize) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, protocol) in PROVIDERS.iter().enumerate() {
        for file in files(protocol.name(), extension) {
            seeds.extend((0..clients).map(|client| {
                let first = (client * PROVIDERS.len() + number) as u8;
                // Where a client is chosen too, pieces of a byte follow.
                let head = if clients > 1 { vec![first, 0] } else { vec![first] };
                [head, file.clone()].concat()
            }));
        }
    }
    seeds
}

fn files(protocol: &str, extension: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(protocol);
    let entries = fs::read_dir(&folder).expect("the vectors are there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a file of vectors")).collect()
}

fn requests() -> Vec<Vec<u8>> {
    let place = |client| CLIENTS.iter().position(|it| *it == client).expect("a client") as u8;
    let plain = CLIENTS.map(|client| (client, request(client, "m").to_string()));
    let rich = REQUESTS.map(|(client, body)| (client, body.to_owned()));
    plain
        .into_iter()
        .chain(rich)
        .map(|(client, body)| [vec![place(client)], body.into_bytes()].concat())
        .collect()
}
