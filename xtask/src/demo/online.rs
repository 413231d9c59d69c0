//! The demo's online order under way: the app that places it, what became of it, and when what is to be done.

use std::time::SystemTime;

use anyhow::Result;
use serde_json::Value;

use super::app::App;
use super::order::{Followed, ORDER, ORDER_AT, placed};
use super::stations::Stations;

/// An order that is given, followed and fetched.
pub struct Online {
    app: App,
    /// When the recording began.
    start: SystemTime,
    followed: Followed,
    is_placed: bool,
    is_fetched: bool,
}

impl Online {
    /// By this app, in a recording that began then.
    #[must_use]
    pub fn new(app: App, start: SystemTime) -> Self {
        Self { app, start, followed: Followed::new(start), is_placed: false, is_fetched: false }
    }

    /// What became of it so far.
    #[must_use]
    pub fn followed(&self) -> &Followed {
        &self.followed
    }

    /// An event that reached the cloud.
    pub fn hear(&mut self, placed: &Value) {
        self.followed.hear(placed);
    }

    /// Does what is due: places the order, looks who stood at the shelf, opens the locker.
    ///
    /// # Errors
    /// When the store does not answer, or refuses.
    pub fn go_on(&mut self, stations: &Stations<'_>) -> Result<()> {
        if !self.is_placed && self.start.elapsed().is_ok_and(|since| since >= ORDER_AT) {
            self.is_placed = true;
            self.app.place(&placed())?;
        }
        if let Some(at_us) = self.followed.asks_who_stood_there() {
            let token = stations.reader_token()?;
            let read = |path: &str| super::get_as::<Value>(&stations.console(path), Some(&token));
            self.followed.stood_there(&read(&format!("/api/moment?at_us={at_us}"))?, &read("/api/store")?);
        }
        if !self.is_fetched && self.followed.waits() {
            self.is_fetched = true;
            self.app.open_locker(ORDER)?;
        }
        Ok(())
    }
}
