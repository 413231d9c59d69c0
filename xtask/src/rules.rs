//! Rules of the house that no compiler checks: the direction of dependence, the size of files, the glossary.
//!
//! Each rule is a pure function from what was found to a list of breaches, so that the tests show both a clean
//! house and a broken rule. `cargo xtask ci` runs them early; they are tests of this crate as well.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;

use crate::process;
use crate::workspace::Workspace;

/// Which crates of the workspace each one may depend on, in any way (normal, build, dev).
const MAY_USE: [(&str, &[&str]); 10] = [
    ("linefree-domain", &[]),
    ("linefree-recording", &["linefree-domain"]),
    ("linefree-bus", &["linefree-domain"]),
    ("linefree-models", &["linefree-domain"]),
    ("linefree-hardware", &["linefree-domain"]),
    ("linefree-calibration", &["linefree-domain", "linefree-recording"]),
    (
        "edge-agent",
        &["linefree-domain", "linefree-recording", "linefree-bus", "linefree-models", "linefree-hardware"],
    ),
    ("store-sync", &["linefree-domain", "linefree-recording", "linefree-bus"]),
    (
        "simulator",
        &[
            "linefree-domain",
            "linefree-recording",
            "linefree-bus",
            "linefree-models",
            "linefree-hardware",
            "edge-agent",
            "store-sync",
        ],
    ),
    ("xtask", &[]),
];

/// Which crates of the workspace may use these libraries at all.
const ONLY_IN: [(&str, &[&str]); 9] = [
    ("opencv", &["linefree-hardware", "linefree-calibration"]),
    ("ort", &["linefree-models"]),
    ("rumqttc", &["linefree-bus"]),
    ("rumqttd", &["linefree-bus"]),
    ("rusqlite", &["store-sync"]),
    ("async-nats", &["store-sync"]),
    ("postgres", &["store-sync"]),
    ("linux-embedded-hal", &["linefree-hardware"]),
    ("rcgen", &["linefree-bus"]),
];

/// What the pure core must not know.
const NEVER_IN_DOMAIN: [&str; 6] = ["serde", "serde_json", "tokio", "tracing", "jiff", "rand"];

/// Longest source file, lines. About 500 is the aim; this is where it ends.
const MAX_LINES: usize = 600;

/// A crate of the workspace and everything it depends on directly.
type Dependencies = BTreeMap<String, BTreeSet<String>>;

fn dependencies(workspace: &Workspace) -> Result<Dependencies> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace.root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("ask cargo for the workspace's crates")?;
    let names = |p: &cargo_metadata::Package| p.dependencies.iter().map(|d| d.name.to_string()).collect();
    Ok(metadata.packages.iter().map(|p| (p.name.to_string(), names(p))).collect())
}

/// Breaches of the direction of dependence.
fn direction(crates: &Dependencies) -> Vec<String> {
    let mut breaches = Vec::new();
    for (name, uses) in crates {
        let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| known == name) else {
            breaches.push(format!("{name} is new: say in xtask/src/rules.rs which crates it may depend on"));
            continue;
        };
        for used in uses.iter().filter(|used| crates.contains_key(*used)) {
            // A crate's own tests may name the crate itself.
            if used != name && !allowed.contains(&used.as_str()) {
                breaches.push(format!("{name} depends on {used}, against the direction of dependence"));
            }
        }
        for (library, places) in ONLY_IN {
            if uses.contains(library) && !places.contains(&name.as_str()) {
                breaches.push(format!("{name} uses {library}; only {} may", places.join(" and ")));
            }
        }
    }
    let domain = crates.get("linefree-domain").into_iter().flatten();
    let impure = domain.filter(|used| NEVER_IN_DOMAIN.contains(&used.as_str()));
    breaches.extend(impure.map(|used| format!("linefree-domain uses {used}; the core is pure")));
    breaches
}

/// Every file that git knows or would take, relative to the root.
///
/// # Errors
/// When git cannot be asked.
pub fn files(workspace: &Workspace, patterns: &[&str]) -> Result<Vec<String>> {
    let mut git = workspace.command("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "--"]).args(patterns);
    let listed = process::output(&mut git).context("list the workspace's files")?;
    // A file that was just deleted is still listed.
    let there = |file: &&str| workspace.root.join(file).is_file();
    let files: BTreeSet<&str> = listed.lines().filter(there).collect();
    Ok(files.into_iter().map(str::to_owned).collect())
}

fn too_long<'a>(sizes: impl IntoIterator<Item = (&'a str, usize)>) -> Vec<String> {
    let long = sizes.into_iter().filter(|(_, lines)| *lines > MAX_LINES);
    long.map(|(file, lines)| format!("{file} has {lines} lines; split it by meaning before {MAX_LINES}"))
        .collect()
}

/// Names of the public types of a Rust source file, without those of its tests.
fn public_types(source: &str) -> BTreeSet<&str> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let declared = source.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum "))
    });
    declared.filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()).collect()
}

