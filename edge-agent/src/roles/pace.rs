//! How fast a recording runs, and who waits for whom.

use std::str::FromStr;
use std::time::Duration;

use linefree_domain::time::StoreTime;
use tokio::sync::watch;
use tokio::time::Instant;

/// A factor of real time, or as fast as the machine goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// This many recorded seconds a second.
    Factor(f64),
    /// No waiting but for the floor role.
    Max,
}

impl FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(factor) if factor.is_finite() && factor > 0.0 => Ok(Self::Factor(factor)),
            _ => Err(format!("{text:?}: want max, or a factor of real time such as 1 or 4")),
        }
    }
}

/// A replayed source stays at most this far ahead of what the floor role has consumed, seconds of event time. It
/// bounds every queue between them, however different their speeds.
const AHEAD_S: f64 = 5.0;

/// Holds a replayed source to its pace.
#[derive(Debug)]
pub(super) struct Pacer {
    pace: Pace,
    start: StoreTime,
    began: Instant,
    progress: watch::Receiver<Option<StoreTime>>,
}

impl Pacer {
    /// Starts the clock of a recording that begins at `start`.
    pub fn new(pace: Pace, start: StoreTime, progress: watch::Receiver<Option<StoreTime>>) -> Self {
        Self { pace, start, began: Instant::now(), progress }
    }

    /// Returns when the moment `time` of the recording may be told.
    pub async fn until(&mut self, time: StoreTime) {
        if let Pace::Factor(factor) = self.pace {
            let due_s = time.seconds_since(self.start).max(0.0) / factor;
            tokio::time::sleep_until(self.began + Duration::from_secs_f64(due_s)).await;
        }
        let start = self.start;
        let near = |consumed: &Option<StoreTime>| {
            time.seconds_since(consumed.map_or(start, |c| c.max(start))) <= AHEAD_S
        };
        // An error means that nobody will tell of progress any more: the process is ending.
        let _ = self.progress.wait_for(near).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_a_factor_or_max() {
        assert_eq!("max".parse(), Ok(Pace::Max));
        assert_eq!("2.5".parse(), Ok(Pace::Factor(2.5)));
        for bad in ["0", "-1", "fast", "NaN", "inf"] {
            assert!(bad.parse::<Pace>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_source_waits_for_the_floor() {
        let (tell, progress) = watch::channel(None);
        let start = StoreTime::from_micros(1_000_000_000);
        let mut pacer = Pacer::new(Pace::Max, start, progress);
        pacer.until(start.plus_s(4.9)).await;
        let far = start.plus_s(12.0);
        let waiting = tokio::spawn(async move { pacer.until(far).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        tell.send_replace(Some(start.plus_s(7.5)));
        waiting.await.unwrap();
    }
}
