//! Shelf labels and lights: an output port. What a plate's label shows, and how its light shines.
//!
//! [`Display::of`] decides, purely, what is to be shown; a [`ShelfOutput`] shows it. Labels are slow and many, so
//! [`Changes`] passes on only what has changed, at most a bounded number at a time.
//!
//! | driver | for |
//! | --- | --- |
//! | [`HttpLabels`] | electronic shelf labels behind a gateway: one JSON document a label |
//! | [`LightLine`] | a light at a GPIO line |
//! | [`SimulatedLabels`] | tests and demos |
//!
//! # Failure rules
//! What could not be shown is shown with the next change or the next [`Changes::repeat_all`]; a label that shows
//! something old is never an error of the store's truth, which is the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use embedded_hal::digital::OutputPin;
use linefree_domain::ids::PlateId;

/// The longest request to a gateway.
pub const HTTP_TIMEOUT: Duration = Duration::from_secs(5);

/// How a light shines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Light {
    /// Not at all.
    #[default]
    Off,
    /// Somebody is to pick here.
    Pick,
    /// Somebody is to fill up here.
    Refill,
}

/// What a plate's label and light show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Display {
    /// The product's name.
    pub name: String,
    /// The price as people read it, with its currency.
    pub price: String,
    /// Are few items left?
    pub low_stock: bool,
    /// How many items somebody is to pick here; 0 for none.
    pub pick: u32,
    /// The light.
    pub light: Light,
}

/// What is known about a plate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown<'a> {
    /// The product's name.
    pub name: &'a str,
    /// Price of one, minor units.
    pub price_minor: i64,
    /// ISO 4217 code.
    pub currency: &'a str,
    /// Items on the plate, where they are counted.
    pub stock: Option<u32>,
    /// Fewer than this are few.
    pub low_below: u32,
    /// How many somebody is to pick here now.
    pub pick: u32,
}

impl Display {
    /// What is to be shown. A pick is more urgent than a refill.
    #[must_use]
    pub fn of(shown: &Shown<'_>) -> Self {
        let low_stock = shown.stock.is_some_and(|stock| stock < shown.low_below);
        let light = match (shown.pick > 0, low_stock) {
            (true, _) => Light::Pick,
            (false, true) => Light::Refill,
            (false, false) => Light::Off,
        };
        let sign = if shown.price_minor < 0 { "-" } else { "" };
        let minor = shown.price_minor.unsigned_abs();
        let price = format!("{sign}{}.{:02} {}", minor / 100, minor % 100, shown.currency);
        Self { name: shown.name.to_owned(), price, low_stock, pick: shown.pick, light }
    }
}

/// Why a label does not show what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the label of {plate} cannot be set: {why}; check the labels' gateway, its address and its power")]
pub struct LabelError {
    /// Which plate.
    pub plate: String,
    /// What was seen.
    pub why: String,
}

/// Something that shows.
pub trait ShelfOutput: Send {
    /// Shows it at a plate.
    ///
    /// # Errors
    /// [`LabelError`] when it cannot be reached.
    fn show(&mut self, plate: &PlateId, display: &Display) -> Result<(), LabelError>;
}

/// Passes on what has changed.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    wanted: BTreeMap<PlateId, Display>,
    due: BTreeSet<PlateId>,
}

impl Changes {
    /// What a plate is to show from now on.
    pub fn want(&mut self, plate: &PlateId, display: Display) {
        if self.wanted.get(plate) != Some(&display) {
            self.wanted.insert(plate.clone(), display);
            self.due.insert(plate.clone());
        }
    }

    /// After a gateway was restarted: everything again.
    pub fn repeat_all(&mut self) {
        self.due = self.wanted.keys().cloned().collect();
    }

    /// Shows at most so many of what is due; gives how many were shown. What fails stays due.
    ///
    /// # Errors
    /// The first that failed; the others of this call are left for the next.
    pub fn show(&mut self, output: &mut dyn ShelfOutput, at_most: usize) -> Result<usize, LabelError> {
        let due: Vec<PlateId> = self.due.iter().take(at_most).cloned().collect();
        for (shown, plate) in due.iter().enumerate() {
            if let Some(display) = self.wanted.get(plate)
                && let Err(error) = output.show(plate, display)
            {
                tracing::debug!(shown, "labels before it were set");
                return Err(error);
            }
            self.due.remove(plate);
        }
        Ok(due.len())
    }
}

/// Electronic labels behind a gateway: `PUT {url}/{gondola}/{shelf}/{plate}` with
/// `{"name", "price", "low_stock", "pick", "light"}`.
#[derive(Debug)]
pub struct HttpLabels {
    url: String,
    agent: ureq::Agent,
}

impl HttpLabels {
    /// A gateway at an address.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(HTTP_TIMEOUT)).build();
        Self { url: url.trim_end_matches('/').to_owned(), agent: config.into() }
    }
}

impl ShelfOutput for HttpLabels {
    fn show(&mut self, plate: &PlateId, display: &Display) -> Result<(), LabelError> {
        let light = match display.light {
            Light::Off => "off",
            Light::Pick => "pick",
            Light::Refill => "refill",
        };
        let body = serde_json::json!({
            "name": display.name, "price": display.price, "low_stock": display.low_stock,
            "pick": display.pick, "light": light,
        });
        let request = self.agent.put(format!("{}/{plate}", self.url));
        let sent = request.header("Content-Type", "application/json").send(body.to_string());
        sent.map(|_| ()).map_err(|e| LabelError { plate: plate.to_string(), why: e.to_string() })
    }
}

