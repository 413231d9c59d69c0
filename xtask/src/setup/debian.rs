//! Packages of the system: the only step that needs root.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use super::{Plan, Step};
use crate::process;
use crate::workspace::Workspace;

/// Debian package, and what needs it.
const PACKAGES: [(&str, &str); 14] = [
    ("libopencv-dev", "video capture and calibration"),
    ("clang", "bindings to OpenCV"),
    ("libclang-dev", "bindings to OpenCV"),
    ("pkg-config", "finding OpenCV"),
    ("g++", "building SQLite and OpenCV's bindings"),
    ("mosquitto", "tests against a second broker"),
    ("nats-server", "tests of the trunk, and against a third broker"),
    ("postgresql", "tests of the reference cloud on PostgreSQL"),
    ("chromium", "tests of the console"),
    ("gir1.2-gst-rtsp-server-1.0", "a real RTSP server, for tests of cameras"),
    ("gstreamer1.0-plugins-good", "what that server sends"),
    ("python3-gi", "driving that server"),
    ("iproute2", "tests that pull cables, in network namespaces"),
    ("debootstrap", "a Debian to install the packages in, in the long mode"),
];

/// Programs that come with the machine, and how to get them on Debian.
const PROGRAMS: [(&str, &str); 2] = [("python3", "python3 python3-venv"), ("npm", "npm")];

pub fn plan(workspace: &Workspace) -> Result<Plan<'_>> {
    let mut wanted = missing_packages();
    let absent = PROGRAMS.iter().filter(|(program, _)| !process::on_path(program));
    wanted.extend(absent.flat_map(|(_, packages)| packages.split(' ')));
    let environment_stands = super::python::interpreter(workspace).exists();
    if !environment_stands && process::on_path("python3") && !python_has_venv() {
        wanted.push("python3-venv");
    }
    if wanted.is_empty() {
        return Ok(Plan::Skip { name: "Debian packages", why: "all of them are installed".into() });
    }
    let line = wanted.join(" ");
    Ok(Plan::Step(Step {
        name: format!("Debian packages: {line}"),
        stamp: None,
        inputs: String::new(),
        outputs: Vec::new(),
        make: Box::new(move |running| {
            if !on_debian() {
                bail!(
                    "this is no Debian system: install OpenCV 4 with headers, clang with libclang, pkg-config, \
                     mosquitto, chromium, Python 3 with venv and npm by its own means (missing here: {})",
                    wanted.join(", ")
                );
            }
            let install = format!("apt-get install --yes --no-install-recommends {}", wanted.join(" "));
            if !rustix::process::geteuid().is_root() {
                bail!("only root may install packages; run this, then try again:\n  sudo {install}");
            }
            let log = |name: &str| -> PathBuf { workspace.home.join("log").join(name) };
            process::retried("apt-get update", running, || {
                process::quietly(Command::new("apt-get").arg("update"), &log("apt-update.log"), running)
            })?;
            process::retried("apt-get install", running, || {
                let mut words = install.split(' ');
                let mut command = Command::new(words.next().unwrap_or_default());
                command.args(words).env("DEBIAN_FRONTEND", "noninteractive");
                process::quietly(&mut command, &log("apt-install.log"), running)
            })
        }),
    }))
}

fn on_debian() -> bool {
    process::on_path("dpkg-query") && process::on_path("apt-get")
}

fn python_has_venv() -> bool {
    process::output(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_ok()
}

/// The packages that are not installed; on other systems, those whose program or library is not found.
fn missing_packages() -> Vec<&'static str> {
    let names = PACKAGES.map(|(name, _)| name);
    if on_debian() {
        let mut query = Command::new("dpkg-query");
        query.args(["--show", "--showformat", "${Package} ${db:Status-Status}\\n"]).args(names);
        // It fails when it does not know one of the packages, and still lists the others.
        let listed =
            query.output().map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
        return not_installed(&names, &listed);
    }
    let found = |name: &str| match name {
        "libopencv-dev" => process::output(Command::new("pkg-config").args(["--exists", "opencv4"])).is_ok(),
        "libclang-dev" | "python3-gi" => true,
        "gir1.2-gst-rtsp-server-1.0" | "gstreamer1.0-plugins-good" => true,
        "iproute2" => process::on_path("ip"),
        program => process::on_path(program),
    };
    names.into_iter().filter(|name| !found(name)).collect()
}

fn not_installed<'a>(names: &[&'a str], listed: &str) -> Vec<&'a str> {
    let installed = |name: &str| listed.lines().any(|line| line == format!("{name} installed"));
    names.iter().copied().filter(|name| !installed(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::not_installed;

    #[test]
    fn a_removed_package_is_missing() {
        let listed = "clang installed\nmosquitto config-files\n";
        assert_eq!(not_installed(&["clang", "mosquitto", "g++"], listed), ["mosquitto", "g++"]);
    }
}
