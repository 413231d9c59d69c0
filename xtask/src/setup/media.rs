//! The demo's video: the public pedestrian clip that Debian ships with OpenCV's documentation.
//!
//! `vtest.avi` is PETS 2009 S2.L1, view 1: 795 frames of 768x576 at 10 frames/s. The package is downloaded with
//! the user's own apt and unpacked without installing it, so no root is needed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{Plan, Scratch, Step, stamp};
use crate::process;
use crate::workspace::Workspace;

const IN_PACKAGE: &str = "usr/share/doc/opencv-doc/examples/data/vtest.avi";
const SHA256: &str = "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf";

/// The recording that the demo plays.
pub const PLAZA: &str = "simulator/recordings/plaza";

fn video(workspace: &Workspace) -> PathBuf {
    workspace.home.join("media/vtest.avi")
}

pub fn plan(workspace: &Workspace) -> Result<Plan<'_>> {
    let video = video(workspace);
    Ok(Plan::Step(Step {
        name: "demo video vtest.avi".into(),
        stamp: Some("media"),
        inputs: SHA256.into(),
        outputs: vec![video.clone()],
        make: Box::new(move |running| {
            if stamp::verify(&video, SHA256).is_ok() {
                return Ok(());
            }
            let installed = Path::new("/").join(IN_PACKAGE);
            if stamp::verify(&installed, SHA256).is_ok() {
                return stamp::copy_whole(&installed, &video);
            }
            if !process::on_path("apt-get") {
                bail!(
                    "this is no Debian system: take {IN_PACKAGE} out of Debian's package opencv-doc and put it at {}",
                    video.display()
                );
            }
            let scratch = Scratch::new(workspace, "media")?;
            let log = workspace.home.join("log/media.log");
            process::retried("download of Debian's package opencv-doc (96 MB)", running, || {
                let mut apt = workspace.command("apt-get");
                process::quietly(apt.current_dir(&scratch.0).args(["download", "opencv-doc"]), &log, running)
                    .context("when apt knows no such package, run first: apt-get update")
            })?;
            let package = super::one_file(&scratch.0, "deb")?;
            let mut unpack = workspace.command("dpkg-deb");
            process::quietly(unpack.arg("-x").arg(&package).arg(scratch.0.join("all")), &log, running)?;
            let unpacked = scratch.0.join("all").join(IN_PACKAGE);
            stamp::verify(&unpacked, SHA256)?;
            stamp::copy_whole(&unpacked, &video)
        }),
    }))
}

#[derive(Deserialize)]
struct Recording {
    #[serde(default)]
    camera: Vec<Camera>,
}

#[derive(Deserialize)]
struct Camera {
    id: String,
    file: String,
}

/// The video where the recording's own `recording.toml` says that it is.
pub fn plan_link(workspace: &Workspace) -> Result<Plan<'_>> {
    const NAME: &str = "demo video in the plaza recording";
    let folder = workspace.root.join(PLAZA);
    let toml = folder.join("recording.toml");
    let Ok(text) = fs::read_to_string(&toml) else {
        return Ok(Plan::Skip { name: NAME, why: format!("{PLAZA}/recording.toml is not there") });
    };
    let recording: Recording =
        toml::from_str(&text).with_context(|| format!("read {PLAZA}/recording.toml"))?;
    let [camera] = recording.camera.as_slice() else {
        bail!("{PLAZA}/recording.toml has {} cameras; set-up knows one video", recording.camera.len());
    };
    let place = folder.join(&camera.file);
    let video = video(workspace);
    let (id, file) = (camera.id.clone(), camera.file.clone());
    Ok(Plan::Step(Step {
        name: NAME.into(),
        stamp: Some("media-link"),
        inputs: format!("{id} {file} {SHA256}"),
        outputs: vec![place.clone()],
        make: Box::new(move |_| {
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
            }
            if place.symlink_metadata().is_ok() {
                fs::remove_file(&place).with_context(|| format!("replace {}", place.display()))?;
            }
            // A hard link costs nothing; across file systems it is a copy.
            fs::hard_link(&video, &place)
                .or_else(|_| fs::copy(&video, &place).map(|_| ()))
                .with_context(|| format!("put the video of camera {id} at {}", place.display()))
        }),
    }))
}
