//! A user's quota as it is kept in a Durable Object (`js/quota.mjs`): core's arithmetic on a text.

use streamgate_core::access::quota::{Act, Denial, QuotaOp, Use};
use streamgate_core::time::Instant;
use wasm_bindgen::prelude::wasm_bindgen;

/// Enters what an answer does in what its user used, at so many milliseconds after 1970. Returns what
/// the user used then, what the answer is told, and a text that is empty if the change is not worth
/// keeping on disk: the next will be.
#[wasm_bindgen]
#[expect(unreachable_pub, reason = "it is JavaScript that reaches it")]
pub fn enter(used: Option<String>, entry: &str, now: f64) -> Vec<String> {
    let mut used: Use = used.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let (said, keep) = match serde_json::from_str::<QuotaOp>(entry) {
        Ok(entry) => {
            let entered = used.apply(&entry, Instant::from_millis(now as u64));
            let is_charge = matches!(entry.act, Act::Charge(_));
            (serde_json::to_string(&entered).unwrap_or_default(), !is_charge)
        }
        // Of another version of this Worker: it is told nothing, and goes on uncounted.
        Err(_) => (String::new(), false),
    };
    let used = serde_json::to_string(&used).unwrap_or_default();
    [used, said, if keep { "keep" } else { "" }.to_owned()].into()
}

/// An entry as it is sent to the object.
pub(crate) fn written(entry: &QuotaOp) -> String {
    serde_json::to_string(entry).unwrap_or_default()
}

/// What the object said.
pub(crate) fn read(said: &str) -> Option<Result<(), Denial>> {
    serde_json::from_str(said).ok()
}
