//! What goes wrong, one thing at a time.

use linefree_bus::vda5050::state::OperatingMode;

use super::super::{STAFF, TaskState};
use super::robot::Fault;
use super::{FakeRobot, Floor, MasterControl, SECOND_US, layout, pick};

/// The robot that has the task, and the other one.
fn who_has(floor: &Floor, task: &str) -> (usize, usize) {
    let name = floor.updates.iter().rfind(|u| u.task == task).and_then(|u| u.assignee.clone()).unwrap();
    let i = floor.robots.iter().position(|r| r.id.to_string() == name).unwrap();
    (i, 1 - i)
}

fn begun() -> (Floor, usize, usize) {
    let mut floor = Floor::new();
    floor.assign(pick("t-1", "g/1/2"));
    let (has, other) = who_has(&floor, "t-1");
    // It has the order and stands at home still.
    floor.tell(has);
    assert!(floor.is("t-1", TaskState::Underway));
    (floor, has, other)
}

fn done_by(floor: &Floor, robot: usize) -> bool {
    let name = floor.robots[robot].id.to_string();
    floor.told("t-1").last() == Some(&(TaskState::Done, Some(name.as_str())))
}

#[test]
fn an_order_that_is_not_heard_is_sent_again() {
    let mut floor = Floor::new();
    for robot in &mut floor.robots {
        robot.faults.insert(Fault::Deaf);
    }
    floor.assign(pick("t-1", "g/1/2"));
    let (has, _) = who_has(&floor, "t-1");
    for _ in 0..5 {
        floor.second();
    }
    floor.robots[has].faults.clear();
    floor.until(60, |f| f.is("t-1", TaskState::Done));
    assert!(done_by(&floor, has));
}

#[test]
fn a_robot_that_never_takes_its_order_loses_the_task() {
    let mut floor = Floor::new();
    for robot in &mut floor.robots {
        robot.faults.insert(Fault::Deaf);
    }
    floor.assign(pick("t-0", "g/1/1"));
    let (_, other) = who_has(&floor, "t-0");
    floor.robots[other].faults.clear();
    floor.until(300, |f| f.is("t-0", TaskState::Done));
    let other = floor.robots[other].id.to_string();
    assert_eq!(floor.told("t-0").last(), Some(&(TaskState::Done, Some(other.as_str()))));
}

#[test]
fn a_refused_order_goes_to_another_robot() {
    let mut floor = Floor::new();
    for robot in &mut floor.robots {
        robot.faults.insert(Fault::Refuses);
    }
    floor.assign(pick("t-1", "g/1/2"));
    let (has, other) = who_has(&floor, "t-1");
    floor.robots[other].faults.clear();
    floor.tell(has);
    floor.until(90, |f| f.is("t-1", TaskState::Done));
    assert!(done_by(&floor, other));
    let reason = floor.updates.iter().find_map(|u| u.reason.clone()).unwrap();
    assert!(reason.contains("noRouteError because"), "{reason}");
}

#[test]
fn a_refused_update_ends_the_order_and_the_robot_goes_on_along_its_way() {
    let mut floor = Floor::new();
    for robot in &mut floor.robots {
        robot.faults.insert(Fault::RefusesUpdates);
    }
    floor.assign(pick("t-1", "g/1/1"));
    let (has, other) = who_has(&floor, "t-1");
    floor.robots[other].faults.clear();
    floor.until(60, |f| f.robots[has].instant.iter().any(|a| a == "cancelOrder"));
    floor.robots[has].faults.clear();
    floor.until(200, |f| f.is("t-1", TaskState::Done));
    assert!(done_by(&floor, other));
    floor.until(100, |f| f.robots.iter().all(|r| r.node.starts_with('h')));
}

#[test]
fn a_failed_pick_goes_to_another_robot_and_then_to_staff() {
    let mut floor = Floor::new();
    for robot in &mut floor.robots {
        robot.faults.insert(Fault::Fumbles);
    }
    floor.assign(pick("t-1", "g/1/2"));
    floor.until(200, |f| f.told("t-1").last() == Some(&(TaskState::Assigned, Some(STAFF))));
    let tried: std::collections::BTreeSet<_> = floor
        .told("t-1")
        .iter()
        .filter_map(|(_, who)| who.map(str::to_owned))
        .filter(|who| who != STAFF)
        .collect();
    assert_eq!(tried.len(), 2, "both robots have tried");
    let reason = floor.updates.last().unwrap().reason.clone().unwrap();
    assert!(reason.contains("pick failed") && reason.contains("2 times"), "{reason}");
    floor.until(60, |f| f.robots.iter().all(|r| r.node.starts_with('h')));
}

