//! The floor role: everything that is seen in, who took what out.
//!
//! A shell around [`Store`]: messages become inputs, watermarks tell how far event time may go, decisions become
//! numbered events. Shelf and gate events are taken in the order of their numbers, once each; people are worth one
//! moment and may be lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use linefree_bus::client::{Inbox, Incoming, Outgoing};
use linefree_bus::gap::{GapTracker, MarkVerdict, Verdict};
use linefree_bus::payload::{
    CartChanged, Event, EventBody, Handling, Handlings, ItemAttributed, Shoppers, Watermark,
};
use linefree_bus::sequenced::EventPublisher;
use linefree_bus::topic::{Subscription, TopicKind};
use linefree_bus::watermark::MinWatermark;
use linefree_domain::cart::CartPolicy;
use linefree_domain::ids::HandlingId;
use linefree_domain::layout::StoreLayout;
use linefree_domain::store::{Decision, Input, Store, StoreConfig};
use linefree_domain::time::StoreTime;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::device::Device;
use super::{Role, Site};
use crate::convert;
use crate::looking::VIEWS_WAIT_S;

/// The map is told this often, seconds of event time.
const MAP_EVERY_S: f64 = 0.2;
/// With no message at all, lateness is looked at this often.
const TICK: Duration = Duration::from_millis(200);
/// Status counters are told this often.
const STATUS_EVERY: Duration = Duration::from_secs(1);
const LAST_ACK: Duration = Duration::from_secs(60);
/// Explanations of shelf events that may still refer to their event.
const TAGS_KEPT: usize = 10_000;
/// Handlings whose news is told from what is known already.
const HANDLINGS_KEPT: usize = 1_000;

pub(super) async fn run(site: Site) -> anyhow::Result<()> {
    let source = format!("floor-{}", site.options.number);
    let subscriptions =
        [TopicKind::People, TopicKind::View, TopicKind::Event, TopicKind::Watermark, TopicKind::Handlings]
            .map(Subscription::all);
    let (device, inbox) = Device::connect(&site, source, Role::Floor, &subscriptions)?;
    let publisher = device.publisher(&site).await?;
    let layout = Arc::new(site.store.layout.clone());
    let config = StoreConfig {
        cart: CartPolicy { review_below: site.store.live.policy.review_below },
        views_wait_s: if site.store.live.vision.is_some() { VIEWS_WAIT_S } else { 0.0 },
        ..StoreConfig::default()
    };
    // A recording waits for its slowest source; a live store for none longer than the lateness.
    let lateness_us = site.recording.is_none().then_some((site.options.lateness * 1e6) as i64);
    let floor = FloorRole {
        store: Store::new(Arc::clone(&layout), config).with_staff(&site.store.live.policy.staff),
        tracker: GapTracker::new(),
        watermarks: MinWatermark::new(expected(&site), lateness_us),
        tags: BTreeMap::new(),
        tag: 0,
        handlings: BTreeMap::new(),
        handling: 0,
        began: Instant::now(),
        stop: site.stop.clone(),
        live: site.recording.is_none(),
        mapped: None,
        latest_us: i64::MIN,
        counters: BTreeMap::new(),
        layout,
        device,
        publisher,
    };
    floor.run(inbox).await
}

/// Every source whose silence means that something may still come.
fn expected(site: &Site) -> Vec<String> {
    let layout = &site.store.layout;
    let cameras: Vec<String> = match &site.recording {
        Some(r) => r.manifest.cameras.iter().map(|f| layout.cameras[f.camera.0].id.to_string()).collect(),
        None => layout.cameras.iter().map(|c| c.id.to_string()).collect(),
    };
    let number = site.options.number;
    let shelf = (!layout.plates.is_empty()).then(|| format!("shelf-{number}"));
    let gate = (!layout.gates.is_empty()).then(|| format!("gate-{number}"));
    cameras.into_iter().chain(shelf).chain(gate).collect()
}

