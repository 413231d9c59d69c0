//! What the store does with the cloud's commands: each is decided about once, in order, and answered with an event.
//!
//! **One transaction** holds the decision, what it changes and the answer. **In order**: a command whose number is not
//! the next is not looked at; a known number is skipped. **Never guess**: a body that is broken, of an unknown kind, older
//! than what is in force, or about something that this store does not have is refused, and the reason says which field.
//! **Money**: a line is answered once; refunds never exceed what a visit paid, counting every earlier refund. A ledger that
//! was put back from an older copy is told by the cloud what it had answered, and does not do it again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use linefree_bus::payload::{
    CommandAnswered, EventBody, PriceRulesChanged, RefundIssued, RefundLine, ReviewAnswered,
};
use linefree_domain::ids::Sku;
use linefree_domain::orders::steps;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde_json::Value;

pub use super::facts::StoreFacts;
use super::facts::{in_force, known_prices, known_skus};
use super::new_orders::{order_received, step};
use super::price_book::{self, price_answer};
use super::retention::KeepDays;
use super::sound::unsound;
use super::{Doing, LedgerError, LedgerReader, clamp_seq, connect, own};
use crate::cloud::command::{CatalogueProduct, Command, CommandBody, Price, RefundedLine};

/// What became of a page of commands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decided {
    /// Taken.
    pub accepted: u64,
    /// Refused: which, and why.
    pub refused: Vec<(String, String)>,
    /// Known already.
    pub known: u64,
    /// Known numbers that came with another content: the first stays.
    pub contradictions: u64,
    /// Every command up to this number is decided about.
    pub command_seq: u64,
}

/// Decides about commands. Beside the writer of events, over a connection of its own.
#[derive(Debug)]
pub struct Commander {
    conn: Connection,
    reader: LedgerReader,
    path: PathBuf,
    facts: StoreFacts,
}

/// Why a command is refused.
pub(super) type Decision = Result<Vec<EventBody>, String>;

