//! ONNX Runtime's shared library, out of the wheel that its makers publish for Python.
//!
//! The wheel is used because package registries are the only source that a fresh machine is promised, and because
//! `ort` loads the library at run time: nothing links against it.

use anyhow::{Result, bail};

use super::{Plan, Scratch, Step, python, stamp};
use crate::process;
use crate::workspace::Workspace;

const VERSION: &str = "1.31.1";

/// What is published for one kind of processor.
struct Build {
    platform: &'static str,
    /// SHA-256 of `onnxruntime/capi/libonnxruntime.so.VERSION` in the wheel for that platform.
    sha256: &'static str,
}

fn build_for(processor: &str) -> Result<Build> {
    match processor {
        "x86_64" => Ok(Build {
            platform: "manylinux_2_28_x86_64",
            sha256: "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
        }),
        "aarch64" => Ok(Build {
            platform: "manylinux_2_28_aarch64",
            sha256: "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
        }),
        other => bail!(
            "no ONNX Runtime {VERSION} is published for {other}; put one that you have built at \
             .linefree/lib/libonnxruntime.so and start the programs without set-up"
        ),
    }
}

pub fn plan(workspace: &Workspace) -> Result<Plan<'_>> {
    let build = build_for(std::env::consts::ARCH)?;
    let library = workspace.onnxruntime();
    Ok(Plan::Step(Step {
        name: format!("ONNX Runtime {VERSION}"),
        stamp: Some("onnxruntime"),
        inputs: format!("{VERSION} {} {}", build.platform, build.sha256),
        outputs: vec![library.clone()],
        make: Box::new(move |running| {
            if stamp::verify(&library, build.sha256).is_ok() {
                return Ok(());
            }
            let scratch = Scratch::new(workspace, "onnxruntime")?;
            let log = workspace.home.join("log/onnxruntime.log");
            process::retried("download of ONNX Runtime", running, || {
                let mut pip = workspace.command(python::interpreter(workspace));
                pip.args(["-m", "pip", "download", "--disable-pip-version-check", "--no-deps"])
                    .args(["--only-binary=:all:", "--python-version", "3.11", "--platform", build.platform])
                    .arg(format!("onnxruntime=={VERSION}"))
                    .arg("--dest")
                    .arg(&scratch.0);
                process::quietly(&mut pip, &log, running)
            })?;
            let wheel = super::one_file(&scratch.0, "whl")?;
            let mut unzip = workspace.command(python::interpreter(workspace));
            unzip.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(scratch.0.join("wheel"));
            process::quietly(&mut unzip, &log, running)?;
            let unpacked = scratch.0.join(format!("wheel/onnxruntime/capi/libonnxruntime.so.{VERSION}"));
            stamp::verify(&unpacked, build.sha256)?;
            stamp::copy_whole(&unpacked, &library)
        }),
    }))
}
