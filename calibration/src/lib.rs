//! Calibrates cameras: where their pixels lie on the floor, and what their lens does.
//!
//! * [`points`] reads surveyed points and refuses those that cannot determine a pose, by name.
//! * [`pose`] fits the homography from image pixels to floor metres and says how good it is.
//! * [`lens`] finds chessboards in images and fits focal length, principal point and distortion.
//! * [`tables`] writes either as it stands in `store.toml`.
//!
//! # Limits
//! A homography places what touches the floor and nothing above it, and knows no lens distortion: wide-angle images
//! are placed worse towards their edges, which the held-out errors show.
//!
//! # Failure rules
//! Nothing is guessed: input that does not determine the answer is an error that names the lines or images concerned
//! and what to do next. What can be left out (one bad point among many, one blurred view) is left out and named.

pub mod lens;
pub mod points;
pub mod pose;
pub mod tables;
