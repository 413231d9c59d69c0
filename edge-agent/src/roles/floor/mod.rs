//! The floor role: everything that is seen in, who took what out.
//!
//! A shell around [`Store`]: messages become inputs, watermarks tell how far event time may go, decisions become
//! numbered events. Shelf and gate events are taken in the order of their numbers, once each; people are worth one
//! moment and may be lost. What was heard is kept on disk while somebody is in the store, so that a role that was
//! killed goes on with them.

mod memory;
mod mind;
mod restore;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use linefree_bus::client::{Inbox, Incoming, Outgoing};
use linefree_bus::gap::{GapTracker, MarkVerdict, Verdict};
use linefree_bus::payload::{Event, EventBody, People, Shoppers, Watermark};
use linefree_bus::sequenced::EventPublisher;
use linefree_bus::topic::{Subscription, TopicKind};
use linefree_bus::watermark::MinWatermark;
use linefree_domain::cart::CartPolicy;
use linefree_domain::store::{Store, StoreConfig};
use linefree_domain::time::StoreTime;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::device::Device;
use super::{Role, Site};
use crate::convert;
use crate::looking::VIEWS_WAIT_S;
use memory::{Base, Memory, OpenVisit, Record};
use mind::Mind;
use restore::{Known, Restored, Said, restore, saying};

/// The map is told this often, seconds of event time.
const MAP_EVERY_S: f64 = 0.2;
/// With no message at all, lateness is looked at this often.
const TICK: Duration = Duration::from_millis(200);
/// Status counters are told this often.
const STATUS_EVERY: Duration = Duration::from_secs(1);
const LAST_ACK: Duration = Duration::from_secs(60);
/// What was heard is on the disk after this at the latest; what was decided by is there before it is published.
const SYNC_EVERY: Duration = Duration::from_secs(5);
/// Nobody is lost from sight in a time as short as this.
const BLINK_US: i64 = 1_000_000;
/// Numberings of sources that are remembered.
const NUMBERINGS_KEPT: usize = 256;

pub(super) async fn run(site: Site) -> anyhow::Result<()> {
    let source = format!("floor-{}", site.options.number);
    let (restored, memory) = {
        let (site, source) = (Arc::clone(&site), source.clone());
        tokio::task::spawn_blocking(move || open(&site, &source)).await.context("restore the floor")??
    };
    let subscriptions =
        [TopicKind::People, TopicKind::View, TopicKind::Event, TopicKind::Watermark, TopicKind::Handlings]
            .map(Subscription::all);
    let (device, inbox) = Device::connect(&site, source, Role::Floor, &subscriptions)?;
    let publisher = device.publisher(&site).await?;
    // A recording waits for its slowest source; a live store for none longer than the lateness.
    let lateness_us = site.recording.is_none().then_some((site.options.lateness * 1e6) as i64);
    let Restored { mind, tracker, taken, cameras, us, unsaid, heard, heard_from_us, known, .. } = restored;
    let live = site.recording.is_none();
    let floor = FloorRole {
        mind,
        memory,
        tracker,
        taken,
        cameras,
        heard: if live { HashSet::new() } else { heard },
        heard_from_us: heard_from_us.filter(|_| !live),
        known,
        away_since_us: us,
        gone_us: us,
        watermarks: MinWatermark::new(expected(&site), lateness_us),
        began: Instant::now(),
        synced: Instant::now(),
        stop: site.stop.clone(),
        live,
        mapped: None,
        latest_us: i64::MIN,
        device,
        publisher,
    };
    floor.run(inbox, unsaid).await
}

