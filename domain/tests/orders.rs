//! Orders against stock that shoppers draw from at the same time, in a small world whose truth is known.

// Helpers of tests are not known as tests to clippy.
#![allow(clippy::unwrap_used, clippy::type_complexity)]

use std::collections::BTreeMap;

use linefree_domain::ids::{OrderId, PlateId, Sku};
use linefree_domain::orders::plan::{Plan, Rules, plan};
use linefree_domain::orders::steps::{Answer, answer, call_off, collect, hand_over};
use linefree_domain::orders::{
    HandoverKind, IfShort, MoneyState, Order, OrderLine, OrderMoney, OrderState, Stocked, Task, TaskKind,
    TaskState,
};
use linefree_domain::time::StoreTime;
use linefree_domain::units::{Currency, Money};
use proptest::prelude::*;

fn sku(n: usize) -> Sku {
    Sku::new(format!("sku{n}")).unwrap()
}

fn plate(n: usize) -> PlateId {
    PlateId::new(format!("g/s/p{n}")).unwrap()
}

fn line(n: usize, quantity: u32, substitutes: &[usize]) -> OrderLine {
    OrderLine {
        sku: sku(n),
        quantity,
        picked: 0,
        given_up: 0,
        substitutes: substitutes.iter().map(|n| sku(*n)).collect(),
        instead_of: None,
        unit_price: Some(Money::from_minor(100 + n as i64)),
    }
}

fn order(id: &str, due_s: f64, if_short: IfShort, lines: Vec<OrderLine>) -> Order {
    let start = StoreTime::from_micros(0);
    let worth = lines.iter().map(|l| l.unit_price.unwrap().minor * i64::from(l.quantity)).sum();
    Order {
        id: OrderId::new(id).unwrap(),
        state: OrderState::Received,
        placed: start,
        due: start.plus_s(due_s),
        handover: HandoverKind::Counter,
        if_short,
        lines,
        question: None,
        money: Some(OrderMoney {
            currency: Currency::new("EUR").unwrap(),
            amount: Money::from_minor(worth),
            released: Money::from_minor(0),
            state: MoneyState::Held,
            reference: None,
        }),
        reason: None,
    }
}

/// A store with orders; applies plans and checks what must always hold.
#[derive(Clone)]
struct Shop {
    orders: BTreeMap<OrderId, Order>,
    tasks: Vec<Task>,
    stock: Vec<Stocked>,
    now: StoreTime,
}

impl Shop {
    fn new(stock: Vec<(usize, usize, Option<i64>)>) -> Self {
        let stock = stock
            .into_iter()
            .map(|(p, s, quantity)| Stocked { plate: plate(p), sku: sku(s), quantity })
            .collect();
        Self { orders: BTreeMap::new(), tasks: Vec::new(), stock, now: StoreTime::from_micros(0) }
    }

    fn put(&mut self, order: Order) {
        self.orders.insert(order.id.clone(), order);
    }

    fn order(&self, id: &str) -> &Order {
        &self.orders[&OrderId::new(id).unwrap()]
    }

    fn planned(&self) -> Plan {
        let orders: Vec<Order> = self.orders.values().cloned().collect();
        plan(&orders, &self.tasks, &self.stock, self.now, &Rules::default())
    }

