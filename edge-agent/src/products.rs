//! Products by sight, on the command line: `enrol` and `recognise`.
//!
//! A gallery is a folder; pictures become embeddings at once and stay nowhere. Enrolment is all or nothing: one bad
//! picture and the gallery is as it was. Recognition answers every sound picture and then fails for the others, each
//! named.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use linefree_domain::ids::Sku;
use linefree_models::{
    DEFAULT_PRODUCT_MODEL, Embedding, Gallery, ProductEmbedder, Provider, Recogniser, RecogniserConfig,
    Recognition,
};
use serde::Serialize;

use crate::{paths, pictures};

/// More pictures than this at once are a mistake in a wildcard.
const ENROL_AT_ONCE_MAX: usize = linefree_models::PICTURES_MAX;

/// What both commands need.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// The folder of the gallery.
    #[arg(long, value_name = "DIR")]
    gallery: PathBuf,
    /// The product model; a gallery belongs to one.
    #[arg(long, default_value = DEFAULT_PRODUCT_MODEL)]
    model: String,
    /// What runs the model: cpu, cuda, tensorrt, openvino.
    #[arg(long, default_value = "cpu", value_name = "PROVIDER")]
    provider: Provider,
    /// Threads of the model.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// Options of `enrol`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    edge-agent enrol --gallery shop --sku 07310865004703 front.jpg side.jpg\n  \
    edge-agent enrol --gallery shop --sku 07310865004703 --replace new-design.jpg\n\n\
    Each picture should show one piece of the product, filling most of the picture. One is enough, five are better.")]
pub struct EnrolArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// The product: its GTIN, or any other code without control characters.
    #[arg(long, value_name = "GTIN", value_parser = sku)]
    sku: Sku,
    /// Forget the product's earlier pictures.
    #[arg(long)]
    replace: bool,
    /// JPEG or PNG files.
    #[arg(required = true, value_name = "IMAGES")]
    images: Vec<PathBuf>,
}

/// Options of `recognise`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    edge-agent recognise --gallery shop crop.jpg\n  \
    edge-agent recognise --gallery shop --among 07310865004703,07310865071811 crop.jpg\n  \
    edge-agent recognise --gallery shop --among A,B --view 1/5 --at 12.5 crop.jpg >> recording/views.jsonl\n\n\
    One line of JSON for each image: {\"image\", \"candidates\": [{\"sku\", \"p\"}, ...], \"unknown\": p}.\n\
    The candidates' p and unknown sum to 1; unknown is the probability that it is none of them.")]
pub struct RecogniseArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Only these products, separated by commas; by default all that are enrolled.
    #[arg(long, value_name = "GTIN,...", value_delimiter = ',', value_parser = sku)]
    among: Option<Vec<Sku>>,
    /// At most this many candidates in each line, the likeliest.
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Print lines of a recording's views.jsonl instead, for this place, such as 1/5.
    #[arg(long, value_name = "PLACE", requires = "at")]
    view: Option<String>,
    /// Second of the recording that the views belong to.
    #[arg(long, value_name = "SECONDS", requires = "view")]
    at: Option<f64>,
    /// JPEG or PNG files.
    #[arg(required = true, value_name = "IMAGES")]
    images: Vec<PathBuf>,
}

fn sku(text: &str) -> Result<Sku, String> {
    Sku::new(text).map_err(|e| format!("{e}; a SKU is a GTIN such as 07310865004703, or any other code"))
}

struct Loaded {
    embedder: ProductEmbedder,
    config: RecogniserConfig,
    gallery: Option<Gallery>,
}

fn load(args: &ModelArgs) -> anyhow::Result<Loaded> {
    let registry = paths::registry()?;
    let entry = registry.manifest().model(&args.model)?;
    let Some(config) = entry.recogniser else {
        bail!("model {} is for {}, not for recognising products", args.model, entry.task);
    };
    // The gallery is looked at first: no need to load a library to refuse it.
    let length = entry.embedding_length();
    let gallery = Gallery::read(&args.gallery, &args.model, &entry.sha256, length)?;
    let runtime = paths::runtime()?;
    let embedder = registry.product_embedder(&runtime, &args.model, args.threads, args.provider)?;
    Ok(Loaded { embedder, config, gallery })
}

