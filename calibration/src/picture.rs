//! Pictures for pages: the store's floor from above, and what is left over in a camera's image. SVG, without scripts,
//! fonts or files of its own.

use std::fmt::Write;

use linefree_domain::layout::StoreLayout;
use nalgebra::{Point2, Point3, Vector2};

use crate::coverage::{self, BlindZone, Body, Coverage, Viewer};
use crate::residuals::Residual;

/// Width of a picture, CSS pixels.
const WIDTH: f64 = 720.0;
/// Beside the floor, metres.
const MARGIN_M: f64 = 0.6;
/// How far a camera's cone is drawn, metres.
const CONE_M: f64 = 1.2;
/// Residuals are drawn this much longer than they are.
pub const MAGNIFIED: f64 = 20.0;

/// Text as it may stand in HTML and SVG.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// The floor from above, y upwards.
#[derive(Debug)]
pub struct Floor<'a> {
    layout: &'a StoreLayout,
    least: Point2<f64>,
    most: Point2<f64>,
    scale: f64,
    body: String,
}

impl<'a> Floor<'a> {
    /// An empty picture of a store and all that these cameras need.
    #[must_use]
    pub fn new(layout: &'a StoreLayout, viewers: &[Viewer]) -> Self {
        let mut points = layout.floor.corners().to_vec();
        points.extend(Body::of(layout).iter().flat_map(Body::outline));
        points.extend(viewers.iter().filter_map(|v| v.position().map(|p| p.xy())));
        let [least, most] = coverage::bounds(&points);
        let margin = Vector2::repeat(MARGIN_M);
        let (least, most) = (least - margin, most + margin);
        Self { layout, least, most, scale: WIDTH / (most.x - least.x), body: String::new() }
    }

    fn at(&self, p: Point2<f64>) -> [f64; 2] {
        [(p.x - self.least.x) * self.scale, (self.most.y - p.y) * self.scale]
    }

    fn points(&self, points: &[Point2<f64>]) -> String {
        let one = |p: &Point2<f64>| {
            let [x, y] = self.at(*p);
            format!("{x:.1},{y:.1}")
        };
        points.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// Every cell, with a class and what is told of it when pointed at.
    pub fn cells(&mut self, coverage: &Coverage, of: impl Fn(&coverage::Cell) -> (String, String)) {
        for cell in &coverage.cells {
            let half = Vector2::new(-coverage.cell_m, coverage.cell_m) / 2.0;
            let [x, y] = self.at(cell.at + half);
            // A hair larger, so that no seams show.
            let side = coverage.cell_m * self.scale + 0.4;
            let (class, title) = of(cell);
            let _ = write!(
                self.body,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side:.1}\" height=\"{side:.1}\">\
                 <title>{}</title></rect>",
                escaped(&title)
            );
        }
    }

    /// A square metre with a number in it.
    pub fn square(&mut self, corner: Point2<f64>, class: &str, text: &str) {
        let [x, y] = self.at(corner + Vector2::new(0.0, 1.0));
        let side = self.scale;
        let size = (side * 0.3).clamp(7.0, 15.0);
        let _ = write!(
            self.body,
            "<rect class=\"{class} square\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side:.1}\" height=\"{side:.1}\"/>\
             <text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" font-size=\"{size:.1}\" text-anchor=\"middle\">{}</text>",
            x + side / 2.0,
            y + side / 2.0 + size * 0.35,
            escaped(text)
        );
    }

    /// Floor's edge, gates and shelving.
    pub fn store(&mut self) {
        let edge = self.points(self.layout.floor.corners());
        let _ = write!(self.body, "<polygon class=\"floor\" points=\"{edge}\"/>");
        for gate in &self.layout.gates {
            let line = self.points(&[gate.segment.from, gate.segment.to]);
            let [x, y] = self.at(gate.segment.middle());
            let _ = write!(
                self.body,
                "<polyline class=\"gate\" points=\"{line}\"/><text class=\"label\" x=\"{x:.1}\" y=\"{:.1}\" \
                 text-anchor=\"middle\">{}</text>",
                y + 16.0,
                escaped(gate.id.as_str())
            );
        }
        for body in Body::of(self.layout) {
            let outline = body.outline();
            let [x, y] = self.at(nalgebra::center(&outline[0], &outline[2]));
            let (shape, front) = (self.points(&outline), self.points(&outline[..2]));
            let _ = write!(
                self.body,
                "<polygon class=\"shelving\" points=\"{shape}\"/><polyline class=\"front\" points=\"{front}\"/>\
                 <text class=\"on-shelving\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                y + 4.0,
                escaped(body.id())
            );
        }
    }

