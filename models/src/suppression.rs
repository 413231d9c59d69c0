//! Greedy non-maximum suppression: of boxes that overlap too much, the strongest stays.

use crate::heads::Candidate;

/// Sorts by score, strongest first (ties by position, so that the result is one and the same every time), and moves
/// those that stay to the front; the rest are cut off. In place, nothing allocated.
pub(crate) fn suppress(candidates: &mut Vec<Candidate>, iou_max: f32) {
    candidates.sort_unstable_by(|a, b| {
        let key = |c: &Candidate| [c.left, c.top, c.right, c.bottom];
        b.score.total_cmp(&a.score).then_with(|| {
            key(a).iter().zip(key(b)).fold(std::cmp::Ordering::Equal, |o, (x, y)| o.then(x.total_cmp(&y)))
        })
    });
    let mut kept = 0;
    for next in 0..candidates.len() {
        let candidate = candidates[next];
        if candidates[..kept].iter().all(|k| iou(k, &candidate) <= iou_max) {
            candidates[kept] = candidate;
            kept += 1;
        }
    }
    candidates.truncate(kept);
}

fn iou(a: &Candidate, b: &Candidate) -> f32 {
    let w = (a.right.min(b.right) - a.left.max(b.left)).max(0.0);
    let h = (a.bottom.min(b.bottom) - a.top.max(b.top)).max(0.0);
    let area = |c: &Candidate| (c.right - c.left) * (c.bottom - c.top);
    let overlap = w * h;
    overlap / (area(a) + area(b) - overlap)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(left: f32, right: f32, score: f32) -> Candidate {
        Candidate { left, top: 0.0, right, bottom: 10.0, score }
    }

    #[test]
    fn the_strongest_of_overlapping_boxes_stays() {
        // IoU of neighbours 2 apart: 8 / 12; of those 4 apart: 6 / 14.
        let mut boxes = vec![boxed(4.0, 14.0, 0.5), boxed(0.0, 10.0, 0.9), boxed(2.0, 12.0, 0.7)];
        suppress(&mut boxes, 0.6);
        assert_eq!(boxes, [boxed(0.0, 10.0, 0.9), boxed(4.0, 14.0, 0.5)]);
    }

    #[test]
    fn order_of_arrival_does_not_matter() {
        let boxes = [boxed(0.0, 10.0, 0.5), boxed(1.0, 11.0, 0.5), boxed(30.0, 40.0, 0.5)];
        let mut forward = boxes.to_vec();
        let mut backward: Vec<_> = boxes.iter().rev().copied().collect();
        suppress(&mut forward, 0.5);
        suppress(&mut backward, 0.5);
        assert_eq!(forward, backward);
        assert_eq!(forward.len(), 2);
    }
}
