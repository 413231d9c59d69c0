//! Payments: the port to a payment gateway, its drivers, and who drives them.
//!
//! | driver | what it is |
//! | --- | --- |
//! | [`sandbox`] | a gateway in this process, with every way to fail; for the demo and for tests |
//! | [`hosted`] | a gateway over HTTPS, by tokens only |
//! | [`upi`] | UPI: the shopper pays by an intent link or QR code, the bank's side calls back |
//!
//! **Once.** A question is in the ledger before it is asked ([`crate::ledger::payment_book`]); a gateway is idempotent by
//! its key. **Tokens only.** What looks like a card number is never sent on, stored or logged. **A gateway that is down**
//! keeps nobody in the store: questions wait, and are asked again less and less often.

pub mod hosted;
pub mod sandbox;
pub mod upi;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use linefree_domain::payment::{Answer, AskKind, Policy, revised};
use linefree_domain::units::{Currency, Money};

use crate::clock::wall_us;
use crate::ledger::LedgerError;
use crate::ledger::payment_book::{PaymentBook, TripRow};

/// How often it is looked what is to be asked.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The part of the time that is spent looking at the most.
const LOOKS_LESS_THAN_ONE_IN: u32 = 20;

/// What one round of asking did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stepped {
    /// How many questions.
    pub asked: usize,
    /// Something has to be asked again later.
    pub waiting: bool,
    /// How long it took to see what is to be asked.
    pub looked_for: Duration,
}

/// A question as a gateway hears it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// The same key again is the same question.
    pub key: &'a str,
    /// What is asked.
    pub kind: AskKind,
    /// How much, minor units.
    pub amount_minor: i64,
    /// The amount's currency.
    pub currency: Currency,
    /// Who pays: what the shopper entered with. `None` for one who was never seen entering.
    pub token: Option<&'a str>,
    /// What the gateway called the authorisation.
    pub authorisation: Option<&'a str>,
}

/// A payment gateway. Asking may take seconds.
pub trait Gateway: Send + Sync {
    /// What it is called, for people.
    fn name(&self) -> String;

    /// Asks. Whatever cannot be understood is silence: it is asked again.
    fn ask(&self, question: &Question<'_>) -> Answer;

    /// Gives the answers that it tells by itself to `hear`, by their question's key, each until it was heard. Gateways that
    /// call the store's server back have none.
    fn call_back(&self, hear: &mut dyn FnMut(&str, &Answer) -> bool) {
        let _ = hear;
    }
}

/// Is it a card's number? 13 to 19 digits whose check digit is right (Luhn, ISO/IEC 7812-1).
#[must_use]
pub fn looks_like_a_card(token: &str) -> bool {
    let digits: Vec<u32> = token
        .chars()
        .filter(|c| !matches!(c, ' ' | '-'))
        .map(|c| c.to_digit(10))
        .collect::<Option<_>>()
        .unwrap_or_default();
    let doubled = |d: u32| if d > 4 { 2 * d - 9 } else { 2 * d };
    let sum: u32 =
        digits.iter().rev().enumerate().map(|(i, d)| if i % 2 == 1 { doubled(*d) } else { *d }).sum();
    (13..=19).contains(&digits.len()) && sum.is_multiple_of(10)
}

/// The payment book and the gateway that it asks.
pub struct Payments {
    book: Mutex<PaymentBook>,
    gateway: Box<dyn Gateway>,
    policy: Policy,
    upi: Option<upi::Payee>,
}

/// Which gateway a store has.
#[derive(Debug, Clone)]
pub enum GatewaySettings {
    /// None moves: the sandbox.
    Sandbox,
    /// A hosted one.
    Hosted {
        /// Where.
        url: String,
        /// Holds the store's key for it.
        token_file: Option<PathBuf>,
    },
    /// UPI.
    Upi(upi::Payee),
}

/// How a store is paid.
#[derive(Debug, Clone)]
pub struct PaymentSettings {
    /// By whom.
    pub gateway: GatewaySettings,
    /// How.
    pub policy: Policy,
}

impl PaymentSettings {
    /// From `sandbox`, an address, or a UPI link.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str, token_file: Option<PathBuf>, hold_minor: i64) -> anyhow::Result<Self> {
        let gateway = if text == "sandbox" {
            GatewaySettings::Sandbox
        } else if text.starts_with("upi://") {
            GatewaySettings::Upi(upi::Payee::parse(text)?)
        } else if text.starts_with("http") {
            hosted::Hosted::new(text, token_file.clone())?;
            GatewaySettings::Hosted { url: text.to_owned(), token_file }
        } else {
            anyhow::bail!(
                "--payments is {text:?}: give `sandbox`, the gateway's https:// address, or \
                 `upi://pay?pa=NAME@HANDLE&pn=SHOP&mc=5411`"
            );
        };
        if hold_minor < 0 {
            anyhow::bail!("--hold is {hold_minor}: an amount is not negative");
        }
        Ok(Self { gateway, policy: Policy { hold: Money::from_minor(hold_minor), ..Policy::default() } })
    }

    /// Opens the gateway and the book.
    ///
    /// # Errors
    /// When the sandbox's file or the ledger cannot be read.
    pub fn open(self, data_dir: &Path, book: PaymentBook) -> anyhow::Result<Payments> {
        let mut payee = None;
        let gateway: Box<dyn Gateway> = match self.gateway {
            GatewaySettings::Sandbox => {
                let path = data_dir.join("sandbox-gateway.json");
                Box::new(
                    sandbox::Sandbox::open(&path)
                        .with_context(|| format!("the sandbox cannot read {}", path.display()))?,
                )
            }
            GatewaySettings::Hosted { url, token_file } => Box::new(hosted::Hosted::new(&url, token_file)?),
            GatewaySettings::Upi(to) => {
                payee = Some(to.clone());
                Box::new(upi::Upi::new(to))
            }
        };
        Ok(Payments { upi: payee, ..Payments::new(book, gateway, self.policy) })
    }
}

