//! The whole store in a browser: `console/test/run.mjs` plays the demo's recording and drives headless Chromium.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

#[test]
#[ignore = "long: plays the demo's recording and drives a browser, about two minutes"]
fn the_console_shows_settles_and_refunds_in_a_browser() {
    let console = Path::new(env!("CARGO_MANIFEST_DIR")).join("../console");
    let run = Command::new("node").arg("test/run.mjs").current_dir(&console).status();
    let Ok(status) = run else {
        println!("skipped: node is not installed");
        return;
    };
    assert!(status.success(), "see above; to run it alone: npm --prefix console test");
}
