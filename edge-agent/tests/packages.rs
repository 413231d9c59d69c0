//! The Debian packages, really made and installed: in a root of their own, upgraded, removed and purged.
//!
//! Needs root, `debootstrap`, `dpkg-deb`, network to a Debian mirror and `cargo deb` (`cargo install cargo-deb`); skipped,
//! and told, without them. Takes minutes: part of the long mode.
#![allow(clippy::unwrap_used)] // Helpers of tests are not known as tests to clippy.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}{}", told(&output.stdout), told(&output.stderr));
    output
}

fn is_there(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|o| o.status.success())
}

/// Why this machine cannot do it.
fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root");
    }
    if !is_there("debootstrap", &["--version"]) {
        return Some("no debootstrap: apt-get install debootstrap");
    }
    if !is_there("cargo", &["deb", "--version"]) {
        return Some("no cargo deb: cargo install cargo-deb");
    }
    let programs = target().join("debug");
    (!programs.join("store-sync").exists())
        .then_some("store-sync is not built: cargo build --workspace --bins")
}

/// The folder that cargo builds in.
fn target() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_edge-agent")).parent().unwrap().parent().unwrap().to_owned()
}

/// Makes a package of a version; gives its file.
fn package(name: &str, version: &str, folder: &Path) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let pages = workspace.join("target/packaging").join(name);
    // What the tests have built, in the place of a release build: what is tested is the packaging.
    let built = folder.join("release");
    std::fs::create_dir_all(&built).unwrap();
    std::fs::copy(target().join("debug").join(name), built.join(name)).unwrap();
    run(Command::new(built.join(name)).arg("packaging").arg(pages));
    let file = folder.join(format!("{name}_{version}.deb"));
    run(Command::new("cargo")
        .current_dir(workspace)
        .env("CARGO_TARGET_DIR", folder)
        .args(["deb", "--no-build", "--no-strip", "--fast", "-p", name, "--deb-version", version, "--output"])
        .arg(&file));
    file
}

/// A Debian of its own.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        run(Command::new("debootstrap")
            .args(["--variant=minbase", "--include=systemd,adduser,ca-certificates", "bookworm"])
            .arg(root.path()));
        Self(root)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file.trim_start_matches('/'))
    }

    fn sh(&self, script: &str) -> String {
        let mut command = Command::new("chroot");
        command.arg(self.0.path()).args(["/bin/sh", "-ec", script]);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive");
        String::from_utf8(run(&mut command).stdout).unwrap()
    }

    fn install(&self, packages: &[&Path]) {
        let mut names = String::new();
        for package in packages {
            let name = package.file_name().unwrap().to_str().unwrap();
            std::fs::copy(package, self.path("/tmp").join(name)).unwrap();
            names.push_str(&format!(" /tmp/{name}"));
        }
        self.sh(&format!("apt-get -qq install -y --no-install-recommends{names}"));
    }

    fn mode(&self, file: &str) -> u32 {
        std::fs::metadata(self.path(file)).unwrap_or_else(|e| panic!("{file}: {e}")).permissions().mode()
            & 0o7777
    }

    fn owner(&self, file: &str) -> String {
        self.sh(&format!("stat -c %U:%G {file}")).trim().to_owned()
    }
}

