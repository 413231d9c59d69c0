//! VDA 5050: every message that we make fits the official schemas and reads back; foreign messages are read.
#![allow(clippy::unwrap_used)] // Helpers of tests are not known as tests to clippy.

mod dice;

use std::path::Path;

use dice::Dice;
use jsonschema::Validator;
use linefree_bus::vda5050::order::{InstantActions, Order};
use linefree_bus::vda5050::state::{ActionStatus, Connection, ConnectionState, State, Visualization};
use linefree_bus::vda5050::{Message, MessageError, RobotId, check, decode, encode};
use proptest::prelude::*;
use serde_json::{Value, json};

fn validator(name: &str) -> Validator {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/official/vda5050-2.1.0");
    let text = std::fs::read_to_string(folder.join(format!("{name}.schema"))).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

fn robot() -> RobotId {
    RobotId::new("linefree", "amr-1")
}

/// What is written fits the schema, and reads back as it was.
fn fits<M: Message + PartialEq + std::fmt::Debug>(validator: &Validator, message: &M) {
    let bytes = encode(message).unwrap();
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?} in {value:#}");
    assert_eq!(&decode::<M>(&robot(), &bytes).unwrap(), message);
}

fn made_fit<M: Message + PartialEq + std::fmt::Debug>(name: &str, make: impl Fn(&mut Dice) -> M) {
    let validator = validator(name);
    let words = proptest::collection::vec(any::<u32>(), 0..300);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let run = |words: Vec<u32>| {
        fits(&validator, &make(&mut Dice::new(words)));
        Ok(())
    };
    runner.run(&words, run).unwrap();
}

#[test]
fn orders_fit() {
    made_fit("order", Dice::order);
}

#[test]
fn instant_actions_fit() {
    made_fit("instantActions", |d| InstantActions::new(d.header(), d.list(Dice::action)));
}

#[test]
fn states_fit() {
    made_fit("state", Dice::state);
}

#[test]
fn visualizations_fit() {
    made_fit("visualization", |d| Visualization {
        header: d.some(Dice::header),
        agv_position: d.some(Dice::position),
        velocity: d.some(Dice::velocity),
    });
}

#[test]
fn connections_fit() {
    let states = [ConnectionState::Online, ConnectionState::Offline, ConnectionState::ConnectionBroken];
    made_fit("connection", |d| Connection { header: d.header(), connection_state: d.of(&states) });
}

#[test]
fn factsheets_fit() {
    made_fit("factsheet", Dice::factsheet);
}

/// What the schema asks for is asked for here too: without a required field nothing is read.
#[test]
fn a_message_without_a_required_field_is_refused() {
    let state = Dice::new(Vec::new()).state();
    let whole = serde_json::to_value(&state).unwrap();
    let validator = validator("state");
    for field in whole.as_object().unwrap().keys() {
        let mut without = whole.clone();
        without.as_object_mut().unwrap().remove(field);
        let bytes = serde_json::to_vec(&without).unwrap();
        let ours = decode::<State>(&robot(), &bytes).is_ok();
        assert_eq!(ours, validator.is_valid(&without), "{field}");
    }
}

/// A state as a robot of another make sends it: newer fields, an older version, `PAUSED`, no zone in the time.
#[test]
fn a_foreign_state_is_read() {
    let state = json!({
        "headerId": 7, "timestamp": "2026-11-23T08:15:00.12", "version": "2.0.0",
        "manufacturer": "linefree", "serialNumber": "amr-1",
        "orderId": "", "orderUpdateId": 0, "lastNodeId": "l1", "lastNodeSequenceId": 0,
        "nodeStates": [], "edgeStates": [], "driving": false, "operatingMode": "AUTOMATIC",
        "actionStates": [{ "actionId": "a", "actionStatus": "PAUSED", "retriable": true }],
        "batteryState": { "batteryCharge": 80, "charging": false, "batteryCurrent": -1.5 },
        "errors": [], "information": [], "loads": [],
        "safetyState": { "eStop": "NONE", "fieldViolation": false },
        "agvPosition": { "x": 1, "y": 2, "theta": 0, "mapId": "floor", "positionInitialized": true },
        "powerState": { "newInVersion": 3 }
    });
    let read: State = decode(&robot(), state.to_string().as_bytes()).unwrap();
    assert_eq!(read.action_states[0].action_status, ActionStatus::Paused);
    assert_eq!((read.battery_state.battery_charge, read.header.version.as_str()), (80.0, "2.0.0"));
    assert!(!read.is_idle());
}

#[test]
fn what_is_wrong_is_named() {
    let order = Dice::new(Vec::new()).order();
    let bytes = |change: fn(&mut Value)| {
        let mut value = serde_json::to_value(&order).unwrap();
        change(&mut value);
        serde_json::to_vec(&value).unwrap()
    };
    let read = |bytes: &[u8]| decode::<Order>(&robot(), bytes).unwrap_err();
    let error = read(&bytes(|v| v["nodes"] = json!([{ "nodeId": 5 }])));
    assert!(error.to_string().contains("nodes[0].nodeId"), "{error}");
    assert!(matches!(read(&bytes(|v| v["version"] = json!("3.0.0"))), MessageError::OtherVersion(_)));
    assert!(matches!(read(&bytes(|v| v["serialNumber"] = json!("x"))), MessageError::OtherRobot { .. }));
    assert!(matches!(read(&vec![b' '; 300 * 1024]), MessageError::TooLarge(_)));
    assert!(matches!(read(b"{"), MessageError::Malformed { .. }));
    assert_eq!(check::check(&order), Err(check::OrderProblem::NoNodes));
}
