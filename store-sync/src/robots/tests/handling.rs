//! What robots handle at shelves, as it is told to the floor role.

use linefree_bus::payload::Handling;
use linefree_bus::vda5050::state::{ActionState, ActionStatus};
use linefree_recording::StoreFile;

use super::super::{RobotTaskKind, TaskState};
use super::robot::Fault;
use super::*;

/// Master control as the floor would hear it now.
fn told(floor: &Floor) -> Vec<Handling> {
    floor.control.handlings(floor.now_us)
}

/// Goes on until a robot stands where it picks, and gives which one and the action's id. It has told that it waits.
fn at_the_pick(floor: &mut Floor) -> (usize, String) {
    let waits = |r: &FakeRobot| {
        let here = r.order.as_ref().is_some_and(|o| o.nodes.is_empty());
        let pick = |a: &&ActionState| a.action_id.starts_with("pick.") && !a.action_status.is_over();
        r.actions.iter().find(pick).filter(|_| here).map(|a| a.action_id.clone())
    };
    floor.until(60, |f| f.robots.iter().any(|r| waits(r).is_some()));
    let found = floor.robots.iter().enumerate().find_map(|(i, r)| Some((i, waits(r)?)));
    found.unwrap()
}

/// The robot says so of an action, and everything else as it is.
fn say(floor: &mut Floor, robot: usize, action: &str, status: ActionStatus) {
    let state = floor.robots[robot].actions.iter_mut().find(|a| a.action_id == action).unwrap();
    state.action_status = status;
    floor.tell(robot);
}

#[test]
fn a_pick_is_told_from_when_it_runs_until_15_s_after_its_end() {
    let mut floor = Floor::new();
    floor.assign(pick("t-1", "g/1/2"));
    let (robot, action) = at_the_pick(&mut floor);
    assert_eq!(told(&floor), [], "it only waits");
    floor.now_us += 300_000;
    let from_us = floor.now_us;
    say(&mut floor, robot, &action, ActionStatus::Running);
    let begun = Handling {
        handling: action.clone(),
        task: "t-1".to_owned(),
        by: floor.robots[robot].id.to_string(),
        plates: vec!["g/1/2".to_owned()],
        sku: "4006381333931".to_owned(),
        quantity: 2,
        from_us,
        to_us: None,
        moved: None,
    };
    assert_eq!(told(&floor), std::slice::from_ref(&begun));
    // Said again, it has not begun again.
    floor.now_us += SECOND_US;
    say(&mut floor, robot, &action, ActionStatus::Running);
    assert_eq!(told(&floor), std::slice::from_ref(&begun));
    floor.now_us += SECOND_US;
    let to_us = floor.now_us;
    say(&mut floor, robot, &action, ActionStatus::Finished);
    let ended = [Handling { to_us: Some(to_us), moved: Some(2), ..begun }];
    assert_eq!(told(&floor), ended);
    // The robot goes on saying that it has ended: that changes nothing, and neither does the drop at the counter.
    floor.until(20, |f| f.is("t-1", TaskState::Done));
    assert!(floor.now_us - to_us < 15 * SECOND_US, "this store is too large for the test");
    assert_eq!(told(&floor), ended);
    assert_eq!(floor.control.handlings(to_us + 15 * SECOND_US - 1), ended);
    assert_eq!(floor.control.handlings(to_us + 15 * SECOND_US), []);
    for _ in 0..30 {
        floor.second();
        floor.tell(robot);
    }
    assert_eq!(told(&floor), [], "an old end that is still in the robot's state came up again");
}

#[test]
fn a_pick_that_was_never_seen_running_began_after_the_state_before() {
    let mut floor = Floor::new();
    floor.assign(pick("t-1", "g/1/2"));
    let (robot, action) = at_the_pick(&mut floor);
    let before_us = floor.now_us;
    floor.now_us += 4 * SECOND_US;
    say(&mut floor, robot, &action, ActionStatus::Finished);
    let [only] = &told(&floor)[..] else { panic!("{:?}", told(&floor)) };
    assert_eq!((only.from_us, only.to_us, only.moved), (before_us, Some(floor.now_us), Some(2)));
}

#[test]
fn a_pick_that_failed_has_moved_nothing() {
    let mut floor = Floor::new();
    for robot in &mut floor.robots {
        robot.faults.insert(Fault::Fumbles);
    }
    floor.assign(pick("t-1", "g/1/2"));
    let (robot, action) = at_the_pick(&mut floor);
    say(&mut floor, robot, &action, ActionStatus::Running);
    let from_us = floor.now_us;
    floor.second();
    let [only] = &told(&floor)[..] else { panic!("{:?}", told(&floor)) };
    assert_eq!((only.from_us, only.to_us, only.moved), (from_us, Some(floor.now_us), Some(0)));
}

