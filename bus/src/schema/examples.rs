//! One example of each payload and of each kind of event, for the reference and for the tests of the schemas.

use crate::payload::{
    Ack, Alike, AskKind, Candidate, CartChanged, CommandAnswered, Commission, ContestChanged, ContestState,
    Counts, Coupon, Deal, DeviceFault, Event, EventBody, GateDirection, GatePassed, GroupPrice, Handling,
    Handlings, Handover, IfShort, InForce, InsightsTold, ItemAttributed, Line, Loyalty, MoneyState, MultiBuy,
    Off, OrderChanged, OrderLine, OrderMoney, OrderState, PaymentAsk, PaymentChanged, People, Person,
    PlateDelta, PriceRules, PriceRulesChanged, PriceStep, PriceWhy, PricedLine, ProductInsight,
    ProductLikelihood, ProductView, ReceiptPriced, RefundIssued, RefundLine, RefusedRelease, Resend,
    ReviewAnswered, SellerShare, ShelfChanged, ShopperForgotten, ShopperPosition, Shoppers, SoldAs, Status,
    StockCounted, TaskChanged, TaskKind, TaskState, TaxRate, Tracklet, TripState, VisitClosed, VisitOpened,
    Wanted, Watermark,
};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A message as it may be seen on the bus.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The payload's type.
    pub payload: &'static str,
    /// Short name of the example.
    pub name: &'static str,
    /// What it says.
    pub what: &'static str,
    /// The message.
    pub value: Value,
}

fn example(payload: &'static str, name: &'static str, what: &'static str, value: impl Serialize) -> Example {
    // The types of the contract have text keys only, so they can always be written.
    Example { payload, name, what, value: serde_json::to_value(value).unwrap_or(Value::Null) }
}

const EPOCH: Uuid = Uuid::from_u128(0x019a_b0c1_d2e3_7f40_8516_2738_495a_6b7c);
const START_US: i64 = 1_769_639_040_000_000;

fn event(source: &str, seq: u64, after_s: i64, body: EventBody) -> Event {
    Event { source: source.to_owned(), epoch: EPOCH, seq, time_us: START_US + after_s * 1_000_000, body }
}

fn line(review: bool) -> Line {
    Line {
        sku: "632565000012".to_owned(),
        name: "Fiji water 0.5 l".to_owned(),
        quantity: 1,
        unit_price_minor: 199,
        probability: if review { 0.62 } else { 0.98 },
        review,
    }
}

