//! Which interpreter the extension is for: code that rests on its lock asks `cfg(Py_GIL_DISABLED)`.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
