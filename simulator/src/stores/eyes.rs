//! Where cameras hang, and what they can see of the floor.

use anyhow::ensure;
use linefree_domain::geometry::{Lens, Pose, View};
use linefree_domain::ids::CameraId;
use linefree_domain::layout::{Camera, StoreLayout};
use nalgebra::{Matrix3, Point2, Point3, Rotation3, Vector3};

use crate::chance::Chance;
use crate::scenario::CameraPlan;

/// A camera's place and direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Eye {
    /// Where its lens is, metres.
    pub at: Point3<f64>,
    /// Its name in the store.
    pub id: CameraId,
}

/// Hangs cameras in the store's corners and along its walls, three or more, and writes them into the layout.
pub fn place(layout: &mut StoreLayout, plan: &CameraPlan, chance: &mut Chance) -> anyhow::Result<Vec<Eye>> {
    let corners = layout.floor.corners();
    let range = |f: fn(&Point2<f64>) -> f64| {
        let values = corners.iter().map(f);
        (values.clone().fold(f64::MAX, f64::min), values.fold(f64::MIN, f64::max))
    };
    let ((x0, x1), (y0, y1)) = (range(|p| p.x), range(|p| p.y));
    let count = chance.count(plan.count[0], plan.count[1]) as usize;
    ensure!(count <= 8, "{count} cameras are asked for; a scenario has at most 8");
    let middle_x = (x0 + x1) / 2.0;
    let spots = [
        [x0, y0],
        [x1, y0],
        [middle_x, y1],
        [x0, y1],
        [x1, y1],
        [middle_x, y0],
        [x0, (y0 + y1) / 2.0],
        [x1, (y0 + y1) / 2.0],
    ];
    let aim = Point3::new(middle_x, (y0 + y1) / 2.0, 0.9);
    let mut eyes = Vec::new();
    layout.cameras.clear();
    for (i, [x, y]) in spots.into_iter().take(count).enumerate() {
        let at =
            Point3::new(x, y, 2.8) + Vector3::new(chance.normal(0.1), chance.normal(0.1), chance.normal(0.1));
        let id = CameraId::new(format!("cam{}", i + 1))?;
        layout.cameras.push(Camera { id: id.clone(), size_px: [1280, 720], view: looking(at, aim) });
        eyes.push(Eye { at, id });
    }
    Ok(eyes)
}

/// A camera at `at` that looks towards `aim`.
fn looking(at: Point3<f64>, aim: Point3<f64>) -> View {
    let ahead = (aim - at).normalize();
    let right = ahead.cross(&Vector3::z()).normalize();
    let down = ahead.cross(&right);
    let rows = Matrix3::from_rows(&[right.transpose(), down.transpose(), ahead.transpose()]);
    let turned = Rotation3::from_matrix(&rows);
    let micro = |v: Vector3<f64>| v.map(|c| (c * 1e6).round() / 1e6);
    let lens = Lens { fx_px: 720.0, fy_px: 720.0, cx_px: 640.0, cy_px: 360.0, distortion: [0.0; 5] };
    let pose = Pose { rotation: micro(turned.scaled_axis()), translation: micro(-(turned * at.coords)) };
    View::Lens { lens, pose }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_sees_what_it_looks_at() {
        let (at, aim) = (Point3::new(0.0, 0.0, 2.8), Point3::new(3.0, 2.0, 0.9));
        let px = looking(at, aim).pixel_of(aim).unwrap();
        assert!((px - Point2::new(640.0, 360.0)).norm() < 0.1, "{px}");
        let above = looking(at, aim).pixel_of(Point3::new(3.0, 2.0, 1.4)).unwrap();
        assert!(above.y < px.y, "up is up");
    }
}
