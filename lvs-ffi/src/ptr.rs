//! Pointers from C as references: checked for null, alignment and size, then used by safe code.
//!
//! Outputs are `MaybeUninit`: C hands over memory that nobody has written to.

use core::ffi::{c_char, c_void};
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::slice;

use crate::lvs_status::{self, LVS_ERR_ARGUMENT, LVS_ERR_NULL};

/// What a callback is called with: C's own, handed back as it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User(pub(crate) *mut c_void);

// SAFETY: nothing here looks at what it points to; the header says that callbacks run in whatever thread makes the call.
unsafe impl Send for User {}

/// One value to be read.
///
/// # Safety
/// Null, or readable and not written to during the call. Any bytes make a `T`.
pub(crate) unsafe fn input<T: Copy>(pointer: *const T) -> Result<T, lvs_status> {
    check(pointer)?;
    // SAFETY: not null and aligned by the check; the rest is the caller's promise.
    Ok(unsafe { pointer.read() })
}

/// One value to be looked at where it lies.
///
/// # Safety
/// Null, or readable and not written to during `'a`. Any bytes make a `T`.
pub(crate) unsafe fn one<'a, T>(pointer: *const T) -> Result<&'a T, lvs_status> {
    check(pointer)?;
    // SAFETY: not null and aligned by the check; the rest is the caller's promise.
    Ok(unsafe { &*pointer })
}

/// One value to be read if the caller gives it.
///
/// # Safety
/// As [`input`].
pub(crate) unsafe fn given<T: Copy>(pointer: *const T) -> Result<Option<T>, lvs_status> {
    // SAFETY: the caller's promise is the same.
    if pointer.is_null() { Ok(None) } else { unsafe { input(pointer) }.map(Some) }
}

/// One value to be written.
///
/// # Safety
/// Null, or writable and used by nobody else during `'a`.
pub(crate) unsafe fn output<'a, T>(pointer: *mut T) -> Result<&'a mut MaybeUninit<T>, lvs_status> {
    check(pointer)?;
    // SAFETY: not null and aligned by the check; the rest is the caller's promise.
    Ok(unsafe { &mut *pointer.cast() })
}

/// One value to be written if the caller wants it.
///
/// # Safety
/// As [`output`].
pub(crate) unsafe fn wanted<'a, T>(pointer: *mut T) -> Result<Option<&'a mut MaybeUninit<T>>, lvs_status> {
    // SAFETY: the caller's promise is the same.
    if pointer.is_null() { Ok(None) } else { unsafe { output(pointer) }.map(Some) }
}

/// An array to be read.
///
/// # Safety
/// Null, or `len` readable elements that are not written to during `'a`.
pub(crate) unsafe fn array<'a, T>(pointer: *const T, len: usize) -> Result<&'a [T], lvs_status> {
    if len == 0 {
        return Ok(&[]);
    }
    check_array(pointer, len)?;
    // SAFETY: not null, aligned and no larger than memory by the check; the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts(pointer, len) })
}

/// An array to be written.
///
/// # Safety
/// Null, or `len` writable elements that nobody else uses during `'a`.
pub(crate) unsafe fn array_out<'a, T>(pointer: *mut T, len: usize) -> Result<&'a mut [MaybeUninit<T>], lvs_status> {
    if len == 0 {
        return Ok(&mut []);
    }
    check_array(pointer, len)?;
    // SAFETY: not null, aligned and no larger than memory by the check; the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts_mut(pointer.cast(), len) })
}

/// Bytes that are there, to be read and written.
///
/// # Safety
/// As an [array](check_array) of bytes it was checked, unless `len` is 0; the bytes have values, and nobody else uses them
/// during `'a`.
pub(crate) unsafe fn bytes_there<'a>(pointer: *mut u8, len: usize) -> &'a mut [u8] {
    let pointer = if len == 0 { core::ptr::dangling_mut() } else { pointer };
    // SAFETY: not null and no larger than memory by the check; the rest is the caller's promise.
    unsafe { slice::from_raw_parts_mut(pointer, len) }
}

/// A text.
///
/// # Safety
/// Null, or `len` readable bytes that are not written to during `'a`.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, len: usize) -> Result<&'a str, lvs_status> {
    // SAFETY: the caller's promise is the same.
    let bytes: &[u8] = unsafe { array(pointer.cast(), len)? };
    core::str::from_utf8(bytes).map_err(|_| LVS_ERR_ARGUMENT)
}

