//! Pages of HTML: the report of a store's calibration, and a plan of cameras. One file each, with everything in it:
//! nothing is fetched, and nothing runs.

use std::fmt::Write;

use linefree_domain::geometry::View;
use linefree_domain::layout::StoreLayout;

use crate::coverage::{BlindZone, Cell, Coverage, Viewer};
use crate::picture::{self, Floor, escaped};
use crate::plan::Plan;
use crate::residuals::Residual;
use crate::store::Store;

/// Errors up to these are drawn in one colour each, metres; beyond the last, in another.
const STEPS_M: [f64; 4] = [0.06, 0.10, 0.15, 0.25];

const STYLE: &str = "
:root { --ink:#1d2330; --soft:#5b6475; --paper:#fff; --line:#d5dae3; --bad:#c0392b; --warn:#b9770e; --good:#1e8449;
  --n0:#f3d3cf; --n1:#fdf0cf; --n2:#d3e8f7; --n3:#9fcbec; --n4:#5fa3d8;
  --e0:#cfe8d5; --e1:#e2f0cb; --e2:#fdf0cf; --e3:#f9d9b0; --e4:#f2b8a8; --shelf:#6b7385; --cam:#7d3c98; --new:#1e8449 }
@media (prefers-color-scheme: dark) { :root { --ink:#e8ebf1; --soft:#a3acbd; --paper:#161a22; --line:#343b49;
  --bad:#f1948a; --warn:#f5c469; --good:#82d19b; --n0:#5a2b28; --n1:#584a1f; --n2:#1f3d55; --n3:#275a82; --n4:#3b83bd;
  --e0:#1f4a2d; --e1:#3a4a1f; --e2:#584a1f; --e3:#63401d; --e4:#6b2f24; --shelf:#8d96a8; --cam:#c39bd3; --new:#82d19b } }
* { box-sizing:border-box } body { font:15px/1.5 system-ui,sans-serif; color:var(--ink); background:var(--paper);
  max-width:60rem; margin:0 auto; padding:1.5rem }
h1 { font-size:1.6rem; margin:0 0 .2rem } h2 { font-size:1.15rem; margin:2.2rem 0 .5rem } p { margin:.4rem 0 }
.soft { color:var(--soft) } .bad { color:var(--bad) } .warn { color:var(--warn) } .good { color:var(--good) }
table { border-collapse:collapse; width:100%; margin:.5rem 0 } th,td { text-align:left; padding:.3rem .6rem;
  border-bottom:1px solid var(--line); font-variant-numeric:tabular-nums } th { color:var(--soft); font-weight:600 }
.wide { overflow-x:auto } svg { width:100%; height:auto; display:block; border:1px solid var(--line); border-radius:6px }
.figures { display:flex; flex-wrap:wrap; gap:1rem; margin:1rem 0 } .figures div { border:1px solid var(--line);
  border-radius:6px; padding:.6rem 1rem; min-width:9rem } .figures b { font-size:1.5rem; display:block }
.grid { display:grid; grid-template-columns:repeat(auto-fill,minmax(17rem,1fr)); gap:1rem } figure { margin:0 }
figcaption { color:var(--soft); font-size:.9rem; margin:.3rem 0 } pre { white-space:pre-wrap; font-size:.85rem }
.key { display:flex; flex-wrap:wrap; gap:.3rem 1.2rem; margin:.5rem 0; font-size:.9rem } .key i { display:inline-block;
  width:1.1em; height:1.1em; vertical-align:-.2em; margin-right:.4em; border:1px solid var(--line) }
svg text { fill:var(--ink); font:12px system-ui,sans-serif } svg .floor { fill:none; stroke:var(--ink); stroke-width:1.5 }
svg .gate { stroke:var(--good); stroke-width:5; fill:none } svg .shelving { fill:var(--shelf) }
svg .front { stroke:var(--ink); stroke-width:2.5; fill:none } svg text.on-shelving { fill:var(--paper) }
svg .camera { fill:var(--cam); stroke:var(--paper) } svg .camera.new { fill:var(--new) }
svg .cone { fill:var(--cam); opacity:.22 } svg .cone.new { fill:var(--new); opacity:.3 }
svg .blind,svg .one-eyed { fill:none; stroke-width:7; stroke-linecap:round } svg .blind { stroke:var(--bad) }
svg .one-eyed { stroke:var(--warn) } svg .bar { stroke:var(--ink); stroke-width:2 }
svg .square { stroke:var(--paper); stroke-width:1 } svg .image { fill:none; stroke:var(--line) }
svg path.residual { stroke:var(--cam); fill:none } svg circle.residual { fill:var(--cam) }
svg path.left-out { stroke:var(--bad) } svg circle.left-out { fill:var(--bad) }
svg rect.n0 { fill:var(--n0) } svg rect.n1 { fill:var(--n1) } svg rect.n2 { fill:var(--n2) }
svg rect.n3 { fill:var(--n3) } svg rect.n4 { fill:var(--n4) }
svg rect.e0 { fill:var(--e0) } svg rect.e1 { fill:var(--e1) } svg rect.e2 { fill:var(--e2) }
svg rect.e3 { fill:var(--e3) } svg rect.e4 { fill:var(--e4) } svg rect.none { fill:var(--n0) }
@media print { body { max-width:none } h2 { break-after:avoid } svg { break-inside:avoid } }
";

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>{}</title>\n<style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n",
        escaped(title)
    )
}

/// Everything that a report tells.
#[derive(Debug)]
pub struct Report<'a> {
    /// The store.
    pub store: &'a Store,
    /// Its cameras.
    pub viewers: &'a [Viewer],
    /// What they see.
    pub coverage: &'a Coverage,
    /// Where they see too little before shelves.
    pub zones: &'a [BlindZone],
    /// What the fits left over, as far as it is known.
    pub residuals: &'a [Residual],
    /// Where one more camera would help most.
    pub one_more: Option<&'a Plan>,
}

