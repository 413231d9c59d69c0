//! Files that are there whole or not at all.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// Replaces a file: whoever reads it finds the old text or the new one, also after a loss of power, and when this
/// returns it is the new one. Written beside it first, as `.part` in the place of its extension.
///
/// # Errors
/// Whatever the disk says; the old file stands then.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("part");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_stays_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for text in ["a longer text than the next", "short"] {
            replace(&path, text).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(replace(&folder.path().join("none/state.json"), "").is_err());
    }
}
