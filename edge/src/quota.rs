//! A user's quota, which all isolates share: a Durable Object that runs core's arithmetic.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use streamgate_core::access::quota::{Act, Denial, QuotaOp, Use};
use worker::{
    Delay, DurableObject, Env, Method, Request, RequestInit, Response, Result, State, Stub,
    durable_object,
};

use crate::clock::now;

/// The binding of the objects.
const QUOTA: &str = "QUOTA";
/// Where an object keeps what its user used.
const USED: &str = "used";

/// One user's quota, kept in the object's storage.
#[durable_object(fetch)]
pub struct Quota {
    state: State,
    used: Rc<RefCell<Use>>,
}

impl DurableObject for Quota {
    fn new(state: State, _: Env) -> Self {
        let used = Rc::new(RefCell::new(Use::default()));
        let (restored, storage) = (used.clone(), state.storage());
        let _no_request_before = state.block_concurrency_while(async move {
            if let Ok(Some(text)) = storage.get::<String>(USED).await {
                *restored.borrow_mut() = serde_json::from_str(&text).unwrap_or_default();
            }
            Ok(())
        });
        Self { state, used }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        // Sent by another version of this Worker: not counted.
        let Ok(op) = serde_json::from_str::<QuotaOp>(&request.text().await?) else {
            return Response::error("This is no operation on a quota.", 400);
        };
        let outcome = self.used.borrow_mut().apply(&op, now());
        // A charge is not written by itself; the next operation writes it.
        if !matches!(op.act, Act::Charge(_)) {
            self.keep()?;
        }
        Response::ok(serde_json::to_string(&outcome)?)
    }
}

impl Quota {
    /// Writes after the response is sent, because the runtime would hold the response until the disk
    /// confirms. A crash loses a moment's use.
    fn keep(&self) -> Result<()> {
        let text = serde_json::to_string(&*self.used.borrow())?;
        let storage = self.state.storage();
        self.state.wait_until(async move {
            Delay::from(Duration::ZERO).await;
            let _ = storage.put_raw(USED, text).await;
        });
        Ok(())
    }
}

/// This user's object, if the binding is configured.
pub(crate) fn stub(env: &Env, user: &str) -> Option<Rc<Stub>> {
    let stub = env.durable_object(QUOTA).and_then(|quotas| quotas.get_by_name(user));
    stub.ok().map(Rc::new)
}

/// Applies an operation in the object. Operations through one stub arrive in order.
pub(crate) async fn apply(stub: &Stub, op: &QuotaOp) -> Result<std::result::Result<(), Denial>> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(serde_json::to_string(op)?.into()));
    let request = Request::new_with_init("https://quota/", &init)?;
    let text = stub.fetch_with_request(request).await?.text().await?;
    Ok(serde_json::from_str(&text)?)
}
