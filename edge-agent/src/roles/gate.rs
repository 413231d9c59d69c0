//! The gate role: who entered and left, numbered and journalled.

use std::time::Duration;

use linefree_bus::payload::EventBody;
use linefree_domain::time::StoreTime;

use super::device::{Device, progress_subscription, tap_progress};
use super::pace::Pacer;
use super::{Role, Site, live_gate};
use crate::convert;
use crate::replay::gate_of;

/// Gates are silent for long; a watermark says so this often, seconds of event time.
const MARK_EVERY_S: f64 = 0.5;
const LAST_ACK: Duration = Duration::from_secs(60);

pub(super) async fn run(site: Site) -> anyhow::Result<()> {
    let source = format!("gate-{}", site.options.number);
    let Some(recording) = &site.recording else { return live_gate::run(Site::clone(&site), source).await };
    let (device, inbox) = Device::connect(&site, source, Role::Gate, &[progress_subscription()])?;
    let tap = tap_progress(inbox);
    let publisher = device.publisher(&site).await?;
    let mut pacer = Pacer::new(site.pace, recording.manifest.start, tap.progress.clone());
    let mut lines = recording.gates()?.into_iter().peekable();
    let mut passed = 0;
    let end = recording.manifest.end();
    let mut now = recording.manifest.start;
    while now < end || lines.peek().is_some() {
        now = now.plus_s(MARK_EVERY_S);
        pacer.until(now).await;
        let mut bodies = Vec::new();
        while let Some(line) = lines.next_if(|l| l.time <= now) {
            let body = EventBody::GatePassed(convert::gate_out(&gate_of(&line), &site.store.layout));
            bodies.push((line.time.micros, body));
        }
        if !bodies.is_empty() {
            passed += bodies.len() as u64;
            publisher.publish_all(bodies).await?;
            device.tell_status([("gates_passed".to_string(), passed)].into());
        }
        publisher.watermark(now.micros, false);
    }
    publisher.watermark(now.micros, true);
    device.tell_status([("gates_passed".to_string(), passed)].into());
    if let Err(error) = publisher.wait_acked(LAST_ACK).await {
        tracing::warn!("{error}; the journal keeps them for the next start");
    }
    let mut progress = tap.progress.clone();
    let past = |p: &Option<StoreTime>| p.is_some_and(|p| p >= end);
    let _ = tokio::time::timeout(LAST_ACK, progress.wait_for(past)).await;
    publisher.close().await;
    device.client.close(Duration::from_secs(2)).await;
    Ok(())
}
