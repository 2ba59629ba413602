//! What a fuzzer does with its bytes: one function per target of `fuzz/`. Each panics when a
//! property does not hold. A plain test runs them on bytes of [`seeds`].
//!
//! Where a target is for several protocols the first byte selects one.

mod heard;
pub mod seeds;

use std::sync::LazyLock;

use serde_json::Value;
use streamgate_core::chat::{Event, Part};
use streamgate_core::config::Config;
use streamgate_core::protocol::{ClientProtocol, ProviderRequest, StreamReader, error_message};
use streamgate_core::sse::{Decoder, Leftover};
use streamgate_core::target::{ProviderProtocol, Upstream};

use super::choices::Choices;
use super::script::Script;
use super::search::Case;
use super::splice::Seam;
use heard::Heard;

/// A fuzz target: its name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 7] = [
    ("sse", sse),
    ("provider_stream", provider_stream),
    ("provider_whole", provider_whole),
    ("client_request", client_request),
    ("splice", splice),
    ("relay_bytes", relay_bytes),
    ("relay", relay),
];

/// What providers speak.
pub const PROVIDERS: [ProviderProtocol; 5] = [
    ProviderProtocol::OpenAi,
    ProviderProtocol::Responses,
    ProviderProtocol::Anthropic,
    ProviderProtocol::Gemini,
    ProviderProtocol::Ollama,
];

/// What clients speak.
pub const CLIENTS: [ClientProtocol; 13] = [
    ClientProtocol::OpenAi,
    ClientProtocol::Responses,
    ClientProtocol::Anthropic,
    ClientProtocol::UiMessage,
    ClientProtocol::Token,
    ClientProtocol::Notebook,
    ClientProtocol::Content,
    ClientProtocol::Session,
    ClientProtocol::Ollama,
    ClientProtocol::OllamaGenerate,
    ClientProtocol::Gemini,
    ClientProtocol::GeminiArray,
    ClientProtocol::Completions,
];

const EVENT_BYTES_MAX: usize = 1 << 20;

/// Where a stream is cut makes no difference to its events.
pub fn sse(bytes: &[u8]) {
    let (first, stream) = split(bytes);
    let event_bytes_max = if first % 2 == 0 { EVENT_BYTES_MAX } else { 1 + usize::from(first) };
    let whole = events(event_bytes_max, [stream]);
    assert_eq!(whole, events(event_bytes_max, stream.chunks(1)), "byte by byte");
    let piece = 1 + usize::from(first / 2);
    assert_eq!(whole, events(event_bytes_max, stream.chunks(piece)), "by {piece}");
}

/// Every event's data and name; where the stream failed; what was left.
fn events<'a>(max: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut decoder = Decoder::new(max);
    let mut seen = Vec::new();
    for mut piece in pieces {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(event)) => seen.push(format!("{:?}", event.data)),
                Ok(None) => break,
                Err(error) => seen.push(error.to_string()),
            }
        }
    }
    match decoder.finish() {
        Some(Leftover::Event(event)) => seen.push(format!("left {:?}", event.data)),
        Some(Leftover::Cut(event)) => seen.push(format!("cut {:?}", event.data)),
        None => {}
    }
    seen
}

/// An event that is recognised by the one before says what it says when it is read: so events of
/// another shape between them, that say nothing, make no difference. What is read is JSON, for it
/// may be handed on as it came, and its text is the text in there.
pub fn provider_stream(bytes: &[u8]) {
    let (first, mut stream) = split(bytes);
    let protocol = PROVIDERS[usize::from(first) % PROVIDERS.len()];
    let between = empty_text(protocol).as_bytes();
    let mut decoder = Decoder::framed(protocol.framing(), EVENT_BYTES_MAX);
    let (mut warm, mut cold) = (StreamReader::new(protocol), StreamReader::new(protocol));
    while let Ok(Some(event)) = decoder.next(&mut stream) {
        let shown = String::from_utf8_lossy(event.data);
        let meaning = Meaning::by(event.data, &mut warm);
        let nothing = Meaning::by(between, &mut cold);
        assert!(nothing.text.is_empty() && nothing.others.is_empty(), "{nothing:?}");
        assert_eq!(meaning, Meaning::by(event.data, &mut cold), "{protocol:?}: {shown}");
        if meaning.read == "Ok(More)" {
            assert!(is_json(event.data), "{protocol:?} read {shown}");
            if let Some(text) = text_in(protocol, event.data) {
                assert_eq!(meaning.text, text, "{protocol:?}: {shown}");
            }
        }
    }
}

