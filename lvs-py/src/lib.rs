//! The Python interface of lvs-core: the private extension module under the package `lvs`.
//!
//! `director` is the one class with behaviour, `verdicts` are what it says of packets, `errors` what it raises. What
//! Python users see is in `python/lvs`; its `_lvs.pyi` has the documentation.

#![forbid(unsafe_code)]

mod director;
mod errors;
mod verdicts;

#[pyo3::pymodule]
mod _lvs {
    #[pymodule_export]
    use crate::director::Director;
    #[pymodule_export]
    use crate::verdicts::{Drop, Forward, Pass, Reply};
}
