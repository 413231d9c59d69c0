//! A real agent's process, and a scale on a pseudo-terminal for it.
#![allow(clippy::unwrap_used, dead_code)] // Helpers of tests are not known as tests to clippy; not each test uses all.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Ends its process with the test, however that ends.
pub struct Agent(pub Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The agent, as it is called.
pub fn agent(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge-agent"));
    command.args(args);
    command
}

/// A scale's end of a serial line, and the name of the other.
pub fn line() -> (File, PathBuf) {
    let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&far).unwrap();
    unlockpt(&far).unwrap();
    let name = ptsname(&far, Vec::new()).unwrap();
    (File::from(far), PathBuf::from(name.into_string().unwrap()))
}

/// Speaks as an A&D scale does, 20 times a second with a gram of noise, until the line is gone.
pub fn speak(mut far: File, load_g: &AtomicI32) {
    let noise = [0.0, 0.4, -0.3, 0.8, -0.7, 0.1, -0.2, 0.5, -0.9, 0.3];
    for sample in 0.. {
        let weight_g = f64::from(load_g.load(Ordering::Relaxed)) + noise[sample % noise.len()];
        if write!(far, "ST,{weight_g:+010.1}  g\r\n").is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
