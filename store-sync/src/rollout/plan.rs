//! Which device is to run by which release, and when a roll-out goes on or back. Sans-IO: reports and the time in,
//! wishes and notes out.
//!
//! A release goes to **canaries** first: a share of the devices that are online, one of each role before a second of any.
//! When every canary has passed its own trial, and stayed well for [`Gates::hold_us`], it goes to **all**. It goes
//! **back**, under a new number with the content that was good before, when a canary refuses it, falls silent for
//! [`Gates::silent_us`] or does not take it within [`Gates::take_us`], or when more than a tenth of all devices refuse it.
//! What went back is not begun again until its content changes. A way back has no gate: where it is refused, the fault is
//! told and stays for people.
//!
//! A device that is away is not waited for: what it is to run by is told whole when it comes, whatever it missed.

use std::collections::BTreeMap;

use linefree_bus::payload::InForce;
use serde::{Deserialize, Serialize};

/// When a roll-out goes on or back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gates {
    /// Which share of the devices are canaries, more than 0, at most 1; at least one device is.
    pub canary_share: f64,
    /// How long every canary must have been well, microseconds.
    pub hold_us: i64,
    /// Within which time a canary must take the release and pass its trial, microseconds.
    pub take_us: i64,
    /// How long a canary may be away, microseconds: a restart is no failure.
    pub silent_us: i64,
}

impl Default for Gates {
    fn default() -> Self {
        Self { canary_share: 0.2, hold_us: 600_000_000, take_us: 900_000_000, silent_us: 120_000_000 }
    }
}

/// A content that was released: what it is, by a digest, and under which number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// The release's number.
    pub number: u64,
    /// Digest of its content; the same content under another number has the same.
    pub content: String,
}

/// How far a roll-out is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Only canaries are to run by it.
    Canary,
    /// All are.
    All,
    /// All are, and it must not go back: it is a way back itself.
    Back,
}

/// A roll-out under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// What is rolled out.
    pub release: Numbered,
    /// How far it is.
    pub stage: Stage,
    /// When it began.
    pub began_us: i64,
    /// Who is asked first.
    pub canaries: Vec<String>,
    /// Since when every canary has it and is well.
    pub well_us: Option<i64>,
}

/// A device as it was last heard of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its role.
    pub role: String,
    /// Is it there?
    pub online: bool,
    /// Since when it is, or is not.
    pub since_us: i64,
    /// The release that it runs by; 0 for its own store.toml.
    pub number: u64,
    /// Is that still on trial?
    pub trial: bool,
    /// The newest that it refused, and why.
    pub refused: Option<(u64, String)>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doing {
    /// Make the content of an earlier release one under a new number.
    Renumber {
        /// Whose content.
        from: u64,
        /// Its new number.
        to: u64,
        /// Why, for people.
        why: String,
    },
    /// Write it down, and tell staff where it is a fault.
    Note {
        /// What happened: `rollout.begin`, `rollout.all`, `rollout.done`, `rollout.back`, `rollout.refused`.
        action: &'static str,
        /// To which release.
        number: u64,
        /// The rest, for people.
        detail: String,
        /// Is it bad news?
        fault: bool,
    },
}

/// The whole of it, as it is kept on disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The last number that was given.
    pub last: u64,
    /// What everybody is to run by when nothing is under way.
    pub good: Option<Numbered>,
    /// What was good before that, should people take it back.
    #[serde(default)]
    pub before: Option<Numbered>,
    /// What is under way.
    pub running: Option<Running>,
    /// Content that went back: not begun again.
    pub spoiled: Option<String>,
    /// Devices that take part, by their name on the bus.
    pub devices: BTreeMap<String, Seen>,
    /// Why the last one went back, for people.
    pub last_back: Option<String>,
}

impl Plan {
    /// Begins to roll a content out, unless it is out already, under way, or went back. Gives its number.
    pub fn offer(&mut self, content: &str, now_us: i64) -> Option<u64> {
        let is = |numbered: Option<&Numbered>| numbered.is_some_and(|n| n.content == content);
        let under_way = self.running.as_ref().map(|r| &r.release);
        if is(under_way)
            || self.spoiled.as_deref() == Some(content)
            || (under_way.is_none() && is(self.good.as_ref()))
        {
            return None;
        }
        self.last += 1;
        let release = Numbered { number: self.last, content: content.to_owned() };
        self.running = Some(Running {
            release,
            stage: Stage::Canary,
            began_us: now_us,
            canaries: Vec::new(),
            well_us: None,
        });
        Some(self.last)
    }

