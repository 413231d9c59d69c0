//! The gate role of a live store: one thread a gate, which owns its lock, sensors and control.
//!
//! Codes come from a reader on a serial line (a thread of its own), or by HTTP: `POST /v1/present` with the code as
//! the body, answered 200 with `{"admitted": true, "party": 2}` or 403 with `{"admitted": false, "reason": ...}`.
//!
//! # Failure rules
//! A gate decides by itself: neither the bus nor the network is asked. The event of a passage is journalled and reaches
//! the store when it can. What was used is on disk before a gate opens; a full disk is told, and the gate opens all the
//! same, because whoever stands before it has a genuine code. When the role ends, locks open.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use linefree_bus::payload::EventBody;
use linefree_domain::time::StoreTime;
use linefree_domain::visit::GatePassed;
use linefree_hardware::clock::LiveClock;
use linefree_hardware::fault::{Fault, FaultKind, FaultLog};
use linefree_hardware::gate::control::{GateControl, GateInput, GateOutput};
use linefree_hardware::gate::lines::{GateSensors, HttpLock, Lock, NoLock, open_lines};
use linefree_hardware::gate::reader::{Look, SerialReader};
use linefree_hardware::gate::token::{Deny, Verifier};
use linefree_recording::{GateConfig, GateReader, Opener, SourceDevice};
use tokio::sync::{mpsc, oneshot};

use super::device::{Device, fault_body};
use super::drivers::parity;
use super::{Role, Site, present};
use crate::convert;
use crate::paths;

/// A gate's sensors are looked at this often.
const LOOK: Duration = Duration::from_millis(20);
/// Codes that may wait at one gate.
const WAITING: usize = 16;
/// A gate that forgets is asked again this often while it stays open.
const ASK_AGAIN: Duration = Duration::from_secs(1);
const MARK_EVERY: Duration = Duration::from_millis(500);
const GOODBYE: Duration = Duration::from_secs(2);

/// A code that was presented, and where the answer goes.
pub(super) struct Presented {
    /// The code's text.
    pub code: String,
    /// Who waits for the answer.
    pub answer: Option<oneshot::Sender<Result<u32, Deny>>>,
}

/// What a gate's thread tells.
enum Told {
    Output(GateOutput),
    Fault(StoreTime, Fault),
}

