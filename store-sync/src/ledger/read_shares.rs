//! What sellers are owed of a visit's money as it stands: with answers to reviews and refunds.
//!
//! Nothing of it is kept: it follows from what was priced, answered and paid back, and from the rules that priced it.

use std::collections::BTreeMap;

use linefree_bus::payload::{PriceWhy, SellerShare};
use linefree_domain::shares::{ChargedLine, shares};
use linefree_domain::units::Money;
use rusqlite::params;

use super::price_book::{OWN_SELLER, tax_in};
use super::rows::LineRow;
use super::{AnswerRow, LedgerError, LedgerReader, PriceRulesRow};

impl LedgerReader {
    /// What each seller is owed of a visit's money; sums to what was charged and answered less what went back. Empty for
    /// a visit without a receipt.
    ///
    /// # Errors
    /// [`LedgerError`]; also when an amount does not fit.
    pub fn shares(&self, visit: &str) -> Result<Vec<SellerShare>, LedgerError> {
        let Some(receipt) = self.receipt(visit)? else { return Ok(Vec::new()) };
        let rules = receipt.rules_version.map(|v| self.price_rules(v)).transpose()?.flatten();
        let priced: BTreeMap<String, (String, i64)> = self
            .all(
                "SELECT p.sku, p.seller, p.tax_minor FROM receipts r JOIN receipt_price_lines p
                   ON p.visit = r.visit AND p.closed_epoch = r.by_epoch AND p.closed_source = r.by_source
                      AND p.closed_seq = r.by_seq
                 WHERE r.visit = ?",
                params![visit],
                |r| Ok((r.get(0)?, (r.get(1)?, r.get(2)?))),
            )?
            .into_iter()
            .collect();
        let mut refunded: BTreeMap<String, i64> = self
            .all(
                "SELECT l.sku, sum(l.amount_minor) FROM refund_lines l JOIN refunds r USING (refund)
                 WHERE r.visit = ? GROUP BY l.sku",
                params![visit],
                |r| Ok((r.get(0)?, r.get(1)?)),
            )?
            .into_iter()
            .collect();
        let mut answers: BTreeMap<String, AnswerRow> =
            self.settled(visit)?.answers.into_iter().map(|a| (a.sku.clone(), a)).collect();
        let mut charged = Vec::new();
        for line in &receipt.lines {
            let (seller, whole_tax) =
                priced.get(&line.sku).cloned().unwrap_or_else(|| (OWN_SELLER.to_owned(), 0));
            let (mut minor, mut tax) = if line.review { (0, 0) } else { (line.amount_minor, whole_tax) };
            if let Some(answer) = answers.remove(&line.sku) {
                minor = minor.saturating_add(answer.charge_minor);
                tax = tax.saturating_add(tax_of(&answer, line, whole_tax, rules.as_ref()));
            }
            charged.push(ChargedLine {
                seller,
                charged: Money::from_minor(minor),
                tax: Money::from_minor(tax),
                refunded: Money::from_minor(refunded.remove(&line.sku).unwrap_or(0)),
            });
        }
        // What names no line of the receipt is the store's own affair, and counts.
        let of_store = |charged, refunded| ChargedLine {
            seller: OWN_SELLER.to_owned(),
            charged: Money::from_minor(charged),
            tax: Money::default(),
            refunded: Money::from_minor(refunded),
        };
        charged.extend(answers.into_values().map(|a| of_store(a.charge_minor, 0)));
        charged.extend(refunded.into_values().map(|minor| of_store(0, minor)));
        let commissions = rules.iter().flat_map(|r| &r.rules.commissions);
        let commission_bp = commissions.map(|c| (c.seller.clone(), c.rate_bp)).collect();
        let of = shares(charged, &commission_bp).map_err(|e| LedgerError::Refused(e.to_string()))?;
        let share = |(seller, of): (String, linefree_domain::pricing::SellerTotal)| SellerShare {
            seller,
            paid_minor: of.paid.minor,
            tax_minor: of.tax.minor,
            commission_minor: of.commission.minor,
        };
        Ok(of.into_iter().map(share).collect())
    }
}

/// The tax in what an answer charges.
fn tax_of(answer: &AnswerRow, line: &LineRow, whole: i64, rules: Option<&PriceRulesRow>) -> i64 {
    if answer.quantity == line.quantity {
        return whole;
    }
    let added = answer.steps.iter().find(|s| matches!(s.why, PriceWhy::Tax { .. })).map(|s| s.change_minor);
    match rules {
        Some(rules) if rules.rules.tax_included => tax_in(&rules.rules, &line.sku, answer.charge_minor),
        _ => added.unwrap_or(0),
    }
}
