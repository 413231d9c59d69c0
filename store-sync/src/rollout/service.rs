//! Carries the plan out: signs releases, publishes what each device is to run by, writes down what happens.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::Context as _;
use linefree_bus::client::{BusClient, Outgoing};
use linefree_bus::durable;
use linefree_bus::payload::{DeviceFault, EventBody, InForce, Status, Wanted};
use linefree_bus::release::{Release, signed_bytes};

use tokio::sync::{oneshot, watch};

use super::content::Content;
use super::plan::{Doing, Gates, Plan};
use crate::clock::wall_us;
use crate::config::Config;
use crate::desk::{Desk, hex};
use crate::ledger::OwnVoice;
use crate::ledger::commands::Commander;
use crate::signed::SigningKey;

/// How often it is looked what is in force.
const LOOK_EVERY_US: i64 = 2_000_000;

/// A device that does not run by what it was told is told again after so long.
const REPEAT_US: i64 = 60_000_000;

/// Messages that may wait; devices repeat what they say.
const WAITING: usize = 1_024;

/// Absent devices that are remembered; of more, it is believed that they are there, and the gates find out.
const GONE_MAX: usize = 4_096;

/// How releases are rolled out.
#[derive(Debug, Clone)]
pub struct RolloutSettings {
    /// When a roll-out goes on or back.
    pub gates: Gates,
    /// How long a device tries a release, seconds, 1 to 86,400.
    pub trial_s: u32,
    /// The server's store.toml.
    pub config: Arc<Config>,
}

/// What is heard of devices.
#[derive(Debug)]
pub enum Heard {
    /// A device says what it runs by.
    Report(InForce),
    /// A device is there, or gone.
    Status(Status),
    /// The server stops.
    Stop,
    /// Somebody takes back what is under way, or what everybody runs by.
    TakeBack {
        /// Why, and who says so.
        why: String,
        /// Told whether that could be done, and why not.
        answer: oneshot::Sender<Result<(), String>>,
    },
}

/// How the roll-out stands, for people.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RolloutView {
    /// The plan.
    pub plan: Plan,
    /// What the releases hold that may still be wanted, by number.
    pub releases: BTreeMap<u64, String>,
}

/// The roll-out, as people see and stop it.
#[derive(Debug, Clone)]
pub struct RolloutDesk {
    /// How it stands.
    pub view: watch::Receiver<RolloutView>,
    /// When it goes on or back.
    pub gates: Gates,
    heard: SyncSender<Heard>,
}

impl RolloutDesk {
    /// Takes back what is under way, or what everybody runs by.
    ///
    /// # Errors
    /// For people: why not.
    pub async fn take_back(&self, why: String) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        let busy = |_| "the roll-out is busy: try again".to_owned();
        self.heard.try_send(Heard::TakeBack { why, answer }).map_err(|_| busy(()))?;
        answered.await.map_err(|_| busy(()))?
    }
}

struct Service {
    settings: RolloutSettings,
    folder: PathBuf,
    store: String,
    plan: Plan,
    key: SigningKey,
    commander: Commander,
    voice: OwnVoice,
    desk: Arc<Desk>,
    client: BusClient,
    /// Which release each device was told last, and when.
    told: BTreeMap<String, (u64, i64)>,
    /// Devices that said farewell or were lost.
    gone: BTreeSet<String>,
    looked_us: i64,
    wrote: Box<dyn Fn(u64) + Send>,
    view: watch::Sender<RolloutView>,
}

/// The roll-out's thread.
pub struct RunningRollout {
    heard: SyncSender<Heard>,
    view: watch::Receiver<RolloutView>,
    gates: Gates,
    thread: std::thread::JoinHandle<()>,
}

/// What a roll-out needs.
pub struct Parts {
    /// The store's id.
    pub store: String,
    /// The server's data folder.
    pub data_dir: PathBuf,
    /// Reads what is in force.
    pub commander: Commander,
    /// Tells faults.
    pub voice: OwnVoice,
    /// Holds the audit log.
    pub desk: Arc<Desk>,
    /// The bus.
    pub client: BusClient,
}

