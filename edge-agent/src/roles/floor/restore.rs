//! The floor role's beginning: where it was when it ended, however it ended.
//!
//! What it had heard is heard again, which gives the same decisions; those that its journal of published events has are
//! not published again. What its journal has and its memory does not (a lost disk, a visit older than what is
//! remembered) is carried on as it was last told, in doubt.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use anyhow::Context;
use linefree_bus::gap::GapTracker;
use linefree_bus::journal::{Journal, JournalOptions};
use linefree_bus::payload::{CartChanged, Event, EventBody, GateDirection, Line, VisitOpened};
use linefree_domain::cart;
use linefree_domain::ids::{Credential, VisitId};
use linefree_domain::layout::StoreLayout;
use linefree_domain::time::StoreTime;
use linefree_domain::visit::CarriedVisit;
use uuid::Uuid;

use super::memory::{OpenVisit, Record};
use super::mind::Mind;
use crate::convert;

/// Events read from the journal at once.
const BATCH: usize = 1_000;
const BATCH_BYTES: usize = 4 << 20;

/// What this role has said, as its journal still has it.
#[derive(Debug, Default)]
pub(super) struct Said {
    opened: BTreeMap<String, (VisitOpened, i64)>,
    carts: BTreeMap<String, Vec<Line>>,
    pub closed: BTreeSet<String>,
    attributed: HashSet<(String, Uuid, u64)>,
    latest_us: Option<i64>,
}

impl Said {
    /// Reads a source's journal, which nobody may have open.
    pub fn read(dir: &Path, source: &str) -> anyhow::Result<Self> {
        let mut said = Self::default();
        if !dir.exists() {
            return Ok(said);
        }
        let (mut journal, _) = Journal::open(dir, source, JournalOptions::default())
            .with_context(|| format!("open the journal of {source} in {}", dir.display()))?;
        let mut next = journal.first_seq();
        loop {
            let events = journal.read_from(next, BATCH, BATCH_BYTES)?;
            let Some(last) = events.last() else { return Ok(said) };
            next = last.seq + 1;
            events.into_iter().for_each(|event| said.note(event.time_us, event.body));
        }
    }

    fn note(&mut self, time_us: i64, body: EventBody) {
        self.latest_us = self.latest_us.max(Some(time_us));
        match body {
            EventBody::VisitOpened(opened) => {
                self.opened.insert(opened.visit.clone(), (opened, time_us));
            }
            EventBody::CartChanged(changed) => {
                self.carts.insert(changed.visit, changed.lines);
            }
            EventBody::VisitClosed(closed) => {
                self.carts.remove(&closed.visit);
                self.closed.insert(closed.visit);
            }
            EventBody::ItemAttributed(item) => {
                self.attributed.insert((item.shelf_source, item.shelf_epoch, item.shelf_seq));
            }
            _ => {}
        }
    }

    fn has(&self, body: &EventBody) -> bool {
        match body {
            EventBody::VisitOpened(opened) => self.opened.contains_key(&opened.visit),
            EventBody::VisitClosed(closed) => self.closed.contains(&closed.visit),
            EventBody::ItemAttributed(item) => {
                self.attributed.contains(&(item.shelf_source.clone(), item.shelf_epoch, item.shelf_seq))
            }
            // Carts are told as they are in the end.
            EventBody::CartChanged(_) => true,
            _ => false,
        }
    }
}

/// Where the role was.
pub(super) struct Restored {
    pub mind: Mind,
    pub tracker: GapTracker,
    pub taken: BTreeMap<(String, Uuid), u64>,
    pub cameras: BTreeMap<String, i64>,
    /// How far event time had gone; `None` for a beginning.
    pub us: Option<i64>,
    /// What was decided and not published.
    pub unsaid: Vec<(i64, EventBody)>,
    /// What was heard: a recording that begins again tells it again.
    pub heard: HashSet<(String, i64, u32)>,
    /// How far event time had gone where that begins.
    pub heard_from_us: Option<i64>,
    /// Without a memory: which entries and shelf events its journal speaks of.
    pub known: Known,
    /// Visits carried on as they were last told.
    pub carried: usize,
}

/// What is known to have been taken although nothing that was heard is left.
#[derive(Debug, Default)]
pub(super) struct Known {
    entries: HashSet<(i64, Option<String>)>,
    items: HashSet<(String, Uuid, u64)>,
}

impl Known {
    pub fn has(&self, event: &Event) -> bool {
        match &event.body {
            EventBody::GatePassed(passed) => {
                passed.direction == GateDirection::Entry
                    && self.entries.contains(&(event.time_us, passed.credential.clone()))
            }
            EventBody::ShelfChanged(_) if !self.items.is_empty() => {
                self.items.contains(&(event.source.clone(), event.epoch, event.seq))
            }
            _ => false,
        }
    }
}

/// Names what an event says.
pub(super) fn saying(event: &Event) -> (String, i64, u32) {
    let body = serde_json::to_vec(&event.body).unwrap_or_default();
    (event.source.clone(), event.time_us, crc32fast::hash(&body))
}

