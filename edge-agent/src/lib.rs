//! The device program of Linefree.
//!
//! Thin shells around `linefree-domain`: they move frames, weights and messages, and decide nothing.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`cli`] | commands and their options |
//! | [`sight`] | frames of one camera into tracks in its image |
//! | [`attention`] | when the person model has to run |
//! | [`vision`] | tracks of one camera into people on the floor |
//! | [`frames`], [`looking`] | a camera's last seconds; what was handled in a shelf event, by sight |
//! | [`follow`] | the camera's pipeline on a video, measured |
//! | [`mod@replay`] | a recording into receipts, in one process |
//! | [`roles`] | camera, shelf, gate and floor as bus participants |
//! | [`mot`] | detection and tracking on MOT text files, to be scored by anyone's tools |
//! | [`convert`] | the core's types to and from what travels on the bus |
//! | [`provision`] | a device's key and request for a certificate |
//! | [`credential`] | keys and codes for gates |
//! | [`trace`] | what a replay believed on the way, as lines of JSON |
//! | [`products`], [`pictures`] | products by sight: enrol and recognise; picture files |
//! | [`model_commands`] | models of this device: list, verify, bench, signed releases |
//! | [`paths`] | where set-up has put libraries and models |

pub mod attention;
pub mod cli;
pub mod config_check;
pub mod convert;
pub mod credential;
pub mod follow;
pub mod frames;
pub mod looking;
pub mod model_commands;
pub mod mot;
pub mod paths;
pub mod pictures;
pub mod products;
pub mod provision;
pub mod replay;
pub mod report;
pub mod roles;
pub mod sight;
pub mod trace;
pub mod vision;
