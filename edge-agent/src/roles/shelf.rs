//! The shelf role: weights in, lift and put events out, numbered and journalled.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use linefree_bus::payload::EventBody;
use linefree_domain::shelf::{ShelfConfig, ShelfDetector, ShelfEvent};
use linefree_domain::time::StoreTime;
use linefree_hardware::scale::{CheckLimits, CheckedScale, ReplayScale, Scale, WeightChecks};

use super::device::{Device, fault_body, progress_subscription, tap_progress};
use super::pace::Pacer;
use super::{Role, Site, live_shelf};
use crate::convert;

/// A watermark is told when event time has gone on by this much, seconds.
const MARK_EVERY_S: f64 = 0.2;
/// How long the last events may wait for the ledger, before the process ends without it.
const LAST_ACK: Duration = Duration::from_secs(60);

pub(super) async fn run(site: Site) -> anyhow::Result<()> {
    let source = format!("shelf-{}", site.options.number);
    let layout = &site.store.layout;
    let Some(recording) = &site.recording else { return live_shelf::run(Site::clone(&site), source).await };
    let (device, inbox) = Device::connect(&site, source, Role::Shelf, &[progress_subscription()])?;
    let tap = tap_progress(inbox);
    let publisher = device.publisher(&site).await?;
    let mut pacer = Pacer::new(site.pace, recording.manifest.start, tap.progress.clone());
    let Some(weights) = recording.weights()? else {
        tracing::warn!("the recording has no weights.csv: nothing will be known to be taken");
        publisher.watermark(recording.manifest.end().micros, true);
        return Ok(());
    };
    // Only plates that the file has are waited for.
    let mut names = vec![String::new(); layout.plates.len()];
    for plate in weights.plates() {
        names[plate.0] = layout.plates[plate.0].id.to_string();
    }
    let mut scale =
        CheckedScale::new(ReplayScale::new(weights), WeightChecks::new(names, CheckLimits::default()));
    let mut detector = ShelfDetector::new(layout, ShelfConfig::default());
    let mut told: Option<StoreTime> = None;
    let mut last = recording.manifest.start;
    while let Some(sample) = scale.next_sample().context("read weights")? {
        pacer.until(sample.time).await;
        last = sample.time;
        let mut bodies: Vec<(i64, EventBody)> = bodies(detector.handle_sample(&sample), &site);
        for fault in scale.take_faults() {
            tracing::warn!(plate = fault.device, "{}", fault.message);
            bodies.push((sample.time.micros, fault_body(&site.metrics, fault)));
        }
        if !bodies.is_empty() {
            publisher.publish_all(bodies).await?;
        }
        if told.is_none_or(|t| sample.time.seconds_since(t) >= MARK_EVERY_S) {
            if let Some(mark) = detector.watermark() {
                publisher.watermark(mark.micros, false);
            }
            device.tell_status(counters(&detector, scale.counters()));
            told = Some(sample.time);
        }
    }
    let rest = bodies(detector.finish(), &site);
    if !rest.is_empty() {
        publisher.publish_all(rest).await?;
    }
    publisher.watermark(last.micros, true);
    device.tell_status(counters(&detector, scale.counters()));
    tracing::info!(events = detector.counters().events, "the weights have ended");
    if let Err(error) = publisher.wait_acked(LAST_ACK).await {
        tracing::warn!("{error}; the journal keeps them for the next start");
    }
    // The newest watermark is repeated while connected; stay until the floor has gone past the end.
    let mut progress = tap.progress.clone();
    let past = |p: &Option<StoreTime>| p.is_some_and(|p| p >= last);
    let _ = tokio::time::timeout(LAST_ACK, progress.wait_for(past)).await;
    publisher.close().await;
    device.client.close(Duration::from_secs(2)).await;
    Ok(())
}

pub(super) fn bodies(events: Vec<ShelfEvent>, site: &Site) -> Vec<(i64, EventBody)> {
    let layout = &site.store.layout;
    let body = |e: ShelfEvent| (e.end().micros, EventBody::ShelfChanged(convert::shelf_out(&e, layout)));
    events.into_iter().map(body).collect()
}

pub(super) fn counters(
    detector: &ShelfDetector,
    faults: &BTreeMap<&'static str, u64>,
) -> BTreeMap<String, u64> {
    let seen = detector.counters();
    let mut counters = BTreeMap::from([
        ("weights".to_string(), seen.weights),
        ("bad_weights".to_string(), seen.bad_weights),
        ("shelf_events".to_string(), seen.events),
    ]);
    if let Some(noise_g) = detector.noisiest_g() {
        counters.insert("plate_noise_mg".into(), (noise_g * 1e3).round() as u64);
    }
    counters.extend(faults.iter().map(|(name, n)| (format!("fault_{name}"), *n)));
    counters
}
