//! How a person's box moves: four Kalman filters, one an edge coordinate.
//!
//! A box is followed as its middle x, its width, its top and its bottom, each with a velocity and independent of
//! the others. Top and bottom rather than middle and height, because what hides people (shelves, other people, the
//! image's edge) cuts one of them and leaves the other true.
//!
//! All noise is in units of the person's height in the image and of seconds, so that one set of numbers serves
//! every distance, image size and frame rate: people are about 1.7 m tall and change their velocity by about
//! 1 m/s within a second.

use crate::geometry::PixelBox;

/// Noise of boxes and of people's movement, per person height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoxNoise {
    /// Standard deviation of a detection's middle, top and bottom, heights.
    pub measured_place: f64,
    /// Standard deviation of a detection's width, heights: legs open and close.
    pub measured_width: f64,
    /// Acceleration noise of the place, heights per second squared and square root of hertz.
    pub acceleration: f64,
    /// Acceleration noise of the width, in the same unit.
    pub width_acceleration: f64,
    /// Standard deviation of a new person's velocity, heights per second.
    pub first_velocity: f64,
    /// Time in which the velocity of somebody out of sight fades to 1/e, seconds.
    pub velocity_fade_s: f64,
}

impl Default for BoxNoise {
    fn default() -> Self {
        Self {
            measured_place: 0.05,
            measured_width: 0.08,
            acceleration: 0.2,
            width_acceleration: 0.2,
            first_velocity: 0.6,
            velocity_fade_s: 1.0,
        }
    }
}

/// One coordinate: value and velocity with their covariance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Coordinate {
    pub(super) value: f64,
    pub(super) velocity: f64,
    value_var: f64,
    cross_var: f64,
    velocity_var: f64,
}

impl Coordinate {
    fn new(value: f64, value_sd: f64, velocity_sd: f64) -> Self {
        Self {
            value,
            velocity: 0.0,
            value_var: value_sd * value_sd,
            cross_var: 0.0,
            velocity_var: velocity_sd * velocity_sd,
        }
    }

    fn predict(&mut self, dt: f64, acceleration: f64, keep: f64) {
        let q = acceleration * acceleration;
        self.value += dt * self.velocity;
        self.velocity *= keep;
        self.value_var += dt * (2.0 * self.cross_var + dt * self.velocity_var) + q * dt * dt * dt / 3.0;
        self.cross_var = keep * (self.cross_var + dt * self.velocity_var) + q * dt * dt / 2.0;
        self.velocity_var = keep * keep * self.velocity_var + q * dt;
    }

    fn correct(&mut self, measured: f64, variance: f64) {
        let total = self.value_var + variance;
        let gain = self.value_var / total;
        let velocity_gain = self.cross_var / total;
        let innovation = measured - self.value;
        self.value += gain * innovation;
        self.velocity += velocity_gain * innovation;
        self.velocity_var -= velocity_gain * self.cross_var;
        self.cross_var *= 1.0 - gain;
        self.value_var *= 1.0 - gain;
    }
}

/// A followed box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct BoxFilter {
    pub(super) middle: Coordinate,
    pub(super) width: Coordinate,
    pub(super) top: Coordinate,
    pub(super) bottom: Coordinate,
}

impl BoxFilter {
    pub(super) fn new(seen: &PixelBox, noise: &BoxNoise) -> Self {
        let place = noise.measured_place * seen.h;
        let velocity = noise.first_velocity * seen.h;
        Self {
            middle: Coordinate::new(seen.x + seen.w / 2.0, place, velocity),
            width: Coordinate::new(seen.w, noise.measured_width * seen.h, 0.25 * velocity),
            top: Coordinate::new(seen.y, place, velocity),
            bottom: Coordinate::new(seen.y + seen.h, place, velocity),
        }
    }

    /// The believed box; its sides are kept positive.
    pub(super) fn bbox(&self) -> PixelBox {
        let w = self.width.value.max(1.0);
        let h = (self.bottom.value - self.top.value).max(1.0);
        PixelBox { x: self.middle.value - w / 2.0, y: self.top.value, w, h }
    }

    pub(super) fn predict(&mut self, dt: f64, noise: &BoxNoise, unseen: bool) {
        let h = self.bbox().h;
        let keep = if unseen { (-dt / noise.velocity_fade_s).exp() } else { 1.0 };
        let place = noise.acceleration * h;
        self.middle.predict(dt, place, keep);
        self.top.predict(dt, place, keep);
        self.bottom.predict(dt, place, keep);
        self.width.predict(dt, noise.width_acceleration * h, keep);
    }

    pub(super) fn correct(&mut self, seen: &PixelBox, noise: &BoxNoise) {
        let place = (noise.measured_place * seen.h).powi(2);
        self.middle.correct(seen.x + seen.w / 2.0, place);
        self.top.correct(seen.y, place);
        self.bottom.correct(seen.y + seen.h, place);
        self.width.correct(seen.w, (noise.measured_width * seen.h).powi(2));
    }

    /// Takes a detection that is so many times less exact than others.
    pub(super) fn correct_doubted(&mut self, seen: &PixelBox, noise: &BoxNoise, times: f64) {
        let noise = BoxNoise {
            measured_place: times * noise.measured_place,
            measured_width: times * noise.measured_width,
            ..*noise
        };
        self.correct(seen, &noise);
    }

    /// How unlikely a detection is: squared Mahalanobis distance of middle, top, bottom and width.
    pub(super) fn distance2(&self, seen: &PixelBox, noise: &BoxNoise) -> f64 {
        let place = (noise.measured_place * seen.h).powi(2);
        let part = |c: &Coordinate, z: f64, r: f64| (z - c.value).powi(2) / (c.value_var + r);
        part(&self.middle, seen.x + seen.w / 2.0, place)
            + part(&self.top, seen.y, place)
            + part(&self.bottom, seen.y + seen.h, place)
            + part(&self.width, seen.w, (noise.measured_width * seen.h).powi(2))
    }
}
