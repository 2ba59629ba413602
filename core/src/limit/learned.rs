//! The limits that providers stated when they rejected a request, and the parameters they refused, by
//! endpoint and model, shared
//! by all answers of one process or isolate. Times are seconds since 1970; a store may keep the
//! rows for the next one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::parameter::Parameters;
use super::refusal::StatedLimits;

/// How many rows are kept; the oldest is evicted first.
pub(crate) const ROWS_MAX: usize = 1000;
/// How long a learned limit is used: a provider may have raised it since.
const AGE_MAX_SECONDS: u64 = 30 * 24 * 60 * 60;

/// The limits of one model at one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LearnedLimit {
    /// The provider's base URL.
    pub endpoint: String,
    /// The model's name there.
    pub model: String,
    /// The longest answer, in tokens, where known.
    pub max_output: Option<u32>,
    /// The context window, in tokens, where known.
    pub context_window: Option<u32>,
    /// The longest prompt, in tokens, where known.
    pub max_input: Option<u32>,
    /// What is refused, and left out from then on.
    pub refused: Parameters,
    /// Whose error text it was, the last time.
    pub source: String,
    /// When, in seconds since 1970.
    pub learned_at: u64,
}

/// What was learned. Cheap to clone: clones share it.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    rows: Arc<Mutex<HashMap<String, LearnedLimit>>>,
}

impl Learned {
    /// The limits of `model` at `endpoint`, unless they are too old at `unix_seconds`.
    pub fn find(&self, endpoint: &str, model: &str, unix_seconds: u64) -> Option<LearnedLimit> {
        let rows = self.lock();
        if rows.is_empty() {
            return None;
        }
        let row = rows.get(&key(endpoint, model))?;
        (unix_seconds.saturating_sub(row.learned_at) <= AGE_MAX_SECONDS).then(|| row.clone())
    }

    /// Records a rejection of `model` by `endpoint`, and returns all that is known of it now.
    pub fn note(
        &self,
        endpoint: &str,
        model: &str,
        refusal: &StatedLimits,
        unix_seconds: u64,
    ) -> LearnedLimit {
        let known = self.find(endpoint, model, unix_seconds).unwrap_or_default();
        let row = LearnedLimit {
            endpoint: endpoint.to_owned(),
            model: model.to_owned(),
            max_output: refusal.max_output.or(known.max_output),
            context_window: refusal.context_window.or(known.context_window),
            max_input: refusal.max_input.or(known.max_input),
            refused: known.refused,
            source: refusal.source.to_owned(),
            learned_at: unix_seconds,
        };
        self.restore([row.clone()]);
        row
    }

    /// Records that `endpoint` refused these parameters for `model`, and returns all that is known of
    /// it now.
    pub fn note_refused(
        &self,
        endpoint: &str,
        model: &str,
        refused: Parameters,
        unix_seconds: u64,
    ) -> LearnedLimit {
        let known = self.find(endpoint, model, unix_seconds).unwrap_or_default();
        let row = LearnedLimit {
            endpoint: endpoint.to_owned(),
            model: model.to_owned(),
            refused: known.refused.and(refused),
            learned_at: unix_seconds,
            ..known
        };
        self.restore([row.clone()]);
        row
    }

    /// Takes in rows that were kept elsewhere; of two about the same the later one counts.
    pub fn restore(&self, kept: impl IntoIterator<Item = LearnedLimit>) {
        let mut rows = self.lock();
        for row in kept {
            match rows.entry(key(&row.endpoint, &row.model)) {
                Entry::Occupied(known) if known.get().learned_at > row.learned_at => {}
                Entry::Occupied(mut known) => drop(known.insert(row)),
                Entry::Vacant(place) => drop(place.insert(row)),
            }
        }
        while rows.len() > ROWS_MAX {
            let oldest = rows.iter().min_by_key(|(_, row)| row.learned_at);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { return };
            rows.remove(&oldest);
        }
    }

    /// All rows, by endpoint and model.
    pub fn rows(&self) -> Vec<LearnedLimit> {
        let mut rows: Vec<_> = self.lock().values().cloned().collect();
        rows.sort_by(|a, b| (&a.endpoint, &a.model).cmp(&(&b.endpoint, &b.model)));
        rows
    }

    /// A lock that a panic cannot poison for good: every row is a valid one.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, LearnedLimit>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No URL has a space.
fn key(endpoint: &str, model: &str) -> String {
    format!("{endpoint} {model}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    fn refusal(max_output: Option<u32>, context_window: Option<u32>) -> StatedLimits {
        StatedLimits { max_output, context_window, source: "openai", ..StatedLimits::default() }
    }

    #[test]
    fn what_was_said_is_known_of_that_endpoint_and_model_alone() {
        let learned = Learned::default();
        learned.note("http://a", "m", &refusal(Some(4096), None), 7);
        learned.note("http://a", "m", &refusal(None, Some(8192)), 9);
        let row = learned.find("http://a", "m", 10).unwrap();
        assert_eq!((row.max_output, row.context_window), (Some(4096), Some(8192)));
        assert_eq!((row.source.as_str(), row.learned_at), ("openai", 9));
        assert_eq!(learned.find("http://b", "m", 10), None);
        assert_eq!(learned.find("http://a", "n", 10), None);
        assert_eq!(learned.clone().rows(), [row]);
    }

    #[test]
    fn what_is_refused_is_known_beside_the_limits() {
        let learned = Learned::default();
        let [seed, user] = ["seed", "user"].map(Parameters::named);
        learned.note_refused("http://a", "m", seed, 7);
        learned.note("http://a", "m", &refusal(Some(4096), None), 8);
        let row = learned.note_refused("http://a", "m", user, 9);
        assert_eq!((row.refused, row.max_output), (seed.and(user), Some(4096)));
        assert_eq!((row.source.as_str(), row.learned_at), ("openai", 9));
    }

    #[test]
    fn what_is_old_does_not_count_and_is_not_merged() {
        let learned = Learned::default();
        learned.note("http://a", "m", &refusal(Some(4096), None), 0);
        assert!(learned.find("http://a", "m", 30 * DAY).is_some());
        assert_eq!(learned.find("http://a", "m", 30 * DAY + 1), None);
        let row = learned.note("http://a", "m", &refusal(None, Some(8192)), 31 * DAY);
        assert_eq!(row.max_output, None);
    }

    #[test]
    fn the_later_of_two_rows_counts_and_the_oldest_are_forgotten() {
        let learned = Learned::default();
        let row = |number: u64, learned_at| LearnedLimit {
            endpoint: format!("http://{number}"),
            learned_at,
            ..LearnedLimit::default()
        };
        learned.restore([row(5, 50), row(5, 49)]);
        assert_eq!(learned.rows(), [row(5, 50)]);
        learned.restore((0..1100).map(|number| row(number, 100 + number)));
        assert_eq!(learned.rows().len(), ROWS_MAX);
        assert_eq!(learned.rows().iter().map(|row| row.learned_at).min(), Some(200));
    }
}
