//! Undoes the content coding of a response that is compressed though `accept-encoding` asks for none.

use std::fmt;
use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use zstd::stream::write::Decoder as ZstdDecoder;

/// What is decompressed at once.
const STEP_BYTES: usize = 512;
/// The most that this may become. Beyond it is no answer, but a bomb.
const DECODED_BYTES_MAX: usize = 16 << 20;
/// What a decoder of brotli holds back before it writes.
const BROTLI_BUFFER_BYTES: usize = 4096;
/// The largest window, as a power of two, that RFC 8878 (section 3.1.1.1.2) recommends to support.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a response was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Zstd,
    Brotli,
}

/// Decompresses one response's body.
pub(super) struct Decoder {
    coding: Coding,
    state: State,
}

enum State {
    /// Too little has come to know what it is.
    Beginning(Vec<u8>),
    Decoding(Box<dyn Decode>),
    /// It is not compressed after all: a proxy decompressed it and left the header.
    Plain,
}

/// A decompressor that writes to a buffer of its own.
trait Decode: Write + Send {
    fn decoded(&mut self) -> &mut Decoded;
}

macro_rules! decode {
    ($($decoder:ty),*) => {$(
        impl Decode for $decoder {
            fn decoded(&mut self) -> &mut Decoded {
                self.get_mut()
            }
        }
    )*};
}

decode!(
    MultiGzDecoder<Decoded>,
    ZlibDecoder<Decoded>,
    DeflateDecoder<Decoded>,
    ZstdDecoder<'static, Decoded>,
    DecompressorWriter<Decoded>
);

/// What was decompressed and not handed on yet.
#[derive(Default)]
struct Decoded(Vec<u8>);

/// The error of a body that is not in its coding.
#[derive(Debug)]
pub(super) struct Undecodable {
    coding: Coding,
    why: io::Error,
}

impl Decoder {
    /// One for a response with these headers; `None` if it is not compressed, or by a coding that
    /// nobody uses.
    pub(super) fn of(headers: &HeaderMap) -> Option<Box<Self>> {
        let name = headers.get(CONTENT_ENCODING)?.to_str().ok()?.trim();
        let coding = Coding::of(name)?;
        Some(Box::new(Self { coding, state: State::Beginning(Vec::new()) }))
    }

    /// Hands over what `bytes` decompress to.
    pub(super) fn receive(&mut self, bytes: &[u8], take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let undecodable = |why| Undecodable { coding: self.coding, why }.into();
        match &mut self.state {
            State::Plain => take(bytes),
            State::Decoding(decoder) => {
                return decode(decoder.as_mut(), bytes, take).map_err(undecodable);
            }
            State::Beginning(head) => {
                head.extend_from_slice(bytes);
                let Some(state) = self.coding.begin(head) else { return Ok(()) };
                let head = std::mem::take(head);
                self.state = state.map_err(undecodable)?;
                return self.receive(&head, take);
            }
        }
        Ok(())
    }
}

fn decode(decoder: &mut dyn Decode, bytes: &[u8], take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    for bytes in bytes.chunks(STEP_BYTES) {
        match decoder.write_all(bytes) {
            // What follows the end is not of the body.
            Err(error) if error.kind() == io::ErrorKind::WriteZero => {}
            result => result.and_then(|()| decoder.flush())?,
        }
        let Decoded(decoded) = decoder.decoded();
        if !decoded.is_empty() {
            take(decoded);
            decoded.clear();
            decoded.shrink_to(STEP_BYTES * 64);
        }
    }
    Ok(())
}

impl Coding {
    fn of(name: &str) -> Option<Self> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match () {
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () if is("deflate") => Some(Self::Deflate),
            () if is("zstd") => Some(Self::Zstd),
            () if is("br") => Some(Self::Brotli),
            () => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
            Self::Brotli => "br",
        }
    }

    /// How to decode a body that begins like this; `None` if more bytes are needed to decide.
    fn begin(self, head: &[u8]) -> Option<io::Result<State>> {
        let decoded = Decoded::default();
        let marked = |mark: &[u8]| head.starts_with(mark);
        let decoding = |decoder: Box<dyn Decode>| Some(Ok(State::Decoding(decoder)));
        match self {
            Self::Brotli if head.is_empty() => None,
            Self::Brotli => {
                decoding(Box::new(DecompressorWriter::new(decoded, BROTLI_BUFFER_BYTES)))
            }
            Self::Gzip | Self::Deflate if head.len() < 2 => None,
            Self::Gzip if marked(&[0x1f, 0x8b]) => decoding(Box::new(MultiGzDecoder::new(decoded))),
            Self::Deflate if is_zlib(head) => decoding(Box::new(ZlibDecoder::new(decoded))),
            Self::Deflate => decoding(Box::new(DeflateDecoder::new(decoded))),
            Self::Zstd if head.len() < 4 => None,
            Self::Zstd if marked(&[0x28, 0xb5, 0x2f, 0xfd]) => {
                Some(zstd(decoded).map(|decoder| State::Decoding(Box::new(decoder))))
            }
            Self::Gzip | Self::Zstd => Some(Ok(State::Plain)),
        }
    }
}

