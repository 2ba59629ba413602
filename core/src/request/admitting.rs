//! The stage that finds out who sent a request, and then turns to what the request is for.

use super::context::{Context, store_is_late};
use super::models::Listing;
use super::own_keys::StoringKey;
use super::reading_body::{ReadingBody, Wanted};
use super::route::{Client, Headers};
use super::{Output, State, Timer, answering, models};
use crate::access::{self, Admission, Caller, Credentials, KEY_SET_BYTES_MAX};
use crate::failure::Failure;
use crate::log::{Field, Level, Record};
use crate::provider_keys::Action;
use crate::reply::Reply;
use crate::store::Outcome;

/// A request whose caller is not known yet.
pub(super) struct Admitting {
    admission: Admission,
    purpose: Purpose,
}

/// What a request is for.
pub(super) enum Purpose {
    /// The list of models, in this form.
    Models(Listing),
    /// One of them.
    Model(Listing, String),
    /// One of them, which the body names.
    ShowModel,
    /// Something about a user's own key for a provider.
    OwnKey { action: Action, provider: String },
    /// An answer; with the headers that travel on to a provider.
    Chat { client: Client, headers: Headers },
}

impl Admitting {
    pub(super) fn begin(
        context: &mut Context,
        purpose: Purpose,
        credentials: &Credentials,
    ) -> State {
        let unix_now = context.unix_now().as_secs();
        let admission = context.gateway.admit(credentials, context.now, unix_now);
        Box::new(Self { admission, purpose }).advance(context)
    }

    pub(super) fn found(mut self: Box<Self>, context: &mut Context, outcome: Outcome) -> State {
        if !context.expects(Timer::Store) {
            return State::Admitting(self);
        }
        if let Err(failure) = self.admission.found(outcome) {
            context.log(Level::Error, || {
                Record::new(Level::Error, "keys cannot be looked up")
                    .with(Field::Detail, failure.message().to_owned())
            });
        }
        self.advance(context)
    }

    pub(super) fn fetched(
        mut self: Box<Self>,
        context: &mut Context,
        body: Result<&[u8], &str>,
    ) -> State {
        if !context.expects(Timer::KeySet) {
            return State::Admitting(self);
        }
        let body = body.map_err(str::to_owned);
        if let Err(why) = self.admission.fetched(context.now, body) {
            context.log(Level::Warn, || {
                Record::new(Level::Warn, "no new keys for tokens").with(Field::Detail, why)
            });
        }
        self.advance(context)
    }

    pub(super) fn tick(self: Box<Self>, context: &mut Context) -> State {
        match context.expired() {
            Some(Timer::Store) => self.found(context, Err(store_is_late())),
            Some(Timer::KeySet) => {
                let seconds = Timer::KEY_SET_TIME_MAX.as_secs();
                self.fetched(context, Err(&format!("it did not come within {seconds} s")))
            }
            Some(Timer::Body | Timer::Count | Timer::Quota | Timer::Answer(_)) | None => {
                State::Admitting(self)
            }
        }
    }

    fn advance(self: Box<Self>, context: &mut Context) -> State {
        match self.admission.poll() {
            access::Output::Query(statement) => {
                context.query(vec![statement]);
                State::Admitting(self)
            }
            access::Output::Fetch { url } => {
                context.outputs.push_back(Output::Fetch { url, bytes_max: KEY_SET_BYTES_MAX });
                context.expect(Timer::KeySet, Timer::KEY_SET_TIME_MAX);
                State::Admitting(self)
            }
            access::Output::Admitted(caller) => admitted(context, self.purpose, caller),
            access::Output::Refused(failure) => refused(context, self.purpose, failure),
        }
    }
}

fn admitted(context: &mut Context, purpose: Purpose, caller: Option<Caller>) -> State {
    match purpose {
        Purpose::Models(listing) => {
            let list = models::list(&context.gateway, listing);
            context.reply(list)
        }
        Purpose::Model(listing, name) => {
            let model = models::one(&context.gateway, listing, &name);
            context.reply(model)
        }
        Purpose::ShowModel => ReadingBody::begin(context, caller, Wanted::ShowModel),
        Purpose::OwnKey { action: action @ Action::Set, provider } => {
            ReadingBody::begin(context, caller, Wanted::OwnKey { action, provider })
        }
        Purpose::OwnKey { action: action @ (Action::Show | Action::Forget), provider } => {
            StoringKey::begin(context, action, &provider, b"", caller.as_ref())
        }
        Purpose::Chat { client, headers } => {
            ReadingBody::begin(context, caller, Wanted::Chat { client, headers })
        }
    }
}

fn refused(context: &mut Context, purpose: Purpose, failure: Failure) -> State {
    match purpose {
        Purpose::Models(listing) | Purpose::Model(listing, _) => {
            context.reply(Reply::failure_to(listing.protocol(), &failure))
        }
        Purpose::ShowModel => {
            context.reply(Reply::failure_to(Listing::Ollama.protocol(), &failure))
        }
        Purpose::OwnKey { .. } => context.reply(Reply::failure(&failure)),
        Purpose::Chat { client, .. } => answering::refuse(context, client, None, failure),
    }
}
