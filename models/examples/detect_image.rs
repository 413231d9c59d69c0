//! Finds people in pictures and prints one JSON line for each: what the accuracy figures in the cards are made of.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use linefree_models::{ColourOrder, DEFAULT_PERSON_MODEL, DetectorOptions, FrameView, Home, InputSize};

/// Find people in pictures.
#[derive(Parser)]
#[command(after_help = "Examples:\n  \
    cargo run -p linefree-models --example detect_image -- shop.png\n  \
    cargo run -p linefree-models --example detect_image -- --model person-yolox-nano --score-min 0.05 a.png b.png\n  \
    cargo run -p linefree-models --example detect_image -- --input 384x288 shop.png")]
struct Arguments {
    /// Model, by its name in models/manifest.toml.
    #[arg(long, default_value = DEFAULT_PERSON_MODEL)]
    model: String,
    /// Size of the model's input, such as 384x288; `shaped`: as the first picture; without: the model's own.
    #[arg(long, value_parser = input_size)]
    input: Option<Input>,
    /// Score below which people are not reported; without: the model's own.
    #[arg(long)]
    score_min: Option<f32>,
    /// Threads of one run.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Pictures, PNG or JPEG.
    #[arg(required = true)]
    pictures: Vec<PathBuf>,
}

#[derive(Clone, Copy)]
enum Input {
    Shaped,
    Exact(u32, u32),
}

fn input_size(text: &str) -> Result<Input, String> {
    if text == "shaped" {
        return Ok(Input::Shaped);
    }
    let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides.map(|(w, h)| Input::Exact(w, h)).ok_or_else(|| "expected WIDTHxHEIGHT or `shaped`".into())
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (runtime, registry) = Home::find(&std::env::current_dir()?).open()?;
    let mut detector = None;
    let mut out = std::io::stdout().lock();
    for path in &arguments.pictures {
        let picture = image::open(path).with_context(|| format!("read {}", path.display()))?.into_rgb8();
        let (width, height) = picture.dimensions();
        let frame = FrameView::new(picture.as_raw(), width, height, width as usize * 3, ColourOrder::Rgb)?;
        let detector = match &mut detector {
            Some(detector) => detector,
            none => none.insert(registry.person_detector(
                &runtime,
                &arguments.model,
                &DetectorOptions {
                    threads: arguments.threads,
                    provider: linefree_models::Provider::Cpu,
                    score_min: arguments.score_min,
                    input: match arguments.input {
                        None => InputSize::ModelDefault,
                        Some(Input::Shaped) => {
                            InputSize::ShapedAs { frame_width_px: width, frame_height_px: height }
                        }
                        Some(Input::Exact(width_px, height_px)) => InputSize::Exact { width_px, height_px },
                    },
                },
            )?),
        };
        let people: Vec<_> = detector
            .detect(&frame)?
            .iter()
            .map(|p| {
                serde_json::json!({
                    "x": p.bbox.x, "y": p.bbox.y, "w": p.bbox.w, "h": p.bbox.h, "score": p.score,
                })
            })
            .collect();
        let line = serde_json::json!({
            "picture": path,
            "model": detector.model(),
            "input_px": detector.input_px(),
            "total_ms": detector.timings().total().as_secs_f64() * 1e3,
            "people": people,
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}
