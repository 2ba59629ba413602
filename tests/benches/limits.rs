//! What limits cost a request: authentication, the prompt's length, the target's limits, the
//! resulting bound of the answer, and the user's quota.
//!
//! `cargo bench --bench limits` prints nanoseconds per request: for the limit policy with prompts of
//! several sizes, with no and with a thousand learned limits; for admission with each kind of
//! credential; for the quota. The best of many turns counts, so that a busy machine disturbs it little.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use streamgate_core::access::quota::{Act, Allowance, QuotaOp, Quotas};
use streamgate_core::access::{Access, Caller, Credentials, KEY_RANDOM_BYTES, Key, Output};
use streamgate_core::chat::{ChatRequest, Message, Role};
use streamgate_core::config::Config;
use streamgate_core::limit::known::Known;
use streamgate_core::limit::learned::Learned;
use streamgate_core::limit::refusal::StatedLimits;
use streamgate_core::limit::{Limit, Terms, tokens};
use streamgate_core::target::Target;
use streamgate_core::time;
use streamgate_tests::scenario::{Scenario, secret};

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

const UNIX_NOW: u64 = 1_750_000_000;
const KEYS: u32 = 1000;

fn main() {
    print_policies();
    println!("\n{:<24} {:>12}", "who asks", "ns");
    let keys = with_keys();
    let key = key(KEYS / 2);
    print("one of 1,000 keys", || admit(&keys, key.reveal()));
    print_tokens("access_by_token_hs256", &["a token, HS256"]);
    print_tokens("access_by_token_public_keys", &["a token, RS256", "a token, ES256"]);
    println!("\n{:<24} {:>12}", "quota", "ns");
    let (quotas, user) = (Quotas::default(), Arc::from("ada"));
    let mut now = 0;
    print("begin, charge, end", || quota(&quotas, &user, &mut now));
    println!("\n{:<24} {:>12}", "a key, 4,000 bytes, quota", "ns");
    let config = Config::parse(CONFIG, |_| None).expect("the configuration is valid");
    let (request, learned) = (request(ENGLISH, 4_000), Learned::default());
    fill(&learned);
    print("all of it", || {
        let caller = admit(&keys, key.reveal());
        let limit = policy(&request, &config.models["m"].targets[0], &learned);
        (caller, limit, quota(&quotas, &user, &mut now))
    });
}

fn print<T>(what: &str, run: impl FnMut() -> T) {
    println!("{what:<24} {:>12}", best(run));
}

fn print_policies() {
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

/// The valid tokens of a scenario; their cost is mostly that of their signatures.
fn print_tokens(name: &str, what: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let scenario = Scenario::load(&folder.join(name).with_extension("toml"));
    let scenario = scenario.expect("the scenario can be read");
    let base_urls = HashMap::from([("a".to_owned(), "http://a/v1".to_owned())]);
    let config = Config::parse(&scenario.config_text(&base_urls), secret);
    let access = Access::new(config.expect("the configuration is valid").auth);
    let admitted = scenario.exchanges().filter(|exchange| exchange.expect.status.is_none());
    for (what, exchange) in what.iter().zip(admitted) {
        let token = exchange.client.headers["authorization"].trim_start_matches("Bearer ");
        print(what, || admit(&access, token));
    }
}

fn with_keys() -> Access {
    let mut text = String::from("[plans.pro]\nmax_output_tokens = 8000\n[auth]\nkeys = [\n");
    for number in 0..KEYS {
        let digest = key(number).digest();
        writeln!(text, "{{ sha256 = \"{digest}\", user = \"u{number}\", plan = \"pro\" }},")
            .expect("a String takes every write");
    }
    let config = Config::parse(&format!("{text}]\n{CONFIG}"), |_| None);
    Access::new(config.expect("the configuration is valid").auth)
}

fn key(number: u32) -> Key {
    let mut random = [7; KEY_RANDOM_BYTES];
    random[..4].copy_from_slice(&number.to_ne_bytes());
    Key::new(random)
}

/// From a request's headers to its user.
fn admit(access: &Access, secret: &str) -> Caller {
    let bearer = format!("Bearer {secret}");
    let credentials =
        Credentials::read(|name| (name == "authorization").then_some(bearer.as_str()));
    match access.admit(&credentials, time::Instant::ZERO, UNIX_NOW).poll() {
        Output::Admitted(Some(caller)) => caller,
        other => panic!("expected a caller: {other:?}"),
    }
}

/// The quota operations of a short answer: a thousand a second stay within the quota.
fn quota(quotas: &Quotas, user: &Arc<str>, now: &mut u64) {
    let allowance = Allowance {
        requests_per_minute: NonZeroU32::new(60_000),
        tokens_per_minute: NonZeroU32::new(60_000_000),
        concurrent_streams: NonZeroU32::new(10),
    };
    *now += 1;
    for act in [Act::Begin(100), Act::Charge(64), Act::End(-20)] {
        let op = QuotaOp { lease: *now, allowance, act };
        let entered = quotas.apply(user, &op, time::Instant::from_millis(*now));
        entered.expect("it is within the quota");
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
    let refusal =
        StatedLimits { max_output: Some(4096), source: "openai", ..StatedLimits::default() };
    for number in 0..999 {
        learned.note(&format!("https://{number}.example/v1"), "model", &refusal, 1);
    }
    learned.note("https://api.openai.com/v1", "gpt-4-turbo", &refusal, 1);
}

/// What the relay does before it calls a target.
fn policy(request: &ChatRequest, target: &Target, learned: &Learned) -> Option<Limit> {
    let input = tokens::of_request(request);
    let learned = learned.find(&target.provider.base_url, &target.model, 2);
    let known = Known::of(target, learned.as_ref());
    let terms = Terms { input, ..known.terms(request.max_output_tokens, Some(8000)) };
    terms.fits().ok()?;
    terms.limit()
}

fn best<T>(mut run: impl FnMut() -> T) -> u128 {
    let turn = |_| {
        let began = Instant::now();
        for _ in 0..REQUESTS {
            black_box(run());
        }
        began.elapsed() / REQUESTS
    };
    (0..TURNS).map(turn).min().unwrap_or(Duration::ZERO).as_nanos()
}
