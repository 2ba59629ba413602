//! What is read from `tests/vectors`: five answers, recorded in each provider's protocol, mean the
//! same in all of them.

pub(super) mod meaning;
mod odd_fields;

use super::*;
use crate::chat::FinishReason;
use crate::sse::{Decoder, EVENT_BYTES_MAX_DEFAULT, Leftover};
use crate::target::ProviderProtocol;

/// A provider's protocol, its streams and its complete answers, and what its usage contains.
pub(super) struct Vectors {
    pub(super) protocol: ProviderProtocol,
    /// In the order of [`NAMES`]: the stream, and the complete answer.
    pub(super) files: [(&'static [u8], &'static [u8]); NAMES.len()],
    tells_cached: bool,
    tells_reasoning: bool,
}

pub(super) const NAMES: [&str; 5] = ["text", "tools", "reasoning", "length", "error"];

macro_rules! file {
    ($protocol:literal, $name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/vectors/",
            $protocol,
            "/",
            $name
        ))
        .as_slice()
    };
}

macro_rules! files {
    ($protocol:literal) => {
        [
            (file!($protocol, "text.stream"), file!($protocol, "text.whole")),
            (file!($protocol, "tools.stream"), file!($protocol, "tools.whole")),
            (file!($protocol, "reasoning.stream"), file!($protocol, "reasoning.whole")),
            (file!($protocol, "length.stream"), file!($protocol, "length.whole")),
            (file!($protocol, "error.stream"), file!($protocol, "error.whole")),
        ]
    };
}

pub(super) const ROWS: &[Vectors] = &[
    Vectors {
        protocol: ProviderProtocol::Responses,
        files: files!("responses"),
        tells_cached: true,
        tells_reasoning: true,
    },
    Vectors {
        protocol: ProviderProtocol::Anthropic,
        files: files!("anthropic"),
        tells_cached: true,
        tells_reasoning: true,
    },
    Vectors {
        protocol: ProviderProtocol::OpenAi,
        files: files!("openai"),
        tells_cached: true,
        tells_reasoning: true,
    },
    Vectors {
        protocol: ProviderProtocol::Gemini,
        files: files!("gemini"),
        tells_cached: true,
        tells_reasoning: true,
    },
    Vectors {
        protocol: ProviderProtocol::Ollama,
        files: files!("ollama"),
        tells_cached: false,
        tells_reasoning: false,
    },
];

/// What was read: the model, the answer, its content events, and the failure if there was one.
#[derive(Default)]
struct Told {
    model: String,
    answer: Collected,
    deltas: usize,
    done: bool,
    failure: Option<Failure>,
}

impl Told {
    fn add(&mut self, event: &Event<'_>) {
        if let Event::Start { model, .. } = event {
            self.model = model.clone().into_owned();
        }
        self.deltas += usize::from(event.is_content());
        self.answer.add(event);
    }

    fn frame(&mut self, data: &[u8], reader: &mut StreamReader) {
        assert!(!self.done, "nothing comes after the end");
        if data.is_empty() {
            return;
        }
        match reader.read(data, &mut |event| self.add(&event)) {
            Ok(step) => self.done = step == Step::Done,
            Err(ReadError::Provider(failure)) => self.failure = Some(failure),
            Err(ReadError::Malformed(detail)) => panic!("{detail}"),
        }
    }

