//! Every case runs whole, cut in two at every byte, and byte by byte; with a trailing event where the
//! stream is at rest, and again from its own raw frames.

use super::*;

const CAP: usize = 64;

/// One stream, and all that may come out of it. `why` names the fault in the field, or the rule.
struct Case {
    why: &'static str,
    stream: &'static [u8],
    events: &'static [Want],
    end: WantEnd,
}

/// An event by its name, id, data and raw frame.
type Want = (&'static str, Option<&'static str>, &'static [u8], &'static [u8]);

enum WantEnd {
    Clean,
    Whole(Want),
    Cut(Want),
}
use WantEnd::{Clean, Cut, Whole};

const CASES: &[Case] = &[
    Case { why: "nothing", stream: b"", events: &[], end: Clean },
    Case {
        why: "LF",
        stream: b"data: a\n\ndata: b\n\n",
        events: &[("", None, b"a", b"data: a\n\n"), ("", None, b"b", b"data: b\n\n")],
        end: Clean,
    },
    Case {
        why: "F4: CR LF",
        stream: b"data: a\r\n\r\ndata: b\r\n\r\n",
        events: &[("", None, b"a", b"data: a\r\n\r\n"), ("", None, b"b", b"data: b\r\n\r\n")],
        end: Clean,
    },
    Case {
        why: "F4: lone CR",
        stream: b"data: a\r\rdata: b\r\r",
        events: &[("", None, b"a", b"data: a\r\r"), ("", None, b"b", b"data: b\r\r")],
        end: Clean,
    },
    Case {
        why: "F4: mixed line ends, and CR CR LF is two of them",
        stream: b"data: a\r\n\rdata: b\n\r\ndata: c\r\r\ndata: d\r\n\n",
        events: &[
            ("", None, b"a", b"data: a\r\n\r"),
            ("", None, b"b", b"data: b\n\r\n"),
            ("", None, b"c", b"data: c\r\r\n"),
            ("", None, b"d", b"data: d\r\n\n"),
        ],
        end: Clean,
    },
    Case {
        why: "LF CR is two line ends",
        stream: b"data: a\n\rdata: b\n\r\n\r",
        events: &[("", None, b"a", b"data: a\n\r"), ("", None, b"b", b"data: b\n\r\n")],
        end: Clean,
    },
    Case {
        why: "blank lines between events belong to none",
        stream: b"\n\r\n\r\n\n\ndata: a\n\n\n\r\r\n",
        events: &[("", None, b"a", b"data: a\n\n")],
        end: Clean,
    },
    Case {
        why: "F1, F3: characters of three and four bytes are cut anywhere",
        stream: "data: 中文😀\n\nevent: é\ndata: 한\r\n\r\n".as_bytes(),
        events: &[
            ("", None, "中文😀".as_bytes(), "data: 中文😀\n\n".as_bytes()),
            ("é", None, "한".as_bytes(), "event: é\ndata: 한\r\n\r\n".as_bytes()),
        ],
        end: Clean,
    },
    Case {
        why: "invalid UTF-8 is data; as a name it is nobody's, as an id it is none",
        stream: b"event: \xFF\nid: \xC3\ndata: \xFF\xFE\x80\n\n",
        events: &[(
            "\u{FFFD}",
            None,
            b"\xFF\xFE\x80",
            b"event: \xFF\nid: \xC3\ndata: \xFF\xFE\x80\n\n",
        )],
        end: Clean,
    },
    Case {
        why: "F5, F6: heartbeats are nothing",
        stream: b": OPENROUTER PROCESSING\n\n:\n\n:\n:\n\ndata: a\n\n:\n\n",
        events: &[("", None, b"a", b"data: a\n\n")],
        end: Clean,
    },
    Case {
        why: "comments inside a frame stay, comments before it go",
        stream: b": before\n:\ndata: a\n: within\nid: 1\n: last\n\n",
        events: &[("", Some("1"), b"a", b"data: a\n: within\nid: 1\n: last\n\n")],
        end: Clean,
    },
    Case {
        why: "a comment may look like data",
        stream: b":data: a\n\n: data: b\r\r",
        events: &[],
        end: Clean,
    },
    Case {
        why: "F8: without a data line nothing is dispatched and the name is forgotten",
        stream: b"event: ping\n\nid: 7\n\nretry: 5\n\ndata: a\n\n",
        events: &[("", None, b"a", b"data: a\n\n")],
        end: Clean,
    },
    Case {
        why: "F8: an empty data line is an event",
        stream: b"data:\n\ndata: \n\ndata\n\n",
        events: &[
            ("", None, b"", b"data:\n\n"),
            ("", None, b"", b"data: \n\n"),
            ("", None, b"", b"data\n\n"),
        ],
        end: Clean,
    },
    Case {
        why: "F11: JSON is cut between chunks",
        stream: b"data: {\"choices\":[{\"delta\":{\"content\":\"a:b\"}}]}\n\ndata: [DONE]\n\n",
        events: &[
            (
                "",
                None,
                b"{\"choices\":[{\"delta\":{\"content\":\"a:b\"}}]}",
                b"data: {\"choices\":[{\"delta\":{\"content\":\"a:b\"}}]}\n\n",
            ),
            ("", None, b"[DONE]", b"data: [DONE]\n\n"),
        ],
        end: Clean,
    },
    Case {
        why: "data lines are joined by LF, whatever ended them",
        stream: b"data: a\rdata: b\r\ndata:\ndata\ndata: c\n\n",
        events: &[("", None, b"a\nb\n\n\nc", b"data: a\rdata: b\r\ndata:\ndata\ndata: c\n\n")],
        end: Clean,
    },
    Case {
        why: "several data lines, then one: nothing of the first is left",
        stream: b"data: a\ndata: b\n\ndata: c\n\ndata\ndata: d\n\n",
        events: &[
            ("", None, b"a\nb", b"data: a\ndata: b\n\n"),
            ("", None, b"c", b"data: c\n\n"),
            ("", None, b"\nd", b"data\ndata: d\n\n"),
        ],
        end: Clean,
    },
    Case {
        why: "one space after the colon is dropped, no more and nothing else",
        stream: b"data:a\n\ndata:  b\n\ndata:\tc \n\ndata::d\n\n",
        events: &[
            ("", None, b"a", b"data:a\n\n"),
            ("", None, b" b", b"data:  b\n\n"),
            ("", None, b"\tc ", b"data:\tc \n\n"),
            ("", None, b":d", b"data::d\n\n"),
        ],
        end: Clean,
    },
    Case {
        why: "field names are exact",
        stream: b"Data: a\ndatax: b\n data: c\ndata : d\ndat: e\ndata: f\nx\n\n",
        events: &[(
            "",
            None,
            b"f",
            b"Data: a\ndatax: b\n data: c\ndata : d\ndat: e\ndata: f\nx\n\n",
        )],
        end: Clean,
    },
    Case {
        why: "the last name and id count, also when empty",
        stream:
            b"event: a\nevent: b\nid: 1\nid: 2\ndata: c\n\nevent: a\nevent\nid: 1\nid\ndata: d\n\n",
        events: &[
            ("b", Some("2"), b"c", b"event: a\nevent: b\nid: 1\nid: 2\ndata: c\n\n"),
            ("", Some(""), b"d", b"event: a\nevent\nid: 1\nid\ndata: d\n\n"),
        ],
        end: Clean,
    },
    Case {
        why: "an id with NUL is ignored, the one before it stays",
        stream: b"id: 1\nid: 2\x003\ndata: a\n\n",
        events: &[("", Some("1"), b"a", b"id: 1\nid: 2\x003\ndata: a\n\n")],
        end: Clean,
    },
    Case {
        why: "an event's id is its own",
        stream: b"id: 1\ndata: a\n\ndata: b\n\n",
        events: &[("", Some("1"), b"a", b"id: 1\ndata: a\n\n"), ("", None, b"b", b"data: b\n\n")],
        end: Clean,
    },
    Case {
        why: "one byte order mark is dropped",
        stream: b"\xEF\xBB\xBFdata: a\n\n",
        events: &[("", None, b"a", b"data: a\n\n")],
        end: Clean,
    },
    Case {
        why: "only one, and a frame that opens with the other one would lose it",
        stream: b"\xEF\xBB\xBF\xEF\xBB\xBFdata: a\ndata: b\n\n\xEF\xBB\xBFdata: c\ndata: d\n\n",
        events: &[("", None, b"b", b"data: b\n\n"), ("", None, b"d", b"data: d\n\n")],
        end: Clean,
    },
    Case {
        why: "half a byte order mark is none",
        stream: b"\xEF\xBBdata: a\ndata: b\n\n",
        events: &[("", None, b"b", b"data: b\n\n")],
        end: Clean,
    },
    Case {
        why: "a byte order mark inside is text",
        stream: b"data: a\n\xEF\xBB\xBFdata: b\n\ndata: \xEF\xBB\xBF\n\n",
        events: &[
            ("", None, b"a", b"data: a\n\xEF\xBB\xBFdata: b\n\n"),
            ("", None, b"\xEF\xBB\xBF", b"data: \xEF\xBB\xBF\n\n"),
        ],
        end: Clean,
    },
    Case { why: "only a byte order mark", stream: b"\xEF\xBB\xBF", events: &[], end: Clean },
    Case { why: "only a part of one", stream: b"\xEF\xBB", events: &[], end: Clean },
    Case {
        why: "the last blank line was forgotten",
        stream: b"data: a\n\ndata: [DONE]\n",
        events: &[("", None, b"a", b"data: a\n\n")],
        end: Whole(("", None, b"[DONE]", b"data: [DONE]\n")),
    },
    Case {
        why: "the last blank line was forgotten after several data lines",
        stream: b"event: x\r\ndata: a\r\ndata: b\r\n",
        events: &[],
        end: Whole(("x", None, b"a\nb", b"event: x\r\ndata: a\r\ndata: b\r\n")),
    },
    Case {
        why: "cut in the last line, which may yet be whole",
        stream: b"event: x\ndata: [DONE]",
        events: &[],
        end: Cut(("x", None, b"[DONE]", b"event: x\ndata: [DONE]")),
    },
    Case {
        why: "cut in a field name",
        stream: b"data: a\n\ndat",
        events: &[("", None, b"a", b"data: a\n\n")],
        end: Cut(("", None, b"", b"dat")),
    },
    Case {
        why: "cut before the data",
        stream: b"event: x\n",
        events: &[],
        end: Cut(("x", None, b"", b"event: x\n")),
    },
    Case { why: "a comment that was cut is no loss", stream: b"\n: hea", events: &[], end: Clean },
];

