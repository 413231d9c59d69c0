//! Lenses fitted to drawn boards and to the public chessboard images.
#![allow(clippy::print_stderr, clippy::unwrap_used)]

use std::path::Path;

use image::GrayImage;
use linefree_calibration::lens::{Board, BoardView, LensError, find_board, fit};
use linefree_calibration::stereo;
use linefree_domain::geometry::{Lens, Pose, View};
use nalgebra::{Point3, Vector3};

const BOARD: Board = Board { columns: 9, rows: 6 };

const TRUTH: Lens = Lens {
    fx_px: 520.0,
    fy_px: 524.0,
    cx_px: 330.0,
    cy_px: 228.0,
    distortion: [-0.25, 0.08, 0.001, -0.0005, 0.0],
};

/// Where a lens sees the corners of a board that stands before it, turned like this.
fn look(name: &str, rotation: [f64; 3], shift: [f64; 3]) -> BoardView {
    let pose = Pose { rotation: Vector3::from(rotation), translation: Vector3::from(shift) };
    let view = View::Lens { lens: TRUTH, pose };
    let corner = |i: u16| {
        let at = Point3::new(f64::from(i % 9) - 4.0, f64::from(i / 9) - 2.5, 0.0);
        let px = view.pixel_of(at).unwrap();
        [px.x as f32, px.y as f32]
    };
    BoardView {
        name: name.into(),
        size_px: [640, 480],
        corners_px: (0..54).map(corner).collect(),
        corner_ids: (0..54).collect(),
    }
}

fn looks() -> Vec<BoardView> {
    let turns = [
        [0.5, 0.0, 0.0],
        [-0.5, 0.1, 0.0],
        [0.0, 0.6, 0.1],
        [0.1, -0.6, 0.0],
        [0.4, 0.4, 0.2],
        [-0.4, 0.3, 0.0],
    ];
    let shifts = [
        [0.0, 0.0, 14.0],
        [2.0, 1.0, 13.0],
        [-2.0, 1.0, 15.0],
        [1.0, -1.5, 13.0],
        [-1.5, -1.0, 12.5],
        [0.0, 1.5, 16.0],
    ];
    turns.into_iter().zip(shifts).enumerate().map(|(i, (r, t))| look(&format!("view{i}"), r, t)).collect()
}

#[test]
fn drawn_corners_give_the_lens_back() {
    let found = fit(looks(), BOARD, Vec::new()).unwrap();
    assert!(found.rms_px < 0.01, "{}", found.rms_px);
    for (seen, wanted) in [
        (found.lens.fx_px, TRUTH.fx_px),
        (found.lens.fy_px, TRUTH.fy_px),
        (found.lens.cx_px, TRUTH.cx_px),
        (found.lens.cy_px, TRUTH.cy_px),
    ] {
        assert!((seen - wanted).abs() < 0.5, "{seen} for {wanted}");
    }
    assert!((found.lens.distortion[0] - TRUTH.distortion[0]).abs() < 0.01);
    assert!(found.dropped.is_empty() && found.warnings.len() == 1, "{found:?}");
}

#[test]
fn views_that_cannot_help_are_dropped_by_name() {
    let mut views = looks();
    // Blurred: corners anywhere within some pixels.
    for (i, corner) in views[2].corners_px.iter_mut().enumerate() {
        corner[0] += if i % 2 == 0 { 4.0 } else { -4.0 };
        corner[1] += if i % 3 == 0 { 3.0 } else { -2.0 };
    }
    views.push(BoardView { name: "again".into(), ..views[0].clone() });
    views.push(BoardView { name: "other".into(), size_px: [1280, 960], ..views[1].clone() });
    let found = fit(views, BOARD, Vec::new()).unwrap();
    let dropped: Vec<(&str, bool)> = found
        .dropped
        .iter()
        .zip(["same view as view0", "1280x960", "off by"])
        .map(|(d, part)| (d.image.as_str(), d.reason.contains(part)))
        .collect();
    assert_eq!(dropped, [("again", true), ("other", true), ("view2", true)], "{:?}", found.dropped);
    assert!((found.lens.fx_px - TRUTH.fx_px).abs() < 0.5);
}

