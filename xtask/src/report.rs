//! The results of the gates, as one table.

use std::time::Duration;

use anyhow::Result;

use crate::checks::Verdict;

#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

struct Row {
    gate: &'static str,
    took: Duration,
    outcome: Outcome,
    note: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Passed,
    Skipped,
    Failed,
}

impl Report {
    pub(crate) fn add(&mut self, gate: &'static str, took: Duration, verdict: &Result<Verdict>) {
        let (outcome, note) = match verdict {
            Ok(Verdict::Passed(note)) => (Outcome::Passed, note.clone()),
            Ok(Verdict::Skipped(why)) => (Outcome::Skipped, (*why).to_string()),
            Err(error) => (Outcome::Failed, error.to_string()),
        };
        self.rows.push(Row { gate, took, outcome, note });
    }

    pub(crate) fn print(&self) {
        println!();
        for Row { gate, took, outcome, note } in &self.rows {
            let seconds = took.as_secs_f64();
            println!("{gate:12}{:9}{seconds:7.1} s  {note}", outcome.word());
        }
        let count = |wanted| self.rows.iter().filter(|row| row.outcome == wanted).count();
        let [passed, failed, skipped] =
            [Outcome::Passed, Outcome::Failed, Outcome::Skipped].map(count);
        println!("gates: {passed} passed, {failed} failed, {skipped} skipped");
    }
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Skipped => "skipped",
            Self::Failed => "FAILED",
        }
    }
}