#[test]
fn cases() {
    for case in CASES {
        let mut want =
            Outcome { events: case.events.iter().map(Seen::from).collect(), end: End::Clean };
        match &case.end {
            Clean => check(case.why, &rest(case.stream), &followed(&want)),
            Whole(event) => want.end = End::Whole(event.into()),
            Cut(event) => want.end = End::Cut(event.into()),
        }
        check(case.why, case.stream, &want);
    }
}

/// The stream with one more event after it; the line ends finish a comment that was cut.
fn rest(stream: &[u8]) -> Vec<u8> {
    [stream, b"\r\rdata: trailing\n\n"].concat()
}

fn followed(outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    outcome.events.push((&("", None, &b"trailing"[..], &b"data: trailing\n\n"[..])).into());
    outcome
}

fn check(why: &str, stream: &[u8], want: &Outcome) {
    let cap = stream.len();
    let whole = decode(cap, [stream]);
    assert_eq!(&whole, want, "{why}");
    check_cuts(why, stream, cap, &whole);
    check_frames(why, &whole);
}

/// The frames of a stream, and nothing else of it, tell the same events.
fn check_frames(why: &str, want: &Outcome) {
    let frames = || want.events.iter().map(|event| &event.raw[..]);
    let again = decode(frames().map(<[u8]>::len).sum(), frames());
    let events = Outcome { events: want.events.clone(), end: End::Clean };
    assert_same(&again, &events, || format!("{why}: from its frames"));
}