fn embed(embedder: &mut ProductEmbedder, path: &Path) -> anyhow::Result<Embedding> {
    let image = pictures::read(path)?;
    embedder.embed(&pictures::frame(&image)?).with_context(|| format!("picture {}", path.display()))
}

/// Adds a product, or pictures of it, to a gallery; says what it did.
///
/// # Errors
/// When a picture, the gallery or the model is unusable; the gallery is then as it was.
pub fn enrol(args: &EnrolArgs) -> anyhow::Result<String> {
    if args.images.len() > ENROL_AT_ONCE_MAX {
        bail!("{} pictures of one product; at most {ENROL_AT_ONCE_MAX} are kept", args.images.len());
    }
    let mut loaded = load(&args.model)?;
    let embedder = &mut loaded.embedder;
    let pictures =
        args.images.iter().map(|path| embed(embedder, path)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut gallery = loaded
        .gallery
        .unwrap_or_else(|| Gallery::new(embedder.model(), embedder.digest(), embedder.length()));
    if args.replace {
        gallery.forget(&args.sku);
    }
    for picture in pictures {
        gallery.enrol(&args.sku, picture);
    }
    gallery.write(&args.model.gallery)?;
    Ok(format!(
        "{}: {} pictures, {} products in {}\n",
        args.sku,
        gallery.products().get(&args.sku).map_or(0, Vec::len),
        gallery.products().len(),
        Gallery::file(&args.model.gallery).display()
    ))
}

#[derive(Serialize)]
struct Line<'a> {
    image: String,
    candidates: Vec<Share<'a>>,
    unknown: f64,
}

#[derive(Serialize)]
struct Share<'a> {
    sku: &'a str,
    p: f64,
}

/// Says of each picture which product it shows, a line each, as soon as it is known.
///
/// # Errors
/// When the gallery or the model is unusable, and at the end when a picture was.
pub fn recognise(
    args: &RecogniseArgs,
    mut print: impl FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if args.at.is_some_and(|t| !t.is_finite() || t < 0.0) {
        bail!("--at must be a second of the recording, 0 or more");
    }
    let mut loaded = load(&args.model)?;
    let Some(gallery) = loaded.gallery.filter(|g| !g.products().is_empty()) else {
        bail!(
            "gallery {}: no product is enrolled; `edge-agent enrol --gallery {} --sku GTIN IMAGES` adds one",
            args.model.gallery.display(),
            args.model.gallery.display()
        );
    };
    let recogniser = Recogniser::new(&gallery, loaded.config);
    let among = args.among.as_deref();
    for sku in among.into_iter().flat_map(|skus| recogniser.missing(skus)) {
        tracing::warn!("{sku} is not enrolled in {}: no picture can show it", args.model.gallery.display());
    }
    let mut refused = 0;
    for path in &args.images {
        match embed(&mut loaded.embedder, path) {
            Ok(seen) => print(&line(args, path.display().to_string(), &recogniser.recognise(&seen, among))?)?,
            Err(error) => {
                refused += 1;
                tracing::error!("{error:#}");
            }
        }
    }
    if refused > 0 {
        bail!("{refused} of {} pictures could not be read; they are named above", args.images.len());
    }
    Ok(())
}

fn line(args: &RecogniseArgs, image: String, found: &Recognition) -> anyhow::Result<String> {
    let text = if let (Some(place), Some(t)) = (&args.view, args.at) {
        let likelihood: serde_json::Map<String, serde_json::Value> =
            found.likelihood().map(|(sku, p)| (sku.to_string(), round(p).into())).collect();
        serde_json::to_string(&serde_json::json!({ "t": t, "place": place, "likelihood": likelihood }))?
    } else {
        let top = args.top.unwrap_or(usize::MAX);
        let candidates = found.candidates.iter().take(top);
        let candidates = candidates.map(|c| Share { sku: c.sku.as_str(), p: round(c.p) }).collect();
        serde_json::to_string(&Line { image, candidates, unknown: round(found.unknown) })?
    };
    Ok(text + "\n")
}

/// Six places: more are noise.
fn round(p: f64) -> f64 {
    (p * 1e6).round() / 1e6
}
