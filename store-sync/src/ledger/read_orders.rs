//! Questions about payments, stock, orders and tasks.

use rusqlite::params;

use super::{LedgerError, LedgerReader};

/// What a visit comes to, minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentRow {
    /// The visit.
    pub visit: String,
    /// ISO 4217.
    pub currency: String,
    /// Charged with the receipt.
    pub charge_minor: i64,
    /// Charged after somebody looked.
    pub answered_minor: i64,
    /// Paid back.
    pub refunded_minor: i64,
    /// Still in review.
    pub open_minor: i64,
}

/// What lies on a plate.
#[derive(Debug, Clone, PartialEq)]
pub struct StockRow {
    /// `gondola/shelf/plate`.
    pub plate: String,
    /// What was counted there.
    pub sku: String,
    /// How many there were.
    pub counted: i64,
    /// When.
    pub counted_us: i64,
    /// How many there are, as far as takes are explained.
    pub quantity: i64,
    /// What the weight has changed by since, grams.
    pub delta_g: f64,
}

/// An online order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// Its id.
    pub order: String,
    /// How far it has come.
    pub state: String,
    /// Why, where it was said.
    pub reason: Option<String>,
    /// When it last changed.
    pub changed_us: i64,
    /// SKU, wanted, picked.
    pub lines: Vec<(String, u32, u32)>,
}

/// A pick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    /// Its id.
    pub task: String,
    /// For which order.
    pub order: String,
    /// What.
    pub sku: String,
    /// How many.
    pub quantity: u32,
    /// From where.
    pub plate: String,
    /// Who does it.
    pub assignee: Option<String>,
    /// How far it has come.
    pub state: String,
    /// Why, where it was said.
    pub reason: Option<String>,
    /// When it last changed.
    pub changed_us: i64,
}

impl LedgerReader {
    /// What a visit comes to; `None` while it has no receipt.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn payment(&self, visit: &str) -> Result<Option<PaymentRow>, LedgerError> {
        let mut found = self.all(
            "SELECT visit, currency, charge_minor, answered_minor, refunded_minor, open_minor FROM payments
             WHERE visit = ?",
            params![visit],
            |r| {
                Ok(PaymentRow {
                    visit: r.get(0)?,
                    currency: r.get(1)?,
                    charge_minor: r.get(2)?,
                    answered_minor: r.get(3)?,
                    refunded_minor: r.get(4)?,
                    open_minor: r.get(5)?,
                })
            },
        )?;
        Ok(found.pop())
    }

    /// What lies on the plates that somebody has counted.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn stock(&self, limit: u32) -> Result<Vec<StockRow>, LedgerError> {
        self.all(
            "SELECT plate, sku, counted, counted_us, quantity, delta_g FROM stock ORDER BY plate LIMIT ?",
            params![limit],
            |r| {
                Ok(StockRow {
                    plate: r.get(0)?,
                    sku: r.get(1)?,
                    counted: r.get(2)?,
                    counted_us: r.get(3)?,
                    quantity: r.get(4)?,
                    delta_g: r.get(5)?,
                })
            },
        )
    }

    /// The orders, last changed first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn orders(&self, limit: u32) -> Result<Vec<OrderRow>, LedgerError> {
        let mut orders = self.all(
            "SELECT order_id, state, reason, changed_us FROM orders ORDER BY changed_us DESC, order_id LIMIT ?",
            params![limit],
            |r| {
                Ok(OrderRow {
                    order: r.get(0)?,
                    state: r.get(1)?,
                    reason: r.get(2)?,
                    changed_us: r.get(3)?,
                    lines: Vec::new(),
                })
            },
        )?;
        for order in &mut orders {
            order.lines = self.all(
                "SELECT sku, quantity, picked FROM order_lines WHERE order_id = ? ORDER BY sku",
                params![order.order],
                |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)),
            )?;
        }
        Ok(orders)
    }

    /// The tasks, last changed first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn tasks(&self, limit: u32) -> Result<Vec<TaskRow>, LedgerError> {
        self.all(
            "SELECT task, order_id, sku, quantity, plate, assignee, state, reason, changed_us FROM tasks
             ORDER BY changed_us DESC, task LIMIT ?",
            params![limit],
            |r| {
                Ok(TaskRow {
                    task: r.get(0)?,
                    order: r.get(1)?,
                    sku: r.get(2)?,
                    quantity: r.get(3)?,
                    plate: r.get(4)?,
                    assignee: r.get(5)?,
                    state: r.get(6)?,
                    reason: r.get(7)?,
                    changed_us: r.get(8)?,
                })
            },
        )
    }
}

impl LedgerReader {
    /// One order.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn order(&self, order: &str) -> Result<Option<OrderRow>, LedgerError> {
        // A store has hundreds of open orders, not millions.
        Ok(self.orders(u32::MAX)?.into_iter().find(|o| o.order == order))
    }
}
