//! How set-up knows in a millisecond that a step is done: a stamp a step, `.linefree/stamps/NAME.json`.
//!
//! A stamp holds what the step was made from (one text: versions, checksums, sizes) and its outputs with their
//! size and time of change. A step is done while its inputs are the same and its outputs are untouched. Contents
//! are checked by SHA-256 once, when a step makes them; a touched output is made again, or found right and
//! stamped again.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    inputs: String,
    outputs: Vec<Output>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Output {
    path: PathBuf,
    bytes: u64,
    modified_ns: u128,
}

fn look(path: &Path) -> Result<Output> {
    let seen = fs::metadata(path).with_context(|| format!("{} is not there", path.display()))?;
    let modified = seen.modified().with_context(|| format!("time of {}", path.display()))?;
    let modified_ns = modified.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    // A folder's size and time change with every use; that it is there must do.
    let (bytes, modified_ns) = if seen.is_dir() { (0, 0) } else { (seen.len(), modified_ns) };
    Ok(Output { path: path.to_owned(), bytes, modified_ns })
}

/// Is the step that left this stamp still done?
#[must_use]
pub fn holds(stamp: &Path, inputs: &str, outputs: &[PathBuf]) -> bool {
    let Some(kept) = fs::read(stamp).ok().and_then(|bytes| serde_json::from_slice::<Stamp>(&bytes).ok())
    else {
        return false;
    };
    kept.inputs == inputs
        && kept.outputs.len() == outputs.len()
        && kept.outputs.iter().zip(outputs).all(|(k, o)| look(o).is_ok_and(|now| now == *k))
}

/// Notes that the step is done.
///
/// # Errors
/// When an output is not there after all, or the stamp cannot be written.
pub fn set(stamp: &Path, inputs: &str, outputs: &[PathBuf]) -> Result<()> {
    let outputs = outputs.iter().map(|o| look(o)).collect::<Result<Vec<_>>>()?;
    let text = serde_json::to_vec_pretty(&Stamp { inputs: inputs.to_owned(), outputs })?;
    write_whole(stamp, &text)
}

/// Writes a file so that readers see the old or the new one, never a part.
///
/// # Errors
/// When the folder cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().with_context(|| format!("{} has no folder", path.display()))?;
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let part = path.with_extension("part");
    fs::write(&part, bytes).with_context(|| format!("write {}", part.display()))?;
    fs::rename(&part, path).with_context(|| format!("move {} into place", part.display()))
}

/// Copies a file so that readers see the old or the new one, never a part.
///
/// # Errors
/// When either file cannot be used.
pub fn copy_whole(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().with_context(|| format!("{} has no folder", to.display()))?;
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let part = to.with_extension("part");
    fs::copy(from, &part).with_context(|| format!("copy {} to {}", from.display(), part.display()))?;
    fs::rename(&part, to).with_context(|| format!("move {} into place", part.display()))
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn sha256(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; 256 * 1024];
    loop {
        match file.read(&mut block).with_context(|| format!("read {}", path.display()))? {
            0 => break,
            bytes => hasher.update(&block[..bytes]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Checks a file against the checksum it must have.
///
/// # Errors
/// When it differs; the error names both.
pub fn verify(path: &Path, wanted: &str) -> Result<()> {
    let found = sha256(path)?;
    if !found.eq_ignore_ascii_case(wanted) {
        bail!(
            "{} is not the file it should be: SHA-256 {found}, wanted {wanted}; nothing was installed from it",
            path.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_holds_until_inputs_or_outputs_change() {
        let folder = std::env::temp_dir().join(format!("xtask-stamp-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (stamp, out) = (folder.join("s.json"), folder.join("out"));
        let outputs = vec![out.clone(), folder.clone()];
        assert!(!holds(&stamp, "v1", &outputs), "there is no stamp yet");
        assert!(set(&stamp, "v1", &outputs).is_err(), "an output is missing");

        fs::write(&out, "abc").unwrap();
        set(&stamp, "v1", &outputs).unwrap();
        assert!(holds(&stamp, "v1", &outputs));
        assert!(!holds(&stamp, "v2", &outputs), "made from something else");
        assert!(!holds(&stamp, "v1", &outputs[..1]), "another set of outputs");

        fs::write(&out, "abcd").unwrap();
        assert!(!holds(&stamp, "v1", &outputs), "the output was changed");
        fs::remove_file(&out).unwrap();
        assert!(!holds(&stamp, "v1", &outputs), "the output is gone");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_wrong_file_is_refused_with_both_checksums() {
        let file = std::env::temp_dir().join(format!("xtask-sha-{}", std::process::id()));
        fs::write(&file, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        verify(&file, abc).unwrap();
        let error = verify(&file, &"0".repeat(64)).unwrap_err().to_string();
        assert!(error.contains(abc) && error.contains("wanted 0000"), "{error}");
        fs::remove_file(file).unwrap();
    }
}
