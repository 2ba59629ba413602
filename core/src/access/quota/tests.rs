use super::*;

const AT: fn(u64) -> Instant = Instant::from_millis;

fn allowance(requests: u32, tokens: u32, streams: u32) -> Allowance {
    Allowance {
        requests_per_minute: NonZeroU32::new(requests),
        tokens_per_minute: NonZeroU32::new(tokens),
        concurrent_streams: NonZeroU32::new(streams),
    }
}

/// One user's use, and the plan it is held against.
struct User {
    used: Use,
    allowance: Allowance,
}

impl User {
    fn new(requests: u32, tokens: u32, streams: u32) -> Self {
        Self { used: Use::default(), allowance: allowance(requests, tokens, streams) }
    }

    fn apply(&mut self, at: Instant, lease: u64, act: Act) -> Result<(), Denial> {
        self.used.apply(&QuotaOp { lease, allowance: self.allowance, act }, at)
    }

    fn begin(&mut self, at: Instant, lease: u64, prompt: u32) -> Result<(), Denial> {
        self.apply(at, lease, Act::Begin(prompt))
    }

    /// Denied now and a microsecond before it is over, admitted when it is.
    #[track_caller]
    fn check_denied(&self, at: Instant, prompt: u32, quota: Quota, retry_after: Duration) {
        let begin = |at| {
            let op = QuotaOp { lease: 99, allowance: self.allowance, act: Act::Begin(prompt) };
            self.used.clone().apply(&op, at)
        };
        let denial = begin(at).unwrap_err();
        assert_eq!((denial.quota, denial.retry_after()), (quota, retry_after));
        assert!(begin(at + (retry_after - Duration::from_micros(1))).is_err(), "too late");
        assert_eq!(begin(at + retry_after), Ok(()), "too early");
    }
}

#[test]
fn a_minutes_requests_may_come_at_once_and_then_at_their_rate() {
    let mut user = User::new(6, 0, 0);
    for lease in 0..6 {
        assert_eq!(user.begin(AT(1000), lease, 1), Ok(()));
    }
    user.check_denied(AT(1000), 1, Quota::Requests, Duration::from_secs(10));
    user.check_denied(AT(4000), 1, Quota::Requests, Duration::from_secs(7));
    assert_eq!(user.begin(AT(11_000), 7, 1), Ok(()));
    user.check_denied(AT(11_000), 1, Quota::Requests, Duration::from_secs(10));
}

#[test]
fn tokens_count_while_they_flow() {
    let mut user = User::new(0, 600, 0);
    assert_eq!(user.begin(AT(0), 1, 100), Ok(()));
    assert_eq!(user.begin(AT(0), 2, 100), Ok(()));
    user.apply(AT(0), 1, Act::Charge(200)).unwrap();
    user.check_denied(AT(0), 201, Quota::Tokens, Duration::from_millis(100));
    user.apply(AT(0), 1, Act::Charge(300)).unwrap();
    // 700 of 600, and 1 more: 101 tokens at 10 in a second.
    user.check_denied(AT(0), 1, Quota::Tokens, Duration::from_millis(10_100));
}

#[test]
fn what_was_thought_too_much_is_given_back() {
    let mut user = User::new(0, 600, 0);
    user.begin(AT(0), 1, 600).unwrap();
    user.check_denied(AT(0), 1, Quota::Tokens, Duration::from_millis(100));
    user.apply(AT(0), 1, Act::End(-400)).unwrap();
    assert_eq!(user.begin(AT(0), 2, 400), Ok(()));
    user.check_denied(AT(0), 1, Quota::Tokens, Duration::from_millis(100));
    // Long after it was paid for, what comes back is not saved up.
    user.apply(AT(600_000), 2, Act::End(-400)).unwrap();
    user.begin(AT(600_000), 3, 600).unwrap();
    user.check_denied(AT(600_000), 1, Quota::Tokens, Duration::from_millis(100));
}

#[test]
fn a_prompt_of_more_than_a_minute_waits_for_all_and_pays_for_all() {
    let mut user = User::new(0, 600, 0);
    assert_eq!(user.begin(AT(0), 1, 1200), Ok(()));
    user.check_denied(AT(0), 1, Quota::Tokens, Duration::from_millis(60_100));
    user.check_denied(AT(0), 5000, Quota::Tokens, Duration::from_secs(120));
}