#[test]
fn too_few_or_untilted_views_give_no_lens() {
    let error = fit(looks()[..2].to_vec(), BOARD, Vec::new()).unwrap_err();
    assert!(matches!(error, LensError::TooFewViews { usable: 2, .. }), "{error}");
    assert!(fit(Vec::new(), BOARD, Vec::new()).is_err());
    // Always square to the lens: focal length and distance cannot be told apart.
    let flat: Vec<BoardView> = (0..5)
        .map(|i| look(&format!("flat{i}"), [0.0; 3], [f64::from(i) - 2.0, 0.0, 13.0]))
        .map(|mut v| {
            // Real corners are never exact.
            for (i, c) in v.corners_px.iter_mut().enumerate() {
                c[0] += 0.3 * ((i * 37 % 11) as f32 / 5.0 - 1.0);
                c[1] += 0.3 * ((i * 53 % 13) as f32 / 6.0 - 1.0);
            }
            v
        })
        .collect();
    let error = fit(flat, BOARD, Vec::new()).unwrap_err();
    assert!(matches!(error, LensError::Parallel { views: 5, .. }), "{error}");
}

#[test]
fn an_image_without_a_board_has_none() {
    assert_eq!(find_board("grey", &GrayImage::new(200, 100), BOARD).unwrap(), None);
    assert_eq!(find_board("nothing", &GrayImage::new(0, 0), BOARD).unwrap(), None);
}

#[test]
fn boards_are_read_as_columns_x_rows() {
    assert_eq!("9x6".parse(), Ok(BOARD));
    for bad in ["", "9", "9x", "x6", "2x6", "9x101", "-9x6", "9x6x2"] {
        assert!(bad.parse::<Board>().is_err(), "{bad}");
    }
}

/// opencv-doc's images; its published calibration is f = 535.9, c = (342.3, 235.6), RMS 0.393 over 13 views.
#[test]
fn the_public_images_give_the_published_lens() {
    let folder = Path::new("/usr/share/doc/opencv-doc/examples/data");
    if !folder.join("left01.jpg").exists() {
        eprintln!("skipped: {} holds no left01.jpg (Debian package opencv-doc)", folder.display());
        return;
    }
    let mut views = Vec::new();
    for i in (1..=14).filter(|i| *i != 10) {
        let name = format!("left{i:02}.jpg");
        let image = image::open(folder.join(&name)).unwrap().into_luma8();
        views.push(find_board(&name, &image, BOARD).unwrap().unwrap_or_else(|| panic!("{name}: no board")));
    }
    let found = fit(views, BOARD, Vec::new()).unwrap();
    eprintln!("{found:?}");
    assert_eq!((found.views.len(), found.size_px), (13, [640, 480]));
    assert!((0.1..=0.40).contains(&found.rms_px), "{}", found.rms_px);
    assert!(
        (found.lens.fx_px - 535.9).abs() < 0.005 * 535.9 && (found.lens.fy_px - 535.9).abs() < 0.005 * 535.9,
        "{:?}",
        found.lens
    );
    assert!(
        (found.lens.cx_px - 342.3).abs() < 3.0 && (found.lens.cy_px - 235.6).abs() < 3.0,
        "{:?}",
        found.lens
    );
}

fn public_images(side: &str) -> Option<Vec<BoardView>> {
    let folder = Path::new("/usr/share/doc/opencv-doc/examples/data");
    if !folder.join("left01.jpg").exists() {
        eprintln!("skipped: {} holds no left01.jpg (Debian package opencv-doc)", folder.display());
        return None;
    }
    let names = (1..=14).filter(|i| *i != 10).map(|i| format!("{side}{i:02}.jpg"));
    let view = |name: String| {
        let image = image::open(folder.join(&name)).unwrap().into_luma8();
        find_board(&name, &image, BOARD).unwrap().unwrap()
    };
    Some(names.map(view).collect())
}