#[test]
fn a_lost_robot_keeps_its_nodes_and_another_does_the_task() {
    let (mut floor, has, other) = begun();
    floor.disconnect(has);
    let kept: Vec<usize> = floor.control.traffic().way(has).take(2).collect();
    floor.until(40, |f| f.told("t-1").iter().filter(|(s, _)| *s == TaskState::Assigned).count() == 2);
    assert_eq!(who_has(&floor, "t-1").0, other);
    assert!(kept.iter().all(|n| floor.control.traffic().first(*n) == Some(has)), "its nodes were given away");
    assert!(floor.notices.iter().any(|n| n.contains("lost")), "{:?}", floor.notices);
    // It drives to the end of its base without us; then it is back.
    floor.until(5, |f| f.robots[has].order.as_ref().is_none_or(|o| o.nodes.iter().all(|n| !n.released)));
    floor.connect(has);
    assert!(floor.robots[has].instant.iter().any(|a| a == "cancelOrder"));
    floor.until(120, |f| f.is("t-1", TaskState::Done));
    assert!(done_by(&floor, other));
    floor.until(90, |f| f.robots.iter().all(|r| r.node.starts_with('h')));
}

#[test]
fn a_robot_that_is_back_at_once_goes_on() {
    let (mut floor, has, _) = begun();
    floor.disconnect(has);
    for _ in 0..5 {
        floor.second();
    }
    floor.connect(has);
    floor.until(60, |f| f.is("t-1", TaskState::Done));
    assert!(done_by(&floor, has));
    assert_eq!(floor.told("t-1").len(), 3);
}

#[test]
fn a_silent_robot_is_a_lost_robot() {
    let (mut floor, has, other) = begun();
    floor.robots[has].online = false;
    floor.until(150, |f| f.is("t-1", TaskState::Done));
    assert!(done_by(&floor, other));
}

#[test]
fn a_broken_robot_loses_its_task_at_once_and_staff_push_it_home() {
    let (mut floor, has, other) = begun();
    floor.second();
    floor.robots[has].faults.insert(Fault::Broken);
    floor.tell(has);
    assert!(floor.told("t-1").iter().any(|(s, _)| *s == TaskState::Waiting));
    assert!(floor.notices.iter().any(|n| n.contains("scannerError")), "{:?}", floor.notices);
    // Staff mend it and push it home.
    let robot = &mut floor.robots[has];
    robot.faults.clear();
    robot.order = None;
    robot.actions.clear();
    robot.loads.clear();
    robot.node = if has == 0 { "h1".to_owned() } else { "h2".to_owned() };
    let id = robot.id.clone();
    assert!(floor.control.moved_home(&id, floor.now_us));
    floor.hand_over();
    assert!(floor.robots[has].instant.iter().any(|a| a == "initPosition"));
    floor.until(120, |f| f.is("t-1", TaskState::Done));
    assert!(done_by(&floor, other));
    floor.until(60, |f| f.robots.iter().all(|r| r.node.starts_with('h')));
    // It works again.
    floor.robots[other].faults.insert(Fault::Broken);
    floor.tell(other);
    floor.assign(pick("t-2", "g/1/1"));
    floor.until(120, |f| f.is("t-2", TaskState::Done));
}

/// Staff need not say anything: a robot that tells that it stands at home is in service again.
#[test]
fn a_robot_that_was_switched_off_and_pushed_home_works_again() {
    let (mut floor, has, other) = begun();
    floor.second();
    floor.robots[has].faults.insert(Fault::Stuck);
    floor.disconnect(has);
    floor.until(40, |f| f.notices.iter().any(|n| n.contains("lost")));
    let robot = &mut floor.robots[has];
    robot.faults.clear();
    robot.order = None;
    robot.order_id = String::new();
    robot.actions.clear();
    robot.sequence = 0;
    robot.node = if has == 0 { "h1".to_owned() } else { "h2".to_owned() };
    floor.connect(has);
    floor.until(120, |f| f.is("t-1", TaskState::Done));
    floor.until(60, |f| f.robots.iter().all(|r| r.node.starts_with('h')));
    floor.robots[other].faults.insert(Fault::Broken);
    floor.tell(other);
    floor.assign(pick("t-2", "g/1/1"));
    floor.until(120, |f| f.is("t-2", TaskState::Done));
    assert_eq!(who_has(&floor, "t-2").0, has);
}

#[test]
fn a_robot_that_a_person_drives_is_left_alone() {
    let (mut floor, has, other) = begun();
    floor.robots[has].mode = OperatingMode::Manual;
    floor.robots[has].order = None;
    floor.tell(has);
    floor.until(120, |f| f.is("t-1", TaskState::Done));
    assert!(done_by(&floor, other));
}

#[test]
fn a_stuck_robot_loses_its_task() {
    let (mut floor, has, other) = begun();
    floor.robots[has].faults.insert(Fault::Stuck);
    floor.until(300, |f| f.is("t-1", TaskState::Done));
    assert!(done_by(&floor, other));
    assert!(floor.notices.iter().any(|n| n.contains("does not get on")), "{:?}", floor.notices);
}

