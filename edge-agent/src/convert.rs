//! The core's types to and from what travels on the bus.
//!
//! Nothing from the bus is believed: ids that the store does not have, numbers that are not finite and covariances
//! that are none are refused with a sentence that says which.

use linefree_bus::payload;
use linefree_domain::attribution::{Candidate, Handling, ProductView};
use linefree_domain::cart::{Line, Receipt};
use linefree_domain::floor::{PeopleObservation, Person, Shopper};
use linefree_domain::ids::{Credential, HandlingId, ProductIndex, TrackId, TrackletId, VisitId};
use linefree_domain::layout::StoreLayout;
use linefree_domain::shelf::{PlateChange, ShelfEvent};
use linefree_domain::store::Store;
use linefree_domain::time::StoreTime;
use linefree_domain::tracking::{Alike, Tracklet};
use linefree_domain::visit::{GatePassed, Visit};
use nalgebra::{Matrix2, Point2, Point3};

/// A hand whose uncertainty was not said, metres.
const HAND_SD_M: f64 = 0.08;
/// 95 % of a two-dimensional Gaussian lies within this many standard deviations.
const RADIUS_SDS: f64 = 2.447_7;
/// Most people in one message: more is a mistake or an attack.
const PEOPLE_MAX: usize = 1_000;
/// Most comparisons of one tracklet that are taken.
const ALIKE_MAX: usize = 512;

/// People as the bus carries them.
#[must_use]
pub fn people_out(observation: &PeopleObservation, layout: &StoreLayout) -> payload::People {
    let person = |p: &Person| payload::Person {
        foot: [p.foot.x, p.foot.y],
        cov: [p.cov_m2.m11, p.cov_m2.m12, p.cov_m2.m22],
        score: p.score,
        height: p.height_m,
        hands: p.hands.iter().map(|h| [h.x, h.y, h.z]).collect(),
        hand_sd: (!p.hands.is_empty()).then_some(p.hand_sd_m),
        track: p.track.map(|t| t.0),
        tracklet: p.tracklet.as_ref().map(tracklet_out),
    };
    payload::People {
        camera: layout.cameras[observation.camera.0].id.to_string(),
        time_us: observation.time.micros,
        people: observation.people.iter().map(person).collect(),
    }
}

/// Numbers tracks and tracklets from `first` on instead of from 0: a camera that begins again must not seem to see
/// those whom it saw before.
pub fn renumber(message: &mut payload::People, first: u32) {
    for person in &mut message.people {
        person.track = person.track.map(|track| track.wrapping_add(first));
        let Some(tracklet) = &mut person.tracklet else { continue };
        tracklet.id = tracklet.id.wrapping_add(first);
        for alike in tracklet.alike.iter_mut().flatten() {
            alike.tracklet = alike.tracklet.wrapping_add(first);
        }
    }
}

/// People from the bus.
///
/// # Errors
/// A sentence that says what is wrong with the message.
pub fn people_in(message: &payload::People, layout: &StoreLayout) -> Result<PeopleObservation, String> {
    let camera = layout
        .camera(&message.camera)
        .ok_or_else(|| format!("people from camera {:?}, which store.toml does not have", message.camera))?;
    if message.people.len() > PEOPLE_MAX {
        return Err(format!("{} people in one image, at most {PEOPLE_MAX}", message.people.len()));
    }
    let people = message.people.iter().map(person_in).collect::<Result<_, _>>()?;
    Ok(PeopleObservation { camera, time: StoreTime::from_micros(message.time_us), people })
}

fn person_in(p: &payload::Person) -> Result<Person, String> {
    let finite = |values: &[f64]| values.iter().all(|v| v.is_finite());
    let [xx, xy, yy] = p.cov;
    if !finite(&p.foot) || !finite(&p.cov) || !(0.0..=1.0).contains(&p.score) {
        return Err(format!("a person at {:?} with score {} is not finite", p.foot, p.score));
    }
    if xx <= 0.0 || yy <= 0.0 || xx * yy - xy * xy <= 0.0 {
        return Err(format!("{:?} is no covariance: it must be positive definite", p.cov));
    }
    if p.hands.iter().any(|h| !finite(h)) || p.hands.len() > 4 {
        return Err("hands must be at most 4 finite points".into());
    }
    Ok(Person {
        foot: Point2::from(p.foot),
        cov_m2: Matrix2::new(xx, xy, xy, yy),
        score: p.score,
        height_m: p.height.filter(|h| h.is_finite()),
        hands: p.hands.iter().map(|h| Point3::from(*h)).collect(),
        hand_sd_m: p.hand_sd.filter(|sd| sd.is_finite() && *sd > 0.0).unwrap_or(HAND_SD_M),
        track: p.track.map(TrackId),
        tracklet: p.tracklet.as_ref().map(tracklet_in),
    })
}

fn tracklet_out(tracklet: &Tracklet) -> payload::Tracklet {
    let alike = |a: &Alike| payload::Alike { tracklet: a.tracklet.0, log_odds: a.log_odds };
    payload::Tracklet {
        id: tracklet.id.0,
        alike: tracklet.alike.as_ref().map(|all| all.iter().map(alike).collect()),
    }
}

