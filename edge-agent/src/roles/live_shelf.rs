//! The shelf role of a live store: one thread a scale, one detector for all of them.
//!
//! Scales block, each for half a second at most, so each has a thread; their samples meet in a bounded channel. When it
//! is full the threads wait, and the drivers' own buffers do after that.
//!
//! # Failure rules
//! A scale that is away is a fault and is tried again; the others go on. A GPIO chip or I²C bus that this machine does
//! not have ends the role at its start, because waiting does not bring one.

use std::collections::BTreeMap;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use linefree_bus::client::{Inbox, Incoming};
use linefree_bus::payload::EventBody;
use linefree_bus::topic::{Subscription, TopicKind};
use linefree_domain::ids::PlateIndex;
use linefree_domain::shelf::{CrosstalkFilter, ShelfConfig, ShelfDetector, WeightSample};
use linefree_domain::time::StoreTime;
use linefree_hardware::clock::LiveClock;
use linefree_hardware::fault::Fault;
use linefree_hardware::scale::{CountsReport, Scale};
use linefree_recording::{ScaleConfig, ScaleDriver, SourceDevice};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::device::{Device, fault_body};
use super::drivers::{LiveScale, open_scale};
use super::shelf::{bodies, counters};
use super::{Role, Site};

/// Samples of all scales that may wait to be looked at.
const WAITING: usize = 256;
/// Reports of one controller that may wait; more are dropped, as QoS 0 would.
const REPORTS: usize = 64;
/// Status counters and the watermark are told this often.
const STATUS_EVERY: Duration = Duration::from_secs(1);
const MARK_EVERY_S: f64 = 0.2;
const GOODBYE: Duration = Duration::from_secs(2);

/// What a scale's thread tells.
struct Heard {
    scale: usize,
    sample: WeightSample,
    faults: Vec<Fault>,
    counters: BTreeMap<&'static str, u64>,
}