/// Reads what the role had heard and said, and is where it was.
fn open(site: &Site, source: &str) -> anyhow::Result<(Restored, Memory)> {
    let layout = Arc::new(site.store.layout.clone());
    let config = StoreConfig {
        cart: CartPolicy { review_below: site.store.live.policy.review_below },
        views_wait_s: if site.store.live.vision.is_some() { VIEWS_WAIT_S } else { 0.0 },
        ..StoreConfig::default()
    };
    let store = Store::new(Arc::clone(&layout), config).with_staff(&site.store.live.policy.staff);
    let dir = site.data.join("floor").join(source);
    let (mut memory, records) =
        Memory::open(&dir).with_context(|| format!("read what {source} had heard in {}", dir.display()))?;
    let said = Said::read(&site.data.join("journal").join(source), source)?;
    let began = Instant::now();
    let restored = restore(Mind::new(store, layout), &records, said);
    let visits = restored.mind.store.open_visits().count();
    if restored.us.is_some() {
        let (carried, unsaid) = (restored.carried, restored.unsaid.len());
        let elapsed_s = began.elapsed().as_secs_f64();
        tracing::info!(visits, carried, unsaid, records = records.len(), elapsed_s, "the floor is restored");
    }
    let first = records.first().into_iter().flat_map(|record| match record {
        Record::Base(base) => base.waiting.clone(),
        _ => Vec::new(),
    });
    let waiting: Vec<Record> = first.chain(records.iter().cloned()).collect();
    memory.remember(waiting, restored.us.unwrap_or(i64::MIN));
    Ok((restored, memory))
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
    mind: Mind,
    memory: Memory,
    device: Device,
    publisher: EventPublisher,
    tracker: GapTracker,
    /// Up to which number each source's events have been taken.
    taken: BTreeMap<(String, Uuid), u64>,
    /// The latest that each camera has told.
    cameras: BTreeMap<String, i64>,
    /// A recording that was cut off: what had been heard of it, and from where on.
    heard: HashSet<(String, i64, u32)>,
    heard_from_us: Option<i64>,
    /// What was taken before this role's memory was lost.
    known: Known,
    /// How far event time had gone when the role was last here; until it has gone on from there.
    away_since_us: Option<i64>,
    /// How far event time has gone.
    gone_us: Option<i64>,
    watermarks: MinWatermark,
    began: Instant,
    synced: Instant,
    stop: watch::Receiver<bool>,
    live: bool,
    mapped: Option<StoreTime>,
    /// The latest that any source has spoken of.
    latest_us: i64,
}