#[test]
#[ignore = "makes, installs, upgrades and removes Debian packages: needs root and minutes"]
fn packages_are_installed_upgraded_and_removed() {
    if let Some(why) = missing() {
        println!("skipped: {why}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = |version: &str| ["edge-agent", "store-sync"].map(|name| package(name, version, folder.path()));
    // No version was published yet: the earlier one is this one under a lower number.
    let (old, new) = (made("0.0.9-1"), made("0.1.0-1"));
    let root = Root::new();

    root.install(&[&old[0], &old[1]]);
    for (name, unit) in [("edge-agent", "linefree-agent@"), ("store-sync", "linefree-store")] {
        assert!(root.sh(&format!("/usr/bin/{name} --version")).starts_with(name));
        for file in [
            format!("/usr/lib/systemd/system/{unit}.service"),
            format!("/usr/share/man/man1/{name}.1.gz"),
            format!("/usr/share/bash-completion/completions/{name}"),
            format!("/usr/share/zsh/vendor-completions/_{name}"),
            format!("/usr/share/fish/vendor_completions.d/{name}.fish"),
            format!("/usr/share/doc/{name}/copyright"),
        ] {
            assert_eq!(root.mode(&file), 0o644, "{file}");
        }
        // dpkg knows every file, and each is as it was packed.
        assert_eq!(root.sh(&format!("dpkg --verify {name}")), "", "{name}");
    }
    let user = root.sh("getent passwd linefree; id -nG linefree");
    assert!(user.contains(":/var/lib/linefree:") && user.contains("nologin"), "{user}");
    for group in ["dialout", "gpio", "i2c", "video"] {
        assert!(user.contains(group), "{group}: {user}");
    }
    assert_eq!(
        (root.mode("/etc/linefree/tls"), root.owner("/etc/linefree/tls")),
        (0o750, "root:linefree".into())
    );
    assert_eq!(root.mode("/var/lib/linefree"), 0o750);
    assert_eq!(root.owner("/var/lib/linefree"), "linefree:linefree");
    // As the units say: as the user, from the data folder.
    let toml = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store-sync/examples/corner.toml");
    std::fs::copy(toml, root.path("/etc/linefree/store.toml")).unwrap();
    root.sh("chown root:linefree /etc/linefree/store.toml; chmod 640 /etc/linefree/store.toml");
    let as_user = "cd /var/lib/linefree && setpriv --reuid linefree --regid linefree --init-groups";
    root.sh(&format!("{as_user} edge-agent config check /etc/linefree/store.toml"));
    let serve = "store-sync serve --config /etc/linefree/store.toml --data /var/lib/linefree/store --listen \
                 127.0.0.1:0 --broker 127.0.0.1:0 --ready-file /tmp/ready";
    root.sh(&format!(
        "({as_user} timeout 30 {serve} > /tmp/served 2>&1) & for n in $(seq 200); do [ -s /tmp/ready ] && break; sleep \
         0.1; done; kill $(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/' /tmp/ready); wait"
    ));
    root.sh("systemctl enable linefree-store linefree-agent@shelf; mkdir -p /var/lib/linefree/agent/journal");
    assert!(root.path("/var/lib/linefree/store/ledger.sqlite").exists());

    root.install(&[&new[0], &new[1]]);
    let versions = root.sh("dpkg-query -W -f '${Package} ${Version} ${Status}\\n' edge-agent store-sync");
    assert_eq!(
        versions,
        "edge-agent 0.1.0-1 install ok installed\nstore-sync 0.1.0-1 install ok installed\n"
    );
    assert_eq!(root.owner("/etc/linefree/store.toml"), "root:linefree");
    root.sh(&format!("{as_user} store-sync check --data /var/lib/linefree/store"));
    assert_eq!(root.sh("systemctl is-enabled linefree-store linefree-agent@shelf"), "enabled\nenabled\n");

    root.sh("apt-get -qq remove -y edge-agent store-sync");
    for gone in
        ["/usr/bin/edge-agent", "/usr/bin/store-sync", "/usr/lib/systemd/system/linefree-store.service"]
    {
        assert!(!root.path(gone).exists(), "{gone} is still there");
    }
    for kept in
        ["/etc/linefree/store.toml", "/var/lib/linefree/store/ledger.sqlite", "/var/lib/linefree/agent"]
    {
        assert!(root.path(kept).exists(), "{kept} is gone");
    }
    root.sh("apt-get -qq purge -y edge-agent store-sync");
    assert!(!root.path("/var/lib/linefree/agent").exists());
    assert!(root.path("/var/lib/linefree/store/ledger.sqlite").exists(), "receipts are kept by law");
    let wants = root.path("/etc/systemd/system/multi-user.target.wants");
    let left: Vec<_> =
        std::fs::read_dir(wants).map(|d| d.flatten().map(|e| e.file_name()).collect()).unwrap_or_default();
    assert!(!left.iter().any(|n: &std::ffi::OsString| n.to_string_lossy().contains("linefree")), "{left:?}");
}
