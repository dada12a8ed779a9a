//! What is raised: the exceptions are Python classes, in `python/lvs/exceptions.py`, so that they pickle and subclass.

use lvs_core::{ApplyError, ConfigError, ControlError, RuleError};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::{PyErr, PyTypeInfo, Python};

mod python {
    pyo3::import_exception!(lvs.exceptions, LvsError);
    pyo3::import_exception!(lvs.exceptions, CaptureError);
    pyo3::import_exception!(lvs.exceptions, ConfigError);
    pyo3::import_exception!(lvs.exceptions, ControlError);
    pyo3::import_exception!(lvs.exceptions, NotFoundError);
    pyo3::import_exception!(lvs.exceptions, ExistsError);
    pyo3::import_exception!(lvs.exceptions, CapacityError);
    pyo3::import_exception!(lvs.exceptions, RuleError);
    pyo3::import_exception!(lvs.exceptions, ClosedError);
}

/// Why a method failed.
#[derive(Debug)]
pub(crate) enum Error {
    Config(ConfigError),
    Rule(RuleError),
    Control(ControlError),
    Apply(ApplyError),
    /// A file of packets that cannot be read or written.
    Capture(String),
    /// The director was closed.
    Closed,
    /// A panic left the director half changed.
    Broken,
    /// A scheduler called the director that was asking it.
    Reentered,
    /// A time that is no time.
    Now,
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::Config(error) => python::ConfigError::new_err(error.to_string()),
            Error::Rule(error) => {
                let message = error.to_string();
                python::RuleError::new_err((message, error.line, error.column, error.word, error.expected))
            }
            Error::Control(error) => control(error, error.to_string()),
            Error::Apply(why) => control(why.error, why.to_string()),
            Error::Capture(message) => python::CaptureError::new_err(message),
            Error::Closed => python::ClosedError::new_err("the director is closed"),
            Error::Broken => python::LvsError::new_err("an earlier defect left the director unusable"),
            Error::Reentered => PyRuntimeError::new_err("a scheduler must not call the director that is asking it"),
            Error::Now => PyValueError::new_err("now must be a number of seconds from 0 on"),
        }
    }
}

fn control(error: ControlError, message: String) -> PyErr {
    use ControlError as Why;
    match error {
        Why::NoSuchService
        | Why::NoSuchServer
        | Why::NoSuchScheduler
        | Why::NoSuchEngine
        | Why::NoSuchTunable
        | Why::NoSuchState
        | Why::NoDaemon => python::NotFoundError::new_err(message),
        Why::ServiceExists | Why::ServerExists | Why::DaemonRuns => python::ExistsError::new_err(message),
        Why::Full | Why::TooManyServers | Why::OutOfMemory => python::CapacityError::new_err(message),
        _ => python::ControlError::new_err(message),
    }
}

/// The same exception with what caused it.
pub(crate) fn because<T: PyTypeInfo>(py: Python<'_>, message: String, cause: PyErr) -> PyErr {
    let error = PyErr::new::<T, _>(message);
    error.set_cause(py, Some(cause));
    error
}

/// What there is not.
pub(crate) fn not_found(message: String) -> PyErr {
    python::NotFoundError::new_err(message)
}
