//! The console that is embedded is the one that its sources make: dist/sources.sha256 says from what it was built.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

fn below(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { below(&path, out) } else { out.push(path) }
    }
}

#[test]
fn the_built_console_is_fresh() {
    let console = Path::new(env!("CARGO_MANIFEST_DIR")).join("../console");
    let tops =
        ["index.html", "me.html", "package-lock.json", "package.json", "tsconfig.json", "vite.config.ts"];
    let mut files: Vec<PathBuf> = tops.iter().map(|name| console.join(name)).collect();
    below(&console.join("src"), &mut files);
    below(&console.join("public"), &mut files);
    let mut named: Vec<(String, PathBuf)> =
        files.into_iter().map(|f| (f.strip_prefix(&console).unwrap().display().to_string(), f)).collect();
    named.sort();
    let mut sum = Sha256::new();
    for (name, path) in &named {
        let bytes = std::fs::read(path).unwrap();
        sum.update(format!("{name}\n{}\n", bytes.len()));
        sum.update(&bytes);
    }
    let is: String = sum.finalize().iter().map(|b| format!("{b:02x}")).collect();
    let was = std::fs::read_to_string(console.join("dist/sources.sha256")).unwrap();
    assert_eq!(
        was.trim(),
        is,
        "console/dist is older than its sources: run `npm --prefix console run build`"
    );
}
