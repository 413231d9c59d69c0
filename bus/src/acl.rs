//! Who may say and hear what: one table by role, for the gatekeeper and for Mosquitto.
//!
//! A device is what its certificate says ([`DeviceName`]): a source of one store, with a role. It publishes under its
//! own name only; nobody may subscribe to everything, and a filter with a wildcard is allowed only where the table says
//! *any*. Whatever is not in the table is denied.
//!
//! Robots speak VDA 5050 on topics of their own ([`vda5050::topic`](crate::vda5050::topic)), below whatever interface
//! name the store uses. A robot's certificate has the source `{manufacturer}:{serialNumber}` and the role `robot`: it says
//! and hears what is its own there, and nothing else. Master control runs in the ledger's process: the role `ledger`
//! commands every robot and hears every robot.

use std::fmt::Write as _;

use crate::identity::DeviceName;
use crate::topic::{Subscription, Topic, TopicKind};
use crate::vda5050::RobotId;
use crate::vda5050::topic::{ROBOT_TOPICS, RobotTopic, RobotTopics};

/// Whose topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Those that name the device itself.
    Own,
    /// Those of every source of the store.
    Any,
}

use TopicKind::{
    Ack, Counts, Event, Handlings, InForce, People, Progress, Resend, Shoppers, Status, View, Wanted,
    Watermark,
};
use Whose::{Any, Own};

type Rules = &'static [(TopicKind, Whose)];

/// The roles that certificates are given for.
pub const ROLES: [&str; 8] = ["camera", "shelf", "gate", "floor", "scale", "ledger", "watcher", "robot"];

/// What a role may publish and subscribe to.
fn rules(role: &str) -> (Rules, Rules) {
    match role {
        "camera" => (
            &[(People, Own), (View, Own), (Watermark, Own), (Status, Own), (Event, Own), (InForce, Own)],
            // Shelf events tell it when to look at what is handled.
            &[(Status, Own), (Progress, Any), (Event, Any), (Ack, Own), (Resend, Own), (Wanted, Own)],
        ),
        "shelf" => (
            &[(Event, Own), (Watermark, Own), (Status, Own), (InForce, Own)],
            &[(Status, Own), (Progress, Any), (Ack, Own), (Resend, Own), (Counts, Any), (Wanted, Own)],
        ),
        "gate" => (
            &[(Event, Own), (Watermark, Own), (Status, Own), (InForce, Own)],
            &[(Status, Own), (Progress, Any), (Ack, Own), (Resend, Own), (Wanted, Own)],
        ),
        "floor" => (
            &[
                (Event, Own),
                (Watermark, Own),
                (Status, Own),
                (Shoppers, Own),
                (Progress, Own),
                (Resend, Any),
                (InForce, Own),
            ],
            &[
                (Status, Own),
                (People, Any),
                (View, Any),
                (Event, Any),
                (Watermark, Any),
                (Handlings, Any),
                (Ack, Own),
                (Resend, Own),
                (Wanted, Own),
            ],
        ),
        "scale" => (&[(Counts, Own), (Status, Own)], &[(Status, Own)]),
        "ledger" => (
            &[
                (Event, Own),
                (Watermark, Own),
                (Status, Own),
                (Handlings, Own),
                (Ack, Any),
                (Resend, Any),
                (Wanted, Any),
            ],
            &[
                (Event, Any),
                (Watermark, Any),
                (Status, Any),
                (Shoppers, Any),
                (Progress, Any),
                (Ack, Own),
                (Resend, Own),
                (InForce, Any),
            ],
        ),
        // Its other topics are those of VDA 5050.
        "robot" => (&[(Status, Own)], &[]),
        // Listens to the state of devices, for a dashboard.
        "watcher" => (&[(Status, Own)], &[(Status, Any)]),
        _ => (&[], &[]),
    }
}

/// What one device may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    device: DeviceName,
}

impl Acl {
    /// Of a device.
    #[must_use]
    pub fn new(device: DeviceName) -> Self {
        Self { device }
    }

    fn allows(&self, rules: Rules, topic: &Topic) -> bool {
        topic.store() == self.device.store
            && rules.iter().any(|(kind, whose)| {
                *kind == topic.kind() && (*whose == Any || topic.source() == self.device.source)
            })
    }

    /// May it say (or hear) this topic of this robot?
    fn allows_robot(&self, robot: &RobotId, topic: RobotTopic, says: bool) -> bool {
        match self.device.role.as_str() {
            "robot" => own_robot(&self.device).as_ref() == Some(robot) && topic.from_master() != says,
            "ledger" => topic.from_master() == says,
            _ => false,
        }
    }