fn check_cuts(why: &str, stream: &[u8], cap: usize, want: &Outcome) {
    for at in 0..=stream.len() {
        let (head, tail) = stream.split_at(at);
        assert_same(&decode(cap, [head, tail]), want, || format!("{why}: cut at {at}"));
    }
    assert_same(&decode(cap, stream.chunks(1)), want, || format!("{why}: byte by byte"));
}

/// All is equal, but for the frames of a blank line cut after its CR: there the LF may be missing, or
/// be there where none came. Where lines end in CR LF, it is never missing.
fn assert_same(cut: &Outcome, whole: &Outcome, why: impl Fn() -> String) {
    let same_raw = |cut: &[u8], whole: &[u8]| {
        cut == whole
            || cut == [whole, b"\n"].concat() && whole.ends_with(b"\r\n\r")
            || whole == [cut, b"\n"].concat() && cut.ends_with(b"\r") && !cut.ends_with(b"\r\n\r")
    };
    let same = |(cut, whole): (&Seen, &Seen)| {
        (&cut.name, &cut.id, &cut.data) == (&whole.name, &whole.id, &whole.data)
            && same_raw(&cut.raw, &whole.raw)
    };
    let same_events =
        cut.events.len() == whole.events.len() && cut.events.iter().zip(&whole.events).all(same);
    assert!(same_events && cut.end == whole.end, "{}\n{cut:#?}\n{whole:#?}", why());
}

