//! Holds core's estimate of tokens against what tokenizers count: reads the samples that
//! `tests/bench/tokens.mjs` writes, and prints for each kind of text how far the estimate is off.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

use serde::Deserialize;
use streamgate_core::limit::tokens::of_text;

/// The weights are not fitted to it: a vocabulary of 32,000 spells most scripts byte by byte.
const LEFT_OUT: &str = "mistral-v1";

#[derive(Deserialize)]
struct Sample {
    kind: String,
    text: String,
    tokens: BTreeMap<String, u32>,
}

/// Each is an estimate by a count: above 1 it errs upwards.
#[derive(Default)]
struct Ratios {
    /// The lowest estimate by the least that a tokenizer counts.
    low: Vec<f64>,
    /// The likely one by the median.
    likely: Vec<f64>,
    /// The highest by the most.
    high: Vec<f64>,
}

fn main() -> io::Result<()> {
    let Some(path) = std::env::args().nth(1) else {
        return Err(io::Error::other("expected the file that tests/bench/tokens.mjs wrote"));
    };
    let mut kinds = BTreeMap::<String, Ratios>::new();
    let mut all = Ratios::default();
    for line in BufReader::new(File::open(path)?).lines() {
        let sample: Sample = serde_json::from_str(&line?)?;
        all.add(&sample);
        kinds.entry(sample.kind.clone()).or_default().add(&sample);
    }
    println!("{:<18} {:>8}  high / most       likely / median   low / least", "", "samples");
    for (kind, ratios) in kinds {
        ratios.print(&kind);
    }
    all.print("all");
    Ok(())
}

impl Ratios {
    fn add(&mut self, sample: &Sample) {
        let tokens = sample.tokens.iter().filter(|(name, _)| *name != LEFT_OUT);
        let mut tokens: Vec<_> = tokens.map(|(_, tokens)| f64::from((*tokens).max(1))).collect();
        tokens.sort_by(f64::total_cmp);
        let [Some(least), Some(most)] = [tokens.first(), tokens.last()] else { return };
        let length = of_text(&sample.text);
        self.low.push(f64::from(length.low) / least);
        self.likely.push(f64::from(length.likely) / tokens[tokens.len() / 2]);
        self.high.push(f64::from(length.high) / most);
    }

    fn print(mut self, kind: &str) {
        let samples = self.high.len();
        let [high, likely, low] =
            [&mut self.high, &mut self.likely, &mut self.low].map(|ratios| quantiles(ratios));
        println!("{kind:<18} {samples:>8}  {high}  {likely}  {low}");
    }
}

/// The first, the middle and the last hundredth.
fn quantiles(ratios: &mut [f64]) -> String {
    ratios.sort_by(f64::total_cmp);
    let at = |percent: usize| ratios[(ratios.len() - 1) * percent / 100];
    format!("{:4.2} {:4.2} {:4.2}  ", at(1), at(50), at(99))
}