#[test]
fn a_mirrored_copy_is_dropped_by_name() {
    let mut views = looks();
    let mirror =
        |v: &BoardView| -> Vec<[f32; 2]> { v.corners_px.iter().map(|[x, y]| [639.0 - x, *y]).collect() };
    // As a finder may number its corners: the same way, or from the other end of each row.
    let flipped = mirror(&views[0]);
    let renumbered = (0..54_usize).map(|i| flipped[9 * (i / 9) + 8 - i % 9]).collect();
    views.push(BoardView { name: "flipped".into(), corners_px: mirror(&views[1]), ..views[1].clone() });
    views.push(BoardView { name: "renumbered".into(), corners_px: renumbered, ..views[0].clone() });
    let found = fit(views, BOARD, Vec::new()).unwrap();
    let told: Vec<(&str, bool)> =
        found.dropped.iter().map(|d| (d.image.as_str(), d.reason.contains("mirror"))).collect();
    assert_eq!(told, [("flipped", true), ("renumbered", true)], "{:?}", found.dropped);
    assert!((found.lens.fx_px - TRUTH.fx_px).abs() < 0.5);
}

#[test]
fn missing_poses_are_named() {
    let found = fit(looks(), BOARD, Vec::new()).unwrap();
    assert!(found.missing.iter().any(|m| m.contains("4 more views")), "{:?}", found.missing);
    let corner: Vec<BoardView> =
        looks().into_iter().map(|v| BoardView { size_px: [1600, 480], ..v }).collect();
    let words = linefree_calibration::guidance::missing_poses(&corner, BOARD, [1600, 480], None);
    assert!(words.iter().any(|w| w.contains("right of the image")), "{words:?}");
}

#[test]
fn a_view_with_corners_that_are_no_numbers_is_dropped() {
    let mut views = looks();
    views[4].corners_px[7][0] = f32::NAN;
    let found = fit(views, BOARD, Vec::new()).unwrap();
    assert_eq!(found.dropped.iter().map(|d| d.image.as_str()).collect::<Vec<_>>(), ["view4"]);
}

#[test]
fn the_public_pair_of_cameras_is_consistent() {
    let (Some(left), Some(right)) = (public_images("left"), public_images("right")) else { return };
    let lenses = [&left, &right].map(|v| fit(v.clone(), BOARD, Vec::new()).unwrap());
    let pairs: Vec<_> = left.into_iter().zip(right).collect();
    let found = stereo::fit(&pairs, [&lenses[0], &lenses[1]], BOARD).unwrap();
    eprintln!("{} squares apart, {} px off", found.baseline_squares(), found.epipolar_px());
    assert_eq!(found.pairs.len(), 13);
    assert!(found.epipolar_px() < 0.5 && found.rms_px < 1.0, "{found:?}");
    // Side by side, not turned: published with the images as a rectified pair.
    assert!(found.translation_squares.x < 0.0 && stereo::turned_deg(&found.rotation) < 5.0);
    assert!(found.translation_squares.x.abs() > 0.95 * found.baseline_squares());

    // Taken at other moments.
    let (mut l, mut r): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    r.rotate_left(1);
    l.truncate(13);
    let shifted: Vec<_> = l.into_iter().zip(r).collect();
    let wrong = stereo::fit(&shifted, [&lenses[0], &lenses[1]], BOARD).unwrap();
    assert!(wrong.inconsistent().len() > 6, "{:?}", wrong.pairs);
}

/// OpenCV's own Python, where it is installed, on the same images in the same run.
#[test]
fn opencv_in_python_finds_the_same_lens() {
    let script = r#"
import sys, cv2, numpy as np
board = np.zeros((54, 3), np.float32); board[:, :2] = np.mgrid[0:9, 0:6].T.reshape(-1, 2)
points, corners = [], []
for name in sys.argv[1:]:
    grey = cv2.imread(name, 0)
    found, at = cv2.findChessboardCorners(grey, (9, 6))
    at = cv2.cornerSubPix(grey, at, (11, 11), (-1, -1), (3, 30, 0.01))
    points.append(board); corners.append(at)
rms, k, *_ = cv2.calibrateCamera(points, corners, grey.shape[::-1], None, None)
print(rms, k[0, 0], k[1, 1], k[0, 2], k[1, 2])
"#;
    let Some(views) = public_images("left") else { return };
    let python = std::env::var("LINEFREE_PYTHON").unwrap_or_else(|_| "python3".into());
    let names = views.iter().map(|v| format!("/usr/share/doc/opencv-doc/examples/data/{}", v.name));
    let done = std::process::Command::new(python).args(["-c", script]).args(names).output();
    let Some(done) = done.ok().filter(|d| d.status.success()) else {
        eprintln!(
            "skipped: no Python with cv2 (pip install opencv-python-headless; LINEFREE_PYTHON names another)"
        );
        return;
    };
    let numbers: Vec<f64> =
        String::from_utf8(done.stdout).unwrap().split_whitespace().map(|n| n.parse().unwrap()).collect();
    let found = fit(views, BOARD, Vec::new()).unwrap();
    eprintln!("here {} {:?}; OpenCV's Python {numbers:?}", found.rms_px, found.lens);
    assert!(found.rms_px <= numbers[0] + 1e-6, "worse than Python: {} {numbers:?}", found.rms_px);
    assert!((found.lens.fx_px - numbers[1]).abs() < 0.01 * numbers[1], "{numbers:?}");
    assert!((found.lens.cx_px - numbers[3]).hypot(found.lens.cy_px - numbers[4]) < 5.0, "{numbers:?}");
}