/// The report of a store's calibration.
#[must_use]
pub fn of_report(report: &Report<'_>) -> String {
    let layout = &report.store.layout;
    let mut body = format!(
        "<h1>Calibration of {}</h1><p class=\"soft\">{} cameras, {:.0} m² of floor, {} gondolas, {} plates</p>\n",
        escaped(&layout.name),
        report.viewers.len(),
        layout.floor.area_m2(),
        layout.gondolas.len(),
        layout.plates.len()
    );
    if report.store.refused.is_empty() {
        body.push_str("<p class=\"good\">Every calibration is within the store's limits.</p>\n");
    } else {
        let told = escaped(&report.store.refused.join("\n"));
        let _ = writeln!(
            body,
            "<p class=\"bad\">The agent refuses this store:</p><pre class=\"bad\">{told}</pre>"
        );
    }
    figures(&mut body, report.coverage);
    cameras(&mut body, report.viewers);
    body.push_str("<h2>Who sees the floor</h2>");
    body.push_str(&key(&[
        ("n0", "no camera"),
        ("n1", "one"),
        ("n2", "two"),
        ("n3", "three"),
        ("n4", "four or more"),
    ]));
    let mut floor = Floor::new(layout, report.viewers);
    floor.cells(report.coverage, |c| counted(c, report.viewers));
    floor.store();
    floor.zones(report.zones);
    floor.cameras(report.viewers, "");
    body.push_str(&floor.svg("The floor by number of cameras"));
    zones(&mut body, report.zones);
    errors(&mut body, report);
    one_more(&mut body, report);
    residuals(&mut body, report);
    page(&format!("Calibration of {}", layout.name), &body)
}

fn figures(body: &mut String, coverage: &Coverage) {
    let percent = |cameras, fronts| format!("{:.0} %", 100.0 * coverage.share_seen(cameras, fronts));
    let error = coverage.median_error_m().map_or("—".to_owned(), |e| format!("{:.0} cm", e * 100.0));
    let rows = [
        (percent(1, false), "of the floor is seen"),
        (percent(2, false), "by two cameras or more"),
        (percent(2, true), "of the places before shelves, by two"),
        (error, "expected error, median"),
    ];
    body.push_str("<div class=\"figures\">");
    for (figure, words) in rows {
        let _ = write!(body, "<div><b>{figure}</b>{words}</div>");
    }
    body.push_str("</div>\n");
}