impl Commander {
    /// Of a ledger that exists.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(ledger: &Path, facts: StoreFacts) -> Result<Self, LedgerError> {
        let reader = LedgerReader::open(ledger)?;
        Ok(Self { conn: connect(ledger)?, reader, path: ledger.to_owned(), facts })
    }

    /// The store that the ledger belongs to.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn store(&self) -> Result<String, LedgerError> {
        Ok(self.reader.identity()?.1)
    }

    /// Where the ledger is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every command up to this number is decided about.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn command_seq(&self) -> Result<u64, LedgerError> {
        self.conn
            .query_row("SELECT coalesce(max(command_seq), 0) FROM commands", [], |r| r.get::<_, i64>(0))
            .doing("reading the commands")
            .map(i64::cast_unsigned)
    }

    /// The command of a kind that is in force, if any: its version and whole text.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn in_force(&self, kind: &str) -> Result<Option<(u64, String)>, LedgerError> {
        in_force(&self.conn, kind)
    }

    /// What products cost that store.toml does not have, by SKU, as far as the prices in force say.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn prices_beyond_store_toml(
        &self,
        products: &[CatalogueProduct],
    ) -> Result<BTreeMap<String, i64>, LedgerError> {
        let mut beyond =
            products.iter().map(|p| &p.sku).filter(|sku| !self.facts.skus.contains(*sku)).peekable();
        if beyond.peek().is_none() {
            return Ok(BTreeMap::new());
        }
        let known = known_prices(&self.conn, &self.facts)?;
        Ok(beyond.filter_map(|sku| Some((sku.clone(), *known.get(sku)?))).collect())
    }

    /// Are the projections, which decisions about money rest on, up to date?
    fn projections_are_current(&self) -> Result<bool, LedgerError> {
        Ok(self.reader.projected_seq()? >= self.reader.last_seq()?)
    }

    /// Decides about commands, in order, each in a transaction of its own. Stops before the first whose number is not
    /// the next, and before anything at all while the projections are behind: ask again.
    ///
    /// # Errors
    /// [`LedgerError`]; what was decided until then stays.
    pub fn take(&mut self, commands: &[Command], now_us: i64) -> Result<Decided, LedgerError> {
        let mut out = Decided { command_seq: self.command_seq()?, ..Decided::default() };
        for command in commands {
            if command.seq <= out.command_seq {
                if self.is_known(command)? {
                    out.known += 1;
                } else {
                    out.contradictions += 1;
                }
                continue;
            }
            if command.seq != out.command_seq + 1 {
                break;
            }
            let mut waited = 0;
            while !self.projections_are_current()? {
                if waited == 200 {
                    return Ok(out);
                }
                waited += 1;
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            match self.decide(command, now_us)? {
                None => out.accepted += 1,
                Some(reason) => out.refused.push((command.command.clone(), reason)),
            }
            out.command_seq = command.seq;
        }
        Ok(out)
    }

    fn is_known(&self, command: &Command) -> Result<bool, LedgerError> {
        let told: Option<String> = self
            .conn
            .query_row("SELECT told FROM commands WHERE command_seq = ?", [clamp_seq(command.seq)], |r| {
                r.get(0)
            })
            .optional()
            .doing("looking a command up")?;
        Ok(told.is_some_and(|told| told == text_of(command)))
    }

    /// `None` when it is taken, else why not.
    fn decide(&mut self, command: &Command, now_us: i64) -> Result<Option<String>, LedgerError> {
        let doing = "deciding about a command";
        let (facts, reader) = (&self.facts, &self.reader);
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).doing(doing)?;
        let told_kind: String = command.body.get("kind").and_then(Value::as_str).unwrap_or("?").into();
        // Kept short and printable, so that whatever the cloud sends fits in the tables and in the answer.
        let kind: String = told_kind.chars().filter(|c| !c.is_control()).take(64).collect();
        let kind = if kind.is_empty() { "?".to_owned() } else { kind };
        let id = &command.command;
        let is_id = (1..=64).contains(&id.chars().count())
            && !id.chars().any(char::is_control)
            // That is how a command without an id of its own is called here.
            && !id.starts_with('#');
        let taken_id: bool = tx
            .query_row("SELECT EXISTS (SELECT 1 FROM commands WHERE command = ?)", [id], |r| r.get(0))
            .doing(doing)?;
        let parsed = if !is_id {
            Err("a command's id has 1 to 64 characters, none of them a control character or # at the beginning"
                .to_owned())
        } else if taken_id {
            Err(format!("command {id} was decided about under another number"))
        } else {
            serde_json::from_value::<CommandBody>(command.body.clone()).map_err(|e| format!("body: {e}"))
        };
        let before = command.answered.filter(|_| parsed.as_ref().is_ok_and(|body| !body.is_state()));
        let decision = match &parsed {
            Err(why) => Err(why.clone()),
            // The cloud has the answer, this ledger does not: it was put back from an older copy. What followed from the
            // command comes back with the events; it must not happen twice.
            Ok(_) if before == Some(true) => Ok(Vec::new()),
            Ok(_) if before == Some(false) => Err("refused before the ledger was put back".to_owned()),
            Ok(body) => decide_body(&tx, reader, facts, command, body, now_us)?,
        };
        let reason: Option<String> =
            decision.as_ref().err().map(|why| why.chars().filter(|c| !c.is_control()).take(500).collect());
        // A doubled id still needs its own row: its number is taken.
        let row_id = if taken_id || !is_id { format!("#{}", command.seq) } else { id.clone() };
        tx.execute(
            "INSERT INTO commands (command_seq, command, kind, version, told, accepted, reason, received_us)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                clamp_seq(command.seq),
                row_id,
                kind,
                clamp_seq(command.version),
                text_of(command),
                reason.is_none(),
                reason,
                now_us
            ],
        )
        .doing(doing)?;
        if let (Ok(body), None) = (&parsed, &reason)
            && body.is_state()
        {
            tx.execute(
                "INSERT INTO in_force (kind, version, command_seq) VALUES (?, ?, ?)
                 ON CONFLICT DO UPDATE SET version = excluded.version, command_seq = excluded.command_seq",
                params![kind, clamp_seq(command.version), clamp_seq(command.seq)],
            )
            .doing(doing)?;
        }
        for body in decision.unwrap_or_default() {
            own::say(&tx, body, now_us)?;
        }
        if before.is_some() {
            tx.commit().doing(doing)?;
            return Ok(reason);
        }
        let answer = CommandAnswered {
            command: row_id,
            command_seq: command.seq,
            command_kind: kind,
            version: command.version,
            accepted: reason.is_none(),
            reason: reason.clone(),
        };
        own::say(&tx, EventBody::CommandAnswered(answer), now_us)?;
        tx.commit().doing(doing)?;
        Ok(reason)
    }
}

fn text_of(command: &Command) -> String {
    // What the cloud knows of the answer changes; the command does not. A JSON value has no keys that are no text, so it
    // can always be written.
    serde_json::to_string(&Command { answered: None, ..command.clone() }).unwrap_or_default()
}