/// One example of each payload and of each kind of event.
#[must_use]
pub fn examples() -> Vec<Example> {
    let mut all = events();
    all.extend(commerce());
    all.extend([
        example(
            "People",
            "two people",
            "A camera sees two people; of one also a hand.",
            People {
                camera: "cam1".to_owned(),
                time_us: START_US,
                people: vec![
                    Person {
                        foot: [2.41, 1.87],
                        cov: [0.011, 0.002, 0.019],
                        score: 0.93,
                        height: Some(1.74),
                        hands: vec![[2.52, 2.31, 1.18]],
                        hand_sd: Some(0.08),
                        track: Some(7),
                        tracklet: Some(Tracklet {
                            id: 12,
                            alike: Some(vec![Alike { tracklet: 9, log_odds: 1.7 }]),
                        }),
                    },
                    Person {
                        foot: [4.02, 0.66],
                        cov: [0.024, -0.004, 0.031],
                        score: 0.71,
                        height: None,
                        hands: Vec::new(),
                        hand_sd: None,
                        track: None,
                        tracklet: None,
                    },
                ],
            },
        ),
        example(
            "Shoppers",
            "one shopper",
            "The floor role knows of one shopper and whose visit it is.",
            Shoppers {
                time_us: START_US,
                shoppers: vec![ShopperPosition {
                    shopper: 3,
                    visit: Some("v3".to_owned()),
                    at: [2.4, 1.9],
                    radius_m: 0.31,
                }],
            },
        ),
        example(
            "Watermark",
            "camera",
            "A camera has sent everything up to here.",
            Watermark::unnumbered("cam1", START_US, false),
        ),
        example(
            "Watermark",
            "end of a replay",
            "A shelf has sent 12 events, all of which it could send again, and will send no more.",
            Watermark {
                source: "shelf-1".to_owned(),
                time_us: START_US + 40_000_000,
                epoch: Some(EPOCH),
                last_seq: 12,
                first_seq: Some(1),
                finished: true,
            },
        ),
        example(
            "Status",
            "online",
            "A camera is online.",
            Status {
                time_us: START_US,
                counters: BTreeMap::from([("frames".to_owned(), 1_200), ("frames_dropped".to_owned(), 3)]),
                ..Status::online("cam1", "camera", "0.1.0")
            },
        ),
        example(
            "Status",
            "last will",
            "The broker has lost the camera.",
            Status::online("cam1", "camera", "0.1.0").last_will(),
        ),
        example(
            "Ack",
            "ack",
            "The ledger has the first 12 events of the shelf.",
            Ack { source: "shelf-1".to_owned(), epoch: EPOCH, seq: 12 },
        ),
        example(
            "Resend",
            "resend",
            "A receiver has 8 events of the shelf and wants the ninth and all after it.",
            Resend { source: "shelf-1".to_owned(), epoch: EPOCH, from_seq: 9 },
        ),
        example(
            "Counts",
            "counts",
            "A controller of three plates, two minutes after it was switched on; its second converter does not answer.",
            Counts {
                source: "scale-3".to_owned(),
                uptime_ms: 120_350,
                counts: vec![Some(211_873), None, Some(-40_112)],
            },
        ),
        example(
            "ProductView",
            "a view",
            "A camera saw what was lifted: probably the first of two products of the same weight.",
            ProductView {
                camera: "cam1".to_owned(),
                time_us: START_US + 15_400_000,
                place: "1/5".to_owned(),
                likelihood: vec![
                    ProductLikelihood { sku: "632565000012".to_owned(), p: 0.86 },
                    ProductLikelihood { sku: "632565000029".to_owned(), p: 0.14 },
                ],
            },
        ),
        example(
            "Handlings",
            "a robot picks",
            "A robot has just taken one item of two for an order.",
            Handlings {
                source: "ledger".to_owned(),
                time_us: START_US + 16_000_000,
                handlings: vec![Handling {
                    handling: "pick.6979d5a1-3.o1-1".to_owned(),
                    task: "o1-1".to_owned(),
                    by: "acme/amr-1".to_owned(),
                    plates: vec!["1/5/10".to_owned()],
                    sku: "632565000012".to_owned(),
                    quantity: 2,
                    from_us: START_US + 7_500_000,
                    to_us: Some(START_US + 15_600_000),
                    moved: Some(2),
                }],
            },
        ),
        example(
            "Wanted",
            "a release",
            "The store's server tells a camera which release it is to run by; text and signature are shortened.",
            Wanted {
                source: "cam1".to_owned(),
                text: r#"{"store":"nano","number":7,"why":"store.toml with planogram 3","trial_s":60,"store_toml":"format = 1 ...","changes":{}}"#.to_owned(),
                signature: "5e".repeat(64),
            },
        ),
        example(
            "InForce",
            "back from a release",
            "A shelf device went back to release 6, because release 7 was not well there.",
            InForce {
                source: "shelf-1".to_owned(),
                role: "shelf".to_owned(),
                number: 6,
                trial: false,
                refused: Some(RefusedRelease {
                    number: 7,
                    reason: "faults that were not there before: 1/5/10: lost".to_owned(),
                }),
            },
        ),
    ]);
    all
}

fn events() -> Vec<Example> {
    let shelf = ShelfChanged {
        plates: vec![PlateDelta {
            plate: "1/5/10".to_owned(),
            delta_g: -537.4,
            sd_g: 1.9,
            start_us: START_US + 12_100_000,
            end_us: START_US + 15_400_000,
        }],
        delta_g: -537.4,
        sd_g: 1.9,
        start_us: START_US + 12_100_000,
        end_us: START_US + 15_400_000,
    };
    let gate = GatePassed {
        gate: "door".to_owned(),
        direction: GateDirection::Entry,
        credential: Some("c1".to_owned()),
        party: 1,
    };
    let opened = VisitOpened { visit: "v1".to_owned(), credential: Some("c1".to_owned()), party: 1 };
    let attributed = ItemAttributed {
        shelf_source: "shelf-1".to_owned(),
        shelf_epoch: EPOCH,
        shelf_seq: 9,
        candidates: vec![
            Candidate {
                visit: Some("v1".to_owned()),
                robot: None,
                sku: Some("632565000012".to_owned()),
                quantity: 1,
                probability: 0.96,
            },
            Candidate {
                visit: None,
                robot: Some("linefree/amr-1".to_owned()),
                sku: Some("632565000012".to_owned()),
                quantity: 1,
                probability: 0.03,
            },
            Candidate { visit: None, robot: None, sku: None, quantity: 0, probability: 0.01 },
        ],
    };
    let cart = CartChanged { visit: "v1".to_owned(), lines: vec![line(false)] };
    let closed = VisitClosed {
        visit: "v1".to_owned(),
        credential: Some("c1".to_owned()),
        entered_us: START_US + 3_000_000,
        left_us: START_US + 39_000_000,
        currency: "USD".to_owned(),
        lines: vec![line(true)],
        charge_minor: 0,
        in_review_minor: 199,
    };
    let fault = DeviceFault {
        device: "1/5/10".to_owned(),
        fault: "nan_weight".to_owned(),
        message: "Plate 1/5/10 sends no numbers: check its cable.".to_owned(),
        cleared: false,
    };
    let of = |name, what, source: &str, seq, after_s, body| {
        example("Event", name, what, event(source, seq, after_s, body))
    };
    vec![
        of("shelf_changed", "Half a kilogram was lifted.", "shelf-1", 9, 15, EventBody::ShelfChanged(shelf)),
        of("gate_passed", "Somebody entered with a credential.", "gate-1", 1, 3, EventBody::GatePassed(gate)),
        of("visit_opened", "A visit began.", "floor-1", 1, 3, EventBody::VisitOpened(opened)),
        of(
            "item_attributed",
            "Visit v1 took one bottle, probably.",
            "floor-1",
            2,
            17,
            EventBody::ItemAttributed(attributed),
        ),
        of("cart_changed", "Visit v1 holds one bottle.", "floor-1", 3, 17, EventBody::CartChanged(cart)),
        of(
            "visit_closed",
            "The receipt; a person must look at its only line.",
            "floor-1",
            4,
            39,
            EventBody::VisitClosed(closed),
        ),
        of("device_fault", "A plate is faulty.", "shelf-1", 10, 20, EventBody::DeviceFault(fault)),
    ]
}