fn tracklet_in(tracklet: &payload::Tracklet) -> Tracklet {
    // Evidence that is no number says nothing.
    let sound = |all: &Vec<payload::Alike>| {
        let sound = all.iter().filter(|a| a.log_odds.is_finite()).take(ALIKE_MAX);
        sound.map(|a| Alike { tracklet: TrackletId(a.tracklet), log_odds: a.log_odds }).collect()
    };
    Tracklet { id: TrackletId(tracklet.id), alike: tracklet.alike.as_ref().map(sound) }
}

/// What was seen to be handled, as the bus carries it.
#[must_use]
pub fn view_out(view: &ProductView, camera: &str, layout: &StoreLayout) -> payload::ProductView {
    let product = |(product, p): &(ProductIndex, f64)| payload::ProductLikelihood {
        sku: layout.products[product.0].sku.to_string(),
        p: p.clamp(0.0, 1.0),
    };
    payload::ProductView {
        camera: camera.to_owned(),
        time_us: view.time.micros,
        place: view.place.clone(),
        likelihood: view.likelihood.iter().map(product).collect(),
    }
}

/// What was seen to be handled, from the bus.
///
/// # Errors
/// A sentence that says what is wrong with the message.
pub fn view_in(message: &payload::ProductView, layout: &StoreLayout) -> Result<ProductView, String> {
    if layout.camera(&message.camera).is_none() {
        return Err(format!("a view of camera {:?}, which store.toml does not have", message.camera));
    }
    if !layout.plates.iter().any(|p| p.id.place() == message.place) {
        return Err(format!("a view of {:?}, where store.toml has no plates", message.place));
    }
    let product = |l: &payload::ProductLikelihood| {
        let product = layout
            .product(&l.sku)
            .ok_or_else(|| format!("a view of product {:?}, which store.toml does not have", l.sku))?;
        if !(0.0..=1.0).contains(&l.p) {
            return Err(format!("a likelihood of {} for product {}; it is 0 to 1", l.p, l.sku));
        }
        Ok((product, l.p))
    };
    let likelihood = message.likelihood.iter().map(product).collect::<Result<_, String>>()?;
    Ok(ProductView {
        time: StoreTime::from_micros(message.time_us),
        place: message.place.clone(),
        likelihood,
    })
}

/// A shelf event as the bus carries it.
#[must_use]
pub fn shelf_out(event: &ShelfEvent, layout: &StoreLayout) -> payload::ShelfChanged {
    let plate = |c: &PlateChange| payload::PlateDelta {
        plate: layout.plates[c.plate.0].id.to_string(),
        delta_g: c.delta_g,
        sd_g: c.sd_g,
        start_us: c.start.micros,
        end_us: c.end.micros,
    };
    payload::ShelfChanged {
        plates: event.changes.iter().map(plate).collect(),
        delta_g: event.delta_g(),
        sd_g: event.sd_g(),
        start_us: event.start().micros,
        end_us: event.end().micros,
    }
}

/// A shelf event from the bus.
///
/// # Errors
/// A sentence that says what is wrong with the message.
pub fn shelf_in(message: &payload::ShelfChanged, layout: &StoreLayout) -> Result<ShelfEvent, String> {
    let plate = |p: &payload::PlateDelta| {
        let plate = layout
            .plate(&p.plate)
            .ok_or_else(|| format!("a change on plate {:?}, which store.toml does not have", p.plate))?;
        if !p.delta_g.is_finite() || !p.sd_g.is_finite() || p.sd_g <= 0.0 || p.end_us < p.start_us {
            return Err(format!("the change on plate {} is not finite or ends before it starts", p.plate));
        }
        Ok(PlateChange {
            plate,
            delta_g: p.delta_g,
            sd_g: p.sd_g,
            start: StoreTime::from_micros(p.start_us),
            end: StoreTime::from_micros(p.end_us),
        })
    };
    let changes = message.plates.iter().map(plate).collect::<Result<Vec<_>, _>>()?;
    if changes.is_empty() {
        return Err("a shelf event without a plate".into());
    }
    Ok(ShelfEvent { changes })
}

/// A robot's handling from the bus, under the number that the caller gives it.
///
/// # Errors
/// A sentence that says what is wrong with the message.
pub fn handling_in(
    message: &payload::Handling,
    id: HandlingId,
    layout: &StoreLayout,
) -> Result<Handling, String> {
    let plate = |name: &String| {
        layout
            .plate(name)
            .ok_or_else(|| format!("a handling at plate {name:?}, which store.toml does not have"))
    };
    let product = layout
        .product(&message.sku)
        .ok_or_else(|| format!("a handling of product {:?}, which store.toml does not have", message.sku))?;
    Ok(Handling {
        id,
        plates: message.plates.iter().map(plate).collect::<Result<_, _>>()?,
        product,
        quantity: message.quantity,
        from: StoreTime::from_micros(message.from_us),
        to: message.to_us.map(StoreTime::from_micros),
        moved: message.moved,
    })
}

