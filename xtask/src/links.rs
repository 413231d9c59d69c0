//! Checks the links of every Markdown file: relative ones must lead to a file, anchors to a heading.
//!
//! Links to the web are not followed: CI must not depend on other people's servers. Code (fenced or quoted) is not
//! read. Anchors are those that GitHub makes of headings: lower case, without punctuation, spaces to hyphens,
//! a second heading of the same text with `-1`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use crate::rules;
use crate::workspace::Workspace;

/// A link as it stands in a file.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    line: usize,
    target: String,
}

/// Lines with their numbers from 1, without fenced code and with quoted code blanked out.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut fence: Option<&str> = None;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let start = line.trim_start();
        let opens = ["```", "~~~"].into_iter().find(|f| start.starts_with(f));
        match (fence, opens) {
            (None, Some(f)) => fence = Some(f),
            (Some(open), Some(f)) if open == f => fence = None,
            (None, None) => lines.push((number + 1, line.to_owned())),
            _ => {}
        }
    }
    lines
}

fn without_code(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    let last = parts.len() - 1;
    // An odd number of back quotes leaves the last one open: then it quotes nothing.
    let kept = parts.iter().enumerate().filter(|(i, _)| i % 2 == 0 || (*i == last && last % 2 == 1));
    kept.map(|(_, part)| *part).collect::<Vec<_>>().join(" ")
}

/// Inline links and images, `[text](target)`, and definitions, `[name]: target`.
fn links(text: &str) -> Vec<Link> {
    let mut found = Vec::new();
    for (line, content) in prose(text) {
        let content = without_code(&content);
        let mut rest = content.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let end = rest.find([')', ' ']).unwrap_or(rest.len());
            found.push(Link { line, target: rest[..end].trim_matches(['<', '>']).to_owned() });
        }
        let definition = content.trim_start().strip_prefix('[').and_then(|r| r.split_once("]: "));
        if let Some((_, target)) = definition {
            let target = target.split_whitespace().next().unwrap_or_default();
            found.push(Link { line, target: target.trim_matches(['<', '>']).to_owned() });
        }
    }
    found
}

/// The anchors that a file offers.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let mut all = BTreeSet::new();
    for (_, line) in prose(text) {
        let Some(heading) = line.strip_prefix('#').map(|rest| rest.trim_start_matches('#')) else { continue };
        let Some(heading) = heading.strip_prefix(' ') else { continue };
        let slug = slug(heading);
        let seen = times.entry(slug.clone()).or_default();
        all.insert(if *seen == 0 { slug } else { format!("{slug}-{seen}") });
        *seen += 1;
    }
    all
}

fn slug(heading: &str) -> String {
    // Of a link in a heading, only its text counts.
    let mut text = String::new();
    let mut rest = heading.trim();
    while let Some((before, after)) = rest.split_once("](") {
        text.push_str(before);
        rest = after.split_once(')').map_or("", |(_, r)| r);
    }
    text.push_str(rest);
    text.chars()
        .flat_map(char::to_lowercase)
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c if c.is_alphanumeric() => Some(c),
            _ => None,
        })
        .collect()
}

/// `a/b/../c` as `a/c`; `None` when it leads out of the root.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}

fn is_elsewhere(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

/// Every broken link of every Markdown file, as `file:line: what is wrong`.
///
/// # Errors
/// When the files cannot be listed or read.
pub fn broken(workspace: &Workspace) -> Result<Vec<String>> {
    let mut files = rules::files(workspace, &["*.md"])?;
    // A page beside sources is a template of one under docs/ref; the page itself is checked.
    files.retain(|file| !file.split('/').any(|part| part == "src"));
    let read = |f: &String| {
        let text = fs::read_to_string(workspace.root.join(f)).with_context(|| format!("read {f}"))?;
        Ok((PathBuf::from(f), text))
    };
    let texts = files.iter().map(read).collect::<Result<BTreeMap<_, _>>>()?;
    Ok(broken_in(&texts, |path| workspace.root.join(path).exists()))
}

fn broken_in(texts: &BTreeMap<PathBuf, String>, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let offered: BTreeMap<&Path, BTreeSet<String>> =
        texts.iter().map(|(file, text)| (file.as_path(), anchors(text))).collect();
    let mut broken = Vec::new();
    for (file, text) in texts {
        for link in links(text).into_iter().filter(|l| !is_elsewhere(&l.target)) {
            let (path, anchor) = match link.target.split_once('#') {
                Some((path, anchor)) => (path, Some(anchor)),
                None => (link.target.as_str(), None),
            };
            let complain = |why: &str| format!("{}:{}: {why}: {}", file.display(), link.line, link.target);
            let target = if path.is_empty() {
                Some(file.clone())
            } else {
                normal(&file.parent().unwrap_or(Path::new("")).join(path))
            };
            let Some(target) = target.filter(|t| exists(t)) else {
                broken.push(complain("no such file"));
                continue;
            };
            if let (Some(anchor), Some(known)) = (anchor, offered.get(target.as_path()))
                && !known.contains(anchor)
            {
                broken.push(complain("no such heading"));
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_of_the_documentation_is_broken() {
        let found = broken(&Workspace::find().unwrap()).unwrap();
        assert!(found.is_empty(), "\n{}", found.join("\n"));
    }

    #[test]
    fn headings_become_anchors_as_on_github() {
        let text = "# The bus, `v1`: what it is\n## Same\n## Same\n#no heading\n```\n# code\n```\n## A [link](x.md) here\n";
        let expected = ["the-bus-v1-what-it-is", "same", "same-1", "a-link-here"];
        assert_eq!(anchors(text), expected.map(String::from).into());
    }

    #[test]
    fn broken_links_are_found_and_sound_ones_are_not() {
        let a = "[ok](b.md) [ok](../README.md#top) ![gone](x.png) [web](https://example.org/x)\n\
                 [bad](b.md#nowhere) [self](#here)\n## Here\n`[code](gone.md)`\n```\n[code](gone.md)\n```\n[r]: gone.md\n\
                 [out](../../../etc/passwd)\n";
        let texts: BTreeMap<PathBuf, String> =
            [("docs/a.md", a), ("docs/b.md", "# B\n"), ("README.md", "# Top\n")]
                .map(|(f, t)| (f.into(), t.to_owned()))
                .into();
        let exists = |p: &Path| texts.contains_key(p);
        assert_eq!(
            broken_in(&texts, exists),
            [
                "docs/a.md:1: no such file: x.png",
                "docs/a.md:2: no such heading: b.md#nowhere",
                "docs/a.md:8: no such file: gone.md",
                "docs/a.md:9: no such file: ../../../etc/passwd",
            ]
        );
    }
}
