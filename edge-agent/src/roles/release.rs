//! What this process runs by: its own store.toml, or a release of the store's server in its place.
//!
//! A release comes over the bus, signed and whole. What is not signed by the store's release key, is older than what was
//! seen, is of another store, does not parse, or names a model that is not here, is **refused** and the reason told; nothing
//! changes. What is taken is written down, and the process begins anew with it, **on trial**: for so long as the release
//! says, every role must tell its status, none may end or fall silent, and no fault may stand that did not stand before.
//! Then it stays. Else the process goes **back** to what it ran by before and tells why. A process that dies on trial
//! goes back when it is started for the third time: one power cut is not the release's fault.
//!
//! Files, in `release/` of the data folder: `state.json` and `{number}.json`, each replaced whole. The release's signature
//! is checked again at every start. `[bus]`, `[server]` and `[cloud]` stay those of the device's own store.toml.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use linefree_bus::client::{BusClient, Outgoing};
use linefree_bus::durable;
use linefree_bus::payload::{InForce, RefusedRelease, Wanted};
use linefree_bus::release::{Release, ReleaseChanges, ReleaseKey};
use linefree_domain::ids::{PlateIndex, ProductIndex, Sku};
use linefree_domain::layout::{Facing, ItemWeight, Product};
use linefree_domain::units::Money;
use linefree_recording::{StoreFile, default_sd_g};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Role;
use super::metrics::Metrics;
use crate::paths;

/// A process that began a trial so often and did not end it goes back.
const STARTS_MAX: u32 = 2;

/// What is in force is told this often, and whenever it changes.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Longest reason that is told, characters.
const REASON_CHARS: usize = 500;

/// What is kept on disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct State {
    /// The greatest number that was ever decided about.
    highest: u64,
    /// What passed its trial; `None` for the device's own store.toml.
    in_force: Option<u64>,
    trial: Option<Trial>,
    refused: Option<(u64, String)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Trial {
    number: u64,
    /// How often the process was started with it.
    starts: u32,
    /// Faults that stood before.
    faults: BTreeSet<String>,
}

/// The releases of a process.
#[derive(Debug, Clone)]
pub(crate) struct Releases(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    key: ReleaseKey,
    own: StoreFile,
    /// Where relative paths of a release's store.toml begin.
    config: PathBuf,
    watches_cameras: bool,
    /// What this process runs by since it began, and the store that it makes; `None` for its own.
    current: Option<(Release, StoreFile)>,
    state: Mutex<State>,
    sources: Mutex<BTreeSet<String>>,
    /// Rung when there is something to tell.
    news: watch::Sender<u64>,
    /// Becomes true when the process is to begin anew.
    anew: watch::Sender<bool>,
}

impl Releases {
    /// Finds out what this process runs by; `own` is its own store.toml, which lies at `config`.
    ///
    /// # Errors
    /// When the key or the folder cannot be used. A release that cannot is refused instead.
    pub fn open(
        folder: PathBuf,
        key: ReleaseKey,
        config: &Path,
        own: StoreFile,
        roles: &[Role],
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let path = folder.join("state.json");
        let mut state: State = if path.exists() {
            serde_json::from_str(&paths::read_text(&path)?)
                .with_context(|| format!("{} is damaged: remove it to begin anew", path.display()))?
        } else {
            State::default()
        };
        let mut inner = Inner {
            folder,
            key,
            own,
            config: config.to_owned(),
            watches_cameras: roles.contains(&Role::Camera),
            current: None,
            state: Mutex::default(),
            sources: Mutex::default(),
            news: watch::Sender::new(0),
            anew: watch::Sender::new(false),
        };
        if let Some(trial) = &mut state.trial {
            trial.starts += 1;
            let number = trial.number;
            if trial.starts > STARTS_MAX {
                state.give_up(number, "it never came to the end of its trial: the process died with it");
            } else {
                match inner.load(number) {
                    Ok(loaded) => inner.current = Some(loaded),
                    Err(e) => state.give_up(number, &format!("{e:#}")),
                }
            }
        }
        if let (None, Some(number)) = (&state.trial, state.in_force) {
            match inner.load(number) {
                Ok(loaded) => inner.current = Some(loaded),
                Err(e) => {
                    // Its own store.toml is what is left, until the server's retained message brings the release again.
                    state.refused = Some((0, cut(&format!("release {number} on disk: {e:#}"))));
                    state.in_force = None;
                }
            }
        }
        inner.write(&state)?;
        inner.state = Mutex::new(state);
        Ok(Self(Arc::new(inner)))
    }

    /// The store as it is in force.
    pub fn store(&self) -> StoreFile {
        self.0.current.as_ref().map_or(&self.0.own, |(_, store)| store).clone()
    }

