//! A gateway that does what it was asked for once per key, and then declines, forgets to answer or lets holds expire; and
//! a store that crashes between any two steps.

// Helpers of tests are not known as tests to clippy.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use linefree_domain::ids::VisitId;
use linefree_domain::payment::{
    Answer, AskKind, Bill, Policy, Trip, TripState, answered, begin, may_enter, next, revised, try_again,
};
use linefree_domain::time::StoreTime;
use linefree_domain::units::{Currency, Money};
use proptest::prelude::*;

fn money(minor: i64) -> Money {
    Money::from_minor(minor)
}

fn trip() -> Trip {
    Trip::new(VisitId::new("v1").unwrap(), Currency::new("EUR").unwrap())
}

fn bill(owed: i64) -> Bill {
    Bill { ended: true, owed: money(owed), in_review: money(0), contested: money(0) }
}

/// What the gateway really did.
#[derive(Default)]
struct Gateway {
    done: BTreeMap<String, Answer>,
    held: i64,
    captured: i64,
    refunded: i64,
    disputed: i64,
}

impl Gateway {
    fn ask(&mut self, trip: &Trip, mood: u8) -> Answer {
        let ask = trip.ask.as_ref().unwrap();
        if let Some(before) = self.done.get(&trip.key()) {
            return before.clone();
        }
        // 0 to 5: does it. 6: declines. 7: says nothing and does nothing. 8: does it and the answer is lost. 9: expired.
        let answer = match (mood, ask.kind) {
            (6, kind) if kind != AskKind::Contest => Answer::Declined("no money".into()),
            (7, _) => return Answer::Silence("time-out".into()),
            (9, AskKind::Capture) => {
                self.held = 0;
                Answer::Expired
            }
            (_, AskKind::Authorise) => {
                self.held = ask.amount.minor;
                Answer::Approved(Some(format!("a{}", trip.step)))
            }
            (_, AskKind::Capture) => {
                assert!(self.held >= ask.amount.minor, "captured what is not held");
                self.held -= ask.amount.minor;
                self.captured += ask.amount.minor;
                Answer::Approved(None)
            }
            (_, AskKind::Refund) => {
                self.refunded += ask.amount.minor;
                Answer::Approved(None)
            }
            (_, AskKind::Release) => {
                self.held = 0;
                Answer::Approved(None)
            }
            (_, AskKind::Contest) => {
                assert!(self.captured - self.refunded >= ask.amount.minor, "more in dispute than was taken");
                self.disputed = ask.amount.minor;
                Answer::Approved(None)
            }
        };
        self.done.insert(trip.key(), answer.clone());
        if mood == 8 { Answer::Silence("connection reset".into()) } else { answer }
    }
}

#[test]
fn a_visit_is_held_captured_corrected_and_released() {
    let policy = Policy { hold: money(5000), ..Policy::default() };
    let now = StoreTime::from_micros(0);
    let mut gateway = Gateway::default();
    let shopping = Bill { ended: false, owed: money(0), in_review: money(0), contested: money(0) };
    let mut kinds = Vec::new();
    let mut t = trip();
    for bill in [shopping, Bill { in_review: money(300), ..bill(1200) }, bill(1500), bill(1400), bill(1400)] {
        while let Some(what) = next(&t, &bill, &policy) {
            kinds.push(what.0);
            t = begin(&t, what, now);
            let answer = gateway.ask(&t, 0);
            t = answered(&t, &answer, &bill);
        }
    }
    use AskKind::{Authorise, Capture, Refund, Release};
    // The hold is kept while something is in review, and let go of when all is answered.
    assert_eq!(kinds, [Authorise, Capture, Capture, Release, Refund]);
    assert_eq!((t.captured, t.refunded, t.authorised), (money(1500), money(100), money(0)));
    assert!(t.is_settled(&bill(1400)));
}