fn cameras(body: &mut String, viewers: &[Viewer]) {
    body.push_str(
        "<h2>Cameras</h2><div class=\"wide\"><table><tr><th>camera<th>image<th>height<th>lens, px<th>pose, px\
         <th>points held out<th>place<th>rotation</tr>",
    );
    let told = |v: Option<f64>, scale: f64, digits: usize, unit: &str| {
        v.map_or("—".to_owned(), |v| format!("{:.digits$}{unit}", v * scale))
    };
    for v in viewers {
        let q = &v.quality;
        let _ = write!(
            body,
            "<tr><td>{}<td>{} × {}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}</tr>",
            escaped(&v.id),
            v.size_px[0],
            v.size_px[1],
            told(v.position().map(|p| p.z), 1.0, 2, " m"),
            told(q.lens_rms_px, 1.0, 2, ""),
            told(q.pose_rms_px, 1.0, 2, ""),
            told(q.floor_error_m, 100.0, 1, " cm"),
            told(q.position_sd_m, 1000.0, 1, " mm"),
            told(q.rotation_sd_deg, 1.0, 3, "°"),
        );
    }
    body.push_str("</table></div>\n");
    let flat: Vec<&str> =
        viewers.iter().filter(|v| matches!(v.view, View::Homography(_))).map(|v| v.id.as_str()).collect();
    if !flat.is_empty() {
        let _ = writeln!(
            body,
            "<p class=\"soft\">{}: a homography does not tell where the camera hangs, so that shelving is not known \
             to hide anything from it. Calibrate lens and pose to know.</p>",
            escaped(&flat.join(", "))
        );
    }
}

fn key(entries: &[(&str, &str)]) -> String {
    let mut out = String::from("<div class=\"key\">");
    for (class, words) in entries {
        let _ = write!(out, "<span><i style=\"background:var(--{class})\"></i>{words}</span>");
    }
    out.push_str("</div>\n");
    out
}

fn counted(cell: &Cell, viewers: &[Viewer]) -> (String, String) {
    let ids: Vec<&str> = cell.seen_by.iter().filter_map(|i| viewers.get(*i)).map(|v| v.id.as_str()).collect();
    let seen = if ids.is_empty() { "no camera".to_owned() } else { ids.join(", ") };
    let told = format!("({:.2}, {:.2}) m: {seen}", cell.at.x, cell.at.y);
    (format!("n{}", cell.seen_by.len().min(4)), told)
}

fn zones(body: &mut String, zones: &[BlindZone]) {
    body.push_str("<h2>Blind zones in front of shelves</h2>");
    if zones.is_empty() {
        body.push_str("<p class=\"good\">Two cameras or more see every place before a shelf.</p>\n");
        return;
    }
    body.push_str(
        "<p class=\"soft\">Where shoppers stand before a shelf (0.4 m away) and no camera (red) or one only (amber) \
         sees their feet. With one, a shopper who is hidden by another is lost.</p><div class=\"wide\"><table><tr>\
         <th>gondola<th>from<th>to<th>length<th>seen by</tr>",
    );
    for z in zones {
        let (class, words) = if z.cameras == 0 { ("bad", "no camera") } else { ("warn", "one camera") };
        let _ = write!(
            body,
            "<tr><td>{}<td>({:.2}, {:.2})<td>({:.2}, {:.2})<td>{:.2} m<td class=\"{class}\">{words}</tr>",
            escaped(&z.gondola),
            z.from.x,
            z.from.y,
            z.to.x,
            z.to.y,
            (z.to - z.from).norm() + 0.25
        );
    }
    body.push_str("</table></div>\n");
}

fn step(error_m: Option<f64>) -> String {
    error_m.map_or("none".to_owned(), |e| format!("e{}", STEPS_M.iter().filter(|s| e > **s).count()))
}

fn errors(body: &mut String, report: &Report<'_>) {
    body.push_str(
        "<h2>Expected error of a shopper's place</h2><p class=\"soft\">Centimetres, root mean square, by square metre, \
         from everybody who sees it; — where a part of it is not seen.</p>",
    );
    body.push_str(&key(&[
        ("e0", "up to 6 cm"),
        ("e1", "10"),
        ("e2", "15"),
        ("e3", "25"),
        ("e4", "more"),
        ("n0", "not seen"),
    ]));
    let mut floor = Floor::new(&report.store.layout, report.viewers);
    for (corner, error_m) in report.coverage.by_square_metre() {
        let text = error_m.map_or("—".to_owned(), |e| format!("{:.0}", e * 100.0));
        floor.square(corner, &step(error_m), &text);
    }
    floor.store();
    floor.cameras(report.viewers, "");
    body.push_str(&floor.svg("Expected error by square metre"));
}

