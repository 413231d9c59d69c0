//! Who may say and hear what: one table by role, for the gatekeeper and for Mosquitto.
//!
//! A device is what its certificate says ([`DeviceName`]): a source of one store, with a role. It publishes under its
//! own name only; nobody may subscribe to everything, and a filter with a wildcard is allowed only where the table says
//! *any*. Whatever is not in the table is denied, topics outside `linefree/v1/` among it.

use std::fmt::Write as _;

use crate::identity::DeviceName;
use crate::topic::{Subscription, Topic, TopicKind};

/// Whose topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Those that name the device itself.
    Own,
    /// Those of every source of the store.
    Any,
}

use TopicKind::{Ack, Counts, Event, People, Progress, Resend, Shoppers, Status, Watermark};
use Whose::{Any, Own};

type Rules = &'static [(TopicKind, Whose)];

/// The roles that certificates are given for.
pub const ROLES: [&str; 7] = ["camera", "shelf", "gate", "floor", "scale", "ledger", "watcher"];

/// What a role may publish and subscribe to.
fn rules(role: &str) -> (Rules, Rules) {
    match role {
        "camera" => (
            &[(People, Own), (Watermark, Own), (Status, Own), (Event, Own)],
            &[(Status, Own), (Progress, Any), (Ack, Own), (Resend, Own)],
        ),
        "shelf" => (
            &[(Event, Own), (Watermark, Own), (Status, Own)],
            &[(Status, Own), (Progress, Any), (Ack, Own), (Resend, Own), (Counts, Any)],
        ),
        "gate" => (
            &[(Event, Own), (Watermark, Own), (Status, Own)],
            &[(Status, Own), (Progress, Any), (Ack, Own), (Resend, Own)],
        ),
        "floor" => (
            &[(Event, Own), (Watermark, Own), (Status, Own), (Shoppers, Own), (Progress, Own), (Resend, Any)],
            &[(Status, Own), (People, Any), (Event, Any), (Watermark, Any), (Ack, Own), (Resend, Own)],
        ),
        "scale" => (&[(Counts, Own), (Status, Own)], &[(Status, Own)]),
        "ledger" => (
            &[(Event, Own), (Watermark, Own), (Status, Own), (Ack, Any), (Resend, Any)],
            &[
                (Event, Any),
                (Watermark, Any),
                (Status, Any),
                (Shoppers, Any),
                (Progress, Any),
                (Ack, Own),
                (Resend, Own),
            ],
        ),
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

    /// May it publish to this topic?
    #[must_use]
    pub fn may_publish(&self, topic: &str) -> bool {
        Topic::parse(topic).is_ok_and(|topic| self.allows(rules(&self.device.role).0, &topic))
    }

    /// May it subscribe to this filter?
    #[must_use]
    pub fn may_subscribe(&self, filter: &str) -> bool {
        let rules = rules(&self.device.role).1;
        let whole = |(kind, whose): &(TopicKind, Whose)| {
            *whose == Any && Subscription::all(*kind).filter(&self.device.store).is_ok_and(|f| f == filter)
        };
        rules.iter().any(whole) || Topic::parse(filter).is_ok_and(|topic| self.allows(rules, &topic))
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
        for topic in ["camera/cam1/people", "watermark/cam1", "status/cam1"] {
            assert!(camera.may_publish(&format!("linefree/v1/nano/{topic}")), "{topic}");
        }
        for topic in [
            "linefree/v1/nano/camera/cam2/people",
            "linefree/v1/nano/status/cam2",
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
        for (device, filter) in [
            (acl("floor-1", "floor"), "linefree/v1/nano/#"),
            (acl("floor-1", "floor"), "#"),
            (acl("floor-1", "floor"), "+/v1/nano/camera/+/people"),
            (acl("floor-1", "floor"), "linefree/v1/+/camera/+/people"),
            (acl("floor-1", "floor"), "linefree/v1/nano/+/+/people"),
            (acl("cam1", "camera"), "linefree/v1/nano/camera/+/people"),
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
    fn mosquitto_gets_the_same_table() {
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
