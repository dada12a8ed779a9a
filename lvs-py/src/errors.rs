//! What is raised: the exceptions are Python classes, in `python/lvs/exceptions.py`, so that they pickle and subclass.

use lvs_core::{ConfigError, RuleError};
use pyo3::exceptions::PyValueError;
use pyo3::{PyErr, PyTypeInfo, Python};

mod python {
    pyo3::import_exception!(lvs.exceptions, LvsError);
    pyo3::import_exception!(lvs.exceptions, ConfigError);
    pyo3::import_exception!(lvs.exceptions, RuleError);
    pyo3::import_exception!(lvs.exceptions, ClosedError);
}

/// Why a method failed.
#[derive(Debug)]
pub(crate) enum Error {
    Config(ConfigError),
    Rule(RuleError),
    /// The director was closed.
    Closed,
    /// A panic left the director half changed.
    Broken,
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
            Error::Closed => python::ClosedError::new_err("the director is closed"),
            Error::Broken => python::LvsError::new_err("an earlier defect left the director unusable"),
            Error::Now => PyValueError::new_err("now must be a number of seconds from 0 on"),
        }
    }
}

/// The same exception with what caused it.
pub(crate) fn because<T: PyTypeInfo>(py: Python<'_>, message: String, cause: PyErr) -> PyErr {
    let error = PyErr::new::<T, _>(message);
    error.set_cause(py, Some(cause));
    error
}