    /// May it publish to this topic?
    #[must_use]
    pub fn may_publish(&self, topic: &str) -> bool {
        if let Some((_, robot, topic)) = RobotTopics::of_topic(topic) {
            return self.allows_robot(&robot, topic, true);
        }
        Topic::parse(topic).is_ok_and(|topic| self.allows(rules(&self.device.role).0, &topic))
    }

    /// May it subscribe to this filter?
    #[must_use]
    pub fn may_subscribe(&self, filter: &str) -> bool {
        if let Some((_, robot, topic)) = RobotTopics::of_topic(filter) {
            return self.allows_robot(&robot, topic, false);
        }
        if self.device.role == "ledger" && RobotTopics::of_filter(filter).is_some_and(|t| !t.from_master()) {
            return true;
        }
        let rules = rules(&self.device.role).1;
        let whole = |(kind, whose): &(TopicKind, Whose)| {
            *whose == Any && Subscription::all(*kind).filter(&self.device.store).is_ok_and(|f| f == filter)
        };
        rules.iter().any(whole) || Topic::parse(filter).is_ok_and(|topic| self.allows(rules, &topic))
    }
}

/// The robot that a device is: its source is `{manufacturer}:{serialNumber}`.
fn own_robot(device: &DeviceName) -> Option<RobotId> {
    let (manufacturer, serial) = device.source.split_once(':')?;
    Some(RobotId::new(manufacturer, serial))
}

/// The topics of robots for Mosquitto: any interface name, as in [`Acl`].
fn mosquitto_robots(device: &DeviceName, text: &mut String) {
    let robot = match device.role.as_str() {
        "robot" => own_robot(device),
        "ledger" => Some(RobotId::new("+", "+")),
        _ => None,
    };
    let Some(robot) = robot else { return };
    for topic in ROBOT_TOPICS {
        let says = topic.from_master() == (device.role == "ledger");
        let right = if says { "write" } else { "read" };
        let name = topic.name();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "topic {right} +/v2/{}/{}/{name}", robot.manufacturer, robot.serial);
    }
}

