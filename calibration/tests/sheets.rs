//! What is printed is found again.
#![allow(clippy::print_stderr, clippy::unwrap_used)]

use std::process::Command;

use linefree_calibration::lens::{Board, find_board};
use linefree_calibration::markers::{find_charuco, find_markers};
use linefree_calibration::sheets::{Paper, board_page, marker_pages, pdf, picture};

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