/// All streams of up to this many of these pieces: small enough for a second, large enough to bring
/// every two states of the decoder together.
const PIECES_MAX: u32 = 6;
const PIECES: [&str; 6] = ["data", ":", " ", "a", "\r", "\n"];

fn each_stream(mut visit: impl FnMut(&str)) {
    let mut stream = String::new();
    for length in 0..=PIECES_MAX {
        for mut number in 0..PIECES.len().pow(length) {
            stream.clear();
            for _ in 0..length {
                stream.push_str(PIECES[number % PIECES.len()]);
                number /= PIECES.len();
            }
            visit(&stream);
        }
    }
}

#[test]
fn every_small_stream_reads_as_the_model_says() {
    each_stream(|stream| {
        let whole = decode(stream.len(), [stream.as_bytes()]);
        let mut events: Vec<_> = whole.events.iter().map(Seen::told).collect();
        assert_eq!(events, model(stream), "{stream:?}");

        events.extend(whole.end.event().filter(|event| event.has_data()).map(Seen::told));
        assert_eq!(events, model(&format!("{stream}\n\n")), "{stream:?}: what was left");

        check_cuts(stream, stream.as_bytes(), stream.len(), &whole);
        check_frames(stream, &whole);
    });
}

#[test]
fn cuts_do_not_move_the_cap() {
    each_stream(|stream| {
        for cap in 0..stream.len() {
            let whole = decode(cap, [stream.as_bytes()]);
            check_cuts(stream, stream.as_bytes(), cap, &whole);
        }
    });
}

/// 9.2.6 to the letter, without a thought for chunks or speed.
fn model(stream: &str) -> Vec<(String, Option<String>, Vec<u8>)> {
    let text = stream.strip_prefix('\u{FEFF}').unwrap_or(stream);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut name, mut id, mut data) = (vec![], String::new(), None, String::new());
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => {
                let (name, id) = (std::mem::take(&mut name), id.take());
                if let Some(data) = std::mem::take(&mut data).strip_suffix('\n') {
                    events.push((name, id, data.into()));
                }
            }
            "data" => data = data + value + "\n",
            "event" => name = value.into(),
            "id" if !value.contains('\0') => id = Some(value.into()),
            _ => {}
        }
    }
    events
}

#[test]
fn every_small_text_survives_the_encoder() {
    each_stream(|text| {
        let mut stream = Vec::new();
        comment(&mut stream, text);
        encode(&mut stream, Some(text), Some(text), text.as_bytes());
        let outcome = decode(stream.len(), [&stream[..]]);

        let line: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        let data = text.replace("\r\n", "\n").replace('\r', "\n");
        let told: Vec<_> = outcome.events.iter().map(Seen::told).collect();
        assert_eq!(told, [(line.clone(), Some(line), data.into_bytes())]);
        assert_eq!(outcome.end, End::Clean);
    });
}

