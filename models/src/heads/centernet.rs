//! CenterNet: a cell whose heat is at least `score_min` and the largest of its 3 x 3 neighbourhood is a person;
//! the size map holds its distances to the left, top, right and bottom edge, in input pixels, from the cell's
//! corner (stride 4: 4 x, 4 y). So do the nodes of the published graph that follow the cut (see convert/centernet.py).

use super::{Candidate, InputPx, WrongLength, expect_len, push};

/// Decodes heat (1 plane) and size (4 planes), both down-sampled by `stride`.
pub(crate) fn decode(
    input: InputPx,
    stride: usize,
    heat: &[f32],
    size: &[f32],
    score_min: f32,
    out: &mut Vec<Candidate>,
) -> Result<(), WrongLength> {
    let (columns, rows) = input.cells(stride);
    let area = columns * rows;
    expect_len(0, heat, area)?;
    expect_len(1, size, 4 * area)?;
    for (y, row) in heat.chunks_exact(columns).enumerate() {
        for (x, score) in row.iter().copied().enumerate() {
            // Written so that NaN fails.
            if score >= score_min && is_peak(heat, columns, rows, x, y, score) {
                let cell = y * columns + x;
                let distance = |side: usize| size[side * area + cell];
                let (centre_x, centre_y) = ((x * stride) as f32, (y * stride) as f32);
                let candidate = Candidate {
                    left: centre_x - distance(0),
                    top: centre_y - distance(1),
                    right: centre_x + distance(2),
                    bottom: centre_y + distance(3),
                    score,
                };
                push(out, candidate);
            }
        }
    }
    Ok(())
}

/// Is no neighbour warmer? Equal neighbours are both peaks, as in the published graph; suppression drops one.
fn is_peak(heat: &[f32], columns: usize, rows: usize, x: usize, y: usize, score: f32) -> bool {
    let (x0, x1) = (x.saturating_sub(1), (x + 1).min(columns - 1));
    let (y0, y1) = (y.saturating_sub(1), (y + 1).min(rows - 1));
    (y0..=y1).all(|v| heat[v * columns + x0..=v * columns + x1].iter().all(|h| *h <= score))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_become_boxes() {
        let input = InputPx { width: 32, height: 16 };
        let (columns, area) = (8, 32);
        let mut heat = vec![0.01; area];
        let mut size = vec![1.0; 4 * area];
        heat[2 * columns + 5] = 0.9;
        heat[2 * columns + 6] = 0.8; // next to a warmer one: no peak
        heat[0] = 0.5; // in the corner
        heat[3 * columns] = 0.2; // below the threshold
        for (side, distance) in [3.0, 7.0, 4.0, 8.0].into_iter().enumerate() {
            size[side * area + 2 * columns + 5] = distance;
        }
        let mut out = Vec::new();
        decode(input, 4, &heat, &size, 0.3, &mut out).unwrap();
        assert_eq!(
            out,
            [
                Candidate { left: -1.0, top: -1.0, right: 1.0, bottom: 1.0, score: 0.5 },
                Candidate { left: 17.0, top: 1.0, right: 24.0, bottom: 16.0, score: 0.9 },
            ]
        );
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let input = InputPx { width: 32, height: 16 };
        let refused = decode(input, 4, &[0.0; 32], &[0.0; 127], 0.3, &mut Vec::new());
        assert_eq!(refused, Err(WrongLength { output: 1, expected: 128, found: 127 }));
    }
}
