//! Plate weights with the noise of real shelves.
//!
//! The figures come from a 60 Hz recording of five shelves (AIM3S, see docs/ref/recording.md) and from HX711
//! scales: quiet noise of 1.5 to 2.8 g rms for a shelf of twelve plates, that is 0.4 to 0.8 g a plate; a hand at a
//! plate pushes it by hundreds of grams both ways before the level changes; everything on the same piece of
//! furniture shakes with it in bursts and shifts by a few grams; settled levels hold within a gram; the level after
//! a return differs by 2 to 4 g from the one before the pick; absolute values drift and creep. A reading is rounded to 0.1 g.
//!
//! What is modelled, in the order in which it is added up: a base load with drift; for each handling of the plate a
//! push, a step spread over the lift, and creep; for each handling of the same gondola a burst of damped
//! oscillations and a small net shift; bumps into a gondola that no handling explains; white noise; now and then a
//! sample that is lost.
//!
//! How hard hands push and how far furniture shakes is [`Furniture`]'s: as measured, or rattling. Faulty cells are made
//! of sound ones (`sensors/faults.rs`). Not modelled: cross-talk between gondolas, temperature steps.

use std::f64::consts::{PI, TAU};

use linefree_domain::ids::PlateIndex;
use linefree_domain::layout::StoreLayout;
use linefree_domain::shelf::WeightSample;
use linefree_domain::time::StoreTime;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, LogNormal, StandardNormal};

/// A hand that presses on a plate without moving anything yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Press {
    /// From when, seconds from the start.
    pub from_s: f64,
    /// Until when, seconds from the start.
    pub to_s: f64,
    /// How heavily, grams.
    pub grams: f64,
}

/// A hand at a plate.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Handling {
    /// When the level changes, seconds from the start.
    pub at_s: f64,
    /// How long the hand is at the plate, seconds.
    pub duration_s: f64,
    /// The plates that the item rests on, neighbours if several.
    pub plates: Vec<PlateIndex>,
    /// By how much the level changes: negative for a take, 0 for a touch, grams.
    pub delta_g: f64,
    /// What of `delta_g` each plate feels; drawn where it is not said.
    pub parts_g: Option<Vec<f64>>,
    /// How long the weight takes to come off or on; a moment where it is not said, seconds.
    pub lift_s: Option<f64>,
    /// A hand that rests there before.
    pub press: Option<Press>,
}

/// How furniture answers hands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Furniture {
    /// Pushes of a hand: a part that any item gets, grams, a part of the item's weight, and the largest, grams.
    push: [f64; 3],
    /// Shaking: median amplitude, logarithmic spread and the largest, grams.
    shake: [f64; 3],
    /// How fast it swings, hertz.
    swing_hz: [f64; 2],
    /// How fast that dies away, seconds.
    decay_s: [f64; 2],
    /// How long before and after the hand it shakes, seconds.
    around_s: [f64; 2],
    /// Shaking that no handling explains: as `shake`.
    bump: [f64; 3],
    /// How much of the shaking reaches plates of the same shelf, and those of others.
    same_shelf: [f64; 2],
    other_shelf: [f64; 2],
}

impl Furniture {
    /// As light furniture that rattles: plate by plate as bad as the measured shelves were as a whole, so about five
    /// times worse than measured. The committed recordings have it.
    pub const RATTLING: Self = Self {
        push: [120.0, 0.6, 1500.0],
        shake: [20.0, 0.6, 90.0],
        swing_hz: [3.0, 9.0],
        decay_s: [0.08, 0.35],
        around_s: [0.6, 1.1],
        bump: [9.0, 0.8, 60.0],
        same_shelf: [0.4, 0.9],
        other_shelf: [0.2, 0.6],
    };

    /// As measured (docs/design/simulator.md): the sum of twelve plates shakes by 6 to 40 g.
    pub const MEASURED: Self = Self {
        push: [80.0, 0.55, 1100.0],
        shake: [4.6, 0.45, 10.0],
        swing_hz: [9.0, 22.0],
        decay_s: [0.04, 0.2],
        around_s: [0.5, 0.5],
        bump: [1.4, 0.7, 8.0],
        same_shelf: [0.6, 1.5],
        other_shelf: [0.2, 0.6],
    };
}

/// How a set of plates is sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Samples a second.
    pub rate_hz: f64,
    /// Length, seconds.
    pub duration_s: f64,
    /// Where every random number comes from.
    pub seed: u64,
    /// What the plates stand on.
    pub furniture: Furniture,
}

/// Chance that a reading is lost.
const LOST: f64 = 0.0005;

/// How often somebody bumps into a gondola without touching a plate, on average once in so many seconds.
const BUMP_EVERY_S: f64 = 25.0;

