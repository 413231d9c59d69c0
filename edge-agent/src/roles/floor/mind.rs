//! What the floor role makes of messages, without bus and disk: messages become inputs, decisions become events.

use std::collections::BTreeMap;
use std::sync::Arc;

use linefree_bus::payload::{CartChanged, Event, EventBody, Handling, Handlings, ItemAttributed};
use linefree_domain::ids::HandlingId;
use linefree_domain::layout::StoreLayout;
use linefree_domain::store::{Decision, Input, Store};
use linefree_domain::time::StoreTime;
use uuid::Uuid;

use super::memory::Record;
use crate::convert;

/// Explanations of shelf events that may still refer to their event.
const TAGS_KEPT: usize = 10_000;
/// Handlings whose news is told from what is known already.
const HANDLINGS_KEPT: usize = 1_000;

/// The store, and what its inputs and decisions are called on the bus.
#[derive(Debug)]
pub(super) struct Mind {
    pub store: Store,
    pub layout: Arc<StoreLayout>,
    /// Which shelf event a tag stands for.
    tags: BTreeMap<u64, (String, Uuid, u64)>,
    tag: u64,
    /// What was last told of each handling, and its number.
    handlings: BTreeMap<String, (HandlingId, Handling)>,
    handling: u32,
    pub counters: BTreeMap<String, u64>,
}

impl Mind {
    pub fn new(store: Store, layout: Arc<StoreLayout>) -> Self {
        Self {
            store,
            layout,
            tags: BTreeMap::new(),
            tag: 0,
            handlings: BTreeMap::new(),
            handling: 0,
            counters: BTreeMap::new(),
        }
    }

    pub fn count(&mut self, name: &str) {
        *self.counters.entry(name.to_owned()).or_default() += 1;
    }

    fn refuse(&mut self, from: &str, why: &str) {
        self.count("bad_payloads");
        tracing::warn!(from, why, "message refused");
    }

    /// A message that could not be read.
    pub fn malformed(&mut self, topic: &str, why: &str) {
        self.refuse(topic, why);
    }

    /// Takes what was heard; what makes no sense in this store is refused and counted.
    pub fn take(&mut self, record: &Record) {
        match record {
            Record::People(people) => {
                self.count("people_messages");
                match convert::people_in(people, &self.layout) {
                    Ok(observation) => self.store.handle(Input::People(observation)),
                    Err(why) => self.refuse(&people.camera, &why),
                }
            }
            Record::View(view) => {
                self.count("view_messages");
                match convert::view_in(view, &self.layout) {
                    Ok(view) => self.store.handle(Input::View(view)),
                    Err(why) => self.refuse(&view.camera, &why),
                }
            }
            Record::Event(event) => self.take_event(event),
            Record::Handlings(told) => self.take_handlings(told),
            Record::Unwatched { from_us, until_us } => {
                let time = StoreTime::from_micros;
                self.store.handle(Input::Unwatched { from: time(*from_us), until: time(*until_us) });
            }
            Record::Base(_) | Record::Went { .. } => {}
        }
    }

    fn take_event(&mut self, event: &Event) {
        let input = match &event.body {
            EventBody::ShelfChanged(changed) => convert::shelf_in(changed, &self.layout).map(|shelf_event| {
                self.tag += 1;
                Input::Shelf { tag: self.tag, event: shelf_event }
            }),
            EventBody::GatePassed(passed) => {
                convert::gate_in(passed, event.time_us, &self.layout).map(Input::Gate)
            }
            _ => return,
        };
        match input {
            Ok(input) => {
                if let Input::Shelf { tag, .. } = &input {
                    self.tags.insert(*tag, (event.source.clone(), event.epoch, event.seq));
                    while self.tags.len() > TAGS_KEPT {
                        self.tags.pop_first();
                    }
                }
                self.store.handle(input);
            }
            Err(why) => self.refuse(&event.source, &why),
        }
    }

    /// What robots handle. Messages repeat themselves; only what is new goes on.
    fn take_handlings(&mut self, told: &Handlings) {
        for handling in &told.handlings {
            let known = self.handlings.get(&handling.handling);
            if known.is_some_and(|(_, known)| known == handling) {
                continue;
            }
            let id = known.map_or(HandlingId(self.handling), |(id, _)| *id);
            let new = known.is_none();
            match convert::handling_in(handling, id, &self.layout) {
                Ok(declared) => {
                    self.count("handlings");
                    self.store.handle(Input::Handling(declared));
                }
                Err(why) => self.refuse(&told.source, &why),
            }
            self.handling += u32::from(new);
            self.handlings.insert(handling.handling.clone(), (id, handling.clone()));
        }
        while self.handlings.len() > HANDLINGS_KEPT {
            let oldest = self.handlings.iter().min_by_key(|(_, (id, _))| *id).map(|(name, _)| name.clone());
            oldest.and_then(|name| self.handlings.remove(&name));
        }
    }

    /// Is there anything in these handlings that is not known yet?
    pub fn is_news(&self, told: &Handlings) -> bool {
        let known = |h: &Handling| self.handlings.get(&h.handling).is_some_and(|(_, known)| known == h);
        !told.handlings.iter().all(known)
    }

    /// Lets event time go on; gives what is to be published.
    pub fn advance(&mut self, us: i64) -> Vec<(i64, EventBody)> {
        let decisions = self.store.advance(StoreTime::from_micros(us));
        decisions.into_iter().filter_map(|d| self.body(d)).collect()
    }

    /// The end of all input.
    pub fn finish(&mut self) -> Vec<(i64, EventBody)> {
        let decisions = self.store.finish();
        decisions.into_iter().filter_map(|d| self.body(d)).collect()
    }

    fn body(&mut self, decision: Decision) -> Option<(i64, EventBody)> {
        let layout = Arc::clone(&self.layout);
        Some(match decision {
            Decision::VisitOpened(visit) => {
                (visit.entered.micros, EventBody::VisitOpened(convert::visit_out(&visit)))
            }
            Decision::ItemAttributed { tag, time, candidates } => {
                let (shelf_source, shelf_epoch, shelf_seq) = self.tags.remove(&tag)?;
                let robot = |id: HandlingId| {
                    let told = self.handlings.values().find(|(known, _)| *known == id);
                    told.map(|(_, handling)| handling.by.clone())
                };
                let candidates = convert::candidates_out(&candidates, &layout, robot);
                let body = ItemAttributed { shelf_source, shelf_epoch, shelf_seq, candidates };
                (time.micros, EventBody::ItemAttributed(body))
            }
            Decision::CartChanged { visit, time, lines } => {
                let lines = convert::lines_out(&lines, &layout);
                (time.micros, EventBody::CartChanged(CartChanged { visit: visit.to_string(), lines }))
            }
            Decision::VisitClosed(receipt) => {
                let Some(closed) = convert::receipt_out(&receipt, &layout) else {
                    self.count("amounts_too_large");
                    tracing::error!(visit = %receipt.visit, "the receipt's sum does not fit into an amount");
                    return None;
                };
                (receipt.left.micros, EventBody::VisitClosed(closed))
            }
        })
    }
}
