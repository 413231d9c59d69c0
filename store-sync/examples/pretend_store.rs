//! Shoppers that are made up, over the real bus: for looking at the console without cameras or shelves.
//!
//! ```text
//! cargo run -p store-sync -- serve --config store-sync/examples/corner.toml --data /tmp/corner
//! cargo run -p store-sync --example pretend_store -- store-sync/examples/corner.toml mqtt://127.0.0.1:1883 120
//! ```
//! A fourth argument adds that many people who only walk: for measuring how the map copes with a crowd. Walks, lifts and receipts are invented by a fixed formula; nothing here tests how well the store sees.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use linefree_bus::client::{BusClient, BusConfig, Inbox, Incoming, Outgoing};
use linefree_bus::payload::*;
use linefree_bus::sequenced::{EventPublisher, PublisherOptions};
use linefree_bus::topic::{Subscription, TopicKind};
use linefree_bus::url::BusUrl;
use linefree_domain::ids::PlateIndex;
use linefree_domain::layout::StoreLayout;
use linefree_recording::StoreFile;
use nalgebra::Point2;
use store_sync::clock::wall_us;

const STEP: Duration = Duration::from_millis(100);
const SPEED_M: f64 = 0.11;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

struct Walker {
    number: u32,
    visit: String,
    credential: String,
    entered_us: i64,
    at: Point2<f64>,
    way: Vec<Point2<f64>>,
    /// Plate to take from at the end of the way.
    take: Option<usize>,
    takes_left: usize,
    leaving: bool,
    wait: u32,
    lines: Vec<Line>,
}

struct Device {
    client: BusClient,
    events: EventPublisher,
}

async fn device(url: &BusUrl, store: &str, source: &str, role: &str, dir: &Path) -> anyhow::Result<Device> {
    let status = Status::online(source, role, env!("CARGO_PKG_VERSION"));
    let (client, mut inbox) = BusClient::connect(BusConfig::new(url.clone(), store, status))?;
    tokio::spawn(async move { while inbox.recv().await.is_some() {} });
    let opened =
        EventPublisher::open(&dir.join(source), source, client.clone(), PublisherOptions::default()).await?;
    Ok(Device { client, events: opened.0 })
}

/// Takes part in the roll-out: runs by whatever it is told, at once.
async fn run_by_releases(client: BusClient, mut inbox: Inbox, source: String) {
    let report = |number| {
        Outgoing::InForce(InForce {
            source: source.clone(),
            role: "camera".into(),
            number,
            trial: false,
            refused: None,
        })
    };
    // Nobody to tell is no reason to stop pretending.
    let _ = client.publish(report(0));
    while let Some(message) = inbox.recv().await {
        let Incoming::Wanted(wanted) = message else { continue };
        let release: Option<serde_json::Value> = serde_json::from_str(&wanted.text).ok();
        if wanted.source == source
            && let Some(number) = release.and_then(|r| r["number"].as_u64())
        {
            let _ = client.publish(report(number));
        }
    }
}