/// A structure that begins with its size, so that versions of the library may add to it.
pub(crate) trait Growing: Copy {
    /// The size of its first version: what it is now, until something is added.
    const FIRST: usize = size_of::<Self>();
}

/// A structure that begins with its size, as the caller's version of the header has it. What the caller does not know
/// keeps its default; what this library does not know must be zero.
///
/// # Safety
/// Null, or as many readable bytes as the first four say, not written to during the call. `T` is `repr(C)`, begins with
/// a `u32`, and takes any bytes there are for a value.
pub(crate) unsafe fn sized<T: Growing>(pointer: *const T, default: T) -> Result<T, lvs_status> {
    // SAFETY: the caller's promise is the same.
    let size = unsafe { size_of_given(pointer)? };
    // SAFETY: the caller's promise: `size` bytes can be read.
    let given = unsafe { slice::from_raw_parts(pointer.cast::<u8>(), size) };
    let known = size.min(size_of::<T>());
    if given[known..].iter().any(|&byte| byte != 0) {
        return Err(LVS_ERR_ARGUMENT);
    }
    let mut value = default;
    // SAFETY: `known` bytes fit into `value`, a copy of its own, and any bytes make one.
    unsafe { (&raw mut value).cast::<u8>().copy_from_nonoverlapping(given.as_ptr(), known) };
    Ok(value)
}

/// An array of structures that begin with their size: all the same, since what lies behind one begins there. With the
/// place of the one that is wrong.
///
/// # Safety
/// Null, or `len` structures of the size that the first one says, as for [`sized`].
pub(crate) unsafe fn sized_array<T: Growing>(
    pointer: *const T,
    len: usize,
    default: T,
) -> Result<Vec<T>, (usize, lvs_status)> {
    if len == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the caller's promise is the same.
    let size = unsafe { size_of_given(pointer) }.map_err(|status| (0, status))?;
    let bytes = len.checked_mul(size).ok_or((0, LVS_ERR_ARGUMENT))?;
    check_array(pointer.cast::<u8>(), bytes).map_err(|status| (0, status))?;
    let read = |place: usize| {
        let one = pointer.wrapping_byte_add(place * size);
        // SAFETY: the caller's promise: there is one at each such place. That it is aligned is looked at there.
        unsafe {
            if size_of_given(one)? != size {
                return Err(LVS_ERR_ARGUMENT);
            }
            sized(one, default)
        }
    };
    (0..len).map(|place| read(place).map_err(|status| (place, status))).collect()
}

/// The size that a structure says it has.
///
/// # Safety
/// Null, or a `T` that begins with a `u32`, which can be read.
unsafe fn size_of_given<T: Growing>(pointer: *const T) -> Result<usize, lvs_status> {
    check(pointer)?;
    // SAFETY: `T` begins with a `u32`, so it is aligned for one; readable by the caller's promise.
    let size = unsafe { pointer.cast::<u32>().read() } as usize;
    if (T::FIRST..=4096).contains(&size) { Ok(size) } else { Err(LVS_ERR_ARGUMENT) }
}

/// A structure to be written that begins with its size, as the caller's version of the header has it.
pub(crate) struct SizedOut<'a, T> {
    bytes: &'a mut [MaybeUninit<u8>],
    kind: PhantomData<T>,
}

/// A structure to be written that begins with its size, which the caller has put there.
///
/// # Safety
/// Null, or as many writable bytes as the first four say, used by nobody else during `'a`. `T` is `repr(C)` and begins
/// with a `u32`.
pub(crate) unsafe fn sized_out<'a, T: Growing>(pointer: *mut T) -> Result<SizedOut<'a, T>, lvs_status> {
    // SAFETY: the caller's promise.
    let size = unsafe { size_of_given(pointer)? };
    // SAFETY: not null by the check before; `size` bytes by the caller's promise.
    let bytes = unsafe { slice::from_raw_parts_mut(pointer.cast(), size) };
    Ok(SizedOut { bytes, kind: PhantomData })
}

/// The same, if the caller wants it.
///
/// # Safety
/// As [`sized_out`].
pub(crate) unsafe fn sized_wanted<'a, T: Growing>(pointer: *mut T) -> Result<Option<SizedOut<'a, T>>, lvs_status> {
    // SAFETY: the caller's promise is the same.
    if pointer.is_null() { Ok(None) } else { unsafe { sized_out(pointer) }.map(Some) }
}