    fn plan(&mut self) {
        let made = self.planned();
        for order in made.orders {
            self.put(order);
        }
        for task in made.tasks {
            match self.tasks.iter_mut().find(|t| t.id == task.id) {
                Some(old) => *old = task,
                None => self.tasks.push(task),
            }
        }
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.planned(), Plan::default(), "planning again must change nothing");
        for s in &self.stock {
            let reserved: i64 = self
                .tasks
                .iter()
                .filter(|t| t.kind == TaskKind::Pick && t.plate == s.plate && t.sku == s.sku)
                .filter(|t| matches!(t.state, TaskState::Waiting | TaskState::Assigned))
                .map(|t| i64::from(t.quantity))
                .sum();
            assert!(
                s.quantity.is_none_or(|lies| reserved <= lies.max(0)),
                "{reserved} reserved of {:?} on {}",
                s.quantity,
                s.plate
            );
        }
        for order in self.orders.values() {
            for l in &order.lines {
                let active: u32 = self
                    .tasks
                    .iter()
                    .filter(|t| t.order.as_ref() == Some(&order.id) && t.sku == l.sku)
                    .filter(|t| t.kind == TaskKind::Pick && t.state.is_active())
                    .map(|t| t.quantity)
                    .sum();
                assert!(l.picked + l.given_up <= l.quantity, "{l:?}");
                let open = matches!(order.state, OrderState::Received | OrderState::Picking);
                if open {
                    let comes = l.picked + l.given_up + active;
                    assert!(comes >= l.quantity, "a silent miss: {l:?} of {order:?}");
                    let fetching = self.tasks.iter().any(|t| t.state == TaskState::Underway);
                    assert!(comes == l.quantity || fetching, "too much: {l:?} of {order:?}");
                }
                if order.state == OrderState::Ready {
                    assert_eq!(l.picked + l.given_up, l.quantity);
                }
                if l.given_up > 0 {
                    assert!(order.reason.is_some(), "given up without a word: {order:?}");
                }
            }
            let money = order.money.as_ref().unwrap();
            assert!(money.released <= money.amount);
            assert_eq!(order.state == OrderState::Cancelled, money.state == MoneyState::Returned);
        }
    }

    fn task(&mut self, i: usize) -> &mut Task {
        &mut self.tasks[i]
    }

    /// A robot comes to the shelf: it takes what really lies there, or fails.
    fn fetch(&mut self, i: usize) {
        let (task, now) = (self.tasks[i].clone(), self.now);
        let Some(s) = self.stock.iter_mut().find(|s| s.plate == task.plate && s.sku == task.sku) else {
            return;
        };
        let there = s.quantity.unwrap_or(1_000);
        let state = if there >= i64::from(task.quantity) {
            if let Some(lies) = &mut s.quantity {
                *lies -= i64::from(task.quantity);
            }
            TaskState::Done
        } else {
            TaskState::Failed
        };
        let t = self.task(i);
        (t.state, t.changed, t.assignee) = (state, now, Some("robot".into()));
    }
}

#[test]
fn a_shopper_who_is_quicker_moves_the_pick_to_another_plate() {
    let mut shop = Shop::new(vec![(0, 0, Some(3)), (1, 0, Some(2))]);
    shop.put(order("a", 3600.0, IfShort::Ask, vec![line(0, 2, &[])]));
    shop.plan();
    assert_eq!(shop.tasks[0].plate, plate(0));
    shop.stock[0].quantity = Some(1);
    shop.plan();
    assert_eq!(shop.tasks[0].state, TaskState::Cancelled);
    assert_eq!((shop.tasks[1].plate.clone(), shop.tasks[1].quantity), (plate(1), 2));
    assert_eq!(shop.order("a").state, OrderState::Picking);
}

#[test]
fn the_last_item_goes_to_whoever_is_promised_first_and_the_other_is_asked() {
    let mut shop = Shop::new(vec![(0, 0, Some(1)), (1, 5, Some(4))]);
    shop.put(order("later", 7200.0, IfShort::Ask, vec![line(0, 1, &[7, 5])]));
    shop.put(order("sooner", 3600.0, IfShort::Ask, vec![line(0, 1, &[])]));
    shop.plan();
    assert_eq!(shop.order("sooner").state, OrderState::Picking);
    let asks = shop.order("later").question.clone().unwrap();
    assert_eq!((asks.sku.clone(), asks.missing, asks.substitute.clone()), (sku(0), 1, Some(sku(5))));
    let answered = answer(shop.order("later"), Answer::Substitute).unwrap();
    shop.put(answered);
    shop.plan();
    assert_eq!(shop.order("later").state, OrderState::Picking);
    // The substitute costs what was promised, not more.
    assert_eq!(shop.order("later").lines[1].unit_price, Some(Money::from_minor(100)));
    assert_eq!(shop.order("later").lines[1].instead_of, Some(sku(0)));
}

