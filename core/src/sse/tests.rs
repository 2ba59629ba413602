use super::*;

const CAP: usize = 64;

/// What a stream came to: events as (name, id, data, raw), and how it ended.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct Outcome {
    events: Vec<Seen>,
    end: End,
}

#[derive(Debug, PartialEq, Eq, Clone)]
struct Seen {
    name: String,
    id: Option<String>,
    data: Vec<u8>,
    raw: Vec<u8>,
}

#[derive(Debug, Default, PartialEq, Eq, Clone)]
enum End {
    #[default]
    Clean,
    Whole(Seen),
    Cut(Seen),
    TooLong,
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        Seen {
            name: event.name.into(),
            id: event.id.map(Into::into),
            data: event.data.into(),
            raw: event.raw.into(),
        }
    }
}

fn decode<'a>(cap: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = Decoder::new(cap);
    let mut outcome = Outcome::default();
    for mut chunk in chunks {
        loop {
            match decoder.next(&mut chunk) {
                Ok(Some(event)) => outcome.events.push(event.into()),
                Ok(None) => break,
                Err(TooLong { limit }) => {
                    assert_eq!((limit, &outcome.end), (cap, &End::Clean), "reported once");
                    outcome.end = End::TooLong;
                }
            }
        }
        assert!(chunk.is_empty(), "a chunk is used up");
    }
    match decoder.finish() {
        None => {}
        Some(Leftover::Event(event)) => outcome.end = End::Whole(event.into()),
        Some(Leftover::Cut(event)) => outcome.end = End::Cut(event.into()),
    }
    assert_eq!(decoder.finish(), None, "ends once");
    outcome
}

#[test]
fn smoke() {
    let out = decode(CAP, [&b"data: a\n\nda"[..], b"ta: b\n", b"\nda", b"ta: c"]);
    assert_eq!(out.events.len(), 2);
    assert!(matches!(out.end, End::Cut(seen) if seen.data == b"c"));
}
