//! Who belongs to whom, at the least total cost.
//!
//! The linear assignment problem with the right to leave a row or a column alone: a pair is made only where it is
//! cheaper than a limit, and the sum over all pairs of `cost - limit` is the least possible. Solved by shortest
//! augmenting paths with potentials (Jonker and Volgenant, Computing 38, 1987), each row having one private column
//! "nobody" that costs the limit. Exact on `f64`, no scaling to integers, no allocation once its buffers have
//! grown; O(rows^2 x columns).
//!
//! NaN and infinite costs are forbidden pairs.

/// Solver with buffers that are kept between calls.
#[derive(Debug, Clone, Default)]
pub struct Assignment {
    costs: Vec<f64>,
    columns: usize,
    row_potential: Vec<f64>,
    column_potential: Vec<f64>,
    row_of_column: Vec<usize>,
    came_from: Vec<usize>,
    distance: Vec<f64>,
    done: Vec<bool>,
    pairs: Vec<Option<usize>>,
}

const NOBODY: usize = usize::MAX;

impl Assignment {
    /// Starts a problem of so many rows and columns, with every pair forbidden.
    pub fn reset(&mut self, rows: usize, columns: usize) {
        self.columns = columns;
        self.costs.clear();
        self.costs.resize(rows * columns, f64::INFINITY);
        self.pairs.clear();
        self.pairs.resize(rows, None);
    }

    /// Sets what a pair costs. Pairs outside the problem are ignored.
    pub fn set(&mut self, row: usize, column: usize, cost: f64) {
        if row < self.pairs.len() && column < self.columns {
            self.costs[row * self.columns + column] = cost;
        }
    }

    /// What a pair costs; infinite where it is forbidden.
    #[must_use]
    pub fn cost(&self, row: usize, column: usize) -> f64 {
        self.costs.get(row * self.columns + column).copied().unwrap_or(f64::INFINITY)
    }

    /// Solves it: for each row its column, where pairing is cheaper than `limit` in total.
    pub fn solve(&mut self, limit: f64) -> &[Option<usize>] {
        let rows = self.pairs.len();
        let columns = self.columns;
        let all = columns + rows;
        self.row_potential.clear();
        self.row_potential.resize(rows, 0.0);
        self.column_potential.clear();
        self.column_potential.resize(all, 0.0);
        self.row_of_column.clear();
        self.row_of_column.resize(all, NOBODY);
        for row in 0..rows {
            self.insert(row, limit);
        }
        self.pairs.fill(None);
        for column in 0..columns {
            if let Some(pair) = self.pairs.get_mut(self.row_of_column[column]) {
                *pair = Some(column);
            }
        }
        &self.pairs
    }

    fn extended_cost(&self, row: usize, column: usize, limit: f64) -> f64 {
        if column < self.columns {
            let cost = self.costs[row * self.columns + column];
            if cost < limit { cost } else { f64::INFINITY }
        } else if column == self.columns + row {
            limit
        } else {
            f64::INFINITY
        }
    }

    /// Adds one row by the shortest augmenting path to a free column. There always is one: the row's own "nobody".
    fn insert(&mut self, first: usize, limit: f64) {
        let all = self.row_of_column.len();
        self.distance.clear();
        self.distance.resize(all, f64::INFINITY);
        self.came_from.clear();
        self.came_from.resize(all, NOBODY);
        self.done.clear();
        self.done.resize(all, false);
        let mut row = first;
        let mut last_column = NOBODY;
        let mut reached = 0.0;
        loop {
            for column in 0..all {
                if self.done[column] {
                    continue;
                }
                let reduced = self.extended_cost(row, column, limit)
                    - self.row_potential[row]
                    - self.column_potential[column];
                if reached + reduced < self.distance[column] {
                    self.distance[column] = reached + reduced;
                    self.came_from[column] = last_column;
                }
            }
            let mut best = NOBODY;
            let mut best_distance = f64::INFINITY;
            for column in 0..all {
                if !self.done[column] && self.distance[column] < best_distance {
                    best_distance = self.distance[column];
                    best = column;
                }
            }
            if best == NOBODY {
                return; // only when `limit` itself is not finite
            }
            self.done[best] = true;
            reached = best_distance;
            last_column = best;
            if self.row_of_column[best] == NOBODY {
                break;
            }
            row = self.row_of_column[best];
        }
        self.row_potential[first] += reached;
        for column in 0..all {
            if self.done[column] && column != last_column {
                let slack = reached - self.distance[column];
                self.column_potential[column] -= slack;
                self.row_potential[self.row_of_column[column]] += slack;
            }
        }
        let mut column = last_column;
        while column != NOBODY {
            let before = self.came_from[column];
            self.row_of_column[column] = if before == NOBODY { first } else { self.row_of_column[before] };
            column = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pathfinding::kuhn_munkres::kuhn_munkres_min;
    use pathfinding::matrix::Matrix;
    use proptest::prelude::*;

    fn solve(costs: &[Vec<f64>], limit: f64) -> Vec<Option<usize>> {
        let mut problem = Assignment::default();
        problem.reset(costs.len(), costs.first().map_or(0, Vec::len));
        for (r, row) in costs.iter().enumerate() {
            for (c, cost) in row.iter().enumerate() {
                problem.set(r, c, *cost);
            }
        }
        problem.solve(limit).to_vec()
    }

    #[test]
    fn joint_beats_greedy() {
        // Greedy takes (0, 0) at 1 and is left with 9; together 2 + 2 is better.
        assert_eq!(solve(&[vec![1.0, 2.0], vec![2.0, 9.0]], 100.0), [Some(1), Some(0)]);
    }

    #[test]
    fn dear_and_broken_pairs_are_left_alone() {
        let costs = [vec![f64::NAN, 7.0], vec![f64::INFINITY, 3.0], vec![f64::NAN, f64::NAN]];
        assert_eq!(solve(&costs, 5.0), [None, Some(1), None]);
        assert_eq!(solve(&[], 5.0), []);
        assert_eq!(solve(&[vec![], vec![]], 5.0), [None, None]);
    }

    proptest! {
        #[test]
        fn the_total_is_that_of_kuhn_munkres(
            rows in 1usize..7, columns in 1usize..7, limit in 1i64..120,
            seed in proptest::collection::vec(0i64..100, 49),
        ) {
            let cost = |r: usize, c: usize| seed[r * 7 + c];
            let costs: Vec<Vec<f64>> =
                (0..rows).map(|r| (0..columns).map(|c| cost(r, c) as f64).collect()).collect();
            let pairs = solve(&costs, limit as f64);
            let total: i64 =
                pairs.iter().enumerate().map(|(r, c)| c.map_or(limit, |c| cost(r, c))).sum();
            // The reference sees the same private columns, with forbidden pairs made very dear.
            let weights = Matrix::from_fn(rows, columns + rows, |(r, c)| {
                if c < columns { cost(r, c) } else if c - columns == r { limit } else { 1_000_000 }
            });
            prop_assert_eq!(total, kuhn_munkres_min(&weights).0);
            let mut taken: Vec<usize> = pairs.iter().flatten().copied().collect();
            taken.sort_unstable();
            taken.dedup();
            prop_assert_eq!(taken.len(), pairs.iter().flatten().count());
        }
    }
}