/// Around the shelving: out to the nearer side aisle, along it, and in again.
fn way(from: Point2<f64>, to: Point2<f64>) -> Vec<Point2<f64>> {
    if (from.y - to.y).abs() < 0.9 {
        return vec![to];
    }
    let aisle = if from.x + to.x < 12.0 { 1.5 } else { 10.5 };
    vec![Point2::new(aisle, from.y), Point2::new(aisle, to.y), to]
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let (config, url, seconds, crowd) = match args.as_slice() {
        [_, config, url, seconds] => (config, url, seconds, 0),
        [_, config, url, seconds, crowd] => (config, url, seconds, crowd.parse::<u32>()?),
        _ => anyhow::bail!("usage: pretend_store STORE.TOML mqtt://HOST:PORT SECONDS [CROWD]"),
    };
    let layout = StoreFile::read(PathBuf::from(config))?.layout;
    let url = BusUrl::parse(url)?;
    let dir = tempfile::tempdir()?;
    let store = layout.id.to_string();
    let (shelf, gate) = (
        device(&url, &store, "shelf-1", "shelf", dir.path()).await?,
        device(&url, &store, "gate-1", "gate", dir.path()).await?,
    );
    let floor = device(&url, &store, "floor-1", "floor", dir.path()).await?;
    let mut cameras = Vec::new();
    for camera in &layout.cameras {
        let mut status = Status::online(camera.id.as_str(), "camera", env!("CARGO_PKG_VERSION"));
        // The second one needs its lens cleaned.
        let sharp = if cameras.len() == 1 { 41 } else { 98 };
        status.counters.insert("sharpness_percent".into(), sharp);
        status.counters.insert("covered_percent".into(), 0);
        let config = BusConfig::new(url.clone(), &store, status);
        let (client, inbox) = BusClient::connect(config.subscribe(Subscription::all(TopicKind::Wanted)))?;
        tokio::spawn(run_by_releases(client.clone(), inbox, camera.id.to_string()));
        cameras.push(client);
    }
    shelf
        .events
        .publish(
            wall_us(),
            EventBody::DeviceFault(DeviceFault {
                device: "C/1/5".into(),
                fault: "stuck".into(),
                message: "plate C/1/5 has not changed for 20 minutes: is something wedged under it?".into(),
                cleared: false,
            }),
        )
        .await?;

    let mut dice = Dice(7);
    let mut walkers: Vec<Walker> = Vec::new();
    let mut next = 1;
    let steps = seconds.parse::<u32>()? * 10;
    println!("pretending for {seconds} s");
    for step in 0..steps {
        let now = wall_us();
        if walkers.len() < 6 && step % 35 == 0 {
            walkers.push(enter(next, now, &layout, &gate, &floor, &mut dice).await?);
            next += 1;
        }
        let mut gone = Vec::new();
        for (i, w) in walkers.iter_mut().enumerate() {
            if walk(w, now, &layout, &shelf, &floor, &mut dice).await? {
                leave(w, now, &layout, &gate, &floor).await?;
                gone.push(i);
            }
        }
        for i in gone.into_iter().rev() {
            walkers.remove(i);
        }
        let shoppers = walkers.iter().map(|w| ShopperPosition {
            shopper: w.number,
            visit: Some(w.visit.clone()),
            at: [w.at.x, w.at.y],
            radius_m: 0.25 + 0.2 * f64::from(w.number % 3),
        });
        // Everybody of the crowd goes round in a circle of their own.
        let strolling = (0..crowd).map(|i| {
            let (turn, size) = (f64::from(step) * 0.02 + f64::from(i), 0.5 + f64::from(i % 7) * 0.2);
            let [x, y] = [1.0 + f64::from(i % 40) * 0.25, 1.0 + f64::from(i / 40) * 0.25];
            ShopperPosition {
                shopper: 1000 + i,
                visit: None,
                at: [x + turn.cos() * size, y + turn.sin() * size],
                radius_m: 0.3,
            }
        });
        let message = Shoppers { time_us: now, shoppers: shoppers.chain(strolling).collect() };
        floor.client.publish(Outgoing::Shoppers { source: "floor-1".into(), shoppers: message })?;
        for d in [&shelf, &gate, &floor] {
            d.events.watermark(now, false);
        }
        tokio::time::sleep(STEP).await;
    }
    Ok(())
}

async fn enter(
    number: u32,
    now: i64,
    layout: &StoreLayout,
    gate: &Device,
    floor: &Device,
    dice: &mut Dice,
) -> anyhow::Result<Walker> {
    let visit = format!("visit-{now}-{number}");
    let credential = format!("app-{:04}", 1000 + (number * 2_731) % 9000);
    let door = layout.gates.first().ok_or_else(|| anyhow::anyhow!("the store has no gate"))?;
    let pass = GatePassed {
        gate: door.id.to_string(),
        direction: GateDirection::Entry,
        credential: Some(credential.clone()),
        party: 1,
    };
    gate.events.publish(now, EventBody::GatePassed(pass)).await?;
    let opened = VisitOpened { visit: visit.clone(), credential: Some(credential.clone()), party: 1 };
    floor.events.publish(now, EventBody::VisitOpened(opened)).await?;
    let at = door.segment.middle();
    Ok(Walker {
        number,
        visit,
        credential,
        entered_us: now,
        at,
        way: vec![Point2::new(at.x, 1.1)],
        take: None,
        takes_left: 1 + dice.below(4),
        leaving: false,
        wait: 0,
        lines: Vec::new(),
    })
}