fn one_more(body: &mut String, report: &Report<'_>) {
    body.push_str("<h2>Where one more camera would help most</h2>");
    let best = report.one_more.and_then(|plan| plan.cameras.first().map(|c| (plan, c)));
    let Some((plan, best)) = best else {
        body.push_str("<p>Nowhere: no further camera under the ceiling would add anything.</p>\n");
        return;
    };
    let percent = |c: &Coverage, n, fronts| 100.0 * c.share_seen(n, fronts);
    let (b, a) = (&plan.before, &plan.after);
    let _ = write!(
        body,
        "<p>At ({:.2}, {:.2}), {:.2} m high, turned to {:.0}° (counter-clockwise from x), {:.0}° below the horizontal. \
         Seen by one camera or more: {:.0} % → {:.0} %; by two: {:.0} % → {:.0} %; before shelves by two: {:.0} % → \
         {:.0} %.</p>",
        best.at.x,
        best.at.y,
        best.at.z,
        best.yaw_deg,
        best.down_deg,
        percent(b, 1, false),
        percent(a, 1, false),
        percent(b, 2, false),
        percent(a, 2, false),
        percent(b, 2, true),
        percent(a, 2, true)
    );
    let mut all = report.viewers.to_vec();
    all.push(best.viewer.clone());
    let mut floor = Floor::new(&report.store.layout, &all);
    floor.cells(a, |c| counted(c, &all));
    floor.store();
    floor.cameras(report.viewers, "");
    floor.cameras(std::slice::from_ref(&best.viewer), "new");
    body.push_str(&floor.svg("The floor with one more camera"));
}

fn residuals(body: &mut String, report: &Report<'_>) {
    body.push_str("<h2>Residuals</h2>");
    if report.residuals.is_empty() {
        body.push_str(
            "<p class=\"soft\">None were given. <code>calibrate pose --out FILE.toml</code> writes them beside its \
             table; name them with <code>--residuals</code>.</p>\n",
        );
        return;
    }
    let _ = write!(
        body,
        "<p class=\"soft\">Each point in the image, and how far from it the calibration has it, {} times as long. \
         Arrows that agree with their neighbours show a wrong lens or pose; red ones were left out.</p><div \
         class=\"grid\">",
        picture::MAGNIFIED
    );
    for v in report.viewers {
        let of: Vec<&Residual> = report.residuals.iter().filter(|r| r.camera == v.id).collect();
        if of.is_empty() {
            continue;
        }
        let used: Vec<f64> = of.iter().filter(|r| r.used).map(|r| r.off_px.norm_squared()).collect();
        let rms = (used.iter().sum::<f64>() / used.len().max(1) as f64).sqrt();
        let _ = write!(
            body,
            "<figure>{}<figcaption>{}: {} points, rms {rms:.2} px, {} left out</figcaption></figure>",
            picture::of_residuals(v.size_px, &of),
            escaped(&v.id),
            used.len(),
            of.len() - used.len()
        );
    }
    body.push_str("</div>\n");
}

/// A plan of cameras.
#[must_use]
pub fn of_plan(layout: &StoreLayout, existing: &[Viewer], plan: &Plan) -> String {
    let title = format!("Plan of cameras for {}", layout.name);
    let mut body = format!(
        "<h1>{}</h1><p class=\"soft\">{} proposed, {} there already</p>\n",
        escaped(&title),
        plan.cameras.len(),
        existing.len()
    );
    figures(&mut body, &plan.after);
    let proposed: Vec<Viewer> = plan.cameras.iter().map(|c| c.viewer.clone()).collect();
    let all: Vec<Viewer> = existing.iter().chain(&proposed).cloned().collect();
    body.push_str(&key(&[
        ("n0", "no camera"),
        ("n1", "one"),
        ("n2", "two"),
        ("n3", "three"),
        ("n4", "four or more"),
    ]));
    let mut floor = Floor::new(layout, &all);
    floor.cells(&plan.after, |c| counted(c, &all));
    floor.store();
    floor.cameras(existing, "");
    floor.cameras(&proposed, "new");
    body.push_str(&floor.svg(&title));
    body.push_str(
        "<h2>Where to hang them</h2><div class=\"wide\"><table><tr><th>camera<th>x<th>y<th>height<th>turned to\
         <th>below the horizontal</tr>",
    );
    for c in &plan.cameras {
        let _ = write!(
            body,
            "<tr><td>{}<td>{:.2} m<td>{:.2} m<td>{:.2} m<td>{:.0}°<td>{:.0}°</tr>",
            escaped(&c.viewer.id),
            c.at.x,
            c.at.y,
            c.at.z,
            c.yaw_deg,
            c.down_deg
        );
    }
    body.push_str(
        "</table></div><p class=\"soft\">Turned to: counter-clockwise from the x axis, seen from above.</p>\n",
    );
    page(&title, &body)
}
