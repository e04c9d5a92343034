//! Bounded reads from a packet, the same for a BPF context and for a byte slice on the host.

/// A packet that can be read at any offset. No read goes past its end.
pub trait Bytes {
    /// Proof that `N` bytes are there.
    type Window<const N: usize>: HeaderWindow;

    /// The `N` bytes from `offset`. `None`: the packet is shorter than `offset + N`.
    fn window<const N: usize>(&self, offset: usize) -> Option<Self::Window<N>>;

    /// Zero, which neither the compiler nor the BPF verifier can know. Added to a position in a
    /// loop, it makes the position an unknown one, the same in every round, so that the verifier
    /// does not follow each round through the rest of the program.
    #[inline(always)]
    fn unknown_zero(&self) -> usize {
        0
    }
}

/// Bytes that were proved to be there. Offsets are constants below the window's size.
pub trait HeaderWindow: Copy {
    /// The byte at `at`.
    fn byte(&self, at: usize) -> u8;
    /// Two bytes, as on the wire.
    fn be_bytes2(&self, at: usize) -> [u8; 2];
    /// Four bytes, as on the wire.
    fn be_bytes4(&self, at: usize) -> [u8; 4];

    /// Two bytes as a number in network order.
    #[inline(always)]
    fn be16(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.be_bytes2(at))
    }

    /// Four bytes as a number in network order.
    #[inline(always)]
    fn be32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.be_bytes4(at))
    }
}

/// A window into a slice, on the host.
#[derive(Clone, Copy, Debug)]
pub struct SliceWindow<const N: usize>([u8; N]);

impl<const N: usize> HeaderWindow for SliceWindow<N> {
    fn byte(&self, at: usize) -> u8 {
        self.0[at]
    }

    fn be_bytes2(&self, at: usize) -> [u8; 2] {
        [self.0[at], self.0[at + 1]]
    }

    fn be_bytes4(&self, at: usize) -> [u8; 4] {
        [self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]]
    }
}

impl Bytes for [u8] {
    type Window<const N: usize> = SliceWindow<N>;

    fn window<const N: usize>(&self, offset: usize) -> Option<SliceWindow<N>> {
        let bytes = self.get(offset..offset.checked_add(N)?)?;
        Some(SliceWindow(bytes.try_into().ok()?))
    }
}