/// An event whose text is empty.
fn empty_text(protocol: ProviderProtocol) -> &'static str {
    match protocol {
        ProviderProtocol::Responses => r#"{"type":"response.output_text.delta","delta":""}"#,
        ProviderProtocol::Anthropic => {
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}"#
        }
        ProviderProtocol::Gemini => r#"{"candidates":[{"content":{"parts":[{"text":""}]}}]}"#,
        ProviderProtocol::Ollama => r#"{"message":{"content":""}}"#,
        _ => r#"{"choices":[{"delta":{"content":""}}]}"#,
    }
}

/// The answer's text in an event, as another reader finds it; `None` where that is not so plain.
fn text_in(protocol: ProviderProtocol, data: &[u8]) -> Option<String> {
    // What leads to the text, each once; and what may put other texts beside it.
    let (path, names, others): (_, &[&str], &[&str]) = match protocol {
        ProviderProtocol::OpenAi => {
            ("/choices/0/delta/content", &["choices", "delta", "content"], &["message"])
        }
        // A text may come only once it is over, in any of these.
        ProviderProtocol::Responses => {
            ("/delta", &["delta"], &["item", "part", "refusal", "response", "text"])
        }
        ProviderProtocol::Anthropic => {
            ("/delta/text", &["delta", "text"], &["partial_json", "thinking"])
        }
        ProviderProtocol::Ollama => ("/message/content", &["message", "content"], &[]),
        _ => return None,
    };
    let shown = str::from_utf8(data).ok()?;
    let count = |name: &&str| shown.matches(&format!("\"{name}\"")).count();
    // Names may be written with escapes too.
    if names.iter().any(|name| count(name) > 1)
        || others.iter().any(|name| count(name) > 0)
        || shown.contains("\\u00")
    {
        return None;
    }
    // A number may be too large for this reader alone.
    let json: Value = serde_json::from_str(shown).ok()?;
    // An event of Anthropic's without a type is known by what it has.
    if protocol == ProviderProtocol::Anthropic && !json["type"].is_string() {
        return None;
    }
    let says = match protocol {
        ProviderProtocol::OpenAi => {
            json.pointer("/choices/0/index").is_none_or(|index| *index == 0)
        }
        ProviderProtocol::Responses => json["type"] == "response.output_text.delta",
        ProviderProtocol::Anthropic => json["type"] == "content_block_delta",
        _ => true,
    };
    // Parts are texts too.
    let text = json.pointer(path).filter(|_| says);
    (!text.is_some_and(Value::is_array))
        .then(|| text.and_then(Value::as_str).unwrap_or("").to_owned())
}

/// What one event contained.
#[derive(Debug, Default, PartialEq)]
struct Meaning {
    text: String,
    others: Vec<String>,
    read: String,
}

