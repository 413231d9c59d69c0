//! How a shopper moves: a Kalman filter on the floor plane.
//!
//! Position with a velocity that forgets itself, the integrated Ornstein-Uhlenbeck process (also known as the Singer
//! model's limit; Li and Jilkov, Survey of maneuvering target tracking I, IEEE TAES 39, 2003). People in a shop
//! walk, stop and turn: velocity has mean zero, a standard deviation `speed_sd_m_s` per axis, and is forgotten over
//! `turn_s`. Unlike constant velocity it stays sensible when nobody sees the shopper for a minute: the believed
//! place stops near where the last steps led, and its variance grows with time and not with its cube.

use nalgebra::{Matrix2, Matrix2x4, Matrix4, Matrix4x2, Point2, Vector2, Vector4};

/// The process: how fast people go, and how soon they change it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Walk {
    pub(super) speed_sd_m_s: f64,
    pub(super) turn_s: f64,
    /// Variance of the position is not let grow past this, square metres.
    pub(super) most_var_m2: f64,
}

/// Believed state at one moment: x, y, vx, vy with covariance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Belief {
    pub(super) mean: Vector4<f64>,
    pub(super) cov: Matrix4<f64>,
}

impl Walk {
    /// Transition over `dt` seconds.
    pub(super) fn transition(&self, dt: f64) -> Matrix4<f64> {
        let keep = (-dt / self.turn_s).exp();
        let reach = self.turn_s * (1.0 - keep);
        #[rustfmt::skip]
        let f = Matrix4::new(
            1.0, 0.0, reach, 0.0,
            0.0, 1.0, 0.0, reach,
            0.0, 0.0, keep, 0.0,
            0.0, 0.0, 0.0, keep,
        );
        f
    }

    /// Noise gathered over `dt` seconds.
    pub(super) fn noise(&self, dt: f64) -> Matrix4<f64> {
        let keep = (-dt / self.turn_s).exp();
        let s2 = self.speed_sd_m_s * self.speed_sd_m_s;
        let vv = s2 * (1.0 - keep * keep);
        let xv = s2 * self.turn_s * (1.0 - keep) * (1.0 - keep);
        let xx = s2 * self.turn_s * self.turn_s * (2.0 * dt / self.turn_s - 3.0 + 4.0 * keep - keep * keep);
        #[rustfmt::skip]
        let q = Matrix4::new(
            xx, 0.0, xv, 0.0,
            0.0, xx, 0.0, xv,
            xv, 0.0, vv, 0.0,
            0.0, xv, 0.0, vv,
        );
        q
    }

    /// The belief `dt` seconds later, nothing having been seen. Negative times are taken as zero.
    pub(super) fn predict(&self, belief: &Belief, dt: f64) -> Belief {
        if dt.is_nan() || dt <= 0.0 {
            return *belief;
        }
        let f = self.transition(dt);
        let mut cov = f * belief.cov * f.transpose() + self.noise(dt);
        let largest = cov[(0, 0)].max(cov[(1, 1)]);
        if largest > self.most_var_m2 {
            // Everywhere is as much as can be unknown.
            let shrink = (self.most_var_m2 / largest).sqrt();
            let scale = Matrix4::from_diagonal(&Vector4::new(shrink, shrink, 1.0, 1.0));
            cov = scale * cov * scale;
        }
        Belief { mean: f * belief.mean, cov }
    }

    /// What is believed of somebody seen for the first time.
    pub(super) fn first(&self, at: Point2<f64>, cov_m2: &Matrix2<f64>) -> Belief {
        let v = self.speed_sd_m_s * self.speed_sd_m_s;
        let mut cov = Matrix4::from_diagonal(&Vector4::new(0.0, 0.0, v, v));
        cov.fixed_view_mut::<2, 2>(0, 0).copy_from(cov_m2);
        Belief { mean: Vector4::new(at.x, at.y, 0.0, 0.0), cov }
    }
}

