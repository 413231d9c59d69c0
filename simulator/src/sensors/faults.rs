//! What goes wrong with sensors and messages, on purpose.

use linefree_domain::ids::PlateIndex;
use linefree_domain::shelf::WeightSample;
use linefree_domain::time::StoreTime;

use super::cameras::Look;
use crate::chance::Chance;
use crate::scenario::{Cast, FaultKindPlan, Scenario};
use crate::stores::SimulatedStore;

/// What happens to one camera's messages.
#[derive(Debug, Clone, PartialEq)]
enum CameraTrouble {
    Lost { camera: usize, from_s: f64, to_s: f64 },
    Clock { camera: usize, by_s: f64 },
    Late { by_s: f64 },
    Doubled { share: f64 },
}

/// What happens to one plate.
#[derive(Debug, Clone, PartialEq)]
struct PlateTrouble {
    plate: PlateIndex,
    what: FaultKindPlan,
    from_s: f64,
    to_s: f64,
    by: f64,
}

/// What goes wrong with cameras.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trouble {
    list: Vec<CameraTrouble>,
}

/// Everything that goes wrong in a recording.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Faults {
    /// With cameras.
    pub cameras: Trouble,
    plates: Vec<PlateTrouble>,
    /// How far the scales' clock is off, seconds.
    pub scale_clock_s: f64,
}

/// How long a dying plate sends `nan` before it is silent, seconds.
const DYING_S: f64 = 4.0;

impl Faults {
    /// Draws a scenario's faults.
    ///
    /// # Errors
    /// When a fault speaks of a product that is not there.
    pub fn new(scenario: &Scenario, store: &SimulatedStore, seed: u64) -> anyhow::Result<Self> {
        let mut chance = Chance::new(seed, "faults");
        let mut faults = Self::default();
        if scenario.faults.is_empty() {
            return Ok(faults);
        }
        let cast = Cast::new(scenario, &store.layout, &mut Chance::new(seed, "cast"))?;
        for plan in &scenario.faults {
            let from_s = chance.between(plan.from_s[0], plan.from_s[1]);
            let to_s = from_s + chance.between(plan.for_s[0], plan.for_s[1]);
            let by = chance.between(plan.by[0], plan.by[1]);
            let camera =
                chance.count(0, u32::try_from(store.eyes.len()).unwrap_or(1).saturating_sub(1)) as usize;
            let sign = if chance.happens(0.5) { 1.0 } else { -1.0 };
            let list = &mut faults.cameras.list;
            match plan.what {
                FaultKindPlan::CameraLost => list.push(CameraTrouble::Lost { camera, from_s, to_s }),
                FaultKindPlan::CameraClock => list.push(CameraTrouble::Clock { camera, by_s: sign * by }),
                FaultKindPlan::MessagesLate => list.push(CameraTrouble::Late { by_s: by }),
                FaultKindPlan::MessagesDoubled => list.push(CameraTrouble::Doubled { share: by }),
                FaultKindPlan::ScaleClock => faults.scale_clock_s = sign * by,
                FaultKindPlan::PlateStuck | FaultKindPlan::PlateDead | FaultKindPlan::PlateDrifts => {
                    let facings = &store.layout.facings;
                    let found = match &plan.at {
                        Some(letter) => {
                            let product = cast.product(letter)?;
                            facings.iter().find(|f| f.product == product)
                        }
                        None => chance.pick(facings),
                    };
                    for plate in found.into_iter().flat_map(|f| &f.plates) {
                        let by = sign * by;
                        faults.plates.push(PlateTrouble { plate: *plate, what: plan.what, from_s, to_s, by });
                    }
                }
            }
        }
        Ok(faults)
    }

    /// Changes what the scales send.
    pub fn change_weights(&self, samples: &mut [WeightSample], start: StoreTime) {
        for trouble in &self.plates {
            let mut stuck: Option<f64> = None;
            for sample in samples.iter_mut() {
                let t = sample.time.seconds_since(start);
                if t < trouble.from_s {
                    continue;
                }
                if trouble.what == FaultKindPlan::PlateDrifts {
                    // What has drifted stays so.
                    let long_s = t.min(trouble.to_s) - trouble.from_s;
                    if let Some((_, g)) = sample.weights_g.iter_mut().find(|(p, _)| *p == trouble.plate) {
                        *g = ((*g + trouble.by * long_s) * 10.0).round() / 10.0;
                    }
                    continue;
                }
                if t > trouble.to_s {
                    break;
                }
                if trouble.what == FaultKindPlan::PlateDead && t > trouble.from_s + DYING_S {
                    sample.weights_g.retain(|(p, _)| *p != trouble.plate);
                    continue;
                }
                if let Some((_, g)) = sample.weights_g.iter_mut().find(|(p, _)| *p == trouble.plate) {
                    *g = match trouble.what {
                        FaultKindPlan::PlateDead => f64::NAN,
                        _ => *stuck.get_or_insert(*g),
                    };
                }
            }
        }
        if self.scale_clock_s.abs() > 0.0 {
            for sample in samples.iter_mut() {
                sample.time = sample.time.plus_s(self.scale_clock_s);
            }
        }
    }
}

impl Trouble {
    /// Changes what a camera sends.
    pub fn change(&self, camera: usize, looks: &mut Vec<Look>, chance: &mut Chance) {
        for trouble in &self.list {
            match *trouble {
                CameraTrouble::Lost { camera: c, from_s, to_s } if c == camera => {
                    looks.retain(|l| !(from_s..to_s).contains(&l.t_s));
                }
                CameraTrouble::Clock { camera: c, by_s } if c == camera => {
                    for look in looks.iter_mut() {
                        look.t_s = (look.t_s + by_s).max(0.0);
                    }
                }
                CameraTrouble::Late { by_s } => {
                    // Bursts: for a while everything of a camera comes late.
                    let (mut until_s, mut late_s, mut last_s) = (0.0, 0.0, 0.0_f64);
                    for look in looks.iter_mut() {
                        if look.arrives_s > until_s {
                            until_s = look.arrives_s + chance.between(1.0, 6.0);
                            late_s = if chance.happens(0.5) { chance.between(0.2, by_s) } else { 0.0 };
                        }
                        look.arrives_s = (look.arrives_s + late_s).max(last_s);
                        last_s = look.arrives_s;
                    }
                }
                CameraTrouble::Doubled { share } => {
                    let doubled: Vec<Look> =
                        looks.iter().filter(|_| chance.happens(share)).cloned().collect();
                    looks.extend(doubled);
                    looks.sort_by(|a, b| a.arrives_s.total_cmp(&b.arrives_s));
                }
                CameraTrouble::Lost { .. } | CameraTrouble::Clock { .. } => {}
            }
        }
    }
}