    /// Stretches that too few cameras see.
    pub fn zones(&mut self, zones: &[BlindZone]) {
        for zone in zones {
            let line = self.points(&[zone.from, zone.to + (zone.to - zone.from) * 1e-6]);
            let class = if zone.cameras == 0 { "blind" } else { "one-eyed" };
            let _ = write!(self.body, "<polyline class=\"{class}\" points=\"{line}\"/>");
        }
    }

    /// Cameras with the direction they look.
    pub fn cameras(&mut self, viewers: &[Viewer], class: &str) {
        for viewer in viewers {
            let Some(place) = viewer.position() else { continue };
            let [x, y] = self.at(place.xy());
            if let Some([left, right]) = sides(viewer, place) {
                let cone = self.points(&[place.xy(), left, right]);
                let _ = write!(self.body, "<polygon class=\"cone {class}\" points=\"{cone}\"/>");
            }
            let _ = write!(
                self.body,
                "<circle class=\"camera {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/><text class=\"label\" \
                 x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                y - 9.0,
                escaped(&viewer.id)
            );
        }
    }

    /// The picture, with a bar of one metre.
    #[must_use]
    pub fn svg(mut self, title: &str) -> String {
        let height = (self.most.y - self.least.y) * self.scale;
        let _ = write!(
            self.body,
            "<path class=\"bar\" d=\"M10 {0:.1}h{1:.1}\"/><text class=\"label\" x=\"10\" y=\"{2:.1}\">1 m</text>",
            height - 8.0,
            self.scale,
            height - 13.0
        );
        format!(
            "<svg role=\"img\" viewBox=\"0 0 {WIDTH} {height:.0}\"><title>{}</title>{}</svg>\n",
            escaped(title),
            self.body
        )
    }
}

/// Where the left and right edge of a camera's image point, on the floor plan.
fn sides(viewer: &Viewer, place: Point3<f64>) -> Option<[Point2<f64>; 2]> {
    let linefree_domain::geometry::View::Lens { lens, pose } = &viewer.view else { return None };
    let middle = f64::from(viewer.size_px[1]) / 2.0;
    let side = |x: f64| {
        let p = lens.undistort(Point2::new(x, middle))?;
        let ray = pose.matrix().transpose() * nalgebra::Vector3::new(p.x, p.y, 1.0);
        Some(place.xy() + ray.xy().try_normalize(1e-6)? * CONE_M)
    };
    Some([side(0.0)?, side(f64::from(viewer.size_px[0]))?])
}

/// What is left over in a camera's image: where each point is, and how far from there the calibration has it.
#[must_use]
pub fn of_residuals(size_px: [u32; 2], residuals: &[&Residual]) -> String {
    let [width, height] = size_px.map(f64::from);
    let unit = width / 640.0;
    let mut out = format!(
        "<svg role=\"img\" viewBox=\"0 0 {width} {height}\"><title>Residuals, {MAGNIFIED} times as long as they are\
         </title><rect class=\"image\" width=\"{width}\" height=\"{height}\"/>"
    );
    for r in residuals {
        let (x, y) = (r.px.x, r.px.y);
        let class = if r.used { "residual" } else { "residual left-out" };
        // What is left out may be off by a whole image: then only the place is drawn.
        let (dx, dy) = (r.off_px.x * MAGNIFIED, r.off_px.y * MAGNIFIED);
        if dx.hypot(dy) < width {
            let _ = write!(
                out,
                "<path class=\"{class}\" stroke-width=\"{:.2}\" d=\"M{x:.1} {y:.1}l{dx:.1} {dy:.1}\"/>",
                1.2 * unit
            );
        }
        let _ = write!(
            out,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{:.2}\"><title>off by {:.2} px</title></circle>",
            2.2 * unit,
            r.off_px.norm()
        );
    }
    out.push_str("</svg>\n");
    out
}
