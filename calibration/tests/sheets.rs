//! What is printed is found again.
#![allow(clippy::print_stderr, clippy::unwrap_used)]

use std::process::Command;

use linefree_calibration::lens::{Board, find_board};
use linefree_calibration::markers::inner;
use linefree_calibration::markers::{find_charuco, find_markers};
use linefree_calibration::sheets::{Paper, board_page, marker_pages, pdf, picture};
use rand_chacha::rand_core::SeedableRng;
use rand_distr::Distribution;

const A4: Paper = Paper([210.0, 297.0]);
const BOARD: Board = Board { columns: 7, rows: 5 };

#[test]
fn every_marker_is_found_where_it_was_printed() {
    for page in marker_pages(&[0, 7, 49], 120.0, A4).unwrap() {
        let (seen, twice) = find_markers(&picture(&page, 4.0)).unwrap();
        assert!(twice.is_empty() && seen.len() == 1, "{}: {seen:?}", page.text);
        assert!(page.text.contains(&format!("marker {} ", seen[0].id)));
        let [a, b, c, _] = seen[0].corners_px;
        // Clockwise from the upper left, 120 mm at 4 px.
        assert!((b[0] - a[0] - 480.0).abs() < 3.0 && (c[1] - b[1] - 480.0).abs() < 3.0, "{seen:?}");
    }
}

#[test]
fn boards_are_found_and_a_charuco_board_also_in_part() {
    let page = board_page(Board { columns: 9, rows: 6 }, false, 25.0, A4).unwrap();
    let board = Board { columns: 9, rows: 6 };
    assert!(find_board("print", &picture(&page, 3.0), board).unwrap().is_some());

    let page = board_page(BOARD, true, 30.0, A4).unwrap();
    let whole = picture(&page, 4.0);
    let view = find_charuco("print", &whole, BOARD).unwrap().unwrap();
    assert_eq!(view.corner_ids, (0..35).collect::<Vec<u32>>());
    let at = |id: usize| view.corners_px[id];
    let along = [at(1)[0] - at(0)[0], at(1)[1] - at(0)[1]];
    assert!((along[0] - 120.0).abs() < 1.0 && along[1].abs() < 1.0, "{along:?}");

    let part = image::imageops::crop_imm(&whole, 0, 0, whole.width() * 3 / 5, whole.height()).to_image();
    let view = find_charuco("part", &part, BOARD).unwrap().unwrap();
    assert!((10..30).contains(&view.corner_ids.len()), "{:?}", view.corner_ids);
}

#[test]
fn what_does_not_fit_is_refused() {
    assert!(marker_pages(&[50], 100.0, A4).unwrap_err().to_string().contains("from 0 to 49"));
    for side in [0.0, -1.0, f64::NAN, 300.0] {
        assert!(marker_pages(&[1], side, A4).is_err(), "{side}");
    }
    assert!(board_page(BOARD, true, 60.0, A4).unwrap_err().to_string().contains("larger"));
}

