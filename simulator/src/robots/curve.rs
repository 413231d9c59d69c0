//! What larger fleets manage, and what planning for them costs, as a picture.

use std::path::Path;

use anyhow::anyhow;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::report::planning_ms;
use super::run::{Outcome, Setting};

/// The picture's size, pixels.
const SIZE_PX: (u32, u32) = (1100, 420);
const COLOURS: [RGBColor; 3] = [RGBColor(20, 80, 160), RGBColor(20, 130, 80), RGBColor(190, 70, 20)];

/// One line of a panel: its name, and a point for each fleet.
type Line = (String, Vec<(f64, f64)>);
type Panel<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Draws on the left how many orders were on time for each load, on the right what planning took at the largest load.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, rows: &[(Setting, Outcome)]) -> anyhow::Result<()> {
    let load = |s: &Setting| (s.orders_per_hour / s.robots as f64).round() as u64;
    let mut loads: Vec<u64> = rows.iter().map(|(s, _)| load(s)).collect();
    loads.sort_unstable();
    loads.dedup();
    let of = |wanted: u64| rows.iter().filter(move |(s, _)| load(s) == wanted);
    let on_time: Vec<Line> = loads
        .iter()
        .map(|l| {
            let point = |(s, o): &(Setting, Outcome)| {
                (s.robots as f64, o.on_time as f64 / o.orders.max(1) as f64 * 100.0)
            };
            (format!("{l} orders an hour for each robot"), of(*l).map(point).collect())
        })
        .collect();
    let most = loads.last().copied().unwrap_or(0);
    let planning: Vec<Line> = [(0.5, "median"), (0.999, "99.9 %"), (1.0, "worst")]
        .iter()
        .map(|(share, name)| {
            let point =
                |(s, o): &(Setting, Outcome)| (s.robots as f64, planning_ms(o, [*share])[0].max(0.001));
            ((*name).to_owned(), of(most).map(point).collect())
        })
        .collect();
    let area = SVGBackend::new(path, SIZE_PX).into_drawing_area();
    area.fill(&WHITE).map_err(|e| anyhow!("{e}"))?;
    let panels = area.split_evenly((1, 2));
    draw(&panels[0], "orders on time, %", &on_time, 0.0..101.0).map_err(|e| anyhow!("{e}"))?;
    let title = format!("planning step at {most} orders an hour for each robot, ms");
    let top = planning.iter().flat_map(|(_, p)| p.iter().map(|(_, ms)| *ms)).fold(60.0, f64::max) * 1.1;
    draw(&panels[1], &title, &planning, 0.0..top).map_err(|e| anyhow!("{e}"))?;
    area.present().map_err(|e| anyhow!("write {}: {e}", path.display()))?;
    Ok(())
}

fn draw(panel: &Panel<'_>, title: &str, lines: &[Line], y: std::ops::Range<f64>) -> Result<(), String> {
    let mut chart: ChartContext<'_, SVGBackend<'_>, Cartesian2d<RangedCoordf64, RangedCoordf64>> =
        ChartBuilder::on(panel)
            .caption(title, ("sans-serif", 15))
            .margin(10)
            .x_label_area_size(32)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..105.0, y)
            .map_err(|e| e.to_string())?;
    chart
        .configure_mesh()
        .x_desc("robots")
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(|e| e.to_string())?;
    for ((name, points), colour) in lines.iter().zip(COLOURS) {
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3))
            .map_err(|e| e.to_string())?
            .label(name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE.mix(0.85))
        .draw()
        .map_err(|e| e.to_string())?;
    Ok(())
}
