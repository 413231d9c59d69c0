//! What should happen when nothing goes wrong.

use nalgebra::Point2;

use super::super::{RobotTaskKind, TaskState};
use super::{FakeRobot, Floor, SECOND_US, pick};

#[test]
fn a_pick_is_assigned_underway_and_done() {
    let mut floor = Floor::new();
    floor.assign(pick("t-1", "g/1/2"));
    floor.until(60, |f| f.is("t-1", TaskState::Done));
    let told = floor.told("t-1");
    let who = told[0].1.unwrap().to_owned();
    let by = Some(who.as_str());
    assert_eq!(told, [(TaskState::Assigned, by), (TaskState::Underway, by), (TaskState::Done, by)]);
    let robot = floor.robots.iter().find(|r| r.id.to_string() == who).unwrap();
    let picks: Vec<_> = robot.heard.iter().flat_map(|o| &o.nodes).flat_map(|n| &n.actions).collect();
    let pick = picks.iter().find(|a| a.action_type == "pick").unwrap();
    assert_eq!(pick.parameter("sku").unwrap(), "4006381333931");
    assert_eq!(pick.parameter("quantity").unwrap(), 2);
    assert_eq!(pick.parameter("plate").unwrap(), "g/1/2");
    assert_eq!(pick.parameter("order").unwrap(), "o-t-1");
    assert_eq!(pick.parameter("loadType").unwrap(), "BAG");
    assert!(robot.loads.is_empty());
    // And then it goes home.
    let home = if who == "acme/r1" { "h1" } else { "h2" };
    floor.until(30, |f| f.robots.iter().any(|r| r.id.to_string() == who && r.node == home));
    assert!(floor.notices.is_empty(), "{:?}", floor.notices);
}

/// The base grows with the releases; the horizon is told from the start, and nobody drives into it.
#[test]
fn a_way_is_released_bit_by_bit() {
    let mut floor = Floor::new();
    floor.assign(pick("t-1", "g/1/1"));
    floor.until(60, |f| f.is("t-1", TaskState::Done));
    let robot = floor.robots.iter().find(|r| !r.heard.is_empty()).unwrap();
    let first = &robot.heard[0];
    assert!(first.nodes.iter().any(|n| !n.released), "everything is released at once: {first:#?}");
    assert_eq!(first.nodes.last().unwrap().node_id, "b1");
    let updates: Vec<u32> =
        robot.heard.iter().filter(|o| o.order_id == first.order_id).map(|o| o.order_update_id).collect();
    assert_eq!(updates, (0..updates.len() as u32).collect::<Vec<_>>());
    assert!(updates.len() > 1);
}

#[test]
fn two_robots_share_many_tasks_and_never_meet() {
    let mut floor = Floor::new();
    for i in 0..20 {
        floor.assign(pick(&format!("t-{i}"), ["g/1/1", "g/1/2"][i % 2]));
    }
    floor.until(900, |f| f.control.open_tasks() == 0);
    assert!((0..20).all(|i| floor.is(&format!("t-{i}"), TaskState::Done)));
    assert!(floor.robots.iter().all(|r| !r.heard.is_empty()), "one robot did everything");
    assert!(floor.control.traffic().deadlocked().is_empty());
}

#[test]
fn a_robot_takes_several_picks_along() {
    let mut floor = Floor::with(vec![FakeRobot::at("r1", "h1")]);
    floor.now_us = 20 * SECOND_US;
    floor.assign(pick("a", "g/1/1"));
    floor.until(60, |f| f.is("a", TaskState::Underway));
    floor.assign(pick("b", "g/1/2"));
    floor.assign(pick("c", "g/1/1"));
    floor.until(120, |f| f.is("c", TaskState::Done) && f.is("b", TaskState::Done));
    // Both were picked before either was given.
    let orders = &floor.robots[0].heard;
    let actions: Vec<&str> = orders
        .iter()
        .flat_map(|o| &o.nodes)
        .flat_map(|n| &n.actions)
        .map(|a| a.action_type.as_str())
        .collect();
    let mut seen = Vec::new();
    for action in actions {
        if seen.last() != Some(&action) {
            seen.push(action);
        }
    }
    assert_eq!(seen, ["pick", "drop", "pick", "drop"]);
}