#[test]
fn answers_under_way_are_bounded_until_they_end() {
    let mut user = User::new(0, 0, 2);
    assert_eq!(user.begin(AT(0), 1, 1), Ok(()));
    assert_eq!(user.begin(AT(0), 2, 1), Ok(()));
    let denial = user.begin(AT(0), 3, 1).unwrap_err();
    assert_eq!((denial.quota, denial.retry_after()), (Quota::Streams, STREAM_RETRY));
    user.apply(AT(1), 1, Act::End(0)).unwrap();
    assert_eq!(user.begin(AT(1), 3, 1), Ok(()));
    assert!(user.begin(AT(1), 4, 1).is_err());
}

#[test]
fn an_answer_that_is_not_heard_of_is_believed_to_be_over() {
    let mut user = User::new(0, 0, 1);
    user.begin(AT(0), 1, 1).unwrap();
    user.apply(AT(30_000), 1, Act::Charge(0)).unwrap();
    assert!(user.begin(AT(89_999), 2, 1).is_err());
    assert_eq!(user.begin(AT(90_000), 2, 1), Ok(()));
}

#[test]
fn of_several_quotas_the_longest_wait_is_told() {
    let mut user = User::new(60, 60, 1);
    for lease in 0..60 {
        user.begin(AT(0), lease, 1).unwrap();
        user.apply(AT(0), lease, Act::End(0)).unwrap();
    }
    user.apply(AT(0), 0, Act::End(1)).unwrap();
    user.check_denied(AT(0), 1, Quota::Tokens, Duration::from_secs(2));
}

#[test]
fn a_denied_request_costs_nothing() {
    let mut user = User::new(1, 600, 1);
    user.begin(AT(0), 1, 1).unwrap();
    let before = user.used.clone();
    for _ in 0..9 {
        assert!(user.begin(AT(0), 2, 50).is_err());
    }
    assert_eq!(user.used, before);
}

/// Whoever comes back at the first moment it is let in gets the plan's rate and not a request more.
#[test]
fn the_rate_is_kept_for_every_plan() {
    for per_minute in [1, 7, 60, 601, 10_000] {
        let mut user = User::new(per_minute, 0, 0);
        let (mut at, mut admitted) = (AT(0), 0u64);
        while at <= AT(180_000) {
            match user.begin(at, 1, 1) {
                Ok(()) => admitted += 1,
                Err(denial) => at = at + denial.retry_after(),
            }
        }
        // A minute's worth at once, and three minutes' after that.
        assert_eq!(admitted, 4 * u64::from(per_minute));
    }
}

#[test]
fn nothing_overflows() {
    let mut user = User::new(1, 1, 1);
    for act in [Act::Begin(u32::MAX), Act::Charge(i64::MAX), Act::Charge(i64::MIN), Act::End(-1)] {
        let _ = user.apply(Instant::from_micros(u64::MAX), 1, act);
        let _ = user.apply(AT(0), 1, act);
    }
}

#[test]
fn a_use_outlives_its_process_as_text() {
    let mut user = User::new(1, 1, 1);
    user.begin(AT(5), u64::MAX, 1).unwrap();
    let text = serde_json::to_string(&user.used).unwrap();
    assert_eq!(serde_json::from_str::<Use>(&text).unwrap(), user.used);
}

#[test]
fn users_are_counted_each_for_himself_and_only_so_many() {
    let quotas = Quotas::default();
    let op = QuotaOp { lease: 1, allowance: allowance(1, 0, 0), act: Act::Begin(1) };
    let user = |n: usize| Arc::from(n.to_string());
    for n in 0..2 * USERS_MAX {
        assert_eq!(quotas.apply(&user(n), &op, AT(0)), Ok(()));
    }
    assert!(quotas.apply(&user(USERS_MAX), &op, AT(0)).is_err());
    assert!(quotas.apply(&user(0), &op, AT(0)).is_err(), "the old are not forgotten at once");
    for n in 2 * USERS_MAX..4 * USERS_MAX {
        let _ = quotas.apply(&user(n), &op, AT(0));
    }
    let generations = quotas.generations();
    assert!(generations.young.len() + generations.old.len() <= 2 * USERS_MAX);
}
