// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The crates of `driver-harness` are floors: each stands on those below, and on nothing else of
//! this project. `driver-harness/README.md` draws the house.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// Each floor, lowest first, and what of this project it may depend on.
const FLOORS: [(&str, &[&str]); 6] = [
    ("chmu-machine", &["chmu-spec"]),
    (
        "chmu-driver",
        &["chmu-spec", "chmu-model", "chmu-cxl", "chmu-machine"],
    ),
    (
        "chmu-promotion",
        &[
            "chmu-spec",
            "chmu-model",
            "chmu-cxl",
            "chmu-machine",
            "chmu-driver",
        ],
    ),
    (
        "chmu-proof",
        &["chmu-spec", "chmu-machine", "chmu-promotion"],
    ),
    (
        "chmu-conformance",
        &[
            "chmu-spec",
            "chmu-model",
            "chmu-cxl",
            "chmu-ring",
            "chmu-machine",
            "chmu-driver",
        ],
    ),
    (
        "chmu",
        &[
            "chmu-spec",
            "chmu-model",
            "chmu-cxl",
            "chmu-machine",
            "chmu-driver",
            "chmu-promotion",
            "chmu-proof",
            "chmu-conformance",
        ],
    ),
];

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// None for crates of others.
    path: Option<String>,
}

/// What is wrong with a crate of the house; none where nothing is.
fn complaint(package: &Package) -> Option<String> {
    let name = &package.name;
    let floor = FLOORS.iter().find(|(floor, _)| floor == name);
    let Some((_, allowed)) = floor else {
        return Some(format!(
            "{name} is no floor of driver-harness; name it in tests/tests/floors.rs, with what it \
             may depend on"
        ));
    };
    let own = package.dependencies.iter().filter(|one| one.path.is_some());
    let strange: BTreeSet<_> = own
        .map(|one| one.name.as_str())
        .filter(|one| !allowed.contains(one))
        .collect();
    let strange: Vec<_> = strange.into_iter().collect();
    (!strange.is_empty()).then(|| {
        format!(
            "{name} depends on {}, but may only depend on {}; move what both need to a lower floor",
            strange.join(" and "),
            allowed.join(", ")
        )
    })
}

fn metadata() -> Result<Metadata> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("Cannot run cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata fails: {said}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn each_floor_stands_on_those_below() {
    let house = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("driver-harness");
    let packages = metadata().unwrap().packages;
    let crates: Vec<_> = packages
        .iter()
        .filter(|package| Path::new(&package.manifest_path).starts_with(&house))
        .collect();
    assert_eq!(crates.len(), FLOORS.len(), "{crates:?}");
    let complaints: Vec<_> = crates.into_iter().filter_map(complaint).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn an_edge_upwards_is_refused_in_a_sentence() {
    let dependency = |name: &str, path: Option<&str>| Dependency {
        name: name.into(),
        path: path.map(str::to_owned),
    };
    let mut package = Package {
        name: "chmu-machine".into(),
        manifest_path: String::new(),
        dependencies: vec![
            dependency("libc", None),
            dependency("chmu-spec", Some("specs")),
        ],
    };
    assert_eq!(complaint(&package), None);
    let upwards = dependency("chmu-driver", Some("driver-harness/driver"));
    package.dependencies.push(upwards);
    assert_eq!(
        complaint(&package).unwrap(),
        "chmu-machine depends on chmu-driver, but may only depend on chmu-spec; move what both \
         need to a lower floor"
    );
    package.name = "chmu-attic".into();
    assert!(complaint(&package).unwrap().starts_with("chmu-attic is no"));
}

#[test]
fn no_floor_is_allowed_to_stand_on_a_higher_one() {
    let floor = |name: &str| FLOORS.iter().position(|(one, _)| *one == name);
    for (number, (name, allowed)) in FLOORS.iter().enumerate() {
        let higher = allowed
            .iter()
            .find(|one| floor(one).is_some_and(|one| one >= number));
        assert_eq!(higher, None, "{name}");
    }
}
