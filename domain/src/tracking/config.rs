//! One set of numbers for every camera.

use super::motion::BoxNoise;

/// How a [`super::Tracker`] behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackerConfig {
    /// Noise of boxes and of people's movement.
    pub noise: BoxNoise,
    /// Are scores meant relative to what this detector gives to those it is sure of (the upper quarter of all its
    /// scores so far)? Then one set of thresholds serves detectors whose scores mean different things. A camera role
    /// knows its model's own threshold and says no.
    pub relative_scores: bool,
    /// How much the noise of a detection grows with doubt: times one plus this for a score of 0, nothing for a score
    /// of 1. (A detector is unsure where somebody is half hidden, and there its boxes jump; the idea of the NSA Kalman
    /// filter, Du et al., GIAOTracker, ICCVW 2021.)
    pub doubt_noise: f64,
    /// Detections from this score on are matched first, and to everybody (ByteTrack).
    pub strong_score: f64,
    /// Detections from this score on are matched second, and only to those seen of late; weaker ones are ignored.
    pub weak_score: f64,
    /// A detection that nobody explains begins a track from this score on.
    pub birth_score: f64,
    /// Sightings that confirm a track.
    pub confirm_hits: u32,
    /// A confirmed track is kept this long out of sight, seconds.
    pub keep_s: f64,
    /// A track on trial is kept this long out of sight, seconds, and one frame in any case.
    pub trial_keep_s: f64,
    /// Weak detections are matched to tracks unseen for at most so many frames.
    pub weak_recent_frames: u32,
    /// Squared Mahalanobis distance (middle, top, bottom, width) beyond which a detection is somebody else's.
    pub gate_d2: f64,
    /// Both boxes are grown on every side by this share of themselves before their overlap is taken (C-BIoU).
    pub grow: f64,
    /// Pairs whose grown boxes overlap less, as intersection over union, are forbidden.
    pub least_overlap: f64,
    /// Pairs whose overlap times the overlap of their heights (Hybrid-SORT) is less are left alone.
    pub least_likeness: f64,
    /// How much looks decide against place where both are known, 0 to 1.
    pub looks_share: f64,
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self {
            noise: BoxNoise::default(),
            relative_scores: true,
            doubt_noise: 10.0,
            strong_score: 0.7,
            weak_score: 0.1,
            birth_score: 0.9,
            confirm_hits: 4,
            keep_s: 2.0,
            trial_keep_s: 0.3,
            weak_recent_frames: 2,
            gate_d2: 30.0,
            grow: 0.2,
            least_overlap: 0.1,
            least_likeness: 0.1,
            looks_share: 0.5,
        }
    }
}
