//! Parameters that a target refuses: its rejection names one, which is learned, and the target is
//! called again at once without it. That ends, since each call leaves out one more of the few there are.

use super::attempt::Attempt;
use super::{Downstream, Relay};
use crate::chat::Event;
use crate::failure::{Failure, Reason};
use crate::limit::Limit;
use crate::limit::parameter::Parameters;
use crate::target::Target;

impl Relay {
    /// What this target is known to refuse.
    pub(super) fn refused(&self, target: &Target) -> Parameters {
        let (endpoint, now) = (&target.provider.base_url, self.unix_seconds());
        let learned = self.job.learned.find(endpoint, &target.model, now);
        learned.map(|row| row.refused).unwrap_or_default()
    }

    /// What a call to this target leaves out of what the request asks for, for the log.
    pub(super) fn left_out(
        &self,
        target: &Target,
        stream: bool,
        limit: Option<Limit>,
    ) -> Parameters {
        let Some(asked) = &self.asked else { return Parameters::default() };
        let max_output = limit.map(|limit| limit.max_output);
        asked.left_out(target, stream, max_output, self.refused(target))
    }

    /// Learns the parameter that a failed attempt was rejected for. `true`: the target is to be called
    /// again at once, without it.
    pub(super) fn leave_out(
        &mut self,
        attempt: &Attempt,
        failure: &Failure,
        client: &mut dyn Downstream,
    ) -> bool {
        if failure.reason != Reason::Rejected || attempt.reading.content {
            return false;
        }
        let Some(refused) = refused_in(failure) else { return false };
        if attempt.plan.refused.contain(refused) {
            return false;
        }
        let target = &attempt.plan.target;
        let (endpoint, now) = (&target.provider.base_url, self.unix_seconds());
        let row = self.job.learned.note_refused(endpoint, &target.model, refused, now);
        self.bounds.note_learned(row);
        let names = refused.names();
        let warning = format!("Retrying with {target} without {names}: {}", failure.message());
        client.event(&Event::Warning(warning.into()));
        true
    }
}

/// The parameter that is named in the message, or elsewhere in the provider's error body.
fn refused_in(failure: &Failure) -> Option<Parameters> {
    let in_body = || {
        let body = &failure.original.as_ref()?.body;
        Parameters::refused_in(&String::from_utf8_lossy(body))
    };
    Parameters::refused_in(&failure.detail).or_else(in_body)
}
