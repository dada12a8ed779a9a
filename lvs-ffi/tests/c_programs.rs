//! C programs against the static library, under the sanitizers where the compiler has them; the header alone as C and
//! as C++. Without a compiler these tests say so and do nothing.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const STRICT: [&str; 5] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g"];
const SANITIZERS: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
/// What the Rust standard library in a static library asks for.
const SYSTEM: &[&str] =
    if cfg!(target_os = "linux") { &["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"] } else { &[] };

/// The compiler that an environment variable names, or else the usual one, if it works.
fn compiler(variable: &str, usual: &str) -> Option<String> {
    let name = env::var(variable).unwrap_or_else(|_| String::from(usual));
    let works = Command::new(&name).arg("--version").output().is_ok_and(|output| output.status.success());
    if !works {
        println!("left out: there is no {name}");
    }
    works.then_some(name)
}

/// Cargo puts the libraries of the package beside its tests.
fn static_library() -> PathBuf {
    let test = env::current_exe().expect("a test knows its place");
    let beside = test.with_file_name("liblvs.a");
    assert!(beside.exists(), "{} was not built", beside.display());
    beside
}

fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder for what a test makes.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("cargo gives tests a folder to write to");
    folder
}

/// Runs a command to its end: what it wrote, or its complaint.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{command:?}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr)))
    }
}

fn compile(compiler: &str, source: &Path, program: &Path, options: &[&str]) -> Result<String, String> {
    let include = sources().join("../include");
    let mut command = Command::new(compiler);
    command.arg("-std=c11").args(STRICT).args(options).arg("-I").arg(include).arg(source).arg("-o").arg(program);
    run(command.arg(static_library()).args(SYSTEM))
}

/// The sanitizers, if a program can be built with them and runs.
fn sanitizers(compiler: &str, folder: &Path) -> &'static [&'static str] {
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

fn build_and_run(source: &Path, name: &str) -> Option<String> {
    let compiler = compiler("CC", "cc")?;
    let folder = scratch(name);
    let program = folder.join(name);
    let built = compile(&compiler, source, &program, sanitizers(&compiler, &folder));
    Some(built.and_then(|_| run(&mut Command::new(&program))).unwrap_or_else(|complaint| panic!("{complaint}")))
}

#[test]
fn the_smoke_test_passes() {
    if let Some(said) = build_and_run(&sources().join("tests/c/smoke.c"), "smoke") {
        assert_eq!(said, "ok\n");
    }
}

#[test]
fn the_example_of_the_readme_does_what_it_says() {
    let readme = fs::read_to_string(sources().join("README.md")).expect("there is one");
    let (_, rest) = readme.split_once("```c\n").expect("with an example");
    let (example, rest) = rest.split_once("```").expect("that ends");
    let (_, rest) = rest.split_once("```text\n").expect("and what it prints");
    let (printed, _) = rest.split_once("```").expect("that ends, too");
    let source = scratch("readme").join("readme.c");
    fs::write(&source, example).expect("the folder is there");
    if let Some(said) = build_and_run(&source, "readme") {
        assert_eq!(said, printed);
    }
}

#[test]
fn the_header_stands_alone_as_c_and_as_cpp() {
    let header = sources().join("../include/lvs.h");
    for (variable, usual, language, standards) in
        [("CC", "cc", "c", ["-std=c11", "-std=c17"]), ("CXX", "c++", "c++", ["-std=c++11", "-std=c++17"])]
    {
        let Some(compiler) = compiler(variable, usual) else { continue };
        for standard in standards {
            let mut command = Command::new(&compiler);
            command.args([standard, "-fsyntax-only", "-x", language]).args(STRICT).arg(&header);
            run(&mut command).unwrap_or_else(|complaint| panic!("{complaint}"));
        }
    }
}