/// The public images as a camera would show them, one after the other.
#[test]
fn a_video_is_watched_with_words_on_which_views_are_missing() {
    use opencv::prelude::{MatTraitConst, VideoWriterTrait, VideoWriterTraitConst};
    let data = "/usr/share/doc/opencv-doc/examples/data";
    if !Path::new(data).join("left01.jpg").exists() {
        eprintln!("skipped: {data} holds no left01.jpg (Debian package opencv-doc)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("boards.avi");
    let size = opencv::core::Size::new(640, 480);
    let fourcc = opencv::videoio::VideoWriter::fourcc('M', 'J', 'P', 'G').unwrap();
    let mut writer =
        opencv::videoio::VideoWriter::new(video.to_str().unwrap(), fourcc, 10.0, size, true).unwrap();
    assert!(writer.is_opened().unwrap());
    for i in (1..=14).filter(|i| *i != 10) {
        let name = format!("{data}/left{i:02}.jpg");
        // Grey: red and blue are alike, whichever comes first.
        let image = image::open(&name).unwrap().into_rgb8();
        let flat = opencv::core::Mat::from_slice(image.as_raw()).unwrap();
        let frame = flat.reshape(3, 480).unwrap();
        for _ in 0..6 {
            writer.write(&frame).unwrap();
        }
    }
    writer.release().unwrap();
    let calibrate = |board: &str, video: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_calibrate"))
            .args(["lens", "--board", board, "--video", video, "--json"])
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    let done = calibrate("9x6", "boards.avi");
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{told}");
    let json: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    // Each view once, however long it was held; and no more than are needed.
    assert!((10..=13).contains(&json["views"].as_u64().unwrap()), "{told}");
    assert!((json["fx_px"].as_f64().unwrap() - 535.9).abs() < 0.01 * 535.9, "{json}");
    assert!(told.contains("view 1 taken") && told.contains("next: take 9 more views"), "{told}");
    assert!(told.contains("hold the board at the") && told.contains("tilt the board"), "{told}");
    for (board, video, part) in [
        ("9x6", "gone.avi", "gone.avi: cannot be opened"),
        ("10x7", "boards.avi", "shows a board with 9x6 inner corners, not 10x7"),
    ] {
        let done = calibrate(board, video);
        assert!(!done.status.success() && String::from_utf8_lossy(&done.stderr).contains(part), "{part}");
    }
}

#[test]
fn a_lens_holds_for_a_smaller_stream_of_the_same_shape_only() {
    use linefree_calibration::survey::LensFile;
    let file = LensFile { lens: TRUTH, size_px: [640, 480], rms_px: Some(0.4) };
    let small = file.resized([320, 240]).unwrap();
    let pose = Pose { rotation: Vector3::zeros(), translation: Vector3::new(0.1, -0.2, 3.0) };
    let at = Point3::new(0.3, 0.4, 0.0);
    let px = |lens| View::Lens { lens, pose }.pixel_of(at).unwrap();
    let (large, little) = (px(file.lens), px(small.lens));
    assert!(((large.x + 0.5) / 2.0 - 0.5 - little.x).abs() < 1e-9 && small.rms_px == Some(0.2));
    assert!(((large.y + 0.5) / 2.0 - 0.5 - little.y).abs() < 1e-9);
    assert!(file.resized([640, 360]).unwrap_err().contains("a part is cut off"));
}