struct FloorRole {
    store: Store,
    layout: Arc<StoreLayout>,
    device: Device,
    publisher: EventPublisher,
    tracker: GapTracker,
    watermarks: MinWatermark,
    /// Which shelf event a tag stands for.
    tags: BTreeMap<u64, (String, Uuid, u64)>,
    tag: u64,
    /// What was last told of each handling, and its number.
    handlings: BTreeMap<String, (HandlingId, Handling)>,
    handling: u32,
    began: Instant,
    stop: watch::Receiver<bool>,
    live: bool,
    mapped: Option<StoreTime>,
    /// The latest that any source has spoken of.
    latest_us: i64,
    counters: BTreeMap<String, u64>,
}

impl FloorRole {
    async fn run(mut self, mut inbox: Inbox) -> anyhow::Result<()> {
        let mut status_due = Instant::now();
        loop {
            match tokio::time::timeout(TICK, inbox.recv()).await {
                Ok(Some(incoming)) => self.take(incoming),
                Ok(None) => break,
                Err(_) => {}
            }
            // Everything that has arrived is taken before event time goes on: fewer, larger steps.
            while let Some(incoming) = inbox.try_recv() {
                self.take(incoming);
            }
            self.go_on().await?;
            if Instant::now() >= status_due {
                status_due = Instant::now() + STATUS_EVERY;
                self.tell_status();
            }
            if self.watermarks.all_finished() {
                break;
            }
            if self.live && *self.stop.borrow() {
                // Nobody has left because this process ends: visits are not closed.
                return self.leave().await;
            }
        }
        let decisions = self.store.finish();
        self.publish(decisions).await?;
        // Replayed sources stay until they know that the floor has gone past their end.
        let mark = Watermark::unnumbered(self.device.source.as_str(), self.latest_us, true);
        self.device.client.publish_when_room(Outgoing::Progress(mark)).await?;
        if let Err(error) = self.publisher.wait_acked(LAST_ACK).await {
            tracing::warn!("{error}; the journal keeps them for the next start");
        }
        tracing::info!("every source has ended");
        self.leave().await
    }

    async fn leave(self) -> anyhow::Result<()> {
        self.tell_status();
        let Self { publisher, device, .. } = self;
        publisher.close().await;
        device.client.close(Duration::from_secs(2)).await;
        Ok(())
    }

    fn now_us(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    fn count(&mut self, name: &str) {
        *self.counters.entry(name.to_owned()).or_default() += 1;
    }

    fn refuse(&mut self, from: &str, why: &str) {
        self.count("bad_payloads");
        tracing::warn!(from, why, "message refused");
    }

    fn take(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::People(people) => {
                self.count("people_messages");
                match convert::people_in(&people, &self.layout) {
                    Ok(observation) => self.store.handle(Input::People(observation)),
                    Err(why) => self.refuse(&people.camera, &why),
                }
            }
            Incoming::View(view) => {
                self.count("view_messages");
                match convert::view_in(&view, &self.layout) {
                    Ok(view) => self.store.handle(Input::View(view)),
                    Err(why) => self.refuse(&view.camera, &why),
                }
            }
            Incoming::Event(event) => self.take_event(event),
            Incoming::Watermark(mark) => self.take_mark(&mark),
            Incoming::Handlings(told) => self.take_handlings(told),
            Incoming::Malformed { topic, why } => self.refuse(&topic, &why),
            Incoming::Disconnected { why } => tracing::warn!(why, "the bus is away; trying again"),
            Incoming::Connected => tracing::info!("on the bus"),
            Incoming::Shoppers { .. }
            | Incoming::Progress(_)
            | Incoming::Status(_)
            | Incoming::Ack(_)
            | Incoming::Resend(_)
            | Incoming::Counts(_)
            | Incoming::Wanted(_)
            | Incoming::InForce(_) => {}
        }
    }

    /// What robots handle. Messages repeat themselves; only what is new goes on.
    fn take_handlings(&mut self, told: Handlings) {
        for handling in told.handlings {
            let known = self.handlings.get(&handling.handling);
            if known.is_some_and(|(_, known)| *known == handling) {
                continue;
            }
            let id = known.map_or(HandlingId(self.handling), |(id, _)| *id);
            let new = known.is_none();
            match convert::handling_in(&handling, id, &self.layout) {
                Ok(declared) => {
                    self.count("handlings");
                    self.store.handle(Input::Handling(declared));
                }
                Err(why) => self.refuse(&told.source, &why),
            }
            self.handling += u32::from(new);
            self.handlings.insert(handling.handling.clone(), (id, handling));
        }
        while self.handlings.len() > HANDLINGS_KEPT {
            let oldest = self.handlings.iter().min_by_key(|(_, (id, _))| *id).map(|(name, _)| name.clone());
            oldest.and_then(|name| self.handlings.remove(&name));
        }
    }

