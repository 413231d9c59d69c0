//! Ports and drivers for what stands in the store: cameras, weighing scales, gates, shelf labels.
//!
//! A port is a small pull-based trait ([`camera::Camera`], [`scale::Scale`], [`gate::Gate`]). Each has real drivers
//! where there is hardware, a replay twin that is fed from a recording, and a simulated twin that needs nothing at
//! all and gives the same input for the same seed. Roles are written against the traits and cannot tell the twins
//! from the things.
//!
//! # Limits
//! * Drivers block for as long as the hardware does and never longer than the time-outs they document. They keep
//!   no queues but [`fault::FaultLog`]'s, which is bounded, and spawn no threads but [`camera::LatestCamera`]'s one.
//! * Pacing is the caller's: a file or a recording is delivered as fast as it is asked for.
//! * Frames are lent, not given: nothing here stores or copies an image beyond the one buffer of its driver.
//!
//! # Failure rules
//! A driver returns an error when it cannot go on, with what to do about it. What it can go on after (a torn file, a
//! lost stream, a plate that says NaN) is a [`fault::Fault`]: counted always, reported at a bounded rate, and
//! reported as cleared when it is over.
//!
//! This crate and `linefree-calibration` are the only users of OpenCV.

pub mod camera;
pub mod clock;
pub mod fault;
pub mod gate;
pub mod health;
pub mod label;
pub mod scale;
pub mod tty;
