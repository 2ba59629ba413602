//! What a fake provider does with one call, as data: the `[[provider.NAME]]` tables of a scenario.
//!
//! A [`Call`] is what a person writes. [`Call::plan`] turns it into a [`Plan`], a flat list of acts
//! in time. The fake provider plays a plan on a socket, the pure core is given the same plan in
//! virtual time, so both mean the same by construction.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::step::{Answer, Step};

/// What to do with one call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Call {
    /// Nobody listens at the provider's port. As with the next three, this is its only script.
    pub refuse: bool,
    /// Its host name has no address.
    pub unresolved: bool,
    /// It takes no connection: who connects waits.
    pub unresponsive: bool,
    /// It is called by `https` and does not speak TLS.
    pub no_tls: bool,
    /// Take the request and close without a byte.
    pub close: bool,
    /// Take the request and never say anything.
    pub silent: bool,
    /// Milliseconds between the request and the response's head.
    pub before_head: u64,
    /// The HTTP status: 200, or 500 with `error`.
    pub status: Option<u16>,
    /// Response headers; they replace the ones that go with the kind of body.
    pub headers: BTreeMap<String, String>,
    /// How the end of the body is marked.
    pub framing: Framing,
    /// Compress the body, as far as each send.
    pub gzip: bool,
    /// The line end of the events written by shorthand: LF unless given.
    pub newline: Option<String>,
    /// Cut every send into pieces of this many bytes.
    pub split: Option<usize>,
    /// Use this script for all further calls too.
    pub again: bool,
    /// Body: a stream, step by step.
    pub stream: Option<Vec<Step>>,
    /// Body: one whole chat completion.
    pub answer: Option<Answer>,
    /// Body: an error in OpenAI's shape.
    pub error: Option<ErrorBody>,
    /// Body: any JSON.
    pub json: Option<Value>,
    /// Body: any text.
    pub body: Option<String>,
}

/// How the end of a response body is marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Framing {
    /// By the empty chunk of the chunked coding.
    #[default]
    Chunked,
    /// By closing the connection, so that a cut looks like an end.
    Close,
    /// By `content-length`.
    Length,
}

/// An error in OpenAI's shape: a text, or a table with any of its fields.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum ErrorBody {
    /// The message alone.
    Message(String),
    /// The fields of the `error` object.
    Fields(serde_json::Map<String, Value>),
}

impl ErrorBody {
    /// The error as it stands in a body or in an event.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Message(message) => {
                json!({ "error": { "message": message, "type": "server_error", "code": null } })
            }
            Self::Fields(fields) => json!({ "error": fields }),
        }
    }
}

/// One call as a flat list of acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What comes before the body.
    pub opening: AnswerMeta,
    /// The body. Where no act ends it, it ends cleanly.
    pub acts: Vec<Act>,
}

/// What comes before the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerMeta {
    /// No connection.
    Refuse,
    /// No address to connect to.
    Unresolved,
    /// A connection that never stands.
    Unresponsive,
    /// A connection that cannot be made secure.
    NoTls,
    /// The request is taken and the connection closed.
    Close,
    /// The request is taken and nothing follows.
    Silent,
    /// A response's head.
    Head(Head),
}

/// A response's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// How long after the request it is sent.
    pub wait: Duration,
    /// The HTTP status.
    pub status: u16,
    /// The headers, without those of the framing.
    pub headers: BTreeMap<String, String>,
    /// How the end of the body is marked.
    pub framing: Framing,
}

/// The placeholder in a header for a date so many seconds from now: `{date+2}`.
const DATE: &str = "{date+";

impl Head {
    /// The head as it is sent at `unix_now`, the time since 1970: dates filled in.
    pub fn at(&self, unix_now: Duration) -> Self {
        let mut head = self.clone();
        for value in head.headers.values_mut() {
            let seconds = value.strip_prefix(DATE).and_then(|rest| rest.strip_suffix('}'));
            if let Some(Ok(seconds)) = seconds.map(str::parse) {
                let date = UNIX_EPOCH + unix_now + Duration::from_secs(seconds);
                *value = httpdate::fmt_http_date(date);
            }
        }
        head
    }
}

/// One thing a provider does within a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Send these bytes in one write, in a chunk of their own.
    Send(Bytes),
    /// Do nothing for a while.
    Wait(Duration),
    /// End the body as its framing demands.
    End,
    /// Close the connection without ending the body.
    Cut,
    /// Reset the connection.
    Reset,
    /// Do nothing until the peer leaves.
    Stall,
}

