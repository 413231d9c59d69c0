//! When a gate is open: sans-IO, time is passed in.
//!
//! | asked by | what happens |
//! | --- | --- |
//! | a genuine code | open for `open_s` seconds, [`GatePassed`] with credential and party |
//! | a code that is denied | stays shut, the reason is told |
//! | somebody at the exit sensor | open for as long, [`GatePassed`] out; nobody ever needs a code to leave |
//! | a fire alarm, or its wire being cut | open until the alarm is over; nobody is asked for a code |
//!
//! The lock is one that needs power to hold: no power, no controller or no process is an open gate.

use linefree_domain::ids::GateIndex;
use linefree_domain::time::StoreTime;
use linefree_domain::visit::GatePassed;

use super::token::{Deny, Verifier};

/// What a gate was asked, or saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateInput {
    /// A code was presented.
    Presented(String),
    /// Somebody is at the exit sensor.
    AtExit,
    /// Is there a fire alarm?
    Fire(bool),
}

/// What a gate says.
#[derive(Debug, Clone, PartialEq)]
pub enum GateOutput {
    /// Somebody passes.
    Passed(GatePassed),
    /// Somebody was not let in, and why.
    Denied(Deny),
}

/// The control of one gate.
#[derive(Debug)]
pub struct GateControl {
    gate: GateIndex,
    /// Does it let in? One that does not denies every code.
    lets_in: bool,
    verifier: Option<Verifier>,
    /// How long it stays open, seconds.
    open_s: f64,
    open_until: Option<StoreTime>,
    fire: bool,
    /// Somebody stood at the exit when last looked: one person is one passage.
    at_exit_until: Option<StoreTime>,
}

/// The exit sensor is not believed to see somebody else within this, seconds.
const SAME_PERSON_S: f64 = 1.0;

impl GateControl {
    /// Shut. Without a verifier nobody comes in by a code.
    #[must_use]
    pub fn new(gate: GateIndex, lets_in: bool, verifier: Option<Verifier>, open_s: f64) -> Self {
        Self { gate, lets_in, verifier, open_s, open_until: None, fire: false, at_exit_until: None }
    }

    /// Takes what happened.
    pub fn handle(&mut self, input: GateInput, now: StoreTime) -> Option<GateOutput> {
        match input {
            GateInput::Fire(fire) => {
                self.fire = fire;
                None
            }
            GateInput::AtExit => {
                let same = self.at_exit_until.is_some_and(|until| now < until);
                self.at_exit_until = Some(now.plus_s(SAME_PERSON_S));
                self.open_until = Some(now.plus_s(self.open_s));
                let passed =
                    GatePassed { time: now, gate: self.gate, entry: false, credential: None, party: 1 };
                (!same).then_some(GateOutput::Passed(passed))
            }
            GateInput::Presented(text) => Some(self.present(&text, now)),
        }
    }

    fn present(&mut self, text: &str, now: StoreTime) -> GateOutput {
        let Some(verifier) = self.verifier.as_mut().filter(|_| self.lets_in) else {
            return GateOutput::Denied(Deny::ExitOnly);
        };
        match verifier.admit(text, now) {
            Ok(token) => {
                self.open_until = Some(now.plus_s(self.open_s));
                GateOutput::Passed(GatePassed {
                    time: now,
                    gate: self.gate,
                    entry: true,
                    credential: Some(token.credential),
                    party: token.party,
                })
            }
            Err(deny) => GateOutput::Denied(deny),
        }
    }

    /// Is it to be open now?
    #[must_use]
    pub fn open(&self, now: StoreTime) -> bool {
        self.fire || self.open_until.is_some_and(|until| now < until)
    }

    /// Is there a fire alarm?
    #[must_use]
    pub fn fire(&self) -> bool {
        self.fire
    }

    /// What must survive a restart, see [`Verifier::used_text`].
    #[must_use]
    pub fn used_text(&self) -> String {
        self.verifier.as_ref().map(Verifier::used_text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use linefree_domain::ids::Credential;

    use super::super::token::{Issuer, Token};
    use super::*;

    const NOW_S: i64 = 1_790_000_000;

    fn at(seconds: f64) -> StoreTime {
        StoreTime::from_micros(NOW_S * 1_000_000).plus_s(seconds)
    }

    fn gate(lets_in: bool) -> (GateControl, String) {
        let issuer = Issuer::from_text(&Issuer::generate().unwrap()).unwrap();
        let verifier = Verifier::from_text("nano", &issuer.public_text()).unwrap();
        let token = Token {
            store: "nano".into(),
            credential: Credential::new("c1").unwrap(),
            party: 2,
            issued_s: NOW_S,
            expires_s: NOW_S + 60,
            nonce: "n".into(),
        };
        (GateControl::new(GateIndex(3), lets_in, Some(verifier), 5.0), issuer.sign(&token))
    }

    #[test]
    fn a_genuine_code_opens_for_a_while() {
        let (mut gate, code) = gate(true);
        assert!(!gate.open(at(0.0)));
        let Some(GateOutput::Passed(passed)) = gate.handle(GateInput::Presented(code.clone()), at(0.0))
        else {
            panic!("denied");
        };
        assert_eq!((passed.gate, passed.entry, passed.party), (GateIndex(3), true, 2));
        assert!(gate.open(at(4.9)) && !gate.open(at(5.0)));
        let again = gate.handle(GateInput::Presented(code), at(6.0));
        assert_eq!(again, Some(GateOutput::Denied(Deny::Used)));
        assert!(!gate.open(at(6.0)));
    }

    #[test]
    fn leaving_needs_no_code_and_counts_once_a_person() {
        let (mut gate, _) = gate(true);
        let passed = |out: Option<GateOutput>| matches!(out, Some(GateOutput::Passed(p)) if !p.entry);
        assert!(passed(gate.handle(GateInput::AtExit, at(0.0))));
        assert!(gate.open(at(0.0)));
        assert!(!passed(gate.handle(GateInput::AtExit, at(0.8))), "the same person was counted twice");
        assert!(!passed(gate.handle(GateInput::AtExit, at(1.6))), "and who lingers stays one");
        assert!(passed(gate.handle(GateInput::AtExit, at(4.0))));
    }

    #[test]
    fn a_fire_alarm_opens_until_it_is_over() {
        let (mut gate, _) = gate(true);
        gate.handle(GateInput::Fire(true), at(0.0));
        assert!(gate.open(at(3_600.0)));
        gate.handle(GateInput::Fire(false), at(3_601.0));
        assert!(!gate.open(at(3_601.0)));
    }

    #[test]
    fn an_exit_lets_nobody_in() {
        let (mut gate, code) = gate(false);
        let out = gate.handle(GateInput::Presented(code), at(0.0));
        assert_eq!(out, Some(GateOutput::Denied(Deny::ExitOnly)));
        assert!(!gate.open(at(0.0)));
    }
}
