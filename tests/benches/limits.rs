//! What the limit policy costs a request: how long its prompt is, what is known of the target, and
//! what the answer may therefore be.
//!
//! `cargo bench --bench limits` prints nanoseconds per request for prompts of several sizes, with
//! nothing and with a thousand endpoints' limits learned. The best of many turns counts, so that a
//! busy machine disturbs it little.

use std::hint::black_box;
use std::time::{Duration, Instant};

use streamgate_core::chat::{ChatRequest, Message, Role};
use streamgate_core::config::{Config, Target};
use streamgate_core::limit::known::Known;
use streamgate_core::limit::learned::Learned;
use streamgate_core::limit::refusal::Refusal;
use streamgate_core::limit::{Limit, Terms, tokens};

const TURNS: usize = 200;
const REQUESTS: u32 = 200;

const CONFIG: &str = r#"
[providers.openai]
protocol = "openai"
base_url = "https://api.openai.com/v1"
[models.m]
targets = ["openai/gpt-4-turbo"]
"#;

const ENGLISH: &str = "Why does a stream of tokens break, and who notices? It is 10 past 9.\n";
const RUSSIAN: &str = "Почему поток обрывается, и кто это замечает? Сейчас 9:10.\n";

fn main() {
    let config = Config::parse(CONFIG, |_| None).expect("the configuration is valid");
    let target = &config.models["m"].targets[0];
    let learned = Learned::default();
    println!("{:<24} {:>12} {:>16}", "prompt", "ns", "1,000 learned");
    let sizes =
        [("English", ENGLISH, 200), ("English", ENGLISH, 4_000), ("English", ENGLISH, 64_000)];
    let sizes = sizes.into_iter().chain([("Russian", RUSSIAN, 4_000)]);
    for (name, sentence, bytes) in sizes {
        let request = request(sentence, bytes);
        let alone = best(|| policy(&request, target, &Learned::default()));
        fill(&learned);
        let full = best(|| policy(&request, target, &learned));
        println!("{:<24} {alone:>12} {full:>16}", format!("{name}, {bytes} bytes"));
    }
}

/// A conversation of ten messages.
fn request(sentence: &str, bytes: usize) -> ChatRequest {
    let text = sentence.repeat(bytes / 10 / sentence.len() + 1);
    let text = &text[..text.floor_char_boundary(bytes / 10)];
    let messages = (0..10).map(|_| Message::text(Role::User, text)).collect();
    ChatRequest { messages, max_output_tokens: Some(8000), ..ChatRequest::default() }
}

fn fill(learned: &Learned) {
    let refusal = Refusal { max_output: Some(4096), source: "openai", ..Refusal::default() };
    for number in 0..999 {
        learned.note(&format!("https://{number}.example/v1"), "model", &refusal, 1);
    }
    learned.note("https://api.openai.com/v1", "gpt-4-turbo", &refusal, 1);
}

/// What the relay does before it calls a target.
fn policy(request: &ChatRequest, target: &Target, learned: &Learned) -> Option<Limit> {
    let input = tokens::of_request(request);
    let learned = learned.find(&target.provider.base_url, &target.model, 2);
    let known = Known::of(target, learned.as_ref()).terms();
    let terms = Terms { requested: request.max_output_tokens, plan: Some(8000), input, ..known };
    terms.fits().ok()?;
    terms.limit()
}

fn best(mut run: impl FnMut() -> Option<Limit>) -> u128 {
    let turn = |_| {
        let began = Instant::now();
        for _ in 0..REQUESTS {
            black_box(run());
        }
        began.elapsed() / REQUESTS
    };
    (0..TURNS).map(turn).min().unwrap_or(Duration::ZERO).as_nanos()
}
