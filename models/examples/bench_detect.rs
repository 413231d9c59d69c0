//! What detecting costs beside the bare model: prints one JSON object. Whole detections and bare runs of the same
//! session on the same input take turns, so that other work on the machine falls on both alike.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use linefree_models::{ColourOrder, DEFAULT_PERSON_MODEL, DetectorOptions, FrameView, Home, InputSize};

/// Measure a person model, stage by stage, against the bare session.
#[derive(Parser)]
#[command(after_help = "Examples:\n  \
    cargo run --release -p linefree-models --example bench_detect\n  \
    cargo run --release -p linefree-models --example bench_detect -- --frame 640x360 --runs 100\n  \
    cargo run --release -p linefree-models --example bench_detect -- --model person-nanodet-320 --picture shop.png")]
struct Arguments {
    /// Model, by its name in models/manifest.toml.
    #[arg(long, default_value = DEFAULT_PERSON_MODEL)]
    model: String,
    /// Size of the model's input; without: the shape of the frames.
    #[arg(long, value_parser = size)]
    input: Option<(u32, u32)>,
    /// Size of the frames, filled with a pattern.
    #[arg(long, value_parser = size, default_value = "768x576")]
    frame: (u32, u32),
    /// A picture to use instead of the pattern.
    #[arg(long)]
    picture: Option<PathBuf>,
    /// Threads of one run.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Measured rounds, after five that are not counted.
    #[arg(long, default_value_t = 50)]
    runs: usize,
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides.ok_or_else(|| "expected WIDTHxHEIGHT".into())
}

/// Rounds that warm caches up.
const WARM_UP: usize = 5;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.runs > 0, "--runs must be at least 1");
    let (width, height, pixels) = match &arguments.picture {
        Some(path) => {
            let picture = image::open(path).with_context(|| format!("read {}", path.display()))?.into_rgb8();
            (picture.width(), picture.height(), picture.into_raw())
        }
        None => {
            let (width, height) = arguments.frame;
            let bytes = 0..u64::from(width) * u64::from(height) * 3;
            (width, height, bytes.map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect())
        }
    };
    let frame = FrameView::new(&pixels, width, height, width as usize * 3, ColourOrder::Bgr)?;
    let (runtime, registry) = Home::find(&std::env::current_dir()?).open()?;
    let input = match arguments.input {
        Some((width_px, height_px)) => InputSize::Exact { width_px, height_px },
        None => InputSize::ShapedAs { frame_width_px: width, frame_height_px: height },
    };
    let options = DetectorOptions { threads: arguments.threads, input, ..DetectorOptions::default() };
    let mut detector = registry.person_detector(&runtime, &arguments.model, &options)?;

    let mut stages: [Vec<Duration>; 5] = Default::default();
    for round in 0..WARM_UP + arguments.runs {
        detector.detect(&frame)?;
        let bare = detector.run_bare()?;
        if round >= WARM_UP {
            let t = detector.timings();
            for (stage, took) in stages.iter_mut().zip([bare, t.preprocess, t.run, t.postprocess, t.total()])
            {
                stage.push(took);
            }
        }
    }
    let [bare, preprocess, run, postprocess, total] = stages.map(median_ms);
    let report = serde_json::json!({
        "model": detector.model(),
        "input_px": detector.input_px(),
        "frame_px": [width, height],
        "threads": arguments.threads,
        "runs": arguments.runs,
        "bare_run_ms_p50": bare,
        "preprocess_ms_p50": preprocess,
        "run_ms_p50": run,
        "postprocess_ms_p50": postprocess,
        "total_ms_p50": total,
        "ratio": total / bare,
    });
    writeln!(std::io::stdout().lock(), "{report}")?;
    Ok(())
}

fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}
