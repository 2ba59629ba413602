//! The `content-encoding` of a body, undone within a bound: a request's, or a provider's response
//! ([`encoded`](super::encoded)).
//!
//! Where what comes is not in the coding at all, it is taken as it is: proxies decompress bodies and
//! leave the header.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::BodyFailure;
use crate::failure::{CODINGS, Failure, Reason};

/// How many codings a body may have one upon another. Nobody has a use for more than one.
const CODINGS_MAX: usize = 2;

/// The window that RFC 8878, section 3.1.1.1.2, recommends to support at least.
const ZSTD_WINDOW_BYTES_MIN: usize = 8 << 20;

/// How bodies begin that are not compressed.
const PLAIN: [&[u8]; 8] = [b"{", b"[", b" ", b"\n", b"data:", b"event:", b"id:", b": "];

/// How a body was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Zstd,
}

/// The codings of a body, in the order in which they were applied.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Codings(Vec<Coding>);

impl Codings {
    /// Reads the header's value.
    pub(super) fn read(header: Option<&str>) -> Result<Self, Failure> {
        let names = header.unwrap_or_default().split(',').map(str::trim);
        let named = names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"));
        let codings: Vec<_> = named.map(Coding::of).collect::<Result<_, _>>()?;
        if codings.len() > CODINGS_MAX {
            return Err(unknown("more than two of them"));
        }
        Ok(Self(codings))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a body begins as one in these codings does.
    pub(super) fn are_of(&self, body: &[u8]) -> bool {
        self.0.last().is_some_and(|coding| coding.is_of(body))
    }

    /// What was compressed, if it is no longer than that.
    pub(super) fn undo<'a>(
        &self,
        body: &'a [u8],
        bytes_max: usize,
    ) -> Result<Cow<'a, [u8]>, BodyFailure> {
        let mut body = Cow::Borrowed(body);
        for coding in self.0.iter().rev() {
            if coding.is_of(&body) {
                body = Cow::Owned(coding.undo(&body, bytes_max)?);
            }
        }
        Ok(body)
    }
}

impl Coding {
    fn of(name: &str) -> Result<Self, Failure> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match () {
            () if is("gzip") || is("x-gzip") => Ok(Self::Gzip),
            () if is("deflate") => Ok(Self::Deflate),
            () if is("zstd") => Ok(Self::Zstd),
            () => Err(unknown(name)),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }

    /// Whether a body begins as one in this coding does.
    fn is_of(self, body: &[u8]) -> bool {
        match self {
            Self::Gzip => body.starts_with(&[0x1f, 0x8b]),
            // A zstd frame, or one to be skipped: RFC 8878, sections 3.1.1 and 3.1.2.
            Self::Zstd => match body {
                [0x28, 0xb5, 0x2f, 0xfd, ..] => true,
                [first, 0x2a, 0x4d, 0x18, ..] => first & 0xf0 == 0x50,
                _ => false,
            },
            // Without zlib's head it has no mark; JSON and events begin like none that is in use.
            Self::Deflate => {
                let is_text = PLAIN.iter().any(|plain| body.starts_with(plain));
                !body.is_empty() && !is_text
            }
        }
    }

    fn undo(self, body: &[u8], bytes_max: usize) -> Result<Vec<u8>, BodyFailure> {
        let decoded = match self {
            Self::Gzip => read(MultiGzDecoder::new(body), bytes_max),
            Self::Deflate if is_zlib(body) => read(ZlibDecoder::new(body), bytes_max),
            Self::Deflate => read(DeflateDecoder::new(body), bytes_max),
            Self::Zstd => read_zstd(body, bytes_max),
        };
        let broken = |why| BodyFailure::Coding(format!("{} ({why})", self.name()));
        decoded.map_err(broken)?.ok_or(BodyFailure::TooLarge)
    }
}

fn unknown(what: &str) -> Failure {
    let detail = format!("content-encoding: {what} is not supported: expected one of {CODINGS}.");
    Failure::new(Reason::CodingUnknown, detail)
}

/// RFC 1950, section 2.2. Some send what is within it without it.
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [method, flags, ..]
        if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31))
}

/// What a decoder yields, `None` if it is longer than that. The error is a text for a person.
fn read(decoder: impl Read, bytes_max: usize) -> Result<Option<Vec<u8>>, String> {
    let mut bytes = Vec::new();
    let most = bytes_max as u64 + 1;
    decoder.take(most).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok((bytes.len() <= bytes_max).then_some(bytes))
}

/// The same for the frames of zstd.
fn read_zstd(mut body: &[u8], bytes_max: usize) -> Result<Option<Vec<u8>>, String> {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(bytes_max.max(ZSTD_WINDOW_BYTES_MIN) as u64);
    let mut bytes = Vec::new();
    while !body.is_empty() {
        if let Err(error) = decoder.reset(&mut body) {
            body = after_skipped(&error, body).ok_or_else(|| text(&error))?;
            continue;
        }
        while !decoder.is_finished() {
            let one = BlockDecodingStrategy::UptoBlocks(1);
            decoder.decode_blocks(&mut body, one).map_err(text)?;
            decoder.collect_to_writer(&mut bytes).map_err(text)?;
            if bytes.len() > bytes_max {
                return Ok(None);
            }
        }
    }
    Ok(Some(bytes))
}

/// What follows a frame that is to be skipped, if that is the error.
fn after_skipped<'a>(error: &FrameDecoderError, body: &'a [u8]) -> Option<&'a [u8]> {
    let FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. }) =
        error
    else {
        return None;
    };
    body.get(*length as usize..)
}

fn text(error: impl Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests;
