//! `/metrics` of an agent, in Prometheus' text format (version 0.0.4), and `/healthz`.
//!
//! Every counter that a role tells the bus in its status stands here too, as `linefree_{counter}_total` with the labels
//! `source` and `role`; what is no count but a state ([`GAUGES`]) as the gauge `linefree_{name}`; the device's own gauges as `linefree_device_{gauge}`. `/healthz` answers 200 while every role
//! of this process has told its status within [`SILENT`], else 503 with the names of those that have not.
//!
//! The same freshness feeds systemd's watchdog: an agent that hangs is restarted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use linefree_hardware::fault::Fault;
use linefree_hardware::health::Health;
use tokio::net::TcpListener;

/// A role that has told nothing for this long is not well.
pub(super) const SILENT: Duration = Duration::from_secs(30);

/// What a role tells of its state as it is now.
const GAUGES: [&str; 3] = ["frame_age_ms", "memory_failed", "plate_noise_mg"];

#[derive(Debug)]
struct Told {
    role: &'static str,
    counters: BTreeMap<String, u64>,
    at: Instant,
}

/// What the roles of this process have told, and which faults stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    told: Arc<Mutex<BTreeMap<String, Told>>>,
    standing: Arc<Mutex<BTreeSet<String>>>,
}

impl Metrics {
    /// A role tells its counters.
    pub fn tell(&self, source: &str, role: &'static str, counters: &BTreeMap<String, u64>) {
        let told = Told { role, counters: counters.clone(), at: Instant::now() };
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(source.to_owned(), told);
    }

    /// Has this source told anything yet?
    pub fn has_told(&self, source: &str) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).contains_key(source)
    }

    /// A device is faulty, or well again.
    pub fn fault(&self, fault: &Fault) {
        let name = format!("{}: {}", fault.device, fault.kind.name());
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if fault.cleared {
            standing.remove(&name);
        } else {
            standing.insert(name);
        }
    }

    /// The faults that stand, `device: kind`.
    pub fn standing(&self) -> BTreeSet<String> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those that have told nothing for too long.
    pub fn silent(&self, now: Instant) -> Vec<String> {
        let all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = |told: &Told| now.saturating_duration_since(told.at) > SILENT;
        all.iter().filter(|(_, told)| silent(told)).map(|(source, _)| source.clone()).collect()
    }

    fn text(&self, gauges: &BTreeMap<&'static str, f64>) -> String {
        let all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_name: BTreeMap<&str, Vec<(&str, &Told, u64)>> = BTreeMap::new();
        for (source, told) in all.iter() {
            for (name, value) in &told.counters {
                by_name.entry(name).or_default().push((source, told, *value));
            }
        }
        let mut text = String::new();
        // Writing to a String cannot fail.
        for (name, values) in by_name {
            let (kind, end) = if GAUGES.contains(&name) { ("gauge", "") } else { ("counter", "_total") };
            let name = sound(name);
            let _ = writeln!(text, "# TYPE linefree_{name}{end} {kind}");
            for (source, told, value) in values {
                let source = source.replace(['\\', '"', '\n'], "_");
                let _ = writeln!(
                    text,
                    "linefree_{name}{end}{{source=\"{source}\",role=\"{}\"}} {value}",
                    told.role
                );
            }
        }
        for (name, value) in gauges {
            let _ = writeln!(text, "# TYPE linefree_device_{name} gauge\nlinefree_device_{name} {value}");
        }
        text
    }
}

/// What a metric's name may hold.
fn sound(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

struct Shown {
    metrics: Metrics,
    health: Mutex<Health>,
}

/// Serves until the process ends.
///
/// # Errors
/// When the address cannot be listened on.
pub(super) async fn listen(address: SocketAddr, metrics: Metrics, health: Health) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("--metrics: cannot listen on {address}; is another agent there?"))?;
    let shown = Arc::new(Shown { metrics, health: Mutex::new(health) });
    let app = Router::new().route("/metrics", get(show)).route("/healthz", get(well)).with_state(shown);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(())
}

async fn show(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    let here = Arc::clone(&shown);
    let read = move || here.health.lock().unwrap_or_else(PoisonError::into_inner).read();
    let gauges = tokio::task::spawn_blocking(read).await.unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], shown.metrics.text(&gauges))
}

async fn well(State(shown): State<Arc<Shown>>) -> (StatusCode, String) {
    let silent = shown.metrics.silent(Instant::now());
    if silent.is_empty() {
        return (StatusCode::OK, "well\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("nothing heard of {} for {SILENT:?}\n", silent.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_gauges_are_prometheus_text() {
        let metrics = Metrics::default();
        let shelf = [("weights".into(), 7), ("fault_stuck".into(), 1), ("plate_noise_mg".into(), 310)];
        metrics.tell("shelf-1", "shelf", &BTreeMap::from(shelf));
        metrics.tell(
            "cam\"1",
            "camera",
            &BTreeMap::from([("frames dropped".into(), 3), ("weights".into(), 0)]),
        );
        let text = metrics.text(&BTreeMap::from([("temperature_c", 41.5)]));
        assert!(text.contains("linefree_weights_total{source=\"shelf-1\",role=\"shelf\"} 7\n"), "{text}");
        assert!(
            text.contains("linefree_frames_dropped_total{source=\"cam_1\",role=\"camera\"} 3\n"),
            "{text}"
        );
        assert!(
            text.contains("# TYPE linefree_device_temperature_c gauge\nlinefree_device_temperature_c 41.5\n")
        );
        let noise = "gauge\nlinefree_plate_noise_mg{source=\"shelf-1\",role=\"shelf\"} 310\n";
        assert!(text.contains(noise), "{text}");
        assert_eq!(text.matches("# TYPE linefree_weights_total").count(), 1, "one type line a name");
    }

    #[test]
    fn a_role_that_falls_silent_is_named() {
        let metrics = Metrics::default();
        metrics.tell("shelf-1", "shelf", &BTreeMap::new());
        let now = Instant::now();
        assert!(metrics.silent(now).is_empty());
        assert_eq!(metrics.silent(now + SILENT + Duration::from_secs(1)), ["shelf-1"]);
    }
}