/// The file of the key that releases are signed with.
#[must_use]
pub fn release_key_in(data_dir: &Path) -> PathBuf {
    data_dir.join("release-key.pem")
}

impl RunningRollout {
    /// Starts where the plan stands. `wrote` is called with the place of what was written to the ledger.
    ///
    /// # Errors
    /// When the key or the plan cannot be used.
    pub fn start(
        settings: RolloutSettings,
        parts: Parts,
        wrote: impl Fn(u64) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let path = release_key_in(&parts.data_dir);
        let key = SigningKey::read_or_generate(&path)?;
        let public = path.with_extension("pub.pem");
        std::fs::write(&public, key.public().to_pem())
            .with_context(|| format!("cannot write {}", public.display()))?;
        let folder = parts.data_dir.join("rollout");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let plan = match std::fs::read_to_string(folder.join("plan.json")) {
            Ok(text) => serde_json::from_str(&text)
                .with_context(|| format!("{}/plan.json is damaged", folder.display()))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Plan::default(),
            Err(e) => return Err(e).with_context(|| format!("cannot read {}/plan.json", folder.display())),
        };
        let gates = settings.gates;
        let (view, views) = watch::channel(RolloutView::default());
        let service = Service {
            view,
            settings,
            folder,
            store: parts.store,
            plan,
            key,
            commander: parts.commander,
            voice: parts.voice,
            desk: parts.desk,
            client: parts.client,
            told: BTreeMap::new(),
            gone: BTreeSet::new(),
            looked_us: i64::MIN,
            wrote: Box::new(wrote),
        };
        let (heard, hears) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("rollout".into()).spawn(move || service.run(&hears))?;
        Ok(Self { heard, view: views, gates, thread })
    }

    /// For people.
    #[must_use]
    pub fn desk(&self) -> RolloutDesk {
        RolloutDesk { view: self.view.clone(), gates: self.gates, heard: self.heard.clone() }
    }

    /// Where to tell what is heard of devices. Whatever finds no room is dropped: devices repeat it.
    #[must_use]
    pub fn ear(&self) -> SyncSender<Heard> {
        self.heard.clone()
    }

    /// Waits for the thread, which hears first what it was told before.
    pub fn stop(self) {
        let _ = self.heard.send(Heard::Stop);
        let _ = self.thread.join();
    }
}

