//! What the packages install: units that systemd takes and that stay closed, manual pages, completions.

use std::path::Path;
use std::process::Command;

const UNITS: [(&str, &str); 2] = [
    ("linefree-agent@.service", "linefree-agent@shelf.service"),
    ("linefree-store.service", "linefree-store.service"),
];

#[test]
fn systemd_takes_the_units_and_finds_them_closed() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("skipped: no systemd-analyze here");
        return;
    }
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd");
    let folder = tempfile::tempdir().unwrap();
    for (unit, instance) in UNITS {
        // The programs are not installed where the tests run.
        let text = std::fs::read_to_string(packaging.join(unit)).unwrap();
        let text =
            text.replace("/usr/bin/edge-agent", "/bin/true").replace("/usr/bin/store-sync", "/bin/true");
        let path = folder.path().join(instance);
        std::fs::write(&path, text).unwrap();
        let verified =
            Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success() && !said.contains(instance), "{said}");
        // 0 is closed, 10 is open: at most 2.0.
        let judged = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=20"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));
    }
}

#[test]
fn manual_pages_and_completions_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let made =
        Command::new(env!("CARGO_BIN_EXE_edge-agent")).arg("packaging").arg(folder.path()).status().unwrap();
    assert!(made.success());
    let page = std::fs::read_to_string(folder.path().join("man/edge-agent.1")).unwrap();
    assert!(page.contains(".TH edge-agent 1"), "{page}");
    for file in ["man/edge-agent-shelf.1", "man/edge-agent-provision.1", "edge-agent.bash", "_edge-agent"] {
        assert!(folder.path().join(file).exists(), "{file} is missing");
    }
}
