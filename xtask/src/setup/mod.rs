//! `cargo xtask setup`: installs what is missing, in named steps, and says what each cost.
//!
//! Every step is idempotent and stamped ([`stamp`]): a second run looks at sizes and times only and ends within a
//! second. Everything but the Debian packages lands in the workspace's home (`.linefree/`), so removing that
//! folder undoes set-up. Downloads go through the user's own pip, npm and apt clients with their settings, are
//! retried, and are checked by SHA-256 before anything is installed from them.
//!
//! | step | needs | leaves |
//! | --- | --- | --- |
//! | Debian packages | root, once | OpenCV, clang, mosquitto, chromium, an RTSP server, debootstrap |
//! | Python environment | python3 with venv | `venv/` |
//! | ONNX Runtime library | pip | `lib/libonnxruntime.so` |
//! | person model | npm, the Python environment | `models/*.onnx` |
//! | shared models | the shared folder; optional | more `models/*.onnx` |
//! | demo video | apt | `media/vtest.avi`, and a link to it in the plaza recording |
//! | console's packages | npm | `console/node_modules/` |
//! | other makers' VDA 5050 | npm, pip; optional | `peers/vda-5050-lib`, `peers/vda5050-sdk` |
//! | cargo-deb | cargo; only with `--long` | `cargo/bin/cargo-deb` |

mod console;
mod debian;
mod media;
mod models;
mod onnxruntime;
mod packer;
mod python;
mod robots;
pub mod stamp;

pub use media::PLAZA;
pub use packer::programs;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::say::{self, Running};
use crate::workspace::Workspace;

/// Makes a step's outputs.
type Make<'a> = Box<dyn Fn(&Running) -> Result<()> + 'a>;

/// One step of set-up.
struct Step<'a> {
    /// What people call it, with its version.
    name: String,
    /// Name of its stamp; `None` when having been planned means that there is work.
    stamp: Option<&'static str>,
    /// Everything that decides its outcome, as text: when it changes, the step runs again.
    inputs: String,
    /// Files that must be there, untouched, for the step to count as done.
    outputs: Vec<PathBuf>,
    /// Makes them.
    make: Make<'a>,
}

/// What a step has to say before it runs.
enum Plan<'a> {
    /// There is something to be made, unless its stamp holds.
    Step(Step<'a>),
    /// Nothing to be done, and why: shown only when people asked for set-up itself.
    Skip { name: &'static str, why: String },
}

/// How set-up goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zeal {
    /// Do what is missing; say little when nothing is.
    Needed,
    /// As `Needed`, and list every step.
    Listed,
    /// Do every step again.
    Forced,
}

/// How much is to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What building, the demo and the usual tests need.
    Usual,
    /// What the long mode's tests need besides.
    Long,
}

/// Installs what is missing.
///
/// # Errors
/// The first step that fails, by name, with what to do about it.
pub fn run(workspace: &Workspace, zeal: Zeal, extent: Extent) -> Result<()> {
    let begun = Instant::now();
    fs::create_dir_all(&workspace.home).with_context(|| format!("create {}", workspace.home.display()))?;
    let _lock = lock(workspace)?;

    let plans: [fn(&Workspace, Extent) -> Result<Plan<'_>>; 10] = [
        |w, _| debian::plan(w),
        |w, _| python::plan(w),
        |w, _| onnxruntime::plan(w),
        |w, _| models::plan(w),
        |w, _| models::plan_shared(w),
        |w, _| media::plan(w),
        |w, _| media::plan_link(w),
        |w, _| console::plan(w),
        |w, _| robots::plan(w),
        packer::plan,
    ];
    let mut costs = Vec::new();
    for (number, plan) in plans.iter().enumerate() {
        let position = format!("[{}/{}]", number + 1, plans.len());
        // A step is planned when its turn comes: it may build on files that an earlier one has just made.
        let step = match plan(workspace, extent)? {
            Plan::Step(step) => step,
            Plan::Skip { name, why } => {
                if zeal != Zeal::Needed {
                    say::note(format!("{position} {name}: skipped, {why}"));
                }
                continue;
            }
        };
        let stamp = step.stamp.map(|name| workspace.home.join("stamps").join(name).with_extension("json"));
        let holds = stamp.as_ref().is_some_and(|s| stamp::holds(s, &step.inputs, &step.outputs));
        if zeal != Zeal::Forced && holds {
            if zeal == Zeal::Listed {
                say::note(format!("{position} {}: ready", step.name));
            }
            continue;
        }
        let running = Running::begin(format!("{position} {}", step.name));
        (step.make)(&running).with_context(|| format!("set-up step {position} {}", step.name))?;
        if let Some(stamp) = stamp {
            stamp::set(&stamp, &step.inputs, &step.outputs)?;
        }
        costs.push((step.name, running.done("")));
    }
    summary(zeal, &costs, begun.elapsed());
    Ok(())
}

fn summary(zeal: Zeal, costs: &[(String, Duration)], total: Duration) {
    if costs.is_empty() && zeal == Zeal::Needed {
        return;
    }
    let dearest = costs.iter().max_by_key(|(_, cost)| *cost);
    let dearest = dearest.map_or(String::new(), |(n, c)| format!(", {:.1} s of it for {n}", c.as_secs_f64()));
    say::note(format!("set-up: ready in {:.1} s{dearest}", total.as_secs_f64()));
}

/// Two set-ups at once would pull the files from under each other: the second waits.
fn lock(workspace: &Workspace) -> Result<File> {
    let path = workspace.home.join("setup.lock");
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    if file.try_lock().is_err() {
        say::note("set-up: another one is at work, waiting for it");
        file.lock().with_context(|| format!("lock {}", path.display()))?;
    }
    Ok(file)
}

/// A folder below home for things in the making, removed again when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(workspace: &Workspace, name: &str) -> Result<Self> {
        let path = workspace.home.join("tmp").join(name);
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("clear {}", path.display()))?;
        }
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is cleared by the next set-up.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The one file with this extension in a folder.
fn one_file(folder: &Path, extension: &str) -> Result<PathBuf> {
    let files = folder.read_dir().with_context(|| format!("list {}", folder.display()))?;
    files
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == extension))
        .with_context(|| format!("the download ended well and left no .{extension} file"))
}
