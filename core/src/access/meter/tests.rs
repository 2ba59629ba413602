use super::*;
use crate::access::Plan;

const AT: fn(u64) -> Instant = Instant::from_millis;

fn meter(prompt: u32) -> Meter {
    let tokens_per_minute = std::num::NonZeroU32::new(600);
    let plan = Plan { tokens_per_minute, ..Plan::default() };
    let caller = Caller { user: "ada".parse().unwrap(), plan: Some(Arc::new(plan)) };
    Meter::new(&caller, 7, prompt, AT(0)).unwrap()
}

fn running(prompt: u32) -> Meter {
    let mut meter = meter(prompt);
    assert_eq!(meter.goes_on(AT(0), 0).unwrap().act, Act::Begin(prompt));
    assert!(meter.answered(true));
    meter
}

#[test]
fn who_is_not_bounded_is_not_metered() {
    let max_output_tokens = std::num::NonZeroU32::new(600);
    for plan in [None, Some(Arc::new(Plan { max_output_tokens, ..Plan::default() }))] {
        assert!(Meter::new(&Caller { user: "ada".parse().unwrap(), plan }, 7, 1, AT(0)).is_none());
    }
}

#[test]
fn nothing_is_told_before_it_is_known_whether_the_answer_may_begin() {
    let mut meter = meter(10);
    assert_eq!(meter.goes_on(AT(0), 0).unwrap().act, Act::Begin(10));
    assert_eq!(meter.goes_on(AT(99_000), 999), None);
    assert_eq!(meter.due(), None);
    assert!(meter.answered(true));
    assert!(!meter.answered(true), "that is no news");
}

#[test]
fn tokens_are_told_in_batches_or_after_a_second() {
    let mut meter = running(10);
    assert_eq!(meter.goes_on(AT(0), 63), None);
    assert_eq!(meter.goes_on(AT(0), 64).unwrap().act, Act::Charge(64));
    assert_eq!(meter.goes_on(AT(999), 65), None);
    assert_eq!(meter.goes_on(AT(1000), 65).unwrap().act, Act::Charge(1));
    assert_eq!(meter.goes_on(AT(9000), 65), None);
}

#[test]
fn a_silent_answer_is_heard_of() {
    let mut meter = running(10);
    assert_eq!(meter.due(), Some(AT(20_000)));
    assert_eq!(meter.goes_on(AT(19_999), 0), None);
    assert_eq!(meter.goes_on(AT(20_000), 0).unwrap().act, Act::Charge(0));
    assert_eq!(meter.due(), Some(AT(40_000)));
}

#[test]
fn the_end_makes_it_what_it_cost() {
    for (delivered, cost, last) in [(64, 74, 0), (64, 80, 6), (64, 0, -74), (0, 5, -5)] {
        let mut meter = running(10);
        let _ = meter.goes_on(AT(0), delivered);
        assert_eq!(meter.over(cost).unwrap().act, Act::End(last));
        assert_eq!(meter.over(cost), None);
        assert_eq!(meter.goes_on(AT(99_000), 999), None);
        assert_eq!(meter.due(), None);
    }
}

#[test]
fn who_left_before_it_was_known_gives_all_back_and_the_denied_nothing() {
    let mut left = meter(10);
    let _ = left.goes_on(AT(0), 0);
    assert_eq!(left.over(0).unwrap().act, Act::End(-10));
    assert!(!left.answered(true));
    let mut denied = meter(10);
    let _ = denied.goes_on(AT(0), 0);
    assert!(denied.answered(false));
    assert_eq!(denied.over(0), None);
}