#[test]
fn silence_is_asked_again_later_and_later_and_a_call_back_is_waited_for() {
    let policy = Policy::default();
    let now = StoreTime::from_micros(0);
    let mut t = begin(&trip(), next(&trip(), &bill(100), &policy).unwrap(), now);
    let key = t.key();
    let mut waits = Vec::new();
    for _ in 0..12 {
        waits.push(t.retry_at(&policy).unwrap().seconds_since(now));
        t = answered(&t, &Answer::Silence("time-out".into()), &bill(100));
    }
    assert_eq!((waits[0], waits[1], waits[2], waits[3]), (0.0, 2.0, 6.0, 14.0));
    assert!((waits[11] - waits[10] - 600.0).abs() < 1e-6, "{waits:?}");
    assert_eq!(t.key(), key, "the same question has the same key");
    let t = answered(&t, &Answer::Pending, &bill(100));
    assert_eq!((t.retry_at(&policy), next(&t, &bill(100), &policy)), (None, None));
    let t = answered(&t, &Answer::Approved(Some("late".into())), &bill(100));
    assert_eq!(t.authorised, money(100));
    // The same call-back once more.
    assert_eq!(answered(&t, &Answer::Approved(Some("late".into())), &bill(100)), t);
}

#[test]
fn what_is_declined_at_the_exit_is_bad_debt_until_people_try_again() {
    let (policy, now) = (Policy { hold: money(1000), ..Policy::default() }, StoreTime::from_micros(0));
    let shopping = Bill { ended: false, ..bill(0) };
    let t = begin(&trip(), next(&trip(), &shopping, &policy).unwrap(), now);
    let t = answered(&t, &Answer::Declined("blocked".into()), &shopping);
    assert!(t.hold_declined && t.state == TripState::Open);
    assert_eq!(next(&t, &shopping, &policy), None, "one decline at the entry is enough");
    let t = begin(&t, next(&t, &bill(700), &policy).unwrap(), now);
    let t = answered(&t, &Answer::Declined("blocked".into()), &bill(700));
    assert_eq!((t.state, next(&t, &bill(700), &policy)), (TripState::BadDebt, None));
    let t = try_again(&t);
    assert_eq!(next(&t, &bill(700), &policy), Some((AskKind::Authorise, money(700))));

    let eur = Currency::new("EUR").unwrap();
    let words = may_enter(Some((money(705), eur)), None).unwrap_err().to_string();
    assert!(words.contains("7.05 EUR"), "{words}");
    assert!(may_enter(Some((money(0), eur)), None).is_ok());
    assert!(may_enter(None, Some("chargebacks")).unwrap_err().to_string().contains("chargebacks"));
}

#[test]
fn the_gateway_is_told_of_what_was_taken_that_is_in_dispute_and_when_that_is_over() {
    let (policy, now) = (Policy::default(), StoreTime::from_micros(0));
    let mut gateway = Gateway::default();
    let mut kinds = Vec::new();
    let mut t = trip();
    let contested = |owed, of| Bill { contested: money(of), ..bill(owed) };
    // 300 of it before it is taken: the gateway hears of nothing. All is taken when staff let it stand; then 400 are in
    // dispute, and half of that goes back.
    for bill in [contested(1000, 300), bill(1000), contested(1000, 400), bill(800)] {
        while let Some(what) = next(&t, &bill, &policy) {
            kinds.push((what.0, what.1.minor));
            t = begin(&t, what, now);
            let answer = gateway.ask(&t, 0);
            t = answered(&t, &answer, &bill);
        }
    }
    use AskKind::{Authorise, Capture, Contest, Refund};
    let taken = [(Authorise, 700), (Capture, 700), (Authorise, 300), (Capture, 300)];
    let disputed = [(Contest, 400), (Refund, 200), (Contest, 0)];
    assert_eq!(kinds, [&taken[..], &disputed].concat());
    assert_eq!((gateway.disputed, t.disputed, t.net()), (0, money(0), money(800)));
    // One that takes none is told once.
    let t = begin(&t, next(&t, &contested(800, 100), &policy).unwrap(), now);
    let t = answered(&t, &Answer::Declined("no disputes here".into()), &contested(800, 100));
    assert_eq!((t.state, next(&t, &contested(800, 100), &policy)), (TripState::Open, None));
}

