//! A payment gateway in this process: for the demo, and for tests of everything that can go wrong.
//!
//! It keeps what it did in a file, because a gateway remembers keys beyond a crash of whoever asks. How it behaves depends
//! on the payer's token, as with the test cards of real gateways:
//!
//! | a token that contains | does |
//! | --- | --- |
//! | `declined` | declines every hold |
//! | `slow` | does what it is asked, and the first answer to each question is lost |
//! | `expired` | lets the first hold expire before it is captured |
//! | `down` | never answers |
//! | `flaky` | answers HTTP 500 some of the time, or too late: before or after it has done what it was asked |
//! | `no-refund` | declines refunds |
//! | `twice` | does not answer a capture at once, and calls back twice |
//! | anything else | approves |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use linefree_domain::payment::{Answer, AskKind};
use serde::{Deserialize, Serialize};

use super::{Gateway, Question};

/// What it did, as its file holds it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Done {
    /// Answers by key: `approved`, or why not.
    answers: BTreeMap<String, Said>,
    /// How often each question of a flaky payer was asked that has no answer yet.
    #[serde(default)]
    tries: BTreeMap<String, u32>,
    /// Held now, by authorisation, minor units.
    held_minor: BTreeMap<String, i64>,
    /// Taken, all in all.
    pub captured_minor: i64,
    /// Paid back, all in all.
    pub refunded_minor: i64,
    /// In dispute now, by visit, minor units.
    #[serde(default)]
    pub disputed_minor: BTreeMap<String, i64>,
    /// How often each question is still to be called back about.
    #[serde(default)]
    calls: BTreeMap<String, u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Approved(Option<String>),
    Declined(String),
    Expired,
}

impl From<Said> for Answer {
    fn from(said: Said) -> Self {
        match said {
            Said::Approved(reference) => Self::Approved(reference),
            Said::Declined(why) => Self::Declined(why),
            Said::Expired => Self::Expired,
        }
    }
}

/// The gateway.
#[derive(Debug)]
pub struct Sandbox {
    path: PathBuf,
    done: Mutex<Done>,
}

impl Sandbox {
    /// Opens it with what it did before.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let done = match std::fs::read(path) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Done::default(),
            Err(e) => return Err(e),
        };
        Ok(Self { path: path.to_owned(), done: Mutex::new(done) })
    }

    /// What it did so far.
    #[must_use]
    pub fn done(&self) -> Done {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, done: &Done) -> std::io::Result<()> {
        // Written beside and renamed: a crash leaves the old file or the new one.
        let beside = self.path.with_extension("new");
        std::fs::write(&beside, serde_json::to_vec_pretty(done)?)?;
        std::fs::rename(&beside, &self.path)
    }
}

/// How a flaky gateway fails this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flake {
    /// HTTP 500, and nothing was done.
    Before,
    /// HTTP 500, and it was done.
    After,
    /// It was done, and the answer came too late.
    TooLate,
}

impl Flake {
    fn silence(self) -> Answer {
        Answer::Silence(if self == Self::TooLate { "no answer in time" } else { "HTTP 500" }.to_owned())
    }
}

/// How a question fails this time: drawn from its key and from how often it was asked, so that a test repeats it. Fails
/// three times out of four, and not for ever.
fn flake(done: &mut Done, key: &str) -> Option<Flake> {
    const MOST: u32 = 5;
    let tries = done.tries.entry(key.to_owned()).or_default();
    *tries += 1;
    // The Fibonacci multiplier spreads what the checksum leaves alike.
    let drawn = crc32fast::hash(format!("{key}#{tries}").as_bytes()).wrapping_mul(0x9E37_79B9) >> 30;
    let how = match drawn {
        0 => None,
        1 => Some(Flake::Before),
        2 => Some(Flake::After),
        _ => Some(Flake::TooLate),
    };
    let how = how.filter(|_| *tries < MOST);
    if how.is_none() {
        done.tries.remove(key);
    }
    how
}

fn decide(done: &mut Done, question: &Question<'_>, token: &str) -> Said {
    let amount = question.amount_minor;
    let held = question.authorisation.and_then(|a| done.held_minor.get_mut(a));
    match question.kind {
        AskKind::Authorise if token.contains("declined") => Said::Declined("the payer's bank says no".into()),
        AskKind::Authorise => {
            let reference = format!("sandbox-{}", question.key);
            done.held_minor.insert(reference.clone(), amount);
            Said::Approved(Some(reference))
        }
        AskKind::Capture if token.contains("expired") && question.key.ends_with(":2") => Said::Expired,
        AskKind::Capture => match held {
            Some(held) if *held >= amount => {
                *held -= amount;
                done.captured_minor += amount;
                Said::Approved(None)
            }
            _ => Said::Expired,
        },
        AskKind::Release => {
            if let Some(held) = held {
                *held = 0;
            }
            Said::Approved(None)
        }
        AskKind::Refund if token.contains("no-refund") => {
            Said::Declined("this account takes nothing back".into())
        }
        AskKind::Refund if done.captured_minor - done.refunded_minor < amount => {
            Said::Declined("more than was taken".into())
        }
        AskKind::Refund => {
            done.refunded_minor += amount;
            Said::Approved(None)
        }
        AskKind::Contest => {
            let visit = question.key.rsplit_once(':').map_or(question.key, |(visit, _)| visit).to_owned();
            done.disputed_minor.insert(visit, amount);
            done.disputed_minor.retain(|_, minor| *minor > 0);
            Said::Approved(None)
        }
    }
}

impl Gateway for Sandbox {
    fn name(&self) -> String {
        "the sandbox: no money moves".to_owned()
    }

    fn ask(&self, question: &Question<'_>) -> Answer {
        let token = question.token.unwrap_or_default();
        if token.contains("down") {
            return Answer::Silence("the gateway does not answer".to_owned());
        }
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let flake = if token.contains("flaky") { flake(&mut done, question.key) } else { None };
        if flake == Some(Flake::Before) {
            return Answer::Silence("HTTP 500".to_owned());
        }
        if done.calls.contains_key(question.key) {
            return Answer::Pending;
        }
        if let Some(before) = done.answers.get(question.key) {
            return flake.map_or_else(|| before.clone().into(), Flake::silence);
        }
        let mut new = done.clone();
        let said = decide(&mut new, question, token);
        new.answers.insert(question.key.to_owned(), said.clone());
        let calls = token.contains("twice") && question.kind == AskKind::Capture;
        if calls {
            new.calls.insert(question.key.to_owned(), 2);
        }
        if let Err(e) = self.keep(&new) {
            return Answer::Silence(format!("the sandbox cannot write {}: {e}", self.path.display()));
        }
        *done = new;
        if calls {
            return Answer::Pending;
        }
        if token.contains("slow") {
            return Answer::Silence("the answer was lost".to_owned());
        }
        flake.map_or_else(|| said.into(), Flake::silence)
    }

    fn call_back(&self, hear: &mut dyn FnMut(&str, &Answer) -> bool) {
        // Called back without the lock: whoever hears may ask.
        for key in self.done().calls.into_keys() {
            let Some(said) = self.done().answers.remove(&key) else { continue };
            if !hear(&key, &said.into()) {
                continue;
            }
            let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            let mut new = done.clone();
            if let Some(left) = new.calls.get_mut(&key) {
                *left = left.saturating_sub(1);
            }
            new.calls.retain(|_, left| *left > 0);
            // What cannot be kept is called back about once more.
            if self.keep(&new).is_ok() {
                *done = new;
            }
        }
    }
}
