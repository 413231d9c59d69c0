//! `calibrate print`.

use std::path::PathBuf;

use linefree_calibration::lens::Board;
use linefree_calibration::sheets::{self, Paper};
use serde_json::json;

use crate::{note, print};

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// What to print
    #[arg(value_enum)]
    what: What,
    /// How many markers
    #[arg(long, value_name = "COUNT", default_value_t = 8)]
    count: u32,
    /// Number of the first marker
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    first: u32,
    /// Side of a marker, mm
    #[arg(long, value_name = "MM", default_value_t = 135.0)]
    side: f64,
    /// Inner corners of a board
    #[arg(long, value_name = "COLUMNSxROWS", default_value = "9x6")]
    board: Board,
    /// Side of a board's squares, mm
    #[arg(long, value_name = "MM", default_value_t = 25.0)]
    square: f64,
    /// a4, a3 or letter
    #[arg(long, default_value = "a4")]
    paper: Paper,
    /// The PDF to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Numbered sheets for the floor
    Markers,
    /// A board for lenses
    Chessboard,
    /// A board for lenses that may be partly hidden
    Charuco,
}

const EXAMPLES: &str = "Examples:
  $ calibrate print markers --count 8 --out sheets.pdf
  $ calibrate print charuco --board 7x5 --square 30 --out board.pdf

Print without fitting to the page and measure the side with a ruler: what you measure goes into
the survey (side_m). Lay the sheets flat; note x, y of the middle and which way the tick points.";

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let pages = match arguments.what {
        What::Markers => {
            let last = arguments.first.saturating_add(arguments.count.clamp(1, 1000));
            let numbers: Vec<u32> = (arguments.first..last).collect();
            sheets::marker_pages(&numbers, arguments.side, arguments.paper)?
        }
        What::Chessboard | What::Charuco => {
            let charuco = arguments.what == What::Charuco;
            vec![sheets::board_page(arguments.board, charuco, arguments.square, arguments.paper)?]
        }
    };
    std::fs::write(&arguments.out, sheets::pdf(&pages))
        .map_err(|e| anyhow::anyhow!("{}: cannot be written: {e}", arguments.out.display()))?;
    note(&format!(
        "wrote {} ({} pages); print it at 100 %, then measure it",
        arguments.out.display(),
        pages.len()
    ));
    if arguments.json {
        let texts: Vec<&str> = pages.iter().map(|p| p.text.as_str()).collect();
        print(&format!("{}\n", json!({"pages": pages.len(), "texts": texts})))?;
    }
    Ok(())
}
