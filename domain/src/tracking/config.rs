//! One set of numbers for every camera.

use super::motion::BoxNoise;

/// How a [`super::Tracker`] behaves. Lengths are in person heights and times in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub struct TrackerConfig {
    pub noise: BoxNoise,
    pub strong_score: f64,
    pub weak_score: f64,
    pub birth_score: f64,
    pub confirm_hits: u32,
    pub keep_s: f64,
    pub trial_keep_s: f64,
    pub weak_recent_frames: u32,
    pub min_iou: f64,
    pub gate: f64,
    pub grow: f64,
    pub grow_per_sd: f64,
    pub height_power: f64,
    pub w_iou: f64,
    pub w_maha: f64,
    pub w_vol: f64,
    pub vol0: f64,
    pub w_score: f64,
    pub limit: f64,
    pub last_box_iou: f64,
    pub reupdate: bool,
    pub show_filtered: f64,
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self {
            noise: BoxNoise {
                measured_place: 0.05,
                measured_width: 0.08,
                acceleration: 0.3,
                width_acceleration: 0.2,
                first_velocity: 0.6,
                velocity_fade_s: 1.0,
            },
            strong_score: 0.6,
            weak_score: 0.1,
            birth_score: 0.7,
            confirm_hits: 3,
            keep_s: 2.0,
            trial_keep_s: 0.3,
            weak_recent_frames: 2,
            min_iou: 0.1,
            gate: 30.0,
            grow: 0.2,
            grow_per_sd: 0.0,
            height_power: 1.0,
            w_iou: 1.0,
            w_maha: 0.0,
            w_vol: 0.0,
            vol0: 0.0,
            w_score: 0.0,
            limit: 0.9,
            last_box_iou: 2.0,
            reupdate: true,
            show_filtered: 1.0,
        }
    }
}
