//! What one passed-on chunk asks of the allocator, counted from a read to a write.
//!
//! An answer's text is kept, for a model that may have to go on with it, and grows by doubling. Most
//! tests let an answer grow before they count, so that they count chunks; the last counts the
//! doublings.

mod counting;

use std::borrow::Cow;
use std::time::Duration;

use streamgate_core::answer::{Answer, Output};
use streamgate_core::chat::Event;
use streamgate_core::config::Config;
use streamgate_core::gateway::{Arrival, Client, Gateway};
use streamgate_core::protocol::ClientProtocol;
use streamgate_core::relay::{AttemptId, Head, Input};
use streamgate_core::time::Instant;

const CONFIG: &str = r#"
[providers.far]
protocol = "openai"
base_url = "http://far/v1"
[providers.here]
protocol = "local"
[models.far]
targets = ["far/m"]
[models.here]
targets = ["here/m"]
"#;

/// Contents as JSON has them.
const WORDS: [&str; 8] =
    ["The", " quick", "\\n\\n", " \\\"fox\\\"", "\\u00fc", " 狗", "\\ud83d\\ude00", "\\\\"];

/// What begins a call; its arguments are a list, which its fragments leave open.
const CALL: &str = concat!(
    r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","#,
    r#""function":{"name":"f","arguments":"["}}]}}]}"#,
    "\n\n"
);

/// An answer under way.
struct Bench {
    answer: Answer,
    attempt: AttemptId,
    now: Instant,
    written: usize,
}

impl Bench {
    /// An answer whose target's response has begun.
    fn new(client: ClientProtocol, model: &str) -> Self {
        let gateway = Gateway::new(Config::parse(CONFIG, |_| None).expect("a good configuration"));
        let arrival = Arrival {
            caller: None,
            own_keys: Ok(Vec::new()),
            now: Instant::ZERO,
            unix_seconds: 1_741_570_283,
            random: 7,
            headers: Vec::new(),
        };
        // Each protocol finds the fields of its own.
        let said = match client {
            ClientProtocol::UiMessage => r#""parts":[{"type":"text","text":"Hi"}]"#,
            _ => r#""content":"Hi""#,
        };
        let body = format!(
            r#"{{"model":"{model}","stream":true,"max_tokens":9,"message":"Hi","prompt":"Hi","contents":{{"parts":{{"text":"Hi"}}}},"input":"Hi","messages":[{{"role":"user",{said}}}]}}"#
        );
        let mut answer = gateway.answer(Client::streaming(client), body.as_bytes(), &arrival);
        let Output::Call(call) = answer.poll() else { panic!("no call") };
        let attempt = call.attempt;
        let mut bench = Self { answer, attempt, now: Instant::ZERO, written: 0 };
        let head = Head { status: 200, content_type: "text/event-stream", ..Head::default() };
        bench.take(Input::Head { attempt, head });
        bench
    }

    /// An answer that has grown by such chunks, to have room for what is counted.
    fn grown(client: ClientProtocol, stream: fn(&[&str]) -> Vec<u8>) -> Self {
        let mut bench = Self::new(client, "far");
        bench.read(CALL.as_bytes(), 16 * 1024);
        for _ in 0..2 {
            bench.read(&stream(&["x".repeat(40_000).as_str()]), 16 * 1024);
        }
        bench
    }

    fn read(&mut self, stream: &[u8], read_bytes: usize) {
        for bytes in stream.chunks(read_bytes) {
            self.take(Input::Bytes { attempt: self.attempt, bytes });
        }
    }

    fn take(&mut self, input: Input<'_>) {
        self.now = self.now + Duration::from_millis(10);
        self.answer.handle(self.now, input);
        loop {
            match self.answer.poll() {
                Output::Body(bytes) => self.written += bytes.len(),
                Output::Wait { .. } => return,
                Output::Settle(settlement) => panic!("settled: {:?}", settlement.end),
                _ => {}
            }
        }
    }
}

/// The number of allocations `work` makes.
fn counted(work: impl FnOnce()) -> usize {
    let before = counting::allocations();
    work();
    counting::allocations() - before
}

