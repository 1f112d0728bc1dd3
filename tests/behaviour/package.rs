//! The Debian package: built from the program under test, installed into a root of its own, upgraded, purged.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Runs a command to its end; as root of its own name space where the tests are not root.
#[track_caller]
fn run(program: &str, arguments: &[&str]) -> String {
    let mut line = vec![program];
    line.extend(arguments);
    if !is_root() {
        line.splice(0..0, ["unshare", "--map-root-user"]);
    }
    let output = Command::new(line[0])
        .args(&line[1..])
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Wherever it is called from.
        .current_dir("/")
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line:?}: {}\n{text}", output.status);
    text
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

/// A copy of the sources that the package is built from, so that a test can change them.
fn sources(folder: &Path) {
    let home = env!("CARGO_MANIFEST_DIR");
    for name in ["deploy", "docs"] {
        run("cp", &["-r", &format!("{home}/{name}"), folder.to_str().unwrap()]);
    }
    for entry in std::fs::read_dir(home).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
    }
}

fn build(sources: &Path, version: &str) -> PathBuf {
    let script = sources.join("deploy/deb/build");
    let folder = sources.join("packages");
    // Symbols would only make the test slow.
    let binary = sources.join("binary");
    if !binary.exists() {
        let from = env!("CARGO_BIN_EXE_simrelay");
        run("strip", &["-o", binary.to_str().unwrap(), from]);
    }
    let arguments = [binary.to_str().unwrap(), folder.to_str().unwrap(), version];
    run(script.to_str().unwrap(), &arguments);
    let packages = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let of_version = |path: &PathBuf| path.to_str().unwrap().contains(version);
    { packages }.find(of_version).unwrap()
}

/// An empty root.
struct Root(TempDir);

impl Root {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("var/lib/dpkg")).unwrap();
        std::fs::write(folder.path().join("var/lib/dpkg/status"), "").unwrap();
        Self(folder)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn dpkg(&self, arguments: &[&str]) {
        let root = format!("--root={}", self.0.path().display());
        // There is nothing else in this root, nor a shell to change into it with.
        let mut all = vec![
            root.as_str(),
            "--force-script-chrootless",
            "--force-depends",
            "--force-not-root",
        ];
        all.extend(arguments);
        run("dpkg", &all);
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap()
    }
}