#[test]
fn a_question_that_waits_for_the_payer_follows_the_bill_and_an_earlier_amount_is_paid_back() {
    let (policy, now) = (Policy::default(), StoreTime::from_micros(0));
    let step = |t: &Trip, bill: &Bill, answer: &Answer| {
        answered(&begin(t, next(t, bill, &policy).unwrap(), now), answer, bill)
    };
    let t = step(&trip(), &bill(400), &Answer::Approved(Some("tr".into())));
    let waits = step(&t, &bill(400), &Answer::Pending);
    let key = waits.key();
    assert_eq!(revised(&waits, &bill(400)), None);
    assert_eq!(revised(&waits, &Bill { contested: money(100), ..bill(400) }), None);
    let less = revised(&waits, &bill(250)).unwrap();
    assert_eq!((less.key(), less.ask.as_ref().unwrap().amount), (key, money(250)));
    assert!(
        less.has_asked_for(money(400)) && less.has_asked_for(money(250)) && !less.has_asked_for(money(1))
    );
    // By the link that was out first.
    let paid = answered(&less, &Answer::Paid(money(400)), &bill(250));
    assert_eq!(
        (paid.net(), next(&paid, &bill(250), &policy)),
        (money(400), Some((AskKind::Refund, money(150))))
    );
    let paid = answered(&less, &Answer::Paid(money(250)), &bill(250));
    assert_eq!((paid.net(), paid.is_settled(&bill(250))), (money(250), true));
    // All of it went back before anybody paid: nothing is asked for, and whoever pays gets it back.
    let none = revised(&less, &bill(0)).unwrap();
    assert!(none.is_settled(&bill(0)) && !none.has_asked_for(money(0)));
    let paid = answered(&none, &Answer::Paid(money(400)), &bill(0));
    assert_eq!(next(&paid, &bill(0), &policy), Some((AskKind::Refund, money(400))));
    // And up again: a review was answered.
    assert_eq!(revised(&none, &bill(300)).unwrap().ask.unwrap().amount, money(300));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the gateway does and wherever the store crashes: it never has more than is owed at any bill so far, what
    /// the store believes is what the gateway did, and when the gateway is well again everything is paid exactly.
    #[test]
    fn never_twice_and_never_lost(
        hold in prop_oneof![Just(0_i64), 1..3000_i64],
        bills in prop::collection::vec((0..2500_i64, 0..500_i64, prop_oneof![Just(0_i64), 1..900_i64]), 1..5),
        moods in prop::collection::vec(0..10_u8, 0..80),
        crashes in prop::collection::vec(any::<bool>(), 0..160),
    ) {
        let policy = Policy { hold: money(hold), ..Policy::default() };
        let now = StoreTime::from_micros(0);
        let mut gateway = Gateway::default();
        let (mut moods, mut crashes) = (moods.into_iter(), crashes.into_iter());
        // What is on disk. A crash forgets everything else.
        let mut disk = trip();
        let mut most = 0;
        for (owed, in_review, contested) in &bills {
            let contested_of = contested.min(owed);
            let bill = Bill {
                ended: true,
                owed: money(*owed),
                in_review: money(*in_review),
                contested: money(*contested_of),
            };
            // What is in dispute is not taken.
            most = most.max(owed - contested_of);
            for _ in 0..20 {
                let t = match disk.ask {
                    Some(_) => disk.clone(),
                    None => match next(&disk, &bill, &policy) {
                        Some(what) => begin(&disk, what, now),
                        None => break,
                    },
                };
                if crashes.next() == Some(true) { continue; }
                disk = t.clone();
                if crashes.next() == Some(true) { continue; }
                let answer = gateway.ask(&t, moods.next().unwrap_or(0));
                prop_assert!(gateway.captured - gateway.refunded <= most, "took too much");
                if crashes.next() == Some(true) { continue; }
                disk = answered(&t, &answer, &bill);
            }
        }
        // The gateway is well again, and people try again.
        let (owed, ..) = *bills.last().unwrap();
        let last = bill(owed);
        for _ in 0..20 {
            if disk.state != TripState::Open { disk = try_again(&disk); }
            let t = match disk.ask {
                Some(_) => disk.clone(),
                None => match next(&disk, &last, &policy) {
                    Some(what) => begin(&disk, what, now),
                    None => break,
                },
            };
            disk = t.clone();
            let answer = gateway.ask(&t, 0);
            disk = answered(&disk, &answer, &last);
        }
        prop_assert_eq!((disk.captured.minor, disk.refunded.minor), (gateway.captured, gateway.refunded));
        prop_assert_eq!(gateway.captured - gateway.refunded, owed);
        prop_assert_eq!((disk.disputed.minor, gateway.disputed), (0, 0), "a dispute that is over was told so");
        prop_assert!(disk.is_settled(&last));
    }
}
