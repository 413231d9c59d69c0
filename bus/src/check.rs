//! What a payload's types cannot say: finite numbers, odds between 0 and 1, numbers from 1.
//!
//! Checked on the way out as well as on the way in. JSON has no NaN (`serde_json` would write `null`), so a
//! non-finite number is refused here, with its path, before it can become a payload that nobody can read.

use crate::payload::{
    Ack, Counts, Event, EventBody, Handlings, InForce, ItemAttributed, Line, People, ProductView, Resend,
    Shoppers, Status, Wanted, Watermark,
};
use crate::topic::TopicKind;

/// What is wrong in a payload, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// JSON path, for example `people[2].foot[0]`.
    pub path: String,
    /// What is wrong there.
    pub why: String,
}

/// A type that travels on the bus.
pub trait Payload: serde::Serialize + serde::de::DeserializeOwned {
    /// May it be published under this kind of topic?
    fn fits(kind: TopicKind) -> bool;

    /// The source that its topic must name; `None` where only the topic names it.
    fn source(&self) -> Option<&str>;

    /// JSON path of [`Self::source`].
    const SOURCE_PATH: &'static str = "source";

    /// Looks for what the types cannot say.
    ///
    /// # Errors
    /// The first problem found.
    fn check(&self) -> Result<(), Problem>;
}

fn finite(value: f64, path: impl FnOnce() -> String) -> Result<(), Problem> {
    if value.is_finite() {
        Ok(())
    } else {
        Err(Problem { path: path(), why: format!("{value} is no finite number") })
    }
}

/// A standard deviation.
fn deviation(value: f64, path: impl Fn() -> String) -> Result<(), Problem> {
    finite(value, &path)?;
    if value < 0.0 {
        return Err(Problem { path: path(), why: format!("a standard deviation of {value} is negative") });
    }
    Ok(())
}

fn odds(value: f64, path: impl FnOnce() -> String) -> Result<(), Problem> {
    if (0.0..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(Problem { path: path(), why: format!("{value} is not between 0 and 1") })
    }
}

fn all_finite(values: &[f64], path: impl Fn() -> String) -> Result<(), Problem> {
    values.iter().enumerate().try_for_each(|(i, v)| finite(*v, || format!("{}[{i}]", path())))
}

fn lines(lines: &[Line]) -> Result<(), Problem> {
    lines
        .iter()
        .enumerate()
        .try_for_each(|(i, line)| odds(line.probability, || format!("body.lines[{i}].probability")))
}

fn attributed(body: &ItemAttributed) -> Result<(), Problem> {
    // Their sum has no limit: one shelf event may hold several actions.
    body.candidates
        .iter()
        .enumerate()
        .try_for_each(|(i, c)| odds(c.probability, || format!("body.candidates[{i}].probability")))
}

impl Payload for Event {
    fn fits(kind: TopicKind) -> bool {
        kind == TopicKind::Event
    }

    fn source(&self) -> Option<&str> {
        Some(&self.source)
    }

    fn check(&self) -> Result<(), Problem> {
        if self.seq == 0 {
            return Err(Problem { path: "seq".to_owned(), why: "numbers start at 1".to_owned() });
        }
        check_body(&self.body)
    }
}

/// Checks an event's body alone, before it has a number.
///
/// # Errors
/// The first problem found.
pub fn check_body(body: &EventBody) -> Result<(), Problem> {
    match body {
        EventBody::ShelfChanged(body) => {
            finite(body.delta_g, || "body.delta_g".to_owned())?;
            deviation(body.sd_g, || "body.sd_g".to_owned())?;
            for (i, plate) in body.plates.iter().enumerate() {
                finite(plate.delta_g, || format!("body.plates[{i}].delta_g"))?;
                deviation(plate.sd_g, || format!("body.plates[{i}].sd_g"))?;
            }
            Ok(())
        }
        EventBody::ItemAttributed(body) => attributed(body),
        EventBody::CartChanged(body) => lines(&body.lines),
        EventBody::VisitClosed(body) => lines(&body.lines),
        EventBody::GatePassed(_)
        | EventBody::VisitOpened(_)
        | EventBody::DeviceFault(_)
        | EventBody::ReviewAnswered(_)
        | EventBody::RefundIssued(_)
        | EventBody::StockCounted(_)
        | EventBody::OrderChanged(_)
        | EventBody::PaymentChanged(_)
        | EventBody::ContestChanged(_)
        | EventBody::PriceRulesChanged(_)
        | EventBody::ReceiptPriced(_)
        | EventBody::TaskChanged(_)
        | EventBody::CommandAnswered(_)
        | EventBody::ShopperForgotten(_) => Ok(()),
        EventBody::InsightsTold(body) => {
            body.dwell_s.map_or(Ok(()), |s| finite(s, || "body.dwell_s".to_owned()))
        }
    }
}

impl Payload for People {
    const SOURCE_PATH: &'static str = "camera";

    fn fits(kind: TopicKind) -> bool {
        kind == TopicKind::People
    }

    fn source(&self) -> Option<&str> {
        Some(&self.camera)
    }

    fn check(&self) -> Result<(), Problem> {
        for (i, person) in self.people.iter().enumerate() {
            all_finite(&person.foot, || format!("people[{i}].foot"))?;
            all_finite(&person.cov, || format!("people[{i}].cov"))?;
            odds(person.score, || format!("people[{i}].score"))?;
            for (h, hand) in person.hands.iter().enumerate() {
                all_finite(hand, || format!("people[{i}].hands[{h}]"))?;
            }
            if let Some(height) = person.height {
                finite(height, || format!("people[{i}].height"))?;
            }
            if let Some(sd) = person.hand_sd {
                finite(sd, || format!("people[{i}].hand_sd"))?;
            }
        }
        Ok(())
    }
}