impl Belief {
    pub(super) fn at(&self) -> Point2<f64> {
        Point2::new(self.mean.x, self.mean.y)
    }

    pub(super) fn velocity(&self) -> Vector2<f64> {
        Vector2::new(self.mean.z, self.mean.w)
    }

    pub(super) fn place_cov(&self) -> Matrix2<f64> {
        self.cov.fixed_view::<2, 2>(0, 0).into_owned()
    }

    /// Larger standard deviation of the two axes of the place, metres.
    pub(super) fn place_sd_m(&self) -> f64 {
        largest_eigenvalue(&self.place_cov()).max(0.0).sqrt()
    }

    /// Takes a measurement of the place (Joseph form, which keeps the covariance symmetric and positive).
    pub(super) fn correct(&mut self, at: Point2<f64>, noise_m2: &Matrix2<f64>) {
        let pht: Matrix4x2<f64> = self.cov.fixed_view::<4, 2>(0, 0).into_owned();
        let Some(inverse) = (self.place_cov() + noise_m2).try_inverse() else { return };
        let gain = pht * inverse;
        self.mean += gain * (at - self.at());
        let h = Matrix2x4::identity();
        let left = Matrix4::identity() - gain * h;
        self.cov = left * self.cov * left.transpose() + gain * noise_m2 * gain.transpose();
        self.cov = (self.cov + self.cov.transpose()) * 0.5;
    }
}

/// Squared Mahalanobis distance, and the logarithm of the covariance's determinant.
pub(super) fn distance2(offset: Vector2<f64>, cov_m2: &Matrix2<f64>) -> Option<(f64, f64)> {
    let determinant = cov_m2.determinant();
    let inverse = cov_m2.try_inverse()?;
    let d2 = offset.dot(&(inverse * offset));
    (determinant > 0.0 && d2.is_finite() && d2 >= 0.0).then(|| (d2, determinant.ln()))
}

pub(super) fn largest_eigenvalue(m: &Matrix2<f64>) -> f64 {
    let half = (m[(0, 0)] + m[(1, 1)]) / 2.0;
    let apart = (m[(0, 0)] - m[(1, 1)]) / 2.0;
    half + (apart * apart + m[(0, 1)] * m[(0, 1)]).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALK: Walk = Walk { speed_sd_m_s: 0.8, turn_s: 2.0, most_var_m2: 400.0 };

    #[test]
    fn two_short_steps_are_one_long_one() {
        let start = WALK.first(Point2::new(1.0, 2.0), &(Matrix2::identity() * 0.04));
        let mut start = start;
        start.mean.z = 1.2;
        let once = WALK.predict(&start, 0.7);
        let twice = WALK.predict(&WALK.predict(&start, 0.3), 0.4);
        assert!((once.mean - twice.mean).norm() < 1e-12);
        assert!((once.cov - twice.cov).norm() < 1e-12);
    }

    #[test]
    fn nobody_gets_lost_to_infinity() {
        let mut b = WALK.first(Point2::origin(), &(Matrix2::identity() * 0.04));
        b.mean.z = 1.5;
        let far = WALK.predict(&b, 3600.0);
        assert!(far.at().x < 1.5 * 2.0 + 1e-9, "coasts at most velocity times turn time");
        assert!(far.place_sd_m() <= 20.0 + 1e-9);
    }

    #[test]
    fn a_steady_walk_is_followed() {
        let r = Matrix2::identity() * 0.01;
        let mut b = WALK.first(Point2::origin(), &r);
        for k in 1..=40 {
            b = WALK.predict(&b, 0.1);
            b.correct(Point2::new(0.13 * f64::from(k), 0.0), &r);
        }
        // The velocity is drawn towards zero a little: that is the price of coasting sensibly.
        assert!((b.at().x - 5.2).abs() < 0.05 && (b.velocity().x - 1.3).abs() < 0.2, "{b:?}");
    }
}
