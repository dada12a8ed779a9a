//! C programs against the static library, under the sanitizers where the compiler has them and under valgrind; the
//! header alone as C and as C++. Without a compiler these tests say so and do nothing.

mod build;
mod dpdk;
mod examples;
mod install;
mod layout;
mod nulls;
mod recordings;

use std::process::Command;

use build::{STRICT, build_and_run, compiler, has, plain_program, run, sources};

const PROGRAMS: [&str; 3] = ["smoke", "nouns", "shared"];

#[test]
fn the_tests_in_c_pass_under_the_sanitizers() {
    for name in PROGRAMS {
        if let Some(said) = build_and_run(&sources().join(format!("tests/c/{name}.c")), name) {
            assert_eq!(said, "ok\n");
        }
    }
}

#[test]
fn the_tests_in_c_leave_nothing_behind() {
    if !has("valgrind") {
        return;
    }
    for name in PROGRAMS {
        let Some(program) = plain_program(&sources().join(format!("tests/c/{name}.c")), name) else { return };
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--quiet", "--leak-check=full", "--show-leak-kinds=all", "--error-exitcode=99"]).arg(program);
        let said = run(&mut valgrind).unwrap_or_else(|complaint| panic!("{complaint}"));
        assert_eq!(said, "ok\n");
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
