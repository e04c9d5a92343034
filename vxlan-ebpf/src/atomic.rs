//! Atomic read-modify-write of a word in a map, by instructions that the BPF machine has since
//! Linux 5.12. Rust's core has none for this target.

/// Writes `new` if the word still is `old`, and returns what it was.
///
/// # Safety
/// `word` points to an aligned word in a value of a map, which lives as long as the map.
#[inline(always)]
pub(crate) unsafe fn compare_exchange(word: *mut u64, old: u64, new: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let found: u64;
        // SAFETY: reads and writes the one word, by the function's contract; the instruction takes
        // and returns the old value in r0.
        unsafe {
            core::arch::asm!(
                "r0 = cmpxchg_64({word} + 0, r0, {new})",
                word = in(reg) word,
                new = in(reg) new,
                inlateout("r0") old => found,
            );
        }
        found
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        let _only_on_bpf = (word, new);
        old
    }
}

/// A full barrier: what the program has read before is read before what it reads after. An
/// instruction that returns the old value is one (kernel, Documentation/bpf/standardization). The
/// word is not changed; one of this CPU alone is the cheapest.
///
/// # Safety
/// As for [`compare_exchange`].
#[inline(always)]
pub(crate) unsafe fn fence(word: *mut u64) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: reads and writes the one word, by the function's contract.
    unsafe {
        core::arch::asm!(
            "{nothing} = atomic_fetch_add((u64 *)({word} + 0), {nothing})",
            word = in(reg) word,
            nothing = inout(reg) 0_u64 => _,
        );
    }
    #[cfg(not(target_arch = "bpf"))]
    let _only_on_bpf = word;
}

/// Adds to the word, modulo 2^64.
///
/// # Safety
/// As for [`compare_exchange`].
#[inline(always)]
pub(crate) unsafe fn add(word: *mut u64, more: u64) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: reads and writes the one word, by the function's contract.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({word} + 0) += {more}",
            word = in(reg) word,
            more = in(reg) more,
        );
    }
    #[cfg(not(target_arch = "bpf"))]
    let _only_on_bpf = (word, more);
}
