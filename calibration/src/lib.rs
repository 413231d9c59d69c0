//! Calibrates a store: its cameras, its shelves, what lies on them; and says how good that is.
//!
//! * [`points`] reads surveyed points and refuses those that cannot determine a pose, by name.
//! * [`pose`] fits the homography from image pixels to floor metres; [`resection`] a pose to points at any height,
//!   through a lens that is known.
//! * [`lens`] finds chessboards in images and fits focal length, principal point and distortion.
//! * [`guidance`] says which views are still missing; [`stereo`] checks two cameras against each other.
//! * [`markers`] finds and draws ArUco markers and ChArUco boards; [`sheets`] lays them out as PDF.
//! * [`bundle`] adjusts all cameras together; [`rig`] does so from markers and from people walking; [`survey`] reads
//!   what that needs.
//! * [`shelf`] calibrates plates from a guided walk with known weights; [`planogram`] says what lies on them.
//! * [`drift`] tells from what the store sees every day whether anything has moved.
//! * [`coverage`] says who sees which part of the floor and how exactly, [`plan`] where cameras should hang; [`store`]
//!   reads the store for both, [`residuals`] what fits left over, and [`page`] and [`picture`] draw it all.
//! * [`nanostore`] takes over a calibration that was published.
//! * [`tables`] writes all of it as it stands in `store.toml`, with its quality.
//!
//! # Limits
//! A homography places what touches the floor and nothing above it, and knows no lens distortion: wide-angle images
//! are placed worse towards their edges, which the held-out errors show.
//!
//! # Failure rules
//! Nothing is guessed: input that does not determine the answer is an error that names the lines or images concerned
//! and what to do next. What can be left out (one bad point among many, one blurred view) is left out and named.

pub mod bundle;
pub mod coverage;
pub mod drift;
pub mod guidance;
pub mod lens;
pub mod markers;
pub mod nanostore;
pub mod page;
pub mod picture;
pub mod plan;
pub mod planogram;
pub mod points;
pub mod pose;
pub mod resection;
pub mod residuals;
pub mod rig;
pub mod sheets;
pub mod shelf;
pub mod stereo;
pub mod store;
pub mod survey;
pub mod tables;
