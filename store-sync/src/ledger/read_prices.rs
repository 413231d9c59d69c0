//! Questions about price rules and contests.

use linefree_bus::payload::{ContestChanged, PriceRules};
use rusqlite::types::Type;
use rusqlite::{Row, params};
use serde::de::DeserializeOwned;

use super::read_orders::value;
use super::{LedgerError, LedgerReader, clamp_seq};

/// Price rules that came into force, or will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceRulesRow {
    /// Their version.
    pub version: u64,
    /// Visits that begin now or later are priced by them.
    pub from_us: i64,
    /// The rules.
    pub rules: PriceRules,
}

/// A contest as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContestRow {
    /// As last told.
    pub contest: ContestChanged,
    /// When that was.
    pub changed_us: i64,
}

/// A column that holds JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(e)))
}

fn rules_of(r: &Row<'_>) -> rusqlite::Result<PriceRulesRow> {
    Ok(PriceRulesRow { version: r.get::<_, i64>(0)?.cast_unsigned(), from_us: r.get(1)?, rules: json(r, 2)? })
}

impl LedgerReader {
    /// A version of the price rules.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn price_rules(&self, version: u64) -> Result<Option<PriceRulesRow>, LedgerError> {
        let sql = "SELECT version, from_us, rules FROM price_rules WHERE version = ?";
        Ok(self.all(sql, params![clamp_seq(version)], rules_of)?.pop())
    }

    /// The newest price rules that are in force at a moment.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn price_rules_at(&self, at_us: i64) -> Result<Option<PriceRulesRow>, LedgerError> {
        let sql = "SELECT version, from_us, rules FROM price_rules WHERE from_us <= ? ORDER BY version DESC LIMIT 1";
        Ok(self.all(sql, params![at_us], rules_of)?.pop())
    }

    /// A contest.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn contest(&self, contest: &str) -> Result<Option<ContestRow>, LedgerError> {
        let found = self.all(
            "SELECT contest, visit, sku, currency, amount_minor, state, changed_us FROM contests WHERE contest = ?",
            params![contest],
            |r| {
                Ok(ContestRow {
                    contest: ContestChanged {
                        contest: r.get(0)?,
                        visit: r.get(1)?,
                        sku: r.get(2)?,
                        currency: r.get(3)?,
                        amount_minor: r.get(4)?,
                        state: value(r, "state")?,
                    },
                    changed_us: r.get(6)?,
                })
            },
        )?;
        Ok(found.into_iter().next())
    }
}
