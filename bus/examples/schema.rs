//! Writes the bus's reference under `docs/ref/`: `cargo run -p linefree-bus --example schema [DIRECTORY]`.

use std::io::{Error, Write};
use std::path::PathBuf;

fn main() -> Result<(), Error> {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/ref");
    let reference = std::env::args_os().nth(1).map_or(default, PathBuf::from);
    let mut out = std::io::stdout().lock();
    for (name, text) in linefree_bus::schema::files() {
        let path = reference.join(&name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        std::fs::write(&path, text).map_err(|e| Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        writeln!(out, "wrote {}", path.display())?;
    }
    Ok(())
}
