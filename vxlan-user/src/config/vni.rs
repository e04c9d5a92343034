//! The VXLAN network identifier of a network. Which networks may have which is a matter of `rules`.

use std::fmt;

/// A VXLAN network identifier that a network may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vni(u32);

impl Vni {
    /// The highest of the 24-bit numbers: the VNI of this program's own probes, unless the
    /// configuration names another.
    pub const PROBES: u32 = 0xff_ffff;
    pub const MAX: u32 = Self::PROBES - 1;

    pub fn new(number: u32) -> Option<Self> {
        (number <= Self::MAX).then_some(Self(number))
    }

    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
