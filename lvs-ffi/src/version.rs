//! Which version this is.

use core::ffi::{CStr, c_char};

/// First part of the version.
pub const LVS_VERSION_MAJOR: u32 = 0;
/// Second part of the version.
pub const LVS_VERSION_MINOR: u32 = 1;
/// Third part of the version.
pub const LVS_VERSION_PATCH: u32 = 0;
/// The version as one number, eight bits a part.
pub const LVS_VERSION: u32 = (LVS_VERSION_MAJOR << 16) | (LVS_VERSION_MINOR << 8) | LVS_VERSION_PATCH;

/// The version of the library that runs, to compare with LVS_VERSION of the header. Thread-safe.
#[unsafe(no_mangle)]
pub const extern "C" fn lvs_version() -> u32 {
    LVS_VERSION
}

/// The same as a text, such as "0.1.0". Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn lvs_version_text() -> *const c_char {
    text().as_ptr()
}

const fn text() -> &'static CStr {
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("a version has no zero byte in it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_versions_are_the_one_of_the_package() {
        let parts = format!("{LVS_VERSION_MAJOR}.{LVS_VERSION_MINOR}.{LVS_VERSION_PATCH}");
        let packed = [16, 8, 0].map(|shift| ((lvs_version() >> shift) & 0xff).to_string()).join(".");
        assert_eq!(parts, env!("CARGO_PKG_VERSION"));
        assert_eq!(packed, env!("CARGO_PKG_VERSION"));
        assert_eq!(text().to_str(), Ok(env!("CARGO_PKG_VERSION")));
    }
}
