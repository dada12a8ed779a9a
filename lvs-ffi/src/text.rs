//! Short names within records: sixteen characters, a zero byte among them.

use core::ffi::{CStr, c_char};

use crate::lvs_status::{self, LVS_ERR_ARGUMENT};

/// Characters of a name, the zero byte included.
pub(crate) const NAME: usize = 16;

/// A name that C wrote, if it ends and is text.
pub(crate) fn name(text: &[c_char; NAME]) -> Result<String, lvs_status> {
    let bytes = text.map(c_char::cast_unsigned);
    let text = CStr::from_bytes_until_nul(&bytes).map_err(|_| LVS_ERR_ARGUMENT)?;
    text.to_str().map(String::from).map_err(|_| LVS_ERR_ARGUMENT)
}

/// A name for C, cut to what there is room for.
pub(crate) const fn put(text: &str) -> [c_char; NAME] {
    let (mut out, bytes, mut i) = ([0; NAME], text.as_bytes(), 0);
    while i < bytes.len() && i + 1 < NAME {
        out[i] = bytes[i].cast_signed();
        i += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        assert_eq!(name(&put("wlc")), Ok(String::from("wlc")));
        assert_eq!(name(&put("")), Ok(String::new()));
        assert_eq!(name(&put("a name of some length")), Ok(String::from("a name of some ")));
        assert_eq!(name(&[1; NAME]), Err(LVS_ERR_ARGUMENT));
        assert_eq!(name(&put("\u{e9}").map(|c| c.min(-1))), Err(LVS_ERR_ARGUMENT));
    }
}
