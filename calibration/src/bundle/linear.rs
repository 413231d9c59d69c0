//! One step of the adjustment: residuals, their derivatives, and the reduced system of the cameras.

use linefree_domain::geometry::{Lens, Pose};
use nalgebra::{
    DMatrix, DVector, Matrix2, Matrix2x3, Matrix3, Matrix6x3, Point2, Point3, Rotation3, SMatrix,
    UnitQuaternion, Vector2, Vector3, Vector6,
};

use super::{BundleError, Loss, Mark, RigCamera, Sight};

type Matrix2x6 = SMatrix<f64, 2, 6>;
type Matrix6 = SMatrix<f64, 6, 6>;
type Matrix3x6 = SMatrix<f64, 3, 6>;

/// Where everything is believed to be.
#[derive(Debug, Clone)]
pub(super) struct State {
    turns: Vec<Rotation3<f64>>,
    shifts: Vec<Vector3<f64>>,
    pub(super) marks: Vec<Point3<f64>>,
}

/// A mark's coupling to a camera that sees it.
type Join = (usize, Matrix6x3<f64>);

struct Normal {
    reduced: DMatrix<f64>,
    right: DVector<f64>,
    /// By mark: inverse of its own block, its gradient, and its coupling to each camera that sees it.
    back: Vec<(Matrix3<f64>, Vector3<f64>, Vec<Join>)>,
}

impl State {
    pub(super) fn new(cameras: &[RigCamera], marks: &[Mark]) -> Self {
        Self {
            turns: cameras.iter().map(|c| Rotation3::new(c.pose.rotation)).collect(),
            shifts: cameras.iter().map(|c| c.pose.translation).collect(),
            marks: marks.iter().map(|m| m.at).collect(),
        }
    }

    pub(super) fn poses(&self) -> Vec<Pose> {
        let pose = |(turn, shift): (&Rotation3<f64>, &Vector3<f64>)| Pose {
            // Through a quaternion: half a turn has no axis that the matrix alone would show.
            rotation: UnitQuaternion::from_rotation_matrix(turn).scaled_axis(),
            translation: *shift,
        };
        self.turns.iter().zip(&self.shifts).map(pose).collect()
    }

    /// Residual in pixels; `None` behind the camera.
    fn residual(&self, lens: &Lens, s: &Sight) -> Option<Vector2<f64>> {
        let at = self.turns[s.camera] * self.marks[s.mark].coords + self.shifts[s.camera];
        if at.z < 1e-3 {
            return None;
        }
        let d = lens.distort(Point2::new(at.x / at.z, at.y / at.z));
        Some(Vector2::new(lens.fx_px * d.x + lens.cx_px - s.px.x, lens.fy_px * d.y + lens.cy_px - s.px.y))
    }

    pub(super) fn error_px(&self, cameras: &[RigCamera], s: &Sight) -> f64 {
        self.residual(&cameras[s.camera].lens, s).map_or(f64::INFINITY, |r| r.norm())
    }

    pub(super) fn cost(&self, cameras: &[RigCamera], marks: &[Mark], sights: &[Sight], loss: Loss) -> f64 {
        let mut cost = 0.0;
        for s in sights {
            // Behind the camera costs as much as 1,000 standard deviations do.
            let r2 = self
                .residual(&cameras[s.camera].lens, s)
                .map_or(1e6, |r| r.norm_squared() / (s.sd_px * s.sd_px));
            cost += loss.of(r2).0;
        }
        for (at, mark) in self.marks.iter().zip(marks) {
            cost += (at - mark.at).component_div(&mark.sd_m).norm_squared();
        }
        for (index, camera) in cameras.iter().enumerate() {
            if let Some([sd_m, sd_rad]) = camera.prior {
                let (moved, turned) = self.since(index, camera);
                cost += moved.norm_squared() / (sd_m * sd_m) + turned.norm_squared() / (sd_rad * sd_rad);
            }
        }
        cost
    }