#[test]
fn a_question_that_nobody_answers_ends_with_a_partial_order_and_its_price() {
    let mut shop = Shop::new(vec![(0, 0, Some(1))]);
    shop.put(order("a", 3600.0, IfShort::Ask, vec![line(0, 3, &[])]));
    shop.plan();
    assert_eq!(shop.order("a").state, OrderState::Asking);
    shop.now = shop.now.plus_s(3001.0);
    shop.plan();
    assert_eq!((shop.order("a").lines[0].given_up, shop.order("a").state), (2, OrderState::Picking));
    shop.fetch(0);
    shop.plan();
    let over = hand_over(shop.order("a")).unwrap();
    assert_eq!(over.state, OrderState::HandedOver);
    let money = over.money.unwrap();
    assert_eq!(
        (money.amount, money.released, money.state),
        (Money::from_minor(300), Money::from_minor(100), MoneyState::Released)
    );
}

#[test]
fn stock_that_comes_back_answers_the_question() {
    let mut shop = Shop::new(vec![(0, 0, Some(0))]);
    shop.put(order("a", 3600.0, IfShort::Ask, vec![line(0, 1, &[])]));
    shop.plan();
    assert!(shop.order("a").question.is_some());
    shop.stock[0].quantity = Some(1);
    shop.plan();
    assert_eq!((shop.order("a").question.clone(), shop.order("a").state), (None, OrderState::Picking));
}

#[test]
fn a_plate_where_it_failed_is_not_tried_again_and_what_was_picked_for_nothing_goes_back() {
    let mut shop = Shop::new(vec![(0, 0, Some(5)), (1, 1, Some(5))]);
    shop.put(order("a", 3600.0, IfShort::Cancel, vec![line(0, 2, &[]), line(1, 1, &[])]));
    shop.plan();
    shop.fetch(0);
    shop.plan();
    // The plate says five, the robot finds none.
    let now = shop.now;
    let t = shop.task(1);
    (t.state, t.changed) = (TaskState::Failed, now);
    shop.plan();
    assert_eq!(shop.order("a").state, OrderState::Cancelled);
    let back = shop.tasks.last().unwrap();
    assert_eq!((back.kind, back.quantity, back.plate.clone()), (TaskKind::Return, 2, plate(0)));
}

#[test]
fn what_is_under_way_is_not_promised_twice() {
    let mut shop = Shop::new(vec![(0, 0, Some(2))]);
    shop.put(order("a", 3600.0, IfShort::Partial, vec![line(0, 2, &[])]));
    shop.plan();
    shop.task(0).state = TaskState::Underway;
    shop.put(order("b", 60.0, IfShort::Ask, vec![line(0, 1, &[])]));
    shop.plan();
    assert_eq!((shop.order("a").state, shop.order("b").state), (OrderState::Picking, OrderState::Asking));
    shop.fetch(0);
    shop.plan();
    assert_eq!((shop.order("a").state, shop.order("b").state), (OrderState::Ready, OrderState::Asking));
}

#[test]
fn steps_come_in_their_order() {
    let mut carried = order("a", 60.0, IfShort::Ask, vec![line(0, 1, &[])]);
    carried.handover = HandoverKind::Courier;
    assert!(hand_over(&carried).unwrap_err().to_string().contains("only what is ready"));
    assert!(answer(&carried, Answer::LeaveOut).is_err());
    carried.state = OrderState::Ready;
    assert!(hand_over(&carried).unwrap_err().to_string().contains("collects it first"));
    let on_the_way = collect(&carried).unwrap();
    assert!(call_off(&on_the_way, "no").is_err());
    let over = hand_over(&on_the_way).unwrap();
    assert!(hand_over(&over).is_err() && collect(&over).is_err());
    let off = call_off(&carried, "the customer does not want it").unwrap();
    assert_eq!(off.money.unwrap().state, MoneyState::Returned);
}

/// What happens in the world, by number.
#[derive(Debug, Clone)]
enum Act {
    Shopper { stock: usize, takes: i64 },
    Assign(usize),
    Start(usize),
    Fetch(usize),
    Answer { order: usize, answer: u8 },
    Cancel(usize),
    Wait(f64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..4_usize, -1..3_i64).prop_map(|(stock, takes)| Act::Shopper { stock, takes }),
        2 => (0..12_usize).prop_map(Act::Assign),
        2 => (0..12_usize).prop_map(Act::Start),
        4 => (0..12_usize).prop_map(Act::Fetch),
        2 => (0..5_usize, 0..3_u8).prop_map(|(order, answer)| Act::Answer { order, answer }),
        1 => (0..5_usize).prop_map(Act::Cancel),
        1 => (1.0..900.0_f64).prop_map(Act::Wait),
    ]
}

