//! Models of this device, for those who run it: `models list`, `verify`, `bench`, and signed releases.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use linefree_models::golden::Probe;
use linefree_models::{Provider, Registry, release};
use serde::Serialize;

use crate::paths;

/// Commands of `models`.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Which models there are, what they do, and whether they are installed whole.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check every installed model: its bytes, its inputs and outputs, and what it gives for the golden picture.
    Verify(RunArgs),
    /// Time and memory of each installed model on this device.
    Bench(BenchArgs),
    /// Activate a signed release folder, if its signature, its files and its golden tests hold on this device.
    Activate {
        /// The folder: manifest.toml, manifest.toml.sig and the models.
        release: PathBuf,
        /// The publisher's public key, 64 hexadecimal digits.
        #[arg(long, value_name = "HEX")]
        key: String,
        /// What is to run the models: cpu, cuda, tensorrt, openvino.
        #[arg(long, default_value = "cpu", value_name = "PROVIDER")]
        provider: Provider,
    },
    /// Go back to the release that was active before.
    RollBack,
    /// Make a key pair for signing releases; prints the public key.
    Keygen {
        /// Where to write the private key; must not exist.
        private_key: PathBuf,
    },
    /// Sign the manifest of a release folder.
    Sign {
        /// The folder.
        release: PathBuf,
        /// The private key that `keygen` wrote.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
}

/// What to run and how.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Only these models.
    #[arg(value_name = "MODEL")]
    models: Vec<String>,
    /// What runs them: cpu, cuda, tensorrt, openvino.
    #[arg(long, default_value = "cpu", value_name = "PROVIDER")]
    provider: Provider,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Options of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Numbers of threads to try.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    threads: Vec<usize>,
    /// Seconds for each model and number of threads.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

/// Runs a command; what it prints.
///
/// # Errors
/// Whatever it could not do, with what to do about it.
pub fn run(command: &ModelsCommand) -> anyhow::Result<String> {
    match command {
        ModelsCommand::List { json } => list(&paths::registry()?, *json),
        ModelsCommand::Verify(args) => verify(&paths::registry()?, args),
        ModelsCommand::Bench(args) => bench(&paths::registry()?, args),
        ModelsCommand::Activate { release: folder, key, provider } => {
            let home = paths::home();
            let active = release::activate(home.path(), folder, key, &paths::runtime()?, *provider)?;
            Ok(format!("active: {}\n", active.display()))
        }
        ModelsCommand::RollBack => {
            let active = release::roll_back(paths::home().path())?;
            Ok(format!("active: {}\n", active.display()))
        }
        ModelsCommand::Keygen { private_key } => keygen(private_key),
        ModelsCommand::Sign { release: folder, key } => {
            let bytes = std::fs::read(key).with_context(|| format!("read {}", key.display()))?;
            release::sign(folder, &bytes)?;
            Ok(format!("signed {}\n", folder.join("manifest.toml").display()))
        }
    }
}

fn keygen(path: &Path) -> anyhow::Result<String> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let (private, public) = release::new_key()?;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("make {}; a key is never overwritten", path.display()))?;
    file.write_all(&private).with_context(|| format!("write {}", path.display()))?;
    Ok(format!("{public}\n"))
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    task: String,
    state: &'static str,
    size_bytes: u64,
    sha256: &'a str,
    licence: &'a str,
}

fn list(registry: &Registry, json: bool) -> anyhow::Result<String> {
    let listed: Vec<Listed<'_>> = registry
        .manifest()
        .models()
        .iter()
        .map(|m| Listed {
            name: &m.name,
            task: m.task.to_string(),
            state: registry.state(&m.name),
            size_bytes: m.size_bytes,
            sha256: &m.sha256,
            licence: &m.licence,
        })
        .collect();
    if json {
        return Ok(serde_json::to_string_pretty(&listed)? + "\n");
    }
    let mut text = String::new();
    for m in listed {
        writeln!(text, "{:20} {:22} {:12} {:9} bytes  {}", m.name, m.task, m.state, m.size_bytes, m.licence)?;
    }
    Ok(text)
}

/// The models asked for, or all that are there.
fn chosen(registry: &Registry, args: &RunArgs) -> anyhow::Result<Vec<String>> {
    if args.models.is_empty() {
        let there = registry.manifest().models().iter().filter(|m| registry.state(&m.name) != "missing");
        return Ok(there.map(|m| m.name.clone()).collect());
    }
    for name in &args.models {
        registry.manifest().model(name)?;
    }
    Ok(args.models.clone())
}

#[derive(Serialize)]
struct Verified {
    model: String,
    sound: bool,
    said: String,
}

fn verify(registry: &Registry, args: &RunArgs) -> anyhow::Result<String> {
    let models = chosen(registry, args)?;
    let runtime = paths::runtime()?;
    let mut all = Vec::new();
    for model in models {
        let result = Probe::load(registry, &runtime, &model, 1, args.provider).and_then(|mut p| {
            tracing::debug!("{model}: {:?}", p.summary()?);
            p.check()
        });
        let (sound, said) = match result {
            Ok(()) => (true, "bytes, signature and golden picture hold".to_owned()),
            Err(error) => (false, error.to_string()),
        };
        all.push(Verified { model, sound, said });
    }
    let mut text = if args.json { serde_json::to_string_pretty(&all)? + "\n" } else { String::new() };
    if !args.json {
        for v in &all {
            writeln!(text, "{:20} {} {}", v.model, if v.sound { "sound " } else { "REFUSED" }, v.said)?;
        }
    }
    if all.iter().any(|v| !v.sound) {
        bail!("not every model is sound:\n{text}");
    }
    Ok(text)
}

#[derive(Serialize)]
struct Timed {
    model: String,
    provider: &'static str,
    threads: usize,
    runs: usize,
    least_ms: f64,
    median_ms: f64,
    p95_ms: f64,
    /// What the process grew by when the model was loaded and run.
    memory_mib: f64,
}

fn bench(registry: &Registry, args: &BenchArgs) -> anyhow::Result<String> {
    if !(args.seconds > 0.0 && args.seconds <= 600.0) {
        bail!("--seconds must be above 0 and at most 600");
    }
    let runtime = paths::runtime()?;
    let mut all = Vec::new();
    for model in chosen(registry, &args.run)? {
        for &threads in &args.threads {
            let before = resident_mib();
            let mut probe = Probe::load(registry, &runtime, &model, threads, args.run.provider)?;
            probe.time()?;
            let begun = Instant::now();
            let mut took = vec![probe.time()?];
            while begun.elapsed() < Duration::from_secs_f64(args.seconds) {
                took.push(probe.time()?);
            }
            took.sort();
            let ms = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
            all.push(Timed {
                model: model.clone(),
                provider: args.run.provider.name(),
                threads,
                runs: took.len(),
                least_ms: ms(0.0),
                median_ms: ms(0.5),
                p95_ms: ms(0.95),
                memory_mib: (resident_mib() - before).max(0.0),
            });
        }
    }
    if args.run.json {
        return Ok(serde_json::to_string_pretty(&all)? + "\n");
    }
    let mut text =
        "model                provider threads  runs  least ms  median ms  95 % ms  MiB\n".to_owned();
    for t in all {
        writeln!(
            text,
            "{:20} {:8} {:7} {:5} {:9.2} {:10.2} {:8.2} {:4.0}",
            t.model, t.provider, t.threads, t.runs, t.least_ms, t.median_ms, t.p95_ms, t.memory_mib
        )?;
    }
    Ok(text)
}

/// Memory of this process in RAM, from /proc; 0 where there is none.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}
