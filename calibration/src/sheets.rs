//! Sheets to print: floor markers, chessboards and ChArUco boards as PDF (ISO 32000-1), at their true size.
//!
//! Black squares on white with a line of text that says what it is, how large it must come out and which way it lies:
//! a printer that "fits to the page" is found with a ruler, not in the store.

use std::fmt::Write;

use crate::lens::Board;
use crate::markers::{self, CELLS, MARKER_SHARE, Square};

const POINTS_PER_MM: f64 = 72.0 / 25.4;
/// A white margin around every sheet, mm: printers do not reach the edge.
const MARGIN_MM: f64 = 10.0;
/// Room for the line of text, mm.
const TEXT_MM: f64 = 8.0;

/// Paper, as width and height in mm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paper(pub [f64; 2]);

impl std::str::FromStr for Paper {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "a4" => Ok(Self([210.0, 297.0])),
            "a3" => Ok(Self([297.0, 420.0])),
            "letter" => Ok(Self([215.9, 279.4])),
            _ => Err("write a4, a3 or letter".into()),
        }
    }
}

/// Why there is no sheet.
#[derive(Debug, thiserror::Error)]
pub enum SheetError {
    /// The print does not fit.
    #[error(
        "{wanted_mm:.0} mm do not fit on the paper, which has room for {room_mm:.0} mm; make it smaller or take larger \
         paper"
    )]
    TooLarge {
        /// How large it would be.
        wanted_mm: f64,
        /// How much room there is.
        room_mm: f64,
    },
    /// No size at all.
    #[error("a size of {0} mm is none; write a number above 0")]
    NoSize(f64),
    /// OpenCV knows no such marker.
    #[error("there is no marker {0}; they are numbered from 0 to {last}", last = markers::MARKERS - 1)]
    NoMarker(u32),
    /// OpenCV failed.
    #[error("OpenCV could not draw the marker")]
    OpenCv(#[from] opencv::Error),
}

/// A black rectangle: x, y of its lower left corner, width, height, mm.
pub type Black = [f64; 4];

/// What is printed on one page: rectangles in mm from its lower left corner, and the line at its foot.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Paper, mm.
    pub size_mm: [f64; 2],
    /// What is black.
    pub black: Vec<Black>,
    /// What it says.
    pub text: String,
}

/// Sheets with one marker each.
///
/// # Errors
/// [`SheetError`].
pub fn marker_pages(numbers: &[u32], side_mm: f64, paper: Paper) -> Result<Vec<Page>, SheetError> {
    let mut pages = Vec::new();
    for number in numbers {
        if *number >= markers::MARKERS {
            return Err(SheetError::NoMarker(*number));
        }
        // One cell of white around the black border, which the finder needs.
        let cell = side_mm / CELLS as f64;
        let [x, y] = placed(paper, [side_mm + 2.0 * cell; 2], side_mm)?;
        let mut black = Vec::new();
        add_marker(&mut black, *number, [x + cell, y + cell], side_mm)?;
        // A tick above the upper edge: that edge's direction is the sheet's yaw.
        let (middle, top) = (x + cell + side_mm / 2.0, y + 2.0 * cell + side_mm);
        black.push([middle - 0.25, top, 0.5, 5.0]);
        let text = format!(
            "linefree marker {number}   side {side_mm:.1} mm: measure it   survey its middle; the tick is its upper edge"
        );
        pages.push(Page { size_mm: paper.0, black, text });
    }
    Ok(pages)
}

/// A chessboard or a ChArUco board on one page, as large as `square_mm` says.
///
/// # Errors
/// [`SheetError`].
pub fn board_page(board: Board, charuco: bool, square_mm: f64, paper: Paper) -> Result<Page, SheetError> {
    let (columns, rows) = (f64::from(board.columns) + 1.0, f64::from(board.rows) + 1.0);
    // Turned where that is how it fits.
    let [w, h] = paper.0;
    let paper = if (columns > rows) == (w > h) { paper } else { Paper([h, w]) };
    let [x, y] = placed(paper, [columns * square_mm, rows * square_mm], square_mm)?;
    let mut black = Vec::new();
    for (row, line) in markers::charuco_squares(board).iter().enumerate() {
        for (column, square) in line.iter().enumerate() {
            let at = [x + column as f64 * square_mm, y + (rows - 1.0 - row as f64) * square_mm];
            match square {
                Square::Black => black.push([at[0], at[1], square_mm, square_mm]),
                Square::Marker(number) if charuco => {
                    if *number >= markers::MARKERS {
                        return Err(SheetError::NoMarker(*number));
                    }
                    let side = square_mm * f64::from(MARKER_SHARE);
                    let inset = (square_mm - side) / 2.0;
                    add_marker(&mut black, *number, [at[0] + inset, at[1] + inset], side)?;
                }
                Square::Marker(_) => {}
            }
        }
    }
    let kind = if charuco { "ChArUco board" } else { "chessboard" };
    let text = format!(
        "linefree {kind} {}x{} inner corners   square {square_mm:.1} mm: measure it   glue it to something flat",
        board.columns, board.rows
    );
    Ok(Page { size_mm: paper.0, black, text })
}

