//! The one table of failures: who must act, what may be tried next, and what the client receives.
//! Both shells respond identically because neither decides.

use std::fmt;
use std::time::Duration;

/// The codings in which a request's body may come.
pub(crate) const CODINGS: &str = "gzip, deflate, zstd";

/// Who can fix a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The request is wrong by itself.
    Client,
    /// The upstream, or the way to it, failed.
    Provider,
    /// The operator's configuration: a key, a name, a file.
    Operator,
    /// This process.
    Gateway,
}

/// What may be tried next while nothing has been delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same target once more, without streaming; then the next one.
    Unstreamed,
    /// The next target at once.
    NextTarget,
    /// The next target at once; when none is left, this one again after a backoff.
    Later,
    /// Nothing: every target would respond the same.
    Never,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What happened.
    pub reason: Reason,
    /// The stable name that clients and logs see.
    pub code: &'static str,
    /// Who can fix it.
    pub who: Who,
    /// What may be tried next.
    pub retry: Retry,
    /// The HTTP status when it is the final word and nothing has been sent.
    pub status: u16,
    /// One sentence for a person, used where there is no better detail.
    pub text: &'static str,
}

macro_rules! failures {
    ($($reason:ident $code:literal $who:ident $retry:ident $status:literal $text:literal;)*) => {
        /// What happened, as a fact.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $text] $reason,)*
        }

        /// Every failure there is, in the order of [`Reason`].
        pub static TABLE: &[Row] = &[
            $(Row {
                reason: Reason::$reason,
                code: $code,
                who: Who::$who,
                retry: Retry::$retry,
                status: $status,
                text: $text,
            },)*
        ];
    };
}