pub(super) async fn run(site: Site, source: String) -> anyhow::Result<()> {
    let gates: Vec<GateConfig> = site
        .store
        .live
        .sources
        .iter()
        .filter_map(|s| match &s.device {
            SourceDevice::Gate(config) => Some(config.clone()),
            _ => None,
        })
        .collect();
    if gates.is_empty() {
        let told = "no gate has a [[source]] in store.toml: nobody is let in, and nobody is known to leave";
        if site.roles == [Role::Gate] {
            bail!("{told}. Add [[source]] tables, or give --recording DIR");
        }
        tracing::warn!("{told}");
    }
    let (device, _inbox) = Device::connect(&site, source, Role::Gate, &[])?;
    let publisher = device.publisher(&site).await?;
    let clock = LiveClock::default();
    let (tell, mut told) = mpsc::channel(64);
    let mut threads = Vec::new();
    for config in gates {
        let id = site.store.layout.gates[config.gate.0].id.to_string();
        let watch = open(&site, config, &clock, tell.clone())
            .await
            .with_context(|| format!("[[source]] of gate {id}"))?;
        let thread = thread::Builder::new().name(format!("gate {id}"));
        threads.push(thread.spawn(move || watch.run()).context("start a gate's thread")?);
    }
    let mut counters: BTreeMap<String, u64> = BTreeMap::from([("gates_passed".into(), 0)]);
    let mut stop = site.stop.clone();
    let mut tick = tokio::time::interval(MARK_EVERY);
    loop {
        let mut bodies = Vec::new();
        tokio::select! {
            Some(told) = told.recv() => match told {
                Told::Output(GateOutput::Passed(passed)) => {
                    *counters.entry("gates_passed".into()).or_default() += 1;
                    bodies.push(passed_body(&passed, &site));
                }
                Told::Output(GateOutput::Denied(deny)) => {
                    tracing::info!(reason = deny.name(), "somebody was not let in");
                    *counters.entry(format!("denied_{}", deny.name())).or_default() += 1;
                }
                Told::Fault(time, fault) => bodies.push((time.micros, fault_body(&site.metrics, fault))),
            },
            _ = tick.tick() => {
                publisher.watermark(clock.now().micros, false);
                device.tell_status(counters.clone());
            }
            _ = stop.wait_for(|stop| *stop) => break,
        }
        if !bodies.is_empty() {
            publisher.publish_all(bodies).await?;
            device.tell_status(counters.clone());
        }
    }
    drop(told);
    for thread in threads {
        // Each ends within a look: nobody listens to it any more. Its lock opens.
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
    device.tell_status(counters);
    publisher.close().await;
    device.client.close(GOODBYE).await;
    Ok(())
}

fn passed_body(passed: &GatePassed, site: &Site) -> (i64, EventBody) {
    (passed.time.micros, EventBody::GatePassed(convert::gate_out(passed, &site.store.layout)))
}

/// One gate's thread.
struct Watch {
    id: String,
    control: GateControl,
    lock: Box<dyn Lock>,
    sensors: GateSensors<linefree_hardware::gate::lines::Line>,
    presented: Receiver<Presented>,
    used: PathBuf,
    clock: LiveClock,
    faults: FaultLog,
    tell: mpsc::Sender<Told>,
}

async fn open(
    site: &Site,
    config: GateConfig,
    clock: &LiveClock,
    tell: mpsc::Sender<Told>,
) -> anyhow::Result<Watch> {
    let gate = &site.store.layout.gates[config.gate.0];
    let id = gate.id.to_string();
    let used = site.data.join("gate").join(format!("{id}.used"));
    let mut verifier = None;
    if let Some(file) = &config.key_file {
        let text = paths::read_text(file)?;
        let store = site.store.layout.id.as_str();
        let mut checked =
            Verifier::from_text(store, &text).with_context(|| format!("key_file {}", file.display()))?;
        checked.restore_used(&std::fs::read_to_string(&used).unwrap_or_default());
        verifier = Some(checked);
    }
    let (mut lock, mut sensors): (Option<Box<dyn Lock>>, _) = (None, GateSensors::new(None, None));
    if let Some(chip) = &config.chip {
        let line = match config.opener {
            Some(Opener::Line(line)) => Some(line),
            _ => None,
        };
        let (relay, wired) = open_lines(chip, line, config.exit_line, config.fire_line)?;
        lock = relay.map(|relay| Box::new(relay) as Box<dyn Lock>);
        sensors = wired;
    }
    if let Some(Opener::Http(url)) = &config.opener {
        lock = Some(Box::new(HttpLock::new(url.clone())));
    }
    let (present_here, presented) = sync_channel(WAITING);
    match &config.reader {
        GateReader::None => {}
        GateReader::Listen(address) => {
            present::listen(*address, present_here).await?;
        }
        GateReader::Serial(line) => {
            let reader = SerialReader::new(line.path.clone(), line.baud, parity(line.parity));
            let (name, tell, clock) = (id.clone(), tell.clone(), clock.clone());
            let thread = thread::Builder::new().name(format!("reader {id}"));
            thread
                .spawn(move || read_codes(reader, &name, &present_here, &tell, &clock))
                .context("start a reader's thread")?;
        }
    }
    Ok(Watch {
        control: GateControl::new(config.gate, gate.kind.lets_in(), verifier, config.open_s),
        lock: lock.unwrap_or_else(|| Box::new(NoLock)),
        id,
        sensors,
        presented,
        used,
        clock: clock.clone(),
        faults: FaultLog::default(),
        tell,
    })
}

fn read_codes(
    mut reader: SerialReader,
    gate: &str,
    present: &SyncSender<Presented>,
    tell: &mpsc::Sender<Told>,
    clock: &LiveClock,
) {
    let mut faults = FaultLog::default();
    let device = format!("{gate} reader");
    while !tell.is_closed() {
        match reader.look() {
            Look::Nothing => {}
            Look::Code(code) => {
                faults.clear(&device, FaultKind::GateLost, || format!("{gate}: the reader is back"));
                // A queue of codes at one gate means that nobody reads their answers: drop.
                let _ = present.try_send(Presented { code, answer: None });
            }
            Look::Lost(why) => faults.raise(clock.now(), &device, FaultKind::GateLost, || why),
        }
        for fault in faults.take() {
            let _ = tell.blocking_send(Told::Fault(clock.now(), fault));
        }
    }
}

impl Watch {
    fn run(mut self) {
        let mut open = None;
        let mut asked = Instant::now();
        while !self.tell.is_closed() {
            match self.presented.recv_timeout(LOOK) {
                Ok(presented) => self.take_code(presented),
                Err(RecvTimeoutError::Timeout) => {}
                // No reader: the sensors are looked at all the same.
                Err(RecvTimeoutError::Disconnected) => thread::sleep(LOOK),
            }
            self.look();
            let wanted = self.control.open(self.clock.now());
            let again = wanted && self.lock.forgets() && asked.elapsed() >= ASK_AGAIN;
            if open != Some(wanted) || again {
                asked = Instant::now();
                open = self.set_open(wanted).then_some(wanted);
            }
            for fault in self.faults.take() {
                let _ = self.tell.blocking_send(Told::Fault(self.clock.now(), fault));
            }
        }
        let _ = self.lock.set_open(true);
    }

    fn look(&mut self) {
        let now = self.clock.now();
        let (fire, id) = (self.sensors.fire(), &self.id);
        if fire {
            self.faults.raise(now, id, FaultKind::FireAlarm, || {
                format!("{id}: fire alarm, or its wire is cut: the gate stands open")
            });
        } else if self.control.fire() {
            self.faults.clear(id, FaultKind::FireAlarm, || format!("{id}: the fire alarm is over"));
        }
        self.control.handle(GateInput::Fire(fire), now);
        if self.sensors.at_exit()
            && let Some(output) = self.control.handle(GateInput::AtExit, now)
        {
            let _ = self.tell.blocking_send(Told::Output(output));
        }
    }

    fn take_code(&mut self, presented: Presented) {
        let output = self.control.handle(GateInput::Presented(presented.code), self.clock.now());
        let Some(output) = output else { return };
        let answer = match &output {
            GateOutput::Passed(passed) => Ok(passed.party),
            GateOutput::Denied(deny) => Err(*deny),
        };
        if answer.is_ok() {
            self.keep_used();
        }
        if let Some(waiting) = presented.answer {
            let _ = waiting.send(answer);
        }
        let _ = self.tell.blocking_send(Told::Output(output));
    }

    fn keep_used(&self) {
        let folder = self.used.parent().map_or(Ok(()), std::fs::create_dir_all);
        let kept = folder
            .context("make the gate's folder")
            .and_then(|()| paths::write_whole(&self.used, &self.control.used_text()));
        if let Err(error) = kept {
            tracing::error!("a code that was used now could be used again after a restart: {error:#}");
        }
    }

    /// True when the lock was told.
    fn set_open(&mut self, open: bool) -> bool {
        let id = &self.id;
        match self.lock.set_open(open) {
            Ok(()) => {
                self.faults.clear(id, FaultKind::GateLost, || format!("{id}: the gate answers again"));
                true
            }
            Err(error) => {
                let message = || format!("{id}: {error}");
                self.faults.raise(self.clock.now(), id, FaultKind::GateLost, message);
                false
            }
        }
    }
}