impl Service {
    fn run(mut self, hears: &Receiver<Heard>) {
        let mut failing = false;
        self.show();
        loop {
            let heard = match hears.recv_timeout(Duration::from_millis(500)) {
                Ok(Heard::Stop) => return,
                Ok(heard) => Some(heard),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            match self.step(heard, wall_us()) {
                Ok(()) => failing = false,
                Err(e) if failing => tracing::debug!("the roll-out cannot go on: {e:#}"),
                Err(e) => {
                    failing = true;
                    tracing::warn!("the roll-out cannot go on: {e:#}; trying again");
                }
            }
        }
    }

    fn step(&mut self, heard: Option<Heard>, now_us: i64) -> anyhow::Result<()> {
        // The plan on disk is the plan: a step that cannot be written down has not been taken.
        let before = self.plan.clone();
        let mut plan = before.clone();
        let mut todo = Vec::new();
        let mut asked = None;
        match heard {
            Some(Heard::TakeBack { why, answer }) => match plan.take_back(&why, now_us) {
                Ok(doing) => {
                    todo = doing;
                    asked = Some(answer);
                }
                Err(why) => drop(answer.send(Err(why.to_owned()))),
            },
            Some(Heard::Report(report)) => {
                // Retained, it outlives its device; so does the last will, which says that it is gone.
                let online = !self.gone.contains(&report.source);
                todo = plan.on_report(&report, online, now_us);
            }
            Some(Heard::Status(status)) => {
                plan.on_status(&status.source, status.online, now_us);
                if status.online {
                    self.gone.remove(&status.source);
                } else if self.gone.len() < GONE_MAX {
                    self.gone.insert(status.source);
                }
            }
            Some(Heard::Stop) | None => {}
        }
        // Without devices that take part there is nothing to roll out, and nothing to write.
        if !plan.devices.is_empty() && now_us.saturating_sub(self.looked_us) >= LOOK_EVERY_US {
            self.looked_us = now_us;
            let content = Content::in_force(&self.settings.config.text(), &self.commander)?;
            if let Some(number) = plan.offer(&content.digest(), now_us) {
                let release = content.release(&self.store, number, self.settings.trial_s);
                self.keep(&release)?;
            }
        }
        todo.extend(plan.tick(&self.settings.gates, now_us));
        for doing in &todo {
            self.carry_out(doing, now_us)?;
        }
        if plan != before {
            self.write("plan.json", &serde_json::to_string_pretty(&plan)?)?;
            self.plan = plan;
            self.tidy();
            self.show();
        }
        if let Some(asked) = asked {
            // Whoever asked may be gone.
            let _ = asked.send(Ok(()));
        }
        self.tell(now_us)
    }

    fn show(&self) {
        let why = |number: u64| Some((number, self.read(number).ok()?.why));
        let releases = self.plan.needed().into_iter().filter_map(why).collect();
        self.view.send_replace(RolloutView { plan: self.plan.clone(), releases });
    }

    fn carry_out(&mut self, doing: &Doing, now_us: i64) -> anyhow::Result<()> {
        match doing {
            Doing::Renumber { from, to, why } => {
                let release = Release { number: *to, why: why.clone(), ..self.read(*from)? };
                self.keep(&release)
            }
            Doing::Note { action, number, detail, fault } => {
                self.desk.note(None, action, &format!("release {number}"), detail, !fault, now_us)?;
                if !fault {
                    tracing::info!(number, "{action}: {detail}");
                    return Ok(());
                }
                tracing::warn!(number, "{action}: {detail}");
                let kind = if *action == "rollout.back" { "rolled_back" } else { "refused" };
                let fault = DeviceFault {
                    device: format!("rollout-{number}"),
                    fault: kind.to_owned(),
                    message: detail.clone(),
                    cleared: false,
                };
                let place = self.voice.say(EventBody::DeviceFault(fault), now_us)?;
                (self.wrote)(place);
                Ok(())
            }
        }
    }

    fn keep(&self, release: &Release) -> anyhow::Result<()> {
        self.write(&format!("{}.json", release.number), &serde_json::to_string(release)?)
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        durable::replace(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn read(&self, number: u64) -> anyhow::Result<Release> {
        let path = self.folder.join(format!("{number}.json"));
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Releases that nobody is to run by any more.
    fn tidy(&self) {
        let mut keep: Vec<String> = self.plan.needed().iter().map(|n| format!("{n}.json")).collect();
        keep.push("plan.json".to_owned());
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten().filter(|e| !keep.iter().any(|k| e.file_name() == k.as_str())) {
            let _ = std::fs::remove_file(entry.path());
        }
    }

    /// Publishes to each device what it is to run by, where it does not know yet.
    fn tell(&mut self, now_us: i64) -> anyhow::Result<()> {
        let due = self.plan.devices.iter().filter_map(|(source, seen)| {
            let number = self.plan.wanted(source)?;
            let settled = seen.number >= number || seen.refused.as_ref().is_some_and(|(n, _)| *n == number);
            let due = match self.told.get(source) {
                Some((told, at_us)) if *told == number => {
                    !settled && seen.online && now_us.saturating_sub(*at_us) >= REPEAT_US
                }
                _ => true,
            };
            due.then(|| (source.clone(), number))
        });
        for (source, number) in due.collect::<Vec<_>>() {
            let text = serde_json::to_string(&self.read(number)?)?;
            let signature = hex(&self.key.sign(&signed_bytes(&text)));
            let wanted = Wanted { source: source.clone(), text, signature };
            self.client
                .publish(Outgoing::Wanted(wanted))
                .with_context(|| format!("release {number} cannot be told to {source}"))?;
            self.told.insert(source, (number, now_us));
        }
        Ok(())
    }
}