    fn take_event(&mut self, event: Event) {
        // The floor's own decisions come back on the same topic.
        if event.source == self.device.source {
            return;
        }
        let now_us = self.now_us();
        match self.tracker.on_event(&event, now_us) {
            Verdict::Duplicate => self.count("duplicates"),
            Verdict::Gap { resend, .. } => {
                self.count("gaps");
                if let Some(resend) = resend {
                    let _ = self.device.client.publish(Outgoing::Resend(resend));
                }
            }
            Verdict::Accept => {
                let source = event.source.clone();
                self.accept(event);
                if let Some(mark) = self.tracker.released(&source) {
                    self.watermarks.observe(&mark, now_us);
                }
            }
        }
    }

    fn accept(&mut self, event: Event) {
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
                    self.tags.insert(*tag, (event.source, event.epoch, event.seq));
                    while self.tags.len() > TAGS_KEPT {
                        self.tags.pop_first();
                    }
                }
                self.store.handle(input);
            }
            Err(why) => self.refuse(&event.source, &why),
        }
    }

    fn take_mark(&mut self, mark: &Watermark) {
        let now_us = self.now_us();
        self.latest_us = self.latest_us.max(mark.time_us);
        match self.tracker.on_watermark(mark, now_us) {
            MarkVerdict::Complete => self.watermarks.observe(mark, now_us),
            MarkVerdict::Missing { resend } => {
                if let Some(resend) = resend {
                    let _ = self.device.client.publish(Outgoing::Resend(resend));
                }
            }
            MarkVerdict::Lost { from_seq, to_seq } => {
                self.count("lost_events");
                tracing::error!(
                    source = mark.source,
                    from_seq,
                    to_seq,
                    "these events no longer exist anywhere"
                );
                self.watermarks.observe(mark, now_us);
            }
        }
    }

    async fn go_on(&mut self) -> anyhow::Result<()> {
        let now_us = self.now_us();
        let Some(us) = self.watermarks.min_us(now_us).filter(|us| *us < i64::MAX) else { return Ok(()) };
        let time = StoreTime::from_micros(us);
        let decisions = self.store.advance(time);
        self.publish(decisions).await?;
        let due = |last: StoreTime| time.seconds_since(last) >= MAP_EVERY_S;
        if self.mapped.is_none_or(due) {
            self.mapped = Some(time);
            self.tell_map(time);
            let mark = Watermark::unnumbered(self.device.source.as_str(), us, false);
            let _ = self.device.client.publish(Outgoing::Progress(mark));
        }
        Ok(())
    }

    fn tell_map(&self, time: StoreTime) {
        let shoppers = convert::positions_out(&self.store);
        let shoppers = Shoppers { time_us: time.micros, shoppers };
        // For maps only: the newest replaces what could not be sent.
        let _ =
            self.device.client.publish(Outgoing::Shoppers { source: self.device.source.clone(), shoppers });
    }

    async fn publish(&mut self, decisions: Vec<Decision>) -> anyhow::Result<()> {
        let bodies: Vec<(i64, EventBody)> = decisions.into_iter().filter_map(|d| self.body(d)).collect();
        if !bodies.is_empty() {
            self.publisher.publish_all(bodies).await?;
        }
        Ok(())
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

    fn tell_status(&self) {
        let mut counters = self.counters.clone();
        let store = self.store.counters();
        counters.extend([
            ("people_observations".to_string(), store.people),
            ("shelf_events".to_string(), store.shelf_events),
            ("gate_events".to_string(), store.gates),
            ("late_inputs".to_string(), store.late),
            ("waiting".to_string(), self.store.waiting() as u64),
        ]);
        counters.extend(self.publisher.counters());
        self.device.tell_status(counters);
    }
}
