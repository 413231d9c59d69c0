//! A chain of a thousand stores on one trunk: how much goes through, how late it is, and what an outage of an hour does.
//!
//! ```text
//! nats-server -js -sd /tmp/fleet -a 127.0.0.1 -p 4222 &
//! cargo run -p store-sync --example fleet -- --trunk nats://127.0.0.1:4222/fleet docs/images/fleet.svg
//! ```
//! Real: the NATS server, the way of each store's batches into the stream (one message a batch, the next after the
//! acknowledgement), the two lanes, and the reference cloud that reads the stream into SQLite. Made up: the stores' events,
//! which happen at an even rate and come from memory instead of a ledger each. A store's first act is to come back after
//! its outage; an event's lag is from when it happened until the stream has it. Prints a table
//! and draws a picture.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use linefree_bus::payload::*;
use store_sync::cloud::event::CloudEvent;
use store_sync::cloud::receive::CloudEvents;
use store_sync::cloud::trunk::{SharedEvents, read};
use store_sync::ledger::StoredEvent;
use store_sync::outbox::lanes::{Lanes, Send as Wanted};
use store_sync::outbox::nats::{Coverage, StoreLane, TrunkUrl};
use uuid::Uuid;

#[derive(Parser)]
struct Args {
    /// The trunk: nats://host:port/chain. Its stream should be empty.
    #[arg(long)]
    trunk: String,
    #[arg(long, default_value_t = 1000)]
    stores: u16,
    /// Events a second of each store.
    #[arg(long, default_value_t = 0.2)]
    rate: f64,
    /// How long the stores were away.
    #[arg(long, default_value_t = 3600.0)]
    outage_s: f64,
    /// How long it is watched.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Connections that the stores share, as leaf nodes would.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// The picture.
    svg: Option<std::path::PathBuf>,
}

/// What all stores report to.
#[derive(Default)]
struct Tally {
    /// In the stream.
    delivered: u64,
    /// Lags of events that happened after the stores came back, with the second of their arrival.
    lags: Vec<(f64, f64)>,
    /// Failed attempts by their cause, numbers left out.
    failures: BTreeMap<String, u64>,
}

struct Store {
    name: String,
    ledger: Uuid,
    epoch: Uuid,
    rate: f64,
    /// Event `n` happened this long before or after the start, with the stores' starts spread over one interval.
    begin_s: f64,
}

impl Store {
    fn time_s(&self, seq: u64) -> f64 {
        self.begin_s + seq as f64 / self.rate
    }

    /// The last event that has happened.
    fn end(&self, now_s: f64) -> u64 {
        ((now_s - self.begin_s) * self.rate).floor().max(0.0) as u64
    }

    fn batch(&self, wanted: Wanted, page: u64) -> Result<(Vec<u8>, u64), serde_json::Error> {
        let last = wanted.until.min(wanted.after + page);
        let event = |seq: u64| {
            let line = Line {
                sku: "4006381333931".into(),
                name: "Highlighter".into(),
                quantity: 1,
                unit_price_minor: 199,
                probability: 0.97,
                review: false,
            };
            let body =
                EventBody::CartChanged(CartChanged { visit: format!("v{}", seq / 12), lines: vec![line; 3] });
            let time_us = 1_769_639_040_000_000 + (self.time_s(seq) * 1e6) as i64;
            let event = Event { source: "floor-1".into(), epoch: self.epoch, seq, time_us, body };
            CloudEvent::new(
                &self.name,
                self.ledger,
                &StoredEvent { ledger_seq: seq, received_us: time_us, event },
            )
        };
        let events: Result<Vec<_>, _> = (wanted.after + 1..=last).map(event).collect();
        Ok((serde_json::to_vec(&events?)?, last))
    }