#[test]
fn the_package_keeps_what_an_admin_edited_and_goes_without_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    sources(folder.path());
    let first = build(folder.path(), "0.0.1");
    let listing = run("dpkg-deb", &["-c", first.to_str().unwrap()]);
    for line in [
        "-rwxr-xr-x root/root",
        "./usr/bin/simrelay",
        "./lib/systemd/system/simrelay.service",
        "./lib/systemd/system/simrelay-relay.service",
        "./lib/systemd/system/simrelay-notifier.service",
        "./lib/systemd/system/simrelay-bridge.service",
        "./lib/systemd/system/simrelay.socket",
        "./lib/systemd/system/simrelay-relay.socket",
        "./usr/share/simrelay/security/2-password/mosquitto.conf",
        "./usr/share/doc/simrelay/README.md",
    ] {
        assert!(listing.contains(line), "no {line} in\n{listing}");
    }
    let description = run("dpkg-deb", &["-I", first.to_str().unwrap()]);
    assert!(
        description.contains("Version: 0.0.1") && description.contains("Depends: libc6 (>= 2."),
        "{description}"
    );

    let root = Root::new();
    root.dpkg(&["-i", first.to_str().unwrap()]);
    assert!(root.read("etc/passwd").contains("simrelay:"));
    let settings = root.path("etc/simrelay/simrelay.env");
    assert_eq!(
        std::fs::metadata(&settings).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let version = run(root.path("usr/bin/simrelay").to_str().unwrap(), &["--version"]);
    assert!(version.starts_with("simrelay "), "{version}");

    // An upgrade that brings nothing new for the file says nothing about it.
    let edited = root.read("etc/simrelay/simrelay.env") + "SIMRELAY_BRIDGE_ALLOW=lan\n";
    std::fs::write(&settings, &edited).unwrap();
    root.dpkg(&["-i", build(folder.path(), "0.0.2").to_str().unwrap()]);
    assert_eq!(root.read("etc/simrelay/simrelay.env"), edited);
    // One that does puts it beside the admin's.
    let shipped = folder.path().join("deploy/simrelay.env");
    std::fs::write(&shipped, "# new\n").unwrap();
    let third = build(folder.path(), "0.0.3");
    root.dpkg(&["--force-confold", "-i", third.to_str().unwrap()]);
    assert_eq!(root.read("etc/simrelay/simrelay.env"), edited);
    assert_eq!(root.read("etc/simrelay/simrelay.env.dpkg-dist"), "# new\n");

    std::fs::create_dir_all(root.path("var/lib/simrelay/data")).unwrap();
    root.dpkg(&["--remove", "simrelay"]);
    assert!(settings.exists() && root.path("var/lib/simrelay/data").exists());
    assert!(!root.path("usr/bin/simrelay").exists());
    root.dpkg(&["--purge", "simrelay"]);
    assert!(!root.path("etc/simrelay").exists() && !root.path("var/lib/simrelay").exists());
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let root = tempfile::tempdir().unwrap();
    let units = root.path().join("lib/systemd/system");
    std::fs::create_dir_all(&units).unwrap();
    // The targets that the units want.
    run("cp", &["-r", "/lib/systemd/system/.", units.to_str().unwrap()]);
    std::fs::create_dir_all(root.path().join("usr/bin")).unwrap();
    std::fs::create_dir_all(root.path().join("bin")).unwrap();
    std::fs::copy("/bin/kill", root.path().join("bin/kill")).unwrap();
    std::fs::copy(
        env!("CARGO_BIN_EXE_simrelay"),
        root.path().join("usr/bin/simrelay"),
    )
    .unwrap();
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd");
    let flag = format!("--root={}", root.path().display());
    let mut count = 0;
    for unit in std::fs::read_dir(home)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        let text = std::fs::read_to_string(&unit).unwrap();
        let is_service = unit.extension().is_some_and(|kind| kind == "service");
        let service_has = [
            "Type=notify",
            "Restart=always",
            "RestartSec=10",
            "WatchdogSec=",
            "NoNewPrivileges=yes",
            "LimitCORE=0",
        ];
        let socket_has = ["ListenStream=1883", "Backlog=", "WantedBy=sockets.target"];
        for line in if is_service { &service_has[..] } else { &socket_has } {
            assert!(text.contains(line), "no {line} in {}", unit.display());
        }
        let placed = units.join(unit.file_name().unwrap());
        std::fs::copy(&unit, &placed).unwrap();
        count += 1;
    }
    assert_eq!(count, 6);
    for name in [
        "simrelay",
        "simrelay-relay",
        "simrelay-notifier",
        "simrelay-bridge",
    ] {
        let placed = units.join(format!("{name}.service"));
        let said = run("systemd-analyze", &["verify", &flag, placed.to_str().unwrap()]);
        assert!(!said.contains("simrelay"), "{said}");
        let socket = units.join(format!("{name}.socket"));
        if socket.exists() {
            let said = run("systemd-analyze", &["verify", &flag, socket.to_str().unwrap()]);
            assert!(!said.contains("simrelay"), "{said}");
        }
        // Exit code 1 if the exposure is worse than 2.0 of 10.
        run(
            "systemd-analyze",
            &[
                "security",
                "--offline=true",
                "--threshold=20",
                &flag,
                &format!("{name}.service"),
            ],
        );
    }
}

#[test]
fn the_units_run_in_the_folder_that_holds_the_data_folder() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let settings = std::fs::read_to_string(deploy.join("simrelay.env")).unwrap();
    let data = settings
        .lines()
        .find_map(|line| line.strip_prefix("SIMRELAY_DATA="));
    let holder = Path::new(data.unwrap()).parent().unwrap();
    let line = format!("\nWorkingDirectory={}\n", holder.display());
    for unit in [
        "simrelay",
        "simrelay-relay",
        "simrelay-notifier",
        "simrelay-bridge",
    ] {
        let unit = std::fs::read_to_string(deploy.join(format!("systemd/{unit}.service"))).unwrap();
        assert!(unit.contains(&line), "no {line} in {unit}");
    }
}