fn decide_body(
    tx: &Transaction<'_>,
    reader: &LedgerReader,
    facts: &StoreFacts,
    command: &Command,
    body: &CommandBody,
    now_us: i64,
) -> Result<Decision, LedgerError> {
    if body.is_state()
        && let Some((version, _)) = in_force(tx, body.kind())?
        && command.version <= version
    {
        return Ok(Err(format!(
            "version {} is not newer than version {version}, which is in force",
            command.version
        )));
    }
    let known = known_skus(tx, facts)?;
    let sku_is_known = |field: &str, sku: &str| {
        if known.contains(sku) { Ok(()) } else { Err(format!("{field}: this store has no product {sku:?}")) }
    };
    let checked = match body {
        CommandBody::Catalogue { products } => check_catalogue(products),
        CommandBody::Prices { currency, prices } => check_prices(facts, currency, prices, sku_is_known),
        CommandBody::Planogram { facings } => {
            let mut check = Ok(());
            for (i, facing) in facings.iter().enumerate() {
                let plate = facing.plates.iter().find(|p| !facts.plates.contains(*p));
                check = sku_is_known(&format!("facings[{i}].sku"), &facing.sku).and(match plate {
                    Some(plate) => Err(format!("facings[{i}].plates: this store has no plate {plate:?}")),
                    None if facing.plates.is_empty() => Err(format!("facings[{i}].plates is empty")),
                    None => Ok(()),
                });
                if check.is_err() {
                    break;
                }
            }
            check
        }
        CommandBody::PriceRules { .. } if command.version == 0 => {
            Err("version is 0: versions of price rules begin at 1".to_owned())
        }
        CommandBody::PriceRules { from_us, rules } => {
            let from_us = from_us.unwrap_or(now_us);
            return Ok(price_book::check(facts, rules, sku_is_known).map(|()| {
                let changed = PriceRulesChanged { version: command.version, from_us, rules: rules.clone() };
                vec![EventBody::PriceRulesChanged(Box::new(changed))]
            }));
        }
        CommandBody::ModelRollout { model, sha256 } => {
            if model.is_empty() || model.len() > 64 {
                Err("model has 1 to 64 characters".to_owned())
            } else if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
                Err("sha256 is not 64 hexadecimal digits".to_owned())
            } else {
                Ok(())
            }
        }
        CommandBody::Policy { review_below, keep_days } => {
            if (0.0..=1.0).contains(review_below) {
                KeepDays::new(keep_days.clone()).map(drop).map_err(|e| format!("keep_days: {e}"))
            } else {
                Err(format!("review_below is {review_below}, 0 to 1 is allowed"))
            }
        }
        CommandBody::Order(order) => {
            if accepted_before(tx, "order", &[("order", &order.order)])? {
                return Ok(Err(format!("order {:?} is here already", order.order)));
            }
            return Ok(order_received(tx, reader, facts, order, now_us)?.map(|(body, _)| body));
        }
        CommandBody::OrderCancelled { order, reason } => {
            return step(reader, order, |o| steps::call_off(o, reason));
        }
        CommandBody::ReviewAnswer { visit, sku, quantity } => {
            return review_answer(tx, reader, visit, sku, *quantity);
        }
        CommandBody::Refund { refund, visit, lines, reason } => {
            return refund_issued(tx, reader, refund, visit, lines, reason);
        }
    };
    Ok(checked.map(|()| Vec::new()))
}

pub(super) fn each_once<'a>(field: &str, skus: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (i, sku) in skus.enumerate() {
        if sku.is_empty() || sku.chars().count() > 64 {
            return Err(format!("{field}[{i}].sku has 1 to 64 characters"));
        }
        if !seen.insert(sku) {
            return Err(format!("{field}[{i}].sku: {sku:?} stands there twice"));
        }
    }
    if seen.is_empty() { Err(format!("{field} is empty")) } else { Ok(()) }
}

fn check_catalogue(products: &[CatalogueProduct]) -> Result<(), String> {
    each_once("products", products.iter().map(|p| p.sku.as_str()))?;
    for (i, p) in products.iter().enumerate() {
        if !(p.weight_g > 0.0 && p.weight_g <= 1e6) {
            return Err(format!("products[{i}].weight_g is {}: more than 0, at most 1000000", p.weight_g));
        }
        Sku::new(&p.sku).map_err(|e| format!("products[{i}].sku: {e}"))?;
        if p.name.is_empty() || p.name.chars().count() > 1000 {
            return Err(format!("products[{i}].name has 1 to 1000 characters"));
        }
    }
    Ok(())
}