    async fn run(
        self,
        url: TrunkUrl,
        client: async_nats::Client,
        began: Instant,
        until_s: f64,
        tally: Arc<Mutex<Tally>>,
    ) {
        const PAGE: u64 = 500;
        let mut lanes = Lanes::new(0);
        let mut has = Coverage::of(self.ledger, 0);
        let mut lane: Option<StoreLane> = None;
        loop {
            let now_s = began.elapsed().as_secs_f64();
            if now_s > until_s {
                return;
            }
            let Some(wanted) = lanes.next(self.end(now_s), PAGE) else {
                let next_s = self.time_s(self.end(now_s) + 1) - now_s;
                tokio::time::sleep(Duration::from_secs_f64(next_s.clamp(0.005, 1.0))).await;
                continue;
            };
            let sent = async {
                let way = match lane.take() {
                    Some(way) => way,
                    None => StoreLane::open(&url, client.clone(), &self.name, has.clone()).await?,
                };
                let way = lane.insert(way);
                let (batch, last) = self
                    .batch(wanted, PAGE)
                    .map_err(|e| store_sync::outbox::DeliveryError::Nonsense(e.to_string()))?;
                Ok::<_, store_sync::outbox::DeliveryError>((way.deliver(&batch).await?, last))
            };
            let result = sent.await;
            let arrived_s = began.elapsed().as_secs_f64();
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok((reached, last)) => {
                    tally.delivered += last - wanted.after;
                    for seq in wanted.after + 1..=last {
                        if self.time_s(seq) >= 0.0 {
                            tally.lags.push((arrived_s, arrived_s - self.time_s(seq)));
                        }
                    }
                    lanes.on_answer(wanted, last, reached);
                }
                Err(e) => {
                    let cause = e.to_string().chars().filter(|c| !c.is_ascii_digit()).collect();
                    *tally.failures.entry(cause).or_default() += 1;
                    lanes.on_failure(wanted);
                    if let Some(way) = lane.take() {
                        has = way.has();
                    }
                }
            }
        }
    }
}

fn percentile(sorted: &[f64], p: f64) -> f64 {
    sorted.get(((sorted.len() as f64 - 1.0) * p).round() as usize).copied().unwrap_or(f64::NAN)
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(fleet(args))
}