impl<T: Growing> SizedOut<'_, T> {
    /// Writes what the caller knows of a value, and zeros for what only the caller knows. The size stays as it is.
    pub(crate) fn write(self, value: T) {
        let value = MaybeUninit::new(value);
        // SAFETY: the bytes of a value that lives as long, padding included since they may be uninitialised.
        let known = unsafe { slice::from_raw_parts(value.as_ptr().cast::<MaybeUninit<u8>>(), size_of::<T>()) };
        let len = known.len().min(self.bytes.len());
        self.bytes[4..len].copy_from_slice(&known[4..len]);
        self.bytes[len..].fill(MaybeUninit::new(0));
    }
}

/// Writes values into the first of these places, as many as there is room for.
pub(crate) fn fill<T>(places: &mut [MaybeUninit<T>], values: impl Iterator<Item = T>) -> &mut [T] {
    let mut count = 0;
    for (place, value) in places.iter_mut().zip(values) {
        place.write(value);
        count += 1;
    }
    // SAFETY: the first `count` places were written just now, and are borrowed as long as `places`.
    unsafe { slice::from_raw_parts_mut(places.as_mut_ptr().cast(), count) }
}

fn check<T>(pointer: *const T) -> Result<(), lvs_status> {
    if pointer.is_null() {
        Err(LVS_ERR_NULL)
    } else if pointer.is_aligned() {
        Ok(())
    } else {
        Err(LVS_ERR_ARGUMENT)
    }
}

/// Refuses what cannot be an array of so many elements.
pub(crate) fn check_array<T>(pointer: *const T, len: usize) -> Result<(), lvs_status> {
    check(pointer)?;
    // No object is larger than half of the memory, or goes round its end.
    let fits = len <= isize::MAX.unsigned_abs() / size_of::<T>().max(1)
        && pointer.addr().checked_add(len * size_of::<T>()).is_some();
    if fits { Ok(()) } else { Err(LVS_ERR_ARGUMENT) }
}

/// Writes values into an array, all or none, and tells how many there are.
pub(crate) fn put_all<T>(
    values: Vec<T>,
    out: &mut [MaybeUninit<T>],
    needed: Option<&mut MaybeUninit<usize>>,
) -> Result<(), lvs_status> {
    needed.map(|needed| needed.write(values.len()));
    if values.len() > out.len() {
        return Err(lvs_status::LVS_ERR_SPACE);
    }
    fill(out, values.into_iter());
    Ok(())
}