/// The types that a glossary names: words in back quotes that begin with a capital letter.
fn glossary_types(glossary: &str) -> BTreeSet<&str> {
    let quoted = glossary.split('`').skip(1).step_by(2);
    quoted
        .filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()))
        .filter(|word| word.chars().all(char::is_alphanumeric))
        .collect()
}

/// Types on the bus and in the layout that the glossary does not explain, and names in it that no source has.
fn glossary_gaps(glossary: &str, nouns: &BTreeSet<&str>, all_source: &str) -> Vec<String> {
    let explained = glossary_types(glossary);
    let unexplained = nouns.difference(&explained);
    let words: BTreeSet<&str> = all_source.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let unknown = explained.iter().filter(|name| !words.contains(*name));
    let unexplained = unexplained.map(|name| format!("docs/glossary.md does not explain `{name}`"));
    unexplained
        .chain(unknown.map(|name| format!("docs/glossary.md names `{name}`, which no source has")))
        .collect()
}

/// Sources whose public types are nouns that people meet: on the bus, and in the store's layout.
const NOUNS_IN: [&str; 5] = [
    "bus/src/payload.rs",
    "bus/src/payload/commerce.rs",
    "domain/src/layout.rs",
    "domain/src/units.rs",
    "domain/src/time.rs",
];

/// All breaches of all rules.
///
/// # Errors
/// When cargo, git or a file cannot be asked.
pub fn breaches(workspace: &Workspace) -> Result<Vec<String>> {
    let mut breaches = direction(&dependencies(workspace)?);

    let sources = files(workspace, &["*.rs", "*.ts", "*.py"])?;
    let read =
        |file: &str| fs::read_to_string(workspace.root.join(file)).with_context(|| format!("read {file}"));
    let texts = sources.iter().map(|f| Ok((f.as_str(), read(f)?))).collect::<Result<Vec<_>>>()?;
    breaches.extend(too_long(texts.iter().map(|(file, text)| (*file, text.lines().count()))));

    let rust: String =
        texts.iter().filter(|(f, _)| f.ends_with(".rs")).map(|(_, text)| text.as_str()).collect();
    let noun_sources = NOUNS_IN.iter().map(|file| read(file)).collect::<Result<Vec<_>>>()?;
    let nouns = noun_sources.iter().flat_map(|source| public_types(source)).collect();
    breaches.extend(glossary_gaps(&read("docs/glossary.md")?, &nouns, &rust));
    Ok(breaches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crates(all: &[(&str, &[&str])]) -> Dependencies {
        let set = |uses: &[&str]| uses.iter().map(|u| (*u).to_owned()).collect();
        all.iter().map(|(name, uses)| ((*name).to_owned(), set(uses))).collect()
    }

    #[test]
    fn the_house_keeps_its_rules() {
        let found = breaches(&Workspace::find().unwrap()).unwrap();
        assert!(found.is_empty(), "\n{}", found.join("\n"));
    }

    #[test]
    fn every_crate_has_its_place() {
        let found = dependencies(&Workspace::find().unwrap()).unwrap();
        let known: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
        assert_eq!(found.keys().map(String::as_str).collect::<BTreeSet<_>>(), known);
        assert!(found["edge-agent"].contains("linefree-domain"), "dependencies are not seen: {found:?}");
    }

    #[test]
    fn dependence_against_the_direction_is_seen() {
        let fine: &[(&str, &[&str])] = &[
            ("linefree-domain", &["nalgebra"]),
            ("edge-agent", &["linefree-domain", "serde"]),
            ("linefree-models", &["ort"]),
        ];
        assert_eq!(direction(&crates(fine)), Vec::<String>::new());

        let broken: &[(&str, &[&str])] = &[
            ("linefree-domain", &["linefree-bus", "serde"]),
            ("linefree-bus", &["simulator", "rusqlite"]),
            ("simulator", &[]),
            ("newcomer", &[]),
        ];
        let found = direction(&crates(broken)).join("\n");
        for part in [
            "linefree-domain depends on linefree-bus",
            "linefree-domain uses serde",
            "linefree-bus depends on simulator",
            "linefree-bus uses rusqlite; only store-sync may",
            "newcomer is new",
        ] {
            assert!(found.contains(part), "{part} was not seen in:\n{found}");
        }
        assert_eq!(found.lines().count(), 5, "{found}");
    }

    #[test]
    fn a_file_may_not_grow_for_ever() {
        assert!(too_long([("a.rs", MAX_LINES)]).is_empty());
        assert_eq!(too_long([("a.rs", MAX_LINES + 1)]).len(), 1);
    }

    #[test]
    fn the_glossary_and_the_code_name_the_same_things() {
        let source = "pub struct Line {\n}\npub enum Half { A }\npub(crate) struct Inner;\n#[cfg(test)]\npub struct T;";
        assert_eq!(public_types(source), BTreeSet::from(["Half", "Line"]));
        let glossary = "| line | one product | `Line`, `a.b`, `SKU code` |\n| ghost | | `Ghost` |";
        let gaps = glossary_gaps(glossary, &public_types(source), source).join("\n");
        assert_eq!(
            gaps,
            "docs/glossary.md does not explain `Half`\ndocs/glossary.md names `Ghost`, which no source has"
        );
    }
}