failures! {
    // The client's to fix.
    InvalidRequest    "invalid_request"       Client Never 400 "The request is invalid.";
    BodyTooLarge      "body_too_large"        Client Never 413 "The request body is too large.";
    CodingUnknown     "unsupported_encoding"  Client Never 415 "The content encoding of the request body is not supported.";
    RequestTimeout    "request_timeout"       Client Never 408 "The request was not received in time.";
    UnknownModel      "model_not_found"       Client Never 404 "The model does not exist.";
    NotFound          "not_found"             Client Never 404 "The path does not exist.";
    MethodNotAllowed  "method_not_allowed"    Client Never 405 "The path does not support this method.";
    WebSocket         "websocket_unsupported" Client Never 426 "WebSockets are not supported: send the request by POST.";
    CredentialsMissing "missing_credentials"  Client Never 401 "Missing API key: send it as `Authorization: Bearer KEY`.";
    CredentialsInvalid "invalid_api_key"      Client Never 401 "The API key or token is invalid.";
    CredentialsExpired "token_expired"        Client Never 401 "The token has expired.";
    PlanUnknown       "plan_unknown"          Client Never 403 "The user's plan is not configured.";
    RequestQuota      "request_quota_exceeded" Client Never 429 "The plan's limit of requests per minute is reached.";
    TokenQuota        "token_quota_exceeded"  Client Never 429 "The plan's limit of tokens per minute is reached.";
    StreamQuota       "too_many_streams"      Client Never 429 "The plan's limit of concurrent streams is reached.";
    ContextLength     "context_length_exceeded" Client NextTarget  400 "The conversation is longer than the model's context window.";
    TooManyTokens     "max_tokens_too_large"  Client NextTarget    400 "The provider rejected the requested output limit.";
    Unsupported            "unsupported_content"   Client NextTarget    400 "The provider's protocol does not support a part of the request.";
    AnswerUnsupported "unsupported_answer"    Client Never 400 "The client's protocol does not support anything in the answer.";
    Filtered          "content_filtered"      Client NextTarget    400 "The provider's content filter rejected the request.";
    Rejected          "request_rejected"      Client Never 400 "The provider rejected the request as invalid.";
    UserKeyMissing    "provider_key_missing"  Client NextTarget 403 "The provider requires the user's own key, and none is set.";
    UserKeyRefused    "provider_key_refused"  Client NextTarget 403 "The provider rejected the user's own key.";
    AddressForbidden  "address_forbidden"     Client NextTarget 403 "The base URL does not resolve to a public address.";
    // The way to the provider.
    Dns               "dns_failed"            Provider Later 502 "The provider's host name could not be resolved.";
    Connect           "connect_failed"        Provider Later 502 "The provider could not be reached.";
    Tls               "tls_failed"            Provider NextTarget 502 "The TLS connection to the provider failed.";
    Lost              "connection_lost"       Provider Later 502 "The connection to the provider was lost.";
    // The clocks.
    ConnectTimeout    "connect_timeout"       Provider NextTarget 504 "The provider did not accept the connection in time.";
    FirstByteTimeout  "first_byte_timeout"    Provider NextTarget 504 "The provider did not start responding in time.";
    FirstContentTimeout "first_content_timeout" Provider NextTarget 504 "The model did not start answering in time.";
    BetweenTokensTimeout "between_tokens_timeout" Provider NextTarget 504 "The model stopped sending tokens.";
    TotalTimeout      "total_timeout"         Provider Never 504 "The answer exceeded the total time limit.";
    // The provider's rejections.
    Unauthorized      "provider_unauthorized" Operator NextTarget 502 "The provider rejected the configured key.";
    Payment           "provider_payment_required" Operator NextTarget 502 "The provider requires payment.";
    Forbidden         "provider_forbidden"    Operator NextTarget 502 "The configured key lacks permission at the provider.";
    ModelUnavailable  "model_unavailable"     Operator NextTarget 502 "The configured model is not available at the provider.";
    RateLimited       "rate_limited"          Provider Later 429 "The provider's rate limit is reached.";
    Overloaded        "overloaded"            Provider Later 503 "The provider is overloaded.";
    ServerError       "provider_error"        Provider Later 502 "The provider returned a server error.";
    // The provider's answers.
    Empty             "empty_answer"          Provider Unstreamed 502 "The model returned an empty answer.";
    Garbage           "invalid_answer"        Provider Unstreamed 502 "The provider's answer could not be parsed.";
    NoStream          "stream_unsupported"    Provider Unstreamed 502 "The provider does not support streaming for this request.";
    Cut               "stream_cut"            Provider NextTarget 502 "The stream ended before the answer was complete.";
    InBand            "provider_stream_error" Provider NextTarget 502 "The provider reported an error in its stream.";
    Cooling           "all_targets_cooling"   Provider Never 503 "All targets are cooling down after repeated failures.";
    AnswerTooLong     "answer_too_large"      Provider Never 502 "The answer exceeds the gateway's size limit.";
    // Local models.
    ModelMissing      "model_missing"         Operator NextTarget 503 "The model file was not found.";
    ModelBroken       "model_broken"          Operator NextTarget 503 "The model file could not be loaded.";
    // The store.
    StoreMissing      "store_not_configured"  Operator Never 501 "No store is configured.";
    StoreUnavailable  "store_unavailable"     Gateway Never 503 "The store is unavailable.";
    StoreFailed       "store_failed"          Gateway Never 500 "The store rejected a statement.";
    SealBroken        "saved_key_unreadable"  Operator NextTarget 500 "A saved key could not be decrypted with the configured master key.";
    // Ours.
    Internal          "internal_error"        Gateway NextTarget 500 "Internal gateway error.";
    AccessUnavailable "auth_unavailable"      Gateway Never 503 "Credentials cannot be verified at the moment.";
    ShuttingDown      "shutting_down"         Gateway Never 503 "The gateway is shutting down.";
}

impl Reason {
    /// Its row in the table.
    pub const fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The stable name that clients and logs see.
    pub const fn code(self) -> &'static str {
        self.row().code
    }
}