    /// The release that a device is to run by; `None` when there is none yet.
    #[must_use]
    pub fn wanted(&self, source: &str) -> Option<u64> {
        let good = self.good.as_ref().map(|n| n.number);
        match &self.running {
            Some(r) if r.stage != Stage::Canary || r.canaries.iter().any(|c| c == source) => {
                Some(r.release.number)
            }
            _ => good,
        }
    }

    /// Numbers whose content may still be wanted.
    #[must_use]
    pub fn needed(&self) -> Vec<u64> {
        let running = self.running.as_ref().map(|r| r.release.number);
        let kept = [&self.good, &self.before].into_iter().flatten().map(|n| n.number);
        kept.chain(running).collect()
    }

    /// A device says what it runs by; it may have said so long ago, and be away.
    pub fn on_report(&mut self, report: &InForce, online: bool, now_us: i64) -> Vec<Doing> {
        let refused = report.refused.as_ref().map(|r| (r.number, r.reason.clone()));
        let before = self.devices.get(&report.source);
        let mut todo = Vec::new();
        if let Some((number, reason)) = &refused
            && before.and_then(|seen| seen.refused.as_ref()).map(|(n, _)| n) != Some(number)
        {
            todo.push(Doing::Note {
                action: "rollout.refused",
                number: *number,
                detail: format!("{}: {reason}", report.source),
                fault: true,
            });
        }
        let since_us = before.filter(|seen| seen.online == online).map_or(now_us, |seen| seen.since_us);
        let seen = Seen {
            role: report.role.clone(),
            online,
            since_us,
            number: report.number,
            trial: report.trial,
            refused,
        };
        self.devices.insert(report.source.clone(), seen);
        todo
    }

    /// A device is there, or gone. Devices that never said what they run by take no part.
    pub fn on_status(&mut self, source: &str, online: bool, now_us: i64) {
        if let Some(seen) = self.devices.get_mut(source)
            && seen.online != online
        {
            (seen.online, seen.since_us) = (online, now_us);
        }
    }

    /// Goes on, or back.
    pub fn tick(&mut self, gates: &Gates, now_us: i64) -> Vec<Doing> {
        let Some(mut running) = self.running.take() else { return Vec::new() };
        let number = running.release.number;
        let mut todo = Vec::new();
        if running.stage == Stage::Canary {
            if running.canaries.is_empty() {
                running.canaries = self.canaries(gates);
                // Nobody is there: it begins when somebody comes.
                running.began_us = now_us;
                if !running.canaries.is_empty() {
                    let who = running.canaries.join(", ");
                    todo.push(note("rollout.begin", number, format!("first to {who}"), false));
                }
            } else if let Some(why) = self.canary_failed(&running, gates, now_us) {
                return self.back(running, &why, now_us);
            } else if running.canaries.iter().all(|c| self.has(c, number)) {
                let well_us = *running.well_us.get_or_insert(now_us);
                if now_us.saturating_sub(well_us) >= gates.hold_us {
                    running.stage = Stage::All;
                    todo.push(note(
                        "rollout.all",
                        number,
                        format!("to {} devices", self.devices.len()),
                        false,
                    ));
                }
            } else {
                running.well_us = None;
            }
        }
        if running.stage != Stage::Canary {
            let refusing = |(_, seen): &(&String, &Seen)| refuses(seen, number).is_some();
            let refusing: Vec<_> = self.devices.iter().filter(refusing).collect();
            if running.stage == Stage::All && refusing.len() * 10 > self.devices.len() {
                let (source, seen) = refusing[0];
                let why = format!(
                    "{} of {} devices refuse it; {source}: {}",
                    refusing.len(),
                    self.devices.len(),
                    refuses(seen, number).unwrap_or_default()
                );
                return self.back(running, &why, now_us);
            }
            let settled = |(source, seen): (&String, &Seen)| {
                !seen.online || self.has(source, number) || refuses(seen, number).is_some()
            };
            if !self.devices.is_empty() && self.devices.iter().all(settled) {
                let have = self.devices.keys().filter(|source| self.has(source, number)).count();
                let detail = format!("{have} of {} devices run by it", self.devices.len());
                todo.push(note("rollout.done", number, detail, false));
                let last = self.good.replace(running.release);
                // A way back has the content of what was good; what is before that stays.
                if last.as_ref().map(|n| &n.content) != self.good.as_ref().map(|n| &n.content) {
                    self.before = last;
                }
                return todo;
            }
        }
        self.running = Some(running);
        todo
    }

