//! The payment of one visit: what is asked of the payment gateway, in which order, exactly once.
//!
//! A [`Trip`] is its own whole state. [`next`] says what to ask, from the trip and what the visit comes to; [`begin`]
//! notes the question *before* it is asked; [`answered`] notes what the gateway said. Whoever runs it writes each of
//! these down durably before the next. A crash between any two of them leaves a question that is noted and not answered:
//! it is asked again under the same key, and the gateway, which is idempotent by key, does nothing twice.
//!
//! **Contested.** What a shopper contests is not taken before staff have answered, and what is held for it is kept. What of
//! the money that was taken is in dispute, the gateway is told, and told again when that is over.
//!
//! **Paid by the payer.** Where the payer acts (a link, a QR code), the question follows the bill until they do
//! ([`revised`]), under the same key; who pays an earlier amount all the same gets the difference back.
//!
//! **Never more than owed.** What was captured less what was paid back never exceeds what is owed; what is held never
//! becomes money without a bill. **Never guessed.** What the gateway declines at the exit is bad debt, and waits for
//! people; an answer that does not come is asked for again, less and less often, without end.

use crate::ids::VisitId;
use crate::time::StoreTime;
use crate::units::{Currency, Money};

/// What can be asked of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskKind {
    /// Hold an amount.
    Authorise,
    /// Take some of what is held.
    Capture,
    /// Let go of what is held.
    Release,
    /// Pay back some of what was taken.
    Refund,
    /// Know how much of what was taken is in dispute now; 0 = nothing any more. No money moves.
    Contest,
}

/// How often a question that waits for the payer follows the bill.
pub const MAX_EARLIER: usize = 16;

/// A question to the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// What.
    pub kind: AskKind,
    /// How much.
    pub amount: Money,
    /// What the payer was asked for before, under the same key; at most [`MAX_EARLIER`].
    pub earlier: Vec<Money>,
    /// When it was first asked.
    pub since: StoreTime,
    /// Times that no answer came.
    pub silences: u32,
    /// The gateway has it and will call back.
    pub pending: bool,
}

/// How a trip stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TripState {
    /// All is well; more may come.
    Open,
    /// The payer's side declined what is owed.
    BadDebt,
    /// A refund was declined: people pay it back by other means.
    ByHand,
}

/// The payment of one visit, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trip {
    /// The visit.
    pub id: VisitId,
    /// Currency of all amounts.
    pub currency: Currency,
    /// How it stands.
    pub state: TripState,
    /// How many questions were begun; the last one's key is made of it.
    pub step: u32,
    /// The question without an answer, if any.
    pub ask: Option<Ask>,
    /// Held, and not taken yet.
    pub authorised: Money,
    /// Taken.
    pub captured: Money,
    /// Paid back.
    pub refunded: Money,
    /// Of what was taken, what the gateway was told is in dispute.
    pub disputed: Money,
    /// The hold at the entry was declined.
    pub hold_declined: bool,
    /// What the gateway calls the authorisation.
    pub reference: Option<String>,
    /// Why it is as it is, for people.
    pub reason: Option<String>,
}

/// What a visit comes to, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bill {
    /// It has a receipt.
    pub ended: bool,
    /// What may be charged, less what goes back.
    pub owed: Money,
    /// What is still in review.
    pub in_review: Money,
    /// Of what is owed, what the shopper contests and nobody has answered yet: it is not taken meanwhile.
    pub contested: Money,
}

impl Bill {
    /// Some of it is in dispute.
    #[must_use]
    pub fn is_contested(&self) -> bool {
        self.contested.minor > 0
    }
}

/// What the store does about money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Held at the entry; 0 = pay at the exit.
    pub hold: Money,
    /// The first pause after a silence.
    pub retry_s: u32,
    /// The longest one.
    pub retry_at_most_s: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self { hold: Money::from_minor(0), retry_s: 2, retry_at_most_s: 600 }
    }
}

/// What the gateway says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Done; what it calls it.
    Approved(Option<String>),
    /// The payer has paid so much of what they were asked for now or before.
    Paid(Money),
    /// No, and why.
    Declined(String),
    /// What was held is not held any more.
    Expired,
    /// It will call back.
    Pending,
    /// Nothing that can be understood.
    Silence(String),
}

fn minor(value: i64) -> Money {
    Money::from_minor(value.max(0))
}