/// Streams of one seed: plates from 0, handlings from here.
const HANDLING_STREAM: u64 = 1 << 32;

/// Streams of one seed: bumps into gondolas from here.
const BUMP_STREAM: u64 = 1 << 40;

fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

fn normal(rng: &mut ChaCha8Rng, sd: f64) -> f64 {
    let z: f64 = StandardNormal.sample(rng);
    z * sd
}

/// From 0 to 1 along half a cosine.
fn ramp(u: f64) -> f64 {
    let u = u.clamp(0.0, 1.0);
    0.5 - 0.5 * (PI * u).cos()
}

/// A bump of height 1 from 0 to 1.
fn bump(u: f64) -> f64 {
    if (0.0..1.0).contains(&u) { 0.5 - 0.5 * (TAU * u).cos() } else { 0.0 }
}

/// A damped oscillation of the furniture.
struct Ring {
    at_s: f64,
    amplitude_g: f64,
    frequency_hz: f64,
    decay_s: f64,
}

impl Ring {
    fn at(&self, t: f64) -> f64 {
        let u = t - self.at_s;
        // Beyond eight time constants nothing is left that rounding would show.
        if u < 0.0 || u > 8.0 * self.decay_s {
            return 0.0;
        }
        self.amplitude_g * (TAU * self.frequency_hz * u).sin() * (-u / self.decay_s).exp()
    }
}

/// A positive number around `median`, log-normally spread, no larger than `most`.
fn heavy_tailed(rng: &mut ChaCha8Rng, median: f64, spread: f64, most: f64) -> f64 {
    LogNormal::new(median.ln(), spread).map_or(median, |d: LogNormal<f64>| d.sample(rng)).min(most)
}

/// A burst of oscillations between two moments, about nine a second.
fn shaking(
    rng: &mut ChaCha8Rng,
    from_s: f64,
    to_s: f64,
    amplitude_g: f64,
    furniture: &Furniture,
) -> Vec<Ring> {
    let ([f0, f1], [d0, d1]) = (furniture.swing_hz, furniture.decay_s);
    let count = (3.0 + (to_s - from_s) * 9.0).round() as usize;
    (0..count)
        .map(|_| Ring {
            at_s: rng.random_range(from_s..to_s),
            amplitude_g: heavy_tailed(rng, amplitude_g, 0.6, 4.0 * amplitude_g)
                * if rng.random_bool(0.5) { 1.0 } else { -1.0 },
            frequency_hz: rng.random_range(f0..f1),
            decay_s: rng.random_range(d0..d1),
        })
        .collect()
}

/// What one handling does to the plates it touches and to those beside them.
struct Disturbance<'h> {
    handling: &'h Handling,
    gondola: usize,
    place: String,
    /// Height, beginning and length of each push, grams and seconds.
    pushes: Vec<(f64, f64, f64)>,
    rings: Vec<Ring>,
    lift_s: f64,
    /// What each touched plate's level really changes by.
    steps_g: Vec<(PlateIndex, f64)>,
    creep: f64,
}

impl<'h> Disturbance<'h> {
    fn new(handling: &'h Handling, layout: &StoreLayout, furniture: &Furniture, mut rng: ChaCha8Rng) -> Self {
        let (at, long) = (handling.at_s, handling.duration_s);
        let size_g = handling.delta_g.abs();
        let [any_g, of_item, most_g] = furniture.push;
        let main_g = heavy_tailed(&mut rng, any_g + of_item * size_g, 0.6, most_g);
        let lift_s = rng.random_range(0.15..0.35);
        // One push just before the level changes, then fumbling before and after.
        let main_s = rng.random_range(0.25..0.5);
        let mut pushes = vec![(main_g, at - 0.5 * lift_s - 0.8 * main_s, main_s)];
        let more = (long * 2.0).round() as u32;
        for _ in 0..more {
            let height = main_g * rng.random_range(-0.5..0.7);
            let length = rng.random_range(0.12..0.4);
            let begin = rng.random_range(at - 0.55 * long..at + (0.45 * long - length).max(0.01));
            pushes.push((height, begin, length));
        }
        let ([median_g, spread, most_g], [before_s, after_s]) = (furniture.shake, furniture.around_s);
        let shake_g = heavy_tailed(&mut rng, median_g, spread, most_g);
        let rings =
            shaking(&mut rng, at - 0.6 * long - before_s, at + 0.5 * long + after_s, shake_g, furniture);
        // Where on the plate an item is put down matters by some thousandths of its weight.
        let error_g =
            if size_g > 0.0 { normal(&mut rng, 0.7 + 0.002 * size_g) } else { normal(&mut rng, 0.4) };
        let first = rng.random_range(0.3..0.7);
        let shares: &[f64] = match handling.plates.len() {
            1 => &[1.0],
            2 => &[first, 1.0 - first],
            _ => &[],
        };
        let even = 1.0 / handling.plates.len().max(1) as f64;
        let share = |i: usize| shares.get(i).copied().unwrap_or(even);
        let total = handling.delta_g + error_g;
        let steps_g = match &handling.parts_g {
            // Each plate has its own error, as large as an item's share in it.
            Some(parts) => {
                let whole = parts.iter().map(|g| g.abs()).sum::<f64>();
                let part_of_error = |g: f64| if whole > 0.0 { g.abs() / whole } else { even };
                let plates = handling.plates.iter().zip(parts);
                plates.map(|(p, g)| (*p, g + error_g * part_of_error(*g))).collect()
            }
            None => handling.plates.iter().enumerate().map(|(i, p)| (*p, total * share(i))).collect(),
        };
        let plate = handling.plates.first().and_then(|p| layout.plates.get(p.0));
        Self {
            handling,
            gondola: plate.map_or(usize::MAX, |p| p.gondola),
            place: plate.map_or_else(String::new, |p| p.id.place().to_owned()),
            pushes,
            rings,
            lift_s: handling.lift_s.unwrap_or(lift_s),
            steps_g,
            creep: rng.random_range(0.0..0.003),
        }
    }
}