impl FloorRole {
    async fn run(mut self, mut inbox: Inbox, unsaid: Vec<(i64, EventBody)>) -> anyhow::Result<()> {
        let mut status_due = Instant::now();
        self.begin_segment();
        self.publish(unsaid).await?;
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
                // Nobody has left because this process ends: visits are not closed, and remembered.
                self.memory.flush(true);
                return self.leave().await;
            }
        }
        let decided = self.mind.finish();
        self.publish(decided).await?;
        // Replayed sources stay until they know that the floor has gone past their end.
        let mark = Watermark::unnumbered(self.device.source.as_str(), self.latest_us, true);
        self.device.client.publish_when_room(Outgoing::Progress(mark)).await?;
        if let Err(error) = self.publisher.wait_acked(LAST_ACK).await {
            tracing::warn!("{error}; the journal keeps them for the next start");
        }
        tracing::info!("every source has ended");
        self.tell_status();
        self.memory.clear();
        self.publisher.close().await;
        self.device.client.close(Duration::from_secs(2)).await;
        Ok(())
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

    fn take(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::People(people) => self.take_people(people),
            Incoming::View(view) => self.hear(Record::View(view)),
            Incoming::Event(event) => self.take_event(event),
            Incoming::Watermark(mark) => self.take_mark(&mark),
            Incoming::Handlings(told) if self.mind.is_news(&told) => self.hear(Record::Handlings(told)),
            Incoming::Malformed { topic, why } => self.mind.malformed(&topic, &why),
            Incoming::Disconnected { why } => tracing::warn!(why, "the bus is away; trying again"),
            Incoming::Connected => tracing::info!("on the bus"),
            Incoming::Handlings(_)
            | Incoming::Shoppers { .. }
            | Incoming::Progress(_)
            | Incoming::Status(_)
            | Incoming::Ack(_)
            | Incoming::Resend(_)
            | Incoming::Counts(_)
            | Incoming::Wanted(_)
            | Incoming::InForce(_) => {}
        }
    }

    /// Takes something in, and writes it down.
    fn hear(&mut self, record: Record) {
        self.mind.take(&record);
        self.memory.note(record);
    }

    fn take_people(&mut self, people: People) {
        let latest = self.cameras.get(&people.camera).copied();
        // A recording that was cut off begins again at its beginning.
        if !self.live && latest.is_some_and(|latest| people.time_us <= latest) {
            self.mind.count("people_repeated");
            return;
        }
        // Names of cameras come from the bus: only those of the store are kept.
        if self.mind.layout.camera(&people.camera).is_some() {
            self.cameras.insert(people.camera.clone(), people.time_us);
        }
        self.hear(Record::People(people));
    }

    /// Was this told before a recording was cut off, by another number?
    fn was_heard(&self, event: &Event) -> bool {
        if self.known.has(event) {
            return true;
        }
        let before = self.heard_from_us.is_some_and(|us| event.time_us <= us);
        before || (!self.heard.is_empty() && self.heard.contains(&saying(event)))
    }

    fn take_event(&mut self, event: Event) {
        // The floor's own decisions come back on the same topic.
        if event.source == self.device.source {
            return;
        }
        let now_us = self.now_us();
        match self.tracker.on_event(&event, now_us) {
            Verdict::Duplicate => self.mind.count("duplicates"),
            Verdict::Gap { resend, .. } => {
                self.mind.count("gaps");
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
        self.taken.insert((event.source.clone(), event.epoch), event.seq);
        if self.taken.len() > NUMBERINGS_KEPT {
            // Epochs begin with the time at which they were drawn.
            let oldest = self.taken.keys().min_by_key(|(_, epoch)| *epoch).cloned();
            oldest.and_then(|oldest| self.taken.remove(&oldest));
        }
        if self.was_heard(&event) {
            self.mind.count("events_repeated");
            return;
        }
        self.hear(Record::Event(event));
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
                self.mind.count("lost_events");
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
        let us = self.watermarks.min_us(now_us).filter(|us| *us < i64::MAX);
        let Some(us) = us else { return Ok(()) };
        if let Some(since_us) = self.away_since_us {
            if us <= since_us {
                // A recording from its beginning: so far it has been heard.
                self.tell_progress(StoreTime::from_micros(since_us));
                return Ok(());
            }
            self.away_since_us = None;
            self.return_from(since_us, us);
        }
        let decided = self.mind.advance(us);
        self.gone_us = Some(us);
        self.memory.note(Record::Went { us });
        self.memory.went(us);
        self.publish(decided).await?;
        if self.memory.is_due(us) {
            self.begin_segment();
        }
        let time = StoreTime::from_micros(us);
        if self.tell_progress(time) {
            self.tell_map(time);
        }
        Ok(())
    }

    /// Event time goes on after the role was away.
    fn return_from(&mut self, since_us: i64, us: i64) {
        let visits = self.mind.store.open_visits().count();
        if us - since_us <= BLINK_US {
            return;
        }
        // Even with nobody in the store: who came in meanwhile was not seen coming in.
        tracing::warn!(
            visits,
            seconds = (us - since_us) as f64 / 1e6,
            "the floor was away: visits are in doubt"
        );
        self.hear(Record::Unwatched { from_us: since_us, until_us: us });
    }

    fn begin_segment(&mut self) {
        let layout = Arc::clone(&self.mind.layout);
        let visit = |(visit, lines): (linefree_domain::visit::CarriedVisit, Vec<_>)| OpenVisit {
            visit: visit.id.to_string(),
            credential: visit.credential.as_ref().map(ToString::to_string),
            party: visit.party,
            entered_us: visit.entered.micros,
            lines: convert::lines_out(&lines, &layout),
        };
        let taken = self.taken.iter().map(|((source, epoch), seq)| (source.clone(), *epoch, *seq));
        self.memory.begin(Base {
            us: self.gone_us,
            opened: self.mind.store.visits_opened(),
            taken: taken.collect(),
            cameras: self.cameras.clone(),
            open: self.mind.store.open_visits().map(visit).collect(),
            waiting: Vec::new(),
        });
    }

    /// Tells how far event time has gone, now and then; gives whether it did.
    fn tell_progress(&mut self, time: StoreTime) -> bool {
        if self.mapped.is_some_and(|last| time.seconds_since(last) < MAP_EVERY_S) {
            return false;
        }
        self.mapped = Some(time);
        let mark = Watermark::unnumbered(self.device.source.as_str(), time.micros, false);
        let _ = self.device.client.publish(Outgoing::Progress(mark));
        true
    }

    fn tell_map(&self, time: StoreTime) {
        let shoppers = convert::positions_out(&self.mind.store);
        let shoppers = Shoppers { time_us: time.micros, shoppers };
        // For maps only: the newest replaces what could not be sent.
        let _ =
            self.device.client.publish(Outgoing::Shoppers { source: self.device.source.clone(), shoppers });
    }

    /// Publishes what was decided, once what it was decided by is on the disk.
    async fn publish(&mut self, bodies: Vec<(i64, EventBody)>) -> anyhow::Result<()> {
        let sync = !bodies.is_empty() || self.synced.elapsed() >= SYNC_EVERY;
        if sync {
            self.synced = Instant::now();
            let memory = &mut self.memory;
            tokio::task::block_in_place(|| memory.flush(true));
        } else {
            self.memory.flush(false);
        }
        if !bodies.is_empty() {
            self.publisher.publish_all(bodies).await?;
        }
        Ok(())
    }

    fn tell_status(&self) {
        let mut counters = self.mind.counters.clone();
        let store = self.mind.store.counters();
        counters.extend([
            ("people_observations".to_string(), store.people),
            ("shelf_events".to_string(), store.shelf_events),
            ("gate_events".to_string(), store.gates),
            ("late_inputs".to_string(), store.late),
            ("outages".to_string(), store.outages),
            ("memory_failed".to_string(), u64::from(self.memory.has_failed())),
            ("waiting".to_string(), self.mind.store.waiting() as u64),
        ]);
        counters.extend(self.publisher.counters());
        self.device.tell_status(counters);
    }
}
