//! YOLOX: one row for each cell of three levels (strides 8, 16, 32; row by row): centre offset, logarithm of the
//! size, objectness, class probabilities. Centre = (offset + cell) * stride, size = exp(value) * stride, score =
//! objectness * class (demo/ONNXRuntime of the YOLOX repository, `demo_postprocess`).

use super::{CLASSES, Candidate, InputPx, PERSON, STRIDES, WrongLength, expect_len, push};

/// Numbers per cell.
const ROW: usize = 5 + CLASSES;

/// Decodes the one output.
pub(crate) fn decode(
    input: InputPx,
    rows: &[f32],
    score_min: f32,
    out: &mut Vec<Candidate>,
) -> Result<(), WrongLength> {
    let cells = |stride| {
        let (columns, rows) = input.cells(stride);
        columns * rows
    };
    expect_len(0, rows, STRIDES.into_iter().map(cells).sum::<usize>() * ROW)?;
    let mut rows = rows.as_chunks::<ROW>().0.iter();
    for stride in STRIDES {
        let (columns, _) = input.cells(stride);
        for (cell, row) in rows.by_ref().take(cells(stride)).enumerate() {
            let score = row[4] * row[5 + PERSON];
            if score >= score_min {
                let stride = stride as f32;
                let x = (row[0] + (cell % columns) as f32) * stride;
                let y = (row[1] + (cell / columns) as f32) * stride;
                let (half_w, half_h) = (row[2].exp() * stride / 2.0, row[3].exp() * stride / 2.0);
                let candidate = Candidate {
                    left: x - half_w,
                    top: y - half_h,
                    right: x + half_w,
                    bottom: y + half_h,
                    score,
                };
                push(out, candidate);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_boxes() {
        let input = InputPx { width: 64, height: 32 };
        // 8 x 4 + 4 x 2 + 2 x 1 cells.
        let mut rows = vec![0.0_f32; 42 * ROW];
        let mut set = |cell: usize, values: [f32; 6]| rows[cell * ROW..][..6].copy_from_slice(&values);
        set(8 + 3, [0.5, 0.25, 2.0_f32.ln(), 4.0_f32.ln(), 0.9, 0.5]);
        set(32 + 8 + 1, [0.5, 0.5, 0.0, 0.0, 0.8, 1.0]);
        set(5, [0.5, 0.5, 0.0, 0.0, 0.5, 0.5]); // 0.25: below the threshold
        let mut out = Vec::new();
        decode(input, &rows, 0.3, &mut out).unwrap();
        assert_eq!(out.len(), 2);
        for (found, expected) in out.iter().zip([
            // Stride 8, column 3, row 1: centre 28, 10; size 16 x 32.
            [20.0, -6.0, 36.0, 26.0, 0.45],
            // Stride 32, column 1, row 0: centre 48, 16; size 32 x 32.
            [32.0, 0.0, 64.0, 32.0, 0.8],
        ]) {
            let found = [found.left, found.top, found.right, found.bottom, found.score];
            for (f, e) in found.iter().zip(expected) {
                assert!((f - e).abs() < 1e-4, "{found:?}");
            }
        }
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let input = InputPx { width: 64, height: 32 };
        let refused = decode(input, &[0.0; 85], 0.3, &mut Vec::new());
        assert_eq!(refused, Err(WrongLength { output: 0, expected: 42 * 85, found: 85 }));
    }
}
