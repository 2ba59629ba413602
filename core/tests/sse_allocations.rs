//! What the event decoder asks of the allocator, counted.

mod counting;

use streamgate_core::sse::{Decoder, EVENT_BYTES_MAX_DEFAULT, KEPT_BYTES_MAX, encode};

/// The number of allocations `work` makes, and the bytes it leaves behind.
fn counted(work: impl FnOnce()) -> (usize, isize) {
    let before = (counting::allocations(), counting::live_bytes());
    work();
    (counting::allocations() - before.0, counting::live_bytes() - before.1)
}

/// Pushes the chunks and returns the number of events.
fn drain<'a>(decoder: &mut Decoder, chunks: impl IntoIterator<Item = &'a [u8]>) -> usize {
    let mut events = 0;
    for mut chunk in chunks {
        while decoder.next(&mut chunk).expect("short").is_some() {
            events += 1;
        }
    }
    events
}

fn stream(events: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    for number in 0..events {
        let data = format!(r#"{{"choices":[{{"index":0,"delta":{{"content":" {number}"}}}}]}}"#);
        encode(&mut stream, Some("chunk"), Some("7"), data.as_bytes());
    }
    stream
}

#[test]
fn whole_events_allocate_nothing() {
    let stream = stream(100);
    let allocated = counted(|| {
        let mut decoder = Decoder::new(EVENT_BYTES_MAX_DEFAULT);
        assert_eq!(drain(&mut decoder, [&stream[..]]), 100);
    });
    assert_eq!(allocated, (0, 0));
}

#[test]
fn events_across_chunks_share_one_buffer() {
    let stream = stream(1_000);
    for chunk_bytes in 1..=128 {
        let mut decoder = Decoder::new(EVENT_BYTES_MAX_DEFAULT);
        drain(&mut decoder, stream.chunks(chunk_bytes));
        let allocated = counted(|| {
            assert_eq!(drain(&mut decoder, stream.chunks(chunk_bytes)), 1_000);
        });
        assert_eq!(allocated, (0, 0), "chunks of {chunk_bytes} bytes");
    }
}

#[test]
fn joined_data_lines_share_one_buffer() {
    let stream = b"data: one\ndata: two\ndata: three\n\n".repeat(100);
    let mut decoder = Decoder::new(EVENT_BYTES_MAX_DEFAULT);
    drain(&mut decoder, stream.chunks(50));
    let allocated = counted(|| {
        assert_eq!(drain(&mut decoder, stream.chunks(50)), 100);
    });
    assert_eq!(allocated, (0, 0));
}

#[test]
fn a_huge_event_leaves_no_huge_buffer() {
    let half = vec![b'x'; 1024 * 1024];
    let event = [b"data: ", &half[..], b"\ndata: ", &half[..], b"\n\n"].concat();
    let comment = [b": ", &half[..], b"\n\n"].concat();
    for huge in [event, comment] {
        let mut decoder = Decoder::new(EVENT_BYTES_MAX_DEFAULT);
        let (_, kept) = counted(|| {
            drain(&mut decoder, huge.chunks(4096));
            drain(&mut decoder, [&b"data: small\n\n"[..]]);
        });
        assert!(kept <= 2 * KEPT_BYTES_MAX as isize, "{kept} bytes kept");
    }
}

#[test]
fn the_cap_bounds_the_buffer() {
    const CAP: usize = 100_000;
    let line = [b"data: ", &[b'x'; CAP - 7][..]].concat();
    let mut decoder = Decoder::new(CAP);
    let (_, held) = counted(|| {
        assert_eq!(drain(&mut decoder, line.chunks(1000)), 0);
    });
    assert!((CAP as isize - 1000..=CAP as isize + 2).contains(&held), "{held} bytes held");

    let (_, freed) = counted(|| {
        assert!(decoder.next(&mut &b"xxx"[..]).is_err());
    });
    assert_eq!(freed, -held, "an event over the cap is not kept");
}

#[test]
fn encoding_needs_its_output_only() {
    let mut out = Vec::with_capacity(1024);
    let allocated = counted(|| encode(&mut out, Some("chunk"), Some("7"), b"one\r\ntwo\nthree"));
    assert_eq!(allocated, (0, 0));
}
