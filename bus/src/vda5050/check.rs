//! What the text of the standard asks of an order beyond its schema (chapters 6.6.1 and 6.6.2).

use std::f64::consts::PI;

use super::order::{Action, Node, Order};

/// Why an order is none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OrderProblem {
    /// Nowhere to go.
    #[error("it has no nodes")]
    NoNodes,
    /// There is one edge between each two nodes.
    #[error("{0} nodes need {expected} edges, it has {1}", expected = .0.saturating_sub(1))]
    EdgeCount(usize, usize),
    /// The numbers run over nodes and edges without gaps; nodes are even.
    #[error("{0:?} has the sequenceId {1}, wanted {2}")]
    Sequence(String, u32, u32),
    /// An edge joins other nodes than those beside it.
    #[error("edge {0:?} does not join {1:?} to {2:?}")]
    Apart(String, String, String),
    /// Something of the base stands behind the horizon.
    #[error("{0:?} is released behind what is not")]
    ReleasedBehind(String),
    /// The first node belongs to the base.
    #[error("the first node {0:?} is not released")]
    NothingReleased(String),
    /// Two actions have one id.
    #[error("two actions are called {0:?}")]
    SameAction(String),
    /// A number that no place or speed has.
    #[error("{0:?}: {1} is {2}")]
    BadNumber(String, &'static str, f64),
}

/// Is the order whole?
///
/// # Errors
/// The first [`OrderProblem`].
pub fn check(order: &Order) -> Result<(), OrderProblem> {
    let (nodes, edges) = (&order.nodes, &order.edges);
    let first = nodes.first().ok_or(OrderProblem::NoNodes)?;
    if edges.len() + 1 != nodes.len() {
        return Err(OrderProblem::EdgeCount(nodes.len(), edges.len()));
    }
    if !first.released {
        return Err(OrderProblem::NothingReleased(first.node_id.clone()));
    }
    if !first.sequence_id.is_multiple_of(2) {
        return Err(OrderProblem::Sequence(
            first.node_id.clone(),
            first.sequence_id,
            first.sequence_id.saturating_add(1),
        ));
    }
    let mut wanted = first.sequence_id;
    let mut released = true;
    let mut step = |id: &str, sequence_id: u32, is_released: bool| {
        if sequence_id != wanted {
            return Err(OrderProblem::Sequence(id.to_owned(), sequence_id, wanted));
        }
        wanted = wanted.saturating_add(1);
        if is_released && !released {
            return Err(OrderProblem::ReleasedBehind(id.to_owned()));
        }
        released = is_released;
        Ok(())
    };
    for (i, node) in nodes.iter().enumerate() {
        step(&node.node_id, node.sequence_id, node.released)?;
        if let Some(edge) = edges.get(i) {
            step(&edge.edge_id, edge.sequence_id, edge.released)?;
            if edge.start_node_id != node.node_id || edge.end_node_id != nodes[i + 1].node_id {
                let (from, to) = (node.node_id.clone(), nodes[i + 1].node_id.clone());
                return Err(OrderProblem::Apart(edge.edge_id.clone(), from, to));
            }
            // An edge is released with its end.
            if edge.released && !nodes[i + 1].released {
                return Err(OrderProblem::ReleasedBehind(edge.edge_id.clone()));
            }
            if let Some(speed) = edge.max_speed
                && !(speed.is_finite() && speed > 0.0)
            {
                return Err(OrderProblem::BadNumber(edge.edge_id.clone(), "maxSpeed", speed));
            }
        }
        check_position(node)?;
    }
    let mut ids: Vec<&str> = actions(order).map(|a| a.action_id.as_str()).collect();
    ids.sort_unstable();
    match ids.windows(2).find(|w| w[0] == w[1]) {
        Some(twice) => Err(OrderProblem::SameAction(twice[0].to_owned())),
        None => Ok(()),
    }
}

fn check_position(node: &Node) -> Result<(), OrderProblem> {
    let Some(at) = &node.node_position else { return Ok(()) };
    let bad = |what, value| Err(OrderProblem::BadNumber(node.node_id.clone(), what, value));
    for (what, value) in [("x", at.x), ("y", at.y)] {
        if !value.is_finite() {
            return bad(what, value);
        }
    }
    match (at.theta, at.allowed_deviation_xy) {
        (Some(theta), _) if theta.is_nan() || theta.abs() > PI => bad("theta", theta),
        (_, Some(xy)) if xy.is_nan() || xy < 0.0 => bad("allowedDeviationXY", xy),
        _ => Ok(()),
    }
}

/// Every action of an order.
pub fn actions(order: &Order) -> impl Iterator<Item = &Action> {
    let at_nodes = order.nodes.iter().flat_map(|n| &n.actions);
    at_nodes.chain(order.edges.iter().flat_map(|e| &e.actions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vda5050::order::{BlockingType, Edge};
    use crate::vda5050::{Header, RobotId, VERSION};

    /// `a`, `b`, `c`, of which the first `released` are the base, with numbers from `from`.
    fn order(from: u32, released: usize) -> Order {
        let names = ["a", "b", "c"];
        let node = |(i, id): (usize, &&str)| Node {
            node_id: (*id).to_owned(),
            sequence_id: from + 2 * i as u32,
            released: i < released,
            ..Node::default()
        };
        let edge = |i: usize| Edge {
            edge_id: format!("e{i}"),
            sequence_id: from + 2 * i as u32 + 1,
            released: i + 1 < released,
            start_node_id: names[i].to_owned(),
            end_node_id: names[i + 1].to_owned(),
            max_speed: Some(1.0),
            ..Edge::default()
        };
        Order {
            header: Header::new(&RobotId::new("m", "s"), VERSION, 1, 0),
            order_id: "o".to_owned(),
            order_update_id: 0,
            zone_set_id: None,
            nodes: names.iter().enumerate().map(node).collect(),
            edges: (0..2).map(edge).collect(),
        }
    }

    #[test]
    fn whole_orders_pass() {
        for released in 1..=3 {
            assert_eq!(check(&order(0, released)), Ok(()));
            assert_eq!(check(&order(8, released)), Ok(()));
        }
    }

    #[test]
    fn each_mistake_is_named() {
        type Spoil = fn(&mut Order);
        let cases: [(Spoil, &str); 9] = [
            (|o| o.nodes.clear(), "no nodes"),
            (|o| o.edges.truncate(1), "need 2 edges"),
            (|o| o.nodes[1].sequence_id = 3, "sequenceId 3, wanted 2"),
            (|o| o.edges[0].end_node_id = "c".into(), "does not join"),
            (|o| o.nodes[1].released = false, "released"),
            (|o| o.nodes[0].released = false, "first node"),
            (|o| o.edges[1].max_speed = Some(f64::NAN), "maxSpeed"),
            (
                |o| {
                    let action = Action {
                        action_type: "pick".into(),
                        action_id: "x".into(),
                        action_description: None,
                        blocking_type: BlockingType::Hard,
                        action_parameters: Vec::new(),
                    };
                    o.nodes[0].actions = vec![action.clone(), action];
                },
                "two actions",
            ),
            (|o| o.nodes[0].sequence_id = 1, "wanted 2"),
        ];
        for (spoil, says) in cases {
            let mut order = order(0, 3);
            spoil(&mut order);
            let problem = check(&order).unwrap_err().to_string();
            assert!(problem.contains(says), "{problem:?} should say {says:?}");
        }
    }
}
