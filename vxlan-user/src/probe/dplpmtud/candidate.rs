//! Chooses the next size to probe between a size that passed and one that did not.

/// MTUs that are common on real paths, probed before other sizes.
const COMMON: [u16; 15] =
    [1280, 1300, 1340, 1360, 1380, 1400, 1420, 1450, 1460, 1480, 1492, 1500, 8500, 8896, 9000];

/// The smallest size that is known or taken to be too large, and what a router reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct UpperBound {
    /// The smallest size that did not pass; MAX_PLPMTU + 1 if none is known.
    pub(super) too_large: u32,
    /// The MTU that a router or the kernel reported last (PTB_SIZE of RFC 8899).
    pub(super) ptb_size: Option<u16>,
}

impl UpperBound {
    /// Returns the bound of a path of which only the MTU of the first link is known.
    pub(super) fn open(max: u16) -> Self {
        Self { too_large: u32::from(max) + 1, ptb_size: None }
    }

    /// Returns the next size above `low`, which passed, and below the bound. There must be one.
    pub(super) fn candidate(&self, low: u16, max: u16) -> u16 {
        if self.too_large > u32::from(max) {
            return max;
        }
        let inside = |size: u16| size > low && u32::from(size) < self.too_large;
        if let Some(reported) = self.ptb_size.filter(|size| inside(*size)) {
            return reported;
        }
        // A size that a router reported, or that is common, is likely to be the path MTU itself:
        // the next larger size proves it.
        if self.ptb_size == Some(low) {
            return low + 1;
        }
        let common: Vec<u16> = COMMON.into_iter().filter(|size| inside(*size)).collect();
        if let Some(size) = common.get(common.len() / 2) {
            return *size;
        }
        if COMMON.contains(&low) {
            return low + 1;
        }
        // Below the bound, which is at most 65,536.
        let middle = u32::midpoint(u32::from(low), self.too_large);
        u16::try_from(middle).unwrap_or(u16::MAX)
    }
}