pub(super) async fn run(site: Site, source: String) -> anyhow::Result<()> {
    let layout = &site.store.layout;
    let scales: Vec<ScaleConfig> = site.store.live.sources.iter().filter_map(scale_of).collect();
    tell_unweighed(&site, &scales)?;
    let subscriptions: Vec<Subscription> = scales.iter().filter_map(subscription).collect();
    let (device, inbox) = Device::connect(&site, source, Role::Shelf, &subscriptions)?;
    let publisher = device.publisher(&site).await?;
    let clock = LiveClock::default();

    let (tell, mut heard) = mpsc::channel(WAITING);
    let mut controllers = BTreeMap::new();
    for (number, config) in scales.iter().enumerate() {
        let reports = match &config.driver {
            ScaleDriver::Counts { source } => {
                let (controller, reports) = sync_channel(REPORTS);
                controllers.insert(source.clone(), controller);
                Some(reports)
            }
            _ => None,
        };
        let first = layout.plates[config.plates[0].0].id.to_string();
        let scale = open_scale(config, layout, reports, clock.clone())
            .with_context(|| format!("[[source]] of plate {first}"))?;
        let tell = tell.clone();
        thread::Builder::new()
            .name(format!("scale {first}"))
            .spawn(move || watch(scale, number, &tell))
            .context("start a scale's thread")?;
    }
    drop(tell);
    tokio::spawn(pass_on(inbox, controllers, clock.clone()));

    let calibrated = site.store.live.shelves.iter().map(|s| s.mixing.clone()).collect();
    let mut shelf = LiveShelf {
        crosstalk: CrosstalkFilter::new(calibrated),
        detector: ShelfDetector::new(layout, ShelfConfig::default()),
        newest: vec![None; scales.len()],
        faults: vec![BTreeMap::new(); scales.len()],
        told: None,
    };
    let mut stop = site.stop.clone();
    let mut status_due = Instant::now();
    loop {
        let heard = tokio::select! {
            heard = heard.recv(), if !scales.is_empty() => match heard {
                Some(heard) => heard,
                None => bail!("every scale has ended, which live scales never do"),
            },
            () = tokio::time::sleep(STATUS_EVERY), if scales.is_empty() => {
                device.tell_status(BTreeMap::new());
                publisher.watermark(clock.now().micros, false);
                continue;
            }
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (events, mark) = shelf.take(heard, &site);
        if !events.is_empty() {
            publisher.publish_all(events).await?;
        }
        if let Some(mark) = mark {
            publisher.watermark(mark.micros, false);
        }
        if Instant::now() >= status_due {
            status_due = Instant::now() + STATUS_EVERY;
            device.tell_status(shelf.counters());
        }
    }
    let rest = bodies(shelf.detector.finish(), &site);
    if !rest.is_empty() {
        publisher.publish_all(rest).await?;
    }
    device.tell_status(shelf.counters());
    publisher.close().await;
    device.client.close(GOODBYE).await;
    Ok(())
}

fn scale_of(source: &linefree_recording::SourceConfig) -> Option<ScaleConfig> {
    match &source.device {
        SourceDevice::Plates(config) => Some(config.clone()),
        _ => None,
    }
}

fn subscription(config: &ScaleConfig) -> Option<Subscription> {
    match &config.driver {
        ScaleDriver::Counts { source } => Some(Subscription::of(TopicKind::Counts, source.as_str())),
        _ => None,
    }
}

/// Says which plates nobody weighs.
fn tell_unweighed(site: &Site, scales: &[ScaleConfig]) -> anyhow::Result<()> {
    let plates = &site.store.layout.plates;
    let weighed = |i: usize| scales.iter().any(|s| s.plates.contains(&PlateIndex(i)));
    let silent: Vec<&str> =
        plates.iter().enumerate().filter(|(i, _)| !weighed(*i)).map(|(_, p)| p.id.as_str()).collect();
    if silent.is_empty() {
        return Ok(());
    }
    let shown = silent.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    let told = format!(
        "{} of {} plates have no [[source]] in store.toml ({shown} ...): what is taken from them is not seen",
        silent.len(),
        plates.len()
    );
    if scales.is_empty() && site.roles == [Role::Shelf] {
        bail!("{told}. Add [[source]] tables, or give --recording DIR");
    }
    tracing::warn!("{told}");
    Ok(())
}

/// A scale's thread: ends with the role.
fn watch(mut scale: LiveScale, number: usize, tell: &mpsc::Sender<Heard>) {
    loop {
        match scale.next_sample() {
            Ok(Some(sample)) => {
                let faults = scale.take_faults();
                let heard = Heard { scale: number, sample, faults, counters: scale.counters().clone() };
                if tell.blocking_send(heard).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::error!("a scale cannot go on: {:#}", anyhow::Error::from(error));
                return;
            }
        }
    }
}

/// Gives what controllers send over the bus to their scales' threads.
async fn pass_on(
    mut inbox: Inbox,
    controllers: BTreeMap<String, SyncSender<CountsReport>>,
    clock: LiveClock,
) {
    while let Some(incoming) = inbox.recv().await {
        match incoming {
            Incoming::Counts(counts) => {
                let Some(controller) = controllers.get(&counts.source) else { continue };
                let report =
                    CountsReport { arrived: clock.now(), uptime_ms: counts.uptime_ms, counts: counts.counts };
                if let Err(TrySendError::Full(_)) = controller.try_send(report) {
                    tracing::warn!(
                        source = counts.source,
                        "counts dropped: they come faster than they are used"
                    );
                }
            }
            Incoming::Malformed { topic, why } => tracing::warn!(topic, why, "malformed message dropped"),
            Incoming::Disconnected { why } => tracing::warn!(why, "the bus is away; trying again"),
            _ => {}
        }
    }
}

struct LiveShelf {
    crosstalk: CrosstalkFilter,
    detector: ShelfDetector,
    /// Each scale's newest time.
    newest: Vec<Option<StoreTime>>,
    faults: Vec<BTreeMap<&'static str, u64>>,
    told: Option<StoreTime>,
}

impl LiveShelf {
    /// Takes what a scale said; gives events, and the watermark when it is due.
    fn take(&mut self, heard: Heard, site: &Site) -> (Vec<(i64, EventBody)>, Option<StoreTime>) {
        let Heard { scale, sample, faults, counters } = heard;
        let sample = self.crosstalk.apply(sample);
        let mut events = bodies(self.detector.handle_sample(&sample), site);
        for fault in faults {
            events.push((sample.time.micros, fault_body(&site.metrics, fault)));
        }
        self.faults[scale] = counters;
        self.newest[scale] = self.newest[scale].max(Some(sample.time));
        let due = self.told.is_none_or(|t| sample.time.seconds_since(t) >= MARK_EVERY_S);
        let mark = if due { self.mark() } else { None };
        if mark.is_some() {
            self.told = Some(sample.time);
        }
        (events, mark)
    }

    /// As far as the scale that is furthest behind lets event time go.
    fn mark(&self) -> Option<StoreTime> {
        let newest = self.newest.iter().flatten().max()?;
        // A scale that has not spoken yet holds nothing back: it is away, or will speak of later times.
        let behind_s = self.newest.iter().flatten().map(|t| newest.seconds_since(*t)).fold(0.0, f64::max);
        self.detector.watermark().map(|mark| mark.plus_s(-behind_s))
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        let mut faults: BTreeMap<&'static str, u64> = BTreeMap::new();
        for (name, times) in self.faults.iter().flatten() {
            *faults.entry(name).or_default() += times;
        }
        counters(&self.detector, &faults)
    }
}
