//! The demo's online order: a simulated robot fetches it from a shelf that shoppers of the video pass.
//!
//! Robots live by the clock, so the recording is played as if it began now: a copy of its folder, in links, has a
//! recording.toml of its own, and a store.toml with the recording's `robots.toml` and a scale for all plates. The scale is
//! simulated: it weighs what the recording says and what the robot moves, and sends counts as a real one does, so the shelf
//! role runs as in a store. Only in real time: the robot cannot be played faster.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// In a recording's folder: the robots of its store.
pub const ROBOTS: &str = "robots.toml";
/// When the order is given to the cloud, after the roles' start. The robot's pick then falls about 17 s later, or up to 5 s
/// more, as the store asks the cloud for commands: measured at 31.0 s, c12 comes within reach at 32.6 s and goes at 34.5 s.
pub const ORDER_AFTER: Duration = Duration::from_secs(14);
/// The order's id.
pub const ORDER: &str = "demo-1";
/// What is ordered: the product of plate a/1/1, and of others that it lies no more of.
const SKU: &str = "2000000000022";
/// Counts a gram of the simulated scale.
const COUNTS_PER_G: f64 = 100.0;

/// A recording that is played as if it began now.
#[derive(Debug)]
pub struct Staged {
    /// The recording itself.
    recording: PathBuf,
    /// Its copy.
    pub folder: PathBuf,
}

impl Staged {
    /// Makes the copy below `data`; `None` where the recording has no robots.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn prepare(recording: &Path, data: &Path) -> Result<Option<Self>> {
        let robots = recording.join(ROBOTS);
        if !robots.exists() {
            return Ok(None);
        }
        let folder = data.join("recording");
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let recording = recording.canonicalize().with_context(|| format!("find {}", recording.display()))?;
        for entry in fs::read_dir(&recording).with_context(|| format!("read {}", recording.display()))? {
            let entry = entry.with_context(|| format!("read {}", recording.display()))?;
            let name = entry.file_name();
            if !["store.toml", "recording.toml"].iter().any(|own| name == *own) {
                let link = folder.join(&name);
                symlink(entry.path(), &link).with_context(|| format!("link {}", link.display()))?;
            }
        }
        let read = |file: &Path| fs::read_to_string(file).with_context(|| format!("read {}", file.display()));
        let mut store = read(&recording.join("store.toml"))?;
        let _ = write!(store, "\n{}\n{}", read(&robots)?, scale(&recording.join("weights.csv"))?);
        let file = folder.join("store.toml");
        fs::write(&file, store).with_context(|| format!("write {}", file.display()))?;
        let staged = Self { recording, folder };
        staged.begin()?;
        Ok(Some(staged))
    }

    /// The recording begins now.
    ///
    /// # Errors
    /// When its recording.toml cannot be read or written.
    pub fn begin(&self) -> Result<()> {
        let from = self.recording.join("recording.toml");
        let text = fs::read_to_string(&from).with_context(|| format!("read {}", from.display()))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let lines = text.lines().map(|line| match line.starts_with("start") {
            true => format!("start = {}", rfc3339(now)),
            false => line.to_owned(),
        });
        let file = self.folder.join("recording.toml");
        let text = lines.collect::<Vec<_>>().join("\n") + "\n";
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))
    }
}

/// One scale for all plates that the recording weighs.
fn scale(weights: &Path) -> Result<String> {
    let file = File::open(weights).with_context(|| format!("open {}", weights.display()))?;
    let mut header = String::new();
    BufReader::new(file).read_line(&mut header).with_context(|| format!("read {}", weights.display()))?;
    let plates: Vec<String> =
        header.trim().split(',').skip(1).map(|plate| format!("\"{}\"", plate.trim())).collect();
    let counts = vec![format!("{COUNTS_PER_G:.1}"); plates.len()].join(", ");
    Ok(format!(
        "\n[[source]]\nplates = [{}]\nurl = \"bus:scales\"\ncounts_per_g = [{counts}]\n",
        plates.join(", ")
    ))
}

/// The order as the cloud commands it.
#[must_use]
pub fn command() -> serde_json::Value {
    serde_json::json!({
        "command": ORDER,
        "body": {
            "kind": "order",
            "order": ORDER,
            "channel": "demo",
            "lines": [{ "sku": SKU, "quantity": 1 }]
        }
    })
}

/// A moment as TOML and RFC 3339 write it; `since` the Unix epoch. One beyond the calendar is its end.
fn rfc3339(since: Duration) -> String {
    let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    format!("{:.6}", jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_toml_reads_it() {
        let at = |s: u64, us: u32| rfc3339(Duration::new(s, us * 1_000));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(at(951_826_149, 500_000), "2000-02-29T12:09:09.500000Z");
        assert_eq!(at(1_769_594_400, 1), "2026-01-28T10:00:00.000001Z");
    }

    #[test]
    fn the_copy_has_robots_and_a_scale_and_begins_now() {
        let dir = std::env::temp_dir().join(format!("xtask-order-{}", std::process::id()));
        let recording = dir.join("r");
        fs::create_dir_all(&recording).unwrap();
        let write = |name: &str, text: &str| fs::write(recording.join(name), text).unwrap();
        write("store.toml", "format = 1\n");
        write("recording.toml", "format = 1\nstart = 2026-01-28T10:00:00Z\n");
        write("weights.csv", "t,a/1/1,a/1/2\n0,1,2\n");
        assert!(Staged::prepare(&recording, &dir.join("none")).unwrap().is_none());
        write(ROBOTS, "[robots]\n");
        let staged = Staged::prepare(&recording, &dir).unwrap().unwrap();
        let read = |name: &str| fs::read_to_string(staged.folder.join(name)).unwrap();
        assert!(read("store.toml").contains("plates = [\"a/1/1\", \"a/1/2\"]\nurl = \"bus:scales\""));
        assert!(read("store.toml").contains("[robots]") && read("store.toml").contains("[100.0, 100.0]"));
        assert!(!read("recording.toml").contains("2026-01-28T10:00:00Z"));
        assert!(read("weights.csv").starts_with("t,a/1/1"));
        fs::remove_dir_all(dir).unwrap();
    }
}
