//! `cargo xtask schema`: the reference under `docs/ref/` that is made from the code.
//!
//! | made by | leaves |
//! | --- | --- |
//! | the example `schema` of linefree-bus | JSON Schema of every payload, the table of topics |
//! | `store-sync openapi` | `docs/ref/openapi.json` |
//! | `store-sync openapi --cloud` | `docs/ref/cloud-openapi.json` |

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::say;
use crate::setup::stamp;
use crate::workspace::Workspace;

const REFERENCE: &str = "docs/ref";

/// Makes the reference again. With `check`, leaves it as it was and fails when that differs.
///
/// # Errors
/// When a program fails, or, with `check`, when something is out of date: each file is named.
pub fn run(workspace: &Workspace, check: bool) -> Result<()> {
    let folder = workspace.root.join(REFERENCE);
    let before = contents(&folder)?;
    let made = make(workspace);
    let after = contents(&folder)?;
    let changed = differences(&before, &after);
    if check {
        restore(&folder, &before, &after)?;
    }
    made?;
    for file in &changed {
        say::note(format!(
            "{REFERENCE}/{}: {}",
            file.display(),
            if check { "out of date" } else { "written" }
        ));
    }
    match (check, changed.len()) {
        (_, 0) => say::note(format!("{REFERENCE} is up to date")),
        (false, _) => {}
        (true, _) => bail!("{REFERENCE} differs from what the code says; run: cargo xtask schema"),
    }
    Ok(())
}

fn make(workspace: &Workspace) -> Result<()> {
    let mut schema = workspace.cargo();
    process::loudly(schema.args([
        "run",
        "--locked",
        "--quiet",
        "-p",
        "linefree-bus",
        "--example",
        "schema",
    ]))?;
    for (arguments, file) in
        [(&["openapi"][..], "openapi.json"), (&["openapi", "--cloud"], "cloud-openapi.json")]
    {
        let mut openapi = workspace.cargo();
        openapi.args(["run", "--locked", "--quiet", "-p", "store-sync", "--"]).args(arguments);
        let text = process::output(&mut openapi)?;
        stamp::write_whole(&workspace.root.join(REFERENCE).join(file), text.as_bytes())?;
    }
    Ok(())
}

type Contents = BTreeMap<PathBuf, Vec<u8>>;

fn contents(folder: &Path) -> Result<Contents> {
    let mut files = Contents::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in next.read_dir().with_context(|| format!("list {}", next.display()))? {
            let path = entry.with_context(|| format!("list {}", next.display()))?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            files.insert(path.strip_prefix(folder).unwrap_or(&path).to_owned(), bytes);
        }
    }
    Ok(files)
}

fn differences(before: &Contents, after: &Contents) -> Vec<PathBuf> {
    let differs = |file: &&PathBuf| before.get(*file) != after.get(*file);
    let all: std::collections::BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
    all.into_iter().filter(differs).cloned().collect()
}

fn restore(folder: &Path, before: &Contents, after: &Contents) -> Result<()> {
    for file in differences(before, after) {
        let path = folder.join(&file);
        match before.get(&file) {
            Some(bytes) => fs::write(&path, bytes).with_context(|| format!("restore {}", path.display()))?,
            None => fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_leaves_everything_as_it_was() {
        let folder = std::env::temp_dir().join(format!("xtask-schema-{}", std::process::id()));
        fs::create_dir_all(folder.join("bus")).unwrap();
        fs::write(folder.join("bus/a.json"), "old").unwrap();
        fs::write(folder.join("same.md"), "same").unwrap();
        let before = contents(&folder).unwrap();
        fs::write(folder.join("bus/a.json"), "new").unwrap();
        fs::write(folder.join("bus/b.json"), "more").unwrap();
        let after = contents(&folder).unwrap();
        assert_eq!(differences(&before, &after), ["bus/a.json", "bus/b.json"].map(PathBuf::from));
        restore(&folder, &before, &after).unwrap();
        assert_eq!(contents(&folder).unwrap(), before);
        fs::remove_dir_all(folder).unwrap();
    }
}
