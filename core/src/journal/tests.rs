use super::*;
use crate::chat::FinishReason;

const WIRE: Wire = Wire { protocol: ClientProtocol::OpenAi, stream: true };

fn journal(entries_max: usize, bytes_max: usize) -> Journal {
    Journal::new(WIRE, Bounds { entries_max, bytes_max })
}

fn text(text: &str) -> Event<'_> {
    Event::Text(text.into())
}

fn call<'a>(index: u32, id: Option<&'a str>, arguments: &'a str) -> Event<'a> {
    let (id, name) = (id.map(Into::into), id.map(|_| "f".into()));
    Event::ToolCall(ToolCall { index, id, name, arguments: arguments.into() })
}

/// The content of the snapshot, and the entries it stands for.
fn snapshot(journal: &Journal) -> Vec<(Event<'static>, u64, u64)> {
    let parts = journal.snapshot().expect("a snapshot");
    parts.iter().map(|part| (part.event.clone(), part.from, part.to)).collect()
}

#[test]
fn entries_are_numbered_from_none() {
    let mut journal = journal(9, 99);
    journal.event(&text("a"));
    journal.forward(b"data: b\n\n", vec![text("b").into_owned()]);
    assert_eq!(journal.entry(0).unwrap().events(), [text("a")]);
    assert_eq!(journal.entry(1).unwrap().events(), [text("b")]);
    assert!(journal.entry(2).is_none() && journal.end_at(2).is_none());
    journal.end(End::Cancelled, false, Times::default());
    assert!(journal.end_at(2).is_some() && journal.end_at(1).is_none());
}

#[test]
fn beyond_its_bounds_the_oldest_entries_are_merged() {
    for mut journal in [journal(2, 99), journal(99, 2)] {
        ["a", "b", "c", "d", "e"].iter().for_each(|it| journal.event(&text(it)));
        assert_eq!(journal.first(), 3);
        assert_eq!(snapshot(&journal), [(text("abc"), 0, 3)]);
        assert!(journal.reaches(0) && journal.reaches(3) && journal.reaches(9));
        assert!(!journal.reaches(1) && !journal.reaches(2));
    }
}

#[test]
fn the_last_entry_stays_however_long_it_is() {
    let mut journal = journal(9, 2);
    journal.event(&text("a long one"));
    assert_eq!(journal.first(), 0);
    journal.event(&text("b"));
    assert_eq!(journal.first(), 1);
}

#[test]
fn only_what_goes_on_is_merged() {
    let mut journal = journal(1, 99);
    let finish = Event::Finish(FinishReason::Stop);
    let events = [
        text("a"),
        Event::Reasoning("b".into()),
        text("c"),
        text("d"),
        call(0, Some("x"), "["),
        call(0, None, "1"),
        call(1, Some("y"), ""),
        call(1, None, "2"),
        finish.clone(),
        text("the last"),
    ];
    events.iter().for_each(|event| journal.event(event));
    assert_eq!(
        snapshot(&journal),
        [
            (text("a"), 0, 1),
            (Event::Reasoning("b".into()), 1, 2),
            (text("cd"), 2, 4),
            (call(0, Some("x"), "[1"), 4, 6),
            (call(1, Some("y"), "2"), 6, 8),
            (finish, 8, 9),
        ]
    );
    assert_eq!(journal.snapshot().unwrap()[2].after(1), text("d"));
    assert_eq!(journal.snapshot().unwrap()[3].after(1), call(0, None, "1"));
}

#[test]
fn a_snapshot_of_too_many_parts_is_given_up() {
    let mut journal = journal(1, 99);
    for _ in 0..PARTS_MAX {
        journal.event(&text("a"));
        journal.event(&Event::Reasoning("b".into()));
    }
    assert!(journal.snapshot().is_none());
    assert!(!journal.reaches(0) && journal.reaches(journal.first()));
}