/// Hears everything again.
pub(super) fn restore(mut mind: Mind, records: &[Record], mut said: Said) -> Restored {
    let mut found = Heard::default();
    let mut unsaid: Vec<(i64, EventBody)> = Vec::new();
    for (at, record) in records.iter().enumerate() {
        if let Record::Base(base) = record {
            if at == 0 {
                mind.store.resume_after(base.opened);
                found.us = base.us;
                found.heard_from_us = base.us;
                for (source, epoch, seq) in &base.taken {
                    found.taken.insert((source.clone(), *epoch), *seq);
                }
                found.cameras.clone_from(&base.cameras);
                base.open.iter().for_each(|visit| said.know(visit));
                for waiting in &base.waiting {
                    found.note(waiting);
                    mind.take(waiting);
                }
            }
            continue;
        }
        found.note(record);
        mind.take(record);
        if let Record::Went { us } = record {
            unsaid.extend(mind.advance(*us).into_iter().filter(|(_, body)| !said.has(body)));
        }
    }
    // Not before: hearing it again numbers visits as they were numbered.
    mind.store.resume_after(said.numbered());
    let layout = mind.layout.clone();
    let over = |body: &EventBody| match body {
        EventBody::VisitClosed(closed) => Some(closed.visit.clone()),
        _ => None,
    };
    let ended: BTreeSet<String> = unsaid.iter().filter_map(|(_, body)| over(body)).collect();
    let open: BTreeSet<String> = mind.store.open_visits().map(|(v, _)| v.id.to_string()).collect();
    for id in open.intersection(&said.closed).filter_map(|id| VisitId::new(id.as_str()).ok()) {
        mind.store.forget(&id);
    }
    let told = |id: &String| said.closed.contains(id) || open.contains(id) || ended.contains(id);
    let mut carried = 0;
    for (id, (opened, entered_us)) in said.opened.iter().filter(|(id, _)| !told(id)) {
        let lines = said.carts.get(id).map(|lines| lines_in(id, lines, &layout)).unwrap_or_default();
        match visit_in(opened, *entered_us) {
            Some(visit) => mind.store.carry(visit, lines),
            None => continue,
        }
        carried += 1;
    }
    let known = if records.is_empty() { said.known() } else { Known::default() };
    let now_us = found.us.or(said.latest_us);
    let carts = mind.store.open_visits().filter_map(|(visit, lines)| {
        let (id, lines) = (visit.id.to_string(), convert::lines_out(&lines, &layout));
        let told = said.carts.get(&id).map_or(&[][..], Vec::as_slice);
        (told != lines).then_some((now_us?, EventBody::CartChanged(CartChanged { visit: id, lines })))
    });
    unsaid.extend(carts.collect::<Vec<_>>());
    let mut tracker = GapTracker::new();
    for ((source, epoch), seq) in &found.taken {
        tracker.resume(source, *epoch, *seq);
    }
    let Heard { taken, cameras, heard, heard_from_us, .. } = found;
    Restored { mind, tracker, taken, cameras, us: now_us, unsaid, heard, heard_from_us, known, carried }
}

#[derive(Default)]
struct Heard {
    us: Option<i64>,
    taken: BTreeMap<(String, Uuid), u64>,
    cameras: BTreeMap<String, i64>,
    heard: HashSet<(String, i64, u32)>,
    heard_from_us: Option<i64>,
}

impl Heard {
    fn note(&mut self, record: &Record) {
        match record {
            Record::People(people) => {
                let latest = self.cameras.entry(people.camera.clone()).or_insert(people.time_us);
                *latest = people.time_us.max(*latest);
            }
            Record::Event(event) => {
                self.taken.insert((event.source.clone(), event.epoch), event.seq);
                self.heard.insert(saying(event));
            }
            Record::Went { us } => self.us = Some(*us),
            _ => {}
        }
    }
}

impl Said {
    /// The highest number that a visit was given.
    fn numbered(&self) -> u64 {
        let number = |id: &String| id.rsplit_once('-')?.1.parse().ok();
        self.opened.keys().filter_map(number).max().unwrap_or(0)
    }

    fn known(&mut self) -> Known {
        let entry = |(opened, time_us): &(VisitOpened, i64)| (*time_us, opened.credential.clone());
        Known {
            entries: self.opened.values().map(entry).collect(),
            items: std::mem::take(&mut self.attributed),
        }
    }

    fn know(&mut self, visit: &OpenVisit) {
        let opened = VisitOpened {
            visit: visit.visit.clone(),
            credential: visit.credential.clone(),
            party: visit.party,
        };
        self.opened.entry(visit.visit.clone()).or_insert((opened, visit.entered_us));
        self.carts.entry(visit.visit.clone()).or_insert_with(|| visit.lines.clone());
    }
}

fn visit_in(opened: &VisitOpened, entered_us: i64) -> Option<CarriedVisit> {
    Some(CarriedVisit {
        id: VisitId::new(opened.visit.as_str()).ok()?,
        credential: opened.credential.as_deref().map(Credential::new).transpose().ok()?,
        party: opened.party.max(1),
        entered: StoreTime::from_micros(entered_us),
    })
}

fn lines_in(visit: &str, lines: &[Line], layout: &StoreLayout) -> Vec<cart::Line> {
    lines
        .iter()
        .filter_map(|line| {
            let Some(product) = layout.product(&line.sku) else {
                tracing::error!(visit, sku = line.sku, "what this visit held is no longer in store.toml");
                return None;
            };
            Some(cart::Line {
                product,
                quantity: line.quantity,
                probability: line.probability,
                review: line.review,
            })
        })
        .collect()
}