    /// Becomes true when the process is to begin anew.
    pub fn anew(&self) -> watch::Receiver<bool> {
        self.0.anew.subscribe()
    }

    /// A role's connection: tells over it what is in force, and listens to what is wanted.
    pub fn follow(&self, source: &str, role: Role, client: &BusClient, metrics: &Metrics) {
        self.0.sources().insert(source.to_owned());
        let (here, source, client) = (self.clone(), source.to_owned(), client.clone());
        let metrics = metrics.clone();
        let mut wanted = match client.hear_wanted() {
            Ok(wanted) => wanted,
            Err(e) => {
                tracing::warn!(source, "releases cannot be listened to: {e}");
                return;
            }
        };
        tokio::spawn(async move {
            let mut news = here.0.news.subscribe();
            let mut due = tokio::time::interval(TELL_EVERY);
            loop {
                tokio::select! {
                    _ = due.tick() => {}
                    changed = news.changed() => if changed.is_err() { return },
                    changed = wanted.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        let asked = wanted.borrow_and_update().clone();
                        if let Some(asked) = asked {
                            let (here, faults) = (here.clone(), metrics.standing());
                            // Reads and hashes files.
                            let _ = tokio::task::spawn_blocking(move || here.consider(&asked, faults)).await;
                        }
                    }
                }
                let report = here.0.state().report(&source, role);
                // Retained and remembered by the client: a full queue only delays it.
                let _ = client.publish(Outgoing::InForce(report));
            }
        });
    }

    /// Decides about a release that is wanted.
    fn consider(&self, wanted: &Wanted, standing: BTreeSet<String>) {
        let inner = &self.0;
        let store = inner.own.layout.id.as_str();
        let release = inner.key.open(wanted, store);
        let mut state = inner.state();
        let mut next = state.clone();
        match release {
            Err(e) => next.refused = Some((0, cut(&e.to_string()))),
            Ok(release) if !next.is_news(release.number) => return,
            Ok(release) => {
                let number = release.number;
                next.highest = number;
                let taken = inner.check(&release).and_then(|()| inner.keep(number, wanted));
                match taken {
                    Err(e) => next.refused = Some((number, cut(&format!("{e:#}")))),
                    // The same content under a new number, as after a way back: nothing to try.
                    Ok(()) if next.trial.is_none() && inner.runs_by(&release) => next.in_force = Some(number),
                    Ok(()) => next.trial = Some(Trial { number, starts: 0, faults: standing }),
                }
            }
        }
        if next == *state {
            return;
        }
        if let Err(e) = inner.write(&next) {
            tracing::error!("what is to be run by cannot be written down, so it stays as it is: {e:#}");
            return;
        }
        if let Some((number, reason)) = next.refused.as_ref().filter(|r| state.refused.as_ref() != Some(r)) {
            tracing::warn!(number, "release refused: {reason}");
        }
        let begins = next.trial != state.trial && next.trial.is_some();
        *state = next;
        drop(state);
        self.tell_news();
        if begins {
            tracing::info!("a release is to be tried: beginning anew");
            inner.anew.send_replace(true);
        }
    }

    fn tell_news(&self) {
        self.0.news.send_modify(|n| *n += 1);
    }

    /// Watches the trial, if there is one, until it ends: passed, or the process is to begin anew without it.
    pub async fn watch_trial(self, metrics: Metrics) {
        let Some(trial) = self.0.state().trial.clone() else { return };
        let Some((release, _)) = &self.0.current else { return };
        let until = Instant::now() + Duration::from_secs(u64::from(release.trial_s));
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tick.tick().await;
            let now = Instant::now();
            let silent = metrics.silent(now);
            if !silent.is_empty() {
                self.fail(&format!("{} fell silent", silent.join(", ")));
                return;
            }
            if now >= until {
                break;
            }
        }
        let mute: Vec<String> =
            self.0.sources().iter().filter(|source| !metrics.has_told(source)).cloned().collect();
        let new: Vec<String> = metrics.standing().difference(&trial.faults).cloned().collect();
        if !mute.is_empty() {
            self.fail(&format!("{} told nothing during the trial", mute.join(", ")));
        } else if !new.is_empty() {
            self.fail(&format!("faults that were not there before: {}", new.join("; ")));
        } else {
            let mut state = self.0.state();
            let passed = State { in_force: Some(trial.number), trial: None, refused: None, ..state.clone() };
            if let Err(e) = self.0.write(&passed) {
                tracing::error!("that the release passed its trial cannot be written down: {e:#}");
                return;
            }
            *state = passed;
            drop(state);
            self.0.tidy(trial.number);
            tracing::info!(number = trial.number, "the release has passed its trial and stays");
            self.tell_news();
        }
    }

    /// Ends the trial, if there is one, and has the process begin anew with what was before. Was there one?
    pub fn fail(&self, why: &str) -> bool {
        let mut state = self.0.state();
        let Some(trial) = state.trial.clone() else { return false };
        state.give_up(trial.number, why);
        tracing::error!(number = trial.number, "the release has failed its trial: {why}; going back");
        if let Err(e) = self.0.write(&state) {
            // The count of starts ends the trial, if nothing else does.
            tracing::error!("that the release failed cannot be written down: {e:#}");
        }
        drop(state);
        self.tell_news();
        self.0.anew.send_replace(true);
        true
    }
}

