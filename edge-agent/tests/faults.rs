//! The table of faults names tests; each of them must be there.
#![allow(clippy::unwrap_used)]

use std::path::Path;

fn sources(dir: &Path, text: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && name != "node_modules" && name != ".git" {
            sources(&path, text);
        } else if path.extension().is_some_and(|e| e == "rs") {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn each_fault_is_shown_by_a_test_that_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let table = std::fs::read_to_string(root.join("docs/guide/faults.md")).unwrap();
    let mut text = String::new();
    for part in ["bus", "domain", "edge-agent", "hardware", "store-sync", "simulator"] {
        sources(&root.join(part), &mut text);
    }
    let rows =
        table.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| fault") && !l.starts_with("| ---"));
    let mut shown = 0;
    for row in rows {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let tests: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test: {row}");
        for test in tests {
            assert!(text.contains(&format!("fn {test}(")), "there is no test {test}: {row}");
            shown += 1;
        }
    }
    assert!(shown > 25, "{shown}");
}