impl Trip {
    /// Of a visit that begins.
    #[must_use]
    pub fn new(id: VisitId, currency: Currency) -> Self {
        let nothing = Money::from_minor(0);
        Self {
            id,
            currency,
            state: TripState::Open,
            step: 0,
            ask: None,
            authorised: nothing,
            captured: nothing,
            refunded: nothing,
            disputed: nothing,
            hold_declined: false,
            reference: None,
            reason: None,
        }
    }

    /// The key of the question under way: the same for every time it is asked.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}:{}", self.id, self.step)
    }

    /// Taken, less what was paid back.
    #[must_use]
    pub fn net(&self) -> Money {
        minor(self.captured.minor - self.refunded.minor)
    }

    /// Nothing is under way, and the visit is paid as its bill says. A payer who is asked for nothing any more may still pay
    /// an earlier amount, and gets it back.
    #[must_use]
    pub fn is_settled(&self, bill: &Bill) -> bool {
        let quiet = self.ask.as_ref().is_none_or(|a| a.pending && a.amount.minor == 0);
        bill.ended && quiet && self.net() == bill.owed && !bill.is_contested()
    }

    /// Was the payer ever asked for this amount by the question under way?
    #[must_use]
    pub fn has_asked_for(&self, amount: Money) -> bool {
        let asked = |a: &Ask| a.amount == amount || a.earlier.contains(&amount);
        amount.minor > 0 && self.ask.as_ref().is_some_and(asked)
    }

    /// When the question under way is to be asked again; `None` when there is none, or the gateway will call back.
    #[must_use]
    pub fn retry_at(&self, policy: &Policy) -> Option<StoreTime> {
        let ask = self.ask.as_ref().filter(|a| !a.pending)?;
        if ask.silences == 0 {
            return Some(ask.since);
        }
        let longest = f64::from(policy.retry_at_most_s);
        let doubled = |n: u32| (f64::from(policy.retry_s) * f64::from(1_u32 << n.min(20))).min(longest);
        Some(ask.since.plus_s((0..ask.silences).map(doubled).sum()))
    }
}

/// What to ask next; `None` while a question is under way, when people must look, or when all is as it should be.
#[must_use]
pub fn next(trip: &Trip, bill: &Bill, policy: &Policy) -> Option<(AskKind, Money)> {
    if trip.ask.is_some() || trip.state != TripState::Open {
        return None;
    }
    let nothing = Money::from_minor(0);
    if !bill.ended {
        let hold = policy.hold > nothing && trip.step == 0;
        return hold.then_some((AskKind::Authorise, policy.hold));
    }
    let (net, owed) = (trip.net().minor, bill.owed.minor);
    // What is in dispute and was not taken yet waits for the answer; what was taken stays until a refund says otherwise.
    let undisputed = owed.saturating_sub(bill.contested.minor.max(0)).max(0);
    if undisputed > net {
        let missing = Money::from_minor(undisputed - net);
        let enough = trip.authorised >= missing && trip.reference.is_some();
        return Some((if enough { AskKind::Capture } else { AskKind::Authorise }, missing));
    }
    if owed < net {
        return Some((AskKind::Refund, Money::from_minor(net - owed)));
    }
    // Of what was not taken, the gateway need not know.
    let disputed = minor(net - undisputed);
    if trip.disputed != disputed {
        return Some((AskKind::Contest, disputed));
    }
    let done = trip.authorised > nothing && bill.in_review == nothing && !bill.is_contested();
    done.then_some((AskKind::Release, trip.authorised))
}

/// Notes a question, before it is asked.
#[must_use]
pub fn begin(trip: &Trip, (kind, amount): (AskKind, Money), now: StoreTime) -> Trip {
    let ask = Ask { kind, amount, earlier: Vec::new(), since: now, silences: 0, pending: false };
    Trip { step: trip.step + 1, ask: Some(ask), ..trip.clone() }
}

/// The trip with the question that waits for the payer as the bill is now: something went back or was answered before they
/// paid. `None` when it is as it should be, while something is in dispute, or when it has followed the bill too often.
#[must_use]
pub fn revised(trip: &Trip, bill: &Bill) -> Option<Trip> {
    let ask = trip.ask.as_ref().filter(|a| a.pending && a.kind == AskKind::Capture)?;
    let due = minor(bill.owed.minor - trip.net().minor);
    if !bill.ended || bill.is_contested() || due == ask.amount || ask.earlier.len() >= MAX_EARLIER {
        return None;
    }
    let mut new = ask.clone();
    if ask.amount.minor > 0 && !new.earlier.contains(&ask.amount) {
        new.earlier.push(ask.amount);
    }
    new.amount = due;
    Some(Trip { ask: Some(new), ..trip.clone() })
}

