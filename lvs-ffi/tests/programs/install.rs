//! What `make install-c` installs is found and used: through pkg-config and CMake, shared and static, in C and C++.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::{STRICT, has, run, scratch, sources};

fn done(command: &mut Command) -> String {
    run(command).unwrap_or_else(|complaint| panic!("{complaint}"))
}

/// Installs the library into a folder of the test's.
fn install() -> Option<PathBuf> {
    let has_cargo_c =
        Command::new("cargo").args(["cinstall", "--version"]).output().is_ok_and(|it| it.status.success());
    if !has_cargo_c {
        println!("left out: there is no cargo-c (cargo install cargo-c --locked)");
    }
    if !has_cargo_c || !has("make") || !has("pkg-config") {
        return None;
    }
    let prefix = scratch("installed");
    fs::remove_dir_all(&prefix).expect("a folder of ours");
    let mut make = Command::new("make");
    make.arg("--silent").arg("-C").arg(sources().join("..")).arg("install-c").arg("DEBUG=1");
    done(make.arg(format!("PREFIX={}", prefix.display())));
    Some(prefix)
}

/// What pkg-config says of the installed library.
fn pkg_config(prefix: &Path, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new("pkg-config");
    command.args(arguments).arg("lvs").env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
    done(&mut command).split_whitespace().map(String::from).collect()
}

/// Runs a program that finds its shared libraries below the prefix.
fn says(program: &Path, prefix: &Path) -> String {
    done(Command::new(program).env("LD_LIBRARY_PATH", prefix.join("lib")))
}

fn is_used_through_pkg_config(prefix: &Path, compiler: &str, standard: &str, source: &Path, expected: &str) {
    let (shared, private) = (pkg_config(prefix, &["--libs"]), pkg_config(prefix, &["--static", "--libs-only-l"]));
    let archive = prefix.join("lib/liblvs.a").display().to_string();
    let fixed: Vec<String> = std::iter::once(archive).chain(private.into_iter().filter(|it| it != "-llvs")).collect();
    for (kind, libraries) in [("shared", shared), ("static", fixed)] {
        let program = prefix.join(format!("{kind}-{compiler}"));
        let mut command = Command::new(compiler);
        command.arg(standard).args(STRICT).args(pkg_config(prefix, &["--cflags"])).arg(source);
        done(command.args(libraries).arg("-o").arg(&program));
        assert_eq!(says(&program, prefix), expected, "{kind}, {compiler}");
    }
}

fn is_used_through_cmake(prefix: &Path, expected: &str) {
    let build = prefix.join("cmake-build");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(sources().join("tests/cmake")).arg("-B").arg(&build);
    done(configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())));
    done(Command::new("cmake").arg("--build").arg(&build));
    for kind in ["lvs", "static"] {
        assert_eq!(says(&build.join(format!("hello-{kind}")), prefix), expected);
        assert_eq!(says(&build.join(format!("plus-{kind}")), prefix), "ok\n");
    }
}

#[test]
fn what_is_installed_is_found_and_used() {
    let Some(prefix) = install() else { return };
    let (hello, plus) = (sources().join("examples/hello.c"), sources().join("tests/c/plus.cpp"));
    let readme = fs::read_to_string(sources().join("README.md")).expect("there is one");
    let expected =
        readme.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("what hello prints");

    assert_eq!(pkg_config(&prefix, &["--modversion"]), [env!("CARGO_PKG_VERSION")]);
    for compiler in ["gcc", "clang"].into_iter().filter(|compiler| has(compiler)) {
        is_used_through_pkg_config(&prefix, compiler, "-std=c11", &hello, expected);
    }
    for compiler in ["g++", "clang++"].into_iter().filter(|compiler| has(compiler)) {
        is_used_through_pkg_config(&prefix, compiler, "-std=c++17", &plus, "ok\n");
    }
    if has("cmake") {
        is_used_through_cmake(&prefix, expected);
    }
    if has("readelf") && has("nm") {
        let shared = prefix.join("lib/liblvs.so");
        let dynamic = done(Command::new("readelf").arg("-d").arg(&shared));
        assert!(dynamic.contains("Library soname: [liblvs.so.0.1]"), "{dynamic}");
        let symbols = done(Command::new("nm").args(["-D", "--defined-only"]).arg(&shared));
        let foreign: Vec<&str> = symbols.lines().filter(|line| !line.contains(" T lvs_")).collect();
        assert_eq!(foreign, [""; 0], "nothing but the functions of the header");
    }
}

#[test]
fn the_cmake_package_has_the_version_of_the_library() {
    let text = fs::read_to_string(sources().join("cmake/lvsConfigVersion.cmake")).expect("it is there");
    let version = env!("CARGO_PKG_VERSION");
    assert!(text.contains(&format!("set(PACKAGE_VERSION \"{version}\")")), "{text}");
    let mut parts = version.split('.');
    for name in ["MAJOR", "MINOR"] {
        let part = parts.next().expect("three parts");
        assert!(text.contains(&format!("${{PACKAGE_FIND_VERSION_{name}}}\" EQUAL {part}")), "{text}");
    }
}
