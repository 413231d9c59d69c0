//! Questions about payments, stock, orders and tasks.

use linefree_bus::payload::{OrderChanged, OrderLine, OrderMoney, OrderQuestion, TaskChanged};
use rusqlite::types::Type;
use rusqlite::{Params, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{LedgerError, LedgerReader};

/// How long a robot may still bring what was picked for an order that was called off: a week, microseconds. All who were
/// ever called off would be looked through otherwise, twice a second.
const CALLED_OFF_WITHIN_US: i64 = 7 * 86_400_000_000;

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
    /// Contested by the shopper, and not answered yet.
    pub contested_minor: i64,
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
    /// As last told.
    pub order: OrderChanged,
    /// When that was.
    pub changed_us: i64,
}

/// Something that a robot or a person is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    /// As last told.
    pub task: TaskChanged,
    /// When that was.
    pub changed_us: i64,
}

/// A value without fields, as JSON and the tables write it.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    // Only called with plain enumerations, whose JSON is a text.
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The value of a word in a table.
pub(super) fn value<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    let found: Option<String> = row.get(column)?;
    let json = found.map_or(serde_json::Value::Null, serde_json::Value::String);
    serde_json::from_value(json)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(e)))
}

fn order_of(r: &Row<'_>) -> rusqlite::Result<OrderRow> {
    let question = match r.get::<_, Option<String>>("question_sku")? {
        None => None,
        Some(sku) => Some(OrderQuestion {
            sku,
            missing: r.get("question_missing")?,
            substitute: r.get("question_substitute")?,
            until_us: r.get("question_until_us")?,
        }),
    };
    let money = match r.get::<_, Option<String>>("currency")? {
        None => None,
        Some(currency) => Some(OrderMoney {
            currency,
            amount_minor: r.get("amount_minor")?,
            released_minor: r.get("released_minor")?,
            state: value(r, "money_state")?,
            reference: r.get("money_reference")?,
        }),
    };
    Ok(OrderRow {
        order: OrderChanged {
            order: r.get("order_id")?,
            state: value(r, "state")?,
            lines: Vec::new(),
            reason: r.get("reason")?,
            channel: r.get("channel")?,
            placed_us: r.get("placed_us")?,
            due_us: r.get("due_us")?,
            handover: value(r, "handover")?,
            if_short: value(r, "if_short")?,
            question,
            money,
        },
        changed_us: r.get("changed_us")?,
    })
}

fn line_of(r: &Row<'_>) -> rusqlite::Result<OrderLine> {
    let substitutes: String = r.get("substitutes")?;
    Ok(OrderLine {
        sku: r.get("sku")?,
        quantity: r.get("quantity")?,
        picked: r.get("picked")?,
        given_up: r.get("given_up")?,
        substitutes: serde_json::from_str(&substitutes)
            .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(e)))?,
        instead_of: r.get("instead_of")?,
        unit_price_minor: r.get("unit_price_minor")?,
    })
}

fn task_of(r: &Row<'_>) -> rusqlite::Result<TaskRow> {
    Ok(TaskRow {
        task: TaskChanged {
            task: r.get("task")?,
            task_kind: value(r, "kind")?,
            order: r.get("order_id")?,
            sku: r.get("sku")?,
            quantity: r.get("quantity")?,
            plate: r.get("plate")?,
            assignee: r.get("assignee")?,
            state: value(r, "state")?,
            reason: r.get("reason")?,
        },
        changed_us: r.get("changed_us")?,
    })
}

impl LedgerReader {
    /// What a visit comes to; `None` while it has no receipt.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn payment(&self, visit: &str) -> Result<Option<PaymentRow>, LedgerError> {
        let mut found = self.all(
            "SELECT visit, currency, charge_minor, answered_minor, refunded_minor, open_minor, contested_minor
             FROM payments WHERE visit = ?",
            params![visit],
            |r| {
                Ok(PaymentRow {
                    visit: r.get(0)?,
                    currency: r.get(1)?,
                    charge_minor: r.get(2)?,
                    answered_minor: r.get(3)?,
                    refunded_minor: r.get(4)?,
                    open_minor: r.get(5)?,
                    contested_minor: r.get(6)?,
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

    fn orders_where(&self, rest: &str, values: impl Params) -> Result<Vec<OrderRow>, LedgerError> {
        let mut orders = self.all(&format!("SELECT * FROM orders {rest}"), values, order_of)?;
        for row in &mut orders {
            row.order.lines = self.all(
                "SELECT * FROM order_lines WHERE order_id = ? ORDER BY line",
                params![row.order.order],
                line_of,
            )?;
        }
        Ok(orders)
    }

    /// The version of the chain's command of a kind that is in force.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn version_in_force(&self, kind: &str) -> Result<Option<u64>, LedgerError> {
        let found: Vec<i64> =
            self.all("SELECT version FROM in_force WHERE kind = ?", params![kind], |r| r.get(0))?;
        Ok(found.first().map(|version| version.cast_unsigned()))
    }

    /// The orders, last changed first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn orders(&self, limit: u32) -> Result<Vec<OrderRow>, LedgerError> {
        self.orders_where("ORDER BY changed_us DESC, order_id LIMIT ?", params![limit])
    }

    /// One order.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn order(&self, order: &str) -> Result<Option<OrderRow>, LedgerError> {
        Ok(self.orders_where("WHERE order_id = ?", params![order])?.pop())
    }

    /// The orders that planning may still change: those that are not over, and those that were called off within
    /// `CALLED_OFF_WITHIN_US` and whose items may still be about.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open_orders(&self, now_us: i64) -> Result<Vec<OrderRow>, LedgerError> {
        self.orders_where(
            "WHERE state IN ('received', 'picking', 'asking', 'ready', 'on_the_way')
               OR (state = 'cancelled' AND changed_us > ? AND EXISTS (
                 SELECT 1 FROM tasks p WHERE p.order_id = orders.order_id AND p.kind = 'pick'
                 GROUP BY p.sku
                 HAVING sum(p.state IN ('waiting', 'assigned', 'underway')) > 0
                     OR sum(CASE WHEN p.state = 'done' THEN p.quantity ELSE 0 END) > (
                       SELECT coalesce(sum(r.quantity), 0) FROM tasks r
                       WHERE r.order_id = p.order_id AND r.sku = p.sku AND r.kind = 'return'
                         AND r.state <> 'cancelled')))
             ORDER BY order_id",
            params![now_us.saturating_sub(CALLED_OFF_WITHIN_US)],
        )
    }

    /// The tasks, last changed first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn tasks(&self, limit: u32) -> Result<Vec<TaskRow>, LedgerError> {
        self.all("SELECT * FROM tasks ORDER BY changed_us DESC, task LIMIT ?", params![limit], task_of)
    }

    /// One task.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn task(&self, task: &str) -> Result<Option<TaskRow>, LedgerError> {
        Ok(self.all("SELECT * FROM tasks WHERE task = ?", params![task], task_of)?.pop())
    }

    /// The tasks of an order, as they were made.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn tasks_of(&self, order: &str) -> Result<Vec<TaskRow>, LedgerError> {
        self.all(
            "SELECT * FROM tasks WHERE order_id = ? ORDER BY length(task), task",
            params![order],
            task_of,
        )
    }

    /// The tasks that somebody has still to do.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open_tasks(&self) -> Result<Vec<TaskRow>, LedgerError> {
        self.all(
            "SELECT * FROM tasks WHERE state IN ('waiting', 'assigned', 'underway') ORDER BY task",
            params![],
            task_of,
        )
    }
}