fn any_order() -> impl Strategy<Value = (f64, u8, Vec<(usize, u32, Option<usize>)>)> {
    let lines = prop::collection::vec((0..3_usize, 1..4_u32, prop::option::of(0..3_usize)), 1..4);
    (60.0..7200.0_f64, 0..4_u8, lines)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever shoppers, robots and customers do: no silent miss, nothing promised twice, and every item that was
    /// picked is in an order that is ready, or on its way back. `check` runs after every planning.
    #[test]
    fn nothing_is_missed_silently(
        orders in prop::collection::vec(any_order(), 1..5),
        stock in prop::collection::vec((0..3_usize, prop::option::of(0..6_i64)), 4),
        acts in prop::collection::vec(act(), 0..60),
    ) {
        let mut shop = Shop::new(stock.iter().enumerate().map(|(p, (s, q))| (p, *s, *q)).collect());
        for (n, (due_s, short, lines)) in orders.iter().enumerate() {
            let if_short = [IfShort::Ask, IfShort::Substitute, IfShort::Partial, IfShort::Cancel][usize::from(*short)];
            let mut made: Vec<OrderLine> = Vec::new();
            for (s, q, instead) in lines {
                if made.iter().all(|l| l.sku != sku(*s)) {
                    let instead: Vec<usize> = instead.iter().copied().filter(|i| i != s).collect();
                    made.push(line(*s, *q, &instead));
                }
            }
            shop.put(order(&format!("o{n}"), *due_s, if_short, made));
        }
        shop.plan();
        for a in acts {
            let ids: Vec<OrderId> = shop.orders.keys().cloned().collect();
            match a {
                Act::Shopper { stock, takes } => if let Some(lies) = &mut shop.stock[stock].quantity {
                    *lies -= takes;
                },
                Act::Assign(i) | Act::Start(i) | Act::Fetch(i) if i >= shop.tasks.len() => {}
                Act::Assign(i) if shop.tasks[i].state == TaskState::Waiting => shop.task(i).state = TaskState::Assigned,
                Act::Start(i) if shop.tasks[i].state == TaskState::Assigned => shop.task(i).state = TaskState::Underway,
                // Also one that was called off while the robot was on its way.
                Act::Fetch(i) if shop.tasks[i].kind == TaskKind::Pick
                    && matches!(shop.tasks[i].state, TaskState::Underway | TaskState::Cancelled) => shop.fetch(i),
                Act::Assign(_) | Act::Start(_) | Act::Fetch(_) => {}
                Act::Answer { order, answer: said } => if let Some(id) = ids.get(order) {
                    let said = [Answer::Substitute, Answer::LeaveOut, Answer::CancelOrder][usize::from(said)];
                    if let Ok(new) = answer(&shop.orders[id], said) {
                        shop.put(new);
                    }
                },
                Act::Cancel(order) => if let Some(id) = ids.get(order)
                    && let Ok(new) = call_off(&shop.orders[id], "off") {
                    shop.put(new);
                },
                Act::Wait(s) => shop.now = shop.now.plus_s(s),
            }
            shop.plan();
        }
        // Everybody finishes: then every order is ready or cancelled.
        for _ in 0..60 {
            shop.now = shop.now.plus_s(600.0);
            for i in 0..shop.tasks.len() {
                if shop.tasks[i].kind == TaskKind::Pick && shop.tasks[i].state.is_active() {
                    shop.fetch(i);
                }
            }
            shop.plan();
        }
        for o in shop.orders.values() {
            prop_assert!(matches!(o.state, OrderState::Ready | OrderState::Cancelled), "{:?}", o);
            let of = |kind: TaskKind| -> u32 {
                shop.tasks.iter().filter(|t| t.order.as_ref() == Some(&o.id) && t.kind == kind)
                    .filter(|t| kind == TaskKind::Return || t.state == TaskState::Done).map(|t| t.quantity).sum()
            };
            let kept: u32 = if o.state == OrderState::Ready { o.lines.iter().map(|l| l.picked).sum() } else { 0 };
            prop_assert_eq!(of(TaskKind::Pick), kept + of(TaskKind::Return));
        }
    }
}