#[test]
fn encoded_bytes() {
    let encoded = |event, id, data: &[u8]| {
        let mut out = Vec::new();
        encode(&mut out, event, id, data);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(encoded(None, None, b"a"), "data: a\n\n");
    assert_eq!(encoded(Some("x"), Some("7"), b"a"), "event: x\nid: 7\ndata: a\n\n");
    assert_eq!(encoded(None, None, b""), "data: \n\n");
    assert_eq!(encoded(None, None, b"a\r\nb\rc\nd"), "data: a\ndata: b\ndata: c\ndata: d\n\n");
    assert_eq!(encoded(None, None, b" a\n"), "data:  a\ndata: \n\n");
    assert_eq!(
        encoded(Some("x\ndata: y"), Some("1\r\nid: 2\0"), b"a"),
        "event: xdata: y\nid: 1id: 2\ndata: a\n\n",
    );

    let mut out = Vec::new();
    comment(&mut out, "");
    comment(&mut out, "a\ndata: b");
    assert_eq!(out, b": \n\n: a\n: data: b\n\n");
}

#[test]
fn a_frame_never_ends_in_half_a_cr_lf() {
    let raw = |chunks: &[&'static [u8]]| {
        let outcome = decode(CAP, chunks.iter().copied());
        outcome.events.into_iter().map(|event| event.raw).collect::<Vec<_>>()
    };
    let crlf = b"data: a\r\n\r\n";
    assert_eq!(raw(&[b"data: a\r\n\r", b"\ndata: a\r\n\r\n"]), [crlf, crlf]);
    assert_eq!(raw(&[b"data: a", b"\r", b"\n\r", b"\ndata: a\r\n\r\n"]), [crlf, crlf]);
    assert_eq!(raw(&[b"data: a\r\r", b"data: a\r", b"\r"]), [b"data: a\r\r"; 2]);
}

#[test]
fn long_lines() {
    // F9, and the chunks that would betray a second search of what came before.
    for length in [65_537, 1024 * 1024 + 1, 16 * 1024 * 1024] {
        let data = vec![b'x'; length];
        let mut stream = Vec::new();
        encode(&mut stream, None, None, &data);
        for chunk_bytes in [16, 16 * 1024, stream.len()] {
            let outcome = decode(EVENT_BYTES_MAX_DEFAULT, stream.chunks(chunk_bytes));
            assert_eq!((outcome.events.len(), outcome.end), (1, End::Clean));
            assert!(outcome.events[0].data == data && outcome.events[0].raw == stream);
        }
    }
}

#[test]
fn over_the_cap() {
    let data = vec![b'x'; EVENT_BYTES_MAX_DEFAULT];
    let mut stream = b"data: a\n\n".to_vec();
    encode(&mut stream, None, None, &data);
    stream.extend_from_slice(b"data: b\n\n");
    for chunk_bytes in [4096, stream.len()] {
        let outcome = decode(EVENT_BYTES_MAX_DEFAULT, stream.chunks(chunk_bytes));
        assert_eq!((outcome.events.len(), outcome.end), (1, End::TooLong));
    }
}

#[test]
fn the_cap_is_exact() {
    let fits = b"data: a\n: b\r\n\r\ndata: c\n\n";
    assert_eq!(decode(13, [&fits[..]]).events.len(), 2);
    let outcome = decode(12, [&fits[..]]);
    assert_eq!((outcome.events.len(), outcome.end), (0, End::TooLong));
    // Comments that belong to no event do not add up.
    assert_eq!(decode(9, [&b": comment\n"[..]; 100]).end, End::Clean);
    assert_eq!(decode(8, [&b": comment\n"[..]; 100]).end, End::TooLong);
}

#[test]
fn too_long_says_how_long() {
    assert_eq!(TooLong { limit: 64 }.to_string(), "an event of the stream is longer than 64 bytes");
}

/// Each row: a stream of lines, its records, and what the end of the stream leaves.
#[test]
fn a_line_each() {
    let rows: &[(&str, &[&str], Option<&str>)] = &[
        ("", &[], None),
        ("\n\r\n\n", &[], None),
        ("{\"a\":1}\n{\"b\":2}\n", &["{\"a\":1}", "{\"b\":2}"], None),
        ("a\r\nb\r\n\r\nc\n", &["a", "b", "c"], None),
        ("a\n\nb", &["a"], Some("b")),
        (": no comment\ndata: no field\n", &[": no comment", "data: no field"], None),
        ("\u{feff}a\n\u{feff}b\n", &["a", "\u{feff}b"], None),
    ];
    for (stream, records, rest) in rows {
        for cut in 0..=stream.len() {
            let (before, after) = stream.as_bytes().split_at(cut);
            let mut decoder = Decoder::framed(Framing::Lines, 16);
            let mut read = Vec::new();
            for mut chunk in [before, after] {
                while let Some(event) = decoder.next(&mut chunk).unwrap() {
                    read.push(String::from_utf8(event.data.to_vec()).unwrap());
                }
            }
            assert_eq!(read, *records, "{stream:?} cut at {cut}");
            let Leftover::Cut(left) = (match (decoder.finish(), rest) {
                (None, None) => continue,
                (Some(left), Some(_)) => left,
                other => panic!("{stream:?} cut at {cut}: {other:?}"),
            }) else {
                panic!("{stream:?}: a line without its end is cut");
            };
            assert_eq!(left.data, rest.unwrap().as_bytes());
        }
    }
    let mut decoder = Decoder::framed(Framing::Lines, 16);
    assert_eq!(decoder.next(&mut &b"0123456789abcdef\n"[..]).unwrap().unwrap().data.len(), 16);
    assert_eq!(decoder.next(&mut &b"0123456789abcdefg"[..]), Err(TooLong { limit: 16 }));
}

#[test]
fn reconnection_time() {
    let retry = |stream: &[u8]| {
        let mut decoder = Decoder::new(stream.len());
        let mut chunk = stream;
        while decoder.next(&mut chunk).unwrap().is_some() {}
        decoder.retry_ms()
    };
    assert_eq!(retry(b"data: a\n\n"), None);
    assert_eq!(retry(b"retry: 3000\n"), Some(3000));
    assert_eq!(retry(b"retry:0\n\n"), Some(0));
    for ignored in ["", " 2", "-2", "+2", "2.5", "2s", "\u{662}", "99999999999999999999"] {
        assert_eq!(retry(format!("retry: 1\nretry: {ignored}\n\n").as_bytes()), Some(1));
    }
}

#[test]
fn bytes_at_random() {
    // Xorshift; the seed is any number but 0.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let pieces = [&b"data: "[..], b"event:", b"id: 1", b"\r", b"\n", b"\xEF\xBB\xBF", b":", b"\0"];
    for _ in 0..2_000 {
        let stream: Vec<u8> = (0..random(40)).flat_map(|_| pieces[random(8)]).copied().collect();
        let whole = decode(stream.len(), [&stream[..]]);
        check_cuts("random", &stream, stream.len(), &whole);
        let mut chunks = Vec::new();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(1 + random(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        let cut = decode(stream.len(), chunks.iter().copied());
        assert_same(&cut, &whole, || format!("{chunks:?}"));
        check_frames("random", &cut);
    }
}

/// All that came out of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    events: Vec<Seen>,
    end: End,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Clean,
    Whole(Seen),
    Cut(Seen),
    TooLong,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    name: String,
    id: Option<String>,
    data: Vec<u8>,
    raw: Vec<u8>,
}

fn decode<'a>(cap: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = Decoder::new(cap);
    let mut outcome = Outcome::default();
    for mut chunk in chunks {
        loop {
            match decoder.next(&mut chunk) {
                Ok(Some(event)) => outcome.events.push(event.into()),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!((error.limit, &outcome.end), (cap, &End::Clean), "said once");
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
    assert_eq!(decoder.next(&mut &b"data: late\n\n"[..]), Ok(None), "stays ended");
    outcome
}

impl End {
    fn event(&self) -> Option<&Seen> {
        match self {
            Self::Whole(event) | Self::Cut(event) => Some(event),
            Self::Clean | Self::TooLong => None,
        }
    }
}

impl Seen {
    /// What the event says, without how it came.
    fn told(&self) -> (String, Option<String>, Vec<u8>) {
        (self.name.clone(), self.id.clone(), self.data.clone())
    }

    /// Whether the unfinished event has a data line, which may be empty.
    fn has_data(&self) -> bool {
        let raw = String::from_utf8_lossy(&self.raw).replace('\r', "\n");
        raw.lines().any(|line| line == "data" || line.starts_with("data:"))
    }
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        (&(event.name, event.id, event.data, event.raw)).into()
    }
}

impl From<&(&str, Option<&str>, &[u8], &[u8])> for Seen {
    fn from(&(name, id, data, raw): &(&str, Option<&str>, &[u8], &[u8])) -> Self {
        let id = id.map(Into::into);
        Self { name: name.into(), id, data: data.into(), raw: raw.into() }
    }
}
