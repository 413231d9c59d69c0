//! Every scenario there is: the files under simulator/scenarios, and the labelled cases of the real store.

use anyhow::{Context, bail};

use super::{Scenario, ScenarioKind};
use crate::nanostore;
use crate::stores::shared_nanostore;

macro_rules! scenarios {
    ($($name:literal),* $(,)?) => {
        /// Name and text of every file, built in.
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*];
    };
}

scenarios!(
    "busy-store",
    "camera-clock-off",
    "camera-lost",
    "change-in-a-blind-zone",
    "crowd-at-one-gondola",
    "entry-never-seen",
    "entry-out-of-sight",
    "found-on-the-floor",
    "gate-denied",
    "group-on-one-credential",
    "handover",
    "handover-then-put-back",
    "hold-long-then-take",
    "hold-two-take-one",
    "just-looking",
    "left-on-the-floor",
    "messages-doubled",
    "messages-late",
    "nanostore-misplacers",
    "nanostore-shoppers",
    "no-reach",
    "one-large-or-two-small",
    "overlapping-hands",
    "parent-and-child",
    "pick-and-put-back",
    "planogram-half-wrong",
    "plate-dead",
    "plate-drifts",
    "plate-stuck",
    "put-elsewhere-then-bought",
    "re-entry",
    "run-and-put-back",
    "same-weight-misplaced",
    "scale-clock-off",
    "staff-hands-over",
    "staff-restocking",
    "swap-for-alike",
    "three-people-thirty-actions",
    "touch-without-taking",
    "two-at-one-shelf",
    "two-neighbours-together",
    "very-close-shoppers",
    "very-slow-pick",
    "wrong-planogram-gondola",
);

/// Names of the labelled cases begin like this.
const REAL_CASE: &str = "nanostore-case-";

/// The scenarios that are the real store's labelled cases; none where its data is absent.
#[must_use]
pub fn real_case_names() -> Vec<String> {
    let cases = shared_nanostore().and_then(|data| nanostore::cases(&data).ok()).unwrap_or_default();
    cases.iter().map(|c| format!("{REAL_CASE}{}", c.case.to_lowercase())).collect()
}

fn real_case(name: &str) -> anyhow::Result<Scenario> {
    let data = shared_nanostore().context(
        "the labelled cases are not here: set LINEFREE_SHARED to the folder that holds data/nanostore",
    )?;
    let cases = nanostore::cases(&data)?;
    let wanted = name.trim_start_matches(REAL_CASE);
    let case = cases.iter().find(|c| c.case.to_lowercase() == wanted);
    let case = case.with_context(|| format!("cases.json has no case {wanted}"))?;
    let text = include_str!("../../scenarios/nanostore-shoppers.toml");
    let mut scenario = Scenario::parse(name, text)?;
    scenario.summary =
        format!("Labelled case {} of the real store: {} actions", case.case, case.events.len());
    scenario.kind = ScenarioKind::Nanostore;
    scenario.crowd.shoppers = [0, 0];
    scenario.real_case = Some(case.case.clone());
    Ok(scenario)
}

/// Every scenario, those of files first.
///
/// # Errors
/// When a file is no scenario.
pub fn all() -> anyhow::Result<Vec<Scenario>> {
    let mut all: Vec<Scenario> =
        FILES.iter().map(|(name, text)| Scenario::parse(name, text)).collect::<anyhow::Result<_>>()?;
    for name in real_case_names() {
        all.push(real_case(&name)?);
    }
    Ok(all)
}

/// The scenarios of a list of names: `all`, or names that may end in `*`.
///
/// # Errors
/// When a name fits nothing.
pub fn named(list: &str) -> anyhow::Result<Vec<Scenario>> {
    let all = all()?;
    let mut chosen: Vec<Scenario> = Vec::new();
    for name in list.split(',').map(str::trim).filter(|n| !n.is_empty()) {
        let fits = |s: &&Scenario| match name.strip_suffix('*') {
            Some(begin) => s.name.starts_with(begin),
            None => name == "all" || s.name == name,
        };
        let found: Vec<&Scenario> = all.iter().filter(fits).collect();
        if found.is_empty() {
            if name.starts_with(REAL_CASE) {
                real_case(name)?;
            }
            bail!("there is no scenario {name}; `simulator list` names them all");
        }
        for scenario in found {
            if chosen.iter().all(|c| c.name != scenario.name) {
                chosen.push(scenario.clone());
            }
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_scenario_and_known() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|f| f.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        there.sort();
        let mut known: Vec<String> = FILES.iter().map(|(n, _)| (*n).to_owned()).collect();
        known.sort();
        assert_eq!(known, there);
        for (name, text) in FILES {
            Scenario::parse(name, text).unwrap();
        }
    }

    #[test]
    fn names_can_be_lists_and_groups() {
        assert_eq!(named("pick-and-put-back").unwrap().len(), 1);
        assert!(named("plate-*").unwrap().len() >= 3);
        assert!(named("no-such-thing").unwrap_err().to_string().contains("simulator list"));
    }
}