/// A light at an output line: on while somebody is to pick or refill.
#[derive(Debug)]
pub struct LightLine<P> {
    plate: PlateId,
    line: P,
}

impl<P: OutputPin> LightLine<P> {
    /// The light of one plate; others' displays pass it by.
    pub fn new(plate: PlateId, line: P) -> Self {
        Self { plate, line }
    }
}

impl<P: OutputPin + Send> ShelfOutput for LightLine<P> {
    fn show(&mut self, plate: &PlateId, display: &Display) -> Result<(), LabelError> {
        if *plate != self.plate {
            return Ok(());
        }
        let set = if display.light == Light::Off { self.line.set_low() } else { self.line.set_high() };
        set.map_err(|e| LabelError { plate: plate.to_string(), why: format!("{e:?}") })
    }
}

/// Remembers what it was told to show.
#[derive(Debug, Clone, Default)]
pub struct SimulatedLabels {
    /// What each plate shows.
    pub shown: BTreeMap<PlateId, Display>,
    /// How often anything was shown.
    pub times: u64,
    /// While true, it is out of reach.
    pub away: bool,
}

impl ShelfOutput for SimulatedLabels {
    fn show(&mut self, plate: &PlateId, display: &Display) -> Result<(), LabelError> {
        if self.away {
            return Err(LabelError { plate: plate.to_string(), why: "simulated loss".to_owned() });
        }
        self.times += 1;
        self.shown.insert(plate.clone(), display.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use embedded_hal_mock::eh1::digital::{Mock, State, Transaction};

    use super::*;

    const MILK: Shown<'_> =
        Shown { name: "Milk", price_minor: 129, currency: "EUR", stock: Some(9), low_below: 3, pick: 0 };

    fn plate(number: u32) -> PlateId {
        PlateId::new(format!("1/1/{number}")).unwrap()
    }

    #[test]
    fn what_is_shown_follows_price_stock_and_picks() {
        let plain = Display::of(&MILK);
        assert_eq!((plain.price.as_str(), plain.low_stock, plain.light), ("1.29 EUR", false, Light::Off));
        assert_eq!(Display::of(&Shown { stock: Some(2), ..MILK }).light, Light::Refill);
        assert_eq!(Display::of(&Shown { stock: None, ..MILK }).light, Light::Off);
        assert_eq!(Display::of(&Shown { stock: Some(2), pick: 4, ..MILK }).light, Light::Pick);
        assert_eq!(Display::of(&Shown { price_minor: -5, ..MILK }).price, "-0.05 EUR");
    }

    #[test]
    fn only_changes_are_sent_and_what_failed_is_sent_again() {
        let (mut changes, mut labels) = (Changes::default(), SimulatedLabels::default());
        for number in 0..5 {
            changes.want(&plate(number), Display::of(&MILK));
        }
        assert_eq!(changes.show(&mut labels, 3), Ok(3));
        assert_eq!(changes.show(&mut labels, 3), Ok(2));
        changes.want(&plate(2), Display::of(&MILK));
        assert_eq!(changes.show(&mut labels, 3), Ok(0), "nothing has changed");
        changes.want(&plate(2), Display::of(&Shown { price_minor: 99, ..MILK }));
        labels.away = true;
        assert!(changes.show(&mut labels, 3).is_err());
        labels.away = false;
        assert_eq!(changes.show(&mut labels, 3), Ok(1));
        assert_eq!(labels.shown[&plate(2)].price, "0.99 EUR");
        changes.repeat_all();
        assert_eq!(changes.show(&mut labels, 99), Ok(5));
        assert_eq!(labels.times, 11);
    }

    #[test]
    fn a_gateway_gets_one_document_a_label() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/labels/", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let (mut request, mut part) = (String::new(), [0; 1024]);
            while !request.contains('}') {
                let read = socket.read(&mut part).unwrap();
                request += &String::from_utf8_lossy(&part[..read]);
            }
            socket.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
            request
        });
        let mut labels = HttpLabels::new(&url);
        labels.show(&plate(7), &Display::of(&Shown { pick: 2, ..MILK })).unwrap();
        let request = server.join().unwrap();
        assert!(request.starts_with("PUT /labels/1/1/7 "), "{request}");
        assert!(request.contains("\"pick\":2") && request.contains("\"light\":\"pick\""), "{request}");
        let error = labels.show(&plate(7), &Display::of(&MILK)).unwrap_err().to_string();
        assert!(error.contains("1/1/7") && error.contains("gateway"), "{error}");
    }

    #[test]
    fn a_light_shines_for_its_own_plate() {
        let mut line = Mock::new(&[Transaction::set(State::High), Transaction::set(State::Low)]);
        let mut light = LightLine::new(plate(1), line.clone());
        light.show(&plate(2), &Display::of(&Shown { pick: 1, ..MILK })).unwrap();
        light.show(&plate(1), &Display::of(&Shown { pick: 1, ..MILK })).unwrap();
        light.show(&plate(1), &Display::of(&MILK)).unwrap();
        line.done();
    }
}
