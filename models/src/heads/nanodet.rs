//! NanoDet: class probabilities for each cell of three levels (strides 8, 16, 32), and for each of its four edges a
//! distribution over distances of 0 to 7 strides as 8 logits. The distance is the distribution's mean, from the
//! cell's centre (Li et al., Generalized Focal Loss, NeurIPS 2020).

use super::{CLASSES, Candidate, InputPx, PERSON, STRIDES, WrongLength, expect_len, push};

/// Steps of a distribution.
const BINS: usize = 8;

/// Decodes three class maps and three box maps.
pub(crate) fn decode(
    input: InputPx,
    classes: [&[f32]; 3],
    boxes: [&[f32]; 3],
    score_min: f32,
    out: &mut Vec<Candidate>,
) -> Result<(), WrongLength> {
    for (level, stride) in STRIDES.into_iter().enumerate() {
        let (columns, rows) = input.cells(stride);
        expect_len(level, classes[level], columns * rows * CLASSES)?;
        expect_len(level + 3, boxes[level], columns * rows * 4 * BINS)?;
        let classes = classes[level].as_chunks::<CLASSES>().0;
        let edges = boxes[level].as_chunks::<{ 4 * BINS }>().0;
        for (cell, (classes, edges)) in classes.iter().zip(edges).enumerate() {
            let score = classes[PERSON];
            if score >= score_min {
                let stride = stride as f32;
                let x = ((cell % columns) as f32 + 0.5) * stride;
                let y = ((cell / columns) as f32 + 0.5) * stride;
                let distance = |edge: usize| mean_bin(&edges[edge * BINS..][..BINS]) * stride;
                let candidate = Candidate {
                    left: x - distance(0),
                    top: y - distance(1),
                    right: x + distance(2),
                    bottom: y + distance(3),
                    score,
                };
                push(out, candidate);
            }
        }
    }
    Ok(())
}

/// Mean of the distribution whose logits these are, in bins.
fn mean_bin(logits: &[f32]) -> f32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    let mut weighted = 0.0;
    for (bin, logit) in logits.iter().enumerate() {
        let p = (logit - largest).exp();
        sum += p;
        weighted += p * bin as f32;
    }
    weighted / sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_become_distances() {
        let input = InputPx { width: 64, height: 32 };
        let cells = [32, 8, 2];
        let mut classes = cells.map(|n| vec![0.0_f32; n * CLASSES]);
        let mut boxes = cells.map(|n| vec![0.0_f32; n * 4 * BINS]);
        // Stride 16, column 2, row 1: centre 40, 24. Left: certainly 2 bins; the others: even over 0 to 7, mean 3.5.
        classes[1][6 * CLASSES] = 0.7;
        boxes[1][6 * 4 * BINS + 2] = 100.0;
        classes[0][3 * CLASSES + 1] = 0.9; // not a person
        let view = |maps: &[Vec<f32>; 3]| -> [Vec<f32>; 3] { maps.clone() };
        let (c, b) = (view(&classes), view(&boxes));
        let mut out = Vec::new();
        decode(input, [&c[0], &c[1], &c[2]], [&b[0], &b[1], &b[2]], 0.3, &mut out).unwrap();
        assert_eq!(out.len(), 1);
        let found = out[0];
        let expected = [40.0 - 32.0, 24.0 - 56.0, 40.0 + 56.0, 24.0 + 56.0, 0.7];
        for (f, e) in [found.left, found.top, found.right, found.bottom, found.score].iter().zip(expected) {
            assert!((f - e).abs() < 1e-4, "{found:?}");
        }
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let input = InputPx { width: 64, height: 32 };
        let (c, empty) = (vec![0.0; 32 * CLASSES], Vec::new());
        let refused = decode(
            input,
            [&c, &empty, &empty],
            [&empty; 3].map(|v: &Vec<f32>| v.as_slice()),
            0.3,
            &mut Vec::new(),
        );
        assert_eq!(refused, Err(WrongLength { output: 3, expected: 32 * 32, found: 0 }));
    }
}