/// The text of Mosquitto's `acl_file` for these devices. With `use_identity_as_username true` a device's user name is
/// its certificate's common name, which is its source.
#[must_use]
pub fn mosquitto(devices: &[DeviceName]) -> String {
    let mut text = String::from("# Made by `store-sync provision acl`. What is not named here is denied.\n");
    for device in devices {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\nuser {}", device.source);
        let (publish, subscribe) = rules(&device.role);
        for (right, rules) in [("write", publish), ("read", subscribe)] {
            for (kind, whose) in rules {
                let subscription = match whose {
                    Own => Subscription::of(*kind, device.source.as_str()),
                    Any => Subscription::all(*kind),
                };
                if let Ok(filter) = subscription.filter(&device.store) {
                    let _ = writeln!(text, "topic {right} {filter}");
                }
            }
        }
        mosquitto_robots(device, &mut text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(source: &str, role: &str) -> Acl {
        Acl::new(DeviceName::new("nano", source, role).unwrap())
    }

    fn nobody() -> Acl {
        Acl::new(DeviceName { store: "nano".into(), source: "x".into(), role: "nobody".into() })
    }

    #[test]
    fn a_camera_says_only_what_is_its_own() {
        let camera = acl("cam1", "camera");
        for topic in ["camera/cam1/people", "camera/cam1/view", "watermark/cam1", "status/cam1"] {
            assert!(camera.may_publish(&format!("linefree/v1/nano/{topic}")), "{topic}");
        }
        for topic in [
            "linefree/v1/nano/camera/cam2/people",
            "linefree/v1/nano/camera/cam2/view",
            "linefree/v1/nano/status/cam2",
            "linefree/v1/nano/release/cam1/wanted",
            "linefree/v1/nano/release/cam2/in_force",
            "linefree/v1/nano/event/shelf-1",
            "linefree/v1/nano/ledger/ack/cam1",
            "linefree/v1/mega/camera/cam1/people",
            "linefree/v1/nano/camera/+/people",
            "linefree/v2/nano/camera/cam1/people",
            "$SYS/broker/uptime",
            "",
        ] {
            assert!(!camera.may_publish(topic), "{topic}");
        }
    }

    #[test]
    fn wildcards_are_allowed_only_where_the_table_says_so() {
        let floor = acl("floor-1", "floor");
        assert!(floor.may_subscribe("linefree/v1/nano/camera/+/people"));
        assert!(floor.may_subscribe("linefree/v1/nano/camera/cam9/people"));
        assert!(floor.may_subscribe("linefree/v1/nano/camera/+/view"));
        assert!(acl("cam1", "camera").may_subscribe("linefree/v1/nano/event/+"));
        for (device, filter) in [
            (acl("floor-1", "floor"), "linefree/v1/nano/#"),
            (acl("floor-1", "floor"), "#"),
            (acl("floor-1", "floor"), "+/v1/nano/camera/+/people"),
            (acl("floor-1", "floor"), "linefree/v1/+/camera/+/people"),
            (acl("floor-1", "floor"), "linefree/v1/nano/+/+/people"),
            (acl("cam1", "camera"), "linefree/v1/nano/camera/+/people"),
            (acl("cam1", "camera"), "linefree/v1/nano/release/+/wanted"),
            (acl("cam1", "camera"), "linefree/v1/nano/release/cam2/wanted"),
            (acl("cam1", "camera"), "linefree/v1/nano/ledger/ack/+"),
            (acl("cam1", "camera"), "linefree/v1/nano/ledger/ack/cam2"),
            (nobody(), "linefree/v1/nano/status/x"),
        ] {
            assert!(!device.may_subscribe(filter), "{device:?} {filter}");
        }
    }

    #[test]
    fn every_role_may_say_how_it_is() {
        for role in ROLES {
            let device = acl("x-1", role);
            assert!(device.may_publish("linefree/v1/nano/status/x-1"), "{role}");
            assert!(!device.may_publish("linefree/v1/nano/status/x-2"), "{role}");
        }
    }

    #[test]
    fn a_robot_says_and_hears_only_what_is_its_own() {
        let robot = acl("acme:amr-1", "robot");
        for topic in ["state", "visualization", "connection", "factsheet"] {
            assert!(robot.may_publish(&format!("uagv/v2/acme/amr-1/{topic}")), "{topic}");
            assert!(!robot.may_publish(&format!("uagv/v2/acme/amr-2/{topic}")), "{topic}");
            assert!(!robot.may_publish(&format!("uagv/v2/other/amr-1/{topic}")), "{topic}");
            assert!(!robot.may_subscribe(&format!("uagv/v2/acme/amr-1/{topic}")), "{topic}");
        }
        for topic in ["order", "instantActions"] {
            assert!(robot.may_subscribe(&format!("uagv/v2/acme/amr-1/{topic}")), "{topic}");
            assert!(!robot.may_subscribe(&format!("uagv/v2/acme/amr-2/{topic}")), "{topic}");
            assert!(!robot.may_publish(&format!("uagv/v2/acme/amr-1/{topic}")), "{topic}");
        }
        for filter in
            ["uagv/v2/+/+/order", "uagv/v2/acme/+/order", "uagv/v2/#", "#", "uagv/v1/acme/amr-1/order"]
        {
            assert!(!robot.may_subscribe(filter), "{filter}");
        }
        assert!(!robot.may_publish("linefree/v1/nano/event/acme:amr-1"));
    }

    #[test]
    fn only_master_control_commands_robots_and_hears_them_all() {
        let master = acl("ledger", "ledger");
        assert!(master.may_publish("uagv/v2/acme/amr-1/order"));
        assert!(master.may_publish("shop/v2/acme/amr-1/instantActions"));
        assert!(!master.may_publish("uagv/v2/acme/amr-1/state"));
        assert!(master.may_subscribe("uagv/v2/+/+/state") && master.may_subscribe("shop/v2/+/+/connection"));
        for filter in ["uagv/v2/+/+/order", "+/v2/+/+/state", "uagv/v2/+/+/+", "linefree/v2/+/+/state"] {
            assert!(!master.may_subscribe(filter), "{filter}");
        }
        for other in ["camera", "floor", "watcher"] {
            let other = acl("x", other);
            assert!(!other.may_publish("uagv/v2/acme/amr-1/order"));
            assert!(!other.may_subscribe("uagv/v2/+/+/state"));
        }
    }

    #[test]
    fn mosquitto_gets_the_same_table() {
        let text = mosquitto(&[
            DeviceName::new("nano", "acme:amr-1", "robot").unwrap(),
            DeviceName::new("nano", "ledger", "ledger").unwrap(),
        ]);
        assert!(text.contains("topic write +/v2/acme/amr-1/state\n"), "{text}");
        assert!(text.contains("topic read +/v2/acme/amr-1/order\n"), "{text}");
        assert!(text.contains("topic write +/v2/+/+/order\n"), "{text}");
        assert!(!text.contains("topic write +/v2/+/+/state\n"), "{text}");
        let text = mosquitto(&[
            DeviceName::new("nano", "cam1", "camera").unwrap(),
            DeviceName::new("nano", "floor-1", "floor").unwrap(),
        ]);
        let (camera, floor) = text.split_once("user floor-1").unwrap();
        assert!(camera.contains("user cam1\ntopic write linefree/v1/nano/camera/cam1/people\n"), "{text}");
        assert!(
            !camera.contains("camera/+") && floor.contains("topic read linefree/v1/nano/camera/+/people\n")
        );
    }
}
