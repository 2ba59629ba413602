//! Step lists as data: each file of `steps/` is one answer, its inputs and what each leads to.
//! `UPDATE_EXPECT=1 cargo test -p streamgate-core steps` writes the outputs anew.
//!
//! ```text
//! # Why.
//! client: openai
//! request: {"model": "m", ...}
//! config: fallback.retries = 0        (any number of these, before the common configuration)
//!
//! call 0 a/gpt-4-turbo stream         (outputs; the first are those of the request itself)
//! > head 0 200 text/event-stream      (an input: what of which attempt)
//! > bytes 0 data: {}\n\n
//! > event 0 text Hi                   (of a local engine; also `usage 3 2`, `finish stop`)
//! > end 0
//! > lost 0 connect_failed
//! > hangup, > pause, > resume
//! > after 500                         (milliseconds)
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::chat::{FinishReason, Usage};
use crate::failure::Reason;

#[test]
fn every_step_leads_to_what_its_file_names() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/answer/tests/steps");
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    let wrong: Vec<_> = files.iter().filter_map(|file| check(file)).collect();
    assert!(wrong.is_empty(), "{}(UPDATE_EXPECT=1 writes the outputs anew)", wrong.concat());
}

/// What is wrong with a file, if it is not to be rewritten.
fn check(file: &Path) -> Option<String> {
    let expected = fs::read_to_string(file).unwrap();
    let got = play(&expected);
    if got == expected {
        return None;
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(file, got).unwrap();
        return None;
    }
    Some(format!("{}, got:\n{got}\n", file.display()))
}

/// The same file with the outputs that its inputs lead to.
fn play(text: &str) -> String {
    let (head, body) = text.split_once("\n\n").unwrap();
    let mut bench = begin(head);
    let mut played = format!("{head}\n\n{}", take_log(&mut bench));
    for input in body.lines().filter_map(|line| line.strip_prefix("> ")) {
        step(&mut bench, input);
        played.push_str(&format!("> {input}\n{}", take_log(&mut bench)));
    }
    played
}

fn begin(head: &str) -> Bench {
    let values = |key: &'static str| head.lines().filter_map(move |line| line.strip_prefix(key));
    let client = match values("client: ").next().unwrap() {
        "openai" => ClientProtocol::OpenAi,
        "token" => ClientProtocol::Token,
        other => panic!("no client is called {other}"),
    };
    let settings: Vec<_> = values("config: ").collect();
    let config = format!("{}\n{CONFIG}", settings.join("\n"));
    Bench::new(client, values("request: ").next().unwrap(), &config)
}

fn step(bench: &mut Bench, input: &str) {
    let (what, rest) = input.split_once(' ').unwrap_or((input, ""));
    let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let attempt = || number.parse().unwrap();
    match what {
        "head" => {
            let (status, content_type) = rest.split_once(' ').unwrap_or((rest, ""));
            bench.step(&HeadOf(attempt(), status.parse().unwrap(), content_type));
        }
        "bytes" => bench.step(&Bytes(attempt(), &rest.replace("\\n", "\n"))),
        "event" => bench.step(&Says(attempt(), event(rest))),
        "end" => bench.step(&Over(attempt())),
        "lost" => bench.step(&Lost(attempt(), reason(rest))),
        "hangup" => bench.step(&Hangup),
        "pause" => bench.step(&Pause),
        "resume" => bench.step(&Resume),
        "after" => bench.step(&After(number.parse().unwrap())),
        other => panic!("no input is called {other}"),
    }
}

fn event(text: &str) -> Event<'_> {
    let (kind, value) = text.split_once(' ').unwrap_or((text, ""));
    match (kind, value) {
        ("text", text) => Event::Text(text.into()),
        ("usage", counts) => {
            let (input, output) = counts.split_once(' ').unwrap();
            let (input_tokens, output_tokens) = (input.parse().unwrap(), output.parse().unwrap());
            Event::Usage(Usage { input_tokens, output_tokens, ..Usage::default() })
        }
        ("finish", "stop") => Event::Finish(FinishReason::Stop),
        ("finish", "length") => Event::Finish(FinishReason::Length),
        _ => panic!("no event is called {text}"),
    }
}

fn reason(code: &str) -> Reason {
    let reasons = [Reason::Lost, Reason::Connect, Reason::Cut];
    let found = reasons.into_iter().find(|reason| reason.code() == code);
    found.unwrap_or_else(|| panic!("no input of these files has the code {code}"))
}

fn take_log(bench: &mut Bench) -> String {
    bench.log.drain(..).map(|line| line + "\n").collect()
}