/// Notes what the gateway said about the question under way. Without one, nothing changes: an answer that comes twice
/// counts once.
#[must_use]
pub fn answered(trip: &Trip, answer: &Answer, bill: &Bill) -> Trip {
    let mut new = trip.clone();
    let Some(ask) = new.ask.take() else { return new };
    let nothing = Money::from_minor(0);
    match (answer, ask.kind) {
        (Answer::Silence(why), _) => {
            new.reason = Some(why.clone());
            new.ask = Some(Ask { silences: ask.silences.saturating_add(1), ..ask });
        }
        (Answer::Approved(_), AskKind::Contest) => {
            new.disputed = ask.amount;
            new.reason = None;
        }
        // A gateway that does not want to know is not told for ever.
        (Answer::Declined(_) | Answer::Expired, AskKind::Contest) => new.disputed = ask.amount,
        (Answer::Paid(amount), AskKind::Capture) => {
            new.captured = minor(new.captured.minor + amount.minor);
            new.authorised = minor(new.authorised.minor - amount.minor);
            new.reason = None;
        }
        (Answer::Paid(_), _) => new.ask = Some(ask),
        (Answer::Pending, _) => new.ask = Some(Ask { pending: true, ..ask }),
        (Answer::Approved(reference), AskKind::Authorise) => {
            new.authorised = ask.amount;
            new.reference = Some(reference.clone().unwrap_or_else(|| trip.key()));
            new.reason = None;
        }
        (Answer::Approved(_), AskKind::Capture) => {
            new.captured = minor(new.captured.minor + ask.amount.minor);
            new.authorised = minor(new.authorised.minor - ask.amount.minor);
            new.reason = None;
        }
        (Answer::Approved(_), AskKind::Refund) => {
            new.refunded = minor(new.refunded.minor + ask.amount.minor);
            new.reason = None;
        }
        // What cannot be let go of lapses by itself.
        (Answer::Approved(_) | Answer::Declined(_) | Answer::Expired, AskKind::Release)
        | (Answer::Expired, AskKind::Authorise | AskKind::Capture) => {
            new.authorised = nothing;
            new.reference = None;
        }
        (Answer::Declined(why), AskKind::Authorise) if !bill.ended => {
            new.hold_declined = true;
            new.reason = Some(why.clone());
        }
        (Answer::Declined(why), AskKind::Authorise | AskKind::Capture) => {
            new.state = TripState::BadDebt;
            new.reason = Some(why.clone());
        }
        (Answer::Declined(why), AskKind::Refund) => {
            new.state = TripState::ByHand;
            new.reason = Some(why.clone());
        }
        (Answer::Expired, AskKind::Refund) => {
            new.state = TripState::ByHand;
            new.reason = Some("the gateway takes no refund of this any more".to_owned());
        }
    }
    new
}

/// People try again, after the shopper has seen to their means of payment.
#[must_use]
pub fn try_again(trip: &Trip) -> Trip {
    let mut new = trip.clone();
    if trip.ask.is_none() {
        (new.state, new.reason) = (TripState::Open, None);
        (new.authorised, new.reference) = (Money::from_minor(0), None);
    }
    new
}

/// Why somebody may not enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoEntry {
    /// An earlier visit is not paid.
    BadDebt(Money, Currency),
    /// The risk service says no.
    Risk(String),
}

impl std::fmt::Display for NoEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BadDebt(amount, currency) => {
                let (whole, part) = (amount.minor / 100, amount.minor % 100);
                write!(f, "an earlier visit is not paid: {whole}.{part:02} {currency} are open")
            }
            Self::Risk(why) => write!(f, "entry is refused: {why}"),
        }
    }
}

/// May somebody with this much open enter? The risk service's answer is asked for first, and may be none.
///
/// # Errors
/// Why not, in words for staff and shopper.
pub fn may_enter(owes: Option<(Money, Currency)>, risk: Option<&str>) -> Result<(), NoEntry> {
    if let Some((amount, currency)) = owes
        && amount > Money::from_minor(0)
    {
        return Err(NoEntry::BadDebt(amount, currency));
    }
    risk.map_or(Ok(()), |why| Err(NoEntry::Risk(why.to_owned())))
}
