//! Stop sequences, where the provider's protocol has none or the model refuses them: the answer is cut here, at the first one, as
//! if the provider had. What may be the beginning of one is held back until that is decided.

use crate::chat::{ChatRequest, Event, FinishReason};
use crate::target::{Target, Upstream};

/// The stop sequences of one attempt.
#[derive(Debug, Default)]
pub(super) struct Stops {
    /// None is empty; none at all where the provider applies them.
    sequences: Vec<String>,
    /// Text that may begin one: shorter than the longest.
    held: String,
    met: bool,
}

impl Stops {
    /// Those that a call to this target must be held to.
    pub(super) fn of(request: &ChatRequest, target: &Target) -> Self {
        let is_ours = match target.provider.upstream {
            Upstream::Http(protocol) => protocol.cuts_at_no_stop(&target.model),
            Upstream::Local => false,
        };
        let sequences = request.stop.iter().filter(|sequence| is_ours && !sequence.is_empty());
        Self { sequences: sequences.cloned().collect(), ..Self::default() }
    }

    /// Whether events need not pass here.
    pub(super) fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Whether the answer is over because one was met.
    pub(super) fn are_met(&self) -> bool {
        self.met
    }

    /// What an event is here. After a stop sequence only the usage is left.
    pub(super) fn pass(&mut self, event: &Event<'_>) -> Vec<Event<'static>> {
        match event {
            Event::Start { .. } | Event::Prompt(_) | Event::Usage(_) | Event::Warning(_) => {
                vec![event.clone().into_owned()]
            }
            Event::Text(_)
            | Event::Reasoning(_)
            | Event::Refusal(_)
            | Event::ToolCall(_)
            | Event::Other(_)
            | Event::Finish(_)
                if self.met =>
            {
                Vec::new()
            }
            Event::Text(text) => self.text(text),
            Event::Reasoning(_)
            | Event::Refusal(_)
            | Event::ToolCall(_)
            | Event::Other(_)
            | Event::Finish(_) => {
                let held = said(std::mem::take(&mut self.held));
                held.into_iter().chain([event.clone().into_owned()]).collect()
            }
        }
    }

    fn text(&mut self, more: &str) -> Vec<Event<'static>> {
        let mut text = std::mem::take(&mut self.held) + more;
        let ends = self.sequences.iter().filter_map(|sequence| {
            let start = text.find(sequence.as_str())?;
            Some((start + sequence.len(), start))
        });
        // The first that is complete, as a provider would meet it.
        if let Some((_, start)) = ends.min() {
            self.met = true;
            text.truncate(start);
            return said(text).into_iter().chain([Event::Finish(FinishReason::Stop)]).collect();
        }
        self.held = text.split_off(text.len() - self.open_bytes(&text));
        said(text).into_iter().collect()
    }

    /// How many bytes at the end of the text may begin a stop sequence.
    fn open_bytes(&self, text: &str) -> usize {
        let open = |sequence: &String| {
            let most = text.len().min(sequence.len() - 1);
            let begins = |bytes: &usize| text.as_bytes().ends_with(&sequence.as_bytes()[..*bytes]);
            (1..=most).rev().find(begins).unwrap_or(0)
        };
        // The end of a text is that of a character, and a sequence begins with one.
        self.sequences.iter().map(open).max().unwrap_or(0)
    }
}

fn said(text: String) -> Option<Event<'static>> {
    (!text.is_empty()).then(|| Event::Text(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops(sequences: &[&str]) -> Stops {
        let sequences = sequences.iter().map(|text| (*text).to_owned()).collect();
        Stops { sequences, ..Stops::default() }
    }

    /// What comes of a text in these pieces, and whether it was cut.
    fn cut(sequences: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut stops = stops(sequences);
        let pieces = pieces.iter().map(|piece| Event::Text((*piece).into()));
        let events = pieces.chain([Event::Finish(FinishReason::Length)]);
        let (mut text, mut finishes) = (String::new(), Vec::new());
        for event in events.flat_map(|event| stops.pass(&event)).collect::<Vec<_>>() {
            match event {
                Event::Text(more) => text.push_str(&more),
                Event::Finish(reason) => finishes.push(reason),
                other => panic!("{other:?}"),
            }
        }
        let reason = if stops.met { FinishReason::Stop } else { FinishReason::Length };
        assert_eq!(finishes, [reason], "an answer ends once");
        (text, stops.met)
    }

    /// Each row: stop sequences, a text, and what is left of it; however it is split.
    #[test]
    fn a_text_is_cut_at_the_first_stop_sequence() {
        let rows: [(&[&str], &str, &str); 9] = [
            (&["END"], "Hello END more", "Hello "),
            (&["END"], "Hello EN", "Hello EN"),
            (&["END"], "EENDD", "E"),
            (&["aab"], "aaab", "a"),
            (&["\n\n"], "a\nb\n\nc", "a\nb"),
            (&["xyz", "y"], "wxyz", "wx"),
            (&["ü\u{1f600}"], "für ü\u{1f600}", "für "),
            (&["END"], "END", ""),
            (&["abc", "bcd"], "xabd bcd", "xabd "),
        ];
        for (sequences, text, expected) in rows {
            let is_cut = expected != text;
            assert_eq!(cut(sequences, &[text]), (expected.into(), is_cut), "{text}");
            let each: Vec<_> = text.split("").filter(|piece| !piece.is_empty()).collect();
            assert_eq!(cut(sequences, &each), (expected.into(), is_cut), "{text}");
            for (at, _) in text.char_indices() {
                let (head, tail) = text.split_at(at);
                assert_eq!(cut(sequences, &[head, tail]), (expected.into(), is_cut), "{text}");
            }
        }
    }

    #[test]
    fn what_is_held_comes_before_what_is_no_text() {
        let mut stops = stops(&["END"]);
        assert_eq!(stops.pass(&Event::Text("a E".into())), [Event::Text("a ".into())]);
        let thought = Event::Reasoning("hm".into());
        assert_eq!(stops.pass(&thought), [Event::Text("E".into()), thought]);
        assert_eq!(stops.pass(&Event::Text("ND".into())), [Event::Text("ND".into())]);
    }
}
