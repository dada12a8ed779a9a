//! What the library is compared with: others doing the same work, on the same core in the same run.

pub mod dpdk;
pub mod kernel;
pub mod naive;
pub mod slab;

use std::path::PathBuf;
use std::process::Command;

/// A figure that cannot be had here: what is missing.
#[derive(Clone, Debug)]
pub struct Missing(pub String);

/// Where the sources of the references in other languages are.
fn source(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What a program printed; or that it is missing, or failed.
fn output(command: &mut Command) -> Result<String, Missing> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|_| Missing(name.clone()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let why = stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("failed").trim().to_owned();
    Err(Missing(format!("{name}: {why}")))
}
