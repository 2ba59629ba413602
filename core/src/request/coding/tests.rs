use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

const TEXT: &[u8] = br#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    compress_to_vec(text, CompressionLevel::Fastest)
}

fn undo(header: &str, body: &[u8], bytes_max: usize) -> Result<Vec<u8>, BodyFailure> {
    Codings::read(Some(header)).unwrap().undo(body, bytes_max).map(Cow::into_owned)
}

#[test]
fn every_coding_is_undone() {
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 7, 7][..], &zstd(TEXT)].concat();
    let halves = [gzip(&TEXT[..9]), gzip(&TEXT[9..])].concat();
    let frames = [zstd(&TEXT[..9]), zstd(&TEXT[9..])].concat();
    let rows = [
        ("gzip", gzip(TEXT)),
        ("X-GZip", gzip(TEXT)),
        ("gzip", halves),
        ("deflate", zlib(TEXT)),
        ("deflate", deflate(TEXT)),
        ("zstd", zstd(TEXT)),
        ("zstd", skipped),
        ("zstd", frames),
        ("gzip, zstd", zstd(&gzip(TEXT))),
        ("zstd,, identity ,gzip", gzip(&zstd(TEXT))),
        ("identity", TEXT.to_vec()),
        ("", TEXT.to_vec()),
    ];
    for (header, body) in rows {
        assert_eq!(undo(header, &body, 1000).as_deref(), Ok(TEXT), "{header}");
    }
}

#[test]
fn what_is_not_compressed_after_all_is_taken_as_it_is() {
    for header in ["gzip", "deflate", "zstd", "zstd, gzip"] {
        assert_eq!(undo(header, TEXT, TEXT.len()).as_deref(), Ok(TEXT), "{header}");
        assert_eq!(undo(header, b"", 10).as_deref(), Ok(&b""[..]), "{header}");
    }
}

#[test]
fn no_more_is_decompressed_than_a_body_may_have() {
    const BYTES_MAX: usize = 1 << 20;
    let zeros = |bytes| vec![b' '; bytes];
    type Compress = fn(&[u8]) -> Vec<u8>;
    let rows: [(&str, Compress); 4] =
        [("gzip", gzip), ("deflate", zlib), ("deflate", deflate), ("zstd", zstd)];
    for (header, compress) in rows {
        let within = compress(&zeros(BYTES_MAX));
        assert_eq!(undo(header, &within, BYTES_MAX).map(|body| body.len()), Ok(BYTES_MAX));
        let bomb = compress(&zeros(BYTES_MAX * 20));
        assert_eq!(undo(header, &bomb, BYTES_MAX), Err(BodyFailure::TooLarge), "{header}");
    }
    // A frame whose head asks for a window of a gigabyte gets none.
    let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 20 << 3, 0x01, 0x00, 0x00];
    let Err(BodyFailure::Coding(why)) = undo("zstd", &window, BYTES_MAX) else { panic!() };
    assert!(why.starts_with("zstd ("), "{why}");
}

#[test]
fn what_is_broken_fails_wherever_it_is_cut() {
    for (header, body) in [("gzip", gzip(TEXT)), ("deflate", zlib(TEXT)), ("zstd", zstd(TEXT))] {
        for cut in 4..body.len() {
            let failure = undo(header, &body[..cut], 1000).unwrap_err();
            assert!(matches!(failure, BodyFailure::Coding(_)), "{header} at {cut}: {failure:?}");
        }
        for at in 4..body.len() {
            let mut body = body.clone();
            body[at] ^= 0xff;
            // Some changes show only in what is decompressed; none may end in a panic.
            let _ = undo(header, &body, 1000);
        }
    }
}

#[test]
fn an_unknown_coding_is_named() {
    for (header, named) in [("br", "br"), ("gzip, br", "br"), ("gzip,gzip,gzip", "more than two")] {
        let failure = Codings::read(Some(header)).unwrap_err();
        assert_eq!(failure.status(), 415);
        assert!(failure.message().contains(named), "{}", failure.message());
        assert_eq!(failure.headers(), [("accept-encoding", CODINGS.to_owned())]);
    }
    assert_eq!(Codings::read(None), Ok(Codings(Vec::new())));
}