fn check_prices(
    facts: &StoreFacts,
    currency: &str,
    prices: &[Price],
    sku_is_known: impl Fn(&str, &str) -> Result<(), String>,
) -> Result<(), String> {
    if let Some(own) = &facts.currency
        && own != currency
    {
        return Err(format!("currency is {currency:?}, this store charges {own}"));
    }
    each_once("prices", prices.iter().map(|p| p.sku.as_str()))?;
    for (i, p) in prices.iter().enumerate() {
        sku_is_known(&format!("prices[{i}].sku"), &p.sku)?;
        if !(0..=1_000_000_000).contains(&p.unit_price_minor) {
            return Err(format!(
                "prices[{i}].unit_price_minor is {}: 0 to 1000000000 is allowed",
                p.unit_price_minor
            ));
        }
    }
    Ok(())
}

/// Was a command about the same thing accepted before?
fn accepted_before(tx: &Transaction<'_>, kind: &str, paths: &[(&str, &str)]) -> Result<bool, LedgerError> {
    let mut sql = String::from("SELECT EXISTS (SELECT 1 FROM commands WHERE accepted AND kind = ?");
    let mut values = vec![kind];
    for (path, value) in paths {
        sql.push_str(&format!(" AND told ->> '$.body.{path}' = ?"));
        values.push(value);
    }
    sql.push(')');
    tx.query_row(&sql, rusqlite::params_from_iter(values), |r| r.get(0)).doing("looking for earlier commands")
}

pub(super) fn sound(body: EventBody) -> Decision {
    unsound(&body).map(|()| vec![body])
}

pub(super) fn review_answer(
    tx: &Transaction<'_>,
    reader: &LedgerReader,
    visit: &str,
    sku: &str,
    quantity: u32,
) -> Result<Decision, LedgerError> {
    if accepted_before(tx, "review_answer", &[("visit", visit), ("sku", sku)])? {
        return Ok(Err(format!(
            "{sku:?} of visit {visit:?} was answered already: use a refund to correct it"
        )));
    }
    if reader.is_answered(visit, sku)? {
        return Ok(Err(format!(
            "{sku:?} of visit {visit:?} was answered in the store: use a refund to correct it"
        )));
    }
    let Some(receipt) = reader.receipt(visit)? else {
        return Ok(Err(no_receipt(visit)));
    };
    let Some(line) = receipt.lines.iter().find(|l| l.sku == sku && l.review) else {
        return Ok(Err(format!("visit {visit:?} has no line {sku:?} in review")));
    };
    if quantity > line.quantity {
        return Ok(Err(format!("quantity is {quantity}, the line has {}", line.quantity)));
    }
    let (charge_minor, steps) = match price_answer(reader, &receipt, sku, quantity)? {
        Ok(priced) => priced,
        Err(why) => return Ok(Err(why)),
    };
    Ok(sound(EventBody::ReviewAnswered(ReviewAnswered {
        visit: visit.to_owned(),
        sku: sku.to_owned(),
        quantity,
        currency: receipt.currency,
        charge_minor,
        steps,
    })))
}

/// Why nothing can be decided about a visit that is not known, for people.
pub(super) fn no_receipt(visit: &str) -> String {
    format!("visit {visit:?} has no receipt in this store")
}

pub(super) fn refund_issued(
    tx: &Transaction<'_>,
    reader: &LedgerReader,
    refund: &str,
    visit: &str,
    lines: &[RefundedLine],
    reason: &str,
) -> Result<Decision, LedgerError> {
    if accepted_before(tx, "refund", &[("refund", refund)])? {
        return Ok(Err(format!("refund {refund:?} was issued already")));
    }
    let Some(payment) = reader.payment(visit)? else {
        return Ok(Err(no_receipt(visit)));
    };
    if let Err(why) = each_once("lines", lines.iter().map(|l| l.sku.as_str())) {
        return Ok(Err(why));
    }
    if let Some(i) = lines.iter().position(|l| l.amount_minor < 0) {
        return Ok(Err(format!("lines[{i}].amount_minor is {}: not less than 0", lines[i].amount_minor)));
    }
    let amount: i64 = lines.iter().fold(0, |sum: i64, l| sum.saturating_add(l.amount_minor));
    let left = payment.charge_minor + payment.answered_minor - payment.refunded_minor;
    if amount > left {
        return Ok(Err(format!(
            "the refund is {amount}, but of visit {visit:?} only {left} can still be refunded"
        )));
    }
    Ok(sound(EventBody::RefundIssued(RefundIssued {
        refund: refund.to_owned(),
        visit: visit.to_owned(),
        currency: payment.currency,
        lines: lines
            .iter()
            .map(|l| RefundLine { sku: l.sku.clone(), quantity: l.quantity, amount_minor: l.amount_minor })
            .collect(),
        amount_minor: amount,
        reason: reason.to_owned(),
    })))
}