    fn has(&self, source: &str, number: u64) -> bool {
        self.devices.get(source).is_some_and(|seen| seen.online && seen.number >= number && !seen.trial)
    }

    /// One of each role, then a second of each, until the share is reached.
    fn canaries(&self, gates: &Gates) -> Vec<String> {
        let online = || self.devices.iter().filter(|(_, seen)| seen.online);
        let most = ((online().count() as f64 * gates.canary_share).ceil() as usize).max(1);
        let mut of_role: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ranked: Vec<(usize, &String)> = online()
            .map(|(source, seen)| {
                let rank = of_role.entry(&seen.role).or_default();
                *rank += 1;
                (*rank, source)
            })
            .collect();
        ranked.sort();
        ranked.into_iter().take(most).map(|(_, source)| source.clone()).collect()
    }

    fn canary_failed(&self, running: &Running, gates: &Gates, now_us: i64) -> Option<String> {
        let number = running.release.number;
        running.canaries.iter().find_map(|canary| {
            let seen = self.devices.get(canary)?;
            if let Some(reason) = refuses(seen, number) {
                return Some(format!("{canary} refuses it: {reason}"));
            }
            let away_us = now_us.saturating_sub(seen.since_us.max(running.began_us));
            if !seen.online && away_us >= gates.silent_us {
                return Some(format!("{canary} is silent for {} s", away_us / 1_000_000));
            }
            let late_us = now_us.saturating_sub(running.began_us);
            (!self.has(canary, number) && late_us >= gates.take_us)
                .then(|| format!("{canary} has not taken it within {} s", late_us / 1_000_000))
        })
    }

    /// People take back what is under way or, when nothing is, what everybody runs by.
    ///
    /// # Errors
    /// For people: there is nothing to take back, or nothing to go back to.
    pub fn take_back(&mut self, why: &str, now_us: i64) -> Result<Vec<Doing>, &'static str> {
        match self.running.take() {
            Some(running) if running.stage == Stage::Back => {
                self.running = Some(running);
                Err("it is on its way back already")
            }
            Some(running) => Ok(self.back(running, why, now_us)),
            None => {
                let Some(before) = self.before.take() else {
                    return Err("there is no earlier release to go back to");
                };
                let Some(release) = self.good.replace(before) else { return Err("nothing was released yet") };
                let began = Running {
                    release,
                    stage: Stage::All,
                    began_us: now_us,
                    canaries: Vec::new(),
                    well_us: None,
                };
                Ok(self.back(began, why, now_us))
            }
        }
    }

    /// Gives the content that was good a new number, or leaves devices with what they have where there is none.
    fn back(&mut self, running: Running, why: &str, now_us: i64) -> Vec<Doing> {
        let bad = running.release;
        let mut todo = vec![note("rollout.back", bad.number, why.to_owned(), true)];
        self.last_back = Some(format!("release {}: {why}", bad.number));
        self.spoiled = Some(bad.content);
        if let Some(good) = self.good.clone() {
            self.last += 1;
            let why = format!("back from release {}: {why}", bad.number);
            todo.push(Doing::Renumber { from: good.number, to: self.last, why });
            self.running = Some(Running {
                release: Numbered { number: self.last, content: good.content },
                stage: Stage::Back,
                began_us: now_us,
                canaries: Vec::new(),
                well_us: None,
            });
        }
        todo
    }
}

/// Why a device refuses this release, if it does.
fn refuses(seen: &Seen, number: u64) -> Option<&str> {
    seen.refused.as_ref().filter(|(n, _)| *n == number).map(|(_, why)| why.as_str())
}

fn note(action: &'static str, number: u64, detail: String, fault: bool) -> Doing {
    Doing::Note { action, number, detail, fault }
}
