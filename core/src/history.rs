//! What was answered here, for a while: in Responses a later request may refer to a response or to an
//! item of one in place of sending it again. In the memory of one process or isolate, until
//! conversations are saved. Times are seconds since 1970.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How long a response is kept after it was last referred to.
const AGE_MAX_SECONDS: u64 = 60 * 60;
/// How many are kept; those that were not used for longest go first.
const EXCHANGES_MAX: usize = 1000;
/// How many bytes all of them may have.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// How many bytes one may have, its conversation included; a longer one is not kept.
const EXCHANGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A response, with what it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Its id.
    pub id: String,
    /// The conversation up to it: the JSON of items, with commas between.
    pub input: String,
    /// What the answer added.
    pub output: Vec<Item>,
}

/// An item of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// Its JSON, without what a provider gives it; `None` where no provider reads it.
    pub json: Option<String>,
}

/// What is kept. Cheap to clone: clones share it.
#[derive(Clone, Debug, Default)]
pub struct History {
    kept: Arc<Mutex<VecDeque<Kept>>>,
}

#[derive(Debug)]
struct Kept {
    /// Whose; empty where nobody has a name.
    user: Arc<str>,
    exchange: Exchange,
    used_at: u64,
}

impl Exchange {
    fn bytes(&self) -> usize {
        let item = |item: &Item| item.id.len() + item.json.as_ref().map_or(0, String::len);
        self.id.len() + self.input.len() + self.output.iter().map(item).sum::<usize>()
    }

    /// The conversation after it: the JSON of items, with commas between.
    fn conversation(&self) -> String {
        let output = self.output.iter().filter_map(|item| item.json.as_deref());
        let input = Some(self.input.as_str()).filter(|input| !input.is_empty());
        input.into_iter().chain(output).collect::<Vec<_>>().join(",")
    }
}

impl History {
    /// Keeps a user's exchange.
    pub fn keep(&self, user: &Arc<str>, exchange: Exchange, now: u64) {
        if exchange.bytes() > EXCHANGE_BYTES_MAX {
            return;
        }
        let mut kept = self.lock();
        kept.push_back(Kept { user: user.clone(), exchange, used_at: now });
        let mut bytes: usize = kept.iter().map(|kept| kept.exchange.bytes()).sum();
        while kept.len() > EXCHANGES_MAX || bytes > BYTES_MAX {
            let Some(oldest) = kept.pop_front() else { return };
            bytes -= oldest.exchange.bytes();
        }
    }

    /// The conversation up to a user's response of this id, and it.
    pub(crate) fn conversation(&self, user: &str, id: &str, now: u64) -> Option<String> {
        self.find(user, now, |exchange| (exchange.id == id).then(|| exchange.conversation()))
    }

    /// The item of this id in one of a user's responses: its JSON, if a provider reads it.
    pub(crate) fn item(&self, user: &str, id: &str, now: u64) -> Option<Option<String>> {
        self.find(user, now, |exchange| {
            let item = exchange.output.iter().find(|item| item.id == id);
            item.map(|item| item.json.clone())
        })
    }

    /// What is found in the user's latest exchange that has it, which then counts as used.
    fn find<T>(&self, user: &str, now: u64, pick: impl Fn(&Exchange) -> Option<T>) -> Option<T> {
        let mut kept = self.lock();
        kept.retain(|kept| now.saturating_sub(kept.used_at) <= AGE_MAX_SECONDS);
        let (place, found) = kept
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, kept)| *kept.user == *user)
            .find_map(|(place, kept)| Some((place, pick(&kept.exchange)?)))?;
        if let Some(mut used) = kept.remove(place) {
            used.used_at = now;
            kept.push_back(used);
        }
        Some(found)
    }

    /// A lock that a panic cannot poison for good: every exchange is a whole one.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(id: &str, input: &str) -> Exchange {
        let item = |name: &str, json: Option<&str>| Item {
            id: format!("{name}_{id}"),
            json: json.map(str::to_owned),
        };
        let output = vec![item("rs", None), item("msg", Some("{\"m\":1}"))];
        Exchange { id: id.into(), input: input.into(), output }
    }

    fn keep(history: &History, user: &str, exchange: Exchange, now: u64) {
        history.keep(&user.into(), exchange, now);
    }

    #[test]
    fn an_answer_is_found_by_its_user_alone() {
        let history = History::default();
        keep(&history, "ada", exchange("r1", "{\"a\":1},{\"b\":2}"), 0);
        keep(&history, "bob", exchange("r2", ""), 0);
        let found = history.conversation("ada", "r1", 1);
        assert_eq!(found.as_deref(), Some("{\"a\":1},{\"b\":2},{\"m\":1}"));
        assert_eq!(history.conversation("bob", "r2", 1).as_deref(), Some("{\"m\":1}"));
        assert_eq!(history.item("ada", "msg_r1", 1), Some(Some("{\"m\":1}".into())));
        assert_eq!(history.item("ada", "rs_r1", 1), Some(None));
        for (user, id) in [("bob", "r1"), ("", "r1"), ("ada", "r2"), ("ada", "r")] {
            assert_eq!(history.conversation(user, id, 1), None, "{user} {id}");
            assert_eq!(history.item(user, &format!("msg_{id}"), 1), None, "{user} {id}");
        }
    }

    #[test]
    fn what_is_not_used_is_forgotten_after_a_time() {
        let history = History::default();
        for id in ["used", "unused"] {
            keep(&history, "ada", exchange(id, ""), 0);
        }
        assert!(history.conversation("ada", "used", AGE_MAX_SECONDS).is_some());
        assert!(history.conversation("ada", "unused", AGE_MAX_SECONDS + 1).is_none());
        assert!(history.conversation("ada", "used", 2 * AGE_MAX_SECONDS).is_some());
    }

    #[test]
    fn memory_is_bounded_in_number_and_bytes() {
        let history = History::default();
        for number in 0..=EXCHANGES_MAX {
            keep(&history, "ada", exchange(&number.to_string(), ""), 0);
        }
        assert!(history.conversation("ada", "0", 0).is_none(), "the oldest goes first");
        assert!(history.conversation("ada", "1", 0).is_some());
        keep(&history, "ada", exchange("long", &"x".repeat(EXCHANGE_BYTES_MAX)), 0);
        assert!(history.conversation("ada", "long", 0).is_none());
        for number in 0..9 {
            let input = "x".repeat(EXCHANGE_BYTES_MAX / 2);
            keep(&history, "bob", exchange(&number.to_string(), &input), 0);
        }
        let bytes: usize = history.lock().iter().map(|kept| kept.exchange.bytes()).sum();
        assert!(bytes <= BYTES_MAX);
        assert!(history.conversation("bob", "8", 0).is_some());
        assert!(history.conversation("bob", "0", 0).is_none());
    }
}