/// Where the lower left corner of a print of this size goes: the middle of the page above its text.
fn placed(paper: Paper, wanted_mm: [f64; 2], given_mm: f64) -> Result<[f64; 2], SheetError> {
    if !(given_mm.is_finite() && given_mm > 0.0) {
        return Err(SheetError::NoSize(given_mm));
    }
    let room = [paper.0[0] - 2.0 * MARGIN_MM, paper.0[1] - 2.0 * MARGIN_MM - TEXT_MM];
    for (wanted_mm, room_mm) in wanted_mm.into_iter().zip(room) {
        if wanted_mm > room_mm {
            return Err(SheetError::TooLarge { wanted_mm, room_mm });
        }
    }
    Ok([(paper.0[0] - wanted_mm[0]) / 2.0, MARGIN_MM + TEXT_MM + (room[1] - wanted_mm[1]) / 2.0])
}

fn add_marker(black: &mut Vec<Black>, number: u32, at: [f64; 2], side_mm: f64) -> opencv::Result<()> {
    let cell = side_mm / CELLS as f64;
    for (row, line) in markers::cells(number)?.iter().enumerate() {
        for (column, white) in line.iter().enumerate() {
            if !white {
                let up = (CELLS - 1 - row) as f64;
                black.push([at[0] + column as f64 * cell, at[1] + up * cell, cell, cell]);
            }
        }
    }
    Ok(())
}

/// The pages as a PDF.
#[must_use]
pub fn pdf(pages: &[Page]) -> Vec<u8> {
    let mut objects: Vec<String> = Vec::new();
    let kids: Vec<String> = (0..pages.len()).map(|i| format!("{} 0 R", 4 + 2 * i)).collect();
    objects.push("<< /Type /Catalog /Pages 2 0 R >>".into());
    objects.push(format!("<< /Type /Pages /Kids [{}] /Count {} >>", kids.join(" "), pages.len()));
    objects.push("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".into());
    for (index, page) in pages.iter().enumerate() {
        let [w, h] = page.size_mm.map(|mm| mm * POINTS_PER_MM);
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {w:.3} {h:.3}] /Contents {} 0 R /Resources << /Font << /F1 3 \
             0 R >> >> >>",
            5 + 2 * index
        ));
        let mut content = String::from("0 g\n");
        // Writing to a String cannot fail. One path, filled once: no hairlines between neighbouring cells.
        for [x, y, w, h] in page.black.iter().map(|b| b.map(|mm| mm * POINTS_PER_MM)) {
            let _ = writeln!(content, "{x:.4} {y:.4} {w:.4} {h:.4} re");
        }
        let plain: String =
            page.text.chars().filter(|c| c.is_ascii() && !matches!(c, '(' | ')' | '\\')).collect();
        let at = MARGIN_MM * POINTS_PER_MM;
        let _ = writeln!(content, "f\nBT /F1 9 Tf {at:.3} {at:.3} Td ({plain}) Tj ET");
        objects.push(format!("<< /Length {} >>\nstream\n{content}endstream", content.len()));
    }
    let mut out = String::from("%PDF-1.4\n");
    let mut offsets = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        offsets.push(out.len());
        let _ = writeln!(out, "{} 0 obj\n{object}\nendobj", index + 1);
    }
    let start = out.len();
    let _ = writeln!(out, "xref\n0 {}\n0000000000 65535 f ", objects.len() + 1);
    for offset in offsets {
        let _ = writeln!(out, "{offset:010} 00000 n ");
    }
    let _ =
        writeln!(out, "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF", objects.len() + 1);
    out.into_bytes()
}

/// The page as an image of so many pixels a mm: what a camera square above it would see.
#[must_use]
pub fn picture(page: &Page, px_per_mm: f64) -> image::GrayImage {
    let [width, height] = page.size_mm.map(|mm| (mm * px_per_mm).round() as u32);
    let mut image = image::GrayImage::from_pixel(width, height, image::Luma([255]));
    for [x, y, w, h] in &page.black {
        let px = |mm: f64| (mm * px_per_mm).round() as u32;
        for row in height.saturating_sub(px(y + h))..height.saturating_sub(px(*y)) {
            for column in px(*x)..px(x + w).min(width) {
                image.put_pixel(column, row, image::Luma([0]));
            }
        }
    }
    image
}