fn price_rules() -> PriceRules {
    let sku = "632565000012".to_owned();
    PriceRules {
        currency: "USD".to_owned(),
        multi_buys: vec![MultiBuy {
            id: "3-for-2".to_owned(),
            sku: sku.clone(),
            take: 3,
            deal: Deal::PriceOf(2),
        }],
        group_prices: vec![GroupPrice {
            id: "street".to_owned(),
            sku: sku.clone(),
            people: 20,
            joined: 12,
            unit_price_minor: 149,
        }],
        coupons: vec![Coupon {
            code: "SUMMER".to_owned(),
            off: Off::ShareBp(1000),
            least_minor: 2000,
            skus: vec![sku.clone()],
            everyone: true,
        }],
        loyalty: Some(Loyalty { spend_per_point_minor: 100, point_worth_minor: 1 }),
        taxes: vec![TaxRate { class: "standard".to_owned(), rate_bp: 725 }],
        tax_included: true,
        sold_as: vec![SoldAs {
            sku,
            seller: Some("spring-co".to_owned()),
            tax_class: Some("standard".to_owned()),
        }],
        commissions: vec![Commission { seller: "spring-co".to_owned(), rate_bp: 1200 }],
    }
}

fn receipt_priced() -> ReceiptPriced {
    let line = PricedLine {
        sku: "632565000012".to_owned(),
        unit_price_minor: Some(199),
        amount_minor: 398,
        tax_minor: 27,
        seller: "spring-co".to_owned(),
        steps: vec![
            PriceStep { why: PriceWhy::UnitPrice(3), change_minor: 597 },
            PriceStep { why: PriceWhy::MultiBuy { id: "3-for-2".to_owned(), sets: 1 }, change_minor: -199 },
        ],
    };
    let share =
        SellerShare { seller: "spring-co".to_owned(), paid_minor: 398, tax_minor: 27, commission_minor: 45 };
    ReceiptPriced {
        visit: "v1".to_owned(),
        closed_source: "floor-1".to_owned(),
        closed_epoch: EPOCH,
        closed_seq: 4,
        version: 3,
        prices_version: Some(12),
        currency: "USD".to_owned(),
        lines: vec![line],
        charge_minor: 398,
        in_review_minor: 0,
        points_earned: 3,
        sellers: vec![share],
    }
}

