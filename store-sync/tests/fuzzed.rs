//! Both APIs against schemathesis, which makes requests from their OpenAPI descriptions: valid, invalid and hostile
//! ones. No answer may be a server's error, or another one than the description says.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In `LINEFREE_SCHEMATHESIS`, in the workspace's Python environment, or on the path.
fn schemathesis() -> Option<PathBuf> {
    let named = std::env::var_os("LINEFREE_SCHEMATHESIS").map(PathBuf::from);
    let home = std::env::var_os("LINEFREE_HOME")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.linefree"), PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).map(|dir| dir.join("schemathesis"));
    let mut all = named.into_iter().chain([home.join("venv/bin/schemathesis")]).chain(places);
    let found = all.find(|file| file.is_file());
    if found.is_none() {
        println!("skipped: no schemathesis here (pip install schemathesis)");
    }
    found
}

/// Starts a server and waits until it names its address.
fn start(args: &[&str]) -> (Ends, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_store-sync"))
        .args(args)
        .env("RUST_LOG", "error")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let server = Ends(child);
    for line in lines.map_while(Result::ok) {
        if let Some(at) = line.find("http://") {
            let url = line[at..].trim_end_matches('/').to_owned();
            return (server, url);
        }
    }
    panic!("the server did not name its address: {args:?}");
}

fn fuzz(program: &Path, description: &str, dir: &Path, more: &[&str]) {
    let done = Command::new(program)
        .args(["run", description, "--max-examples", "60", "--seed", "6", "--no-color", "--checks", "all"])
        // A body that is sound by the description may still break the contract of a batch, which no schema can say, and
        // what is refused by a token that is missing is tried elsewhere.
        .args(["--exclude-checks", "positive_data_acceptance,ignored_auth,unsupported_method"])
        .args(more)
        .current_dir(dir)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{told}\n{}", String::from_utf8_lossy(&done.stderr));
    println!("{}", told.lines().rev().take(12).collect::<Vec<_>>().join("\n"));
}

#[test]
#[ignore = "long: some thousand requests"]
fn the_clouds_api_answers_as_it_says() {
    let Some(program) = schemathesis() else { return };
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("cloud").display().to_string();
    let (_server, url) = start(&["receive", "--data", &data, "--listen", "127.0.0.1:0"]);
    fuzz(&program, &format!("{url}/v1/openapi.json"), dir.path(), &[]);
}

/// Open to everybody, as to somebody who has signed in and may do everything; and to a stranger.
#[test]
#[ignore = "long: some thousand requests"]
fn the_stores_api_answers_as_it_says() {
    for access in [&["--no-login"][..], &[]] {
        fuzz_store(access);
    }
}

fn fuzz_store(access: &[&str]) {
    let Some(program) = schemathesis() else { return };
    let dir = tempfile::tempdir().unwrap();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/corner.toml").display().to_string();
    let data = dir.path().join("store").display().to_string();
    let mut arguments = vec!["serve", "--config", &config, "--data", &data];
    arguments.extend(["--listen", "127.0.0.1:0", "--broker", "127.0.0.1:0"]);
    arguments.extend(access);
    let (_server, url) = start(&arguments);
    // The live stream never ends.
    fuzz(&program, &format!("{url}/api/openapi.json"), dir.path(), &["--exclude-path", "/api/live"]);
}
