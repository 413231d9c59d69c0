//! Unit prices that the chain has commanded, and which of them are in force when.
//!
//! A list is in force from the moment at which the store took it until it takes a newer one. A visit is priced by the
//! list that was in force when it began; a product that the list does not name costs what store.toml says.
//!
//! Limits: [`KEPT`] parsed lists stay in memory; an older one is read again.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::{Doing, LedgerError};
use crate::cloud::command::{Command, CommandBody};

/// Parsed lists in memory: visits that overlap a change of prices need two.
const KEPT: usize = 4;

/// The newest list that was taken until a moment: found by schema/3.sql's index, in whose order it stands.
pub(super) const NEWEST_PRICES: &str = "SELECT command_seq, received_us FROM commands
     WHERE kind = 'prices' AND accepted = 1 AND received_us <= ? ORDER BY command_seq DESC LIMIT 1";

/// Unit prices of one command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PriceList {
    /// The command's version.
    pub version: u64,
    /// ISO 4217.
    pub currency: String,
    /// By SKU, minor units.
    pub minor: BTreeMap<String, i64>,
}

/// The lists of one ledger.
#[derive(Debug, Default)]
pub(super) struct PriceLists {
    /// By number and moment of the command, the last used last. The moment tells a ledger that was put back.
    kept: Vec<((i64, i64), Arc<PriceList>)>,
}

impl PriceLists {
    /// The list in force at a moment.
    pub fn at(&mut self, conn: &Connection, at_us: i64) -> Result<Option<Arc<PriceList>>, LedgerError> {
        let doing = "reading the prices in force";
        let key: Option<(i64, i64)> = conn
            .prepare_cached(NEWEST_PRICES)
            .and_then(|mut s| s.query_row([at_us], |r| Ok((r.get(0)?, r.get(1)?))).optional())
            .doing(doing)?;
        let Some(key) = key else { return Ok(None) };
        if let Some(at) = self.kept.iter().position(|(known, _)| *known == key) {
            let found = self.kept.remove(at);
            let list = Arc::clone(&found.1);
            self.kept.push(found);
            return Ok(Some(list));
        }
        let (version, told): (i64, String) = conn
            .query_row("SELECT version, told FROM commands WHERE command_seq = ?", params![key.0], |r| {
                Ok((r.get(0)?, r.get(1)?))
            })
            .doing(doing)?;
        // It was judged when it was taken; one that a later program wrote otherwise changes nothing here.
        let body = serde_json::from_str::<Command>(&told).map(|c| c.body).and_then(serde_json::from_value);
        let Ok(CommandBody::Prices { currency, prices }) = body else { return Ok(None) };
        let minor = prices.into_iter().map(|p| (p.sku, p.unit_price_minor)).collect();
        let list = Arc::new(PriceList { version: version.cast_unsigned(), currency, minor });
        if self.kept.len() >= KEPT {
            self.kept.remove(0);
        }
        self.kept.push((key, Arc::clone(&list)));
        Ok(Some(list))
    }
}
