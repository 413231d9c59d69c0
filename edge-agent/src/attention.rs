//! When to run the person model: as often as the scene needs, and no more.
//!
//! A frame in which nothing has changed since the last detection shows the same people as then. While people merely
//! walk, detecting at [`AttentionConfig::rate_hz`] is enough and what is cheap carries their boxes in between. While
//! somebody is new, it is twice as often. No clock: time is passed in.

use linefree_domain::time::StoreTime;
use linefree_recording::DetectorConfig;

/// Detections a second where store.toml says nothing: every frame in which something has changed. Fewer lose next to
/// nothing in the image, and yet on the plaza some charged lines were wrong with them: a box that is carried on to
/// somebody else looks like no meeting.
pub const DEFAULT_RATE_HZ: f64 = 100.0;
/// An unchanged scene is looked at this often anyway where store.toml says nothing, seconds.
pub const DEFAULT_IDLE_S: f64 = 5.0;
/// After so long without any change, only some frames are glanced at, seconds.
const QUIET_S: f64 = 1.0;
/// Then a glance comes this often, seconds: so late is somebody noticed who walks in.
const QUIET_GLANCE_S: f64 = 0.25;

/// How closely a camera is watched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionConfig {
    /// Every frame goes through the model.
    pub every_frame: bool,
    /// Detections a second while people are in view and nothing is unclear.
    pub rate_hz: f64,
    /// Longest time without a detection, seconds.
    pub idle_s: f64,
}

impl AttentionConfig {
    /// What a store asks for.
    #[must_use]
    pub fn of(wanted: &DetectorConfig) -> Self {
        Self {
            every_frame: false,
            rate_hz: wanted.rate_hz.unwrap_or(DEFAULT_RATE_HZ),
            idle_s: wanted.idle_s.unwrap_or(DEFAULT_IDLE_S),
        }
    }
}

/// What is known about a frame before the model has seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scene {
    /// Something has changed since the last detection.
    pub changed: bool,
    /// Somebody is not confirmed yet.
    pub on_trial: bool,
}

/// What to do with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Run the model.
    Detect,
    /// Carry everybody's box along.
    Carry,
    /// Nothing has changed: everybody is where they were.
    Same,
}

/// Decides frame by frame.
#[derive(Debug, Clone)]
pub struct Attention {
    config: AttentionConfig,
    detected: Option<StoreTime>,
    changed: Option<StoreTime>,
    glanced: Option<StoreTime>,
}

impl Attention {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(config: AttentionConfig) -> Self {
        Self { config, detected: None, changed: None, glanced: None }
    }

    /// Whether frames are to be glanced at, at all.
    #[must_use]
    pub fn glances(&self) -> bool {
        !self.config.every_frame
    }

    /// May the frame at `time` be passed over unseen? Only where nothing has changed for a while.
    #[must_use]
    pub fn may_skip(&self, time: StoreTime) -> bool {
        let (Some(changed), Some(glanced), Some(detected)) = (self.changed, self.glanced, self.detected)
        else {
            return false;
        };
        !self.config.every_frame
            && time.seconds_since(changed.max(detected)) > QUIET_S.min(0.5 * self.config.idle_s)
            && time.seconds_since(glanced) < QUIET_GLANCE_S
            && time.seconds_since(detected) < self.config.idle_s
    }

    /// What to do with the frame at `time`.
    pub fn decide(&mut self, time: StoreTime, scene: &Scene) -> Look {
        self.glanced = Some(time);
        if scene.changed || self.changed.is_none() {
            self.changed = Some(time);
        }
        let Some(detected) = self.detected.filter(|_| !self.config.every_frame) else {
            self.detected = Some(time);
            return Look::Detect;
        };
        let since_s = time.seconds_since(detected);
        let interval_s = 1.0 / self.config.rate_hz;
        // Frames come when they come: half a millisecond early is on time.
        let due_s = (if scene.on_trial { 0.5 * interval_s } else { interval_s }) - 5e-4;
        if since_s >= self.config.idle_s || ((scene.changed || scene.on_trial) && since_s >= due_s) {
            self.detected = Some(time);
            Look::Detect
        } else if scene.changed {
            Look::Carry
        } else {
            Look::Same
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often a scene is looked at in ten seconds of ten frames a second, after a first second.
    fn looks(scene: Scene) -> usize {
        let config = AttentionConfig { every_frame: false, rate_hz: 2.5, idle_s: 5.0 };
        let mut attention = Attention::new(config);
        let mut look = |i: u32| {
            let time = StoreTime::default().plus_s(f64::from(i) / 10.0);
            !attention.may_skip(time) && attention.decide(time, &scene) == Look::Detect
        };
        assert!(look(0), "the first frame is always looked at");
        for i in 1..=10 {
            look(i);
        }
        (11..=110).filter(|i| look(*i)).count()
    }

    #[test]
    fn looks_are_as_many_as_the_scene_needs() {
        let walking = Scene { changed: true, ..Scene::default() };
        assert_eq!(looks(Scene::default()), 2);
        assert_eq!(looks(walking), 25);
        assert_eq!(looks(Scene { on_trial: true, ..walking }), 50);
    }

    #[test]
    fn a_quiet_scene_is_glanced_at_now_and_then_and_change_is_met_at_once() {
        let config = AttentionConfig { every_frame: false, rate_hz: 2.5, idle_s: 60.0 };
        let mut attention = Attention::new(config);
        let at = |i: u32| StoreTime::default().plus_s(f64::from(i) / 10.0);
        let mut glances = 0;
        for i in 0..200 {
            if !attention.may_skip(at(i)) {
                attention.decide(at(i), &Scene::default());
                glances += 1;
            }
        }
        assert!((60..100).contains(&glances), "{glances} glances");
        let change = Scene { changed: true, ..Scene::default() };
        let met = (200..210)
            .find(|i| !attention.may_skip(at(*i)) && attention.decide(at(*i), &change) == Look::Detect);
        assert!(met.is_some_and(|i| i <= 203), "{met:?}");
    }

    #[test]
    fn every_frame_means_every_frame() {
        let mut attention = Attention::new(AttentionConfig { every_frame: true, rate_hz: 1.0, idle_s: 9.0 });
        for i in 0..50 {
            let time = StoreTime::default().plus_s(f64::from(i) / 25.0);
            assert!(!attention.may_skip(time));
            assert_eq!(attention.decide(time, &Scene::default()), Look::Detect);
        }
    }
}