#[test]
fn shelves_are_filled_from_the_stock_and_misplaced_items_go_where_they_belong() {
    let mut floor = Floor::new();
    let restock = super::RobotTask { kind: RobotTaskKind::Restock, ..pick("fill", "g/1/2") };
    floor.assign(restock);
    floor.until(90, |f| f.is("fill", TaskState::Done));
    let nodes = |floor: &Floor, action: &str| -> Vec<String> {
        let orders = floor.robots.iter().flat_map(|r| &r.heard).flat_map(|o| &o.nodes);
        let with = orders.filter(|n| n.actions.iter().any(|a| a.action_type == action));
        with.map(|n| n.node_id.clone()).collect()
    };
    assert!(
        nodes(&floor, "pick").contains(&"s1".to_owned()) && nodes(&floor, "drop").contains(&"b2".to_owned())
    );
    let back = super::RobotTask {
        kind: RobotTaskKind::ReturnMisplaced,
        deliver_to: "g/1/1".to_owned(),
        ..pick("back", "g/1/2")
    };
    floor.assign(back);
    floor.until(90, |f| f.is("back", TaskState::Done));
    assert!(
        nodes(&floor, "pick").contains(&"b2".to_owned()) && nodes(&floor, "drop").contains(&"b1".to_owned())
    );
    // Nobody here knows how to tidy.
    floor.assign(super::RobotTask { kind: RobotTaskKind::Tidy, ..pick("tidy", "g/1/2") });
    floor.until(60, |f| f.told("tidy") == [(TaskState::Assigned, Some("staff"))]);
}

#[test]
fn robots_are_slow_where_people_are() {
    let mut floor = Floor::new();
    floor.control.handle_people(vec![Point2::new(0.9, 3.4)], 0);
    floor.assign(pick("t-1", "g/1/1"));
    floor.control.handle_people(vec![Point2::new(0.9, 3.4)], SECOND_US);
    floor.second();
    let order = floor.robots.iter().find_map(|r| r.heard.first()).unwrap();
    assert_eq!(order.edges.last().unwrap().max_speed, Some(0.4));
    // Far from everybody it may go as fast as it can, as long as it is known where people are.
    let fastest = order.edges.iter().map(|e| e.max_speed.unwrap()).fold(0.0, f64::max);
    assert!((fastest - 1.2).abs() < 1e-9, "{fastest}");
    floor.now_us += 10 * SECOND_US;
    let unwatched = floor.control.speed(floor.now_us)(3, 9);
    assert!((unwatched - 0.4).abs() < 1e-9, "nobody knows where people are: {unwatched}");
}

#[test]
fn a_robot_with_a_low_battery_goes_home_and_charges() {
    let mut floor = Floor::with(vec![FakeRobot::at("r1", "h1")]);
    floor.robots[0].charge = 20.0;
    floor.now_us = 20 * SECOND_US;
    floor.tell(0);
    floor.until(5, |f| f.robots[0].charging);
    floor.assign(pick("t-1", "g/1/2"));
    floor.second();
    assert!(floor.told("t-1").is_empty(), "it took a task with an empty battery");
    floor.robots[0].charge = 60.0;
    floor.until(60, |f| f.is("t-1", TaskState::Done));
    assert!(!floor.robots[0].charging, "it drove off with the charger");
    assert!(floor.robots[0].heard[0].nodes[0].actions.iter().any(|a| a.action_type == "stopCharging"));
}

#[test]
fn a_task_given_twice_is_one_task() {
    let mut floor = Floor::new();
    floor.assign(pick("t-1", "g/1/2"));
    floor.assign(pick("t-1", "g/1/2"));
    floor.until(60, |f| f.is("t-1", TaskState::Done));
    let drops = |f: &Floor| {
        let nodes = f.robots.iter().flat_map(|r| &r.heard).flat_map(|o| &o.nodes);
        let ids: std::collections::BTreeSet<String> = nodes
            .flat_map(|n| &n.actions)
            .filter(|a| a.action_type == "drop")
            .map(|a| a.action_id.clone())
            .collect();
        ids.len()
    };
    assert_eq!(drops(&floor), 1);
    floor.assign(pick("t-1", "g/1/2"));
    assert!(floor.is("t-1", TaskState::Done));
    for _ in 0..30 {
        floor.second();
    }
    assert_eq!(drops(&floor), 1);
}