impl Payload for Shoppers {
    fn fits(kind: TopicKind) -> bool {
        kind == TopicKind::Shoppers
    }

    fn source(&self) -> Option<&str> {
        None
    }

    fn check(&self) -> Result<(), Problem> {
        for (i, shopper) in self.shoppers.iter().enumerate() {
            all_finite(&shopper.at, || format!("shoppers[{i}].at"))?;
            finite(shopper.radius_m, || format!("shoppers[{i}].radius_m"))?;
        }
        Ok(())
    }
}

impl Payload for Watermark {
    fn fits(kind: TopicKind) -> bool {
        matches!(kind, TopicKind::Watermark | TopicKind::Progress)
    }

    fn source(&self) -> Option<&str> {
        Some(&self.source)
    }

    fn check(&self) -> Result<(), Problem> {
        if self.epoch.is_none() && self.last_seq > 0 {
            return Err(Problem {
                path: "last_seq".to_owned(),
                why: "a source without an epoch numbers nothing".to_owned(),
            });
        }
        Ok(())
    }
}

macro_rules! plain {
    ($type:ident, $kind:ident) => {
        impl Payload for $type {
            fn fits(kind: TopicKind) -> bool {
                kind == TopicKind::$kind
            }

            fn source(&self) -> Option<&str> {
                Some(&self.source)
            }

            fn check(&self) -> Result<(), Problem> {
                Ok(())
            }
        }
    };
}

plain!(Status, Status);
plain!(Ack, Ack);

/// Most converters of one controller.
const COUNTS_MAX: usize = 256;

impl Payload for Counts {
    fn fits(kind: TopicKind) -> bool {
        kind == TopicKind::Counts
    }

    fn source(&self) -> Option<&str> {
        Some(&self.source)
    }

    fn check(&self) -> Result<(), Problem> {
        if self.counts.len() > COUNTS_MAX {
            let why = format!("{} counts, at most {COUNTS_MAX}", self.counts.len());
            return Err(Problem { path: "counts".to_owned(), why });
        }
        Ok(())
    }
}

/// Most handlings in one message, and most plates of one.
const HANDLINGS_MAX: usize = 256;
const HANDLED_PLATES_MAX: usize = 64;

impl Payload for Handlings {
    fn fits(kind: TopicKind) -> bool {
        kind == TopicKind::Handlings
    }

    fn source(&self) -> Option<&str> {
        Some(&self.source)
    }

    fn check(&self) -> Result<(), Problem> {
        if self.handlings.len() > HANDLINGS_MAX {
            let why = format!("{} handlings, at most {HANDLINGS_MAX}", self.handlings.len());
            return Err(Problem { path: "handlings".to_owned(), why });
        }
        for (i, handling) in self.handlings.iter().enumerate() {
            let bad =
                |field: &str, why: String| Err(Problem { path: format!("handlings[{i}].{field}"), why });
            if handling.plates.is_empty() || handling.plates.len() > HANDLED_PLATES_MAX {
                return bad("plates", format!("a handling has 1 to {HANDLED_PLATES_MAX} plates"));
            }
            if handling.quantity == 0 {
                return bad("quantity", "a handling moves something".to_owned());
            }
            if handling.to_us.is_some_and(|to_us| to_us < handling.from_us) {
                return bad("to_us", "it ends before it begins".to_owned());
            }
        }
        Ok(())
    }
}

/// Most products that one view tells of.
const VIEWED_PRODUCTS_MAX: usize = 256;

impl Payload for ProductView {
    fn fits(kind: TopicKind) -> bool {
        kind == TopicKind::View
    }

    fn source(&self) -> Option<&str> {
        Some(&self.camera)
    }

    fn check(&self) -> Result<(), Problem> {
        if self.likelihood.len() > VIEWED_PRODUCTS_MAX {
            let why = format!("{} products, at most {VIEWED_PRODUCTS_MAX}", self.likelihood.len());
            return Err(Problem { path: "likelihood".to_owned(), why });
        }
        for (i, product) in self.likelihood.iter().enumerate() {
            if !(0.0..=1.0).contains(&product.p) {
                let why = format!("{} is not from 0 to 1", product.p);
                return Err(Problem { path: format!("likelihood[{i}].p"), why });
            }
        }
        Ok(())
    }
}

impl Payload for Resend {
    fn fits(kind: TopicKind) -> bool {
        kind == TopicKind::Resend
    }

    fn source(&self) -> Option<&str> {
        Some(&self.source)
    }

    fn check(&self) -> Result<(), Problem> {
        if self.from_seq == 0 {
            return Err(Problem { path: "from_seq".to_owned(), why: "numbers start at 1".to_owned() });
        }
        Ok(())
    }
}

impl Payload for Wanted {
    fn fits(kind: TopicKind) -> bool {
        kind == TopicKind::Wanted
    }

    fn source(&self) -> Option<&str> {
        Some(&self.source)
    }

    fn check(&self) -> Result<(), Problem> {
        // Whether it fits is for whoever has the key; a length can be told by anybody.
        if self.signature.len() != 128 {
            let why = format!("{} characters, a signature has 128", self.signature.len());
            return Err(Problem { path: "signature".to_owned(), why });
        }
        Ok(())
    }
}

impl Payload for InForce {
    fn fits(kind: TopicKind) -> bool {
        kind == TopicKind::InForce
    }

    fn source(&self) -> Option<&str> {
        Some(&self.source)
    }

    fn check(&self) -> Result<(), Problem> {
        if self.trial && self.number == 0 {
            let why = "a device's own store.toml is never on trial".to_owned();
            return Err(Problem { path: "trial".to_owned(), why });
        }
        Ok(())
    }
}
