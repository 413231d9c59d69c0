//! How the device itself is: temperature, memory, disk, clock. Read from Linux, as gauges.
//!
//! | gauge | from |
//! | --- | --- |
//! | `temperature_c` | the hottest of `/sys/class/thermal/thermal_zone*` |
//! | `memory_available_bytes`, `memory_total_bytes` | `/proc/meminfo` |
//! | `disk_available_bytes`, `disk_total_bytes` | the file system of the data folder |
//! | `process_resident_bytes`, `process_open_files` | `/proc/self` |
//! | `clock_disciplined` | 1 when chrony or systemd-timesyncd says that it keeps the clock, else 0 |
//! | `clock_offset_s` | chrony's estimate of how far the clock is off |
//! | `clock_behind_s` | how far the wall clock was set back under a running role ([`StoreClock`](crate::clock)) |
//!
//! # Limits
//! Nothing here is exact to more than the moment. A gauge that this machine does not have is left out, never guessed.
//! chrony is asked through `chronyc -c tracking`, at most once in [`CHRONY_EVERY`], and given [`CHRONY_TIMEOUT`].

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often chrony is asked.
pub const CHRONY_EVERY: Duration = Duration::from_secs(60);
/// How long it may take to answer.
pub const CHRONY_TIMEOUT: Duration = Duration::from_secs(1);
/// systemd-timesyncd touches this file when it has set the clock.
const TIMESYNC: &str = "/run/systemd/timesync/synchronized";

/// Reads the device's gauges.
#[derive(Debug)]
pub struct Health {
    data: PathBuf,
    chrony: Option<f64>,
    asked: Option<Instant>,
}

impl Health {
    /// For a device that keeps its data in this folder.
    #[must_use]
    pub fn new(data: PathBuf) -> Self {
        Self { data, chrony: None, asked: None }
    }

    /// The gauges now, by name.
    pub fn read(&mut self) -> BTreeMap<&'static str, f64> {
        let mut gauges = BTreeMap::new();
        let mut put = |name, value: Option<f64>| {
            if let Some(value) = value {
                gauges.insert(name, value);
            }
        };
        put("temperature_c", hottest_c(Path::new("/sys/class/thermal")));
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        put("memory_total_bytes", meminfo(&memory, "MemTotal"));
        put("memory_available_bytes", meminfo(&memory, "MemAvailable"));
        if let Ok(disk) = rustix::fs::statvfs(existing(&self.data)) {
            put("disk_total_bytes", Some(disk.f_blocks as f64 * disk.f_frsize as f64));
            put("disk_available_bytes", Some(disk.f_bavail as f64 * disk.f_frsize as f64));
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        put("process_resident_bytes", meminfo(&status, "VmRSS"));
        put("process_open_files", fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64));
        if self.asked.is_none_or(|asked| asked.elapsed() >= CHRONY_EVERY) {
            self.asked = Some(Instant::now());
            self.chrony = ask_chrony();
        }
        put("clock_offset_s", self.chrony);
        let disciplined = self.chrony.is_some() || Path::new(TIMESYNC).exists();
        put("clock_disciplined", Some(f64::from(u8::from(disciplined))));
        gauges
    }
}

/// The folder, or the nearest one above it that is there.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"))
}

/// The hottest thermal zone, degrees Celsius.
fn hottest_c(zones: &Path) -> Option<f64> {
    let zones = fs::read_dir(zones).ok()?.flatten();
    let milli_c =
        zones.filter_map(|z| fs::read_to_string(z.path().join("temp")).ok()?.trim().parse::<f64>().ok());
    milli_c.map(|m| m / 1e3).max_by(f64::total_cmp)
}

/// A field in kB of `/proc/meminfo` or `/proc/self/status`, as bytes.
fn meminfo(text: &str, field: &str) -> Option<f64> {
    let line = text.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'))?;
    let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

fn ask_chrony() -> Option<f64> {
    let mut child = Command::new("chronyc")
        .args(["-c", "tracking"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let began = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if began.elapsed() > CHRONY_TIMEOUT {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().ok()?;
    chrony_offset_s(&String::from_utf8_lossy(&output.stdout))
}

/// The fifth field of `chronyc -c tracking` (system time's offset); nothing while chrony follows no source.
fn chrony_offset_s(line: &str) -> Option<f64> {
    let fields: Vec<&str> = line.trim().split(',').collect();
    let synchronised = fields.last().is_some_and(|leap| *leap != "Not synchronised");
    fields.get(4).filter(|_| synchronised && fields.len() >= 14)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory_and_a_disk() {
        let gauges = Health::new(PathBuf::from("/nowhere/at/all")).read();
        for name in ["memory_total_bytes", "disk_total_bytes", "process_resident_bytes", "process_open_files"]
        {
            assert!(gauges[name] > 0.0, "{name}: {gauges:?}");
        }
        assert!(gauges["memory_available_bytes"] <= gauges["memory_total_bytes"]);
        assert!(gauges.contains_key("clock_disciplined"));
    }

    #[test]
    fn what_the_system_writes_is_read() {
        let text = "MemTotal:       24576000 kB\nMemFree: 1 kB\nMemAvailable:   12288000 kB\n";
        assert_eq!(meminfo(text, "MemAvailable"), Some(12_288_000.0 * 1024.0));
        assert_eq!(meminfo(text, "Mem"), None);
        let tracking = "A29FC801,162.159.200.1,4,1700000000.123,-0.000123,0.0001,0.0002,1.5,0.1,0.2,0.01,0.001,64.0,Normal";
        assert_eq!(chrony_offset_s(tracking), Some(-0.000_123));
        let lost = "00000000,,0,0.0,0.000000,0.0,0.0,1.5,0.1,0.2,0.01,0.001,0.0,Not synchronised";
        assert_eq!((chrony_offset_s(lost), chrony_offset_s("506 Cannot talk to daemon")), (None, None));
        let zones = tempfile::tempdir().unwrap();
        for (zone, text) in [("thermal_zone0", "41250\n"), ("thermal_zone1", "58000\n"), ("cooling", "x")] {
            fs::create_dir(zones.path().join(zone)).unwrap();
            fs::write(zones.path().join(zone).join("temp"), text).unwrap();
        }
        assert_eq!(hottest_c(zones.path()), Some(58.0));
        assert_eq!(hottest_c(Path::new("/nowhere")), None);
    }
}
