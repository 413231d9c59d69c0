//! What a signed receipt says: what was bought, what was answered and paid back since, and what it comes to.

use serde_json::{Value, json};

use crate::cloud::event::rfc3339;
use crate::gs1::product_uri;
use crate::ledger::{LedgerError, LedgerReader};

/// What a visit bought, as it is signed; `None` while it has no receipt. Without the credential: whoever shows a receipt
/// shows what was bought, not who they are.
///
/// # Errors
/// [`LedgerError`].
pub fn receipt_document(ledger: &LedgerReader, visit: &str) -> Result<Option<Value>, LedgerError> {
    let Some(receipt) = ledger.receipt(visit)? else { return Ok(None) };
    let settled = ledger.settled(visit)?;
    let lines = receipt.lines.iter().map(|line| {
        json!({
            "sku": line.sku,
            "product": product_uri(&line.sku),
            "name": line.name,
            "quantity": line.quantity,
            "unit_price_minor": line.unit_price_minor,
            "amount_minor": line.amount_minor,
            "changes": line.steps,
            "in_review": line.review,
        })
    });
    let answers = settled.answers.iter().map(|a| {
        json!({ "sku": a.sku, "quantity": a.quantity, "charge_minor": a.charge_minor, "time": rfc3339(a.time_us) })
    });
    let refunds = settled.refunds.iter().map(|r| {
        json!({ "refund": r.refund, "amount_minor": r.amount_minor, "reason": r.reason, "time": rfc3339(r.issued_us) })
    });
    let paid = receipt.charge_minor + settled.answered_minor() - settled.refunded_minor();
    Ok(Some(json!({
        "type": "org.linefree.receipt.v1",
        "store": ledger.identity()?.1,
        "visit": receipt.visit,
        "event": settled.event.to_string(),
        "entered": rfc3339(receipt.entered_us),
        "left": rfc3339(receipt.left_us),
        "currency": receipt.currency,
        "lines": lines.collect::<Vec<_>>(),
        "answers": answers.collect::<Vec<_>>(),
        "refunds": refunds.collect::<Vec<_>>(),
        "charged_minor": receipt.charge_minor,
        "in_review_minor": receipt.in_review_minor,
        "paid_minor": paid,
    })))
}

/// Do the amounts of a receipt add up?
pub(super) fn check_sums(receipt: &Value) -> Result<(), String> {
    let of = |value: &Value, name: &str| value[name].as_i64().map(i128::from).ok_or(format!("no {name:?}"));
    let list = |name: &str| receipt[name].as_array().map(Vec::as_slice).ok_or(format!("no {name:?}"));
    let (mut charged, mut in_review) = (0, 0);
    for line in list("lines")? {
        let mut amount = of(line, "quantity")? * of(line, "unit_price_minor")?;
        // Where price rules made it, their steps lead to it; receipts of before know none.
        let changes = line["changes"].as_array().filter(|c| !c.is_empty());
        if let Some(changes) = changes {
            amount = 0;
            for change in changes {
                amount += of(change, "change_minor")?;
            }
        }
        if amount != of(line, "amount_minor")? {
            return Err(format!("the line of {} does not come to its amount", line["sku"]));
        }
        let to = if line["in_review"] == true { &mut in_review } else { &mut charged };
        *to += amount;
    }
    for (name, sum) in [("charged_minor", charged), ("in_review_minor", in_review)] {
        let told = of(receipt, name)?;
        if told != sum {
            return Err(format!("{name} is {told}, its lines come to {sum}"));
        }
    }
    let mut paid = charged;
    for answer in list("answers")? {
        paid += of(answer, "charge_minor")?;
    }
    for refund in list("refunds")? {
        paid -= of(refund, "amount_minor")?;
    }
    let told = of(receipt, "paid_minor")?;
    if told != paid {
        return Err(format!("paid_minor is {told}, it comes to {paid}"));
    }
    Ok(())
}