    /// How far a camera's place and rotation are from where they were believed to be.
    fn since(&self, index: usize, camera: &RigCamera) -> (Vector3<f64>, Vector3<f64>) {
        let place = -(self.turns[index].inverse() * self.shifts[index]);
        let turned = (self.turns[index] * Rotation3::new(camera.pose.rotation).inverse()).scaled_axis();
        (place - camera.pose.position().coords, turned)
    }

    /// Derivative of a camera's place by its step.
    fn place_by_step(&self, index: usize) -> Matrix3x6 {
        let back = self.turns[index].inverse().into_inner();
        let mut by = Matrix3x6::zeros();
        by.fixed_view_mut::<3, 3>(0, 0).copy_from(&(-back * self.shifts[index].cross_matrix()));
        by.fixed_view_mut::<3, 3>(0, 3).copy_from(&-back);
        by
    }

    fn derivatives(&self, lens: &Lens, s: &Sight) -> (Matrix2x6, Matrix2x3<f64>) {
        let turn = self.turns[s.camera];
        let turned = turn * self.marks[s.mark].coords;
        let at = turned + self.shifts[s.camera];
        let p = Point2::new(at.x / at.z, at.y / at.z);
        let step = 1e-6;
        let along = |d: Vector2<f64>| (lens.distort(p + d) - lens.distort(p - d)) / (2.0 * step);
        let bent = Matrix2::from_columns(&[along(Vector2::new(step, 0.0)), along(Vector2::new(0.0, step))]);
        let flat = Matrix2x3::new(1.0, 0.0, -p.x, 0.0, 1.0, -p.y) / at.z;
        let by_point = Matrix2::new(lens.fx_px, 0.0, 0.0, lens.fy_px) * bent * flat;
        let mut by_camera = Matrix2x6::zeros();
        by_camera.fixed_view_mut::<2, 3>(0, 0).copy_from(&(-by_point * turned.cross_matrix()));
        by_camera.fixed_view_mut::<2, 3>(0, 3).copy_from(&by_point);
        (by_camera, by_point * turn.into_inner())
    }

    fn normal(
        &self,
        cameras: &[RigCamera],
        marks: &[Mark],
        sights: &[Sight],
        loss: Loss,
        damping: f64,
    ) -> Option<Normal> {
        let size = 6 * cameras.len();
        let mut reduced = DMatrix::zeros(size, size);
        let mut right = DVector::zeros(size);
        let mut own = vec![(Matrix3::zeros(), Vector3::zeros(), Vec::<Join>::new()); marks.len()];
        for ((block, gradient, _), (at, mark)) in own.iter_mut().zip(self.marks.iter().zip(marks)) {
            let weights = mark.sd_m.map(|sd| 1.0 / (sd * sd));
            *block = Matrix3::from_diagonal(&weights);
            *gradient = (at - mark.at).component_mul(&weights);
        }
        for s in sights {
            let lens = &cameras[s.camera].lens;
            let Some(residual) = self.residual(lens, s) else { continue };
            let variance = s.sd_px * s.sd_px;
            let weight = loss.of(residual.norm_squared() / variance).1 / variance;
            let (by_camera, by_mark) = self.derivatives(lens, s);
            let at = 6 * s.camera;
            let mut block = reduced.fixed_view_mut::<6, 6>(at, at);
            block += by_camera.transpose() * by_camera * weight;
            let mut part = right.fixed_rows_mut::<6>(at);
            part += by_camera.transpose() * residual * weight;
            let (block, gradient, joins) = &mut own[s.mark];
            *block += by_mark.transpose() * by_mark * weight;
            *gradient += by_mark.transpose() * residual * weight;
            joins.push((s.camera, by_camera.transpose() * by_mark * weight));
        }
        for (index, camera) in cameras.iter().enumerate() {
            let Some([sd_m, sd_rad]) = camera.prior else { continue };
            let (moved, turned) = self.since(index, camera);
            let by = self.place_by_step(index);
            let mut block: Matrix6 = by.transpose() * by / (sd_m * sd_m);
            let mut gradient: Vector6<f64> = by.transpose() * moved / (sd_m * sd_m);
            for i in 0..3 {
                block[(i, i)] += 1.0 / (sd_rad * sd_rad);
                gradient[i] += turned[i] / (sd_rad * sd_rad);
            }
            let mut there = reduced.fixed_view_mut::<6, 6>(6 * index, 6 * index);
            there += block;
            let mut part = right.fixed_rows_mut::<6>(6 * index);
            part += gradient;
        }
        for i in 0..size {
            reduced[(i, i)] += damping * reduced[(i, i)] + 1e-12;
        }
        let mut back = Vec::with_capacity(own.len());
        for (mut block, gradient, joins) in own {
            for i in 0..3 {
                block[(i, i)] += damping * block[(i, i)] + 1e-12;
            }
            let inverse = block.try_inverse()?;
            for (a, to_a) in &joins {
                let taken = to_a * inverse;
                let mut part = right.fixed_rows_mut::<6>(6 * a);
                part -= taken * gradient;
                for (b, to_b) in &joins {
                    let mut there = reduced.fixed_view_mut::<6, 6>(6 * a, 6 * b);
                    there -= taken * to_b.transpose();
                }
            }
            back.push((inverse, gradient, joins));
        }
        Some(Normal { reduced, right, back })
    }

