//! The console and the shopper's page in a browser: `console/test/run.mjs` drives headless Chromium against real servers.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

fn run(parts: &str) {
    let console = Path::new(env!("CARGO_MANIFEST_DIR")).join("../console");
    let run = Command::new("node").args(["test/run.mjs", "--part", parts]).current_dir(&console).status();
    let Ok(status) = run else {
        println!("skipped: node is not installed");
        return;
    };
    assert!(status.success(), "see above; to run it alone: node console/test/run.mjs --part {parts}");
}

#[test]
fn a_phone_outlives_its_store_and_an_office_runs_it() {
    run("phone,office");
}

#[test]
#[ignore = "long: plays the demo's recording and a market with robots, some four minutes"]
fn shoppers_staff_and_robots_share_a_day_in_a_browser() {
    run("plaza,market");
}