impl Payments {
    /// Who is paid by UPI, if that is how.
    #[must_use]
    pub fn upi(&self) -> Option<&upi::Payee> {
        self.upi.as_ref()
    }

    /// Of a book and a gateway.
    #[must_use]
    pub fn new(book: PaymentBook, gateway: Box<dyn Gateway>, policy: Policy) -> Self {
        Self { book: Mutex::new(book), gateway, policy, upi: None }
    }

    /// Does something with the book.
    ///
    /// # Errors
    /// What `act` says.
    pub fn at_book<T>(
        &self,
        act: impl FnOnce(&mut PaymentBook) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        act(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the gateway is called.
    #[must_use]
    pub fn gateway(&self) -> String {
        self.gateway.name()
    }

    /// Asks everything that is to be asked now, once. `stored` is called with the place of each event that is written. A
    /// gateway that is silent is not asked anything else in this round.
    ///
    /// # Errors
    /// [`LedgerError`]; what is under way is asked again in the next round.
    pub fn step(&self, now_us: i64, stored: &dyn Fn(u64)) -> Result<Stepped, LedgerError> {
        let began = Instant::now();
        let open = self.at_book(|book| book.open_trips(self.policy.hold.minor > 0))?;
        let mut done = Stepped { asked: 0, waiting: false, looked_for: began.elapsed() };
        self.gateway.call_back(&mut |key, answer| {
            done.waiting = true;
            let heard = self.at_book(|book| book.called_back(key, answer, wall_us().max(now_us)));
            heard.inspect(|seq| stored(*seq)).is_ok()
        });
        for row in open {
            let due = |row: &TripRow| row.trip.retry_at(&self.policy).is_some_and(|at| at.micros <= now_us);
            let row = if row.trip.ask.is_some() {
                if revised(&row.trip, &row.bill).is_some() {
                    let visit = row.trip.id.to_string();
                    stored(self.at_book(|book| book.revise(&visit, now_us))?);
                }
                if !due(&row) {
                    done.waiting |= row.trip.retry_at(&self.policy).is_some();
                    continue;
                }
                row
            } else {
                let visit = row.trip.id.to_string();
                let (noted, seq) = self.at_book(|book| book.begin(&visit, &self.policy, now_us))?;
                stored(seq);
                match noted.filter(|row| row.trip.ask.is_some() && due(row)) {
                    Some(row) => row,
                    None => continue,
                }
            };
            let Some(ask) = &row.trip.ask else { continue };
            let key = row.trip.key();
            let question = Question {
                key: &key,
                kind: ask.kind,
                amount_minor: ask.amount.minor,
                currency: row.trip.currency,
                token: row.credential.as_deref(),
                authorisation: row.trip.reference.as_deref(),
            };
            // The book is free meanwhile: a slow gateway holds up nobody who pays at the desk or calls back.
            let answer = if row.credential.as_deref().is_some_and(looks_like_a_card) {
                Answer::Declined("a card number is no token: it was not sent on".to_owned())
            } else {
                self.gateway.ask(&question)
            };
            done.asked += 1;
            let silent = matches!(answer, Answer::Silence(_));
            let visit = row.trip.id.to_string();
            stored(self.at_book(|book| book.answered(&visit, &key, &answer, wall_us().max(now_us)))?);
            if silent {
                done.waiting = true;
                break;
            }
        }
        Ok(done)
    }
}

/// Payments on a thread of their own.
pub struct RunningPayments {
    payments: Arc<Payments>,
    stop: mpsc::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl RunningPayments {
    /// Starts. `stored` is called when something was written.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(payments: Arc<Payments>, stored: impl Fn(u64) + Send + 'static) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let running = Arc::clone(&payments);
        let thread = std::thread::Builder::new().name("payments".into()).spawn(move || {
            // Looking costs a query over all visits: only when something is new or may be due, and little of the time.
            let (mut seen, mut busy, mut pause) = (None, true, LOOK_EVERY);
            loop {
                let now_us = wall_us();
                let at = running.at_book(|book| book.reader().projected_seq()).ok();
                if busy || at != seen {
                    seen = at;
                    busy = match running.step(now_us, &stored) {
                        Ok(done) => {
                            pause = LOOK_EVERY.max(done.looked_for * LOOKS_LESS_THAN_ONE_IN);
                            done.asked > 0 || done.waiting
                        }
                        Err(e) => {
                            tracing::warn!("payments wait: {e}");
                            true
                        }
                    };
                }
                if !matches!(stopped.recv_timeout(pause), Err(mpsc::RecvTimeoutError::Timeout)) {
                    return;
                }
            }
        })?;
        Ok(Self { payments, stop, thread })
    }

    /// What runs.
    #[must_use]
    pub fn payments(&self) -> Arc<Payments> {
        Arc::clone(&self.payments)
    }

    /// Ends it, or leaves it after `at_most` when the gateway keeps it waiting: what is under way is in the ledger.
    pub fn stop(self, at_most: Duration) {
        drop(self.stop);
        let began = Instant::now();
        while !self.thread.is_finished() && began.elapsed() < at_most {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::looks_like_a_card;

    #[test]
    fn card_numbers_are_known_and_tokens_are_not_taken_for_them() {
        for card in ["4242 4242 4242 4242", "378282246310005", "5555-5555-5555-4444"] {
            assert!(looks_like_a_card(card), "{card}");
        }
        for token in ["4242424242424241", "tok_4242424242424242", "", "1234", "9f86d081-884c"] {
            assert!(!looks_like_a_card(token), "{token}");
        }
    }
}
