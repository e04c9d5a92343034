//! Values of maps as bytes and back. Owns the proofs that every bit pattern is a value.

use aya::Pod;

/// Copies a value out of the beginning of `bytes`. `None`: there are too few bytes.
pub(super) fn read<T: Pod>(bytes: &[u8]) -> Option<T> {
    let bytes = bytes.get(..size_of::<T>())?;
    // SAFETY: `bytes` has as many bytes as `T`, of which every bit pattern is a value (`Pod`); the
    // copy asks for no alignment.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// Returns the bytes of `values`, to be written by the kernel.
pub(super) fn bytes_mut<T: Pod>(values: &mut [T]) -> &mut [u8] {
    let length = size_of_val(values);
    // SAFETY: the memory is that of `values` and as long, borrowed as long; every bit pattern that
    // is written is a value of `T` (`Pod`), and a `Pod` has no padding that would be read
    // uninitialised.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast::<u8>(), length) }
}