/// A disturbance over time, the same for every plate that it reaches: worked out once.
struct Course {
    lift: Vec<f64>,
    creep: Vec<f64>,
    push_g: Vec<f64>,
    ring_g: Vec<f64>,
}

impl Course {
    fn of(d: &Disturbance<'_>, times_s: &[f64]) -> Self {
        let each = |f: &dyn Fn(f64) -> f64| times_s.iter().map(|t| f(*t)).collect();
        let at_s = d.handling.at_s;
        // Shaking begins after 0.6 of the handling before its moment and rings out within seconds.
        let near = |t: f64| (t - at_s).abs() < d.handling.duration_s + 8.0;
        Self {
            lift: each(&|t| ramp((t - at_s) / d.lift_s + 0.5)),
            creep: each(&|t| if t > at_s { d.creep * (1.0 - (-(t - at_s) / 15.0).exp()) } else { 0.0 }),
            push_g: each(&|t| {
                let push: f64 =
                    d.pushes.iter().map(|(h, begin, length)| h * bump((t - begin) / length)).sum();
                push + d.handling.press.map_or(0.0, |p| p.at(t))
            }),
            ring_g: each(&|t| if near(t) { d.rings.iter().map(|r| r.at(t)).sum() } else { 0.0 }),
        }
    }
}

impl Press {
    /// A hand comes down within a third of a second, is never quite still, and goes.
    fn at(&self, t: f64) -> f64 {
        let rest = ramp((t - self.from_s) / 0.3) * (1.0 - ramp((t - self.to_s) / 0.3));
        let tremble = 1.0 + 0.05 * (TAU * 0.9 * t).sin() + 0.03 * (TAU * 2.3 * t).sin();
        self.grams * rest * tremble
    }
}

/// How one plate answers a disturbance.
struct Response<'c> {
    course: &'c Course,
    /// Its own part of the level's change; 0 for a plate beside it.
    step_g: f64,
    /// Its share of the pushes; 0 for a plate beside it.
    pushed: f64,
    /// How much of the shaking reaches it.
    shaken: f64,
    /// Small lasting shift of a plate beside it.
    shift_g: f64,
}

impl Response<'_> {
    fn at(&self, row: usize) -> f64 {
        let c = self.course;
        let g = (self.step_g + self.shift_g) * c.lift[row] + self.step_g * c.creep[row];
        g + self.pushed * c.push_g[row] + self.shaken * c.ring_g[row]
    }
}