/// Writes a text and a zero byte into a buffer, and tells how large a buffer it takes.
pub(crate) fn put_text(
    text: &str,
    buffer: &mut [MaybeUninit<u8>],
    needed: Option<&mut MaybeUninit<usize>>,
) -> Result<(), lvs_status> {
    if let Some(needed) = needed {
        needed.write(text.len() + 1);
    }
    if text.is_empty() && buffer.is_empty() {
        return Ok(());
    }
    if buffer.len() <= text.len() {
        return Err(lvs_status::LVS_ERR_SPACE);
    }
    for (place, byte) in buffer.iter_mut().zip(text.bytes().chain([0])) {
        place.write(byte);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ptr::{null, null_mut, without_provenance};

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Sized {
        size: u32,
        old: u32,
        new: u32,
    }

    impl Growing for Sized {
        const FIRST: usize = 8;
    }

    const DEFAULT: Sized = Sized { size: 12, old: 1, new: 2 };

    #[test]
    fn null_is_empty_or_a_status() {
        // SAFETY: null is allowed everywhere.
        unsafe {
            assert!(matches!(output::<u32>(null_mut()), Err(LVS_ERR_NULL)));
            assert!(matches!(wanted::<u32>(null_mut()), Ok(None)));
            assert_eq!(array::<u32>(null(), 0), Ok(&[][..]));
            assert_eq!(array::<u32>(null(), 1), Err(LVS_ERR_NULL));
            assert_eq!(text(null(), 0), Ok(""));
            assert!(bytes_there(null_mut(), 0).is_empty());
            assert_eq!(sized(null(), DEFAULT), Err(LVS_ERR_NULL));
        }
    }

    #[test]
    fn what_cannot_be_an_array_is_refused_without_a_look() {
        // SAFETY: refused before anything is read.
        unsafe {
            assert_eq!(array(without_provenance::<u32>(2), 1), Err(LVS_ERR_ARGUMENT));
            assert_eq!(array(without_provenance::<u32>(4), usize::MAX), Err(LVS_ERR_ARGUMENT));
            assert_eq!(array(without_provenance::<u8>(usize::MAX), 2), Err(LVS_ERR_ARGUMENT));
        }
    }

    #[test]
    fn older_and_newer_callers_are_understood() {
        let read = |words: &[u32]| {
            // SAFETY: as many words as the first says.
            unsafe { sized(words.as_ptr().cast(), DEFAULT) }
        };
        assert_eq!(read(&[8, 5]), Ok(Sized { size: 8, old: 5, new: 2 }));
        assert_eq!(read(&[12, 5, 6]), Ok(Sized { size: 12, old: 5, new: 6 }));
        assert_eq!(read(&[16, 5, 6, 0]), Ok(Sized { size: 16, old: 5, new: 6 }));
        assert_eq!(read(&[16, 5, 6, 1]), Err(LVS_ERR_ARGUMENT));
        assert_eq!(read(&[4]), Err(LVS_ERR_ARGUMENT));
        assert_eq!(read(&[u32::MAX]), Err(LVS_ERR_ARGUMENT));
    }

    #[test]
    fn the_size_of_the_first_is_the_way_to_the_next() {
        let read = |words: &[u32], len| {
            // SAFETY: as many words as these sizes say.
            unsafe { sized_array(words.as_ptr().cast(), len, DEFAULT) }
        };
        let one = |old, new| Sized { size: 12, old, new };
        assert_eq!(read(&[12, 5, 6, 12, 7, 8], 2), Ok(vec![one(5, 6), one(7, 8)]));
        assert_eq!(read(&[8, 5, 8, 7], 2).map(|all| all.iter().map(|one| one.old).collect()), Ok(vec![5, 7]));
        assert_eq!(read(&[12, 5, 6, 8, 7, 0], 2), Err((1, LVS_ERR_ARGUMENT)));
        assert_eq!(read(&[16, 5, 6, 0, 16, 7, 8, 9], 2), Err((1, LVS_ERR_ARGUMENT)));
        assert_eq!(read(&[10, 5, 6], 2), Err((1, LVS_ERR_ARGUMENT)), "the second would begin at an odd place");
        assert_eq!(read(&[12, 5, 6], usize::MAX), Err((0, LVS_ERR_ARGUMENT)));
        assert_eq!(read(&[], 0), Ok(vec![]));
    }

    #[test]
    fn older_and_newer_callers_get_what_they_know() {
        let write = |words: &mut [u32]| {
            // SAFETY: as many words as the first says.
            let out = unsafe { sized_out::<Sized>(words.as_mut_ptr().cast()) };
            out.map(|out| out.write(DEFAULT))
        };
        let (mut older, mut newer) = ([8, 7, 7], [16, 7, 7, 7]);
        assert_eq!((write(&mut older), older), (Ok(()), [8, 1, 7]));
        assert_eq!((write(&mut newer), newer), (Ok(()), [16, 1, 2, 0]));
        assert_eq!(write(&mut [4]), Err(LVS_ERR_ARGUMENT));
    }

    #[test]
    fn places_are_filled_as_far_as_there_are_values() {
        let mut places = [const { MaybeUninit::uninit() }; 3];
        assert_eq!(fill(&mut places, 1..3), [1, 2]);
        assert_eq!(fill(&mut places, 1..9), [1, 2, 3]);
        assert!(fill(&mut places, core::iter::empty()).is_empty());
    }

    #[test]
    fn a_text_goes_out_whole_or_not_at_all() {
        let mut buffer = [MaybeUninit::new(0xffu8); 4];
        let mut needed = MaybeUninit::new(0);
        assert_eq!(put_text("four", &mut buffer, Some(&mut needed)), Err(lvs_status::LVS_ERR_SPACE));
        assert_eq!(put_text("abc", &mut buffer, None), Ok(()));
        assert_eq!(put_text("", &mut [], None), Ok(()));
        // SAFETY: both were written when they were made.
        unsafe {
            assert_eq!(needed.assume_init(), 5);
            assert_eq!(buffer.map(|byte| byte.assume_init()), *b"abc\0");
        }
    }
}
