//! What is wrong with an installation is said with what was expected, what was found, and the remedy.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests: they may fail and say that they skip"
)]

use std::path::{Path, PathBuf};

use linefree_models::{DetectorOptions, Home, InputSize, Registry, Runtime};

fn home() -> Home {
    Home::find(Path::new(env!("CARGO_MANIFEST_DIR")))
}

fn runtime() -> Option<Runtime> {
    let library = home().library();
    if library.is_file() {
        Some(Runtime::load(&library).unwrap())
    } else {
        eprintln!("skipped: {} is absent; `cargo xtask setup` installs it", library.display());
        None
    }
}

fn manifest() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifest.toml")
}

#[test]
fn a_missing_library_is_named_with_the_remedy() {
    let refusal = Runtime::load(Path::new("/nowhere/libonnxruntime.so")).unwrap_err().to_string();
    assert_eq!(
        refusal,
        "the ONNX Runtime library /nowhere/libonnxruntime.so is missing; run `cargo xtask setup`, which installs it"
    );
}

#[test]
fn a_missing_manifest_is_named() {
    let refusal =
        Registry::open(Path::new("/nowhere/manifest.toml"), Path::new("x")).unwrap_err().to_string();
    assert!(refusal.starts_with("read the model manifest /nowhere/manifest.toml: "), "{refusal}");
}

#[test]
fn a_process_loads_one_library_only() {
    let Some(_runtime) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("libonnxruntime.so");
    std::fs::write(&other, b"not a library").unwrap();
    let refusal = Runtime::load(&other).unwrap_err().to_string();
    assert!(refusal.contains("a process can load one only"), "{refusal}");
    assert!(refusal.contains(&home().library().canonicalize().unwrap().display().to_string()), "{refusal}");
    assert!(runtime().is_some(), "the same file again is the same runtime");
}

#[test]
fn missing_and_damaged_models_are_refused() {
    let Some(runtime) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(&manifest(), folder.path()).unwrap();
    let refusal = |name: &str| {
        registry.person_detector(&runtime, name, &DetectorOptions::default()).unwrap_err().to_string()
    };
    let path = folder.path().join("person-centernet.onnx");
    assert_eq!(
        refusal("person-centernet"),
        format!(
            "model person-centernet: {} is missing; run `cargo xtask setup`, which installs it",
            path.display()
        )
    );
    std::fs::write(&path, b"").unwrap();
    let said = refusal("person-centernet");
    assert!(
        said.contains(
            "has sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855, the manifest expects "
        ),
        "{said}"
    );
    assert!(said.contains("remove it and run `cargo xtask setup` again"), "{said}");
    assert!(
        refusal("person").contains("no model is called \"person\"; the manifest has: person-centernet, ")
    );
}

/// The right bytes under a manifest that describes another model.
#[test]
fn a_model_that_is_not_as_described_is_refused() {
    let Some(runtime) = runtime() else { return };
    let model = home().models_dir().join("person-centernet.onnx");
    if !model.is_file() {
        eprintln!("skipped: {} is absent; `cargo xtask setup` installs it", model.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let shipped = std::fs::read_to_string(manifest()).unwrap();
    for (from, to, said) in [
        (
            "shape = [1, 1, \"height/4\", \"width/4\"]",
            "shape = [1, 80, \"height/4\", \"width/4\"]",
            "output \"heat\" is f32 [1, 1, 72, 96], the manifest expects f32 [1, 80, height/4, width/4]",
        ),
        (
            "name = \"size\"",
            "name = \"wh\"",
            "its list of outputs is heat, size, the manifest expects heat, wh",
        ),
        ("name = \"images\"", "name = \"image\"", "its list of inputs is images, the manifest expects image"),
    ] {
        let path = folder.path().join("manifest.toml");
        let text = shipped.replacen(from, to, 1);
        assert_ne!(text, shipped, "{from} is not in the manifest");
        std::fs::write(&path, text).unwrap();
        let registry = Registry::open(&path, &home().models_dir()).unwrap();
        let options = DetectorOptions { input: InputSize::ModelDefault, ..DetectorOptions::default() };
        let refusal =
            registry.person_detector(&runtime, "person-centernet", &options).unwrap_err().to_string();
        assert!(refusal.contains(said), "{refusal}");
        assert!(refusal.contains("correct models/manifest.toml"), "{refusal}");
    }
}