/// One step; true when the walker has reached the exit.
async fn walk(
    w: &mut Walker,
    now: i64,
    layout: &StoreLayout,
    shelf: &Device,
    floor: &Device,
    dice: &mut Dice,
) -> anyhow::Result<bool> {
    if w.wait > 0 {
        w.wait -= 1;
        return Ok(false);
    }
    if let Some(goal) = w.way.first() {
        let rest = goal - w.at;
        if rest.norm() > SPEED_M {
            w.at += rest.normalize() * SPEED_M;
        } else {
            w.at = *goal;
            w.way.remove(0);
        }
        return Ok(false);
    }
    if w.leaving {
        return Ok(true);
    }
    if let Some(plate) = w.take.take() {
        take(w, plate, now, layout, shelf, floor, dice).await?;
        w.wait = 12;
    } else if w.takes_left > 0 {
        w.takes_left -= 1;
        let plate = dice.below(layout.plates.len());
        let p = &layout.plates[plate];
        let facing = layout.gondolas[p.gondola].facing();
        let centre = Point2::new(p.centre.x, p.centre.y);
        w.way = way(w.at, centre + facing * 0.75);
        w.take = Some(plate);
    } else {
        let door = layout.gates.last().ok_or_else(|| anyhow::anyhow!("the store has no gate"))?;
        w.way = way(w.at, Point2::new(door.segment.middle().x, 1.1));
        w.way.push(door.segment.middle());
        w.leaving = true;
    }
    Ok(false)
}

async fn take(
    w: &mut Walker,
    plate: usize,
    now: i64,
    layout: &StoreLayout,
    shelf: &Device,
    floor: &Device,
    dice: &mut Dice,
) -> anyhow::Result<()> {
    let Some(product) = layout.products_on(PlateIndex(plate)).next() else { return Ok(()) };
    let product = &layout.products[product.0];
    let (delta_g, sd_g) = (-product.weight.mean_g, 2.5);
    let (start_us, end_us) = (now - 1_500_000, now);
    let part = PlateDelta { plate: layout.plates[plate].id.to_string(), delta_g, sd_g, start_us, end_us };
    let changed = ShelfChanged { plates: vec![part], delta_g, sd_g, start_us, end_us };
    let event = shelf.events.publish(now, EventBody::ShelfChanged(changed)).await?;
    let probability = 0.72 + 0.279 * (dice.below(100) as f64 / 100.0).sqrt();
    let attributed = ItemAttributed {
        shelf_source: event.source,
        shelf_epoch: event.epoch,
        shelf_seq: event.seq,
        candidates: vec![
            Candidate {
                visit: Some(w.visit.clone()),
                sku: Some(product.sku.to_string()),
                quantity: 1,
                probability,
            },
            Candidate { visit: None, sku: None, quantity: 0, probability: 1.0 - probability },
        ],
    };
    floor.events.publish(now, EventBody::ItemAttributed(attributed)).await?;
    match w.lines.iter_mut().find(|l| l.sku == product.sku.as_str()) {
        Some(line) => line.quantity += 1,
        None => w.lines.push(Line {
            sku: product.sku.to_string(),
            name: product.name.clone(),
            quantity: 1,
            unit_price_minor: product.price.minor,
            probability,
            review: probability < 0.85,
        }),
    }
    let cart = CartChanged { visit: w.visit.clone(), lines: w.lines.clone() };
    floor.events.publish(now, EventBody::CartChanged(cart)).await?;
    Ok(())
}

async fn leave(
    w: &Walker,
    now: i64,
    layout: &StoreLayout,
    gate: &Device,
    floor: &Device,
) -> anyhow::Result<()> {
    let door = layout.gates.last().ok_or_else(|| anyhow::anyhow!("the store has no gate"))?;
    let pass =
        GatePassed { gate: door.id.to_string(), direction: GateDirection::Exit, credential: None, party: 1 };
    gate.events.publish(now, EventBody::GatePassed(pass)).await?;
    let sum = |review: bool| {
        w.lines
            .iter()
            .filter(|l| l.review == review)
            .map(|l| l.unit_price_minor * i64::from(l.quantity))
            .sum()
    };
    let closed = VisitClosed {
        visit: w.visit.clone(),
        credential: Some(w.credential.clone()),
        entered_us: w.entered_us,
        left_us: now,
        currency: layout.currency.to_string(),
        lines: w.lines.clone(),
        charge_minor: sum(false),
        in_review_minor: sum(true),
    };
    floor.events.publish(now, EventBody::VisitClosed(closed)).await?;
    Ok(())
}
