//! One set of numbers for every store.

/// How a [`super::FloorTracker`] behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FloorConfig {
    /// Standard deviation of a shopper's velocity per axis, metres per second.
    pub speed_sd_m_s: f64,
    /// Time in which a velocity is forgotten to 1/e, seconds.
    pub turn_s: f64,
    /// The fastest a person gets about in a store, metres per second; limits where a lost shopper is looked for.
    pub top_speed_m_s: f64,
    /// Error of one camera that does not average out (calibration, where a box ends), metres.
    pub bias_sd_m: f64,
    /// Time over which one camera's errors stay alike, seconds: ten frames of a second are not ten opinions.
    pub alike_s: f64,
    /// Squared Mahalanobis distance beyond which a sighting is somebody else's.
    pub gate_d2: f64,
    /// What a camera's own track is worth as evidence, as the logarithm of odds.
    pub link_log_odds: f64,
    /// What a camera's own tracklet is worth, which nobody else can have slipped into, as the logarithm of odds.
    pub tracklet_log_odds: f64,
    /// A shopper unseen for longer than this is lost: found again only by several sightings.
    pub lost_after_s: f64,
    /// Sightings further than this outside the floor are ignored, metres.
    pub outside_m: f64,
    /// People appear and vanish within this distance of a gate, metres.
    pub gate_reach_m: f64,
    /// Sightings that make a shopper at a gate.
    pub birth_hits_at_gate: u32,
    /// Sightings that make a shopper anywhere else.
    pub birth_hits_elsewhere: u32,
    /// How long somebody must have been seen elsewhere than at a gate, seconds.
    pub birth_elsewhere_s: f64,
    /// The same for who does not move and is seen by one camera only: posters and mirrors, seconds.
    pub birth_still_s: f64,
    /// A trial unseen for longer than this is forgotten, seconds.
    pub trial_keep_s: f64,
    /// Whoever walks out through a gate has left when unseen for this long, seconds.
    pub left_walking_s: f64,
    /// Whoever was last seen at a gate has left when unseen for this long, seconds.
    pub left_standing_s: f64,
    /// A shopper lost in the middle of the store is given up after this long, seconds.
    pub give_up_s: f64,
    /// Two shoppers this close whom no camera tells apart, metres ...
    pub merge_m: f64,
    /// ... for this long, are one, seconds.
    pub merge_s: f64,
    /// How far back positions are kept, seconds.
    pub history_s: f64,
    /// Observations later than this behind the newest are dropped, seconds.
    pub late_tolerance_s: f64,
}

impl Default for FloorConfig {
    fn default() -> Self {
        Self {
            speed_sd_m_s: 0.9,
            turn_s: 3.0,
            top_speed_m_s: 2.5,
            bias_sd_m: 0.1,
            alike_s: 0.3,
            gate_d2: 13.8, // 99.9 % of two degrees of freedom
            link_log_odds: 1.7,
            tracklet_log_odds: 6.0,
            lost_after_s: 0.5,
            outside_m: 0.5,
            gate_reach_m: 1.2,
            birth_hits_at_gate: 3,
            birth_hits_elsewhere: 6,
            birth_elsewhere_s: 0.8,
            birth_still_s: 3.0,
            trial_keep_s: 1.0,
            left_walking_s: 1.0,
            left_standing_s: 8.0,
            give_up_s: 180.0,
            merge_m: 0.4,
            merge_s: 3.0,
            history_s: 90.0,
            late_tolerance_s: 0.5,
        }
    }
}
