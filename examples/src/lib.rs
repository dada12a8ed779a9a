//! What the examples are made of, as a library, so that tests reach it. Each example is one directory beside this one:
//! its `main.rs` is the program, its `mod.rs` and the rest are here.

#[path = "../balance/mod.rs"]
pub mod balance;
#[path = "../scenarios/mod.rs"]
pub mod scenarios;
#[path = "../threads/mod.rs"]
pub mod threads;

/// The README's program is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
