//! What a processor can do and safe Rust has no words for: fetch a cache line before it is needed, compare sixteen bytes at
//! once.
//!
//! The only unsafe code of the crate. JUSTIFICATION: a lookup among a million connections costs 143 ns when each miss is
//! waited for, 6 ns when a burst's misses overlap. Comparing tags one word after the other takes 25 instructions more, of
//! some 380 for a packet.

#![allow(unsafe_code)]

/// Brings the cache line of `value` nearer. A hint: nothing observable happens.
#[inline(always)]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: prefetching never faults, and the address is that of a live reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(value).cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: prefetching never faults, changes no memory and no flag, and the address is that of a live reference.
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{0}]", in(reg) core::ptr::from_ref(value), options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = value;
}

/// Which of the first twelve bytes of two words are equal to one: bit n for byte n, the lowest of a word first.
#[inline(always)]
#[cfg(target_arch = "x86_64")]
pub(super) fn equal_bytes(first: u64, rest: u64, byte: u8) -> u32 {
    use core::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};
    // SAFETY: every x86-64 processor has SSE2, and none of these looks at memory.
    let mask = unsafe {
        let bytes = _mm_set_epi64x(rest.cast_signed(), first.cast_signed());
        _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte.cast_signed())))
    };
    mask.cast_unsigned() & 0xfff
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use in_words as equal_bytes;

/// The same, a word after the other.
#[inline]
#[cfg(any(test, not(target_arch = "x86_64")))]
pub(super) const fn in_words(first: u64, rest: u64, byte: u8) -> u32 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const SEVEN_BITS: u64 = ONES * 0x7f;
    // One bit out of each byte, gathered in the highest.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let wanted = ONES.wrapping_mul(byte as u64);
    let [first, rest] = [first ^ wanted, rest ^ wanted];
    // A carry into the highest bit of a byte unless its seven lower bits are zero; none leaves the byte.
    let first = !(((first & SEVEN_BITS) + SEVEN_BITS) | first) >> 7 & ONES;
    let rest = !(((rest & SEVEN_BITS) + SEVEN_BITS) | rest) >> 7 & (ONES >> 32);
    let (first, rest) = (first.wrapping_mul(GATHER) >> 56, rest.wrapping_mul(GATHER) >> 56);
    (first | rest << 8) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_ways_find_the_same_bytes(bytes in proptest::array::uniform12(0u8..4), byte in 0u8..4, far: bool, behind: u32) {
            // Near zero, and where bytes are negative numbers.
            let (bytes, byte) = if far { (bytes.map(|b| b ^ 0x81), byte ^ 0x81) } else { (bytes, byte) };
            let first = u64::from_le_bytes(*bytes.first_chunk().unwrap());
            let rest = u64::from(u32::from_le_bytes(*bytes.last_chunk().unwrap())) | u64::from(behind) << 32;
            let one_by_one = (0..12).filter(|&n| bytes[n] == byte).map(|n| 1 << n).sum::<u32>();
            prop_assert_eq!(equal_bytes(first, rest, byte), one_by_one);
            prop_assert_eq!(in_words(first, rest, byte), one_by_one);
        }
    }
}
