//! One request and its response as bytes, without IO.

use std::borrow::Cow;
use std::io;

use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HeaderValue, USER_AGENT};
use http::{Request, Response};
use streamgate_core::protocol::HttpRequest;
use streamgate_core::relay::Head;
use ureq_proto::BodyMode;
use ureq_proto::client::state::{RecvBody, RecvResponse};
use ureq_proto::client::{Call, RecvBodyResult, RecvResponseResult, SendRequestResult};

use super::decoder::Decoder;

/// The `user-agent` of every request.
pub(super) const AGENT: &str = concat!("streamgate/", env!("CARGO_PKG_VERSION"));

/// A part of a response.
pub(super) enum Part<'a> {
    /// Its head.
    Head(&'a Response<()>),
    /// More of its body, without HTTP's framing and decompressed.
    Body(&'a [u8]),
    /// It is complete.
    End,
}

/// What a response's reader awaits.
pub(super) enum Exchange {
    /// The end of its head.
    Head(Call<RecvResponse>),
    /// More of its body.
    Body(Call<RecvBody>, Option<Box<Decoder>>),
    /// Nothing: it is complete.
    Over {
        /// Another request may follow on the connection.
        reusable: bool,
    },
}

/// The request's bytes, and what reads its response. The error is a text for a person.
pub(super) fn request(call: &HttpRequest) -> Result<(Vec<u8>, Exchange), String> {
    let mut request = Request::post(&call.url);
    for (name, value) in &call.headers {
        request = request.header(&**name, value);
    }
    let request = request
        .header(CONTENT_LENGTH, call.body.len())
        .header(USER_AGENT, AGENT)
        // To compress tokens is to delay them.
        .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
        .body(())
        .map_err(|error| error.to_string())?;
    write(call, request).map_err(|error| error.to_string())
}

fn write(
    call: &HttpRequest,
    request: Request<()>,
) -> Result<(Vec<u8>, Exchange), ureq_proto::Error> {
    let line = |(name, value): &(Cow<'static, str>, String)| name.len() + value.len() + 4;
    let head_bytes_max = 512 + call.url.len() + call.headers.iter().map(line).sum::<usize>();
    let mut bytes = vec![0; head_bytes_max + call.body.len()];
    let mut sending = Call::new(request)?.proceed();
    let head = sending.write(&mut bytes)?;
    let Some(SendRequestResult::SendBody(mut sending)) = sending.proceed()? else {
        return Err(ureq_proto::Error::OutputOverflow);
    };
    let (_, body) = sending.write(&call.body, &mut bytes[head..])?;
    bytes.truncate(head + body);
    let receiving = sending.proceed().ok_or(ureq_proto::Error::OutputOverflow)?;
    Ok((bytes, Exchange::Head(receiving)))
}

/// What matters of a response's head. Its body is decompressed here.
pub(super) fn facts<T>(response: &Response<T>) -> Head<'_> {
    let header = |name| response.headers().get(name)?.to_str().ok();
    Head { content_encoding: None, ..Head::read(response.status().as_u16(), header) }
}

impl Exchange {
    /// Reads what was received, and hands over its parts. Returns how much was used; the rest is
    /// to be given again, with more. `body` must have room for as much as is given.
    pub(super) fn receive(
        &mut self,
        received: &[u8],
        body: &mut [u8],
        take: &mut dyn FnMut(Part<'_>),
    ) -> io::Result<usize> {
        let mut used = 0;
        loop {
            let step = match self {
                Self::Head(_) => self.receive_head(&received[used..], take)?,
                Self::Body(..) => self.receive_body(&received[used..], body, take)?,
                // What comes after the end was not asked for.
                Self::Over { reusable } => {
                    *reusable &= used == received.len();
                    return Ok(received.len());
                }
            };
            used += step;
            if step == 0 && !self.is_over() {
                return Ok(used);
            }
        }
    }

    fn receive_head(
        &mut self,
        received: &[u8],
        take: &mut dyn FnMut(Part<'_>),
    ) -> io::Result<usize> {
        let Self::Head(call) = self else { return Ok(0) };
        let (used, response) = call.try_response(received, false).map_err(invalid)?;
        // None also where an interim response was used up.
        let Some(response) = response else { return Ok(used) };
        take(Part::Head(&response));
        let Self::Head(call) = std::mem::replace(self, Self::Over { reusable: false }) else {
            return Ok(used);
        };
        *self = match call.proceed() {
            Some(RecvResponseResult::RecvBody(call)) => {
                Self::Body(call, Decoder::of(response.headers()))
            }
            Some(RecvResponseResult::Redirect(call)) => over(call.must_close_connection(), take),
            Some(RecvResponseResult::Cleanup(call)) => over(call.must_close_connection(), take),
            None => over(true, take),
        };
        Ok(used)
    }

    fn receive_body(
        &mut self,
        received: &[u8],
        body: &mut [u8],
        take: &mut dyn FnMut(Part<'_>),
    ) -> io::Result<usize> {
        let Self::Body(call, decoder) = self else { return Ok(0) };
        let (used, read) = call.read(received, body).map_err(invalid)?;
        match decoder {
            None if read > 0 => take(Part::Body(&body[..read])),
            None => {}
            Some(decoder) => {
                decoder.receive(&body[..read], &mut |bytes| take(Part::Body(bytes)))?;
            }
        }
        if call.can_proceed() && call.body_mode() != BodyMode::CloseDelimited {
            self.end(take);
        }
        Ok(used)
    }

    /// The connection was closed: the end of a response that gives its length in no other way.
    pub(super) fn close(&mut self, take: &mut dyn FnMut(Part<'_>)) -> io::Result<()> {
        match self {
            Self::Body(call, _) if call.body_mode() == BodyMode::CloseDelimited => self.end(take),
            Self::Head(_) | Self::Body(..) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Self::Over { .. } => {}
        }
        Ok(())
    }

    fn end(&mut self, take: &mut dyn FnMut(Part<'_>)) {
        let ended = std::mem::replace(self, Self::Over { reusable: false });
        let Self::Body(call, _) = ended else { return };
        *self = match call.proceed() {
            Some(RecvBodyResult::Redirect(call)) => over(call.must_close_connection(), take),
            Some(RecvBodyResult::Cleanup(call)) => over(call.must_close_connection(), take),
            None => over(true, take),
        };
    }

    /// Whether the response is complete.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Over { .. })
    }

    /// Whether another request may follow on the connection.
    pub(super) fn is_reusable(&self) -> bool {
        matches!(self, Self::Over { reusable: true })
    }
}

fn over(must_close: bool, take: &mut dyn FnMut(Part<'_>)) -> Exchange {
    take(Part::End);
    Exchange::Over { reusable: !must_close }
}

fn invalid(error: ureq_proto::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use flate2::{Compression, write::GzEncoder};

    fn begun() -> Exchange {
        let call = HttpRequest {
            url: "http://a.example:81/v1/chat".into(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: b"{}".to_vec(),
        };
        let (bytes, exchange) = request(&call).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("POST /v1/chat HTTP/1.1\r\nhost: a.example:81\r\n"), "{text}");
        assert!(text.contains("content-length: 2\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n{}"), "{text}");
        exchange
    }

    /// Gives `response` in pieces, each ending at one of `cuts`, as a socket would.
    fn read(response: &[u8], cuts: &[usize], closes: bool) -> io::Result<(String, bool)> {
        let (mut exchange, mut received) = (begun(), Vec::new());
        let mut say = |part: Part<'_>| match part {
            Part::Head(head) => received.extend(format!("{} ", head.status().as_u16()).bytes()),
            Part::Body(bytes) => received.extend(bytes),
            Part::End => received.extend(b" END"),
        };
        let mut body = [0; 1024];
        let (mut from, mut rest) = (0, Vec::new());
        for &to in cuts.iter().chain([&response.len()]) {
            rest.extend(&response[from..to]);
            let used = exchange.receive(&rest, &mut body, &mut say)?;
            rest.drain(..used);
            from = to;
        }
        if closes {
            exchange.close(&mut say)?;
        }
        let reusable = exchange.is_reusable() && rest.is_empty();
        Ok((String::from_utf8(received).unwrap(), reusable))
    }

    /// However the response is cut, it means the same.
    #[track_caller]
    fn check(response: &[u8], closes: bool, received: &str, reusable: bool) {
        let expected = (received.to_owned(), reusable);
        let every: Vec<_> = (0..response.len()).collect();
        assert_eq!(read(response, &[], closes).unwrap(), expected, "whole");
        assert_eq!(read(response, &every, closes).unwrap(), expected, "byte by byte");
        for cut in every {
            assert_eq!(read(response, &[cut], closes).unwrap(), expected, "cut at {cut}");
        }
    }

    #[test]
    fn chunks_are_joined() {
        let response = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                         3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n";
        check(response, false, "200 abcd END", true);
    }

    #[test]
    fn trailers_belong_to_no_one() {
        let response = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                         1\r\na\r\n0\r\ntook: 3\r\n\r\n";
        check(response, false, "200 a END", true);
    }

    #[test]
    fn lengths_are_kept() {
        check(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd", false, "200 abcd END", true);
        check(b"HTTP/1.1 204 No Content\r\n\r\n", false, "204  END", true);
        check(
            b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
            false,
            "302  END",
            true,
        );
    }

    #[test]
    fn a_close_ends_what_has_no_length() {
        check(b"HTTP/1.1 200 OK\r\n\r\nabcd", true, "200 abcd END", false);
    }

    #[test]
    fn a_close_within_a_length_is_a_break() {
        for response in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcd"[..],
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"",
        ] {
            let error = read(response, &[], true).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn interim_responses_are_passed_over() {
        let response = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n\
                         HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na";
        check(response, false, "200 a END", true);
    }

    #[test]
    fn what_was_not_asked_for_spoils_the_connection() {
        check(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na",
            false,
            "200 a END",
            false,
        );
        let (received, reusable) =
            read(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\naHTTP/1.1 200", &[], false).unwrap();
        assert_eq!((received.as_str(), reusable), ("200 a END", false));
    }

    #[test]
    fn what_is_not_http_is_a_break() {
        for response in [
            &b"SSH-2.0-OpenSSH\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nabc\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n",
        ] {
            assert_eq!(read(response, &[], false).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_body_that_is_compressed_unasked_is_read() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(b"data: hello\n\n").unwrap();
        let body = gzip.finish().unwrap();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        check(&[head.as_bytes(), &body].concat(), false, "200 data: hello\n\n END", true);
    }
}
