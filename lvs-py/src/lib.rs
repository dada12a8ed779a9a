//! The Python interface of lvs-core: the private extension module under the package `lvs`.
//!
//! `director` is the class with behaviour, `verdicts` are what it says of packets, `batch` what it says of many,
//! `scheduler` lets Python choose servers, `records` makes what Python defines, `errors` what is raised. `packets`,
//! `capture` and `testing` are beside it. The documentation that Python users see is in these files; `python/lvs` has
//! the rest of the package.

#![deny(unsafe_code)]

mod batch;
mod capture;
mod convert;
mod director;
mod errors;
#[cfg(feature = "measure")]
mod measure;
mod packets;
mod records;
mod reuse;
mod scheduler;
mod shared;
mod testing;
mod turn;
mod verdicts;

#[pyo3::pymodule]
mod _lvs {
    #[pymodule_export]
    use crate::batch::Batch;
    #[pymodule_export]
    use crate::capture::{Capture, write};
    #[pymodule_export]
    use crate::director::Director;
    #[pymodule_export]
    use crate::packets::{sctp, tcp, udp};
    #[pymodule_export]
    use crate::scheduler::{Candidate, NewFlow};
    #[pymodule_export]
    use crate::shared::SharedDirector;
    #[pymodule_export]
    use crate::testing::{SchedulerPool, play_recording};
    #[pymodule_export]
    use crate::verdicts::{Drop, Forward, Pass, Reply};
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::turn::first_interpreter(module.py())
    }
}