async fn fleet(args: Args) -> anyhow::Result<()> {
    let url = TrunkUrl::parse(&args.trunk)?;
    let data = std::env::temp_dir().join(format!("linefree-fleet-{}", std::process::id()));
    std::fs::create_dir_all(&data)?;
    let cloud: SharedEvents = Arc::new(Mutex::new(CloudEvents::open(&data.join("cloud.sqlite"))?));
    let taken = Arc::clone(&cloud);
    let (reader_url, reader) = (url.clone(), url.connect("reader", None).await?);
    tokio::spawn(async move { read(&reader_url, reader, taken).await });
    let mut clients = Vec::new();
    for n in 0..args.connections.max(1) {
        clients.push(url.connect(&format!("leaf-{n}"), None).await?);
    }
    let tally = Arc::new(Mutex::new(Tally::default()));
    let (began, until_s) = (Instant::now(), args.seconds as f64);
    for n in 0..args.stores {
        let store = Store {
            name: format!("store-{n:04}"),
            ledger: Uuid::now_v7(),
            epoch: Uuid::now_v7(),
            rate: args.rate,
            begin_s: -args.outage_s + f64::from(n) / f64::from(args.stores) / args.rate,
        };
        let client = clients[usize::from(n) % clients.len()].clone();
        tokio::spawn(store.run(url.clone(), client, began, until_s, Arc::clone(&tally)));
    }
    let backlog = (f64::from(args.stores) * args.rate * args.outage_s) as u64;
    println!("{} stores, {} events/s each, {backlog} events behind", args.stores, args.rate);
    println!(
        "\n| second | events behind | into the stream, events/s | lag p50 (s) | p95 (s) | p99 (s) | longest (s) | in the cloud's database |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let (step_s, mut before, mut curve) = ((args.seconds / 12).max(1), 0, Vec::new());
    for second in (step_s..=args.seconds).step_by(step_s as usize) {
        tokio::time::sleep_until((began + Duration::from_secs(second)).into()).await;
        let (delivered, lags) = {
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            (tally.delivered, std::mem::take(&mut tally.lags))
        };
        let happened = backlog + (f64::from(args.stores) * args.rate * second as f64) as u64;
        let behind = happened.saturating_sub(delivered);
        let mut lags: Vec<f64> = lags.into_iter().map(|(_, lag)| lag).collect();
        lags.sort_by(f64::total_cmp);
        let rate = (delivered - before) / step_s;
        before = delivered;
        let shared = Arc::clone(&cloud);
        let stored: u64 = tokio::task::spawn_blocking(move || {
            let stores = shared.lock().unwrap_or_else(PoisonError::into_inner).stores().unwrap_or_default();
            stores.iter().filter_map(|s| s["events"].as_u64()).sum()
        })
        .await?;
        let [p50, p95, p99, longest] = [0.5, 0.95, 0.99, 1.0].map(|p| percentile(&lags, p));
        println!(
            "| {second} | {behind} | {rate} | {p50:.3} | {p95:.3} | {p99:.3} | {longest:.3} | {stored} |"
        );
        curve.push((second as f64, behind as f64, stored as f64));
    }
    let failures = std::mem::take(&mut tally.lock().unwrap_or_else(PoisonError::into_inner).failures);
    println!("\nfailed attempts, all made again: {}", failures.values().sum::<u64>());
    for (cause, count) in failures {
        println!("{count} times: {cause}");
    }
    if let Some(path) = &args.svg {
        std::fs::write(path, svg(backlog as f64, &curve)).with_context(|| path.display().to_string())?;
    }
    let _ = std::fs::remove_dir_all(&data);
    Ok(())
}

/// Events that the stream lacks, and events in the database, over time.
fn svg(backlog: f64, curve: &[(f64, f64, f64)]) -> String {
    let (width, height, left, bottom) = (720.0, 320.0, 80.0, 40.0);
    let last_s = curve.last().map_or(1.0, |c| c.0);
    let top = curve.iter().fold(backlog, |m, c| m.max(c.1).max(c.2)) * 1.05;
    let x = |s: f64| left + s / last_s * (width - left - 20.0);
    let y = |n: f64| height - bottom - n / top * (height - bottom - 20.0);
    let line = |start: f64, of: &dyn Fn(&(f64, f64, f64)) -> f64| {
        curve.iter().fold(format!("{:.1},{:.1}", x(0.0), y(start)), |mut text, c| {
            let _ = write!(text, " {:.1},{:.1}", x(c.0), y(of(c)));
            text
        })
    };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for n in 0..=4 {
        let value = top * f64::from(n) / 4.0;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text><line x1=\"{left}\" x2=\"{}\" y1=\"{:.1}\" \
             y2=\"{:.1}\" stroke=\"#ddd\"/>",
            left - 6.0,
            y(value) + 4.0,
            width - 20.0,
            y(value),
            y(value)
        );
    }
    let _ = writeln!(
        out,
        "<polyline fill=\"none\" stroke=\"#c0392b\" stroke-width=\"2\" points=\"{}\"/>\n<polyline fill=\"none\" \
         stroke=\"#2c6fbb\" stroke-width=\"2\" points=\"{}\"/>",
        line(backlog, &|c| c.1),
        line(0.0, &|c| c.2)
    );
    let _ = writeln!(
        out,
        "<text x=\"{left}\" y=\"{0}\">0</text><text x=\"{1}\" y=\"{0}\" text-anchor=\"end\">{last_s:.0} s after coming \
         back</text>\n<text x=\"{2}\" y=\"14\" fill=\"#c0392b\">events that the stream lacks</text>\n<text x=\"{3}\" \
         y=\"14\" fill=\"#2c6fbb\">events in the cloud's database</text>\n</svg>",
        height - 14.0,
        width - 20.0,
        left + 10.0,
        left + 220.0
    );
    out
}