impl Act {
    /// Whether nothing can follow it.
    pub fn is_last(&self) -> bool {
        match self {
            Self::Send(_) | Self::Wait(_) => false,
            Self::End | Self::Cut | Self::Reset | Self::Stall => true,
        }
    }
}

impl Call {
    /// Says what is wrong with it, if anything.
    pub fn validate(&self) -> Result<(), String> {
        let kinds = [
            ("refuse", self.refuse),
            ("unresolved", self.unresolved),
            ("unresponsive", self.unresponsive),
            ("no_tls", self.no_tls),
            ("close", self.close),
            ("silent", self.silent),
            ("stream", self.stream.is_some()),
            ("answer", self.answer.is_some()),
            ("error", self.error.is_some()),
            ("json", self.json.is_some()),
            ("body", self.body.is_some()),
        ];
        let given: Vec<_> =
            kinds.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        match given.as_slice() {
            [_] => {}
            [] => return Err(format!("needs one of {}", kinds.map(|(name, _)| name).join(", "))),
            many => return Err(format!("can have only one of {}", many.join(", "))),
        }
        if self.split == Some(0) {
            return Err("split: pieces have at least 1 byte".into());
        }
        let steps = self.stream.iter().flatten();
        let last = self.stream.iter().flatten().count().saturating_sub(1);
        match steps.enumerate().find(|(index, step)| step.is_last() && *index < last) {
            Some((index, _)) => Err(format!("stream: nothing can follow step {}", index + 1)),
            None => Ok(()),
        }
    }

    /// Whether no call can reach its provider.
    pub fn is_unreachable(&self) -> bool {
        self.refuse || self.unresolved || self.unresponsive || self.no_tls
    }

    /// The call as a flat list of acts.
    pub fn plan(&self) -> Plan {
        let acts = self.acts();
        Plan { opening: self.opening(), acts: if self.gzip { compress(acts) } else { acts } }
    }

    fn opening(&self) -> AnswerMeta {
        if self.refuse {
            return AnswerMeta::Refuse;
        }
        if self.unresolved {
            return AnswerMeta::Unresolved;
        }
        if self.unresponsive {
            return AnswerMeta::Unresponsive;
        }
        if self.no_tls {
            return AnswerMeta::NoTls;
        }
        if self.close {
            return AnswerMeta::Close;
        }
        if self.silent {
            return AnswerMeta::Silent;
        }
        AnswerMeta::Head(Head {
            wait: Duration::from_millis(self.before_head),
            status: self.status.unwrap_or(if self.error.is_some() { 500 } else { 200 }),
            headers: self.all_headers(),
            framing: self.framing,
        })
    }

    fn all_headers(&self) -> BTreeMap<String, String> {
        let kind = if self.stream.is_some() {
            "text/event-stream"
        } else if self.body.is_some() {
            "text/plain"
        } else {
            "application/json"
        };
        let mut headers = BTreeMap::from([("content-type".into(), kind.into())]);
        if self.gzip {
            headers.insert("content-encoding".into(), "gzip".into());
        }
        headers
            .extend(self.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())));
        headers
    }

    fn acts(&self) -> Vec<Act> {
        let newline = self.newline.as_deref().unwrap_or("\n");
        let acts = match &self.stream {
            Some(steps) => steps.iter().flat_map(|step| step.acts(newline)).collect(),
            None => vec![Act::Send(self.whole_body())],
        };
        match self.split {
            Some(size) => acts.into_iter().flat_map(|act| split(act, size)).collect(),
            None => acts,
        }
    }

    fn whole_body(&self) -> Bytes {
        if let Some(answer) = &self.answer {
            answer.to_json().to_string().into()
        } else if let Some(error) = &self.error {
            error.to_json().to_string().into()
        } else if let Some(json) = &self.json {
            json.to_string().into()
        } else {
            self.body.clone().unwrap_or_default().into()
        }
    }
}

/// The same bytes in sends of at most `size` bytes.
pub fn split(act: Act, size: usize) -> Vec<Act> {
    match act {
        Act::Send(bytes) => {
            bytes.chunks(size).map(|piece| Act::Send(bytes.slice_ref(piece))).collect()
        }
        other => vec![other],
    }
}