/// A failure with its particulars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub reason: Reason,
    /// What exactly, for a person; the table's sentence where empty.
    pub detail: String,
    /// The request field that is wrong, by its wire name.
    pub param: Option<String>,
    /// When trying again makes sense.
    pub retry_after: Option<Duration>,
    /// The provider's own error response, which is passed on unchanged or quoted.
    pub original: Option<ErrorResponse>,
    /// By how much a conversation is too long.
    pub overflow: Option<Overflow>,
}

/// A conversation that does not fit, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow {
    /// Tokens of the conversation, at least.
    pub input: u32,
    /// Tokens of the context window.
    pub window: u32,
}

/// A provider's error response, unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    /// The HTTP status.
    pub status: u16,
    /// The body, up to the bound on it.
    pub body: Vec<u8>,
}

impl Failure {
    /// A failure with a detail for a person.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            param: None,
            retry_after: None,
            original: None,
            overflow: None,
        }
    }

    /// A conversation that is too long, with the number of its tokens: `counted`, or estimated.
    pub fn too_long(overflow: Overflow, counted: bool) -> Self {
        let Overflow { input, window } = overflow;
        let (about, at_least) = if counted { ("", "") } else { ("about ", "at least ") };
        let excess = input.saturating_sub(window).max(1);
        let detail = format!(
            "The conversation has {about}{input} tokens, {at_least}{excess} too many for a context \
             window of {window}."
        );
        let failure = Self::new(Reason::ContextLength, detail).at("messages");
        Self { overflow: Some(overflow), ..failure }
    }

    /// The same failure, naming the request field that is wrong.
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Drops the provider's error body, which only a client of its protocol can read; its status
    /// stays.
    pub(crate) fn drop_original_body(&mut self) {
        if let Some(original) = &mut self.original {
            original.body.clear();
        }
    }

    /// Whether the provider's own error response goes back to the client as it came.
    pub(crate) fn goes_back(&self) -> bool {
        self.original.is_some() && self.reason == Reason::Rejected
    }

    /// The sentence for a person.
    pub fn message(&self) -> &str {
        if self.detail.is_empty() { self.reason.row().text } else { &self.detail }
    }

    /// The HTTP status where nothing has been sent yet.
    pub fn status(&self) -> u16 {
        match (&self.original, self.reason) {
            (Some(original), Reason::Rejected) => original.status,
            _ => self.reason.row().status,
        }
    }
}

impl Failure {
    /// The headers of its response, by lower-case name.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if let Some(after) = self.retry_after {
            headers.push(("retry-after", after.as_secs_f64().ceil().to_string()));
        }
        if self.reason == Reason::WebSocket {
            // RFC 9110, section 15.5.22.
            headers.push(("upgrade", "HTTP/1.1".to_owned()));
        }
        if self.reason == Reason::CodingUnknown {
            // RFC 9110, section 15.5.16.
            headers.push(("accept-encoding", CODINGS.to_owned()));
        }
        if self.status() == 401 {
            // RFC 6750, section 3: no error code where no credentials came.
            let is_missing = self.reason == Reason::CredentialsMissing;
            let challenge = if is_missing { "Bearer" } else { "Bearer error=\"invalid_token\"" };
            headers.push(("www-authenticate", challenge.to_owned()));
        }
        headers
    }
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self::new(reason, "")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.code(), self.message())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn rows_stand_where_their_reason_points() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.reason as usize, index);
            assert!(std::ptr::eq(row.reason.row(), row));
        }
    }

    #[test]
    fn codes_are_unique_and_texts_are_sentences() {
        let codes: HashSet<_> = TABLE.iter().map(|row| row.code).collect();
        assert_eq!(codes.len(), TABLE.len());
        for row in TABLE {
            assert!(row.text.ends_with('.'), "{}", row.code);
            assert!(row.code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", row.code);
        }
    }

    #[test]
    fn only_the_clients_failures_are_the_clients_statuses() {
        for row in TABLE {
            // Too many requests may be the client's or ours to a provider.
            if row.status != 429 {
                let clients = (400..500).contains(&row.status);
                assert_eq!(clients, row.who == Who::Client, "{}", row.code);
            }
        }
    }
}
