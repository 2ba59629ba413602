//! Streams by the million: scripts of clients, providers and faults drive the pure core in virtual
//! time, a reference model computes what must come out, and the six promises are held against every
//! step.
//!
//! ```text
//!  seed, bytes of a fuzzer, ──► Choices ──► Script ──┬──► world ──► core ──► Outcome ─┐
//!  every short combination                           └──► model ───────────► Expected ┴─► agree?
//! ```
//!
//! A [`Script`] is a [`search::Case`]: it is searched for by seeds, exhausted where it is short, and
//! shrunk where it fails. So is a [`splice::Seam`].

pub mod choices;
pub mod fuzz;
pub mod model;
pub mod promises;
pub mod provider;
pub mod reader;
pub mod script;
pub mod search;
pub mod splice;
pub mod world;

use streamgate_core::protocol::ClientProtocol;
use streamgate_core::relay;

use choices::Choices;
use model::{End, Expected};
use script::Script;
use search::Case;
use world::Outcome;

impl Case for Script {
    fn draw(choices: &mut Choices<'_>) -> Self {
        Self::any(choices)
    }

    /// Plays it. The error is how a promise was broken or the model contradicted.
    fn check(&self) -> Result<bool, String> {
        let outcome = world::play(self)?;
        let Some(expected) = model::expect(self) else { return Ok(false) };
        agree(self, &outcome, &expected)?;
        Ok(true)
    }
}

/// Whether what came is what had to come; a client that left has seen the beginning of it.
fn agree(script: &Script, outcome: &Outcome, expected: &Expected) -> Result<(), String> {
    let Some((_, settlement)) = &outcome.settlement else { return Err("not settled".into()) };
    let head = outcome.head.map_or(0, |(_, status)| status);
    let text = if settlement.fallback { "" } else { outcome.read.text.as_str() };
    let known = script.client.pauses.is_none();
    let ends = match (&settlement.end, expected.end) {
        (relay::End::Cancelled, _) => {
            expected.text.starts_with(text) && expected.calls.starts_with(&outcome.calls)
        }
        (relay::End::Finished(_), End::Finished) => !settlement.fallback,
        (relay::End::Finished(_), End::Message) => settlement.fallback,
        (relay::End::Failed(failure), End::Failed(status)) => {
            failure.status() == status && (head == status || head == 200)
        }
        _ => false,
    };
    let cancelled = matches!(settlement.end, relay::End::Cancelled);
    let usage = &settlement.usage;
    let cost = (!usage.estimated).then_some((usage.input_tokens, usage.output_tokens));
    // A non-streaming client gets all of the answer or none.
    let whole_or_none = script.client.stream || expected.end == End::Finished;
    let expected_text = if whole_or_none { expected.text.as_str() } else { "" };
    let same = cancelled
        || (text == expected_text && outcome.calls == expected.calls && cost == expected.cost);
    let plain = script.client.protocol == ClientProtocol::OpenAi && script.client.stream;
    let same = same && (!plain || cancelled || outcome.read.role || !expected.role);
    if (ends && same) || !known {
        return Ok(());
    }
    let Outcome { calls, .. } = outcome;
    let end = &settlement.end;
    Err(format!("expected {expected:#?}\ncame {end:?} ({head}), {text:?}, {cost:?}, {calls:#?}"))
}