/// What every plate of a store reads.
///
/// Rows come `1 / rate_hz` apart with a jitter of up to 2 ms, from `start` on.
#[must_use]
pub fn weigh(
    layout: &StoreLayout,
    start: StoreTime,
    sampling: Sampling,
    handlings: &[Handling],
) -> Vec<WeightSample> {
    let Sampling { rate_hz, duration_s, seed, furniture } = sampling;
    let disturbances: Vec<Disturbance<'_>> = (HANDLING_STREAM..)
        .zip(handlings)
        .map(|(s, h)| Disturbance::new(h, layout, &furniture, stream(seed, s)))
        .collect();
    let bumps: Vec<Vec<Ring>> = (BUMP_STREAM..)
        .zip(&layout.gondolas)
        .map(|(s, _)| bumps_into(&mut stream(seed, s), duration_s, &furniture))
        .collect();
    let mut clock = stream(seed, u64::MAX);
    let rows = (duration_s * rate_hz).floor() as usize;
    let times_s: Vec<f64> = (0..rows)
        .map(|k| {
            let jitter = if k == 0 { 0.0 } else { clock.random_range(-0.002..0.002) };
            ((k as f64 / rate_hz + jitter) * 1000.0).round() / 1000.0
        })
        .collect();
    let courses: Vec<Course> = disturbances.iter().map(|d| Course::of(d, &times_s)).collect();
    let shakes: Vec<Vec<f64>> = bumps
        .iter()
        .map(|rings| times_s.iter().map(|t| rings.iter().map(|r| r.at(*t)).sum()).collect())
        .collect();
    let mut samples: Vec<WeightSample> = times_s
        .iter()
        .map(|t| WeightSample { time: start.plus_s(*t), weights_g: Vec::with_capacity(layout.plates.len()) })
        .collect();
    for (number, plate) in (0_u64..).zip(&layout.plates) {
        let index = PlateIndex(usize::try_from(number).unwrap_or(usize::MAX));
        let mut rng = stream(seed, number);
        let base_g = base_load_g(layout, index) + rng.random_range(-400.0..400.0);
        let noise_g = rng.random_range(0.4..0.8);
        let slope_g_per_s = normal(&mut rng, 0.004);
        let (wave_g, period_s, phase) =
            (rng.random_range(0.1..0.5), rng.random_range(60.0..300.0), rng.random_range(0.0..TAU));
        let responses: Vec<Response<'_>> = disturbances
            .iter()
            .zip(&courses)
            .filter_map(|(d, c)| respond(d, c, plate.gondola, plate.id.place(), index, &furniture, &mut rng))
            .collect();
        let bumped = shakes.get(plate.gondola).map_or(&[][..], Vec::as_slice);
        let bumped_share = rng.random_range(0.5..1.0);
        let mut walk_g = 0.0;
        for (row, (t, sample)) in times_s.iter().zip(&mut samples).enumerate() {
            walk_g += normal(&mut rng, 0.03 / rate_hz.sqrt());
            let drift = slope_g_per_s * t + wave_g * (TAU * t / period_s + phase).sin() + walk_g;
            let handled: f64 = responses.iter().map(|r| r.at(row)).sum();
            let shaken = bumped.get(row).copied().unwrap_or(0.0);
            let reading = base_g + drift + handled + bumped_share * shaken + normal(&mut rng, noise_g);
            if !rng.random_bool(LOST) {
                sample.weights_g.push((index, (reading * 10.0).round() / 10.0));
            }
        }
    }
    samples
}

/// Shaking of one gondola that no handling explains.
fn bumps_into(rng: &mut ChaCha8Rng, duration_s: f64, furniture: &Furniture) -> Vec<Ring> {
    let [median_g, spread, most_g] = furniture.bump;
    let mut rings = Vec::new();
    let mut t = 0.0;
    loop {
        // Exponential waiting times: bumps know nothing of each other.
        t -= BUMP_EVERY_S * rng.random_range(f64::EPSILON..1.0).ln();
        if t >= duration_s {
            return rings;
        }
        let long = rng.random_range(0.3..2.0);
        let shake_g = heavy_tailed(rng, median_g, spread, most_g);
        rings.extend(shaking(rng, t, t + long, shake_g, furniture));
    }
}

/// What lies on a plate at the start: absolute values mean nothing, but a full plate should not read empty.
fn base_load_g(layout: &StoreLayout, plate: PlateIndex) -> f64 {
    let on = layout.facings.iter().filter(|f| f.plates.contains(&plate));
    on.filter_map(|f| {
        let mean_g = layout.products.get(f.product.0)?.weight.mean_g;
        Some(mean_g * f64::from(f.count.unwrap_or(4)) / f.plates.len() as f64)
    })
    .sum::<f64>()
        + 1500.0
}

fn respond<'c>(
    d: &Disturbance<'_>,
    course: &'c Course,
    gondola: usize,
    place: &str,
    plate: PlateIndex,
    furniture: &Furniture,
    rng: &mut ChaCha8Rng,
) -> Option<Response<'c>> {
    if d.gondola != gondola {
        return None;
    }
    if let Some((_, step_g)) = d.steps_g.iter().find(|(p, _)| *p == plate) {
        let pushed = 1.0 / d.steps_g.len() as f64;
        let shaken = rng.random_range(1.2..2.2);
        return Some(Response { course, step_g: *step_g, pushed, shaken, shift_g: 0.0 });
    }
    let ([s0, s1], [o0, o1]) = (furniture.same_shelf, furniture.other_shelf);
    let (shaken, shift_g) = if d.place == place {
        (rng.random_range(s0..s1), normal(rng, 0.6).clamp(-1.5, 1.5))
    } else {
        (rng.random_range(o0..o1), normal(rng, 0.3).clamp(-1.0, 1.0))
    };
    Some(Response { course, step_g: 0.0, pushed: 0.0, shaken, shift_g })
}
