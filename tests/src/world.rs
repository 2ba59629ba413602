//! Virtual time: one machine of core, its client and its calls, with a queue of what is due in place
//! of sockets and clocks. A run takes microseconds and is the same every time.
//!
//! A [`Host`] is what the machine meets there: providers, a client, and whoever watches.

mod machines;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use streamgate_core::access::quota::QuotaOp;
use streamgate_core::answer::Head;
use streamgate_core::relay::{AttemptId, Call, Input};
use streamgate_core::time::Instant;

pub use self::machines::Asked;

/// No answer takes longer.
const VIRTUAL_TIME_MAX: Duration = Duration::from_secs(3600);
/// No run takes more steps: one that does turns in circles.
const STEPS_MAX: u32 = 1_000_000;
/// Of how many things at the same time one is chosen.
const EQUALS_MAX: usize = 8;

/// A machine of core that makes calls and answers a client.
pub trait Machine {
    /// What it asks for besides that.
    type Own;
    /// Why it waits until a certain time.
    type Timer;

    /// Takes in what came of a call, of the client, or of time.
    fn handle(&mut self, now: Instant, input: Input<'_>);

    /// The next thing to do.
    fn poll(&mut self) -> Output<'_, Self::Own, Self::Timer>;
}

/// What a machine asks for.
pub enum Output<'a, Own, Timer> {
    /// Call a target.
    Call(Call),
    /// Abort a call.
    Cancel(AttemptId),
    /// A call is not needed any more.
    Release(AttemptId),
    /// The response's head.
    Head(Head),
    /// More of the response's body.
    Body(&'a [u8]),
    /// Apply this to a user's quota.
    Quota(Arc<str>, QuotaOp),
    /// Anything else.
    Own(Own),
    /// Nothing until something comes, or until this time.
    Wait(Option<(Instant, Timer)>),
}

/// What a client does by the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It leaves.
    Leave,
    /// It stops to read.
    Pause,
    /// It reads again.
    Resume,
}

/// What a client does once it has read something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// It reads on.
    Read,
    /// It reads nothing until then, and so does not let providers send either.
    PauseUntil(Instant),
    /// It leaves.
    Leave,
}

/// What becomes of a call that is cancelled or released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Nothing more comes of it.
    Silent,
    /// What was on its way comes nevertheless.
    Late,
}

/// What a machine meets. An error ends the run.
pub trait Host<M: Machine> {
    /// What a provider does within a call.
    type Act;

    /// A provider is called. Returns what it does, in order.
    fn call(&mut self, now: Instant, call: &Call)
    -> Result<VecDeque<(Instant, Self::Act)>, String>;
    /// A provider does something. Returns it as the machine's input.
    fn act<'a>(&'a mut self, now: Instant, attempt: AttemptId, act: &'a Self::Act) -> Input<'a>;
    /// A call is cancelled.
    fn cancel(&mut self, _now: Instant, _attempt: AttemptId) -> Result<Closed, String> {
        Ok(Closed::Silent)
    }
    /// A call is released.
    fn release(&mut self, _now: Instant, _attempt: AttemptId) -> Result<Closed, String> {
        Ok(Closed::Silent)
    }
    /// The client gets the head.
    fn head(&mut self, now: Instant, head: Head) -> Result<(), String>;
    /// The client gets more of the body.
    fn body(&mut self, now: Instant, bytes: &[u8]) -> Result<Reaction, String>;
    /// The client does something by the clock.
    fn moment(&mut self, _now: Instant, _moment: Moment) {}
    /// The machine applies something to a user's quota and expects the outcome as an input.
    fn quota(
        &mut self,
        _machine: &mut M,
        _now: Instant,
        user: &Arc<str>,
        _op: &QuotaOp,
    ) -> Result<(), String> {
        Err(format!("{user} has no quota here"))
    }
    /// The machine asks for anything else. Returns whether that was its end.
    fn own(&mut self, machine: &mut M, now: Instant, own: M::Own) -> Result<bool, String>;
    /// The machine waits.
    fn waits(&mut self, _now: Instant, _until: Option<(Instant, M::Timer)>) -> Result<(), String> {
        Ok(())
    }
    /// Which of so many things that are due at once happens first.
    fn choose(&mut self, _equals: usize) -> usize {
        0
    }
    /// Whether the machine is made to look at the clock between two things.
    fn looks_at_the_clock(&mut self) -> bool {
        false
    }
}

/// A machine in virtual time.
pub struct World<M: Machine, H: Host<M>> {
    /// What it meets.
    pub host: H,
    machine: M,
    now: Instant,
    until: Option<Instant>,
    calls: Vec<LiveCall<H::Act>>,
    /// What the client will do, in order.
    moments: VecDeque<(Instant, Moment)>,
    /// Until when its providers cannot send, because it does not read.
    held_until: Option<Instant>,
    left: bool,
    over: bool,
    time_max: Instant,
    steps: u32,
}

struct LiveCall<Act> {
    attempt: AttemptId,
    /// What happens in it, and when.
    due: VecDeque<(Instant, Act)>,
}

/// Something that is due.
#[derive(Clone, Copy)]
enum Due {
    Moment,
    Resume,
    Call(usize),
    Tick,
}

impl<M: Machine, H: Host<M>> World<M, H> {
    /// A machine that was made at `now`; `moments` are in order.
    pub fn begin(
        machine: M,
        host: H,
        now: Instant,
        moments: VecDeque<(Instant, Moment)>,
    ) -> Result<Self, String> {
        let mut world = Self {
            host,
            machine,
            now,
            until: None,
            calls: Vec::new(),
            moments,
            held_until: None,
            left: false,
            over: false,
            time_max: now + VIRTUAL_TIME_MAX,
            steps: 0,
        };
        world.drain()?;
        Ok(world)
    }