/// Events of what follows from visits, and of orders.
fn commerce() -> Vec<Example> {
    let sku = || "632565000012".to_owned();
    let currency = || "USD".to_owned();
    let of = |name, what, source: &str, seq, after_s, body| {
        example("Event", name, what, event(source, seq, after_s, body))
    };
    let answered = ReviewAnswered {
        visit: "v1".to_owned(),
        sku: sku(),
        quantity: 1,
        currency: currency(),
        charge_minor: 199,
        steps: vec![PriceStep { why: PriceWhy::UnitPrice(1), change_minor: 199 }],
    };
    let refund = RefundIssued {
        refund: "r1".to_owned(),
        visit: "v1".to_owned(),
        currency: currency(),
        lines: vec![RefundLine { sku: sku(), quantity: 1, amount_minor: 199 }],
        amount_minor: 199,
        reason: "the bottle leaked".to_owned(),
    };
    let payment = PaymentChanged {
        visit: "v1".to_owned(),
        currency: "USD".to_owned(),
        state: TripState::Open,
        step: 2,
        ask: Some(PaymentAsk {
            ask: AskKind::Capture,
            amount_minor: 398,
            earlier_minor: Vec::new(),
            since_us: START_US + 95_000_000,
            silences: 0,
            pending: false,
        }),
        authorised_minor: 5000,
        captured_minor: 0,
        refunded_minor: 0,
        disputed_minor: 0,
        hold_declined: false,
        reference: Some("auth-4711".to_owned()),
        reason: None,
    };
    let counted = StockCounted { plate: "1/5/10".to_owned(), sku: sku(), quantity: 8 };
    let order = OrderChanged {
        order: "o1".to_owned(),
        state: OrderState::Picking,
        lines: vec![OrderLine {
            sku: sku(),
            quantity: 2,
            picked: 1,
            substitutes: vec!["632565000012".to_owned()],
            unit_price_minor: Some(199),
            ..OrderLine::default()
        }],
        reason: None,
        channel: Some("app".to_owned()),
        placed_us: Some(START_US + 400_000_000),
        due_us: Some(START_US + 4_000_000_000),
        handover: Some(Handover::Locker),
        if_short: Some(IfShort::Ask),
        question: None,
        money: Some(OrderMoney {
            currency: "USD".to_owned(),
            amount_minor: 398,
            released_minor: 0,
            state: MoneyState::Held,
            reference: Some("esc-81".to_owned()),
        }),
    };
    let task = TaskChanged {
        task: "o1-1".to_owned(),
        task_kind: TaskKind::Pick,
        order: Some("o1".to_owned()),
        sku: sku(),
        quantity: 2,
        plate: "1/5/10".to_owned(),
        assignee: Some("amr-1".to_owned()),
        state: TaskState::Underway,
        reason: None,
    };
    let command = CommandAnswered {
        command: "prices-7".to_owned(),
        command_seq: 12,
        command_kind: "prices".to_owned(),
        version: 7,
        accepted: false,
        reason: Some("prices[3].unit_price_minor is -1: a price is not negative".to_owned()),
    };
    let contest = ContestChanged {
        contest: "c81".to_owned(),
        visit: "v1".to_owned(),
        sku: sku(),
        currency: currency(),
        amount_minor: 199,
        state: ContestState::Open,
    };
    let insights = InsightsTold {
        hour_us: START_US - 3_600_000_000,
        visits: 41,
        buyers: 36,
        dwell_s: Some(212.5),
        products: vec![ProductInsight {
            sku: sku(),
            taken: 19,
            put_back: 4,
            misplaced: 1,
            out_of_stock_s: 540,
        }],
    };
    let forgotten = ShopperForgotten { visits: vec!["v1".to_owned()] };
    vec![
        of("review_answered", "It was one bottle.", "ledger", 1, 90, EventBody::ReviewAnswered(answered)),
        of("refund_issued", "The bottle is paid back.", "ledger", 2, 300, EventBody::RefundIssued(refund)),
        of("stock_counted", "Eight bottles lie there.", "staff-1", 1, 400, EventBody::StockCounted(counted)),
        of(
            "order_changed",
            "One of two bottles is picked.",
            "orders-1",
            3,
            500,
            EventBody::OrderChanged(Box::new(order)),
        ),
        of(
            "payment_changed",
            "The gateway is about to be asked for the money.",
            "ledger",
            5,
            95,
            EventBody::PaymentChanged(payment),
        ),
        of(
            "contest_changed",
            "The shopper says that it was not their bottle.",
            "ledger",
            6,
            120,
            EventBody::ContestChanged(contest),
        ),
        of(
            "price_rules_changed",
            "Three bottles cost two, among others.",
            "ledger",
            7,
            2,
            EventBody::PriceRulesChanged(Box::new(PriceRulesChanged {
                version: 3,
                from_us: START_US,
                rules: price_rules(),
            })),
        ),
        of(
            "receipt_priced",
            "Three bottles cost two.",
            "ledger",
            8,
            39,
            EventBody::ReceiptPriced(Box::new(receipt_priced())),
        ),
        of("task_changed", "A robot is on its way.", "orders-1", 4, 510, EventBody::TaskChanged(task)),
        of(
            "command_answered",
            "New prices were refused.",
            "ledger",
            3,
            600,
            EventBody::CommandAnswered(command),
        ),
        of(
            "insights_told",
            "What the hour before says.",
            "ledger",
            9,
            600,
            EventBody::InsightsTold(insights),
        ),
        of(
            "shopper_forgotten",
            "The visit's shopper had their data deleted.",
            "ledger",
            4,
            700,
            EventBody::ShopperForgotten(forgotten),
        ),
    ]
}