impl Meaning {
    fn by(data: &[u8], reader: &mut StreamReader) -> Self {
        let mut meaning = Self::default();
        let read = reader.read(data, &mut |event| match event {
            Event::Start { .. } => {}
            Event::Text(text) => meaning.text.push_str(&text),
            Event::Reasoning(text) | Event::Refusal(text) if text.is_empty() => {}
            other => meaning.others.push(format!("{other:?}")),
        });
        meaning.read = format!("{read:?}");
        meaning
    }
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// A complete answer is read, or the error is why not.
pub fn provider_whole(bytes: &[u8]) {
    let (first, body) = split(bytes);
    let protocol = PROVIDERS[usize::from(first) % PROVIDERS.len()];
    let read = protocol.read_complete(body, &mut |_| {});
    assert!(is_json(body) || read.is_err(), "{protocol:?}: what is no JSON was read");
    error_message(body);
}

/// A request is read or refused. What a client asks can be asked of a provider of its protocol, and
/// is what that is asked; others are asked in good form, or passed over.
pub fn client_request(bytes: &[u8]) {
    let (first, body) = split(bytes);
    let client = CLIENTS[usize::from(first) % CLIENTS.len()];
    let Ok(request) = client.parse_request(body) else { return };
    if request.messages.is_empty() {
        // No answer is asked for, but that a model be loaded.
        assert!(matches!(client, ClientProtocol::Ollama | ClientProtocol::OllamaGenerate));
        return;
    }
    // Anthropic takes no thoughts that nobody signed: of these requests less is left.
    let unsigned = |part: &Part| matches!(part, Part::Reasoning { signature: None, .. });
    let thinks = request.messages.iter().flat_map(|message| &message.parts).any(unsigned);
    for protocol in PROVIDERS {
        let same = client.is_spoken_by(Upstream::Http(protocol))
            && !(thinks && client == ClientProtocol::Anthropic);
        let target = &CONFIG.models[protocol.name()].targets[0];
        let (stream, max_output) = (request.stream, request.max_output_tokens);
        let ask = ProviderRequest {
            refused: Default::default(),
            target,
            request: &request,
            client,
            stream,
            max_output,
        };
        let call = match protocol.http_request(&ask) {
            Ok(call) => call,
            Err(failure) => {
                assert!(!same, "{failure}");
                continue;
            }
        };
        assert!(is_json(&call.body), "{protocol:?} is asked what is no JSON");
        if same {
            let again = client.parse_request(&call.body).expect("what was asked is read again");
            assert_eq!(again.messages, request.messages);
            assert_eq!((again.stream, again.stop), (request.stream, request.stop.clone()));
            assert_eq!(again.max_output_tokens, request.max_output_tokens);
        }
    }
}

/// Any seam.
pub fn splice(bytes: &[u8]) {
    judge::<Seam>(bytes);
}

/// Any script.
pub fn relay(bytes: &[u8]) {
    judge::<Script>(bytes);
}

fn judge<C: Case>(bytes: &[u8]) {
    let case = C::draw(&mut Choices::from_bytes(bytes));
    if let Err(why) = case.check() {
        panic!("{case}{why}");
    }
}

/// A provider of any protocol may send anything, cut anywhere: the client of any protocol gets the
/// same whole events, and one end with its outcome.
pub fn relay_bytes(bytes: &[u8]) {
    let (first, rest) = split(bytes);
    let (second, stream) = split(rest);
    let pair = usize::from(first) % (PROVIDERS.len() * CLIENTS.len());
    let (provider, client) = (PROVIDERS[pair % PROVIDERS.len()], CLIENTS[pair / PROVIDERS.len()]);
    let whole = Heard::by(client, provider, stream, stream.len().max(1));
    let cut = Heard::by(client, provider, stream, 1 + usize::from(second));
    assert_eq!(whole, cut, "{provider:?} to {client:?}");
}

fn split(bytes: &[u8]) -> (u8, &[u8]) {
    bytes.split_first().map_or((0, &[]), |(first, rest)| (*first, rest))
}

/// A provider and a model for each protocol, by its name.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let rows = PROVIDERS.map(|protocol| {
        let name = protocol.name();
        format!(
            "[providers.{name}]\nprotocol = \"{name}\"\nbase_url = \"http://a/v1\"\n\
             [models.{name}]\ntargets = [\"{name}/b\"]\n"
        )
    });
    let settings = "[fallback]\nretries = 0\nbreaker = { failures_max = 4000000000 }\n";
    Config::parse(&[&rows.concat(), settings].concat(), |_| None)
        .expect("the configuration is valid")
});