    fn streamed<'a>(
        protocol: ProviderProtocol,
        chunks: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        let (mut told, mut reader) = (Self::default(), StreamReader::new(protocol));
        let mut decoder = Decoder::framed(protocol.framing(), EVENT_BYTES_MAX_DEFAULT);
        for mut chunk in chunks {
            while let Some(event) = decoder.next(&mut chunk).unwrap() {
                told.frame(event.data, &mut reader);
            }
        }
        if let Some(Leftover::Event(event) | Leftover::Cut(event)) = decoder.finish() {
            told.frame(event.data, &mut reader);
        }
        told
    }

    fn whole(protocol: ProviderProtocol, body: &[u8]) -> Self {
        let mut told = Self::default();
        match protocol.read_complete(body, &mut |event| told.add(&event)) {
            Ok(()) => {}
            Err(ReadError::Provider(failure)) => told.failure = Some(failure),
            Err(ReadError::Malformed(detail)) => panic!("{detail}"),
        }
        told
    }

    fn check(&self, name: &str, vectors: &Vectors) {
        let Vectors { protocol, tells_cached, tells_reasoning, .. } = vectors;
        let answer = &self.answer;
        let calls =
            [("call_1", "get_weather", "city", "Paris"), ("call_2", "get_time", "zone", "CET")];
        let (text, reasoning, calls, finish) = match name {
            "text" => ("Hello, wörld 😀!", "", &calls[..0], FinishReason::Stop),
            "tools" => ("Let me look.", "", &calls[..], FinishReason::ToolCalls),
            "reasoning" => ("42", "Let me think.", &calls[..0], FinishReason::Stop),
            "length" => ("Once upon", "", &calls[..0], FinishReason::Length),
            other => panic!("{other}"),
        };
        assert_eq!((&*self.model, self.failure.as_ref()), ("fake-1", None), "{protocol:?} {name}");
        assert_eq!((&*answer.text, &*answer.reasoning), (text, reasoning), "{protocol:?} {name}");
        assert_eq!(answer.finish, Some(finish), "{protocol:?} {name}");
        assert_eq!(answer.tool_calls.len(), calls.len(), "{protocol:?} {name}");
        for (told, (id, tool, field, value)) in answer.tool_calls.iter().zip(calls) {
            assert_eq!((&*told.id, &*told.name), (*id, *tool), "{protocol:?}");
            let arguments: serde_json::Value = serde_json::from_str(&told.arguments).unwrap();
            assert_eq!(arguments, serde_json::json!({*field: value}), "{protocol:?}");
        }
        let usage = answer.usage.expect("usage");
        assert_eq!((usage.input_tokens, usage.output_tokens), (12, 7), "{protocol:?} {name}");
        if name == "text" && *tells_cached {
            assert_eq!(usage.cached_tokens, 4, "{protocol:?}");
        }
        if name == "reasoning" && *tells_reasoning {
            assert_eq!(usage.reasoning_tokens, 3, "{protocol:?}");
        }
    }
}

#[test]
fn every_stream_means_the_same() {
    for vectors in ROWS {
        for (name, (stream, _)) in NAMES.iter().zip(vectors.files).filter(|(n, _)| **n != "error") {
            let told = Told::streamed(vectors.protocol, [stream]);
            told.check(name, vectors);
            assert!(*name != "text" || told.deltas >= 3, "{:?}", vectors.protocol);
            for cut in 0..stream.len() {
                let (before, after) = stream.split_at(cut);
                Told::streamed(vectors.protocol, [before, after]).check(name, vectors);
            }
            Told::streamed(vectors.protocol, stream.chunks(1)).check(name, vectors);
        }
    }
}

#[test]
fn every_whole_answer_means_the_same() {
    for vectors in ROWS {
        for (name, (_, body)) in NAMES.iter().zip(vectors.files).filter(|(n, _)| **n != "error") {
            Told::whole(vectors.protocol, body).check(name, vectors);
        }
    }
}

#[test]
fn an_error_midway_is_one() {
    const MESSAGE: &str = "The engine is on fire.";
    for vectors in ROWS {
        let (stream, body) = vectors.files[NAMES.len() - 1];
        let told = Told::streamed(vectors.protocol, [stream]);
        assert_eq!(
            (&*told.answer.text, told.answer.finish),
            ("Hel", None),
            "{:?}",
            vectors.protocol
        );
        assert_eq!(told.failure.unwrap().detail, MESSAGE, "{:?}", vectors.protocol);
        assert_eq!(Reported::read(body).message, MESSAGE, "{:?}", vectors.protocol);
    }
}