#[test]
fn a_task_that_no_robot_is_left_for_goes_to_staff() {
    let mut floor = Floor::new();
    for i in 0..2 {
        floor.robots[i].faults.insert(Fault::Broken);
        floor.tell(i);
    }
    floor.assign(pick("t-1", "g/1/2"));
    floor.until(60, |f| f.told("t-1") == [(TaskState::Assigned, Some(STAFF))]);
    // Nor does anybody drive to a plate that no bay reaches, or that is none.
    floor.assign(pick("t-2", "g/1/3"));
    assert_eq!(floor.told("t-2"), [(TaskState::Assigned, Some(STAFF))]);
    floor.assign(pick("t-3", "nowhere"));
    assert_eq!(floor.told("t-3"), [(TaskState::Failed, None)]);
}

#[test]
fn a_task_that_is_late_goes_to_staff() {
    let mut floor = Floor::with(vec![FakeRobot::at("r1", "h1")]);
    floor.now_us = 20 * SECOND_US;
    floor.robots[0].charge = 5.0;
    floor.tell(0);
    let due_us = floor.now_us + 40 * SECOND_US;
    floor.assign(super::RobotTask { due_us, ..pick("t-1", "g/1/2") });
    floor.until(60, |f| f.told("t-1") == [(TaskState::Assigned, Some(STAFF))]);
    assert!(floor.now_us > due_us);
}

#[test]
fn a_task_is_called_off_before_and_after_it_was_picked() {
    let (mut floor, has, _) = begun();
    floor.control.cancel("t-1", floor.now_us);
    floor.hand_over();
    assert!(floor.is("t-1", TaskState::Cancelled));
    assert!(floor.robots[has].instant.iter().any(|a| a == "cancelOrder"));
    floor.until(60, |f| f.robots.iter().all(|r| r.node.starts_with('h')));
    assert!(floor.robots[has].loads.is_empty());

    floor.assign(pick("t-2", "g/1/2"));
    floor.until(60, |f| f.robots.iter().any(|r| !r.loads.is_empty()));
    floor.control.cancel("t-2", floor.now_us);
    floor.hand_over();
    let told = floor.updates.last().unwrap();
    assert!(told.state == TaskState::Cancelled && told.reason.as_deref().unwrap().contains("picked"));
    floor.until(60, |f| f.robots.iter().all(|r| r.node.starts_with('h') && r.loads.is_empty()));
}

/// Master control dies and comes back knowing nothing; robots tell where they are and what they have done.
#[test]
fn a_new_master_control_picks_up_what_the_old_one_began() {
    let mut floor = Floor::new();
    floor.assign(pick("t-1", "g/1/1"));
    floor.until(60, |f| f.robots.iter().any(|r| !r.loads.is_empty()));
    let has = floor.robots.iter().position(|r| !r.loads.is_empty()).unwrap();
    // Two steps on its way to the counter.
    floor.second();
    floor.second();
    floor.second();
    floor.control = MasterControl::new(&layout(), floor.now_us).unwrap();
    floor.updates.clear();
    for i in 0..2 {
        floor.connect(i);
    }
    floor.assign(pick("t-1", "g/1/1"));
    floor.until(120, |f| f.is("t-1", TaskState::Done));
    assert!(done_by(&floor, has));
    let picks: std::collections::BTreeSet<_> = floor
        .robots
        .iter()
        .flat_map(|r| &r.heard)
        .flat_map(|o| &o.nodes)
        .flat_map(|n| &n.actions)
        .filter(|a| a.action_type == "pick")
        .map(|a| a.action_id.clone())
        .collect();
    assert_eq!(picks.len(), 1, "it was picked twice");
    floor.until(60, |f| f.robots.iter().all(|r| r.node.starts_with('h')));
}

#[test]
fn a_robot_found_in_a_lane_goes_home_while_everybody_else_waits() {
    let mut floor = Floor::with(vec![FakeRobot::at("r1", "l2"), FakeRobot::at("r2", "h2")]);
    floor.assign(pick("t-1", "g/1/1"));
    floor.until(30, |f| f.robots[0].node == "h1");
    floor.until(60, |f| f.is("t-1", TaskState::Done));
}

#[test]
fn a_robot_that_nobody_knows_is_told_of_once() {
    let mut floor = Floor::new();
    let mut stranger = FakeRobot::at("r9", "l1");
    let (id, state) = (stranger.id.clone(), stranger.state());
    floor.control.handle_state(&id, state.clone(), 0);
    floor.control.handle_state(&id, state, 0);
    floor.hand_over();
    assert_eq!(floor.notices.len(), 1);
}