/// RFC 1950, section 2.2. Some send what is within it without it.
fn is_zlib(head: &[u8]) -> bool {
    matches!(head, [method, flags, ..]
        if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31))
}

fn zstd(decoded: Decoded) -> io::Result<ZstdDecoder<'static, Decoded>> {
    let mut decoder = ZstdDecoder::new(decoded)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

impl Write for Decoded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > DECODED_BYTES_MAX {
            return Err(io::Error::other("it grows beyond all bounds"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "content-encoding {}, and cannot be decoded ({})", self.coding.name(), self.why)
    }
}

impl std::error::Error for Undecodable {}

impl From<Undecodable> for io::Error {
    fn from(undecodable: Undecodable) -> Self {
        Self::new(io::ErrorKind::InvalidData, undecodable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::HeaderValue;

    const TEXT: &[u8] = b"data: hello\n\ndata: hello again\n\n";
    /// `TEXT` by the reference encoder; the crate here only decodes.
    const BROTLI: &[u8] = &[
        0x1b, 0x1f, 0x00, 0xf8, 0x05, 0x74, 0x63, 0x7d, 0x25, 0xbd, 0x64, 0x5b, 0x3b, 0x28, 0x18,
        0x0e, 0x16, 0x73, 0x11, 0x49, 0x80, 0xaa, 0x06, 0xc0, 0xf8, 0xed, 0x77, 0x69, 0x27, 0x39,
        0x40, 0x03,
    ];

    fn decoder(coding: &'static str) -> Option<Box<Decoder>> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        Decoder::of(&headers)
    }

    fn read(coding: &'static str, body: &[u8], piece: usize) -> io::Result<Vec<u8>> {
        let (mut decoder, mut text) = (decoder(coding).unwrap(), Vec::new());
        for bytes in body.chunks(piece) {
            decoder.receive(bytes, &mut |bytes| text.extend_from_slice(bytes))?;
        }
        Ok(text)
    }

    fn compressed<W: Write>(mut encoder: W, finish: impl Fn(W) -> io::Result<Vec<u8>>) -> Vec<u8> {
        encoder.write_all(TEXT).unwrap();
        finish(encoder).unwrap()
    }

    fn gzip() -> Vec<u8> {
        compressed(GzEncoder::new(Vec::new(), Compression::default()), GzEncoder::finish)
    }

    fn zstd_frame() -> Vec<u8> {
        zstd::encode_all(TEXT, 3).unwrap()
    }

    #[test]
    fn every_coding_is_undone_however_it_is_cut() {
        let level = Compression::default();
        let rows = [
            ("gzip", gzip()),
            ("x-gzip", gzip()),
            ("deflate", compressed(ZlibEncoder::new(Vec::new(), level), ZlibEncoder::finish)),
            ("deflate", compressed(DeflateEncoder::new(Vec::new(), level), DeflateEncoder::finish)),
            ("ZSTD", zstd_frame()),
            ("br", BROTLI.to_vec()),
            // Only the header says so.
            ("gzip", TEXT.to_vec()),
            ("zstd", TEXT.to_vec()),
        ];
        for (coding, body) in rows {
            for piece in [1, 2, 3, 7, body.len()] {
                assert_eq!(read(coding, &body, piece).unwrap(), TEXT, "{coding} by {piece}");
            }
        }
        for coding in ["identity", "utf-8", ""] {
            assert!(decoder(coding).is_none(), "{coding}");
        }
    }

    /// A stream is compressed event by event, and each is handed over as it comes.
    #[test]
    fn what_was_flushed_is_handed_over_at_once() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(TEXT).unwrap();
        gzip.flush().unwrap();
        assert_eq!(read("gzip", gzip.get_ref(), 5).unwrap(), TEXT);
        let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        zstd.write_all(TEXT).unwrap();
        zstd.flush().unwrap();
        assert_eq!(read("zstd", zstd.get_ref(), 5).unwrap(), TEXT);
    }

    #[test]
    fn what_cannot_be_decoded_is_named() {
        let mut broken = zstd_frame();
        broken[6] ^= 0xff;
        let br = [0x0b, 0x02, 0x80, 0x00, 0x01, 0x02, 0x03].repeat(30);
        for (coding, body) in [("zstd", broken), ("br", br), ("gzip", [0x1f, 0x8b].repeat(20))] {
            let error = read(coding, &body, 3).unwrap_err().to_string();
            assert!(error.starts_with(&format!("content-encoding {coding}")), "{error}");
        }
    }

    #[test]
    fn no_bomb_grows_beyond_the_bound() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&vec![b' '; 64 << 20]).unwrap();
        let (mut decoder, mut most) = (decoder("gzip").unwrap(), 0);
        let body = gzip.finish().unwrap();
        decoder.receive(&body, &mut |bytes| most = most.max(bytes.len())).unwrap();
        assert!(most < 1 << 20, "{most} bytes at once");
    }
}