/// A robot that breaks down in the middle of a pick never says how it ended.
#[test]
fn a_pick_without_an_end_is_told_for_15_minutes() {
    let mut floor = Floor::new();
    floor.assign(pick("t-1", "g/1/2"));
    let (robot, action) = at_the_pick(&mut floor);
    say(&mut floor, robot, &action, ActionStatus::Running);
    floor.disconnect(robot);
    let from_us = floor.now_us;
    assert_eq!(floor.control.handlings(from_us + 900 * SECOND_US - 1).len(), 1);
    assert_eq!(floor.control.handlings(from_us + 900 * SECOND_US), []);
}

#[test]
fn filling_a_shelf_is_handling_it_and_fetching_from_the_stock_room_is_not() {
    let mut floor = Floor::new();
    floor.assign(RobotTask { kind: RobotTaskKind::Restock, quantity: 3, ..pick("t-1", "g/1/1") });
    let (robot, action) = at_the_pick(&mut floor);
    assert_eq!(floor.robots[robot].node, "s1");
    say(&mut floor, robot, &action, ActionStatus::Running);
    assert_eq!(told(&floor), []);
    floor.until(60, |f| f.is("t-1", TaskState::Done));
    let [only] = &told(&floor)[..] else { panic!("{:?}", told(&floor)) };
    assert!(only.handling.starts_with("drop."), "{only:?}");
    assert_eq!((&only.plates[..], only.quantity, only.moved), (&["g/1/1".to_owned()][..], -3, Some(3)));
}

#[test]
fn an_item_that_goes_back_to_its_place_is_handled_twice() {
    let mut floor = Floor::new();
    let back = RobotTask { kind: RobotTaskKind::ReturnMisplaced, ..pick("t-1", "g/1/1") };
    floor.assign(RobotTask { quantity: 1, deliver_to: "g/1/2".to_owned(), ..back });
    floor.until(90, |f| f.is("t-1", TaskState::Done));
    // All of them, also the one that ended longer ago: as if it were told at its end.
    let at = |f: &Floor, quantity: i32| {
        let all = f.control.handlings(0);
        all.into_iter().find(|h| h.quantity == quantity).map(|h| (h.plates, h.moved))
    };
    assert_eq!(at(&floor, 1), Some((vec!["g/1/1".to_owned()], Some(1))));
    assert_eq!(at(&floor, -1), Some((vec!["g/1/2".to_owned()], Some(1))));
}

/// A facing that lies on two plates: an item of it weighs on both.
#[test]
fn plates_that_weigh_a_facing_together_are_told_together() {
    let facing = "
        [[product]]\nsku = \"4006381333931\"\nname = \"Tea\"\nprice = 249\nweight_g = 250.0
        [[facing]]\nsku = \"4006381333931\"\nplates = [\"g/1/1\", \"g/1/2\"]\n";
    let store = STORE.replacen("[robots]", &format!("{facing}[robots]"), 1);
    let layout = StoreFile::parse(Path::new("store.toml"), &store).unwrap().layout;
    let plates = |sku: &str| {
        let robots = vec![FakeRobot::at("r1", "h1"), FakeRobot::at("r2", "h2")];
        let mut floor = Floor::in_store(&layout, robots);
        floor.assign(RobotTask { sku: sku.to_owned(), ..pick("t-1", "g/1/2") });
        let (robot, action) = at_the_pick(&mut floor);
        say(&mut floor, robot, &action, ActionStatus::Running);
        told(&floor).remove(0).plates
    };
    assert_eq!(plates("4006381333931"), ["g/1/1", "g/1/2"]);
    // Of another product, which does not belong there, only the plate that it is picked from is known.
    assert_eq!(plates("632565000012"), ["g/1/2"]);
}

#[test]
fn what_a_robot_did_before_it_was_first_heard_is_not_told() {
    let mut floor = Floor::with(vec![FakeRobot::at("r1", "h1")]);
    floor.assign(pick("t-1", "g/1/2"));
    let ended = |action: &str| ActionState {
        action_id: action.to_owned(),
        action_type: Some("pick".to_owned()),
        action_description: None,
        action_status: ActionStatus::Finished,
        result_description: None,
    };
    let mut late = FakeRobot::at("r2", "h2");
    late.actions = vec![ended("pick.before.t-1")];
    floor.robots.push(late);
    floor.connect(1);
    assert_eq!(told(&floor), []);
    // Neither is it when the robot says so again, nor what is no work of ours or of a task that nobody gave.
    floor.now_us += SECOND_US;
    floor.robots[1].actions.extend([ended("lift.x.t-1"), ended("pick.x.t-9"), ended("pick")]);
    floor.tell(1);
    assert_eq!(told(&floor), []);
    // An end that comes later, of a task that there is, is told.
    floor.robots[1].actions.push(ended("pick.later.t-1"));
    floor.tell(1);
    assert_eq!(told(&floor).iter().map(|h| h.handling.as_str()).collect::<Vec<_>>(), ["pick.later.t-1"]);
}