    /// The state after one damped step; `None` when the system cannot be solved at this damping.
    pub(super) fn step(
        &self,
        cameras: &[RigCamera],
        marks: &[Mark],
        sights: &[Sight],
        loss: Loss,
        damping: f64,
    ) -> Option<Self> {
        let Normal { reduced, right, back } = self.normal(cameras, marks, sights, loss, damping)?;
        let solved = reduced.cholesky()?.solve(&right);
        let mut next = self.clone();
        let mut steps = Vec::with_capacity(cameras.len());
        for index in 0..cameras.len() {
            let step: Vector6<f64> = -solved.fixed_rows::<6>(6 * index).into_owned();
            next.turns[index] = Rotation3::new(step.fixed_rows::<3>(0).into_owned()) * self.turns[index];
            next.shifts[index] += step.fixed_rows::<3>(3).into_owned();
            steps.push(step);
        }
        for (at, (inverse, gradient, joins)) in next.marks.iter_mut().zip(back) {
            let pulled: Vector3<f64> = joins.iter().map(|(camera, to)| to.transpose() * steps[*camera]).sum();
            *at -= inverse * (gradient + pulled);
        }
        let mut numbers = next.shifts.iter().flatten().chain(next.marks.iter().flat_map(|m| m.coords.iter()));
        let finite = numbers.all(|v| v.is_finite());
        finite.then_some(next)
    }

    /// Standard deviations of the cameras' places (metres) and rotations (degrees), from the inverse of the reduced
    /// system.
    pub(super) fn sds(
        &self,
        cameras: &[RigCamera],
        marks: &[Mark],
        sights: &[Sight],
    ) -> Result<Vec<[f64; 2]>, BundleError> {
        let undetermined = |i: usize| BundleError::Undetermined { camera: cameras[i].id.clone() };
        let normal =
            self.normal(cameras, marks, sights, Loss::Geman(4.0), 0.0).ok_or_else(|| undetermined(0))?;
        let all = normal.reduced.cholesky().ok_or_else(|| undetermined(0))?.inverse();
        let mut sds = Vec::new();
        for index in 0..cameras.len() {
            let own: Matrix6 = all.fixed_view::<6, 6>(6 * index, 6 * index).into_owned();
            let by = self.place_by_step(index);
            let place = (by * own * by.transpose()).trace();
            let turn = own.fixed_view::<3, 3>(0, 0).trace();
            if !(place.is_finite() && turn.is_finite() && place >= 0.0 && turn >= 0.0) || place > 1.0 {
                return Err(undetermined(index));
            }
            sds.push([place.sqrt(), turn.sqrt().to_degrees()]);
        }
        Ok(sds)
    }
}