/// The same acts with a gzip stream of the bytes; each send can be decompressed as it comes.
fn compress(acts: Vec<Act>) -> Vec<Act> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut compressed: Vec<Act> = acts
        .into_iter()
        .map(|act| match act {
            Act::Send(bytes) => {
                encoder.write_all(&bytes).expect("a Vec takes all bytes");
                encoder.flush().expect("a Vec takes all bytes");
                Act::Send(std::mem::take(encoder.get_mut()).into())
            }
            other => other,
        })
        .collect();
    let ending = compressed.pop_if(|act| act.is_last());
    if matches!(ending, None | Some(Act::End)) {
        compressed.push(Act::Send(encoder.finish().expect("a Vec takes all bytes").into()));
    }
    compressed.extend(ending);
    compressed
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn call(text: &str) -> Call {
        toml::from_str(text).unwrap()
    }

    fn sent(plan: &Plan) -> Vec<u8> {
        let mut all = Vec::new();
        for act in &plan.acts {
            if let Act::Send(bytes) = act {
                all.extend_from_slice(bytes);
            }
        }
        all
    }

    #[test]
    fn a_stream_becomes_sends_waits_and_an_ending() {
        let plan =
            call(r#"stream = ["Hel", { wait = 20 }, { done = true }, { cut = true }]"#).plan();
        let [Act::Send(first), Act::Wait(pause), Act::Send(done), Act::Cut] = plan.acts.as_slice()
        else {
            panic!("{plan:?}");
        };
        assert!(first.starts_with(b"data: {") && first.ends_with(b"\n\n"), "{first:?}");
        assert!(String::from_utf8_lossy(first).contains(r#""content":"Hel""#));
        assert_eq!(*pause, Duration::from_millis(20));
        assert_eq!(done.as_ref(), b"data: [DONE]\n\n");
    }

    #[test]
    fn splitting_keeps_the_bytes() {
        let text = r#"stream = ["Grüße", { done = true }]"#;
        let (whole, pieces) = (call(text).plan(), call(&format!("split = 1\n{text}")).plan());
        assert_eq!(sent(&whole), sent(&pieces));
        assert_eq!(pieces.acts.len(), sent(&whole).len());
    }

    #[test]
    fn gzip_can_be_read_send_by_send() {
        let plan = call(
            r#"gzip = true
            stream = ["a", "b"]"#,
        )
        .plan();
        let Act::Send(first) = &plan.acts[0] else { panic!("{plan:?}") };
        let mut text = [0; 512];
        let read = flate2::read::GzDecoder::new(first.as_ref()).read(&mut text).unwrap();
        assert!(String::from_utf8_lossy(&text[..read]).contains(r#""content":"a""#));
        let mut all = String::new();
        flate2::read::GzDecoder::new(sent(&plan).as_slice()).read_to_string(&mut all).unwrap();
        assert!(all.ends_with("\n\n"), "{all}");
    }

    #[test]
    fn errors_have_a_status_and_a_shape() {
        let plan = call(r#"error = "broken""#).plan();
        let AnswerMeta::Head(head) = &plan.opening else { panic!("{plan:?}") };
        assert_eq!(head.status, 500);
        let body: Value = serde_json::from_slice(&sent(&plan)).unwrap();
        assert_eq!(body["error"]["message"], "broken");
    }

    #[test]
    fn a_header_can_be_a_date_that_follows_the_clock() {
        let plan = call("body = ''\nheaders = { Retry-After = '{date+2}', x = '{date}' }").plan();
        let AnswerMeta::Head(head) = &plan.opening else { panic!("{plan:?}") };
        let head = head.at(Duration::from_secs(1_700_000_008));
        assert_eq!(head.headers["retry-after"], "Tue, 14 Nov 2023 22:13:30 GMT");
        assert_eq!(head.headers["x"], "{date}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, why) in [
            ("", "needs one of"),
            ("refuse = true\nclose = true", "only one of"),
            ("split = 0\nbody = ''", "at least 1 byte"),
            ("stream = [{ cut = true }, 'more']", "nothing can follow step 1"),
        ] {
            let message = call(text).validate().unwrap_err();
            assert!(message.contains(why), "{text}: {message}");
        }
        assert!(toml::from_str::<Call>("boddy = ''").is_err());
        assert!(toml::from_str::<Call>("stream = [{ txt = '' }]").is_err());
    }
}