/// A chunk for each content.
fn stream(contents: &[&str]) -> Vec<u8> {
    let frames = contents.iter().map(|content| {
        format!(
            "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1741570283,\
             \"model\":\"gpt-4o\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{content}\"}},\
             \"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
        )
    });
    frames.collect::<String>().into_bytes()
}

/// A chunk for each content, none like the one before: each in another second, with a probability.
fn unlike_stream(contents: &[&str]) -> Vec<u8> {
    let frames = contents.iter().enumerate().map(|(number, content)| {
        format!(
            "data: {{\"id\":\"chatcmpl-1\",\"created\":{number},\"model\":\"m\",\"choices\":[{{\
             \"delta\":{{\"content\":\"{content}\"}},\"logprobs\":{{\"content\":[{{\
             \"token\":\"{content}\",\"logprob\":-{number}.5,\"bytes\":[1,2]}}]}}}}]}}\n\n"
        )
    });
    frames.collect::<String>().into_bytes()
}

fn tool_stream(contents: &[&str]) -> Vec<u8> {
    let frames = contents.iter().map(|content| {
        format!(
            "data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{{\"index\":0,\
             \"function\":{{\"arguments\":\"{content}\"}}}}]}}}}]}}\n\n"
        )
    });
    frames.collect::<String>().into_bytes()
}

/// How events are cut into reads, in bytes: within events, about one event a read, many.
const READS: [usize; 4] = [7, 100, 216, 16 * 1024];

fn check(client: ClientProtocol, stream: fn(&[&str]) -> Vec<u8>) {
    let chunks = stream(&WORDS.repeat(100));
    for read_bytes in READS {
        let mut bench = Bench::grown(client, stream);
        bench.read(&chunks, read_bytes);
        let written = bench.written;
        let allocations = counted(|| bench.read(&chunks, read_bytes));
        assert!(bench.written >= written + 800 * 10, "{} bytes came through", bench.written);
        assert_eq!(allocations, 0, "{client:?}: reads of {read_bytes} bytes");
    }
}

#[test]
fn a_forwarded_chunk_allocates_nothing() {
    check(ClientProtocol::OpenAi, stream);
}

#[test]
fn a_chunk_unlike_the_last_allocates_nothing() {
    check(ClientProtocol::OpenAi, unlike_stream);
}

#[test]
fn a_fragment_of_a_tool_call_allocates_nothing() {
    check(ClientProtocol::OpenAi, tool_stream);
    for client in [ClientProtocol::Responses, ClientProtocol::Anthropic, ClientProtocol::UiMessage]
    {
        check(client, tool_stream);
    }
}

#[test]
fn a_translated_chunk_allocates_nothing() {
    let others = [
        ClientProtocol::Responses,
        ClientProtocol::Anthropic,
        ClientProtocol::UiMessage,
        ClientProtocol::Token,
        ClientProtocol::Ollama,
        ClientProtocol::Gemini,
        ClientProtocol::Completions,
    ];
    for client in others {
        check(client, stream);
        check(client, unlike_stream);
    }
}

#[test]
fn an_engines_event_allocates_nothing() {
    let mut bench = Bench::new(ClientProtocol::OpenAi, "here");
    let attempt = bench.attempt;
    let mut say = |text: &str| {
        bench.take(Input::Event { attempt, event: Event::Text(Cow::Borrowed(text)) });
    };
    say(&"x".repeat(40_000));
    say(&"x".repeat(40_000));
    let texts = ["The", " \"quick\"", "\n", " 狗", " \u{1f600}\\"];
    texts.iter().for_each(|text| say(text));
    let allocations = counted(|| texts.repeat(200).iter().for_each(|text| say(text)));
    // The list of texts itself.
    assert_eq!(allocations, 1);
}

#[test]
fn an_answers_text_grows_by_doubling() {
    let stream = stream(&WORDS.repeat(100));
    let mut bench = Bench::new(ClientProtocol::OpenAi, "far");
    bench.read(&stream, 250);
    // The text becomes 64 times as long.
    let allocations = counted(|| (1..64).for_each(|_| bench.read(&stream, 250)));
    assert!((5..=6).contains(&allocations), "{allocations} in 50,400 chunks");
}