impl State {
    fn running(&self) -> Option<u64> {
        self.trial.as_ref().map(|t| t.number).or(self.in_force)
    }

    fn give_up(&mut self, number: u64, why: &str) {
        self.trial = None;
        self.refused = Some((number, cut(why)));
    }

    /// Is there anything to decide? An older number never counts; the greatest one does when it was lost.
    fn is_news(&self, number: u64) -> bool {
        let known =
            self.running() == Some(number) || self.refused.as_ref().is_some_and(|(n, _)| *n == number);
        number > self.highest || (number == self.highest && !known)
    }

    fn report(&self, source: &str, role: Role) -> InForce {
        InForce {
            source: source.to_owned(),
            role: role.name().to_owned(),
            number: self.running().unwrap_or(0),
            trial: self.trial.is_some(),
            refused: self.refused.clone().map(|(number, reason)| RefusedRelease { number, reason }),
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sources(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}.json"))
    }

    fn write(&self, state: &State) -> anyhow::Result<()> {
        replace(&self.folder.join("state.json"), &serde_json::to_string_pretty(state)?)
    }

    fn keep(&self, number: u64, wanted: &Wanted) -> anyhow::Result<()> {
        replace(&self.file(number), &serde_json::to_string(wanted)?)
    }

    /// A release from disk, checked as if it had just come.
    fn load(&self, number: u64) -> anyhow::Result<(Release, StoreFile)> {
        let path = self.file(number);
        let wanted: Wanted = serde_json::from_str(&paths::read_text(&path)?)
            .with_context(|| format!("{} is damaged", path.display()))?;
        let release = self.key.open(&wanted, self.own.layout.id.as_str())?;
        let store = self.applied(&release)?;
        Ok((release, store))
    }

    /// Files of other releases than the one in force are of no use any more.
    fn tidy(&self, number: u64) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        let keep = [PathBuf::from(format!("{number}.json")), PathBuf::from("state.json")];
        for entry in entries.flatten().filter(|e| !keep.contains(&PathBuf::from(e.file_name()))) {
            let _ = std::fs::remove_file(entry.path());
        }
    }

    fn runs_by(&self, release: &Release) -> bool {
        let alike = |r: &Release| r.store_toml == release.store_toml && r.changes == release.changes;
        self.current.as_ref().is_some_and(|(current, _)| alike(current))
    }

    fn check(&self, release: &Release) -> anyhow::Result<()> {
        self.applied(release)?;
        let Some(model) = release.changes.model.as_ref().filter(|_| self.watches_cameras) else {
            return Ok(());
        };
        let registry = paths::registry()?;
        let known = registry.manifest().model(&model.model)?;
        if known.sha256 != model.sha256.to_ascii_lowercase() {
            bail!(
                "model {:?} here has SHA-256 {}, the release wants {}: bring it with `edge-agent models activate`",
                model.model,
                known.sha256,
                model.sha256
            );
        }
        registry.path(&model.model).map(drop).with_context(|| format!("model {:?}", model.model))
    }

    /// The store of a release.
    fn applied(&self, release: &Release) -> anyhow::Result<StoreFile> {
        let mut store = StoreFile::parse(&self.config, &release.store_toml)
            .with_context(|| format!("the store.toml of release {}", release.number))?;
        if store.layout.id != self.own.layout.id {
            bail!("the store.toml of release {} is of store {}", release.number, store.layout.id);
        }
        store.live.bus = self.own.live.bus.clone();
        store.live.server = self.own.live.server.clone();
        store.live.cloud = self.own.live.cloud.clone();
        change(&mut store, &release.changes)?;
        Ok(store)
    }
}

