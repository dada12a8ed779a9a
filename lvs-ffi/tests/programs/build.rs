//! How C programs are built and run. What a machine lacks is said, and left out.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const STRICT: [&str; 5] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g"];
const SANITIZERS: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
/// What the Rust standard library in a static library asks for.
pub(crate) const SYSTEM: &[&str] =
    if cfg!(target_os = "linux") { &["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"] } else { &[] };

/// The compiler that an environment variable names, or else the usual one, if it works.
pub(crate) fn compiler(variable: &str, usual: &str) -> Option<String> {
    let name = env::var(variable).unwrap_or_else(|_| String::from(usual));
    let works = Command::new(&name).arg("--version").output().is_ok_and(|output| output.status.success());
    if !works {
        println!("left out: there is no {name}");
    }
    works.then_some(name)
}

/// Cargo puts the libraries of the package beside its tests.
pub(crate) fn static_library() -> PathBuf {
    let test = env::current_exe().expect("a test knows its place");
    let beside = test.with_file_name("liblvs.a");
    assert!(beside.exists(), "{} was not built", beside.display());
    beside
}

pub(crate) fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder for what a test makes.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("cargo gives tests a folder to write to");
    folder
}

/// Runs a command to its end: what it wrote, or its complaint.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{command:?}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr)))
    }
}

/// Compiles a program of C11 against the static library.
pub(crate) fn compile(compiler: &str, source: &Path, program: &Path, options: &[&str]) -> Result<String, String> {
    let include = sources().join("../include");
    let mut command = Command::new(compiler);
    command.args(["-std=c11", "-D_DEFAULT_SOURCE"]).args(STRICT).arg("-I").arg(include).arg(source).arg("-o");
    command.arg(program).arg(static_library()).args(options).args(SYSTEM);
    run(&mut command)
}

/// The sanitizers, if a program can be built with them and runs.
pub(crate) fn sanitizers(compiler: &str, folder: &Path) -> &'static [&'static str] {
    let (source, program) = (folder.join("empty.c"), folder.join("empty"));
    fs::write(&source, "int main(void) { return 0; }\n").expect("the folder is there");
    let tried = compile(compiler, &source, &program, &SANITIZERS).and_then(|_| run(&mut Command::new(&program)));
    match tried {
        Ok(_) => &SANITIZERS,
        Err(_) => {
            println!("left out: {compiler} has no sanitizers that work here");
            &[]
        }
    }
}

/// A program, under the sanitizers if there are any.
pub(crate) fn build(source: &Path, name: &str, options: &[&str]) -> Option<PathBuf> {
    let compiler = compiler("CC", "cc")?;
    let folder = scratch(name);
    let program = folder.join(name);
    let options = [sanitizers(&compiler, &folder), options].concat();
    compile(&compiler, source, &program, &options).unwrap_or_else(|complaint| panic!("{complaint}"));
    Some(program)
}

/// Builds it and has it run to its end: what it says.
pub(crate) fn build_and_run(source: &Path, name: &str) -> Option<String> {
    let program = build(source, name, &[])?;
    Some(run(&mut Command::new(&program)).unwrap_or_else(|complaint| panic!("{complaint}")))
}

/// A program without sanitizers.
pub(crate) fn plain_program(source: &Path, name: &str) -> Option<PathBuf> {
    let compiler = compiler("CC", "cc")?;
    let program = scratch(&format!("{name}-plain")).join(name);
    compile(&compiler, source, &program, &[]).unwrap_or_else(|complaint| panic!("{complaint}"));
    Some(program)
}

/// Whether there is such a tool.
pub(crate) fn has(tool: &str) -> bool {
    let is_there = Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    if !is_there {
        println!("left out: there is no {tool}");
    }
    is_there
}
