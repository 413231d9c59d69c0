//! Real and simulated shelf signals beside each other, as a picture.

use std::path::Path;

use anyhow::anyhow;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::Signals;

/// The picture's size, pixels.
const SIZE_PX: (u32, u32) = (1200, 760);
/// The handling that is drawn large, among the labelled ones, and how much before and after, seconds.
const SHOWN: usize = 1;
const MARGIN_S: f64 = 2.5;

/// Writes the picture: on the left the handled shelf, on the right another one that shakes with it; real above.
pub fn write(path: &Path, real: &Signals, simulated: &Signals) -> anyhow::Result<()> {
    let area = SVGBackend::new(path, SIZE_PX).into_drawing_area();
    area.fill(&WHITE).map_err(|e| anyhow!("{e}"))?;
    let rows = area.split_evenly((3, 2));
    let (shelf, from_s, to_s, _) = real.handled.get(SHOWN).copied().unwrap_or_default();
    let (from, to) = (from_s - MARGIN_S, to_s + MARGIN_S);
    let other = (shelf + 1) % real.shelves_g.len().max(1);
    let long = real.times_s.last().copied().unwrap_or(100.0);
    let panels = [
        (real, "real: a handled shelf", shelf, (from, to), (-650.0, 1250.0)),
        (real, "real: the shelf beside it, meanwhile", other, (from, to), (-90.0, 90.0)),
        (simulated, "simulated: the same handling", shelf, (from, to), (-650.0, 1250.0)),
        (simulated, "simulated: the shelf beside it, meanwhile", other, (from, to), (-90.0, 90.0)),
        (real, "real: shelf d, the whole recording", 3, (0.0, long), (-1400.0, 1100.0)),
        (simulated, "simulated: shelf d, the same handlings", 3, (0.0, long), (-1400.0, 1100.0)),
    ];
    for (panel, (signals, title, shelf, span, grams)) in rows.iter().zip(panels) {
        draw(panel, signals, title, shelf, span, grams).map_err(|e| anyhow!("{e}"))?;
    }
    area.present().map_err(|e| anyhow!("{e}"))?;
    Ok(())
}

type Panel<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Failure = Box<dyn std::error::Error>;

fn draw(
    panel: &Panel<'_>,
    signals: &Signals,
    title: &str,
    shelf: usize,
    span_s: (f64, f64),
    grams: (f64, f64),
) -> Result<(), Failure> {
    let mut chart: ChartContext<'_, SVGBackend<'_>, Cartesian2d<RangedCoordf64, RangedCoordf64>> =
        ChartBuilder::on(panel)
            .caption(title, ("sans-serif", 15))
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(52)
            .build_cartesian_2d(span_s.0..span_s.1, grams.0..grams.1)
            .map_err(|e| e.to_string())?;
    chart
        .configure_mesh()
        .x_desc("s")
        .y_desc("g")
        .x_labels(6)
        .y_labels(5)
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(|e| e.to_string())?;
    let list = signals.shelves_g.get(shelf).map_or(&[][..], Vec::as_slice);
    let shown: Vec<(f64, f64)> = signals
        .times_s
        .iter()
        .copied()
        .zip(list.iter().copied())
        .filter(|(t, _)| (span_s.0..span_s.1).contains(t))
        .collect();
    let level = shown.iter().take(60).map(|p| p.1).sum::<f64>() / shown.len().clamp(1, 60) as f64;
    let points = thinned(&shown).into_iter().map(|(t, g)| (tenth(t * 100.0) / 100.0, tenth(g - level)));
    let colour = if title.starts_with("real") { RGBColor(20, 80, 160) } else { RGBColor(190, 70, 20) };
    chart.draw_series(LineSeries::new(points, colour.stroke_width(1))).map_err(|e| e.to_string())?;
    Ok(())
}

fn tenth(v: f64) -> f64 {
    (v * 10.0).round() / 10.0
}

/// Lowest and highest of each piece, so that a picture of a long signal stays small and shows every peak.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    const MOST: usize = 1000;
    if points.len() <= MOST {
        return points.to_vec();
    }
    let piece = points.len().div_ceil(MOST / 2);
    let ends = |part: &[(f64, f64)]| {
        let low = part.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
        let high = part.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
        let mut two: Vec<(f64, f64)> = low.into_iter().chain(high).collect();
        two.sort_by(|a, b| a.0.total_cmp(&b.0));
        two
    };
    points.chunks(piece).flat_map(ends).collect()
}