/// A gate event as the bus carries it.
#[must_use]
pub fn gate_out(passed: &GatePassed, layout: &StoreLayout) -> payload::GatePassed {
    payload::GatePassed {
        gate: layout.gates[passed.gate.0].id.to_string(),
        direction: if passed.entry { payload::GateDirection::Entry } else { payload::GateDirection::Exit },
        credential: passed.credential.as_ref().map(ToString::to_string),
        party: passed.party,
    }
}

/// A gate event from the bus.
///
/// # Errors
/// A sentence that says what is wrong with the message.
pub fn gate_in(
    message: &payload::GatePassed,
    time_us: i64,
    layout: &StoreLayout,
) -> Result<GatePassed, String> {
    let gate =
        layout.gate(&message.gate).ok_or_else(|| format!("gate {:?} is not in store.toml", message.gate))?;
    let credential =
        message.credential.as_deref().map(Credential::new).transpose().map_err(|e| e.to_string())?;
    Ok(GatePassed {
        time: StoreTime::from_micros(time_us),
        gate,
        entry: message.direction == payload::GateDirection::Entry,
        credential,
        party: message.party.clamp(1, 100),
    })
}

/// Where everyone is, as the bus carries it.
#[must_use]
pub fn positions_out(store: &Store) -> Vec<payload::ShopperPosition> {
    let position = |s: &Shopper| {
        // The larger axis of the covariance ellipse, as a circle for the map.
        let half_trace = s.cov_m2.trace() / 2.0;
        let largest = half_trace + (half_trace.powi(2) - s.cov_m2.determinant()).max(0.0).sqrt();
        payload::ShopperPosition {
            shopper: s.id.0,
            visit: store.visit_of(s.id).map(ToString::to_string),
            at: [s.at.x, s.at.y],
            radius_m: RADIUS_SDS * largest.max(0.0).sqrt(),
        }
    };
    store.floor().shoppers().map(position).collect()
}

/// A visit's beginning as the bus carries it.
#[must_use]
pub fn visit_out(visit: &Visit) -> payload::VisitOpened {
    payload::VisitOpened {
        visit: visit.id.to_string(),
        credential: visit.credential.as_ref().map(ToString::to_string),
        party: visit.party,
    }
}

/// Explanations as the bus carries them; `robot` says whose a declared handling is.
#[must_use]
pub fn candidates_out(
    candidates: &[(Candidate, Option<VisitId>)],
    layout: &StoreLayout,
    robot: impl Fn(HandlingId) -> Option<String>,
) -> Vec<payload::Candidate> {
    candidates
        .iter()
        .map(|(c, visit)| payload::Candidate {
            visit: visit.as_ref().map(ToString::to_string),
            robot: c.handling.and_then(&robot),
            sku: c.product.map(|p| layout.products[p.0].sku.to_string()),
            quantity: c.quantity,
            probability: c.probability,
        })
        .collect()
}

/// Lines as the bus carries them.
#[must_use]
pub fn lines_out(lines: &[Line], layout: &StoreLayout) -> Vec<payload::Line> {
    let line = |l: &Line| {
        let product = &layout.products[l.product.0];
        payload::Line {
            sku: product.sku.to_string(),
            name: product.name.clone(),
            quantity: l.quantity,
            unit_price_minor: product.price.minor,
            probability: l.probability,
            review: l.review,
        }
    };
    let mut lines: Vec<payload::Line> = lines.iter().map(line).collect();
    lines.sort_by(|a, b| a.sku.cmp(&b.sku));
    lines
}

/// A receipt as the bus carries it; `None` when its sum does not fit into an amount.
#[must_use]
pub fn receipt_out(receipt: &Receipt, layout: &StoreLayout) -> Option<payload::VisitClosed> {
    Some(payload::VisitClosed {
        visit: receipt.visit.to_string(),
        credential: receipt.credential.as_ref().map(ToString::to_string),
        entered_us: receipt.entered.micros,
        left_us: receipt.left.micros,
        currency: layout.currency.to_string(),
        lines: lines_out(&receipt.lines, layout),
        charge_minor: receipt.total(layout, false)?.minor,
        in_review_minor: receipt.total(layout, true)?.minor,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_that_begins_again_uses_other_numbers() {
        let alike = Some(vec![payload::Alike { tracklet: 2, log_odds: 1.0 }]);
        let mut message = payload::People {
            camera: "cam1".into(),
            time_us: 0,
            people: vec![payload::Person {
                foot: [1.0, 1.0],
                cov: [0.1, 0.0, 0.1],
                score: 0.9,
                height: None,
                hands: Vec::new(),
                hand_sd: None,
                track: Some(1),
                tracklet: Some(payload::Tracklet { id: 3, alike }),
            }],
        };
        let as_it_is = message.clone();
        renumber(&mut message, 0);
        assert_eq!(message, as_it_is);
        renumber(&mut message, u32::MAX);
        let tracklet = message.people[0].tracklet.as_ref().unwrap();
        let compared = tracklet.alike.as_ref().map(|all| all[0].tracklet);
        assert_eq!((message.people[0].track, tracklet.id, compared), (Some(0), 2, Some(1)));
    }
}
