//! Events as sources write them, for the tests.
#![allow(dead_code)]

use linefree_bus::payload::*;
use uuid::Uuid;

/// 2026-01-28T22:24:00Z.
pub const START_US: i64 = 1_769_639_040_000_000;

pub fn epoch(n: u8) -> Uuid {
    Uuid::from_u128(0x019b_0000_0000_7000_8000_0000_0000_0000 + u128::from(n))
}

pub fn event(source: &str, epoch: Uuid, seq: u64, time_s: i64, body: EventBody) -> Event {
    Event { source: source.into(), epoch, seq, time_us: START_US + time_s * 1_000_000, body }
}

pub fn line(sku: &str, quantity: u32, probability: f64, review: bool) -> Line {
    Line {
        sku: sku.into(),
        name: format!("Product {sku}"),
        quantity,
        unit_price_minor: 199,
        probability,
        review,
    }
}

pub fn opened(visit: &str) -> EventBody {
    EventBody::VisitOpened(VisitOpened {
        visit: visit.into(),
        credential: Some(format!("cred-{visit}")),
        party: 1,
    })
}

pub fn cart(visit: &str, lines: Vec<Line>) -> EventBody {
    EventBody::CartChanged(CartChanged { visit: visit.into(), lines })
}

pub fn closed(visit: &str, from_s: i64, to_s: i64, lines: Vec<Line>) -> EventBody {
    let sum = |review: bool| {
        lines.iter().filter(|l| l.review == review).map(|l| l.unit_price_minor * i64::from(l.quantity)).sum()
    };
    EventBody::VisitClosed(VisitClosed {
        visit: visit.into(),
        credential: Some(format!("cred-{visit}")),
        entered_us: START_US + from_s * 1_000_000,
        left_us: START_US + to_s * 1_000_000,
        currency: "USD".into(),
        charge_minor: sum(false),
        in_review_minor: sum(true),
        lines,
    })
}

pub fn shelf(plate: &str, delta_g: f64, at_s: i64) -> EventBody {
    let start_us = START_US + at_s * 1_000_000;
    let end_us = start_us + 2_000_000;
    EventBody::ShelfChanged(ShelfChanged {
        plates: vec![PlateDelta { plate: plate.into(), delta_g, sd_g: 2.0, start_us, end_us }],
        delta_g,
        sd_g: 2.0,
        start_us,
        end_us,
    })
}

pub fn attributed(shelf: &Event, visit: &str, sku: &str, probability: f64) -> EventBody {
    EventBody::ItemAttributed(ItemAttributed {
        shelf_source: shelf.source.clone(),
        shelf_epoch: shelf.epoch,
        shelf_seq: shelf.seq,
        candidates: vec![
            Candidate {
                visit: Some(visit.into()),
                robot: None,
                sku: Some(sku.into()),
                quantity: 1,
                probability,
            },
            Candidate { visit: None, robot: None, sku: None, quantity: 0, probability: 1.0 - probability },
        ],
    })
}

/// Two visits, from entry to receipt, as a shelf, a gate and a floor source tell it.
pub fn morning() -> Vec<Event> {
    let (s, g, f) = ("shelf-1", "gate-1", "floor-1");
    let e = epoch(1);
    let entry = |c: &str| {
        EventBody::GatePassed(GatePassed {
            gate: "door".into(),
            direction: GateDirection::Entry,
            credential: Some(c.into()),
            party: 1,
        })
    };
    let lift = event(s, e, 1, 10, shelf("1/5/10", -538.0, 8));
    let lift2 = event(s, e, 2, 20, shelf("1/5/11", -200.5, 18));
    let put = event(s, e, 3, 30, shelf("1/5/11", 200.25, 28));
    vec![
        event(g, e, 1, 1, entry("cred-v1")),
        event(f, e, 1, 1, opened("v1")),
        event(g, e, 2, 3, entry("cred-v2")),
        event(f, e, 2, 3, opened("v2")),
        lift.clone(),
        event(f, e, 3, 11, attributed(&lift, "v1", "632565000012", 0.97)),
        event(f, e, 4, 11, cart("v1", vec![line("632565000012", 1, 0.97, false)])),
        lift2.clone(),
        event(f, e, 5, 21, attributed(&lift2, "v1", "632565000029", 0.6)),
        event(
            f,
            e,
            6,
            21,
            cart("v1", vec![line("632565000012", 1, 0.97, false), line("632565000029", 1, 0.6, true)]),
        ),
        // Seen better later: it was the other one.
        event(f, e, 7, 22, attributed(&lift2, "v2", "632565000029", 0.9)),
        event(f, e, 8, 22, cart("v1", vec![line("632565000012", 1, 0.97, false)])),
        event(f, e, 9, 22, cart("v2", vec![line("632565000029", 1, 0.9, false)])),
        put.clone(),
        event(f, e, 10, 31, attributed(&put, "v2", "632565000029", 0.95)),
        event(f, e, 11, 31, cart("v2", vec![])),
        event(f, e, 12, 40, closed("v1", 1, 40, vec![line("632565000012", 1, 0.97, false)])),
        event(f, e, 13, 45, closed("v2", 3, 45, vec![])),
        event(
            s,
            e,
            4,
            46,
            EventBody::DeviceFault(DeviceFault {
                device: "1/5/12".into(),
                fault: "nan_weight".into(),
                message: "plate 1/5/12 sends NaN: check its cable".into(),
                cleared: false,
            }),
        ),
    ]
}

/// A visit ends with so many of one product at 199, and so many of another in review.
pub fn ends(visit: &str, token: &str, quantity: u32, in_review: u32) -> EventBody {
    let mut lines = vec![line("milk", quantity, 0.99, false)];
    if in_review > 0 {
        lines.push(line("bread", in_review, 0.5, true));
    }
    let EventBody::VisitClosed(mut body) = closed(visit, 1, 40, lines) else { unreachable!() };
    body.credential = Some(token.to_owned());
    EventBody::VisitClosed(body)
}

/// A visit begins.
pub fn begins(visit: &str, token: &str) -> EventBody {
    let EventBody::VisitOpened(mut body) = opened(visit) else { unreachable!() };
    body.credential = Some(token.to_owned());
    EventBody::VisitOpened(body)
}

/// The line in review is answered.
pub fn answer(visit: &str, quantity: u32) -> EventBody {
    EventBody::ReviewAnswered(ReviewAnswered {
        visit: visit.into(),
        sku: "bread".into(),
        quantity,
        currency: "USD".into(),
        charge_minor: 199 * i64::from(quantity),
        steps: Vec::new(),
    })
}

/// Money goes back.
pub fn refund(visit: &str, amount_minor: i64) -> EventBody {
    EventBody::RefundIssued(RefundIssued {
        refund: format!("r-{visit}"),
        visit: visit.into(),
        currency: "USD".into(),
        lines: vec![RefundLine { sku: "milk".into(), quantity: 1, amount_minor }],
        amount_minor,
        reason: "sour".into(),
    })
}

/// The shopper contests one of the first product, or is answered.
pub fn contested(visit: &str, state: ContestState) -> EventBody {
    EventBody::ContestChanged(ContestChanged {
        contest: format!("c-{visit}"),
        visit: visit.into(),
        sku: "milk".into(),
        currency: "USD".into(),
        amount_minor: 199,
        state,
    })
}