/// Another program's reading of the PDF.
#[test]
fn the_pdf_holds_the_page_at_its_true_size() {
    if Command::new("pdftoppm").arg("-v").output().is_err() {
        eprintln!("skipped: there is no pdftoppm (Debian package poppler-utils)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sheets.pdf");
    std::fs::write(&file, pdf(&marker_pages(&[3, 4], 135.0, A4).unwrap())).unwrap();
    let done = Command::new("pdftoppm")
        .args(["-r", "101.6", "-gray", "-png"])
        .arg(&file)
        .arg(folder.path().join("page"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for (number, name) in [(3, "page-1.png"), (4, "page-2.png")] {
        let image = image::open(folder.path().join(name)).unwrap().into_luma8();
        let (seen, _) = find_markers(&image).unwrap();
        assert_eq!(seen.iter().map(|m| m.id).collect::<Vec<_>>(), [number]);
        // 4 px a mm.
        let [a, b, ..] = seen[0].corners_px;
        assert!((b[0] - a[0] - 540.0).abs() < 3.0, "{seen:?}");
    }
}

/// A marker as a camera sees it aslant: each pixel the mean of 5 x 5 rays, with noise; and the place of a node.
fn aslant(id: u32, cell_px: f64, seed: u64) -> (image::GrayImage, impl Fn([usize; 2]) -> [f64; 2]) {
    let cells = linefree_calibration::markers::cells(id).unwrap();
    let place = move |u: f64, v: f64| {
        let w = 1.0 + 0.02 * u + 0.035 * v;
        let (x, y) = (1.25 * cell_px * u + 0.35 * cell_px * v, -0.2 * cell_px * u + 1.3 * cell_px * v);
        [60.3 + x / w, 70.7 + y / w]
    };
    // The inverse of that, row by row of pixels, by Newton's method.
    let back = move |x: f64, y: f64| {
        let (mut u, mut v) = (3.0, 3.0);
        for _ in 0..12 {
            let [px, py] = place(u, v);
            let h = 1e-4;
            let ([ax, ay], [bx, by]) = (place(u + h, v), place(u, v + h));
            let (a, b, c, d) = ((ax - px) / h, (bx - px) / h, (ay - py) / h, (by - py) / h);
            let (ex, ey, det) = (x - px, y - py, a * d - b * c);
            u += (d * ex - b * ey) / det;
            v += (a * ey - c * ex) / det;
        }
        (u, v)
    };
    let light = move |x: f64, y: f64| {
        let (u, v) = back(x, y);
        let inside = (0.0..6.0).contains(&u) && (0.0..6.0).contains(&v);
        if inside && !cells[v as usize][u as usize] { 40.0 } else { 200.0 }
    };
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let noise = rand_distr::Normal::new(0.0, 4.0).unwrap();
    let mut image = image::GrayImage::new(220, 220);
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let mut sum: f64 = 0.0;
        for i in 0..25 {
            // A little wider than the pixel: no lens is sharper.
            let at = |v: u32, k: i32| f64::from(v) + 1.6 * (f64::from(k) / 4.0 - 0.5);
            sum += light(at(x, i % 5), at(y, i / 5));
        }
        pixel.0[0] = f64::round(sum / 25.0 + noise.sample(&mut rng)).clamp(0.0, 255.0) as u8;
    }
    (image, move |[c, r]: [usize; 2]| place(c as f64, r as f64))
}

#[test]
fn corners_within_a_marker_are_found_to_less_than_half_a_pixel() {
    let (mut squares, mut count) = (0.0, 0.0);
    for (id, cell_px) in [(0, 8.0), (7, 10.0), (23, 9.0), (41, 12.0), (49, 14.0)] {
        let (image, truth) = aslant(id, cell_px, u64::from(id));
        let (seen, _) = find_markers(&image).unwrap();
        assert_eq!(seen.iter().map(|m| m.id).collect::<Vec<_>>(), [id]);
        let nodes = inner::nodes(id).unwrap();
        let found = inner::find(&image, &seen[0]).unwrap();
        assert!(found.len() * 10 >= nodes.len() * 8, "{id}: {} of {}", found.len(), nodes.len());
        for (node, [x, y]) in found {
            let [tx, ty] = truth(node);
            squares += (x - tx).powi(2) + (y - ty).powi(2);
            count += 2.0;
        }
    }
    let rms_px = f64::sqrt(squares / count);
    eprintln!("{count} coordinates: rms {rms_px:.3} px");
    assert!(rms_px < 0.5 && count > 80.0, "{rms_px} px over {count}");
    // Cells too small for a window of their own give nothing.
    let (image, _) = aslant(7, 4.0, 1);
    for marker in find_markers(&image).unwrap().0 {
        assert!(inner::find(&image, &marker).unwrap().is_empty());
    }
}
