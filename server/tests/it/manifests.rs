//! Goal: `kubectl apply -f k8s/deployment.yaml` applies what `k8s/base` says,
//! and the server takes the arguments that it is given there.
//! Method: the script that writes the file, asked whether it would change it; the binary, asked
//! for its plan with these arguments. Schemas and references are `scripts/lint`'s business.

use std::path::Path;
use std::process::Command;

use crate::common;

#[test]
fn the_rendered_deployment_is_the_bases() {
    let name = "the_rendered_deployment_is_the_bases";
    if Command::new("kubectl").arg("--help").output().is_err() {
        return common::tool::skip(name, "kubectl is not installed");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(root.join("scripts/render-manifests"))
        .arg("--check")
        .output()
        .expect("the script runs");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_server_takes_the_arguments_of_its_pod() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = std::fs::read_to_string(root.join("k8s/deployment.yaml")).expect("the manifest");
    let arguments: Vec<&str> = manifest
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- "))
        .filter(|word| word.starts_with("--"))
        .collect();
    assert!(arguments.len() >= 3, "{arguments:?}");
    let output = Command::new(env!("CARGO_BIN_EXE_flagstone"))
        .args(["plan", "--memory", "64m"])
        .args(&arguments)
        .output()
        .expect("runs");
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