    /// Lets happen all that does; an error if the machine is not over then.
    pub fn run(&mut self) -> Result<(), String> {
        while self.step()? {}
        if self.over { Ok(()) } else { Err("it waits for nothing and is not over".into()) }
    }

    /// Whether the machine has come to its end.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// When the next thing happens. Calls that were closed may have more to come.
    pub fn next(&self) -> Option<Instant> {
        let mut first = None::<Instant>;
        self.each_due(|at, _| first = Some(first.map_or(at, |first| first.min(at))));
        first
    }

    /// Lets the next thing happen, if there is one.
    pub fn step(&mut self) -> Result<bool, String> {
        let Some((at, due)) = self.choose() else { return Ok(false) };
        self.steps += 1;
        if at > self.time_max || self.steps > STEPS_MAX {
            return Err(format!("it is not over after {VIRTUAL_TIME_MAX:?} or {STEPS_MAX} steps"));
        }
        self.now = at;
        self.happen(due);
        if self.host.looks_at_the_clock() {
            self.machine.handle(self.now, Input::Tick);
        }
        self.drain()?;
        Ok(true)
    }

    /// Gives what is due next of each kind.
    fn each_due(&self, mut give: impl FnMut(Instant, Due)) {
        let mut give = |at: Option<Instant>, due| {
            if let Some(at) = at {
                give(at.max(self.now), due);
            }
        };
        if !self.over {
            if !self.left {
                give(self.moments.front().map(|(at, _)| *at), Due::Moment);
            }
            give(self.held_until, Due::Resume);
        }
        if self.over || self.held_until.is_none() {
            for (index, call) in self.calls.iter().enumerate() {
                give(call.due.front().map(|(at, _)| *at), Due::Call(index));
            }
        }
        if !self.over {
            give(self.until, Due::Tick);
        }
    }

    /// The first of what is due; of several at the same time any, as the host has it.
    fn choose(&mut self) -> Option<(Instant, Due)> {
        let mut equals = [Due::Tick; EQUALS_MAX];
        let (mut first, mut count) = (None, 0);
        self.each_due(|at, due| {
            if first.is_none_or(|first| at < first) {
                (first, count) = (Some(at), 0);
            }
            if first == Some(at) && count < EQUALS_MAX {
                equals[count] = due;
                count += 1;
            }
        });
        let chosen = if count > 1 { self.host.choose(count) } else { 0 };
        Some((first?, equals[chosen]))
    }

    fn happen(&mut self, due: Due) {
        let now = self.now;
        match due {
            Due::Moment => {
                if let Some((_, moment)) = self.moments.pop_front() {
                    self.client(moment);
                }
            }
            Due::Resume => {
                self.held_until = None;
                self.client(Moment::Resume);
            }
            Due::Call(index) => {
                let call = &mut self.calls[index];
                let attempt = call.attempt;
                if let Some((_, act)) = call.due.pop_front() {
                    self.machine.handle(now, self.host.act(now, attempt, &act));
                }
            }
            Due::Tick => self.machine.handle(now, Input::Tick),
        }
    }

    /// The client does something.
    fn client(&mut self, moment: Moment) {
        self.host.moment(self.now, moment);
        let input = match moment {
            Moment::Leave => {
                self.left = true;
                Input::Hangup
            }
            Moment::Pause => Input::Pause,
            Moment::Resume => Input::Resume,
        };
        self.machine.handle(self.now, input);
    }

    /// Does what the machine asks for, until it waits.
    fn drain(&mut self) -> Result<(), String> {
        let now = self.now;
        loop {
            let output = self.machine.poll();
            if self.over && !matches!(output, Output::Wait(_)) {
                return Err("it asks for something more after its end".into());
            }
            match output {
                Output::Wait(until) => {
                    self.until = until.as_ref().map(|(at, _)| *at);
                    return self.host.waits(now, until);
                }
                Output::Call(call) => {
                    let due = self.host.call(now, &call)?;
                    self.calls.push(LiveCall { attempt: call.attempt, due });
                }
                Output::Cancel(attempt) => {
                    let closed = self.host.cancel(now, attempt)?;
                    self.close(attempt, closed);
                }
                Output::Release(attempt) => {
                    let closed = self.host.release(now, attempt)?;
                    self.close(attempt, closed);
                }
                Output::Head(head) => self.host.head(now, head)?,
                Output::Body(bytes) => {
                    let reaction = self.host.body(now, bytes)?;
                    self.react(reaction);
                }
                Output::Quota(user, op) => self.host.quota(&mut self.machine, now, &user, &op)?,
                Output::Own(own) => self.over |= self.host.own(&mut self.machine, now, own)?,
            }
        }
    }

    fn react(&mut self, reaction: Reaction) {
        match reaction {
            Reaction::Read => {}
            Reaction::PauseUntil(until) => {
                self.held_until = Some(until);
                self.client(Moment::Pause);
            }
            Reaction::Leave if self.left => {}
            Reaction::Leave => self.client(Moment::Leave),
        }
    }

    fn close(&mut self, attempt: AttemptId, closed: Closed) {
        let call = self.calls.iter_mut().find(|call| call.attempt == attempt);
        if let (Closed::Silent, Some(call)) = (closed, call) {
            call.due.clear();
        }
    }
}