fn change(store: &mut StoreFile, changes: &ReleaseChanges) -> anyhow::Result<()> {
    for product in &changes.products {
        let Some(own) = store.layout.products.iter_mut().find(|p| p.sku.as_str() == product.sku) else {
            // Without a price nobody can be told what it costs: it stays unknown, and a planogram that names it is refused.
            if let Some(minor) = product.unit_price_minor {
                store.layout.products.push(Product {
                    sku: Sku::new(&product.sku).with_context(|| format!("catalogue: {:?}", product.sku))?,
                    name: product.name.clone(),
                    price: Money::from_minor(minor),
                    weight: ItemWeight { mean_g: product.weight_g, sd_g: default_sd_g(product.weight_g) },
                });
            }
            continue;
        };
        let spread = own.weight.sd_g / own.weight.mean_g;
        product.name.clone_into(&mut own.name);
        own.weight.mean_g = product.weight_g;
        own.weight.sd_g = spread * product.weight_g;
    }
    if let Some(facings) = &changes.facings {
        let by_sku: BTreeMap<&str, ProductIndex> = store
            .layout
            .products
            .iter()
            .enumerate()
            .map(|(i, p)| (p.sku.as_str(), ProductIndex(i)))
            .collect();
        let plate = |id: &String| {
            let found = store.layout.plates.iter().position(|p| p.id.to_string() == *id);
            found.map(PlateIndex).with_context(|| format!("planogram: this store has no plate {id:?}"))
        };
        let planned = facings.iter().map(|facing| {
            let product = by_sku.get(facing.sku.as_str()).copied();
            Ok(Facing {
                product: product.with_context(|| {
                    format!(
                        "planogram: neither store.toml nor the priced catalogue has product {:?}",
                        facing.sku
                    )
                })?,
                plates: facing.plates.iter().map(plate).collect::<anyhow::Result<_>>()?,
                count: None,
            })
        });
        store.layout.facings = planned.collect::<anyhow::Result<_>>()?;
    }
    if let Some(least) = changes.review_below {
        store.live.policy.review_below = least;
    }
    if let Some(model) = &changes.model {
        model.model.clone_into(&mut store.live.detector.model);
    }
    Ok(())
}

fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    durable::replace(path, text).with_context(|| format!("write {}", path.display()))
}

fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_CHARS).collect()
}

/// Begins this process anew, as it was called: the same number, no thread or file of before.
///
/// # Errors
/// When the system does not let it; else it does not return.
pub(super) fn begin_anew() -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt as _;
    // Also when the program was upgraded meanwhile: this one goes on until it is restarted.
    let mut called = std::env::args_os();
    let name = called.next().unwrap_or_else(|| "edge-agent".into());
    let error = std::process::Command::new("/proc/self/exe").arg0(name).args(called).exec();
    Err(error).context("begin anew with another release")
}

#[cfg(test)]
mod tests {
    use linefree_bus::release::{ReleasedFacing, ReleasedProduct};

    use super::*;

    const STORE: &str = r#"format = 1
[store]
id = "live"
name = "Live"
timezone = "Europe/Berlin"
currency = "EUR"
floor = [[0, 0], [6, 0], [6, 4], [0, 4]]
[[gondola]]
id = "1"
origin = [0, 2, 0]
yaw_deg = 0
[[gondola.shelf]]
id = "1"
height_m = 1.2
plates = [{ id = "1", offset = [0.0, 0.0], size = [0.3, 0.4] }]
[[product]]
sku = "632565000012"
name = "Water"
price = 199
weight_g = 538.0
"#;

    #[test]
    fn a_new_product_of_the_catalogue_comes_with_its_price_or_not_at_all() {
        let store = || StoreFile::parse(Path::new("store.toml"), STORE).unwrap();
        let tea = ReleasedProduct {
            sku: "4006381333931".into(),
            name: "Tea".into(),
            weight_g: 80.0,
            unit_price_minor: Some(345),
        };
        let water = ReleasedProduct {
            sku: "632565000012".into(),
            name: "Still water".into(),
            weight_g: 540.0,
            unit_price_minor: None,
        };
        let facing = ReleasedFacing { sku: tea.sku.clone(), plates: vec!["1/1/1".into()] };
        let changes = |tea: ReleasedProduct| ReleaseChanges {
            products: vec![water.clone(), tea],
            facings: Some(vec![facing.clone()]),
            ..ReleaseChanges::default()
        };
        let mut changed = store();
        change(&mut changed, &changes(tea.clone())).unwrap();
        let told: Vec<_> = changed
            .layout
            .products
            .iter()
            .map(|p| (p.name.as_str(), p.price.minor, p.weight.mean_g))
            .collect();
        assert_eq!(told, [("Still water", 199, 540.0), ("Tea", 345, 80.0)]);
        assert!(changed.layout.products[1].weight.sd_g > 0.0);
        assert_eq!(changed.layout.facings[0].product, ProductIndex(1));
        let unpriced = ReleasedProduct { unit_price_minor: None, ..tea };
        let told = change(&mut store(), &changes(unpriced)).unwrap_err().to_string();
        assert!(told.contains("nor the priced catalogue has product \"4006381333931\""), "{told}");
    }
}
